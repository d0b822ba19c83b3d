package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

func TestAnOutageIsUnavailableAndPasses(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t)
	if err := postgres.Migrate(t.Context(), cluster.URL); err != nil {
		t.Fatal(err)
	}
	s := open(t, cluster.URL)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, end := range map[string]func(){"stop": cluster.Stop, "kill": cluster.Kill} {
		// Several connections are idle in the pool when the server goes.
		var busy sync.WaitGroup
		for range 8 {
			busy.Go(func() { s.Ready(t.Context()) })
		}
		busy.Wait()

		end()
		wantUnavailable := func(method string, err error) {
			t.Helper()
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("after %s %s: got %v", name, method, err)
			}
		}
		for method, call := range storetest.Calls(t, s, storetest.Subjects{}) {
			wantUnavailable(method, call(t.Context()))
			err := call(cancelled)
			if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("after %s %s, cancelled: got %v", name, method, err)
			}
		}
		wantUnavailable("Migrate", postgres.Migrate(t.Context(), cluster.URL))
		_, err := postgres.Schema(t.Context(), cluster.URL)
		wantUnavailable("Migrations", err)
		_, err = postgres.Open(t.Context(), cluster.URL, store.Options{})
		wantUnavailable("Open", err)

		cluster.Start()
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("after %s and start: %v", name, err)
		}
	}
}

// An answered write survives a crash, and one that was not answered happened once or never.
func TestACrashLosesNoAnsweredWrite(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t, "fsync = on", "full_page_writes = on")
	if err := postgres.Migrate(t.Context(), cluster.URL); err != nil {
		t.Fatal(err)
	}
	s := open(t, cluster.URL)
	const writers = 8
	var answered [writers][]string
	for round := range 3 {
		var writing sync.WaitGroup
		for w := range writers {
			writing.Go(func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("%d/%d/%d", round, w, i)
					_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: name})
					if errors.Is(err, store.ErrUnavailable) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					answered[w] = append(answered[w], name)
				}
			})
		}
		watch := beside(t, cluster.URL)
		until(t, "there was time to write", func() bool {
			return ask[int](t, watch, "SELECT count(*) FROM clientes") > 200*(round+1)
		})
		cluster.Kill()
		writing.Wait()
		cluster.Start()
	}
	kept := map[string]int{}
	for after := int64(0); ; {
		page, err := s.Clientes(t.Context(), store.Selection{}, store.Position{ID: after}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			kept[c.Name]++
			after = c.ID
		}
	}
	for w := range answered {
		for _, name := range answered[w] {
			if kept[name] != 1 {
				t.Errorf("%s was answered and is there %d times", name, kept[name])
			}
		}
	}
	for name, n := range kept {
		if n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	}
}

func TestAConnectionThatIsCutIsUnavailableOnce(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, with(t, url, "pool_max_conns", "1"))
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	if err != nil {
		t.Fatal(err)
	}
	conn := beside(t, url)
	_, err = s.UpdateCliente(t.Context(), 0, c.ID, func(c store.Cliente) (store.Cliente, error) {
		n := ask[int](t, conn, `
			SELECT count(pg_terminate_backend(pid))
			FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle in transaction'`)
		if n != 1 {
			t.Errorf("%d connections were cut", n)
		}
		c.Name = "Bia"
		return c, nil
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if got, err := s.Cliente(t.Context(), c.ID); err != nil || got != c {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Everything here takes as long as a call may, so it all happens at once.
func TestTimeoutEnds(t *testing.T) {
	t.Parallel()

	t.Run("when every connection is in use", func(t *testing.T) {
		t.Parallel()
		s := open(t, with(t, postgrestest.Migrated(t, postgres.Migrate), "pool_max_conns", "1"))
		held := hold(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := s.Session(ctx, "x")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("a caller with less time got %v", err)
		}
		// The questions that decide about everybody have a connection of their own.
		if err := s.Ready(t.Context()); err != nil {
			t.Errorf("readiness: %v", err)
		}
		if _, err := s.Session(t.Context(), "x"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		held()
		if _, err := s.Session(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("when one was free again: %v", err)
		}
	})

	t.Run("when another holds the record, and the server gives up too", func(t *testing.T) {
		t.Parallel()
		url := postgrestest.Migrated(t, postgres.Migrate)
		s := open(t, url)
		c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
		if err != nil {
			t.Fatal(err)
		}
		conn, watch := beside(t, url), beside(t, url)
		if _, err := conn.Exec(t.Context(), "BEGIN; SELECT FROM clientes FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		update := func(c store.Cliente) (store.Cliente, error) {
			t.Error("the update was called")
			return c, nil
		}
		_, err = s.UpdateCliente(t.Context(), 0, c.ID, update)
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		until(t, "no statement waits any more", func() bool { return waiting(t, watch) == 0 })
	})

	t.Run("when an update takes forever, its locks do not", func(t *testing.T) {
		t.Parallel()
		url := postgrestest.Migrated(t, postgres.Migrate)
		s := open(t, url)
		held := hold(t, s)
		n := ask[int](t, beside(t, url), `
			SELECT count(*)
			FROM (SELECT FROM clientes FOR UPDATE) AS locked`)
		if n != 1 {
			t.Errorf("locked %d", n)
		}
		held()
	})

	t.Run("when the server accepts and says nothing", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		listener, err := net.Listen("unix", filepath.Join(folder, ".s.PGSQL.5432"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		url := with(t, "postgres:///x", "host", folder, "port", "5432")
		_, err = postgres.Open(t.Context(), url, store.Options{})
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	})
}

// hold takes a connection for an update that ends when release is called. By then its time must
// have run out: release reports an update that was kept.
func hold(t *testing.T, s *postgres.Store) (release func()) {
	t.Helper()
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "held"})
	if err != nil {
		t.Fatal(err)
	}
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	update := func(c store.Cliente) (store.Cliente, error) {
		close(entered)
		<-leave
		c.Name = "changed"
		return c, nil
	}
	go func() {
		_, err := s.UpdateCliente(t.Context(), 0, c.ID, update)
		done <- err
	}()
	<-entered
	return func() {
		t.Helper()
		close(leave)
		if err := <-done; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("the update that took its time: got %v", err)
		}
		if got, err := s.Cliente(t.Context(), c.ID); err != nil || got != c {
			t.Errorf("it left %+v, %v", got, err)
		}
	}
}

func TestTooManyConnectionsIsUnavailable(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t, "max_connections = 5", "superuser_reserved_connections = 3")
	execute(t, cluster.URL, "CREATE ROLE app LOGIN")
	// The server may be slow to let go of the connection that created the role.
	super := beside(t, cluster.URL)
	until(t, "nobody else is connected", func() bool {
		return ask[int](t, super, `
			SELECT count(*)
			FROM pg_stat_activity
			WHERE backend_type = 'client backend'`) == 1
	})
	url := with(t, cluster.URL, "user", "app")
	beside(t, url) // takes the second of two connections; super has the first
	_, err := postgres.Open(t.Context(), url, store.Options{})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// Limits of the administrator end a statement and leave the connection open.
func TestWhatTheServerWillNotDoNowIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"statement_timeout = '50ms'",
		"lock_timeout = '50ms'",
		"default_transaction_read_only = on",
	} {
		url := postgrestest.Migrated(t, postgres.Migrate)
		c, err := open(t, url).CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
		if err != nil {
			t.Fatal(err)
		}
		conn := beside(t, url)
		if _, err := conn.Exec(t.Context(), "BEGIN; SELECT FROM clientes FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		name := ask[string](t, conn, "SELECT current_database()")
		execute(t, url, "ALTER DATABASE "+name+" SET "+setting)
		s := open(t, url)
		keep := func(c store.Cliente) (store.Cliente, error) { return c, nil }
		_, err = s.UpdateCliente(t.Context(), 0, c.ID, keep)
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: got %v", setting, err)
		}
		if got, err := s.Cliente(t.Context(), c.ID); err != nil || got != c {
			t.Errorf("%s: then it reads %+v, %v", setting, got, err)
		}
	}
}

// A connection costs the server a process, so a call that ends without a commit must not cost one.
func TestWhatIsNotWrittenCostsNoConnection(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	watch := beside(t, url)
	s := open(t, with(t, url, "pool_max_conns", "1"))
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana", Email: "ana@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	backend := func() int {
		t.Helper()
		return ask[int](t, watch, `
			SELECT pid
			FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()
			ORDER BY backend_start DESC -- the first is that of Open
			LIMIT 1`)
	}
	before := backend()
	update := func(id int64, fault error) func() {
		return func() {
			s.UpdateCliente(t.Context(), 0, id,
				func(c store.Cliente) (store.Cliente, error) { return c, fault })
		}
	}
	for what, call := range map[string]func(){
		"an unknown id": update(c.ID+1, nil),
		"no change":     update(c.ID, nil),
		"a refusal":     update(c.ID, errors.New("no")),
		"a conflict": func() {
			_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Email: c.Email})
			if err == nil {
				t.Error("the conflict was kept")
			}
		},
		"a panic": func() {
			defer func() { recover() }()
			s.UpdateCliente(t.Context(), 0, c.ID,
				func(store.Cliente) (store.Cliente, error) { panic("boom") })
		},
	} {
		call()
		if now := backend(); now != before {
			t.Errorf("%s cost a connection", what)
			before = now
		}
	}
}

func TestThePoolIsAsLargeAsTheURLSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size       string
		want, more int
	}{
		{"", 14, 2},
		{"4", 2, 2},
		{"3", 3, 1}, // too few to take some from
	} {
		size, want := c.size, c.want
		url := postgrestest.Migrated(t, postgres.Migrate)
		pooled := url
		if size != "" {
			pooled = with(t, url, "pool_max_conns", size)
		}
		// Nobody who waits is refused, however slow the machine is.
		s, err := postgres.Open(t.Context(), pooled, store.Options{CallTimeout: 5 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ids := make([]int64, want+4)
		for i := range ids {
			c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"})
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = c.ID
		}
		entered, leave := make(chan struct{}, len(ids)), make(chan struct{})
		release := sync.OnceFunc(func() { close(leave) })
		t.Cleanup(release)
		wait := func(store.Cliente) error {
			entered <- struct{}{}
			<-leave
			return nil
		}
		var holding sync.WaitGroup
		for _, id := range ids {
			holding.Go(func() {
				if err := s.DeleteCliente(t.Context(), 0, id, wait); err != nil {
					t.Error(err)
				}
			})
		}
		until(t, "the pool is in use", func() bool { return len(entered) >= want })
		n := others(t, beside(t, url))
		if n > want+c.more || len(entered) != want {
			t.Errorf("with %q there are %d connections and %d calls, want %d and %d",
				size, n, len(entered), want+c.more, want)
		}
		release()
		holding.Wait()
	}
}
