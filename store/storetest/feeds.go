package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/store"
)

func feedChecks() []check {
	return []check{
		{"every change of every record comes once, in order", feedOfAll},
		{"a position is good for ever, whatever the limits before it", feedPositions},
		{"the end of the feed is after every change that is kept", feedEnd},
		{"records that are older than the order come first, as created", feedOlder},
		{"a position of another database is ErrUnknownPosition", feedUnknown},
		{"a change that an older program writes has its place in the order", feedOfOlderProgram},
		{"who follows many writers has the same records, and each change rests on earlier ones",
			feedOfMany},
	}
}

// readFeed returns the changes after a position, read with pages of the limit.
func readFeed(t *testing.T, st store.Feed, after store.FeedPosition,
	limit int) ([]store.FeedChange, store.FeedPosition) {
	t.Helper()
	var all []store.FeedChange
	for {
		p, err := st.Changes(t.Context(), after, limit)
		must(t, err)
		if p.Changes == nil || len(p.Changes) > limit {
			t.Fatalf("%d changes of %d: %v", len(p.Changes), limit, p.Changes)
		}
		all = append(all, p.Changes...)
		after = p.Next
		if !p.More {
			return all, after
		}
	}
}

// outline is what is compared of changes: "1.2 updated Ana".
func outline(changes []store.FeedChange) string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%d.%d %s %s", c.Record.ID, c.Version, c.Action,
			c.Record.Name))
	}
	return strings.Join(lines, ", ")
}

// someLives makes changes of every kind and returns their outline.
func (f *fixture) someLives(t *testing.T) string {
	t.Helper()
	ana := f.cliente(t, "Ana", "ana@example.com")
	bia := f.cliente(t, "Bia", "")
	rename := func(id int64, name string) {
		t.Helper()
		_, err := f.UpdateCliente(t.Context(), 0, id,
			func(c store.Cliente) (store.Cliente, error) {
				c.Name = name
				return c, nil
			})
		must(t, err)
	}
	rename(ana.ID, "Eva")
	f.drop(t, bia.ID)
	_, err := f.RestoreCliente(t.Context(), 0, bia.ID, 1, anyway)
	must(t, err)
	_, err = f.ImportClientes(t.Context(), 0, rowsOf(store.Cliente{Name: "Cid"},
		store.Cliente{Name: "Dora"}))
	must(t, err)
	rename(ana.ID, "Ana")
	return "1.1 created Ana, 2.1 created Bia, 1.2 updated Eva, 2.2 deleted Bia, 2.3 restored Bia, " +
		"3.1 created Cid, 4.1 created Dora, 1.3 updated Ana"
}

func feedOfAll(t *testing.T, f *fixture) {
	p, err := f.Changes(t.Context(), store.FeedPosition{}, 10)
	if err != nil || p.Changes == nil || len(p.Changes) > 0 || p.More {
		t.Errorf("the feed of nothing is %+v, %v", p, err)
	}
	empty := p.Next
	u := f.user(t, "ana", store.Editor)
	c, err := f.CreateCliente(t.Context(), u.ID, everyText())
	must(t, err)
	p, err = f.Changes(t.Context(), empty, 10)
	must(t, err)
	if len(p.Changes) != 1 {
		t.Fatalf("%d changes", len(p.Changes))
	}
	wantSame(t, "the change", p.Changes[0].Change, store.Change{
		Version: 1, Action: store.Created, UserID: u.ID, User: "ana", At: c.CreatedAt, Record: c,
	})
	f.drop(t, c.ID)
	p, err = f.Changes(t.Context(), p.Next, 10)
	must(t, err)
	if got := outline(p.Changes); got != "1.2 deleted Ána's name" {
		t.Errorf("got %s", got)
	}
}

func feedPositions(t *testing.T, f *fixture) {
	want := f.someLives(t)
	all, end := readFeed(t, f, store.FeedPosition{}, 100)
	wantSame(t, "the feed", outline(all), want)
	for limit := range 9 {
		if limit > 0 {
			got, _ := readFeed(t, f.another(t), store.FeedPosition{}, limit)
			wantSame(t, fmt.Sprint("with pages of ", limit), outline(got), want)
		}
	}
	for i, c := range all {
		got, last := readFeed(t, f, c.Position, 3)
		wantSame(t, fmt.Sprint("after ", outline(all[i:i+1])), outline(got), outline(all[i+1:]))
		wantSame(t, "the end", last, end)
	}
	for _, limit := range []int{0, -1} {
		p, err := f.Changes(t.Context(), store.FeedPosition{}, limit)
		if err != nil || len(p.Changes) > 0 || !p.More {
			t.Errorf("a page of %d: %+v, %v", limit, p, err)
		}
		got, _ := readFeed(t, f, p.Next, 100)
		wantSame(t, "after it", outline(got), want)
	}
}

func feedEnd(t *testing.T, f *fixture) {
	end := func() store.FeedPosition {
		t.Helper()
		end, err := f.FeedEnd(t.Context())
		must(t, err)
		return end
	}
	first := end()
	want := f.someLives(t)
	got, last := readFeed(t, f, first, 100)
	wantSame(t, "after the first end", outline(got), want)
	wantSame(t, "the end", end(), last)
	f.cliente(t, "Next", "")
	got, _ = readFeed(t, f, last, 100)
	wantSame(t, "after the end", outline(got), "5.1 created Next")
}

func feedOlder(t *testing.T, f *fixture) {
	f.someLives(t)
	gone := f.cliente(t, "Gone", "")
	f.drop(t, gone.ID)
	f.execute(t, `
		UPDATE cliente_history SET seq = 0;
		UPDATE identity SET last_unordered = 5`)
	unrecorded := f.cliente(t, "Unrecorded", "")
	f.execute(t, fmt.Sprintf(`DELETE FROM cliente_history WHERE cliente_id = %d`, unrecorded.ID))
	f.cliente(t, "New", "")
	f.drop(t, 4)
	for _, limit := range []int{1, 2, 3, 5, 100} {
		all, _ := readFeed(t, f, store.FeedPosition{}, limit)
		wantSame(t, fmt.Sprint("with pages of ", limit), outline(all),
			"1.3 created Ana, 2.3 created Bia, 3.1 created Cid, 4.1 created Dora, "+
				"6.1 created Unrecorded, 7.1 created New, 4.2 deleted Dora")
		for i, c := range all {
			got, _ := readFeed(t, f, c.Position, limit)
			wantSame(t, "after "+outline(all[i:i+1]), outline(got), outline(all[i+1:]))
		}
	}
}

func feedUnknown(t *testing.T, f *fixture) {
	begin, err := f.FeedEnd(t.Context())
	must(t, err)
	_, err = f.Changes(t.Context(), begin, 10)
	must(t, err)
	foreign := begin.At.Add(time.Millisecond)
	for _, p := range []store.FeedPosition{
		{Part: store.FeedOlder, ID: 1, At: foreign},
		{Part: store.FeedUnrecorded, ID: 1, At: foreign},
		{Part: store.FeedOrder, At: foreign}, {Part: store.FeedOrder},
	} {
		_, err := f.Changes(t.Context(), p, 10)
		wantErr(t, err, store.ErrUnknownPosition)
	}

	f.someLives(t)
	_, last := readFeed(t, f, store.FeedPosition{}, 100)
	later, another := last, last
	later.Seq += 1000
	another.At = another.At.Add(time.Millisecond)
	for _, p := range []store.FeedPosition{later, another} {
		_, err := f.Changes(t.Context(), p, 10)
		wantErr(t, err, store.ErrUnknownPosition)
	}
}

func feedOfOlderProgram(t *testing.T, f *fixture) {
	c := f.cliente(t, "Ana", "")
	_, before := readFeed(t, f, store.FeedPosition{}, 100)
	f.execute(t, `
		INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
			name, email, phone, company, address, notes, created_at, updated_at)
		SELECT cliente_id, 2, 'updated', user_id, user_name, at,
			'Eva', email, phone, company, address, notes, created_at, updated_at
		FROM cliente_history
		WHERE cliente_id = `+fmt.Sprint(c.ID))
	f.cliente(t, "Bia", "")
	got, _ := readFeed(t, f, before, 1)
	wantSame(t, "the changes", outline(got), "1.2 updated Eva, 2.1 created Bia")
}

// Follower keeps a copy of the records, made of the changes in a feed.
type Follower struct {
	Position store.FeedPosition

	// Restored lets versions jump, as they do where a restore of the database came in between.
	Restored bool

	records  map[int64]store.Cliente
	versions map[int64]int64
	emails   map[string]int64
	changes  int
}

// NewFollower returns a Follower at the beginning of the feed.
func NewFollower() *Follower {
	return &Follower{
		records: map[int64]store.Cliente{}, versions: map[int64]int64{},
		emails: map[string]int64{},
	}
}

// apply applies a change. It returns an error if the change comes before one that it rests on.
func (f *Follower) apply(c store.FeedChange) error {
	id, was := c.Record.ID, f.versions[c.Record.ID]
	if c.Version != was+1 && (!f.Restored || c.Version <= was) {
		return fmt.Errorf("version %d of cliente %d comes after %d", c.Version, id, was)
	}
	f.versions[id] = c.Version
	if old := f.records[id]; old.Email != "" {
		delete(f.emails, store.EmailKey(old.Email))
	}
	delete(f.records, id)
	if c.Action == store.Deleted || c.Action == store.Erased {
		return nil
	}
	if email := store.EmailKey(c.Record.Email); email != "" {
		if owner := f.emails[email]; owner != 0 {
			return fmt.Errorf("version %d of cliente %d has the email of %d", c.Version, id, owner)
		}
		f.emails[email] = id
	}
	f.records[id] = c.Record
	return nil
}

// Follow applies one page of changes. It reports whether there are more already.
func (f *Follower) Follow(ctx context.Context, feed store.Feed, limit int) (more bool, err error) {
	p, err := feed.Changes(ctx, f.Position, limit)
	if err != nil {
		return false, err
	}
	for _, c := range p.Changes {
		if err := f.apply(c); err != nil {
			return false, err
		}
	}
	f.Position = p.Next
	f.changes += len(p.Changes)
	return p.More, nil
}

// FollowToEnd applies all changes that there are, and compares the copy with the records.
func (f *Follower) FollowToEnd(t *testing.T, st store.Store) {
	t.Helper()
	for more := true; more; {
		var err error
		more, err = f.Follow(t.Context(), st, 100)
		must(t, err)
	}
	f.compare(t, st)
}

func (f *Follower) compare(t *testing.T, st store.Store) {
	t.Helper()
	var want []store.Cliente
	must(t, st.EachCliente(t.Context(), store.Selection{Sort: store.ByID},
		func(c store.Cliente) error {
			want = append(want, c)
			return nil
		}))
	got := slices.SortedFunc(maps.Values(f.records), func(a, b store.Cliente) int {
		return cmp.Compare(a.ID, b.ID)
	})
	if !slices.Equal(got, want) {
		t.Errorf("the copy has %d records after %d changes, not %d\n got %s\nwant %s",
			len(got), f.changes, len(want), clip(got), clip(want))
	}
}

// randomWrite makes one change, or none if it would conflict. Few records share fewer emails, so
// writers wait for each other.
func randomWrite(ctx context.Context, st store.Store) error {
	id := 1 + rand.Int64N(12)
	email := ""
	if n := rand.IntN(7); n > 0 {
		email = fmt.Sprintf("%c@example.com", 'a'+n)
	}
	var err error
	switch rand.IntN(11) {
	case 10:
		err = st.EraseCliente(ctx, 0, id, anyway)
	case 0, 1, 2:
		_, err = st.CreateCliente(ctx, 0, store.Cliente{Name: "n", Email: email})
	case 3:
		_, err = st.ImportClientes(ctx, 0, rowsOf(store.Cliente{Name: "i", Email: email},
			store.Cliente{Name: "j"}))
	case 4, 5:
		err = st.DeleteCliente(ctx, 0, id, anyway)
	case 6:
		_, err = st.RestoreCliente(ctx, 0, id, 1+rand.Int64N(3), anyway)
	default:
		_, err = st.UpdateCliente(ctx, 0, id, func(c store.Cliente) (store.Cliente, error) {
			c.Email, c.Notes = email, fmt.Sprint(rand.Int64())
			return c, nil
		})
	}
	var conflict *store.ConflictError
	var rows *store.RowsError
	if errors.Is(err, store.ErrNotFound) || errors.As(err, &conflict) || errors.As(err, &rows) {
		return nil
	}
	return err
}

func feedOfMany(t *testing.T, f *fixture) {
	writes := Rounds(t, 250)
	stores := []store.Store{f, f.another(t)}
	var writing, following sync.WaitGroup
	var done atomic.Bool
	for i := range 6 {
		writing.Go(func() {
			for range writes {
				if err := randomWrite(t.Context(), stores[i%2]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	followers := []*Follower{NewFollower(), NewFollower(), NewFollower()}
	for _, w := range followers {
		following.Go(func() {
			for last := false; ; {
				more, err := w.Follow(t.Context(), stores[rand.IntN(2)], 1+rand.IntN(40))
				switch {
				case err != nil:
					t.Error(err)
					return
				case last && !more:
					return
				}
				last = done.Load()
			}
		})
	}
	writing.Wait()
	done.Store(true)
	following.Wait()
	late := NewFollower()
	late.FollowToEnd(t, f)
	for _, w := range followers {
		w.compare(t, f)
		wantSame(t, "changes", w.changes, late.changes)
	}
}
