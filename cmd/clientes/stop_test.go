package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/cmd/clientes/config"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// deafStore is a store in which looking for mail takes forever, even after its context has ended.
type deafStore struct {
	store.Store
	asked chan struct{} // closed when it is asked
}

func (s deafStore) ClaimMails(context.Context, time.Duration, int) ([]store.Mail, error) {
	close(s.asked)
	select {}
}

func TestAServerWhoseUpkeepHangsStops(t *testing.T) {
	inFolder(t, nil)
	c, err := config.Load(environment(map[string]string{
		"SECRET": goodSecret, "PORT": "0", "SHUTDOWN_TIMEOUT": "0s",
	}), "SECRET")
	authtest.Must(t, err)
	_, st, err := openMigrated(t.Context(), c.DatabaseURL, tellTo(io.Discard), store.Options{})
	authtest.Must(t, err)
	defer st.Close()
	listener, err := listen(t.Context(), c)
	authtest.Must(t, err)
	out := new(authtest.Log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(out, nil))
	deaf := deafStore{st, make(chan struct{})}
	hashing, err := password.StartProcess(hashPasswords, log)
	authtest.Must(t, err)
	defer hashing.Close()
	go func() { ended <- serve(ctx, c, deaf, hashing, listener, nil, log) }()
	authtest.Eventually(t, "it listens", func() bool {
		return strings.Contains(out.String(), "listening")
	})
	<-deaf.asked
	stop()
	if err := <-ended; err != nil { // it ends, or this test never does
		t.Error(err)
	}
	const leaving = "leaving before the work in the background has ended"
	if !strings.Contains(out.String(), leaving) {
		t.Errorf("the log has no %q:\n%s", leaving, out)
	}
}

// A server stops while its Postgres takes what it is sent and answers nothing, with requests, mail
// and upkeep under way.
func TestAServerWhoseDatabaseIsSilentStops(t *testing.T) {
	t.Parallel()
	cable, through := postgrestest.NewCable(t, postgrestest.Database(t))
	f := newFleet(t, 1, through, "SHUTDOWN_TIMEOUT=1s")
	f.addUser(t, "abc")
	s := f.on(0)
	token := s.login(t, goodPassword)
	cable.Cut(postgrestest.Silent)
	for range 20 {
		go func() {
			if resp, err := f.send(s, "GET", "/clientes", "", token, nil); err == nil {
				resp.Body.Close()
			}
		}()
	}
	s.signal(t)
	status := s.wait()              // it ends, or this test never does
	if status != 0 && status != 1 { // 1: requests were cut
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}

// So does one that is told to while it looks for its database.
func TestAServerThatWaitsForItsDatabaseStops(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	defer silent.Close()
	secretIn(t)
	s := begin(t, []string{
		"DATABASE_URL=postgres://u:p@" + silent.Addr().String() + "/d?connect_timeout=3600",
	}, "serve")
	conn, err := silent.Accept()
	authtest.Must(t, err)
	defer conn.Close()
	s.signal(t)
	const interrupted = "clientes: interrupted before it was done\n"
	if status := s.wait(); status != 1 || !strings.Contains(s.stderr.String(), interrupted) {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
}
