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
		{"an earlier version is restored as a new one", restoreVersion},
		{"a cliente that was deleted is restored under its id", restoreDeleted},
		{"a restore that cannot be changes nothing", restoreRefused},
		{"of many who restore a deleted cliente one brings it back", restoreRace},
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

func anyway(store.Cliente) error { return nil }

func restoreVersion(t *testing.T, f *fixture) {
	ana := f.user(t, "ana", store.Editor)
	first, err := f.CreateCliente(t.Context(), 0, store.Cliente{
		Name: "Éva", Email: "E@example.com", Phone: "p", Company: "c", Address: "a", Notes: "1\n2",
	})
	must(t, err)
	f.clock.add(time.Hour)
	second, err := f.UpdateCliente(t.Context(), 0, first.ID,
		func(store.Cliente) (store.Cliente, error) { return store.Cliente{Name: "m"}, nil })
	must(t, err)
	f.clock.add(time.Hour)
	var seen store.Cliente
	got, err := f.RestoreCliente(t.Context(), ana.ID, first.ID, 1, func(c store.Cliente) error {
		seen = c
		return nil
	})
	must(t, err)
	want := first
	want.Version, want.UpdatedAt = 3, f.now()
	wantSame(t, "restored", got, want)
	wantSame(t, "what check has seen", seen, second)
	kept, err := f.Cliente(t.Context(), first.ID)
	must(t, err)
	wantSame(t, "kept", kept, want)
	for _, text := range []string{"eva", "E@example.com"} {
		n, err := f.CountClientes(t.Context(), store.Filter{Text: text})
		if err != nil || n != 1 {
			t.Errorf("%d are found by %q, %v", n, text, err)
		}
	}
	// The version that it has, or its text, is nothing new.
	for _, version := range []int64{3, 1} {
		again, err := f.RestoreCliente(t.Context(), ana.ID, first.ID, version, anyway)
		must(t, err)
		wantSame(t, "restored again", again, want)
	}
	changes, err := f.ClienteHistory(t.Context(), first.ID, 0, 10)
	if err != nil || len(changes) != 3 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	wantSame(t, "the change", changes[0], store.Change{
		Version: 3, Action: store.Restored, UserID: ana.ID, User: "ana", At: f.now(), Record: want,
	})
	if changes[1].Action != store.Updated || changes[2].Action != store.Created {
		t.Errorf("the changes before it are %s", clip(changes[1:]))
	}
}

func restoreDeleted(t *testing.T, f *fixture) {
	first := f.cliente(t, "Ana", "ana@example.com")
	f.clock.add(time.Hour)
	last, err := f.UpdateCliente(t.Context(), 0, first.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Name = "Bia"
			return c, nil
		})
	must(t, err)
	f.clock.add(time.Hour)
	f.drop(t, first.ID)
	next := f.cliente(t, "Next", "")
	f.clock.add(-time.Minute) // set back: no version is older than the one before it
	newest := func() store.Change {
		t.Helper()
		changes, err := f.ClienteHistory(t.Context(), first.ID, 0, 1)
		if err != nil || len(changes) != 1 {
			t.Fatalf("%s, %v", clip(changes), err)
		}
		return changes[0]
	}
	for _, c := range []struct {
		version int64
		want    store.Cliente
	}{{3, last}, {1, first}} {
		deleted := newest()
		got, err := f.RestoreCliente(t.Context(), 0, first.ID, c.version,
			func(c store.Cliente) error {
				if c != (store.Cliente{}) {
					t.Errorf("check sees %+v", c)
				}
				return nil
			})
		must(t, err)
		want := c.want
		want.Version, want.UpdatedAt = deleted.Version+1, got.UpdatedAt
		wantSame(t, "restored", got, want)
		if got.UpdatedAt.Before(deleted.At) {
			t.Errorf("restored at %s, deleted at %s", got.UpdatedAt, deleted.At)
		}
		kept, err := f.Cliente(t.Context(), first.ID)
		must(t, err)
		wantSame(t, "kept", kept, want)
		if n := newest(); n.Action != store.Restored || n.Record != want {
			t.Errorf("the newest change is %s", clip(n))
		}
		f.clock.add(time.Hour)
		f.drop(t, first.ID)
	}
	if c := f.cliente(t, "Later", ""); c.ID <= next.ID {
		t.Errorf("the id %d was used again", c.ID)
	}
}

func restoreRefused(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "ana@example.com")
	gone := f.cliente(t, "Gone", "gone@example.com")
	f.drop(t, gone.ID)
	_, err := f.UpdateCliente(t.Context(), 0, ana.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Email = "other@example.com"
			return c, nil
		})
	must(t, err)
	f.cliente(t, "Thief", "ANA@example.com")
	f.cliente(t, "Thief", "GONE@example.com")
	before := f.contents(t)
	refusal := errors.New("no")
	for _, id := range []int64{ana.ID, gone.ID} {
		_, err := f.RestoreCliente(t.Context(), 0, id, 1, anyway)
		wantConflict(t, err, "email")
		_, err = f.RestoreCliente(t.Context(), 0, id, 1,
			func(store.Cliente) error { return refusal })
		if err != refusal { // not errors.Is: the promise is unwrapped
			t.Errorf("got %v", err)
		}
		for _, version := range []int64{-1, 0, 3, 1 << 60} {
			_, err := f.RestoreCliente(t.Context(), 0, id, version, func(store.Cliente) error {
				t.Errorf("check is called for version %d", version)
				return nil
			})
			wantErr(t, err, store.ErrNotFound)
		}
	}
	for _, id := range []int64{999, 0, -1} {
		_, err := f.RestoreCliente(t.Context(), 0, id, 1, anyway)
		wantErr(t, err, store.ErrNotFound)
	}
	wantSame(t, "what it holds", f.contents(t), before)
}

func restoreRace(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	c := f.cliente(t, "Ana", "ana@example.com")
	f.drop(t, c.ID)
	var restores []func()
	for i := range 24 {
		restores = append(restores, func() {
			got, err := stores[i%2].RestoreCliente(t.Context(), 0, c.ID, int64(1+i%2), anyway)
			if err != nil || got.Version != 3 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	atOnce(restores...)
	changes, err := f.ClienteHistory(t.Context(), c.ID, 0, 10)
	if err != nil || len(changes) != 3 {
		t.Errorf("%s, %v", clip(changes), err)
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
