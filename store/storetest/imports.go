package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"clientes/store"
)

func importChecks() []check {
	return []check{
		{"all rows are kept in their order, with history, and can be found", importAll},
		{"nothing is a whole import too", importNothing},
		{"emails that are taken are reported by row and nothing is kept", importTaken},
		{"an error of the rows comes back as it is and nothing is kept", importRowError},
		{"an import whose context ends keeps nothing", importCancelled},
		{"imports and creates at once make each record once", importAtOnce},
	}
}

// rowsOf returns rows that can be iterated over again and again.
func rowsOf(clientes ...store.Cliente) iter.Seq2[store.Cliente, error] {
	return func(yield func(store.Cliente, error) bool) {
		for _, c := range clientes {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (f *fixture) all(t *testing.T) []store.Cliente {
	t.Helper()
	all := []store.Cliente{}
	err := f.EachCliente(t.Context(), store.Selection{}, func(c store.Cliente) error {
		all = append(all, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func importAll(t *testing.T, f *fixture) {
	user := f.user(t, "ana", store.Editor)
	before := f.cliente(t, "before", "")
	var rows []store.Cliente
	for what, s := range texts() {
		c := withTexts(s)
		c.Name = what
		rows = append(rows, c)
	}
	rows = append(rows, store.Cliente{ID: 1, Name: "Zoë", Email: "Zoë@Example.com", Version: 9})
	n, err := f.ImportClientes(t.Context(), user.ID, rowsOf(rows...))
	if err != nil || n != int64(len(rows)) {
		t.Fatalf("%d of %d, %v", n, len(rows), err)
	}
	all := f.all(t)
	if len(all) != len(rows)+1 || all[0] != before {
		t.Fatalf("%d records are there", len(all))
	}
	for i, c := range all[1:] {
		want := rows[i]
		want.ID, want.Version, want.CreatedAt, want.UpdatedAt = c.ID, 1, f.now(), f.now()
		wantSame(t, "imported", c, want)
		if read, err := f.Cliente(t.Context(), c.ID); err != nil || read != want {
			t.Errorf("read %s, %v", clip(read), err)
		}
		h, err := f.ClienteHistory(t.Context(), c.ID, 0, 10)
		created := store.Change{
			Version: 1, Action: store.Created, UserID: user.ID, User: "ana",
			At: f.now(), Record: want,
		}
		if err != nil || len(h) != 1 || h[0] != created {
			t.Errorf("history %s, %v", clip(h), err)
		}
	}
	for _, sel := range orders() {
		wantSelection(t, t.Context(), f, sel, all, 5)
	}
	wantSelection(t, t.Context(), f, store.Selection{Filter: store.Filter{Text: "zoe"}}, all, 5)
	wantSelection(t, t.Context(), f,
		store.Selection{Filter: store.Filter{Email: "ZOË@example.com"}}, all, 5)
	if next := f.cliente(t, "after", ""); next.ID <= all[len(all)-1].ID {
		t.Errorf("the id %d came after %d", next.ID, all[len(all)-1].ID)
	}
}

func importNothing(t *testing.T, f *fixture) {
	if n, err := f.ImportClientes(t.Context(), 0, rowsOf()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := f.CheckImport(t.Context(), rowsOf()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func importTaken(t *testing.T, f *fixture) {
	f.cliente(t, "Ana", "Ana@example.com")
	rows := []store.Cliente{
		{Name: "1"}, {Name: "2", Email: "ANA@example.com"}, {Name: "3", Email: "b@example.com"},
		{Name: "4"},
		{Name: "5", Email: "B@example.com"}, {Name: "6", Email: "c@example.com"},
		{Name: "7", Email: "b@EXAMPLE.com"},
	}
	want := []int64{2, 5, 7}
	for range 150 {
		rows = append(rows, store.Cliente{Name: "more", Email: "c@example.com"})
		want = append(want, int64(len(rows)))
	}
	for what, do := range map[string]func() (int64, error){
		"import": func() (int64, error) {
			return f.ImportClientes(t.Context(), 0, rowsOf(rows...))
		},
		"check": func() (int64, error) { return f.CheckImport(t.Context(), rowsOf(rows...)) },
	} {
		_, err := do()
		var faults *store.RowsError
		if !errors.As(err, &faults) {
			t.Fatalf("%s: %v", what, err)
		}
		var got []int64
		for _, row := range faults.Rows {
			got = append(got, row.Row)
			if row.FieldError != store.TakenEmail() {
				t.Errorf("%s: %+v", what, row)
			}
		}
		if faults.Count != int64(len(want)) || !slices.Equal(got, want[:store.MaxRowErrors]) {
			t.Errorf("%s: %d faults: %v", what, faults.Count, got)
		}
	}
	if all := f.all(t); len(all) != 1 {
		t.Errorf("%d records are there", len(all))
	}
	good := slices.Delete(slices.Clone(rows[:6]), 4, 5)
	good = slices.Delete(good, 1, 2)
	if n, err := f.CheckImport(t.Context(), rowsOf(good...)); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if all := f.all(t); len(all) != 1 {
		t.Errorf("a check kept something: %d records", len(all))
	}
	before, after := f.cliente(t, "before", ""), int64(0)
	if _, err := f.CheckImport(t.Context(), rowsOf(good...)); err != nil {
		t.Fatal(err)
	}
	if after = f.cliente(t, "after", "").ID; after != before.ID+1 {
		t.Errorf("a check took ids: %d came after %d", after, before.ID)
	}
	if n, err := f.ImportClientes(t.Context(), 0, rowsOf(good...)); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func importRowError(t *testing.T, f *fixture) {
	refusal := errors.New("refused")
	rows := func(yield func(store.Cliente, error) bool) {
		for i := range 10 {
			if !yield(store.Cliente{Name: fmt.Sprint(i)}, nil) {
				return
			}
		}
		yield(store.Cliente{}, refusal)
	}
	for range 40 { // more often than there are connections
		if _, err := f.ImportClientes(t.Context(), 0, rows); err != refusal {
			t.Fatalf("import: %v", err)
		}
		if _, err := f.CheckImport(t.Context(), rows); err != refusal {
			t.Fatalf("check: %v", err)
		}
	}
	if all := f.all(t); len(all) != 0 {
		t.Errorf("%d records are there", len(all))
	}
}

func importCancelled(t *testing.T, f *fixture) {
	type read func(context.Context, iter.Seq2[store.Cliente, error]) (int64, error)
	for what, do := range map[string]read{
		"import": func(ctx context.Context, rows iter.Seq2[store.Cliente, error]) (int64, error) {
			return f.ImportClientes(ctx, 0, rows)
		},
		"check": f.CheckImport,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := do(ctx, func(yield func(store.Cliente, error) bool) {
			for i := range 100_000 {
				if i == 10 {
					cancel()
				}
				if !yield(store.Cliente{Name: fmt.Sprint(i)}, nil) {
					return
				}
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all := f.all(t); len(all) != 0 {
		t.Errorf("%d records are there", len(all))
	}
}

func importAtOnce(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	var work []func()
	for i := range 4 {
		work = append(work, func() {
			var rows []store.Cliente
			for j := range 60 { // so few that nobody times out on a slow machine
				rows = append(rows,
					store.Cliente{Name: "imported", Email: fmt.Sprintf("%d-%d@example.com", i, j)})
			}
			n, err := stores[i%2].ImportClientes(t.Context(), 0, rowsOf(rows...))
			if n != 60 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}, func() {
			for range 20 {
				_, err := stores[i%2].CreateCliente(t.Context(), 0, store.Cliente{Name: "created"})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Somebody takes an email of an import: before, after or during it.
	for i := range 20 {
		email := fmt.Sprintf("both-%d@example.com", i)
		var imported, created error
		atOnce(func() {
			_, imported = stores[i%2].ImportClientes(t.Context(), 0,
				rowsOf(store.Cliente{Name: "first"}, store.Cliente{Name: "imported", Email: email}))
		}, func() {
			_, created = f.CreateCliente(t.Context(), 0,
				store.Cliente{Name: "created", Email: email})
		})
		var faults *store.RowsError
		switch {
		case imported == nil:
			wantConflict(t, created, "email")
		case created != nil || !errors.As(imported, &faults) || faults.Count != 1 ||
			faults.Rows[0].Row != 2:
			t.Errorf("imported: %v, created: %v", imported, created)
		}
	}
	for _, c := range f.all(t) {
		err := f.DeleteCliente(t.Context(), 0, c.ID, func(store.Cliente) error { return nil })
		if err != nil {
			t.Error(err)
		}
	}
	atOnce(work...)
	ids := make(map[int64]bool)
	for _, c := range f.all(t) {
		ids[c.ID] = true
	}
	if len(ids) != 4*80 {
		t.Errorf("%d records are there", len(ids))
	}
}
