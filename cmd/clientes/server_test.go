package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/config"
)

// slowHandler begins to answer, and ends when the test lets it.
type slowHandler struct {
	begun, release chan struct{}
	draining       atomic.Bool
}

func newSlowHandler() *slowHandler {
	return &slowHandler{begun: make(chan struct{}), release: make(chan struct{})}
}

func (h *slowHandler) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	close(h.begun)
	<-h.release
	io.WriteString(w, "all of it")
}

func (h *slowHandler) Drain() { h.draining.Store(true) }

// A request that is under way when the server is told to stop is answered, or cut after the
// timeout.
func TestHTTPServerStops(t *testing.T) {
	for name, test := range map[string]struct {
		timeout time.Duration
		err     string // "" if all went well
	}{
		"with time":    {authtest.Timeout, ""},
		"without time": {0, "requests that took longer than SHUTDOWN_TIMEOUT (0s) were cut"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Config{Host: "127.0.0.1", ShutdownTimeout: test.timeout}
			listener, err := listen(t.Context(), c)
			authtest.Must(t, err)
			h := newSlowHandler()
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() {
				served <- newHTTPServer(c, h, slog.New(slog.DiscardHandler)).serve(ctx, listener)
			}()
			answer := make(chan string, 1)
			go func() {
				resp, err := http.Get("http://" + listener.Addr().String())
				if err != nil {
					answer <- err.Error()
					return
				}
				defer resp.Body.Close()
				b, _ := io.ReadAll(resp.Body)
				answer <- string(b)
			}()
			<-h.begun
			stop()
			if test.err == "" {
				for !h.draining.Load() {
					time.Sleep(time.Millisecond)
				}
				close(h.release)
			} else {
				defer close(h.release)
			}
			err = <-served
			if test.err == "" && err != nil ||
				test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("it ended with %v, want %q", err, test.err)
			}
			if got := <-answer; (got == "all of it") != (test.err == "") {
				t.Errorf("the client got %q", got)
			}
			if !h.draining.Load() {
				t.Error("the handler was not told")
			}
		})
	}
}

// A connection that was accepted last brings its request when nobody else is accepted any more. A
// proxy would answer 502 if that were dropped.
func TestTheLastConnectionIsAnswered(t *testing.T) {
	listener, err := listen(t.Context(), config.Config{Host: "127.0.0.1"})
	authtest.Must(t, err)
	addr := listener.Addr().String()
	h := newSlowHandler()
	close(h.release)
	s := newHTTPServer(config.Config{}, h, slog.New(slog.DiscardHandler))
	s.settle = authtest.Timeout // which the test does not wait for
	ctx, stop := context.WithCancel(t.Context())
	go s.serve(ctx, listener)
	conn, err := net.Dial("tcp", addr)
	authtest.Must(t, err)
	defer conn.Close()
	stop()
	authtest.Eventually(t, "nobody else is accepted", func() bool {
		other, err := net.Dial("tcp", addr)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestHTTPServerCannotServe(t *testing.T) {
	c := config.Config{Host: "127.0.0.1"}
	listener, err := listen(t.Context(), c)
	authtest.Must(t, err)
	listener.Close()
	err = newHTTPServer(c, newSlowHandler(), slog.New(slog.DiscardHandler)).
		serve(t.Context(), listener)
	if err == nil || !strings.HasPrefix(err.Error(), "serve: ") {
		t.Error(err)
	}
}

// hangingStore is a store that has stopped answering.
type hangingStore struct{ forever chan struct{} }

func (s hangingStore) Close() error {
	<-s.forever
	return nil
}

func TestAStoreThatHangsDoesNotKeepTheServer(t *testing.T) {
	st := hangingStore{make(chan struct{})}
	defer close(st.forever)
	start := time.Now()
	closeSoon(st) // it returns, or this test never ends
	if took := time.Since(start); took < closeTimeout {
		t.Errorf("it took %s", took)
	}
}
