package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"clientes/store"
)

func copyChecks() []check {
	return []check{
		{"every database has an identity of its own and is whole", copyIdentity},
		{"rows hold what was kept, in the types of their kinds", copyRows},
		{"rows are read once each by ascending key, whatever the pages", copyPages},
		{"an extent is how many rows there are, their last key and the last id", copyExtent},
		{"a copy has everything, and works on as the source would", copyEverything},
		{"no id is used twice, on either side of a copy", copyIDs},
		{"a copy ends sessions for every watermark", copyEnds},
		{"who follows the changes of the source goes on in the copy", copyFeed},
		{"a copy goes into an empty database only", copyNotEmpty},
		{"only a copy that is under way writes and finishes", copyNotBegun},
		{"a row that clashes takes its batch along", copyClash},
		{"of copies at once each row is there once", copyAtOnce},
		{"of two databases at once one is copied", copyTwoAtOnce},
	}
}

// Copied compares [store.Tables] with the columns of an engine's schema. Each column is "TABLE.NAME
// TYPE". Behind it stands " key PLACE" if it is part of the primary key, and " given" if the engine
// assigns its values. The types are those of the kinds.
func Copied(t *testing.T, columns []string, types map[store.Kind]string) {
	t.Helper()
	copied := make(map[string]bool)
	for _, table := range store.Tables() {
		for i, c := range table.Columns {
			column := table.Name + "." + c.Name + " " + types[c.Kind]
			if i < table.Key {
				column += fmt.Sprintf(" key %d", i+1)
			}
			if i < table.Key && table.IDs {
				column += " given"
			}
			copied[column] = true
		}
	}
	for _, column := range columns {
		if !copied[column] {
			t.Errorf("in the schema, but not in store.Tables: %s", column)
		}
		delete(copied, column)
	}
	for column := range copied {
		t.Errorf("in store.Tables, but not in the schema: %s", column)
	}
}

// target returns a store on another database, empty and migrated.
func (f *fixture) target(t *testing.T) *fixture {
	t.Helper()
	other := &fixture{engine: f.engine, url: f.engine.Migrated(t), clock: f.clock}
	other.Store = other.another(t)
	return other
}

// rowsIn returns all rows of a table, read a page at a time.
func rowsIn(t *testing.T, st store.Store, table store.Table, limit int) [][]any {
	t.Helper()
	var all [][]any
	var after []any
	for {
		page, err := st.ReadRows(t.Context(), table, after, limit)
		if err != nil {
			t.Fatalf("%s: %v", table.Name, err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = table.KeyOf(page[len(page)-1])
	}
}

// copyTables copies all rows, as a copy that has begun and does not finish.
func copyTables(t *testing.T, from, to store.Store, source string) {
	t.Helper()
	if err := to.BeginCopy(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	for _, table := range store.Tables() {
		for rows := range slices.Chunk(rowsIn(t, from, table, 7), 5) {
			if err := to.WriteRows(t.Context(), source, table, rows); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func finishCopy(t *testing.T, from, to store.Store, source string) {
	t.Helper()
	lastIDs := make(map[string]int64)
	for _, table := range store.Tables() {
		e, err := from.Extent(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		lastIDs[table.Name] = e.LastID
	}
	is, err := from.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	is.ID = source
	if err := to.FinishCopy(t.Context(), is, lastIDs); err != nil {
		t.Fatal(err)
	}
}

// tableNamed returns one of [store.Tables].
func tableNamed(name string) store.Table {
	all := store.Tables()
	return all[slices.IndexFunc(all, func(t store.Table) bool { return t.Name == name })]
}

// rowOf returns a row with these values, and with those of another row in the other columns.
func rowOf(table store.Table, like []any, values map[string]any) []any {
	row := slices.Clone(like)
	for i, name := range table.Names() {
		if v, ok := values[name]; ok {
			row[i] = v
		}
	}
	return row
}

// wantCopying reports an identity that does not name source as being copied.
func (f *fixture) wantCopying(t *testing.T, source string) {
	t.Helper()
	if is, err := f.Identity(t.Context()); err != nil || is.Copying != source {
		t.Errorf("got %+v, %v; want a copy of %q", is, err, source)
	}
}

func copyIdentity(t *testing.T, f *fixture) {
	seen := make(map[string]bool)
	for range 2 {
		url := f.engine.Empty(t)
		if err := f.engine.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		other := &fixture{engine: f.engine, url: url, clock: f.clock}
		var id string
		for range 2 {
			is, err := other.another(t).Identity(t.Context())
			if err != nil || len(is.ID) != 32 || id != "" && is.ID != id {
				t.Fatalf("got %+v, %v", is, err)
			}
			wantSame(t, "copying", is.Copying, "")
			id = is.ID
		}
		seen[id] = true
	}
	if len(seen) != 2 {
		t.Errorf("both are %v", seen)
	}
}

func copyRows(t *testing.T, f *fixture) {
	u := f.user(t, "Ána", store.Admin)
	lives, ended := f.session(t, "lives", u), f.session(t, "ends", u)
	ended, err := f.EndSession(t.Context(), ended.ID)
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.CreateCliente(t.Context(), 0, everyText())
	if err != nil {
		t.Fatal(err)
	}
	clientes := map[string]any{
		"id": c.ID, "name_key": store.SortKey(c.Name), "email_key": store.EmailKey(c.Email),
		"search":  c.SearchText(),
		"version": int64(1), "created_at": c.CreatedAt, "updated_at": c.UpdatedAt,
	}
	for _, text := range c.Texts() {
		clientes[text.Name] = *text.Value
	}
	for table, want := range map[string][]map[string]any{
		"users": {{
			"id": u.ID, "name": u.Name, "name_key": store.NameKey(u.Name), "email": "",
			"email_key": "", "role": "admin",
			"disabled": false, "password_hash": u.PasswordHash, "generation": int64(0),
			"created_at": u.CreatedAt, "updated_at": u.UpdatedAt,
		}},
		"sessions": {
			{"id": "ends", "user_id": u.ID, "token_exp": ended.TokenExp, "ended_at": ended.EndedAt},
			{"id": "lives", "user_id": u.ID, "token_exp": lives.TokenExp, "ended_at": nil},
		},
		"clientes": {clientes},
	} {
		table := tableNamed(table)
		rows := rowsIn(t, f, table, 10)
		if len(rows) != len(want) {
			t.Fatalf("%s: %v", table.Name, rows)
		}
		for i, row := range rows {
			if want := rowOf(table, row, want[i]); !reflect.DeepEqual(row, want) {
				t.Errorf("%s:\n got %v\nwant %v", table.Name, row, want)
			}
		}
	}
}

func copyPages(t *testing.T, f *fixture) {
	f.fill(t)
	for _, table := range store.Tables() {
		all := rowsIn(t, f, table, 1000)
		byKey := func(a, b []any) int { return compareKeys(table.KeyOf(a), table.KeyOf(b)) }
		if len(all) < 2 || !slices.IsSortedFunc(all, byKey) {
			t.Errorf("%s: %d rows in the order %v", table.Name, len(all), all)
		}
		for _, limit := range []int{1, 2, 7, len(all)} {
			if got := rowsIn(t, f, table, limit); !reflect.DeepEqual(got, all) {
				t.Errorf("%s: by %d it is\n%v, not\n%v", table.Name, limit, got, all)
			}
		}
		for _, limit := range []int{0, -1} {
			got, err := f.ReadRows(t.Context(), table, nil, limit)
			if err != nil || got == nil || len(got) > 0 {
				t.Errorf("%s: %d rows are %v, %v", table.Name, limit, got, err)
			}
		}
	}
}

// compareKeys compares keys, texts byte by byte.
func compareKeys(a, b []any) int {
	return slices.CompareFunc(a, b, func(a, b any) int {
		if n, ok := a.(int64); ok {
			return cmp.Compare(n, b.(int64))
		}
		return cmp.Compare(a.(string), b.(string))
	})
}

func copyExtent(t *testing.T, f *fixture) {
	for _, table := range store.Tables() {
		e, err := f.Extent(t.Context(), table)
		if err != nil || !reflect.DeepEqual(e, store.Extent{}) {
			t.Errorf("%s, which is empty: %+v, %v", table.Name, e, err)
		}
	}
	f.fill(t)
	u, c := f.user(t, "last", store.Viewer), f.cliente(t, "last", "")
	if _, err := f.DeleteUser(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	f.drop(t, c.ID)
	removed := map[string]int64{"users": u.ID, "clientes": c.ID}
	for _, table := range store.Tables() {
		rows := rowsIn(t, f, table, 1000)
		want := store.Extent{Rows: int64(len(rows)), LastKey: table.KeyOf(rows[len(rows)-1])}
		if table.IDs {
			want.LastID = max(want.LastKey[0].(int64), removed[table.Name])
		}
		if e, err := f.Extent(t.Context(), table); err != nil || !reflect.DeepEqual(e, want) {
			t.Errorf("%s: %+v, %v; want %+v", table.Name, e, err, want)
		}
	}
}

func copyEverything(t *testing.T, f *fixture) {
	f.fill(t)
	target := f.target(t)
	copyTables(t, f, target, "source")
	target.wantCopying(t, "source")
	finishCopy(t, f, target, "source")
	target.wantCopying(t, "")
	for _, table := range store.Tables() {
		got, want := rowsIn(t, target, table, 1000), rowsIn(t, f, table, 1000)
		if len(want) == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is\n%v, not\n%v", table.Name, got, want)
		}
	}

	picture := func(st store.Store) string {
		ctx := t.Context()
		var all []any
		keep := func(v any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		users, err := st.Users(ctx, 0, 100)
		keep(users, err)
		for _, u := range users {
			sessions, err := st.UserSessions(ctx, u.ID, f.now())
			keep(sessions, err)
		}
		clientes, err := st.Clientes(ctx, store.Selection{Sort: store.ByName}, store.Position{},
			100)
		keep(clientes, err)
		for _, c := range clientes {
			history, err := st.ClienteHistory(ctx, c.ID, 0, 100)
			keep(history, err)
		}
		for _, s := range slices.Sorted(maps.Values(texts())) {
			found, err := st.Clientes(ctx, store.Selection{Filter: store.Filter{Text: s}},
				store.Position{}, 100)
			keep(found, err)
			first, replayed, err := st.CreateClienteOnce(ctx, users[0].ID, withTexts(s), s)
			keep(first, err)
			keep(replayed, nil)
		}
		return fmt.Sprint(all)
	}
	wantSame(t, "what the copy answers", picture(target), picture(f))
	_, err := target.CreateUser(t.Context(), store.User{Name: "ADMIN", Role: store.Viewer})
	wantConflict(t, err, "user")
	_, err = target.CreateCliente(t.Context(), 0, store.Cliente{Email: "ÇÃO OF QUOTES"})
	wantConflict(t, err, "email")
}

func copyIDs(t *testing.T, f *fixture) {
	ctx := t.Context()
	comeAndGo := func(f *fixture, n int) (last int64) {
		for range n {
			last = f.user(t, "gone", store.Viewer).ID
			if _, err := f.DeleteUser(ctx, last); err != nil {
				t.Fatal(err)
			}
		}
		return last
	}
	// The source has a user, and once had one with a higher id. None of its customers is left.
	f.user(t, "keep", store.Admin)
	user := comeAndGo(f, 1)
	cliente := f.cliente(t, "gone", "").ID
	f.drop(t, cliente)
	for _, before := range []int{0, 1, 5} {
		target := f.target(t)
		own := comeAndGo(target, before)
		copyTables(t, f, target, "source")
		finishCopy(t, f, target, "source")
		if u := target.user(t, "new", store.Viewer); u.ID != max(user, own)+1 {
			t.Errorf("after %d of the source and %d of the target comes the user %d", user, own,
				u.ID)
		}
		if c := target.cliente(t, "new", ""); c.ID != cliente+1 {
			t.Errorf("after %d of the source comes the cliente %d", cliente, c.ID)
		}
	}
}

func copyFeed(t *testing.T, f *fixture) {
	f.someLives(t)
	f.execute(t, `
		UPDATE cliente_history SET seq = -1 WHERE cliente_id = 2;
		UPDATE identity SET last_unordered = 3`)
	f.cliente(t, "New", "")
	want, _ := readFeed(t, f, store.FeedPosition{}, 100)
	target := f.target(t)
	copyTables(t, f, target, "source")
	finishCopy(t, f, target, "source")
	all, last := readFeed(t, target, store.FeedPosition{}, 2)
	wantSame(t, "the changes of the copy", outline(all), outline(want))
	for i, c := range want {
		rest, _ := readFeed(t, target, c.Position, 100)
		wantSame(t, "after "+outline(want[i:i+1]), outline(rest), outline(want[i+1:]))
	}
	target.cliente(t, "Later", "")
	all, _ = readFeed(t, target, last, 100)
	wantSame(t, "after the copy", outline(all), "6.1 created Later")
}

func copyEnds(t *testing.T, f *fixture) {
	ctx := t.Context()
	f.fill(t)
	target := f.target(t)
	var ids []string // of all sessions, which as rows begin with their key
	for _, table := range store.Tables() {
		if table.Name == "sessions" {
			for _, row := range rowsIn(t, f, table, 1000) {
				ids = append(ids, row[0].(string))
			}
		}
	}
	want := sessionEnds(t, f, "", ids...).Asked
	var ended []string
	for id, s := range want {
		if s.Ended {
			ended = append(ended, id)
		}
	}
	if len(ended) != 9 || len(want) == len(ended) {
		t.Fatalf("of %d sessions %d have ended", len(want), len(ended))
	}
	early := follow(t, target)
	copyTables(t, f, target, "source")
	late := follow(t, target)
	finishCopy(t, f, target, "source")
	for _, w := range []*follower{early, late} {
		w.ask(t, target)
		w.wantOnce(t, ended...)
	}
	if got := sessionEnds(t, target, "", ids...).Asked; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := target.EndSession(ctx, "lived admin"); err != nil {
		t.Fatal(err)
	}
	late.ask(t, target)
	late.wantOnce(t, append(ended, "lived admin")...)
}

func copyNotEmpty(t *testing.T, f *fixture) {
	ctx := t.Context()
	f.fill(t)
	tables := store.Tables()
	for i, table := range tables {
		target := f.target(t)
		// One row, written by a copy that finished. What it refers to comes along.
		if err := target.BeginCopy(ctx, "other"); err != nil {
			t.Fatal(err)
		}
		write := func(table store.Table, rows [][]any) error {
			return target.WriteRows(ctx, "other", table, rows)
		}
		row := rowsIn(t, f, table, 1000)[:1]
		err := write(table, row)
		if errors.Is(err, store.ErrCopyDisturbed) {
			for _, before := range tables[:i] {
				if err := write(before, rowsIn(t, f, before, 1000)); err != nil {
					t.Fatalf("%s: %v", before.Name, err)
				}
			}
			err = write(table, row)
		}
		if err != nil {
			t.Fatalf("%s: %v", table.Name, err)
		}
		wantErr(t, target.BeginCopy(ctx, "source"), store.ErrNotEmpty)
		target.wantCopying(t, "other")
		if err := target.BeginCopy(ctx, "other"); err != nil {
			t.Errorf("begin again: %v", err)
		}
		finishCopy(t, target, target, "other")
		for range 2 {
			wantErr(t, target.BeginCopy(ctx, "source"), store.ErrNotEmpty)
			wantErr(t, target.BeginCopy(ctx, "other"), store.ErrNotEmpty)
		}
		target.wantCopying(t, "")
	}
	target := f.target(t)
	if err := target.BeginCopy(ctx, "source"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, target.BeginCopy(ctx, "other"), store.ErrNotEmpty)
	target.wantCopying(t, "source")
}

func copyNotBegun(t *testing.T, f *fixture) {
	ctx := t.Context()
	f.fill(t)
	target := f.target(t)
	table := tableNamed("clientes")
	rows := rowsIn(t, f, table, 1000)
	refused := func(source string) {
		t.Helper()
		wantErr(t, target.WriteRows(ctx, source, table, rows), store.ErrCopyDisturbed)
		wantErr(t, target.FinishCopy(ctx, store.Identity{ID: source}, nil), store.ErrCopyDisturbed)
		if e, err := target.Extent(ctx, table); err != nil || e.Rows != 0 {
			t.Errorf("rows were written: %+v, %v", e, err)
		}
	}
	refused("source")
	refused("")
	wantErr(t, f.BeginCopy(ctx, ""), store.ErrNotEmpty)
	if err := target.BeginCopy(ctx, "source"); err != nil {
		t.Fatal(err)
	}
	refused("other")
	target.wantCopying(t, "source")
	finishCopy(t, target, target, "source")
	refused("source")
}

func copyClash(t *testing.T, f *fixture) {
	ctx := t.Context()
	table := tableNamed("clientes")
	f.cliente(t, "Ana", "ana@example.com")
	f.cliente(t, "Bia", "bia@example.com")
	rows := rowsIn(t, f, table, 1000)
	third := rowOf(table, rows[0], map[string]any{"id": int64(3), "email": "", "email_key": ""})
	target := f.target(t)
	if err := target.BeginCopy(ctx, "source"); err != nil {
		t.Fatal(err)
	}
	if err := target.WriteRows(ctx, "source", table, rows[:1]); err != nil {
		t.Fatal(err)
	}
	for what, clash := range map[string][]any{
		"key": rowOf(table, third, map[string]any{"id": int64(1)}),
		"email": rowOf(table, third,
			map[string]any{"id": int64(4), "email_key": "ana@example.com"}),
	} {
		err := target.WriteRows(ctx, "source", table, [][]any{third, clash})
		var conflict *store.ConflictError
		if !errors.Is(err, store.ErrCopyDisturbed) || errors.As(err, &conflict) {
			t.Errorf("%s: %v", what, err)
		}
		if got := rowsIn(t, target, table, 1000); !reflect.DeepEqual(got, rows[:1]) {
			t.Errorf("%s: left %v", what, got)
		}
	}
	if err := target.WriteRows(ctx, "source", table, [][]any{rows[1], third}); err != nil {
		t.Error(err)
	}
}

func copyAtOnce(t *testing.T, f *fixture) {
	f.fill(t)
	target := f.target(t)
	stores := []store.Store{target, target.another(t)}
	var failed atomic.Int64
	var copies []func()
	for i := range 4 {
		copies = append(copies, func() {
			st := stores[i%2]
			if err := st.BeginCopy(t.Context(), "source"); err != nil {
				t.Error(err)
				return
			}
			disturbed := false
			for _, table := range store.Tables() {
				for rows := range slices.Chunk(rowsIn(t, f, table, 1000), 2) {
					err := st.WriteRows(t.Context(), "source", table, rows)
					if err != nil && !errors.Is(err, store.ErrCopyDisturbed) {
						t.Error(err)
					}
					disturbed = disturbed || err != nil
				}
			}
			if disturbed {
				failed.Add(1)
			}
		})
	}
	atOnce(copies...)
	for _, table := range store.Tables() {
		got, want := rowsIn(t, target, table, 1000), rowsIn(t, f, table, 1000)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is\n%v, not\n%v", table.Name, got, want)
		}
	}
	if n := failed.Load(); n < 3 {
		t.Errorf("only %d of four copies got an error", n)
	}
}

func copyTwoAtOnce(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	for range 20 {
		errs := make([]error, 4)
		var begins []func()
		for i := range errs {
			begins = append(begins,
				func() { errs[i] = stores[i%2].BeginCopy(t.Context(), fmt.Sprint("source ", i)) })
		}
		atOnce(begins...)
		is, err := f.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range errs {
			begun := is.Copying == fmt.Sprint("source ", i)
			if begun != (err == nil) || err != nil && !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("of %q it says %v, and copied is %q", fmt.Sprint("source ", i), err,
					is.Copying)
			}
		}
		if err := f.FinishCopy(t.Context(), store.Identity{ID: is.Copying}, nil); err != nil {
			t.Fatal(err)
		}
	}
}
