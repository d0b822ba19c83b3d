package postgres_test

import (
	"errors"
	"strings"
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
	n := store.Session{
		ID:         id,
		UserID:     u.ID,
		RotatedAt:  now,
		CreatedAt:  now,
		LastUsedAt: now,
		ExpiresAt:  now.Add(time.Hour),
		TokenExp:   now.Add(time.Hour),
	}
	_, err := s.OpenSession(t.Context(),
		store.Login{Session: n, Generation: u.Generation})
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
	ends, err := p.s.SessionEnds(t.Context(), p.watermark, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.watermark = ends.Next
	for _, e := range ends.Since {
		p.seen[e.ID]++
	}
}

// wantOnce polls a few times more, after which each session was seen once.
func (p *poller) wantOnce(t *testing.T, ids ...string) {
	t.Helper()
	for range 3 {
		p.poll(t)
	}
	for _, id := range ids {
		if p.seen[id] != 1 {
			t.Errorf("the end of %s was seen %d times", id, p.seen[id])
		}
	}
	if len(p.seen) != len(ids) {
		t.Errorf("saw %v, not only %q", p.seen, ids)
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

	end("2")
	early.wantOnce(t, "1", "2")
	end("3")
	early.wantOnce(t, "1", "2", "3") // although the update holds its place since before
	// A process that starts now.
	middle := &poller{s: s, seen: map[string]int{}}
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
	early.wantOnce(t, "1", "2", "3", "4", "late")
	middle.wantOnce(t, "4", "late")
}

// Anybody's transaction may last for hours, in any database of the server.
func TestALongTransactionOfOthersRepeatsNoEnd(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, url)
	ana := newUser(t, s, "ana")
	for _, id := range []string{"1", "2", "3"} {
		newSession(t, s, id, ana)
	}
	p := &poller{s: s, seen: map[string]int{}}
	p.poll(t)
	long := beside(t, url)
	if _, err := long.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	begun := ask[int64](t, long, "SELECT pg_current_xact_id()::text::bigint")
	for i, id := range []string{"1", "2", "3"} {
		if _, err := s.EndSession(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		p.wantOnce(t, []string{"1", "2", "3"}[:i+1]...)
	}
	watch := beside(t, url)
	oldest := ask[int64](t, watch, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
	if oldest > begun {
		t.Fatalf("the oldest transaction is %d, begun after %d: the test holds none open", oldest,
			begun)
	}
	if _, err := long.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	p.wantOnce(t, "1", "2", "3")
}

// A standby that takes over may have used fewer transaction ids than the server that was lost, or
// as many for other transactions.
func TestAWatermarkOfAnotherServerIsRefused(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, url)
	ends, err := s.SessionEnds(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	server, snapshot, ok := strings.Cut(string(ends.Next), " ")
	if !ok {
		t.Fatalf("the watermark is %q", ends.Next)
	}
	for what, watermark := range map[string]string{
		"a server that was started before":     "1" + " " + snapshot,
		"a server that has given out more ids": server + " 9000000000:9000000000:",
	} {
		_, err := s.SessionEnds(t.Context(), store.Watermark(watermark), nil)
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.SessionEnds(t.Context(), ends.Next, nil); err != nil {
		t.Error(err)
	}
}

// pg_restore writes ids that this server has not given out yet.
func TestRowsThatWereRestoredFromAnotherServerAreNoNewEnds(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, url)
	ana := newUser(t, s, "ana")
	newSession(t, s, "restored", ana)
	newSession(t, s, "new", ana)
	p := &poller{s: s, seen: map[string]int{}}
	p.poll(t)
	_, err := beside(t, url).Exec(t.Context(), `
		UPDATE sessions
		SET ended_at = now(), ended_order = 9000000000
		WHERE id = 'restored'`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.EndSession(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	p.wantOnce(t, "new")
	ends, err := s.SessionEnds(t.Context(), p.watermark, []string{"restored"})
	if err != nil || !ends.Asked["restored"].Ended {
		t.Errorf("asked about, it is %+v, %v", ends.Asked, err)
	}
}

// The question that is asked a few times a second must not read all sessions.
func TestEndsAreFoundByTheirIndex(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s := open(t, url)
	conn := beside(t, url)
	_, err := conn.Exec(t.Context(), `
		INSERT INTO sessions (id, user_id, counter, parent, rotated_at, created_at, last_used_at,
			expires_at, token_exp, ended_at, ended_order, ip, user_agent)
		SELECT 's' || n, 1, 1, 0, now(), now(), now(), now(), now(), now(), 3, '', ''
		FROM generate_series(1, 20000) AS n;
		ANALYZE sessions`)
	if err != nil {
		t.Fatal(err)
	}
	p := &poller{s: s, seen: map[string]int{}}
	for range 10 { // a prepared statement gets its general plan after five
		ends, err := s.SessionEnds(t.Context(), p.watermark, []string{"s7", "unknown"})
		if err != nil || !ends.Asked["s7"].Ended {
			t.Fatalf("got %v, %v", ends, err)
		}
		p.watermark = ends.Next
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "the store's connections have reported what they read", func() bool {
		return ask[int64](t, conn, `
			SELECT count(*)
			FROM pg_stat_activity
			WHERE datname = current_database()`) == 1
	})
	read := ask[int64](t, conn, `
		SELECT seq_tup_read
		FROM pg_stat_user_tables
		WHERE relname = 'sessions'`)
	if read > 0 {
		t.Errorf("ten questions read %d rows in order", read)
	}
}
