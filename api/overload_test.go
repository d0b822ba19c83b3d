package api

import (
	"net/url"
	"testing"
	"time"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// The only connection of a server waits for a table that another program has locked. A list is
// refused, and its client told to come again. A refresh and a logout get through when there is a
// place.
func TestAFullPool(t *testing.T) {
	t.Parallel()
	database := authtest.Postgres().Migrated(t)
	u, err := url.Parse(database)
	authtest.Must(t, err)
	options := u.Query()
	options.Set("pool_max_conns", "1")
	u.RawQuery = options.Encode()
	// Whoever waits is refused after a twentieth of it.
	st, err := postgres.Open(t.Context(), u.String(), store.Options{CallTimeout: 2 * time.Minute})
	authtest.Must(t, err)
	f := newFixture(t, st)
	first := make(map[string]chan answer)
	sessions := make(map[string]string)
	for _, path := range []string{"/refresh", "/logout"} {
		g, err := f.auth.Login(t.Context(),
			auth.LoginRequest{User: "the-viewer", Password: testPassword})
		authtest.Must(t, err)
		first[path], sessions[path] = make(chan answer, 1), refreshBody(g.RefreshToken)
	}
	f.waitReady()
	f.want(f.as(store.Viewer, "GET", "/clientes", ""), 200, "") // the token is known from now on
	other, err := postgrestest.Connect(t.Context(), database)
	authtest.Must(t, err)
	defer other.Close(t.Context())
	_, err = other.Exec(t.Context(), `BEGIN; LOCK TABLE clientes IN ACCESS EXCLUSIVE MODE`)
	authtest.Must(t, err)
	held, list := make(chan answer, 1), make(chan answer, 1)
	go func() { held <- f.as(store.Viewer, "GET", "/clientes/1", "") }()
	f.eventually("the connection is held up", func() (is bool) {
		authtest.Must(t, other.QueryRow(t.Context(), `
			SELECT EXISTS (
				SELECT
				FROM pg_locks
				JOIN pg_database ON pg_database.oid = pg_locks.database
				WHERE NOT granted AND datname = current_database()
			)`).Scan(&is))
		return is
	})
	go func() { list <- f.as(store.Viewer, "GET", "/clientes", "") }()
	f.eventually("the list is refused", func() bool {
		f.call("GET", "/readyz", "") // a sign of the server, which is busy and not down
		return len(list) == 1
	})
	a := <-list
	if f.want(a, 503, "overloaded"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	for path, answered := range first {
		go func() { answered <- f.call("POST", path, sessions[path]) }()
	}
	f.eventually("both wait", func() bool { return st.Stats().Pools[0].Waiting >= len(first) })
	_, err = other.Exec(t.Context(), `ROLLBACK`)
	authtest.Must(t, err)
	f.want(soon(t, held), 404, "not_found")
	for _, answered := range first {
		f.want(soon(t, answered), 200, "")
	}
	f.want(f.as(store.Viewer, "GET", "/clientes", ""), 200, "")
}
