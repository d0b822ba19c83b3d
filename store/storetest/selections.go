package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"clientes/store"
)

func selectionChecks() []check {
	return []check{
		{"every order is the same forwards, backwards and page by page", selectionOrders},
		{"names are ordered by their folded form, byte by byte, however long it is",
			selectionNames},
		{"a text is found without regard to case or accents, and is never more than text",
			selectionTexts},
		{"a text of one or two characters is the beginning of name, email or company",
			selectionShortTexts},
		{"a changed or deleted cliente is found by what it is now", selectionChanges},
		{"a text that most have is found in every order", selectionCommonText},
		{"an email is found without regard to case, and only as a whole", selectionEmail},
		{"updated since is inclusive to the millisecond", selectionUpdatedSince},
		{"an error of each ends the reading and comes back as it is", selectionEachError},
		{"a read of everything sees one moment", selectionEachMoment},
		{"whatever is done in whatever order: a model says the same", selectionModel},
	}
}

// orders returns every order that a list can have.
func orders() []store.Selection {
	var all []store.Selection
	for _, sort := range store.Sorts() {
		all = append(all, store.Selection{Sort: sort},
			store.Selection{Sort: sort, Descending: true})
	}
	return all
}

// expected returns the records of a selection, in its order, as Go sees it.
func expected(all []store.Cliente, sel store.Selection) []store.Cliente {
	var want []store.Cliente
	for _, c := range all {
		if c.Matches(sel.Text) &&
			(sel.Email == "" || store.EmailKey(c.Email) == store.EmailKey(sel.Email)) &&
			!c.UpdatedAt.Before(sel.UpdatedSince) {
			want = append(want, c)
		}
	}
	slices.SortFunc(want, func(a, b store.Cliente) int {
		p, q := sel.Sort.Position(a), sel.Sort.Position(b)
		order := cmp.Or(cmp.Compare(p.Name, q.Name), p.At.Compare(q.At), cmp.Compare(p.ID, q.ID))
		if sel.Descending {
			order = -order
		}
		return order
	})
	return want
}

// tester is what *testing.T and *rapid.T have in common here.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// wantSelection compares a selection with the expected records: read in pages, read all at once,
// and counted.
func wantSelection(t tester, ctx context.Context, f *fixture, sel store.Selection,
	all []store.Cliente, limit int) {
	t.Helper()
	want := expected(all, sel)
	var paged []store.Cliente
	for after := (store.Position{}); ; {
		page, err := f.Clientes(ctx, sel, after, limit)
		if err != nil {
			t.Fatalf("%+v: %v", sel, err)
		}
		paged = append(paged, page...)
		if len(page) == 0 || len(paged) > len(all) {
			break
		}
		after = sel.Sort.Position(page[len(page)-1])
	}
	var each []store.Cliente
	err := f.EachCliente(ctx, sel, func(c store.Cliente) error {
		each = append(each, c)
		return nil
	})
	if err != nil {
		t.Fatalf("%+v: each: %v", sel, err)
	}
	n, err := f.CountClientes(ctx, sel.Filter)
	if err != nil {
		t.Fatalf("%+v: count: %v", sel, err)
	}
	if !slices.Equal(paged, want) || !slices.Equal(each, want) || n != int64(len(want)) {
		t.Errorf("%+v, %d at a time:\n got %s\neach %s\nwant %s\ncounted %d", sel, limit,
			brief(paged), brief(each), brief(want), n)
	}
}

func brief(cs []store.Cliente) string {
	var b strings.Builder
	for _, c := range cs {
		fmt.Fprintf(&b, "%d:%q ", c.ID, c.Name)
	}
	return clip(b.String())
}

func selectionOrders(t *testing.T, f *fixture) {
	var all []store.Cliente
	for i, name := range []string{"b", "A", "á", "a", "B", "ab", "Z", "z", "ż", "日本", "éa", "Eb",
		"10", "9", "a", "a"} {
		if i%3 == 0 {
			f.clock.add(time.Millisecond)
		}
		all = append(all, f.cliente(t, name, ""))
	}
	for _, i := range []int{3, 1, 1, 9} {
		f.clock.add(time.Second)
		c, err := f.UpdateCliente(t.Context(), 0, all[i].ID,
			func(c store.Cliente) (store.Cliente, error) {
				c.Notes += "x"
				return c, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		all[i] = c
	}
	for _, sel := range orders() {
		for _, limit := range []int{1, 2, 5, 100} {
			wantSelection(t, t.Context(), f, sel, all, limit)
		}
	}
	wantSelection(t, t.Context(), f, store.Selection{}, all, 3) // "" means by id
}

func selectionNames(t *testing.T, f *fixture) {
	var all []store.Cliente
	for _, name := range []string{
		strings.Repeat("ﷺ", store.MaxName),         // 18 characters each when folded
		strings.Repeat("ﷺ", store.MaxName-1) + "b", // differs beyond the end of the key
		strings.Repeat("\U0001F600", store.MaxName),
		strings.Repeat("z", store.MaxName),
		strings.Repeat("z", store.MaxName-1) + "Y",
		"Straße", "STRASSE", "strassf", "ﬁn", "FIN", "fio", "İstanbul", "istanbul", "ıstanbul",
		"ΣΑΣ", "σας", "Ꭰ", "ꭰ",
	} {
		all = append(all, f.cliente(t, name, ""))
	}
	for _, sel := range []store.Selection{
		{Sort: store.ByName},
		{Sort: store.ByName, Descending: true},
	} {
		wantSelection(t, t.Context(), f, sel, all, 4)
	}
}

// searched creates records with everything that a search could fail on.
func searched(t *testing.T, f *fixture) []store.Cliente {
	var all []store.Cliente
	for _, c := range []store.Cliente{
		{
			Name:    "José da Silva",
			Email:   "Jose.Silva@Example.com",
			Phone:   "+55 (11) 99999-0000",
			Company: "Padaria São João",
			Address: "hidden street",
			Notes:   "hidden note",
		},
		{Name: "Müller & Söhne", Email: "info@müller.example", Company: "Straßenbau GmbH"},
		{Name: "100% wool_rug", Company: `back\slash "quoted" 'single'`},
		{Name: "a*b -c ^d {e} (f) [g]", Company: "NEAR(x y) AND z OR NOT w"},
		{Name: "Ана Иванова", Company: "Ёлка"},
		{Name: "山田太郎", Company: "東京都"},
		{Name: "한국어", Company: "서울"},
		{Name: "ﬁnance", Company: "ﷺ"},
		{Name: "😀 smile 👩‍👩‍👧‍👦", Company: "İzmir ıssız"},
		{Name: "x", Phone: "5511999990000"},
		{Name: "Zoë", Company: "zz"},
		{Name: "สมที่", Company: "สูงมากๆ"},
		{Name: "हिन्दी", Company: "A\ufffeB"},
	} {
		c, err := f.CreateCliente(t.Context(), 0, c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func selectionTexts(t *testing.T, f *fixture) {
	all := searched(t, f)
	for text, ids := range map[string][]int64{
		"silva":           {1},
		"JOSÉ DA":         {1},
		"jose da":         {1},
		"Jose\u0301":      {1},
		"sao joao":        {1},
		"silva@example":   {1},
		"(11) 9":          {1},
		"99999":           {1, 10},
		"hidden":          {}, // neither address nor notes
		"strassen":        {2},
		"MULLER":          {2},
		"100%":            {3},
		"%":               {}, // one character, not at a beginning
		"0% w":            {3},
		"%%%":             {},
		"___":             {},
		"l_r":             {3},
		"lxr":             {},
		`k\s`:             {3},
		`"quoted"`:        {3},
		`'single'`:        {3},
		`" OR "`:          {},
		"a*b":             {4},
		"jos*":            {},
		"near(x y) and z": {4},
		"silva OR jose":   {},
		"silva NOT jose":  {},
		"^d {e} (f) [":    {4},
		"-c ":             {4},
		"ИВАН":            {5},
		"елка":            {5},
		"山田太":             {6},
		"한국어":             {7},
		"finan":           {8},
		"ﬁN":              {8}, // three characters when folded
		"صلى":             {8},
		"😀 s":             {9},
		"izmir":           {9},
		"silvajose":       {},
		"silva jose":      {},
		"silva\u2028":     {},
		"0000":            {1, 10},
		"":                {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		"\u0301":          {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		// nothing is left of it
		"zoe":                       {11},
		"มที่":                      {12}, // vowels are no accents
		"สิงมาก":                    {},
		"हिन्दी":                    {13},
		"हन्द":                      {},
		"a\ufffeb":                  {13},
		"a\uffffb":                  {},
		strings.Repeat("a", 10_000): {},
	} {
		var got []int64
		for _, c := range expected(all, store.Selection{Filter: store.Filter{Text: text}}) {
			got = append(got, c.ID)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("%.40q: Matches says %v, want %v", text, got, ids)
		}
		for _, sel := range orders() {
			sel.Text = text
			wantSelection(t, t.Context(), f, sel, all, 2)
		}
	}
}

func selectionShortTexts(t *testing.T, f *fixture) {
	all := searched(t, f)
	for text, ids := range map[string][]int64{
		"j":  {1},
		"JO": {1},
		"pa": {1},
		"si": {}, // within
		"+5": {}, // a phone
		"55": {},
		"st": {2},
		"ß":  {}, // folded to ss
		"10": {3},
		"an": {},
		"Ан": {5},
		"е":  {5},
		"山":  {6},
		"東京": {6},
		"z":  {11},
		"ZO": {11},
		"\"": {},
		"%":  {},
		"_":  {},
		"x":  {10},
		"😀":  {9},
	} {
		var got []int64
		for _, c := range expected(all, store.Selection{Filter: store.Filter{Text: text}}) {
			got = append(got, c.ID)
		}
		if !slices.Equal(got, ids) {
			t.Errorf("%q: Matches says %v, want %v", text, got, ids)
		}
		for _, sel := range orders() {
			sel.Text = text
			wantSelection(t, t.Context(), f, sel, all, 1)
		}
	}
}

func selectionChanges(t *testing.T, f *fixture) {
	find := func(text string) int {
		t.Helper()
		page, err := f.Clientes(t.Context(), store.Selection{Filter: store.Filter{Text: text}},
			store.Position{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	c := f.cliente(t, "before", "before@example.com")
	f.cliente(t, "another", "")
	_, err := f.UpdateCliente(t.Context(), 0, c.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Name = "after"
			return c, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if find("before") != 1 || find("after") != 1 || find("before\nafter") != 0 {
		t.Errorf("found %d, %d", find("before"), find("after")) // the email did not change
	}
	_, err = f.UpdateCliente(t.Context(), 0, c.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Email = ""
			return c, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	if find("before") != 0 || find("after") != 1 {
		t.Errorf("found %d, %d", find("before"), find("after"))
	}
	f.drop(t, c.ID)
	if find("after") != 0 || find("another") != 1 {
		t.Errorf("found %d, %d", find("after"), find("another"))
	}
}

// If many records have the text, an engine may read them in order and test each.
func selectionCommonText(t *testing.T, f *fixture) {
	const many = 6000
	_, err := f.ImportClientes(t.Context(), 0, func(yield func(store.Cliente, error) bool) {
		for i := range many {
			c := store.Cliente{Name: fmt.Sprintf("Common %d", many-i)}
			if i%7 == 0 {
				c.Name = fmt.Sprintf("Rare %d", i)
			}
			if !yield(c, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []store.Cliente
	err = f.EachCliente(t.Context(), store.Selection{}, func(c store.Cliente) error {
		all = append(all, c)
		return nil
	})
	if err != nil || len(all) != many {
		t.Fatal(len(all), err)
	}
	for _, sel := range orders() {
		sel.Text = "common"
		wantSelection(t, t.Context(), f, sel, all, 1000)
	}
	wantSelection(t, t.Context(), f,
		store.Selection{Sort: store.ByName, Filter: store.Filter{Text: "rare 5"}}, all, 100)
}

func selectionEmail(t *testing.T, f *fixture) {
	var all []store.Cliente
	for i, email := range []string{"", "Ana@Example.com", "ana@example.com.br",
		"müller@example.com", "x'y@example.com", ""} {
		all = append(all, f.cliente(t, fmt.Sprint(i), email))
	}
	for _, email := range []string{"ana@example.com", "ANA@EXAMPLE.COM", "ana@example",
		"MÜLLER@example.com", "x'y@example.com", "%", "a_a@example.com"} {
		byEmail := store.Selection{Filter: store.Filter{Email: email}}
		wantSelection(t, t.Context(), f, byEmail, all, 2)
		byBoth := store.Selection{Sort: store.ByName, Filter: store.Filter{Email: email, Text: "1"}}
		wantSelection(t, t.Context(), f, byBoth, all, 2)
	}
}

func selectionUpdatedSince(t *testing.T, f *fixture) {
	var all []store.Cliente
	for i := range 5 {
		f.clock.add(time.Millisecond)
		all = append(all, f.cliente(t, fmt.Sprint("name ", i), ""))
	}
	for _, since := range []time.Time{
		all[0].UpdatedAt.Add(-time.Hour), all[2].UpdatedAt,
		all[2].UpdatedAt.In(time.FixedZone("", 3600)), all[2].UpdatedAt.Add(time.Millisecond),
		all[2].UpdatedAt.Add(time.Millisecond / 2), // the kept instant was cut to milliseconds
		all[4].UpdatedAt, all[4].UpdatedAt.Add(time.Millisecond), time.Date(9999, 12, 31, 23, 59,
			59, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC),
	} {
		for _, sel := range orders() {
			sel.UpdatedSince = since
			wantSelection(t, t.Context(), f, sel, all, 2)
			sel.Text = "name"
			wantSelection(t, t.Context(), f, sel, all, 2)
		}
	}
}

func selectionEachError(t *testing.T, f *fixture) {
	for i := range 2000 { // more than one batch of rows
		f.cliente(t, fmt.Sprint(i), "")
	}
	refusal := errors.New("enough")
	// More often than there are connections, so that a connection that was not released is missed.
	for range 40 {
		n := 0
		err := f.EachCliente(t.Context(), store.Selection{}, func(store.Cliente) error {
			n++
			if n == 2 {
				return refusal
			}
			return nil
		})
		if err != refusal || n != 2 {
			t.Fatalf("after %d: %v", n, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := f.EachCliente(ctx, store.Selection{}, func(store.Cliente) error {
		cancel()
		return ctx.Err()
	})
	wantErr(t, err, context.Canceled)
	_, err = f.CountClientes(ctx, store.Filter{Text: "abc"})
	wantErr(t, err, context.Canceled)
	_, err = f.Clientes(ctx, store.Selection{Filter: store.Filter{Text: "abc"}}, store.Position{},
		1)
	wantErr(t, err, context.Canceled)
	// The error is the context's own, whatever ended it.
	ctx, cancelFor := context.WithCancelCause(t.Context())
	err = f.EachCliente(ctx, store.Selection{}, func(store.Cliente) error {
		cancelFor(errors.New("a reason"))
		return nil
	})
	wantErr(t, err, context.Canceled)
	f.cliente(t, "goes on", "")
}

func selectionEachMoment(t *testing.T, f *fixture) {
	var all []store.Cliente
	for i := range 300 { // more than a driver fetches ahead
		all = append(all, f.cliente(t, fmt.Sprint("name ", i, strings.Repeat("x", 150)), ""))
	}
	var seen []store.Cliente
	err := f.EachCliente(t.Context(), store.Selection{}, func(c store.Cliente) error {
		seen = append(seen, c)
		if len(seen) == 1 {
			for _, c := range all[100:] {
				f.drop(t, c.ID)
			}
			f.cliente(t, "late", "")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(seen, all) {
		t.Errorf("saw %d records of %d", len(seen), len(all))
	}
}

// walk is a reader who goes from page to page while others write.
type walk struct {
	sel   store.Selection
	limit int
	after store.Position
	there map[int64]bool // the records that were there from the beginning, and still are
	seen  map[int64]int
}

func selectionModel(t *testing.T, f *fixture) {
	user := f.user(t, "ana", store.Editor)
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		m := &model{
			f:         f,
			by:        user,
			records:   make(map[int64]store.Cliente),
			histories: make(map[int64][]store.Change),
		}
		var walks []*walk
		defer m.clear(t, ctx)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0, 1:
				m.create(t, ctx)
			case 2, 3:
				m.update(t, ctx)
			case 4:
				if id := m.delete(t, ctx); id != 0 {
					for _, w := range walks {
						delete(w.there, id)
					}
				}
			case 5:
				f.clock.add(time.Duration(rapid.IntRange(-2, 5).Draw(t, "ms")) * time.Millisecond)
			case 6:
				w := &walk{
					sel: store.Selection{
						Sort: rapid.SampledFrom([]store.Sort{store.ByID,
							store.ByCreated}).Draw(t, "sort"),
						Descending: rapid.Bool().Draw(t, "descending"),
					},
					limit: rapid.IntRange(1, 4).Draw(t, "limit"),
					there: make(map[int64]bool),
					seen:  make(map[int64]int),
				}
				for id := range m.records {
					w.there[id] = true
				}
				walks = append(walks, w)
			case 7:
				if len(walks) > 0 {
					rapid.SampledFrom(walks).Draw(t, "walk").step(t, ctx, f)
				}
			case 8:
				m.read(t, ctx)
			}
		}
		for _, w := range walks {
			for w.step(t, ctx, f) {
			}
			for id := range w.there {
				if w.seen[id] != 1 {
					t.Errorf("%+v saw %d %d times", w.sel, id, w.seen[id])
				}
			}
			for id, n := range w.seen {
				if n > 1 {
					t.Errorf("%+v saw %d %d times", w.sel, id, n)
				}
			}
		}
		m.compare(t, ctx)
	})
}

// step reads one more page and reports whether there was anything on it.
func (w *walk) step(t *rapid.T, ctx context.Context, f *fixture) bool {
	page, err := f.Clientes(ctx, w.sel, w.after, w.limit)
	if err != nil {
		t.Fatalf("%+v: %v", w.sel, err)
	}
	for _, c := range page {
		w.seen[c.ID]++
		w.after = w.sel.Sort.Position(c)
	}
	return len(page) > 0
}

// model is what the store should hold, in maps.
type model struct {
	f         *fixture
	by        store.User
	records   map[int64]store.Cliente
	histories map[int64][]store.Change // the oldest first
}

// text draws a text that is easily confused with another.
func text(t *rapid.T, label string) string {
	alphabet := []rune("aAáÁaàbBßsS%_\"'*-^:( )ﬁfiİıσςΣﷺ日本한국😀e\u0301")
	return rapid.StringOfN(rapid.OneOf(rapid.SampledFrom(alphabet), rapid.Rune()), 0, 6, -1).Draw(t,
		label)
}

// draw returns a valid record.
func (m *model) draw(t *rapid.T) store.Cliente {
	c := store.Cliente{
		Name:    "n" + text(t, "name"),
		Company: text(t, "company"),
		Phone:   text(t, "phone"),
		Notes:   text(t, "notes"),
	}
	if rapid.Bool().Draw(t, "has email") {
		c.Email = rapid.SampledFrom([]string{"a@example.com", "A@example.com", "b@example.com",
			"ß@example.com", "SS@example.com"}).Draw(t, "email")
	}
	c, err := c.Validate()
	if err != nil {
		t.Skip(err) // a control character
	}
	return c
}

func (m *model) taken(c store.Cliente, but int64) bool {
	for id, other := range m.records {
		if id != but && c.Email != "" && store.EmailKey(other.Email) == store.EmailKey(c.Email) {
			return true
		}
	}
	return false
}

func (m *model) keep(c store.Cliente, action store.Action) {
	m.records[c.ID] = c
	m.histories[c.ID] = append(m.histories[c.ID], store.Change{
		Version: c.Version, Action: action, UserID: m.by.ID, User: m.by.Name, At: c.UpdatedAt,
		Record: c,
	})
}

func (m *model) create(t *rapid.T, ctx context.Context) {
	c := m.draw(t)
	got, err := m.f.CreateCliente(ctx, m.by.ID, c)
	if m.taken(c, 0) {
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			t.Fatalf("create with a taken email: %v", err)
		}
		return
	}
	if err != nil || !got.SameText(c) || got.Version != 1 {
		t.Fatalf("create: %+v, %v", got, err)
	}
	m.keep(got, store.Created)
}

// any returns the id of a record, 0 if there is none.
func (m *model) any(t *rapid.T) int64 {
	if len(m.records) == 0 {
		return 0
	}
	ids := make([]int64, 0, len(m.records))
	for id := range m.records {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids[rapid.IntRange(0, len(ids)-1).Draw(t, "which")]
}

func (m *model) update(t *rapid.T, ctx context.Context) {
	id := m.any(t)
	if id == 0 {
		return
	}
	old, c := m.records[id], m.draw(t)
	got, err := m.f.UpdateCliente(ctx, m.by.ID, id, func(now store.Cliente) (store.Cliente, error) {
		if now != old {
			t.Errorf("the store has %+v, the model %+v", now, old)
		}
		return c, nil
	})
	switch {
	case m.taken(c, id):
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			t.Fatalf("update to a taken email: %v", err)
		}
	case err != nil || !got.SameText(c):
		t.Fatalf("update: %+v, %v", got, err)
	case c.SameText(old):
		if got != old {
			t.Fatalf("an update that changed nothing returned %+v of %+v", got, old)
		}
	default:
		if got.Version != old.Version+1 {
			t.Fatalf("version %d after %d", got.Version, old.Version)
		}
		m.keep(got, store.Updated)
	}
}

func (m *model) delete(t *rapid.T, ctx context.Context) int64 {
	id := m.any(t)
	if id == 0 {
		return 0
	}
	err := m.f.DeleteCliente(ctx, m.by.ID, id, func(store.Cliente) error { return nil })
	if err != nil {
		t.Fatalf("delete: %v", err)
	}
	c := m.records[id]
	delete(m.records, id)
	at := m.f.now()
	if at.Before(c.UpdatedAt) {
		at = c.UpdatedAt
	}
	m.histories[id] = append(m.histories[id], store.Change{
		Version: c.Version + 1, Action: store.Deleted, UserID: m.by.ID, User: m.by.Name, At: at,
		Record: c,
	})
	return id
}

func (m *model) all() []store.Cliente {
	var all []store.Cliente
	for _, c := range m.records {
		all = append(all, c)
	}
	return all
}

// read compares one selection.
func (m *model) read(t *rapid.T, ctx context.Context) {
	sel := rapid.SampledFrom(orders()).Draw(t, "order")
	if rapid.Bool().Draw(t, "by text") {
		sel.Text = text(t, "text")
		if strings.ContainsAny(sel.Text, "\x00\n\t") {
			sel.Text = ""
		}
	}
	if rapid.Bool().Draw(t, "since") {
		sel.UpdatedSince = m.f.now().Add(time.Duration(rapid.IntRange(-5, 2).Draw(t,
			"ms")) * time.Millisecond)
	}
	wantSelection(t, ctx, m.f, sel, m.all(), rapid.IntRange(1, 10).Draw(t, "limit"))
}

// compare compares everything in the store with the model.
func (m *model) compare(t *rapid.T, ctx context.Context) {
	wantSelection(t, ctx, m.f, store.Selection{}, m.all(), 10)
	for id, want := range m.histories {
		got, err := m.f.ClienteHistory(ctx, id, 0, math.MaxInt32)
		slices.Reverse(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("history of %d: %v\n got %s\nwant %s", id, err, clip(got), clip(want))
		}
	}
}

// clear empties the store for the next run.
func (m *model) clear(t *rapid.T, ctx context.Context) {
	for id := range m.records {
		err := m.f.DeleteCliente(ctx, m.by.ID, id, func(store.Cliente) error { return nil })
		if err != nil {
			t.Fatalf("clear: %v", err)
		}
	}
}
