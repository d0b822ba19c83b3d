package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// The size of a page.
const (
	defaultLimit = 100 // a tutorial client that never pages sees the first hundred
	maxLimit     = 1000

	// maxPage ends a page early, in bytes: a thousand customers with the longest notes have 40 MB,
	// and a few clients that do not read would hold that many times over.
	maxPage = 4 << 20
)

// pageQuery returns the query parameters of every list.
func pageQuery() []string { return []string{"limit", "cursor"} }

// pageInput is how much of a list a client wants, and from where on.
type pageInput struct {
	limit  int
	cursor string // "" for the first page
}

func (in *pageInput) decode(r *request) (err error) {
	if in.limit, err = r.limit(); err != nil {
		return err
	}
	cursor, ok := r.query("cursor")
	if ok && cursor == "" {
		return errInvalidCursor()
	}
	in.cursor = cursor
	return nil
}

// limit returns how many records a client wants at most.
func (r *request) limit() (int, error) {
	s, ok := r.query("limit")
	if !ok {
		return defaultLimit, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < 1 || n > maxLimit {
		return 0, invalidParameter("The parameter \"limit\" is a number from 1 to %d.", maxLimit)
	}
	return int(n), nil
}

// childrenInput is a page of what belongs to one record, such as the changes of a customer.
type childrenInput struct {
	pageInput
	id int64 // of the record
}

func (in *childrenInput) decode(r *request) (err error) {
	if in.id, err = r.id(); err != nil {
		return err
	}
	return in.pageInput.decode(r)
}

func errInvalidCursor() error {
	return invalidParameter(
		"The parameter \"cursor\" is not one that a Link header gave for these parameters.")
}

// list describes a list of records of type T to [readPage]. P is a position in it: what a page
// begins after. The zero P is before the first record.
type list[T, P any] struct {
	path  string     // of the route
	given url.Values // the query parameters that select and sort; the Link header repeats them

	// cursors names the list within its cursors: the path, and whatever decides which records come
	// in which order. A cursor of another list is refused. The name must not change from one
	// release to the next, or clients could not go on.
	cursors string

	read     func(ctx context.Context, after P, limit int) ([]T, error)
	position func(*T) string             // the position behind a record, as text
	parse    func(text string) (P, bool) // reads what position returned
	view     func([]byte, *T) ([]byte, error)
	size     func(*T) int                         // in bytes, for maxPage; nil for small records
	count    func(context.Context) (int64, error) // of all records; nil if nobody asked
}

// page is a part of a list: a bare array, as in the tutorial.
type page[T any] struct {
	records []T
	view    func([]byte, *T) ([]byte, error)
	next    string // where the next page is, "" on the last
	total   *int64 // of all pages; nil if nobody asked
}

// readPage returns the page of a list that a client requests.
func readPage[T, P any](
	ctx context.Context, s *Server, in pageInput, l list[T, P],
) (p page[T], err error) {
	var after P
	if in.cursor != "" {
		text, ok := s.cfg.Auth.ParseCursor(l.cursors, in.cursor)
		if ok {
			after, ok = l.parse(text)
		}
		if !ok {
			return p, errInvalidCursor()
		}
	}
	// One record more, because it shows that there is a next page.
	records, err := l.read(ctx, after, in.limit+1)
	if err != nil {
		return p, err
	}
	n := fitting(records[:min(len(records), in.limit)], l.size)
	p.records, p.view = records[:n], l.view
	if n < len(records) {
		position := l.position(&records[n-1])
		p.next = in.nextLink(l.path, l.given, s.cfg.Auth.SignCursor(l.cursors, position))
	}
	if l.count != nil {
		total, err := l.count(ctx)
		if err != nil {
			return p, err
		}
		p.total = &total
	}
	return p, nil
}

// fitting returns how many of the first records make a page: at least one.
func fitting[T any](records []T, size func(*T) int) int {
	if size == nil {
		return len(records)
	}
	total := 0
	for i := range records {
		total += size(&records[i])
		if total > maxPage && i > 0 {
			return i
		}
	}
	return len(records)
}

// nextLink returns the path and the query of the page that a cursor begins.
func (in *pageInput) nextLink(path string, given url.Values, cursor string) string {
	link := path + "?limit=" + strconv.Itoa(in.limit)
	if len(given) > 0 {
		link += "&" + given.Encode()
	}
	return link + "&cursor=" + cursor
}

func (p page[T]) header(h http.Header) {
	if p.next != "" {
		h.Set("Link", "<"+p.next+`>; rel="next"`)
	}
	if p.total != nil {
		h.Set("X-Total-Count", strconv.FormatInt(*p.total, 10))
	}
}

func (p page[T]) appendJSON(b []byte) (_ []byte, err error) {
	b = append(b, '[')
	for i := range p.records {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = p.view(b, &p.records[i]); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// reflected returns the view of a list whose records are encoded by reflection.
func reflected[T, V any](view func(T) V) func([]byte, *T) ([]byte, error) {
	return func(b []byte, record *T) ([]byte, error) { return appendReflected(b, view(*record)) }
}

// formatID writes a position that is an id, or a version. parseID reads it.
func formatID(id int64) string { return strconv.FormatInt(id, 10) }

// given returns those of the query parameters that a request has.
func (r *request) given(names ...string) url.Values {
	given := make(url.Values)
	for _, name := range names {
		if s, ok := r.query(name); ok {
			given.Set(name, s)
		}
	}
	return given
}
