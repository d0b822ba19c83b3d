package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"clientes/store"
)

// The size of a page of customers.
const (
	// maxPage ends a page early, in bytes of text: a thousand customers with the longest notes are 40 MB, which a
	// few clients that do not read could hold many times over.
	maxPage = 4 << 20

	defaultLimit = 100 // a tutorial client that never pages sees the first hundred
	maxLimit     = 1000
)

// maxText is the longest text to look for, in characters: none is longer in the fields that it is looked for in.
const maxText = store.MaxEmail

// selectionQuery are the query parameters that say which customers, and in what order.
func selectionQuery() []string { return []string{"sort", "q", "email", "updated_since"} }

// selectionInput is which customers a client wants, in what order.
type selectionInput struct {
	selection store.Selection
	said      url.Values // the parameters that say so
}

func (in *selectionInput) decode(r *request) error {
	if r.Request.URL.RawQuery == "" {
		return nil
	}
	in.said = make(url.Values)
	for _, name := range selectionQuery() {
		if s, ok := r.query(name); ok {
			in.said.Set(name, s)
		}
	}
	if s := in.said.Get("sort"); in.said.Has("sort") {
		by, descending := strings.CutPrefix(s, "-")
		in.selection.Sort, in.selection.Descending = store.Sort(by), descending
		if !slices.Contains(store.Sorts(), in.selection.Sort) {
			return invalidParameter("The parameter \"sort\" is id, name, created_at or updated_at, with a - before it for descending.")
		}
	}
	if s := in.said.Get("q"); s != "" {
		if !isLine(s, maxText) {
			return invalidParameter("The parameter \"q\" is at most %d characters of text without control characters.", maxText)
		}
		in.selection.Text = s
	}
	if s := in.said.Get("email"); in.said.Has("email") {
		if s == "" || !isLine(s, store.MaxEmail) {
			return invalidParameter("The parameter \"email\" is an address.")
		}
		in.selection.Email = s
	}
	if s := in.said.Get("updated_since"); in.said.Has("updated_since") {
		t, err := time.Parse(time.RFC3339Nano, s)
		// It also takes an hour of one digit and a comma before the fraction, which RFC 3339 does not.
		if err != nil || s[len("2006-01-02T15")] != ':' || strings.Contains(s, ",") {
			return invalidParameter("The parameter \"updated_since\" is a time like 2026-11-22T18:00:00.000Z (a + in it is written %%2B).")
		}
		if t = t.UTC(); t.Year() >= 1 { // else it is before everything
			in.selection.UpdatedSince = t
		}
	}
	return nil
}

// isLine says whether s is valid text of one line, of at most limit characters.
func isLine(s string, limit int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= limit && !strings.ContainsFunc(s, unicode.IsControl)
}

// list names what a cursor is a place in. The order of the parameters is always the same.
func (in *selectionInput) list() string { return "/clientes?" + in.said.Encode() }

// place gives the place that a cursor stands for.
func (in *selectionInput) place(s string) (p store.Position, ok bool) {
	id, key, _ := strings.Cut(s, " ")
	p.ID, _ = strconv.ParseInt(id, 10, 64) // it was signed
	switch in.selection.Sort {
	case store.ByName:
		p.Name = key
	case store.ByCreated, store.ByUpdated:
		ms, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return p, false
		}
		p.At = time.UnixMilli(ms).UTC()
	}
	return p, p.ID > 0
}

// positionText is what place reads.
func (in *selectionInput) positionText(p store.Position) string {
	id := strconv.FormatInt(p.ID, 10)
	switch in.selection.Sort {
	case store.ByName:
		return id + " " + p.Name
	case store.ByCreated, store.ByUpdated:
		return id + " " + strconv.FormatInt(p.At.UnixMilli(), 10)
	}
	return id
}

// pageInput is how much of a list a client wants, and from where on.
type pageInput struct {
	limit  int
	cursor string // "" for the first page
}

func (in *pageInput) decode(r *request) error {
	in.limit = defaultLimit
	if s, ok := r.query("limit"); ok {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n < 1 || n > maxLimit {
			return invalidParameter("The parameter \"limit\" is a number from 1 to %d.", maxLimit)
		}
		in.limit = int(n)
	}
	cursor, ok := r.query("cursor")
	if ok && cursor == "" {
		return errInvalidCursor()
	}
	in.cursor = cursor
	return nil
}

func errInvalidCursor() error {
	return invalidParameter("The parameter \"cursor\" is not one that a Link header gave for these parameters.")
}

// nextLink gives the address of the page behind this one.
func (in *pageInput) nextLink(path string, said url.Values, cursor string) string {
	link := path + "?limit=" + strconv.Itoa(in.limit)
	if len(said) > 0 {
		link += "&" + said.Encode()
	}
	return link + "&cursor=" + cursor
}

type listInput struct {
	selectionInput
	pageInput
	count bool
}

func listQuery() []string { return append(selectionQuery(), "limit", "cursor", "count") }

func (in *listInput) decode(r *request) error {
	if err := in.pageInput.decode(r); err != nil {
		return err
	}
	if s, ok := r.query("count"); ok {
		if s != "exact" {
			return invalidParameter("The parameter \"count\" is exact.")
		}
		in.count = true
	}
	return in.selectionInput.decode(r)
}

func (s *Server) listClientes(ctx context.Context, in listInput) (v clientesView, err error) {
	var after store.Position
	if in.cursor != "" {
		text, ok := s.cfg.Auth.ParseCursor(in.list(), in.cursor)
		if ok {
			after, ok = in.place(text)
		}
		if !ok {
			return v, errInvalidCursor()
		}
	}
	// One more than asked says whether there is a next page.
	list, err := s.cfg.Store.Clientes(ctx, in.selection, after, in.limit+1)
	if err != nil {
		return v, err
	}
	n := fitting(list[:min(len(list), in.limit)], func(c *store.Cliente) *store.Cliente { return c })
	v.list = list[:n]
	if n < len(list) {
		place := in.positionText(in.selection.Sort.Position(list[n-1]))
		said := in.said
		if in.count {
			said = url.Values{"count": {"exact"}}
			for name, values := range in.said {
				said[name] = values
			}
		}
		v.next = in.nextLink("/clientes", said, s.cfg.Auth.SignCursor(in.list(), place))
	}
	if in.count {
		v.total, err = s.cfg.Store.CountClientes(ctx, in.selection.Filter)
		v.counted = true
	}
	return v, err
}

// fitting says how many of the first records make a page: at least one.
func fitting[T any](list []T, cliente func(*T) *store.Cliente) int {
	size := 0
	for i := range list {
		size += cliente(&list[i]).Size()
		if size > maxPage && i > 0 {
			return i
		}
	}
	return len(list)
}

// clientesView is a page: a bare array, as the tutorial's.
type clientesView struct {
	list    []store.Cliente
	next    string // where the next page is, "" on the last
	total   int64  // how many there are on all pages
	counted bool   // says whether total was asked for
}

func (v clientesView) header(h http.Header) {
	setLink(h, v.next)
	if v.counted {
		h.Set("X-Total-Count", strconv.FormatInt(v.total, 10))
	}
}

// setLink says where the next page is, if there is one.
func setLink(h http.Header, next string) {
	if next != "" {
		h.Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next))
	}
}

func (v clientesView) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, c := range v.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = clienteView(c).appendJSON(b)
	}
	return append(b, ']')
}
