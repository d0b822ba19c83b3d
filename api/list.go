package api

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"clientes/store"
)

// maxText is the longest text to search for, in characters. No field that is searched is longer.
const maxText = store.MaxEmail

// selectionQuery returns the query parameters that select customers and sort them.
func selectionQuery() []string { return []string{"sort", "q", "email", "updated_since"} }

// selectionInput is which customers a client wants, in what order.
type selectionInput struct {
	selection store.Selection
	given     url.Values // the parameters that select
}

func (in *selectionInput) decode(r *request) (err error) {
	if r.URL.RawQuery == "" {
		return nil
	}
	in.given = r.given(selectionQuery()...)
	if s := in.given.Get("sort"); in.given.Has("sort") {
		by, descending := strings.CutPrefix(s, "-")
		in.selection.Sort, in.selection.Descending = store.Sort(by), descending
		if !slices.Contains(store.Sorts(), in.selection.Sort) {
			return invalidParameter("The parameter \"sort\" is id, name, created_at or " +
				"updated_at, with a - before it for descending.")
		}
	}
	if s := in.given.Get("q"); s != "" {
		if begins := r.exchange.query.Get("q")[0]; begins == ' ' && unicode.IsDigit(rune(s[0])) {
			return lostPlus("q") // of a phone
		}
		words := strings.Fields(s)
		if last := words[len(words)-1]; len(words) > 1 && strings.Contains(last[1:], "@") {
			return lostPlus("q") // of an email
		}
		if !isLine(s, maxText) {
			return invalidParameter("The parameter \"q\" is at most %d characters of text "+
				"without control characters.", maxText)
		}
		in.selection.Text = s
	}
	if s := in.given.Get("email"); in.given.Has("email") {
		if s == "" || !isLine(s, store.MaxEmail) {
			return invalidParameter("The parameter \"email\" is an address.")
		}
		if strings.ContainsFunc(s, unicode.IsSpace) {
			return lostPlus("email")
		}
		in.selection.Email = s
	}
	in.selection.UpdatedSince, err = r.timeQuery("updated_since")
	return err
}

// isLine reports whether s is valid text of one line, of at most limit characters.
func isLine(s string, limit int) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= limit &&
		!strings.ContainsFunc(s, unicode.IsControl)
}

// cursors names the list for its cursors. The order of the parameters is always the same.
func (in *selectionInput) cursors() string { return "/clientes?" + in.given.Encode() }

// parsePosition reads what positionText returned.
func (in *selectionInput) parsePosition(s string) (p store.Position, ok bool) {
	id, key, _ := strings.Cut(s, " ")
	p.ID, ok = parseID(id)
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
	return p, ok
}

// positionText writes a position: the id of the record before it, and what that is sorted by.
func (in *selectionInput) positionText(p store.Position) string {
	id := formatID(p.ID)
	switch in.selection.Sort {
	case store.ByName:
		return id + " " + p.Name
	case store.ByCreated, store.ByUpdated:
		return id + " " + strconv.FormatInt(p.At.UnixMilli(), 10)
	}
	return id
}

type listInput struct {
	selectionInput
	pageInput
	count bool
}

func listQuery() []string { return slices.Concat(selectionQuery(), pageQuery(), []string{"count"}) }

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

func (s *Server) listClientes(ctx context.Context, in listInput) (page[store.Cliente], error) {
	l := list[store.Cliente, store.Position]{
		path:    "/clientes",
		given:   in.given,
		cursors: in.cursors(),
		read: func(ctx context.Context, after store.Position, limit int) ([]store.Cliente, error) {
			return s.cfg.Store.Clientes(ctx, in.selection, after, limit)
		},
		position: func(c *store.Cliente) string {
			return in.positionText(in.selection.Sort.Position(*c))
		},
		parse: in.parsePosition,
		view:  appendCliente,
		size:  (*store.Cliente).Size,
	}
	if in.count {
		l.given = maps.Clone(in.given)
		l.given.Set("count", "exact") // not in cursors: they are the same without it
		l.count = func(ctx context.Context) (int64, error) {
			return s.cfg.Store.CountClientes(ctx, in.selection.Filter)
		}
	}
	return readPage(ctx, s, in.pageInput, l)
}
