package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"clientes/store"
)

func historyChecks() []check {
	return []check{
		{"every change is kept with who, what and when, the newest first, also after a delete",
			historyOfALife},
		{"a change that does not happen leaves no trace", historyOfNothing},
		{"a name in the history is the one that the user had then", historyNames},
		{"an id that no cliente has or had is ErrNotFound", historyUnknown},
		{"a hundred updaters at once leave a hundred changes in order", historyUpdaters},
	}
}

func historyOfALife(t *testing.T, f *fixture) {
	ana, bob := f.user(t, "ana", store.Editor), f.user(t, "Bob", store.Admin)
	full := store.Cliente{
		Name: "n", Email: "E@example.com", Phone: "p", Company: "c", Address: "a", Notes: "1\n2",
	}
	c, err := f.CreateCliente(t.Context(), ana.ID, full)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Change{{
		Version: 1, Action: store.Created, UserID: ana.ID, User: "ana", At: f.now(), Record: c,
	}}
	f.clock.add(time.Hour)
	c, err = f.UpdateCliente(t.Context(), bob.ID, c.ID,
		func(c store.Cliente) (store.Cliente, error) {
			return store.Cliente{Name: "m"}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, store.Change{
		Version: 2, Action: store.Updated, UserID: bob.ID, User: "Bob", At: f.now(), Record: c,
	})
	f.clock.add(time.Hour)
	f.drop(t, c.ID)
	want = append(want, store.Change{Version: 3, Action: store.Deleted, At: f.now(), Record: c})
	slices.Reverse(want)
	for _, page := range []struct {
		below       int64
		limit       int
		first, last int
	}{
		{0, 100, 0, 3}, {0, 3, 0, 3}, {0, 2, 0, 2}, {2, 2, 2, 3}, {3, 1, 1, 2}, {1, 5, 3, 3},
		{-1, 5, 3, 3}, {0, 0, 0, 0}, {0, -1, 0, 0},
	} {
		got, err := f.ClienteHistory(t.Context(), c.ID, page.below, page.limit)
		if err != nil || got == nil || !slices.Equal(got, want[page.first:page.last]) {
			t.Errorf("%d below %d: %v\n got %s\nwant %s", page.limit, page.below, err, clip(got),
				clip(want[page.first:page.last]))
		}
	}
}

func historyOfNothing(t *testing.T, f *fixture) {
	f.cliente(t, "Bia", "bia@example.com")
	c := f.cliente(t, "Ana", "ana@example.com")
	refusal := errors.New("refused")
	_, err := f.UpdateCliente(t.Context(), 0, c.ID,
		func(c store.Cliente) (store.Cliente, error) { return c, nil })
	wantErr(t, err, nil)
	_, err = f.UpdateCliente(t.Context(), 0, c.ID,
		func(c store.Cliente) (store.Cliente, error) { c.Name = "x"; return c, refusal })
	wantErr(t, err, refusal)
	_, err = f.UpdateCliente(t.Context(), 0, c.ID,
		func(c store.Cliente) (store.Cliente, error) { c.Email = "BIA@example.com"; return c, nil })
	wantConflict(t, err, "email")
	wantErr(t, f.DeleteCliente(t.Context(), 0, c.ID, func(store.Cliente) error { return refusal }),
		refusal)
	_, err = f.CreateCliente(t.Context(), 0, store.Cliente{Name: "x", Email: "ana@example.com"})
	wantConflict(t, err, "email")
	if got, err := f.ClienteHistory(t.Context(), c.ID, 0, 10); err != nil || len(got) != 1 {
		t.Errorf("got %s, %v", clip(got), err)
	}
	if got, err := f.Cliente(t.Context(), c.ID); err != nil || got.Version != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func historyNames(t *testing.T, f *fixture) {
	f.user(t, "root", store.Admin)
	ana := f.user(t, "ana", store.Editor)
	c, err := f.CreateCliente(t.Context(), ana.ID, store.Cliente{Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteUser(t.Context(), ana.ID); err != nil {
		t.Fatal(err)
	}
	_, err = f.UpdateCliente(t.Context(), ana.ID, c.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Name = "m" // by a token that has not ended everywhere yet
			return c, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.ClienteHistory(t.Context(), c.ID, 0, 10)
	if err != nil || len(got) != 2 || got[1].User != "ana" || got[1].UserID != ana.ID ||
		got[0].User != "" || got[0].UserID != ana.ID {
		t.Errorf("got %s, %v", clip(got), err)
	}
}

func historyUnknown(t *testing.T, f *fixture) {
	c := f.cliente(t, "Ana", "")
	for _, id := range []int64{c.ID + 1, 0, -1} {
		_, err := f.ClienteHistory(t.Context(), id, 0, 10)
		wantErr(t, err, store.ErrNotFound)
	}
}

func historyUpdaters(t *testing.T, f *fixture) {
	const updaters = 100
	stores := []store.Store{f, f.another(t)}
	c := f.cliente(t, "Ana", "")
	var updates []func()
	for i := range updaters {
		updates = append(updates, func() {
			_, err := stores[i%2].UpdateCliente(t.Context(), 0, c.ID,
				func(c store.Cliente) (store.Cliente, error) {
					c.Notes += "x"
					return c, nil
				})
			if err != nil {
				t.Error(err)
			}
		})
	}
	atOnce(updates...)
	got, err := f.ClienteHistory(t.Context(), c.ID, 0, 1000)
	if err != nil || len(got) != 1+updaters {
		t.Fatalf("%d changes, %v", len(got), err)
	}
	for i, change := range got {
		version := int64(len(got) - i)
		if change.Version != version || change.Record.Version != version ||
			len(change.Record.Notes) != int(version)-1 {
			t.Errorf("at %d is %s", version, clip(change))
		}
	}
}
