package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func schemaChecks() []check {
	return []check{
		{"a migration of a newer program that others may ignore disturbs nobody", additive},
		{"after a breaking migration a store that does not know it reads and never writes", breaking},
		{"a breaking migration waits for the writes that began before it", breakingWaits},
		{"a migration repairs what older servers wrote", repaired},
		{"a migration tells how far it is", migrationTells},
		{"a migration leaves an unfinished copy as it is", copyNotRepaired},
	}
}

// execute runs statements as another program would.
func (f *fixture) execute(t *testing.T, statements string) {
	t.Helper()
	must(t, f.engine.Execute(t.Context(), f.url, statements))
}

func additive(t *testing.T, f *fixture) {
	f.execute(t, `
		INSERT INTO clientes_migrations (version_id, is_applied) VALUES (999, true)`)
	must(t, f.Ready(t.Context()))
	must(t, f.engine.Migrate(t.Context(), f.url))
	must(t, openError(t, f, f.url))
	f.cliente(t, "Ana", "")
	schema, err := f.engine.Schema(t.Context(), f.url)
	must(t, err)
	has := schema.Migrations
	if last := has[len(has)-1]; last.Version != 999 || last.Name != "" || !last.Applied ||
		len(has) != store.SchemaVersion+1 {
		t.Errorf("got %+v", has)
	}
}

// readers are the methods that do not write.
func readers() []string {
	return []string{
		"Erasure", "EraseAgain", // there is nothing to be erased
		"Cliente", "Clientes", "CountClientes", "EachCliente", "ClienteHistory", "CheckImport",
		"Changes", "FeedEnd",
		"User", "UserByName", "UserByEmail", "Users", "CheckUsers",
		"Session", "UserSessions", "SessionEnds", "KeyByHash", "Keys", "Events", "MailQueue",
		"Identity", "Sizes", "Extent", "ReadRows",
	}
}

// contents returns all rows of all tables.
func (f *fixture) contents(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, table := range store.Tables() {
		rows, err := f.ReadRows(t.Context(), table, nil, 1_000_000)
		must(t, err)
		fmt.Fprintln(&all, table.Name, rows)
	}
	is, err := f.Identity(t.Context())
	must(t, err)
	fmt.Fprintln(&all, is.ID, is.Copying) // the order may have begun anew
	return all.String()
}

func breaking(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	f.user(t, "admin", store.Admin)
	viewer := f.user(t, "viewer", store.Viewer)
	session := f.session(t, "s", viewer)
	key := f.key(t, "a key", viewer)
	mail := f.claimed(t, viewer, store.Mail{Kind: store.MailReset})
	f.execute(t, f.engine.Breaking)

	before := f.contents(t)
	for name, call := range Calls(t, f, Subjects{ana, viewer, session, key, mail}) {
		method, _, _ := strings.Cut(name, " ")
		for range 2 {
			err := call(t.Context())
			var newer *store.NewerSchemaError
			refused := errors.As(err, &newer) && errors.Is(err, store.ErrSchema) &&
				newer.Required == 999
			if refused == slices.Contains(readers(), method) {
				t.Errorf("%s: got %v; one that only reads belongs in readers, store/storetest/schema.go",
					name, err)
			}
		}
	}
	wantErr(t, f.engine.Migrate(t.Context(), f.url), store.ErrSchema)
	wantErr(t, openError(t, f, f.url), store.ErrSchema)
	wantSame(t, "what it holds", f.contents(t), before)
}

func breakingWaits(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	release := holdCliente(t, f, ana.ID)
	migrated := make(chan error, 1)
	var migrating sync.WaitGroup
	defer migrating.Wait()
	migrating.Go(func() {
		migrated <- f.engine.Execute(t.Context(), f.url, f.engine.Breaking)
	})
	select {
	case err := <-migrated:
		t.Errorf("it did not wait for a write: %v", err)
		migrated <- err
	case <-time.After(50 * time.Millisecond): // longer would catch more that do not wait
	}
	release() // which reports an update that fails
	must(t, <-migrated)
	_, err := f.CreateCliente(t.Context(), 0, store.Cliente{Name: "Bia"})
	wantErr(t, err, store.ErrSchema)
	if got := f.all(t); len(got) != 1 || got[0].Name != "changed" {
		t.Errorf("got %+v", got)
	}
}

// forgetRepair makes the repair and what comes after it migrations that the database lacks.
func (f *fixture) forgetRepair(t *testing.T) {
	t.Helper()
	const repair = 16
	if store.SchemaVersion > repair {
		for _, down := range Downs(t, repair+1) {
			f.execute(t, down)
		}
	}
	f.execute(t, fmt.Sprint("DELETE FROM clientes_migrations WHERE version_id >= ", repair))
}

func repaired(t *testing.T, f *fixture) {
	ctx := t.Context()
	good, long := f.cliente(t, "Good", "good@example.com"), longest()
	_, err := f.CreateCliente(ctx, 0, long)
	must(t, err)
	deleted := f.cliente(t, "Deleted", "")
	f.drop(t, deleted.ID)
	const unordered = `UPDATE cliente_history SET seq = 0` // the order begins after the repair
	f.execute(t, unordered)
	before := f.contents(t)
	f.clock.add(time.Hour)
	former := f.cliente(t, "Former", "f@example.com")
	// As programs did that knew neither the folded columns nor the history.
	f.forgetRepair(t)
	f.execute(t, fmt.Sprintf(`
		INSERT INTO clientes (name, email, email_key, phone, company, address, notes,
			version, created_at, updated_at)
		SELECT 'Éva', '', '', '', 'Ácme', '', 'note', 1, created_at, updated_at
		FROM clientes
		WHERE id = %d;
		UPDATE clientes
		SET name = 'Zoë', version = version + 1
		WHERE id = %[1]d`, former.ID))

	must(t, f.engine.Migrate(ctx, f.url))
	must(t, f.Ready(ctx))
	find := func(text string) store.Cliente {
		t.Helper()
		found, err := f.Clientes(ctx, store.Selection{Filter: store.Filter{Text: text}},
			store.Position{}, 10)
		if err != nil || len(found) != 1 {
			t.Fatalf("%q: got %+v, %v", text, found, err)
		}
		return found[0]
	}
	eva, zoe := find("acme"), find("zoe")
	for _, short := range []string{"ev", "zo"} {
		find(short)
	}
	if found, err := f.Clientes(ctx, store.Selection{Filter: store.Filter{Text: "former"}},
		store.Position{}, 10); err != nil || len(found) > 0 {
		t.Errorf("found by its former name: %+v, %v", found, err)
	}
	byName, err := f.Clientes(ctx, store.Selection{Sort: store.ByName}, store.Position{}, 10)
	must(t, err)
	var names []string
	for _, c := range byName {
		names = append(names, c.Name)
	}
	if want := []string{"Éva", "Good", "Zoë", long.Name}; !slices.Equal(names, want) {
		t.Errorf("by name: %q", names)
	}
	history := func(c store.Cliente, want ...store.Change) {
		t.Helper()
		got, err := f.ClienteHistory(ctx, c.ID, 0, 10)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	history(eva, store.Change{Version: 1, Action: store.Created, At: eva.UpdatedAt, Record: eva})
	history(zoe, store.Change{Version: 2, Action: store.Updated, At: zoe.UpdatedAt, Record: zoe},
		store.Change{Version: 1, Action: store.Created, At: former.CreatedAt,
			Record: former})
	// Further changes go on from there, and nothing else has changed.
	for _, id := range []int64{eva.ID, zoe.ID} {
		_, err := f.UpdateCliente(ctx, 0, id, func(c store.Cliente) (store.Cliente, error) {
			c.Notes = "changed"
			return c, nil
		})
		must(t, err)
	}
	if got, err := f.Cliente(ctx, good.ID); err != nil || got != good {
		t.Errorf("got %+v, %v", got, err)
	}
	f.execute(t, fmt.Sprintf(`
		DELETE FROM clientes WHERE id IN (%d, %d);
		DELETE FROM cliente_history WHERE cliente_id IN (%[1]d, %d)`, eva.ID, zoe.ID))
	f.execute(t, unordered)
	wantSame(t, "the others", f.contents(t), before)
}

func migrationTells(t *testing.T, f *fixture) {
	const rows = 2100
	clientes := make([]store.Cliente, rows)
	for i := range clientes {
		clientes[i].Name = fmt.Sprint("Ana ", i)
	}
	_, err := f.ImportClientes(t.Context(), 0, rowsOf(clientes...))
	must(t, err)
	f.forgetRepair(t)
	f.execute(t, `
		UPDATE clientes SET name_key = '', search = '';
		DELETE FROM cliente_history`)
	const name = "00016_repair_clientes.go"
	var told []store.MigrationProgress
	err = f.engine.MigrateReporting(t.Context(), f.url, func(p store.MigrationProgress) {
		if p.Name == name {
			told = append(told, p)
		}
	})
	must(t, err)
	want := []store.MigrationProgress{
		{Name: name},
		{Name: name, Done: 1000, Total: rows},
		{Name: name, Done: 2000, Total: rows},
		{Name: name, Done: rows, Total: rows},
	}
	if !slices.Equal(told, want) {
		t.Errorf("got %+v", told)
	}
	found, err := f.Clientes(t.Context(), store.Selection{
		Filter: store.Filter{Text: "ana 2099"}, Sort: store.ByName,
	}, store.Position{}, 10)
	if err != nil || len(found) != 1 {
		t.Errorf("got %+v, %v", found, err)
	}
	history, err := f.ReadRows(t.Context(), tableNamed("cliente_history"), nil, rows+1)
	if err != nil || len(history) != rows {
		t.Errorf("%d rows of history, %v", len(history), err)
	}

	url := f.engine.Empty(t)
	told = nil
	must(t, f.engine.MigrateReporting(t.Context(), url, func(p store.MigrationProgress) {
		told = append(told, p)
	}))
	has, err := f.engine.Schema(t.Context(), url)
	must(t, err)
	asTold := func(p store.MigrationProgress, m store.Migration) bool {
		return p == store.MigrationProgress{Name: m.Name}
	}
	same := slices.EqualFunc(told, has.Migrations, asTold)
	if !same {
		t.Errorf("got %+v", told)
	}
}

func copyNotRepaired(t *testing.T, f *fixture) {
	f.cliente(t, "Ana", "")
	f.execute(t, `
		UPDATE clientes SET search = '';
		DELETE FROM cliente_history;
		UPDATE identity SET copying = 'another'`)
	before := f.contents(t)
	f.forgetRepair(t)
	must(t, f.engine.Migrate(t.Context(), f.url))
	wantSame(t, "what it holds", f.contents(t), before)
}
