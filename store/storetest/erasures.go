package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

func erasureChecks() []check {
	return []check{
		{"an erasure takes the text out of everything, and leaves who did what and when",
			eraseEverywhere},
		{"a record that was deleted can be erased", eraseDeleted},
		{"a record that is older than the histories can be erased", eraseWithoutHistory},
		{"an erasure is refused by its check, and for an unknown id", eraseRefused},
		{"a second erasure does nothing", eraseTwice},
		{"no version of an erased record can be restored", eraseForGood},
		{"an idempotency key of an erased record brings nobody back", eraseKey},
		{"the feed has an erasure in place of each text that was erased", eraseInFeed},
		{"events are kept with an erasure and found by its id", eraseEvents},
		{"whatever races an erasure, no text is left", eraseRace},
		{"an older state that was restored is erased again", eraseAgain},
		{"a user is erased, and what they did stays", eraseUser},
		{"a user who was deleted before can be erased", eraseDeletedUser},
		{"the last admin cannot be erased, nor a user who never was", eraseUserRefused},
		{"a user in an older state that was restored is erased again", eraseUserAgain},
	}
}

// mark stands in every text that is to be erased.
const mark = "ÉRASEDtext"

// marked returns a record with the mark in every text.
func marked(number int) store.Cliente {
	c := withTexts(fmt.Sprint(mark, number))
	c.Email = fmt.Sprintf("%s%d@example.com", mark, number)
	return c
}

// wantNoMark reports a mark that is left anywhere, in any case of letters.
func wantNoMark(t *testing.T, f *fixture) {
	t.Helper()
	all := strings.ToLower(f.contents(t))
	for _, text := range []string{strings.ToLower(mark), "erasedtext"} {
		if at := strings.Index(all, text); at >= 0 {
			t.Errorf("left is …%s…", all[max(0, at-100):min(len(all), at+100)])
		}
	}
	n, err := f.CountClientes(t.Context(), store.Filter{Text: "erasedtext"})
	if err != nil || n != 0 {
		t.Errorf("a search finds %d, %v", n, err)
	}
}

func (f *fixture) erase(t *testing.T, by, id int64, events ...store.Event) {
	t.Helper()
	must(t, f.EraseCliente(t.Context(), by, id, anyway, events...))
}

func eraseEverywhere(t *testing.T, f *fixture) {
	ana, bia := f.user(t, "ana", store.Admin), f.user(t, "bia", store.Editor)
	first, _, err := f.CreateClienteOnce(t.Context(), bia.ID, marked(1), "key")
	must(t, err)
	f.clock.add(time.Hour)
	second, err := f.UpdateCliente(t.Context(), bia.ID, first.ID,
		func(store.Cliente) (store.Cliente, error) { return marked(2), nil })
	must(t, err)
	other := f.cliente(t, "Other", "")
	f.clock.add(time.Hour)
	var seen store.Cliente
	must(t, f.EraseCliente(t.Context(), ana.ID, first.ID, func(c store.Cliente) error {
		seen = c
		return nil
	}))
	wantSame(t, "what check has seen", seen, second)
	wantNoMark(t, f)
	_, err = f.Cliente(t.Context(), first.ID)
	wantErr(t, err, store.ErrNotFound)
	changes, err := f.ClienteHistory(t.Context(), first.ID, 0, 10)
	if err != nil || len(changes) != 3 {
		t.Fatalf("%s, %v", clip(changes), err)
	}
	for i, want := range []store.Change{
		{Version: 3, Action: store.Erased, UserID: ana.ID, User: "ana", At: f.now(), Erased: true},
		{Version: 2, Action: store.Updated, UserID: bia.ID, User: "bia", At: second.UpdatedAt,
			Erased: true},
		{Version: 1, Action: store.Created, UserID: bia.ID, User: "bia", At: first.CreatedAt,
			Erased: true},
	} {
		if !changes[i].Record.SameText(store.Cliente{}) || changes[i].Record.ID != first.ID {
			t.Errorf("the record of a change is %s", clip(changes[i].Record))
		}
		changes[i].Record = store.Cliente{}
		wantSame(t, "a change", changes[i], want)
	}
	e, err := f.Erasure(t.Context(), first.ID)
	must(t, err)
	wantSame(t, "the erasure", e, store.Erasure{ClienteID: first.ID, Version: 3, At: f.now()})
	_, err = f.Erasure(t.Context(), other.ID)
	wantErr(t, err, store.ErrNotFound)
	kept, err := f.Cliente(t.Context(), other.ID)
	must(t, err)
	wantSame(t, "another record", kept, other)
	if c := f.cliente(t, "Ana", marked(2).Email); c.ID <= other.ID {
		t.Errorf("the id %d was used again", c.ID)
	}
}

func eraseDeleted(t *testing.T, f *fixture) {
	c, err := f.CreateCliente(t.Context(), 0, marked(1))
	must(t, err)
	f.drop(t, c.ID)
	_, err = f.RestoreCliente(t.Context(), 0, c.ID, 1, anyway)
	must(t, err)
	f.clock.add(time.Hour)
	f.drop(t, c.ID)
	deletedAt := f.now()
	f.clock.add(-time.Minute) // set back: no version is older than the one before it
	must(t, f.EraseCliente(t.Context(), 0, c.ID, func(c store.Cliente) error {
		if c != (store.Cliente{}) {
			t.Errorf("check sees %+v", c)
		}
		return nil
	}))
	wantNoMark(t, f)
	changes, err := f.ClienteHistory(t.Context(), c.ID, 0, 10)
	if err != nil || len(changes) != 5 || changes[0].Version != 5 ||
		changes[0].Action != store.Erased || changes[1].Action != store.Deleted ||
		changes[2].Action != store.Restored || !changes[0].At.Equal(deletedAt) {
		t.Errorf("%s, %v", clip(changes), err)
	}
}

func eraseWithoutHistory(t *testing.T, f *fixture) {
	c, err := f.CreateCliente(t.Context(), 0, marked(1))
	must(t, err)
	f.execute(t, `DELETE FROM cliente_history`)
	f.erase(t, 0, c.ID)
	wantNoMark(t, f)
	changes, err := f.ClienteHistory(t.Context(), c.ID, 0, 10)
	if err != nil || len(changes) != 1 || changes[0].Version != 2 ||
		changes[0].Action != store.Erased {
		t.Errorf("%s, %v", clip(changes), err)
	}
}

func eraseRefused(t *testing.T, f *fixture) {
	c := f.cliente(t, "Ana", "")
	gone := f.cliente(t, "Gone", "")
	f.drop(t, gone.ID)
	before := f.contents(t)
	refusal := errors.New("no")
	for _, id := range []int64{c.ID, gone.ID} {
		err := f.EraseCliente(t.Context(), 0, id, func(store.Cliente) error { return refusal },
			store.Event{Kind: store.EventClienteErased})
		if err != refusal { // not errors.Is: the promise is unwrapped
			t.Errorf("got %v", err)
		}
	}
	for _, id := range []int64{gone.ID + 1, 0, -1} {
		err := f.EraseCliente(t.Context(), 0, id, func(store.Cliente) error {
			t.Errorf("check is called for %d", id)
			return nil
		})
		wantErr(t, err, store.ErrNotFound)
	}
	wantSame(t, "what it holds", f.contents(t), before)
}

func eraseTwice(t *testing.T, f *fixture) {
	c, err := f.CreateCliente(t.Context(), 0, marked(1))
	must(t, err)
	f.erase(t, 0, c.ID)
	before := f.contents(t)
	f.clock.add(time.Hour)
	must(t, f.EraseCliente(t.Context(), 0, c.ID, func(store.Cliente) error {
		t.Error("check is called again")
		return nil
	}, store.Event{Kind: store.EventClienteErased}))
	n, err := f.EraseAgain(t.Context(), 10)
	if err != nil || n != 0 {
		t.Errorf("%d were erased again, %v", n, err)
	}
	wantSame(t, "what it holds", f.contents(t), before)
}

func eraseForGood(t *testing.T, f *fixture) {
	c, err := f.CreateCliente(t.Context(), 0, marked(1))
	must(t, err)
	f.drop(t, c.ID)
	f.erase(t, 0, c.ID)
	before := f.contents(t)
	for version := range int64(5) {
		_, err := f.RestoreCliente(t.Context(), 0, c.ID, version, func(store.Cliente) error {
			t.Errorf("check is called for version %d", version)
			return nil
		})
		wantErr(t, err, store.ErrNotFound)
	}
	_, err = f.UpdateCliente(t.Context(), 0, c.ID,
		func(c store.Cliente) (store.Cliente, error) { return c, nil })
	wantErr(t, err, store.ErrNotFound)
	wantErr(t, f.DeleteCliente(t.Context(), 0, c.ID, anyway), store.ErrNotFound)
	wantSame(t, "what it holds", f.contents(t), before)
}

func eraseKey(t *testing.T, f *fixture) {
	c, _, err := f.CreateClienteOnce(t.Context(), 0, marked(1), "key")
	must(t, err)
	kept, _, err := f.CreateClienteOnce(t.Context(), 0, store.Cliente{Name: "Bia"}, "other")
	must(t, err)
	f.erase(t, 0, c.ID)
	for _, again := range []store.Cliente{marked(1), {Name: "Ana"}, {}} {
		_, _, err := f.CreateClienteOnce(t.Context(), 0, again, "key")
		wantErr(t, err, store.ErrKeyReused)
	}
	same, replayed, err := f.CreateClienteOnce(t.Context(), 0, store.Cliente{Name: "Bia"}, "other")
	if err != nil || !replayed || same != kept {
		t.Errorf("another key: %+v, replayed %t, %v", same, replayed, err)
	}
}

func eraseEvents(t *testing.T, f *fixture) {
	ids := make([]int64, 2)
	for i := range ids {
		ids[i] = f.cliente(t, "Ana", "").ID
		f.erase(t, 0, ids[i], store.Event{Kind: store.EventClienteErased, ActorID: 7, Detail: "d"})
	}
	must(t, f.RecordEvents(t.Context(), store.Event{Kind: store.EventLogin}))
	for _, id := range ids {
		events := f.events(t, store.EventFilter{ClienteID: id})
		if len(events) != 1 || events[0].ClienteID != id || events[0].ActorID != 7 ||
			events[0].Detail != "d" || events[0].Kind != store.EventClienteErased {
			t.Errorf("the events of %d are %+v", id, events)
		}
	}
}

// eraseRace has an erasure among everything that writes or repeats a text of the record. Each of
// them either comes before it, or finds nothing.
func eraseRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	for round := range 5 {
		c, _, err := f.CreateClienteOnce(t.Context(), 0, marked(round), fmt.Sprint("key", round))
		must(t, err)
		if round%2 == 1 {
			f.drop(t, c.ID)
		}
		var calls []func()
		for i := range 24 {
			st := stores[i%2]
			calls = append(calls, func() {
				var err error
				switch i % 6 {
				case 0:
					_, err = st.UpdateCliente(t.Context(), 0, c.ID,
						func(store.Cliente) (store.Cliente, error) { return marked(100 + i), nil })
				case 1, 2:
					_, err = st.RestoreCliente(t.Context(), 0, c.ID, 1, anyway)
				case 3:
					err = st.DeleteCliente(t.Context(), 0, c.ID, anyway)
				case 4:
					_, _, err = st.CreateClienteOnce(t.Context(), 0, marked(round),
						fmt.Sprint("key", round))
					if errors.Is(err, store.ErrKeyReused) {
						err = nil // it was erased before
					}
				case 5:
					err = st.EraseCliente(t.Context(), 0, c.ID, anyway)
				}
				var conflict *store.ConflictError
				if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.As(err, &conflict) {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		atOnce(calls...)
		f.erase(t, 0, c.ID)
		wantNoMark(t, f)
		changes, err := f.ClienteHistory(t.Context(), c.ID, 0, 100)
		if err != nil || len(changes) == 0 || changes[0].Action != store.Erased {
			t.Fatalf("%s, %v", clip(changes), err)
		}
		for i, change := range changes {
			if !change.Erased || change.Action == store.Erased && i > 0 ||
				change.Version != int64(len(changes)-i) {
				t.Errorf("a change is %s", clip(change))
			}
		}
	}
}

func eraseAgain(t *testing.T, f *fixture) {
	var ids []int64
	for i := range 5 {
		c, err := f.CreateCliente(t.Context(), 0, marked(i))
		must(t, err)
		if i == 1 {
			f.drop(t, c.ID)
		}
		ids = append(ids, c.ID)
	}
	f.erase(t, 0, ids[4])
	other := f.cliente(t, "Other", "")
	// As if the database had been restored from before the erasures. The last one is unknown to it.
	for _, id := range append(ids[:4:4], other.ID+100) {
		f.execute(t, fmt.Sprintf(
			`INSERT INTO erasures (cliente_id, version, at) SELECT %d, 9, at FROM erasures LIMIT 1`,
			id))
	}
	for _, want := range []int{3, 1, 0} {
		n, err := f.EraseAgain(t.Context(), 3)
		if err != nil || n != want {
			t.Errorf("%d were erased, %v; want %d", n, err, want)
		}
	}
	wantNoMark(t, f)
	for i, id := range ids {
		changes, err := f.ClienteHistory(t.Context(), id, 0, 10)
		if err != nil || changes[0].Action != store.Erased {
			t.Errorf("%s, %v", clip(changes), err)
		}
		e, err := f.Erasure(t.Context(), id)
		if err != nil || e.Version != changes[0].Version {
			t.Errorf("the erasure is %+v, %v", e, err)
		}
		if events := f.events(t, store.EventFilter{ClienteID: id}); i < 4 && len(events) != 1 {
			t.Errorf("the events are %+v", events)
		}
	}
	kept, err := f.Cliente(t.Context(), other.ID)
	must(t, err)
	wantSame(t, "another record", kept, other)
}

// somebody makes a user whose name, email, address and client have the mark wherever a store keeps
// them. They have changed more records than are erased at a time.
func somebody(t *testing.T, f *fixture) (u store.User, c store.Cliente) {
	t.Helper()
	u, err := f.CreateUser(t.Context(), store.User{
		Name: "erasedtext", Email: "erasedtext@example.com", Role: store.Admin,
	})
	must(t, err)
	n := f.newSession("s", u)
	n.IP, n.UserAgent = mark, mark
	_, err = openSession(t.Context(), f, n, u.Generation)
	must(t, err)
	key := f.newKey("a key of 22 characters", u)
	key.Key.Name = mark
	must(t, f.AddKey(t.Context(), key, u.Generation, store.Event{
		Kind: store.EventKeyCreated, ActorID: u.ID + 1, Detail: key.ID + " " + mark,
	}))
	_, err = seeNetwork(t.Context(), f, u, mark)
	must(t, err)
	must(t, f.QueueMails(t.Context(), store.Mail{UserID: u.ID, Kind: store.MailReset, To: mark}))
	for _, e := range []store.Event{
		{UserID: u.ID, ActorID: u.ID, Kind: store.EventKeyCreated, Detail: mark, Key: mark},
		{UserID: u.ID, Kind: store.EventLogin},
		{UserID: u.ID + 1, ActorID: u.ID, Kind: store.EventLogin},
	} {
		e.IP, e.UserAgent = mark, mark
		must(t, f.RecordEvents(t.Context(), e))
	}
	const many = 2100
	_, err = f.ImportClientes(t.Context(), u.ID, func(yield func(store.Cliente, error) bool) {
		for range many {
			if !yield(store.Cliente{Name: "Ana"}, nil) {
				return
			}
		}
	})
	must(t, err)
	c, err = f.CreateCliente(t.Context(), u.ID, store.Cliente{Name: "Bia"})
	must(t, err)
	return u, c
}

// wantNoUser reports what is left of somebody.
func wantNoUser(t *testing.T, f *fixture, u store.User, c store.Cliente) {
	t.Helper()
	wantNoMark(t, f)
	_, err := f.User(t.Context(), u.ID)
	wantErr(t, err, store.ErrNotFound)
	changes, err := f.ClienteHistory(t.Context(), c.ID, 0, 10)
	if err != nil || len(changes) != 1 || changes[0].UserID != u.ID ||
		changes[0].User != store.ErasedUserName(u.ID) || changes[0].Record != c {
		t.Errorf("the history is %s, %v", clip(changes), err)
	}
}

func eraseUser(t *testing.T, f *fixture) {
	admin := f.user(t, "admin", store.Admin)
	f.session(t, "admin's", admin)
	u, c := somebody(t, f)
	must(t, f.RecordEvents(t.Context(), store.Event{
		Kind: store.EventRoleChanged, UserID: u.ID, ActorID: admin.ID, IP: "192.0.2.9",
	}))
	ended, err := f.EraseUser(t.Context(), u.ID,
		store.Event{Kind: store.EventUserErased, ActorID: admin.ID, IP: "192.0.2.9"})
	if err != nil || len(ended) != 3 { // one of them came with the network
		t.Errorf("ended %+v, %v", ended, err)
	}
	wantNoUser(t, f, u, c)
	events := f.events(t, store.EventFilter{UserID: u.ID})
	if len(events) != 5 || events[0].Kind != store.EventUserErased ||
		events[0].IP != "192.0.2.9" || events[1].IP != "192.0.2.9" || events[2].IP != "" {
		t.Errorf("the events are %+v", events)
	}
	n, err := f.Session(t.Context(), "admin's")
	if err != nil || n.IP == "" || !n.EndedAt.IsZero() {
		t.Errorf("another's session is %+v, %v", n, err)
	}
	before := f.contents(t)
	_, err = f.EraseUser(t.Context(), u.ID, store.Event{Kind: store.EventUserErased})
	must(t, err)
	wantSame(t, "what it holds after another erasure", f.contents(t), before)
	f.clock.add(store.NamesSettle)
	for _, want := range []int{1, 0} { // what was under way is looked for once more
		n, err := f.EraseAgain(t.Context(), 10)
		if err != nil || n != want {
			t.Errorf("%d were erased again, %v; want %d", n, err, want)
		}
	}
}

func eraseDeletedUser(t *testing.T, f *fixture) {
	f.user(t, "admin", store.Admin)
	u, c := somebody(t, f)
	_, err := f.DeleteUser(t.Context(), u.ID, store.Event{Kind: store.EventUserDeleted})
	must(t, err)
	_, err = f.EraseUser(t.Context(), u.ID, store.Event{Kind: store.EventUserErased})
	must(t, err)
	wantNoUser(t, f, u, c)
}

func eraseUserRefused(t *testing.T, f *fixture) {
	u := f.user(t, "ana", store.Admin)
	must(t, f.RecordEvents(t.Context(), store.Event{Kind: store.EventLoginFailed, IP: "192.0.2.1"}))
	before := f.contents(t)
	_, err := f.EraseUser(t.Context(), u.ID)
	wantErr(t, err, store.ErrLastAdmin)
	for _, id := range []int64{u.ID + 1, 0, -1} {
		_, err := f.EraseUser(t.Context(), id)
		wantErr(t, err, store.ErrNotFound)
	}
	wantSame(t, "what it holds", f.contents(t), before)
}

func eraseUserAgain(t *testing.T, f *fixture) {
	u, c := somebody(t, f)
	f.execute(t, fmt.Sprintf(`
		INSERT INTO erased_users (user_id, at, checked_at)
		SELECT %d, created_at, created_at FROM users`, u.ID))
	n, err := f.EraseAgain(t.Context(), 10)
	if err != nil || n != 0 {
		t.Errorf("the last admin is erased: %d, %v", n, err)
	}
	f.user(t, "admin", store.Admin)
	for _, want := range []int{1, 0} {
		n, err := f.EraseAgain(t.Context(), 10)
		if err != nil || n != want {
			t.Errorf("%d were erased again, %v; want %d", n, err, want)
		}
	}
	wantNoUser(t, f, u, c)
	f.execute(t, `UPDATE cliente_history SET user_name = 'erasedtext'`)
	endAll(t, f, nil)
	n, err = f.EraseAgain(t.Context(), 10)
	if err != nil || n != 1 {
		t.Errorf("after EndAll %d were erased again, %v", n, err)
	}
	wantNoUser(t, f, u, c)
}

// eraseInFeed looks at what a follower gets who has read a change, but not the next one. Another
// record has taken an email that the next one set free.
func eraseInFeed(t *testing.T, f *fixture) {
	c, err := f.CreateCliente(t.Context(), 0, marked(1))
	must(t, err)
	behind, err := f.FeedEnd(t.Context())
	must(t, err)
	_, err = f.UpdateCliente(t.Context(), 0, c.ID,
		func(store.Cliente) (store.Cliente, error) { return marked(2), nil })
	must(t, err)
	between, err := f.FeedEnd(t.Context())
	must(t, err)
	next, err := f.CreateCliente(t.Context(), 0,
		store.Cliente{Name: "Next", Email: marked(1).Email})
	must(t, err)
	f.erase(t, 0, c.ID)
	for after, want := range map[store.FeedPosition]string{
		{}: fmt.Sprintf("[%d erased 1 %[1]d erased 2 %d created 1 %[1]d erased 3]",
			c.ID, next.ID),
		behind:  fmt.Sprintf("[%d erased 2 %d created 1 %[1]d erased 3]", c.ID, next.ID),
		between: fmt.Sprintf("[%d created 1 %d erased 3]", next.ID, c.ID),
	} {
		page, err := f.Changes(t.Context(), after, 10)
		must(t, err)
		var got []any
		for _, change := range page.Changes {
			got = append(got, change.Record.ID, change.Action, change.Version)
			if change.Record.ID == c.ID && !change.Record.SameText(store.Cliente{}) {
				t.Errorf("a change has the text %s", clip(change.Record))
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("after %+v come %v, want %s", after, got, want)
		}
	}
}
