package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"clientes/auth/authtest"
	"clientes/store"
)

// BenchmarkRequests measures single requests over a real connection and a real store, with metrics
// and the log on. The client only writes and reads bytes, so that the allocations are the server's.
// "floor" is a bare handler of net/http, which answers as GET / does.
func BenchmarkRequests(b *testing.B) {
	for _, e := range engines() {
		b.Run(e.Name, func(b *testing.B) { measureRequests(b, e) })
	}
}

func measureRequests(b *testing.B, e authtest.Engine) {
	f := newFixture(b, emptyStore(b, e), func(cfg *Config) {
		cfg.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
		cfg.Metrics = prometheus.NewRegistry()
	})
	for n := range 20 {
		_, err := f.store.CreateCliente(b.Context(), 1, store.Cliente{
			Name: "Ana Beatriz Conceição", Email: fmt.Sprintf("ana.%d@example.com", n),
			Phone: "+55 11 99999-0000", Company: "Exemplo Ltda.",
		})
		authtest.Must(b, err)
	}
	token := f.tokens[store.Editor]
	good := "x-access-token: " + token + "\r\n"
	forged := "x-access-token: " + token[:len(token)-8] + "AAAAAAAA\r\n"
	floor := httptest.NewServer(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			body := []byte(`{"message":"Everything is okay!"}`)
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
		}))
	defer floor.Close()
	var created atomic.Int64
	create := func() string {
		body := fmt.Sprintf(`{"name":"Ana Beatriz Conceição","email":"b.%d@example.com",`+
			`"phone":"+55 11 99999-0000","company":"Exemplo Ltda."}`, created.Add(1))
		return "POST /clientes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + good +
			"Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	get := func(path, headers string) func() string {
		text := "GET " + path + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n"
		return func() string { return text }
	}
	for _, r := range []struct {
		name, url string
		request   func() string
	}{
		{"floor", floor.URL, get("/", "")},
		{"home", f.url, get("/", "")},
		{"forged token", f.url, get("/clientes/1", forged)},
		{"unknown id", f.url, get("/clientes/9999", good)},
		{"get", f.url, get("/clientes/1", good)},
		{"get, gzip accepted", f.url, get("/clientes/1", good+"Accept-Encoding: gzip\r\n")},
		{"list", f.url, get("/clientes?limit=20", good)},
		{"create", f.url, create},
	} {
		b.Run(r.name, func(b *testing.B) { askOverAndOver(b, r.url, r.request) })
	}
}

// askOverAndOver sends a request, reads the answer, and begins again.
func askOverAndOver(b *testing.B, url string, request func() string) {
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	authtest.Must(b, err)
	defer c.Close()
	answers := bufio.NewReaderSize(c, 32<<10)
	b.ReportAllocs()
	for b.Loop() {
		_, err := io.WriteString(c, request())
		authtest.Must(b, err)
		authtest.Must(b, skipAnswer(answers))
	}
}

// skipAnswer skips an answer that has a Content-Length.
func skipAnswer(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if given, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, digit := range bytes.TrimSpace(given) {
				length = 10*length + int(digit-'0')
			}
		}
		if len(line) == 2 {
			_, err := r.Discard(length)
			return err
		}
	}
}
