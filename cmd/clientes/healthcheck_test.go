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
