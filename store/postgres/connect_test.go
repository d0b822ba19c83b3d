package postgres_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"clientes/store"
	"clientes/store/postgres"
)

// A certificate that is not good for the host has another cure than a server that is not there.
func TestACertificateThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(nil) // only for its certificate
	defer web.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var request [8]byte // whether it speaks TLS: S for yes
				if _, err := io.ReadFull(c, request[:]); err != nil {
					return
				}
				_, _ = c.Write([]byte("S"))
				_ = tls.Server(c, web.TLS).Handshake()
			}()
		}
	}()
	url := "postgres://u@" + l.Addr().String() + "/d?sslmode=verify-full"
	st, err := postgres.Open(t.Context(), url, store.Options{})
	if err == nil {
		st.Close()
		t.Fatal("it opens")
	}
	for _, want := range []string{"certificate of the database's server", "sslrootcert=FILE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
