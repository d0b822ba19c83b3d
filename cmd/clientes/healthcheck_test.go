package main

import (
	"net"
	"testing"
)

func TestHealthcheck(t *testing.T) {
	secretIn(t)
	s := launch(t, []string{"HOST=0.0.0.0", "SHUTDOWN_DELAY=1h"}, "serve")
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil || host != "0.0.0.0" {
		t.Fatalf("it listens on %s: %v", s.addr, err)
	}
	vars := map[string]string{"HOST": "0.0.0.0", "PORT": port}
	call(t, vars, "", "healthcheck").want(t, 0, "ready\n", "")
	s.signal(t)
	for call(t, vars, "", "healthcheck").status == 0 {
	}
	call(t, vars, "", "healthcheck").
		want(t, 1, "", "is not ready: status 503, \"The server is stopping.\"\n")
	s.end(t)
	call(t, vars, "", "healthcheck").
		want(t, 1, "", "clientes: no server answers at http://127.0.0.1:"+port)
	call(t, map[string]string{"PORT": "0"}, "", "healthcheck").
		want(t, 1, "", "clientes: with PORT=0 nobody knows")
}

func TestBaseURL(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1":    "http://127.0.0.1:3000",
		"0.0.0.0":      "http://127.0.0.1:3000",
		"::":           "http://[::1]:3000",
		"192.0.2.1":    "http://192.0.2.1:3000",
		"localhost":    "http://localhost:3000",
		"fe80::1%eth0": "http://[fe80::1%25eth0]:3000",
	} {
		if got := baseURL(host, 3000); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
