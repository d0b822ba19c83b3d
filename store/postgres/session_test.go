package postgres_test

import (
	"testing"
	"time"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// newSession creates a session of the user whose tokens live for an hour.
func newSession(t *testing.T, s *postgres.Store, id string, u store.User) {
	t.Helper()
	now := time.Now()
	_, err := s.CreateSession(t.Context(), store.Session{
		ID:         id,
		UserID:     u.ID,
		RotatedAt:  now,
		CreatedAt:  now,
		LastUsedAt: now,
		ExpiresAt:  now.Add(time.Hour),
		TokenExp:   now.Add(time.Hour),
	}, u.Generation)
	if err != nil {
		t.Fatal(err)
	}
}

func newUser(t *testing.T, s *postgres.Store, name string) store.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), store.User{Name: name, Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// poller follows the ends as a process does: from the last watermark on.
type poller struct {
	s         *postgres.Store
	watermark store.Watermark
	seen      map[string]int
}

func (p *poller) poll(t *testing.T) {
	t.Helper()
	ended, watermark, err := p.s.EndedSessions(t.Context(), p.watermark, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.watermark = watermark
	for _, e := range ended {
		p.seen[e.ID]++
	}
}

// Ends are ordered when they are written, but become visible in another order.
func TestAnEndThatCommitsLateIsMissedByNobody(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, url)
	slow, quick := newUser(t, s, "slow"), newUser(t, s, "quick")
	newSession(t, s, "late", slow)
	for _, id := range []string{"1", "2", "3", "4"} {
		newSession(t, s, id, quick)
	}
	early := &poller{s: s, seen: map[string]int{}}
	early.poll(t)
	if len(early.seen) != 0 {
		t.Fatalf("at first %v had ended", early.seen)
	}
	end := func(id string) {
		t.Helper()
		if _, err := s.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	end("1")
	early.poll(t)

	// The update ends the user's sessions and then waits for another transaction, which has taken
	// the email and not committed. Meanwhile it holds its place in the order.
	conn, watch := beside(t, url), beside(t, url)
	_, err := conn.Exec(t.Context(), `
		BEGIN;
		INSERT INTO users (name, name_key, email, email_key, role, disabled, password_hash,
			generation, created_at, updated_at)
		VALUES ('x', 'x', 'x@y', 'x@y', 'viewer', false, '', 0, now(), now())`)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, _, err := s.UpdateUser(t.Context(), slow.ID, func(u store.User) (store.User, error) {
			u.PasswordHash, u.Email = "new", "x@y"
			return u, nil
		})
		done <- err
	}()
	until(t, "the update waits", func() bool { return waiting(t, watch) == 1 })

	for _, id := range []string{"2", "3"} {
		end(id)
		early.poll(t)
		if early.seen[id] == 0 {
			t.Errorf("the end of %s was not seen at once", id)
		}
	}
	middle := &poller{s: s, seen: map[string]int{}} // a process that starts now
	middle.poll(t)
	if early.seen["late"] != 0 || middle.seen["late"] != 0 {
		t.Fatal("an end was seen before it was committed: the test holds nothing open")
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	late := ask[int64](t, watch, "SELECT ended_order FROM sessions WHERE id = 'late'")
	others := ask[int64](t, watch, "SELECT min(ended_order) FROM sessions WHERE id IN ('2', '3')")
	if late >= others {
		t.Fatalf("the late end has position %d behind %d: the test proves nothing", late, others)
	}
	end("4")
	for name, p := range map[string]*poller{
		"one that polled before":   early,
		"one that began meanwhile": middle,
	} {
		p.poll(t)
		if p.seen["late"] == 0 || p.seen["4"] == 0 {
			t.Errorf("%s saw only %v", name, p.seen)
		}
	}

	// Transactions of others on the server hold the watermark back too. It moves on when they have
	// ended.
	until(t, "nothing comes again", func() bool {
		before := early.seen["late"]
		early.poll(t)
		return early.seen["late"] == before
	})
}

// A standby that takes over may have used fewer transaction ids than the server that was lost.
func TestAWatermarkOfAServerThatWasLostStartsAgain(t *testing.T) {
	t.Parallel()
	s := open(t, postgrestest.Migrated(t, postgres.Migrate))
	ana := newUser(t, s, "ana")
	newSession(t, s, "s", ana)
	if _, err := s.EndSession(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	p := &poller{s: s, seen: map[string]int{}, watermark: 1 << 60}
	p.poll(t)
	if p.seen["s"] != 1 || p.watermark >= 1<<60 {
		t.Errorf("saw %v, and the watermark is %d", p.seen, p.watermark)
	}
}
