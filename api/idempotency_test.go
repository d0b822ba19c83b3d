package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// wantReplay fails the test unless an answer repeats the first one.
func wantReplay(t *testing.T, first, again answer) {
	t.Helper()
	if again.status != 201 || again.body != first.body ||
		again.header.Get("Idempotency-Replayed") != "true" ||
		again.header.Get("Location") != first.header.Get("Location") ||
		again.header.Get("ETag") != first.header.Get("ETag") {
		t.Errorf("answered %d %v %s, the first time %v %s", again.status, again.header, again.body,
			first.header, first.body)
	}
}

func TestIdempotencyKey(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		create := func(role store.Role, key, body string) answer {
			return f.as(role, "POST", "/clientes", body, "Idempotency-Key", key)
		}
		const ana = `{"name":"Ana","email":"ana@example.com","notes":"a\nb"}`
		first := create(store.Editor, "k",
			`{"name":"Ana","email":"ana@example.com","notes":"a\r\nb"}`)
		if f.want(first, 201, ""); first.header.Get("Idempotency-Replayed") != "" ||
			first.header.Get("Location") != "/clientes/1" || first.header.Get("ETag") != `"1"` {
			t.Errorf("the first answered %v", first.header)
		}
		// The same customer, written differently.
		for _, body := range []string{
			`{"name":"Ana","email":"ana@example.com","notes":"a\r\nb"}`,
			`{ "notes":"a\nb", "email":"ana@example.com", "name":" Ana ", "phone":"", "company":null, "id":7 }`,
		} {
			wantReplay(t, first, create(store.Editor, "k", body))
		}
		// The answer is the first one, no matter what became of the customer.
		f.want(f.as(store.Editor, "PATCH", "/clientes/1",
			`{"name":"Bia","email":"bia@example.com"}`),
			200, "")
		wantReplay(t, first, create(store.Editor, "k", ana))
		f.want(f.as(store.Editor, "DELETE", "/clientes/1", ""), 204, "")
		wantReplay(t, first, create(store.Editor, "k", ana))

		for _, body := range []string{
			`{"name":"ana","email":"ana@example.com","notes":"a\nb"}`,
			`{"name":"Ana","email":"ana@example.com"}`, `{"name":"Bia"}`,
		} {
			f.want(create(store.Editor, "k", body), 422, "idempotency_mismatch")
		}
		// The body and the role are checked before the key.
		f.want(create(store.Editor, "k", `{"name":""}`), 422, "validation_failed")
		f.want(create(store.Editor, "k", `{`), 400, "malformed_body")
		f.want(create(store.Viewer, "k", `{"name":"Ana"}`), 403, "forbidden")

		// A key belongs to its user and is compared exactly. Without a key each request creates a
		// record.
		for _, c := range []struct {
			role store.Role
			key  string
		}{
			{store.Admin, "k"}, {store.Editor, "K"}, {store.Editor, "k k"}, {store.Editor, ""},
			{store.Editor, ""},
		} {
			a := create(c.role, c.key, `{"name":"Ana"}`)
			if f.want(a, 201, ""); a.header.Get("Idempotency-Replayed") != "" {
				t.Errorf("the key %q of the %s is a replay", c.key, c.role)
			}
		}
		if all := f.all(); len(all) != 5 {
			t.Errorf("there are %d records", len(all))
		}
	})
}

func TestAFailedCreateLeavesItsKeyFree(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.add(store.Cliente{Name: "Bia", Email: "taken@example.com"})
		create := func(body string) answer {
			return f.as(store.Editor, "POST", "/clientes", body, "Idempotency-Key", "k")
		}
		f.want(create(`{"name":"Ana","email":"Taken@example.com"}`), 409, "conflict")
		// A failed request is not replayed.
		f.want(create(`{"name":"Ana","email":"Taken@example.com"}`), 409, "conflict")
		f.want(create(`{"email":"x"}`), 422, "validation_failed")
		first := create(`{"name":"Ana","email":"free@example.com"}`)
		if f.want(first, 201, ""); first.header.Get("Idempotency-Replayed") != "" {
			t.Error("a first create is a replay")
		}
		wantReplay(t, first, create(`{"name":"Ana","email":"free@example.com"}`))
		f.want(create(`{"name":"Ana","email":"Taken@example.com"}`), 422, "idempotency_mismatch")
	})
}

func TestFiftyCreatesWithOneKey(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		answers := make([]answer, 50)
		authtest.AtOnce(len(answers), func(i int) {
			answers[i], _ = f.try("POST", "/clientes", `{"name":"Ana","email":"ana@example.com"}`,
				"Idempotency-Key", "k", "x-access-token", f.tokens[store.Editor])
		})
		var first answer
		made := 0
		for _, a := range answers {
			if a.header.Get("Idempotency-Replayed") == "" {
				first, made = a, made+1
			}
		}
		f.want(first, 201, "")
		for _, a := range answers {
			if a.header.Get("Idempotency-Replayed") != "" {
				wantReplay(t, first, a)
			}
		}
		if all := f.all(); made != 1 || len(all) != 1 || clienteJSON(all[0]) != first.body {
			t.Errorf("%d were made, and there are %+v", made, all)
		}
		if h := f.history("/clientes/1/history"); len(h) != 1 {
			t.Errorf("the history has %d changes", len(h))
		}
	})
}

func TestIdempotencyKeysOnTheWire(t *testing.T) {
	f := onSQLite(t)
	// The client of net/http would refuse some of these keys, and drop others.
	send := func(keys ...string) answer {
		t.Helper()
		headers := []string{"Content-Type: application/json", "Content-Length: 14"}
		for _, k := range keys {
			headers = append(headers, "idempotency-KEY:"+k)
		}
		w := f.dial()
		w.begin(store.Editor, "POST", "/clientes", headers, `{"name":"Ana"}`)
		return w.answer()
	}
	longest := strings.Repeat("k", store.MaxIdempotencyKey)
	for _, key := range []string{
		"k", "~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}", "a b", longest,
		"7c1b0f0e-6b0a-4f0e-9d52-0e5d5f1f2b11",
	} {
		f.want(send(" "+key+" "), 201, "") // the white space around is not of the value
		if a := send(key); a.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%q is no replay: %d %s", key, a.status, a.body)
		}
	}
	before := len(f.all())
	for _, keys := range [][]string{
		{""}, {"  "}, {longest + "k"}, {"é"}, {"a\tb"}, {"\xff"}, {"a\u00a0b"}, {"k", "k"},
		{"k", "l"}, {"", "k"},
	} {
		a := send(keys...)
		if f.want(a, 400, "invalid_parameter"); !strings.Contains(a.body, "Idempotency-Key") {
			t.Errorf("%q: the message does not name the header: %s", keys, a.body)
		}
	}
	if after := len(f.all()); after != before {
		t.Errorf("malformed keys made %d records", after-before)
	}
	// Only a create has a key.
	f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"name":"Bia"}`,
		"Idempotency-Key", longest+"k"),
		200, "")
}

func TestAKeyIsRemovedAfterADay(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		create := func(body string) answer {
			return f.as(store.Editor, "POST", "/clientes", body, "Idempotency-Key", "k")
		}
		first := create(`{"name":"Ana"}`)
		c.Advance(store.IdempotencyTTL - time.Millisecond)
		wantReplay(t, first, create(`{"name":"Ana"}`))
		f.want(create(`{"name":"Bia"}`), 422, "idempotency_mismatch")
		c.Advance(2 * time.Millisecond)
		wantReplay(t, first, create(`{"name":"Ana"}`)) // whatever the clock shows
		f.server.removeOldKeys(t.Context())
		second := create(`{"name":"Bia"}`)
		if f.want(second, 201, ""); second.header.Get("Idempotency-Replayed") != "" ||
			second.header.Get("Location") != "/clientes/2" {
			t.Errorf("after a day it answered %v", second.header)
		}
		wantReplay(t, second, create(`{"name":"Bia"}`)) // and the day begins again
	})
}

// While a transaction of another process holds a key, a request with it is refused after five
// seconds.
func TestAKeyAtWork(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	st, err := postgres.Open(t.Context(), url, store.Options{})
	authtest.Must(t, err)
	f := newFixture(t, st)
	other, err := postgrestest.Connect(t.Context(), url)
	authtest.Must(t, err)
	defer other.Close(context.WithoutCancel(t.Context()))
	tx, err := other.Begin(t.Context())
	authtest.Must(t, err)
	for _, key := range []string{"held", "given up"} {
		_, err = tx.Exec(t.Context(), `
			INSERT INTO idempotency_keys (user_id, key, fingerprint, cliente_id, used_at)
			VALUES ($1, $2, '', 0, now())`, f.users[store.Editor].ID, key)
		authtest.Must(t, err)
	}
	create := func(key string) answer {
		return f.as(store.Editor, "POST", "/clientes", `{"name":"Ana"}`, "Idempotency-Key", key)
	}
	f.want(create("free"), 201, "")
	// Another user's key of the same name is another key.
	f.want(f.as(store.Admin, "POST", "/clientes", `{"name":"Ana"}`, "Idempotency-Key", "held"),
		201, "")
	f.want(create("held"), 409, "idempotency_in_progress")

	// A request that waits gets its turn when the other one ends.
	waiting := make(chan answer)
	go func() { waiting <- create("given up") }()
	f.eventually("somebody waits for the key", func() bool {
		var waits bool
		row := tx.QueryRow(t.Context(), `
			SELECT EXISTS (
				SELECT FROM pg_locks
				WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))`)
		authtest.Must(t, row.Scan(&waits))
		return waits
	})
	authtest.Must(t, tx.Rollback(t.Context()))
	a := soon(t, waiting)
	if f.want(a, 201, ""); a.header.Get("Idempotency-Replayed") != "" {
		t.Error("what somebody else gave up is replayed")
	}
	f.want(create("held"), 201, "")
	if n := len(f.all()); n != 4 {
		t.Errorf("there are %d records", n)
	}
}

// cleanedStore reports what each removal of keys returned.
type cleanedStore struct {
	store.Store
	removed chan int
	fail    error // of the first one
}

func (s *cleanedStore) DeleteIdempotencyKeys(
	ctx context.Context, before time.Time, limit int,
) (int, error) {
	if err := s.fail; err != nil {
		s.fail = nil
		s.removed <- -1
		return 0, err
	}
	n, err := s.Store.DeleteIdempotencyKeys(ctx, before, limit)
	s.removed <- n
	return n, err
}

func TestOldKeysAreRemoved(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		keep := func(by int64, n int) {
			for i := range n {
				in := store.Cliente{Name: "Ana"}
				_, _, err := f.store.CreateClienteOnce(t.Context(), by, in, fmt.Sprint(i))
				authtest.Must(t, err)
			}
		}
		keep(1, cleanBatch+3)
		c.Advance(store.IdempotencyTTL + time.Millisecond)
		keep(2, 2) // young ones
		c.Advance(time.Hour)
		cleaned := &cleanedStore{Store: f.store, removed: make(chan int)}
		f.server.cfg.Store = cleaned
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.server.removeOldKeys(ctx) })
		for _, want := range []int{cleanBatch, 3} {
			if got := soon(t, cleaned.removed); got != want {
				t.Errorf("removed %d, want %d", got, want)
			}
		}
		stop()
		running.Wait() // it ends
	})
}

func TestKeysThatCannotBeRemovedAreLogged(t *testing.T) {
	f := onSQLite(t)
	fire := errors.New("the disk is on fire")
	broken := &cleanedStore{Store: f.store, removed: make(chan int), fail: fire}
	f.server.cfg.Store = broken
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.server.removeOldKeys(ctx) })
	soon(t, broken.removed)
	f.eventually("it is logged", func() bool {
		return strings.Contains(f.log.String(), fire.Error())
	})
	stop()
	running.Wait()
}
