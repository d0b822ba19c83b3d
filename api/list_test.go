package api

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/store"
)

// nextPage returns the path of the next page, from the Link header.
func nextPage(a answer) string {
	path, _ := strings.CutSuffix(a.header.Get("Link"), `>; rel="next"`)
	return strings.TrimPrefix(path, "<")
}

func idsOf(t testing.TB, body string) []int64 {
	t.Helper()
	var list []struct {
		ID int64 `json:"id"`
	}
	authtest.Must(t, json.Unmarshal([]byte(body), &list))
	ids := []int64{}
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

// walk follows the links from the first page of a list to the last and returns the ids of all
// pages. It checks that each Link is relative to the host and keeps every parameter.
func (f *fixture) walk(query url.Values) (ids []int64) {
	f.t.Helper()
	limit := defaultLimit
	if query.Has("limit") {
		limit, _ = strconv.Atoi(query.Get("limit"))
	}
	kept := url.Values{"limit": {strconv.Itoa(limit)}}
	for name, values := range query {
		kept[name] = values
	}
	totals := make(map[string]bool)
	for path := "/clientes?" + query.Encode(); path != ""; {
		if len(ids) > 1000 {
			f.t.Fatalf("%s walks without an end", query.Encode())
		}
		a := f.as(store.Viewer, "GET", path, "")
		if f.want(a, 200, ""); a.status != 200 {
			return nil
		}
		page := idsOf(f.t, a.body)
		ids = append(ids, page...)
		totals[a.header.Get("X-Total-Count")] = true
		if path = nextPage(a); path == "" {
			break
		}
		u, err := url.Parse(path)
		authtest.Must(f.t, err)
		q := u.Query()
		q.Del("cursor")
		if len(page) != limit || !strings.HasPrefix(path, "/clientes?") ||
			q.Encode() != kept.Encode() {
			f.t.Errorf("%s has a page of %d, and then %s", query.Encode(), len(page), path)
		}
	}
	want := ""
	if query.Has("count") {
		want = strconv.Itoa(len(ids))
	}
	if len(totals) != 1 || !totals[want] {
		f.t.Errorf("%s counts %v, and has %d", query.Encode(), totals, len(ids))
	}
	return ids
}

// all returns every record, by id.
func (f *fixture) all() (all []store.Cliente) {
	f.t.Helper()
	collect := func(c store.Cliente) error {
		all = append(all, c)
		return nil
	}
	authtest.Must(f.t, f.store.EachCliente(f.t.Context(), store.Selection{}, collect))
	return all
}

// order returns the ids of records in the order of a sort parameter, such as "-name".
func order(all []store.Cliente, sort string) []int64 {
	by, descending := strings.CutPrefix(sort, "-")
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b store.Cliente) int {
		n := 0
		switch by {
		case "name":
			n = cmp.Compare(store.SortKey(a.Name), store.SortKey(b.Name))
		case "created_at":
			n = a.CreatedAt.Compare(b.CreatedAt)
		case "updated_at":
			n = a.UpdatedAt.Compare(b.UpdatedAt)
		}
		if n = cmp.Or(n, cmp.Compare(a.ID, b.ID)); descending {
			return -n
		}
		return n
	})
	ids := make([]int64, len(all))
	for i, c := range all {
		ids[i] = c.ID
	}
	return ids
}

func TestPaging(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		var want []int64
		for i := range 25 {
			want = append(want, f.add(store.Cliente{Name: fmt.Sprint(i)}).ID)
		}
		for _, limit := range []string{"1", "7", "24", "25", "1000"} {
			if got := f.walk(url.Values{"limit": {limit}}); !slices.Equal(got, want) {
				t.Errorf("limit %q walks %v", limit, got)
			}
		}
		if got := f.walk(nil); !slices.Equal(got, want) {
			t.Errorf("without a limit it walks %v", got)
		}
		f.add(store.Cliente{Name: "25"})
		if a := f.as(store.Viewer, "GET", "/clientes?limit=26", ""); nextPage(a) != "" {
			t.Errorf("after the last page comes %s", nextPage(a))
		}
	})
}

func TestADefaultPageHasAHundred(t *testing.T) {
	f := onSQLite(t)
	for i := range 101 {
		f.add(store.Cliente{Name: fmt.Sprint(i)})
	}
	a := f.as(store.Viewer, "GET", "/clientes", "")
	if n := len(idsOf(t, a.body)); n != 100 || nextPage(a) == "" {
		t.Errorf("%d records, next %q", n, nextPage(a))
	}
}

// A page is bounded in bytes too, and the walk goes on after it.
func TestAPageOfLongNotesIsShorter(t *testing.T) {
	f := onSQLite(t)
	notes := strings.Repeat("😀", store.MaxNotes)
	var want []int64
	for i := range 2*maxPage/len(notes) + 1 {
		want = append(want, f.add(store.Cliente{Name: fmt.Sprint(i), Notes: notes}).ID)
	}
	var got []int64
	pages := 0
	for path := "/clientes?limit=1000"; path != ""; pages++ {
		a := f.as(store.Viewer, "GET", path, "")
		if f.want(a, 200, ""); len(a.body) > maxPage+1<<16 {
			t.Errorf("a page has %d bytes", len(a.body))
		}
		got = append(got, idsOf(t, a.body)...)
		path = nextPage(a)
	}
	if pages != 3 || !slices.Equal(got, want) {
		t.Errorf("%d pages walk %d of %d", pages, len(got), len(want))
	}
}

func TestSorts(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		// Pairs are created at the same instant, and more than two have the same name.
		for i, name := range []string{
			"Zeta", "ÁNA", "álvaro", "Ana", "_under", "日本", "ana", "Éva", "ßtraße", "bia 2", "Bia",
		} {
			f.add(store.Cliente{Name: name})
			c.Advance(time.Duration(i%2) * time.Millisecond)
		}
		for i, id := range []int64{7, 2, 9, 4} {
			c.Advance(time.Duration(i%2) * time.Millisecond)
			f.want(f.as(store.Editor, "PATCH", clientePath(id), `{"notes":"x"}`), 200, "")
		}
		all := f.all()
		var names []string
		for _, id := range f.walk(url.Values{"sort": {"name"}, "limit": {"4"}}) {
			names = append(names, all[id-1].Name)
		}
		want := "_under álvaro ÁNA Ana ana Bia bia 2 Éva ßtraße Zeta 日本"
		if strings.Join(names, " ") != want {
			t.Errorf("by name: %q", names)
		}
		for _, by := range []string{"id", "name", "created_at", "updated_at"} {
			for _, sort := range []string{by, "-" + by} {
				want := order(all, sort)
				for _, limit := range []string{"1", "3", "11"} {
					got := f.walk(url.Values{"sort": {sort}, "limit": {limit}})
					if !slices.Equal(got, want) {
						t.Errorf("sort %s by %s walks\n%v, want\n%v", sort, limit, got, want)
					}
				}
			}
		}
	})
}

// Filters work together, in several orders.
func TestFiltersTogether(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		var middle time.Time
		for i := range 12 {
			if c.Advance(time.Millisecond); i == 6 {
				middle = c.Now()
			}
			f.add(store.Cliente{
				Name:    fmt.Sprintf("Ána %d", i%5),
				Email:   fmt.Sprintf("Ana%d@example.com", i),
				Company: fmt.Sprint("Nº", i%3),
			})
		}
		all := f.all()
		parameters := []struct{ name, value string }{
			{"q", "na 1"}, {"q", "nº2"}, {"email", "ANA7@example.com"},
			{"updated_since", middle.Format(time.RFC3339Nano)}, {"count", "exact"},
		}
		for subset := range 1 << len(parameters) {
			query := make(url.Values)
			for i, p := range parameters {
				if subset&(1<<i) != 0 {
					query.Set(p.name, p.value)
				}
			}
			want := slices.DeleteFunc(slices.Clone(all), func(c store.Cliente) bool {
				return !c.Matches(query.Get("q")) ||
					query.Has("email") && c.Email != "Ana7@example.com" ||
					query.Has("updated_since") && c.UpdatedAt.Before(middle)
			})
			for _, sort := range []string{"", "-id", "name", "-updated_at"} {
				if query.Set("sort", sort); sort == "" {
					query.Del("sort")
				}
				query.Set("limit", "2")
				if got := f.walk(query); !slices.Equal(got, order(want, sort)) {
					t.Errorf("%s walks %v, want %v", query.Encode(), got, order(want, sort))
				}
			}
		}
		a := f.as(store.Viewer, "HEAD", "/clientes?count=exact&q=ana", "")
		if total := a.header.Get("X-Total-Count"); total != "12" {
			t.Errorf("HEAD counts %q", total)
		}
	})
}

func TestSearch(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, c := range []store.Cliente{
			{Name: "José Ángel", Email: "jose@example.com"},            // 1
			{Name: "100% Real_Company"},                                // 2
			{Name: `O'Brien "Bob"`},                                    // 3
			{Name: `back\slash *star* (paren) {x}:y^z`},                // 4
			{Name: "NEAR AND OR NOT"},                                  // 5
			{Name: "Straße Müller"},                                    // 6
			{Name: "Σίσυφος"},                                          // 7
			{Name: "李雷"},                                               // 8
			{Name: "Jo"},                                               // 9
			{Name: "company", Company: "jota & co"},                    // 10
			{Name: "phone", Phone: "+55 11 99999-0000"},                // 11
			{Name: "hidden", Notes: "treasure", Address: "treasure"},   // 12
			{Name: "ǅ one", Email: "ünï@exämple.com", Company: "ﬁrst"}, // 13
		} {
			f.add(c)
		}
		for q, want := range map[string]string{
			"": "[1 2 3 4 5 6 7 8 9 10 11 12 13]",
			// Wildcards, quotes and operators are text.
			"100%": "[2]", "0% r": "[2]", "%": "[]", "%%%": "[]", "l_c": "[2]", "l-c": "[]",
			"_": "[]", "___": "[]", "1_0": "[]",
			"o'b": "[3]", `"bob"`: "[3]", `n "b`: "[3]", `'`: "[]", `"`: "[]", `""`: "[]",
			`"""`: "[]", `' OR '1'='1`: "[]",
			`k\s`: "[4]", `\sl`: "[4]", `\\s`: "[]", `\`: "[]", "*star*": "[4]", "sta*": "[]",
			"***": "[]", "(par": "[4]", "en)": "[4]",
			"{x}": "[4]", "x}:y": "[4]", "y^z": "[4]", "^bac": "[]", "-jose": "[]", "+jose": "[]",
			"name:jose": "[]", "search:jose": "[]",
			"near and": "[5]", "AND OR": "[5]", "jose OR jota": "[]", "jose NOT xyz": "[]",
			"NEAR(jose angel)": "[]", "jose jota": "[]",
			// Neither case nor accents make a difference.
			"jose": "[1]", "JOSÉ": "[1]", "sé áng": "[1]", "jose\u0301": "[1]", "strasse": "[6]",
			"STRASSE MU": "[6]", "aße": "[6]", "ΣΊΣ": "[7]",
			"ΦΟΣ": "[7]", "uni@exa": "[13]", "dž one": "[13]", "FIR": "[13]", "ﬁr": "[13]",
			// A text of one or two characters is the beginning of a name, email or company.
			"j": "[1 9 10]", "JO": "[1 9 10]", "jó": "[1 9 10]", "os": "[]", "李": "[8]", "雷": "[]",
			"李雷": "[8]", "u": "[13]", "ﬁ": "[13]", "ß": "[]",
			"+": "[]", "+5": "[]", "o'": "[3]", "1": "[2]",
			// The phone is searched; address and notes are not.
			"+55 11": "[11]", "99-0": "[11]", "treasure": "[]",
			// The engines search one text, but no match may reach from one field into the next.
			"gel jose": "[]", "angeljose": "[]", "com+55": "[]",
		} {
			if got := fmt.Sprint(f.walk(url.Values{"q": {q}, "limit": {"5"}})); got != want {
				t.Errorf("%q finds %s, want %s", q, got, want)
			}
			got := f.walk(url.Values{"q": {q}, "sort": {"-name"}, "count": {"exact"}})
			if len(got) != strings.Count(want, " ")+min(len(want)-2, 1) {
				t.Errorf("%q by name finds %v, want %s", q, got, want)
			}
		}
	})
}

func TestEmailFilter(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.add(store.Cliente{Name: "1", Email: "Ána@Example.com"})
		f.add(store.Cliente{Name: "2", Email: "ana@example.com"})
		f.add(store.Cliente{Name: "3"})
		for email, want := range map[string]string{
			"ana@example.com": "[2]", "ANA@EXAMPLE.COM": "[2]", "ána@example.com": "[1]",
			"A\u0301NA@example.com": "[1]",
			"ana@example":           "[]", "na@example.com": "[]", "%": "[]", "ana": "[]",
			"'OR''='": "[]",
		} {
			if got := fmt.Sprint(f.walk(url.Values{"email": {email}})); got != want {
				t.Errorf("%q finds %s, want %s", email, got, want)
			}
		}
	})
}

func TestUpdatedSince(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		f.add(store.Cliente{Name: "1"})
		f.add(store.Cliente{Name: "2"})
		c.Advance(time.Millisecond)
		f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"notes":"x"}`), 200, "")
		at := c.Now()
		west := at.In(time.FixedZone("", -(3*60+30)*60))
		for since, want := range map[string]string{
			at.Format(time.RFC3339Nano):                                "[1]", // inclusive
			at.Add(time.Microsecond).Format(time.RFC3339Nano):          "[]",
			at.Add(time.Millisecond).Format(time.RFC3339Nano):          "[]",
			at.Add(-time.Nanosecond).Format(time.RFC3339Nano):          "[1]",
			at.Add(-time.Millisecond).Format(time.RFC3339Nano):         "[1 2]",
			west.Format("2006-01-02T15:04:05.000000Z07:00"):            "[1]",
			at.In(time.FixedZone("", 9*3600)).Format(time.RFC3339Nano): "[1]",
			"0000-01-01T00:00:00Z":                                     "[1 2]",
			"0001-01-01T00:00:00Z":                                     "[1 2]",
			"0001-01-01T00:00:00+23:59":                                "[1 2]",
			"1969-12-31T23:59:59.999Z":                                 "[1 2]",
			"9999-12-31T23:59:59.9999-23:59":                           "[]",
		} {
			if got := fmt.Sprint(f.walk(url.Values{"updated_since": {since}})); got != want {
				t.Errorf("since %s: %s, want %s", since, got, want)
			}
		}
	})
}

// Each parameter is read strictly, on every route that takes it, and a refusal names it.
func TestParameters(t *testing.T) {
	f := onSQLite(t)
	f.add(store.Cliente{Name: "Ana"})
	const list, export, history = "/clientes", "/clientes/export", "/clientes/1/history"
	for _, c := range []struct {
		name   string
		paths  []string
		good   []string
		values []string
	}{
		{
			"limit", []string{list, history}, []string{"1", "100", "1000"},
			[]string{"", "0", "1001", "-1", "+1", "1 0", "x", "1.5", "1e2", "0x10", "1_0",
				"99999999999999999999", "1\x00", "１"},
		},
		{
			"cursor", []string{list, history}, nil,
			[]string{"", "x", "0", "aWQ6MQ", "1", strings.Repeat("A", 30),
				strings.Repeat("A", 5000), "é", "\x00"},
		},
		{
			"sort", []string{list, export},
			[]string{"id", "-id", "name", "-name", "created_at", "-created_at", "updated_at",
				"-updated_at"},
			[]string{"", "-", "Name", "nome", "email", "--name", "+name", "name,id",
				"name desc", "name;", "search", "id\x00"},
		},
		{
			"q", []string{list, export},
			[]string{"", "a", strings.Repeat("é", maxText), "%", "a\u2028b"},
			[]string{strings.Repeat("é", maxText+1), "\x00", "a\nb", "a\tb", "\xff", "a\u0085b"},
		},
		{
			"email", []string{list, export}, []string{"ana@example.com", "no-address"},
			[]string{"", "a\x00@b", "\xff@b", strings.Repeat("a", store.MaxEmail+1), "a\n@b"},
		},
		{
			"updated_since", []string{list, export},
			[]string{"2026-11-22T18:00:00Z", "2026-11-22T18:00:00.123456789+01:00",
				"2024-02-29T00:00:00Z"},
			[]string{
				"", "yesterday", "1700000000", "2026-11-22", "2026-11-22T18:00:00",
				"2026-11-22 18:00:00Z", "2026-11-22T18:00:00 01:00",
				"2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-22T24:00:00Z",
				"2026-11-22T18:60:00Z", "2026-11-22T18:00:00,5Z",
				"2026-11-22T8:00:00Z", "2026-11-22T18:00:00+25:00", "2026-11-22T18:00Z",
				"20261122T180000Z", "-001-11-22T18:00:00Z",
				"12026-11-22T18:00:00Z", "2026-11-22T18:00:00Z\x00",
			},
		},
		{"count", []string{list}, []string{"exact"},
			[]string{"", "1", "true", "EXACT", "exa ct", "estimated"}},
	} {
		for _, path := range []string{list, export, history, "/clientes/1"} {
			ask := func(query string) answer {
				return f.as(store.Viewer, "GET", path+"?"+query, "")
			}
			if !slices.Contains(c.paths, path) {
				f.want(ask(c.name+"=1"), 400, "invalid_parameter")
				continue
			}
			for _, v := range c.good {
				if a := ask(url.Values{c.name: {v}}.Encode()); a.status != 200 {
					t.Errorf("GET %s with %s=%q answered %d %s", path, c.name, v, a.status, a.body)
				}
			}
			for _, v := range c.values {
				a := ask(url.Values{c.name: {v}}.Encode())
				f.want(a, 400, "invalid_parameter")
				if !strings.Contains(a.body, `\"`+c.name+`\"`) {
					t.Errorf("GET %s with %s=%q does not name it: %s", path, c.name, v, a.body)
				}
			}
			for _, query := range []string{
				c.name + "=1&" + c.name + "=1", strings.ToUpper(c.name) + "=1", "x=1",
			} {
				name, _, _ := strings.Cut(query, "=")
				a := ask(query)
				if f.want(a, 400, "invalid_parameter"); !strings.Contains(a.body, `\"`+name+`\"`) {
					t.Errorf("GET %s with %s does not name it: %s", path, query, a.body)
				}
			}
		}
	}
	for _, query := range []string{
		"%zz", "limit=1;cursor=x", "limit=%", "=1", "offset=1", "page=1", "limit", "x",
	} {
		f.want(f.as(store.Viewer, "GET", "/clientes?"+query, ""), 400, "invalid_parameter")
	}
	for text, status := range map[string]int{
		"1": 200, "4611686018427387904": 200, "0": 400, "-1": 400, "": 400,
	} {
		cursor := f.auth.SignCursor("/clientes?", text)
		a := f.as(store.Viewer, "GET", "/clientes?cursor="+cursor, "")
		if a.status != status {
			t.Errorf("the signed position %q answered %d", text, a.status)
		}
	}
	f.want(f.as(store.Editor, "POST", "/clientes?limit=1", `{"name":"x"}`),
		400, "invalid_parameter")
	f.want(f.as(store.Editor, "POST", "/clientes/import?sort=id", "name\n",
		"Content-Type", "text/csv"),
		400, "invalid_parameter")
}

// cursorOf returns the cursor of the second page of a list.
func (f *fixture) cursorOf(path string) string {
	f.t.Helper()
	u, err := url.Parse(nextPage(f.as(store.Viewer, "GET", path, "")))
	authtest.Must(f.t, err)
	cursor := u.Query().Get("cursor")
	if cursor == "" {
		f.t.Fatalf("%s has no second page", path)
	}
	return cursor
}

// The cursor of a list is refused by all other lists.
func TestACursorBelongsToItsList(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for range 3 {
			path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
			f.want(f.as(store.Editor, "PATCH", path, `{"name":"Ána"}`), 200, "")
		}
		lists := []string{
			"/clientes?limit=1", "/clientes?limit=1&sort=id", "/clientes?limit=1&sort=-id",
			"/clientes?limit=1&sort=name", "/clientes?limit=1&sort=-name",
			"/clientes?limit=1&sort=created_at", "/clientes?limit=1&sort=-created_at",
			"/clientes?limit=1&sort=updated_at",
			"/clientes?limit=1&q=ana", "/clientes?limit=1&q=an", "/clientes?limit=1&q=",
			"/clientes?limit=1&q=ana&sort=name",
			"/clientes?limit=1&updated_since=2020-01-01T00:00:00Z",
			"/clientes?limit=1&updated_since=2020-01-01T00:00:01Z",
			"/clientes/1/history?limit=1", "/clientes/2/history?limit=1",
		}
		for _, from := range lists {
			cursor := f.cursorOf(from)
			for _, to := range lists {
				a := f.as(store.Viewer, "GET", to+"&cursor="+cursor, "")
				switch {
				case from == to:
					f.want(a, 200, "")
				case a.status != 400 || a.code() != "invalid_parameter" ||
					!strings.Contains(a.body, `\"cursor\"`):
					t.Errorf("the cursor of %s at %s: %d %s", from, to, a.status, a.body)
				}
			}
		}
		// Neither the size of a page nor the count is of the list.
		cursor := f.cursorOf(lists[0])
		a := f.as(store.Viewer, "GET", "/clientes?count=exact&limit=7&cursor="+cursor, "")
		if f.want(a, 200, ""); fmt.Sprint(idsOf(t, a.body)) != "[2 3]" ||
			a.header.Get("X-Total-Count") != "3" {
			t.Errorf("counted %s of %s", a.header.Get("X-Total-Count"), a.body)
		}
		a = f.as(store.Viewer, "GET", "/clientes?email=ana@example.com&limit=1&cursor="+cursor, "")
		f.want(a, 400, "invalid_parameter")
	})
}

// Whatever byte of a cursor is changed, it is refused.
func TestATamperedCursor(t *testing.T) {
	f := onSQLite(t)
	for range 2 {
		path := clientePath(f.add(store.Cliente{Name: "Ana"}).ID)
		f.want(f.as(store.Editor, "PATCH", path, `{"name":"Ána"}`), 200, "")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, list := range []string{
		"/clientes?limit=1", "/clientes?limit=1&sort=-name", "/clientes/1/history?limit=1",
	} {
		cursor := f.cursorOf(list)
		refused := func(tampered string) {
			t.Helper()
			if strings.TrimSpace(tampered) == cursor { // white space around it is no part of it
				return
			}
			a := f.as(store.Viewer, "GET", list+"&cursor="+url.QueryEscape(tampered), "")
			if a.status != 400 || a.code() != "invalid_parameter" ||
				!strings.Contains(a.body, `\"cursor\"`) {
				t.Errorf("%q in the place of %q: %d %s", tampered, cursor, a.status, a.body)
			}
		}
		for i := range len(cursor) {
			at := strings.IndexByte(alphabet, cursor[i])
			for bit := 1; bit < 64; bit <<= 1 { // the last ones are beyond the last whole byte
				refused(cursor[:i] + alphabet[at^bit:at^bit+1] + cursor[i+1:])
			}
			refused(cursor[:i])
			refused(cursor[i:] + cursor[:i])
			refused(cursor[:i] + "\n" + cursor[i:])
			refused(cursor[:i] + "\r\n" + cursor[i:])
			refused(cursor[:i] + " " + cursor[i:])
		}
		for _, tail := range []string{"=", "==", "\n", "\r\n", "A", "\x00", cursor} {
			refused(cursor + tail)
		}
		refused(strings.NewReplacer("-", "+", "_", "/", "A", "+").Replace(cursor))
		refused(strings.ToLower(cursor))
		f.want(f.as(store.Viewer, "GET", list+"&cursor="+cursor, ""), 200, "")
	}
}

// Cursors follow the rotation of the secret.
func TestCursorsAndSecrets(t *testing.T) {
	f := onSQLite(t)
	for range 3 {
		f.add(store.Cliente{Name: "Ana"})
	}
	const list = "/clientes?limit=1"
	old := f.cursorOf(list)
	serveWith := func(secret string, previous ...string) {
		t.Helper()
		a, err := auth.New(auth.Config{
			Store: f.store, Gate: password.NewGate(quickHasher, 2, 64), Secret: secret,
			Previous: previous, Issuer: "clientes", Audience: "clientes",
			TokenTTL: 300 * time.Second, SessionIdle: 30 * time.Minute, SessionMax: 720 * time.Hour,
			Now: time.Now, Log: f.server.cfg.Log,
		})
		authtest.Must(t, err)
		f.auth, f.server.cfg.Auth = a, a
		f.tokens[store.Viewer] = f.login(store.Viewer)
	}
	const newSecret = "another secret of thirty-two byte"
	serveWith(newSecret, testSecret)
	f.want(f.as(store.Viewer, "GET", list+"&cursor="+old, ""), 200, "")
	renewed := f.cursorOf(list)
	if renewed == old {
		t.Error("a new cursor is signed with the previous secret")
	}
	serveWith(newSecret)
	f.want(f.as(store.Viewer, "GET", list+"&cursor="+renewed, ""), 200, "")
	f.want(f.as(store.Viewer, "GET", list+"&cursor="+old, ""), 400, "invalid_parameter")
	serveWith(testSecret)
	f.want(f.as(store.Viewer, "GET", list+"&cursor="+renewed, ""), 400, "invalid_parameter")
	f.want(f.as(store.Viewer, "GET", list+"&cursor="+old, ""), 200, "")
}

// A walk sees every record that was there, whatever happens to the pages that it has left.
func TestAWalkSkipsNobody(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i := range 10 {
			f.add(store.Cliente{Name: fmt.Sprint(i)})
		}
		var got []int64
		for path := "/clientes?limit=2&sort=-created_at"; path != ""; {
			a := f.as(store.Viewer, "GET", path, "")
			page := idsOf(t, a.body)
			got = append(got, page...)
			// The next page begins after this record, which no longer exists.
			f.want(f.as(store.Editor, "DELETE", clientePath(page[len(page)-1]), ""), 204, "")
			f.want(f.as(store.Editor, "PATCH", clientePath(page[0]), `{"notes":"x"}`), 200, "")
			f.add(store.Cliente{Name: "new"})
			path = nextPage(a)
		}
		if fmt.Sprint(got) != "[10 9 8 7 6 5 4 3 2 1]" {
			t.Errorf("walked %v", got)
		}
	})
}

// A cursor is accepted only if it was signed, in one spelling, and its position comes back as it
// was.
func FuzzCursor(f *testing.F) {
	a, err := auth.New(auth.Config{
		Store:  struct{ auth.Store }{}, // nobody asks it
		Secret: testSecret, Issuer: "clientes", Audience: "clientes", TokenTTL: time.Minute,
		Now: time.Now,
	})
	authtest.Must(f, err)
	f.Add("", a.SignCursor("/clientes?", "1"), "ana", int64(1), int64(0))
	f.Add("sort=name", a.SignCursor("/clientes?sort=name", "7 ana maria"), " ", int64(1)<<62,
		int64(1_700_000_000_123))
	f.Add("sort=-updated_at", a.SignCursor("/clientes?sort=-updated_at", "7 -1"), "", int64(9),
		int64(-1))
	f.Fuzz(func(t *testing.T, query, cursor, name string, id, ms int64) {
		given, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		in := selectionInput{given: given}
		text, ok := a.ParseCursor(in.cursors(), cursor)
		if ok && a.SignCursor(in.cursors(), text) != cursor {
			t.Errorf("%q is another spelling of %q", cursor, a.SignCursor(in.cursors(), text))
		}
		for _, sort := range store.Sorts() {
			in.selection.Sort = sort
			if p, ok := in.parsePosition(cursor); ok {
				if again, ok := in.parsePosition(in.positionText(p)); !ok || again != p {
					t.Errorf("%q is %+v, and then %+v", cursor, p, again)
				}
			}
			if id < 1 || strings.Contains(name, "\x00") {
				continue
			}
			at := time.UnixMilli(ms).UTC()
			want := sort.Position(store.Cliente{ID: id, Name: name, CreatedAt: at, UpdatedAt: at})
			signed := a.SignCursor(in.cursors(), in.positionText(want))
			text, ok := a.ParseCursor(in.cursors(), signed)
			if got, whole := in.parsePosition(text); !ok || !whole || got != want {
				t.Errorf("%+v came back as %+v", want, got)
			}
		}
	})
}

// Every time in a query is read by the same rules.
func TestTimesInQueries(t *testing.T) {
	f := onSQLite(t)
	for _, list := range []string{
		"/clientes?updated_since=", "/clientes/export?updated_since=", "/audit?since=",
	} {
		for _, good := range []string{
			"2026-11-22T18:00:00Z", "2026-11-22T18:00:00.5Z", "2026-11-22T18:00:00.123456789-03:00",
			"2026-11-22T00:00:00%2B14:00",
			"0001-01-01T00:00:00Z", "0001-01-01T00:00:00%2B05:00", "9999-12-31T23:59:59.999Z",
		} {
			f.want(f.as(store.Admin, "GET", list+good, ""), 200, "")
		}
		for _, bad := range []string{
			"", "yesterday", "2026-11-22", "2026-11-22T8:00:00Z", "2026-11-22T18:00:00,5Z",
			"2026-11-22T18:00:00", "2026-11-22 18:00:00Z",
			"2026-11-22T18:00Z", "2026-11-22T24:00:00Z", "2026-02-30T18:00:00Z",
			"2026-11-22T18:00:00+00:00", "10000-01-01T00:00:00Z",
		} {
			a := f.as(store.Admin, "GET", list+url.QueryEscape(bad), "")
			if strings.HasSuffix(bad, "+00:00") {
				a = f.as(store.Admin, "GET", list+bad, "") // a + that is a space
			}
			f.want(a, 400, "invalid_parameter")
			if !strings.Contains(a.body, "2026-11-22T18:00:00.000Z") {
				t.Errorf("%s%s: the message shows no good one: %s", list, bad, a.body)
			}
		}
	}
}

// Nothing in a parameter can break out of the header.
func TestLinkIsSafe(t *testing.T) {
	f := onSQLite(t)
	const name = `a>; rel="prev", </x?y=z&limit=9>`
	for range 2 {
		f.add(store.Cliente{Name: name})
	}
	if got := f.walk(url.Values{"q": {name}, "limit": {"1"}}); len(got) != 2 {
		t.Errorf("walked %v", got)
	}
	a := f.as(store.Viewer, "GET", "/clientes?limit=1&"+url.Values{"q": {name}}.Encode(), "")
	link := a.header.Get("Link")
	if strings.Count(link, "<") != 1 || strings.Count(link, ">") != 1 ||
		strings.Count(link, "rel=") != 1 {
		t.Errorf("Link: %s", link)
	}
	if a.header.Get("X-Total-Count") != "" || a.status != http.StatusOK {
		t.Errorf("answered %d %v", a.status, a.header)
	}
}
