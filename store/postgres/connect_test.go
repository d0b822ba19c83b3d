package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// What listens at the place of the database may be anything. Each has its own sentence.
func TestWhatListensThere(t *testing.T) {
	t.Parallel()
	expired := certificate(t, -time.Hour, "db.example.com")
	other := certificate(t, time.Hour, "other")
	for name, test := range map[string]struct {
		serve func(net.Conn)
		query string
		want  string
	}{
		"a web server": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 64))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		}, "?sslmode=disable", "a web server and no PostgreSQL server"},
		"a web server, with TLS wanted": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 64))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		}, "", "a web server and no PostgreSQL server"},
		"MySQL": {func(c net.Conn) {
			_, _ = io.WriteString(c, "J\x00\x00\x00\x0a8.0.35\x00"+strings.Repeat("a", 67))
			_, _ = io.Copy(io.Discard, c)
		}, "", "what listens there is no PostgreSQL server"},
		"one that hangs up": {func(net.Conn) {}, "", "closed the connection"},
		"one that refuses TLS": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 64))
			_, _ = io.WriteString(c, "N")
			_, _ = io.Copy(io.Discard, c)
		}, "?sslmode=require", "offers no TLS, which sslmode requires"},
		"an old certificate": {startTLS(expired), "?sslmode=verify-full&sslrootcert=" +
			file(t, expired), "has expired"},
		"a certificate of another name": {startTLS(other), "?sslmode=verify-full&sslrootcert=" +
			file(t, other), "is not for the host 127.0.0.1"},
		"a certificate that nobody signed": {startTLS(other), "?sslmode=verify-ca&sslrootcert=" +
			file(t, expired), "certificate of the database's server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						test.serve(c)
					}()
				}
			}()
			url := "postgres://u:hunter2@" + l.Addr().String() + "/d" + test.query
			err = postgres.Migrate(t.Context(), url)
			if err == nil || !errors.Is(err, store.ErrUnavailable) ||
				!strings.Contains(err.Error(), test.want) ||
				!strings.Contains(err.Error(), "(user=u database=d host="+l.Addr().String()) ||
				strings.Contains(err.Error(), "hunt") ||
				strings.Contains(err.Error(), "tls error") {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

// startTLS returns what agrees to speak TLS, as PostgreSQL does it, and has this certificate.
func startTLS(c tls.Certificate) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "S")
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{c}}).Handshake()
	}
}

// certificate returns one that signs itself, and is good for a name for so long.
func certificate(t *testing.T, good time.Duration, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(good),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// file returns the path of a file with a certificate.
func file(t *testing.T, c tls.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
