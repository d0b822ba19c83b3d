package postgres

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// journal is a log for tests, which many write to.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) lines() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), "a pooler in transaction mode")
}

// openLogged opens a store on a migrated database, and returns its log.
func openLogged(t *testing.T, url string) (*Store, *journal) {
	t.Helper()
	said := new(journal)
	s, err := Open(t.Context(), url, store.Options{
		CallTimeout: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, said
}

// crowd makes many calls of several kinds at once, none of which may fail.
func crowd(t *testing.T, s *Store) {
	t.Helper()
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			for i := range 4 {
				ana := store.Cliente{Name: fmt.Sprint("Ana ", n)}
				c, err := s.CreateCliente(t.Context(), 0, ana)
				if err != nil {
					t.Errorf("create: %v", err)
					continue
				}
				if _, err := s.Cliente(t.Context(), c.ID); err != nil {
					t.Errorf("read: %v", err)
				}
				if err := s.Ready(t.Context()); err != nil {
					t.Errorf("ready: %v", err)
				}
				if i > 0 {
					continue
				}
				name := fmt.Sprint("user ", n, time.Now().UnixNano())
				u := store.User{Name: name, Role: store.Viewer}
				if _, err := s.CreateUser(t.Context(), u); err != nil {
					t.Errorf("create a user: %v", err)
				}
				err = s.EachCliente(t.Context(), store.Selection{},
					func(store.Cliente) error { return nil })
				if err != nil {
					t.Errorf("export: %v", err)
				}
			}
		})
	}
	all.Wait()
}

// F5: nobody has to know that there is a pooler.
func TestPoolerWithoutItsMode(t *testing.T) {
	t.Parallel()
	c := postgrestest.Start(t)
	url := c.Pooler(t, 3)(c.Database(t))
	for range 2 { // the second finds what the first has left on the connections
		if err := Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		if _, err := Schema(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		s, said := openLogged(t, url)
		if !s.unprepared.Load() || said.lines() != 1 {
			t.Errorf("noticed: %t, lines: %d", s.unprepared.Load(), said.lines())
		}
		crowd(t, s)
		if said.lines() != 1 {
			t.Errorf("%d lines in the log", said.lines())
		}
	}
	quiet, said := openLogged(t, url+"&default_query_exec_mode=exec")
	crowd(t, quiet)
	if said.lines() != 0 {
		t.Error("it tells of a pooler that it knows of")
	}
}

// F5: the pooler comes while the store is open.
func TestPoolerThatComesLater(t *testing.T) {
	t.Parallel()
	c := postgrestest.Start(t)
	url := c.Migrated(t, Migrate)
	pooled := c.Pooler(t, 3)(url)
	cable, through := postgrestest.NewCable(t, url)
	s, said := openLogged(t, through)
	crowd(t, s)
	if s.unprepared.Load() || said.lines() != 0 {
		t.Fatal("it sees a pooler where there is none")
	}
	cable.Lead(t, pooled)
	cable.Cut(postgrestest.Broken)
	cable.Join()
	eventually(t, "the broken connections are gone", func() bool {
		return s.Ready(context.Background()) == nil
	})
	s.usual.Reset()
	crowd(t, s)
	if !s.unprepared.Load() || said.lines() != 1 {
		t.Errorf("noticed: %t, lines: %d", s.unprepared.Load(), said.lines())
	}
}

// A pooler that keeps statements apart changes nothing. In session mode every one does.
func TestPoolerThatKeepsStatements(t *testing.T) {
	t.Parallel()
	c := postgrestest.Start(t)
	url := c.Pooler(t, 40, "pool_mode = session")(c.Migrated(t, Migrate))
	s, said := openLogged(t, url)
	crowd(t, s)
	if s.unprepared.Load() || said.lines() != 0 {
		t.Error("statements are no longer prepared")
	}
	direct, err := decide(t.Context(), s, greet)
	if err != nil || direct.direct {
		t.Errorf("the pooler is not seen, so this test shows nothing: %v", err)
	}
}
