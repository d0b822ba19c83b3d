package api

import (
	"context"
	"net/http"
	"strconv"

	"clientes/store"
)

type historyInput struct {
	pageInput
	id int64
}

func historyQuery() []string { return []string{"limit", "cursor"} }

func (in *historyInput) decode(r *request) (err error) {
	if in.id, err = r.id(); err != nil {
		return err
	}
	return in.pageInput.decode(r)
}

func (s *Server) clienteHistory(ctx context.Context, in historyInput) (v historyView, err error) {
	path := clienteLocation(in.id) + "/history"
	var below int64
	if in.cursor != "" {
		text, ok := s.cfg.Auth.ParseCursor(path, in.cursor)
		if !ok {
			return v, errInvalidCursor()
		}
		below, _ = strconv.ParseInt(text, 10, 64) // it was signed
	}
	// One more than asked says whether there is a next page.
	list, err := s.cfg.Store.ClienteHistory(ctx, in.id, below, in.limit+1)
	if err != nil {
		return v, err
	}
	n := fitting(list[:min(len(list), in.limit)], func(c *store.Change) *store.Cliente { return &c.Record })
	v.list = list[:n]
	if n < len(list) {
		cursor := s.cfg.Auth.SignCursor(path, strconv.FormatInt(list[n-1].Version, 10))
		v.next = in.nextLink(path, nil, cursor)
	}
	return v, nil
}

// historyView is a page of what happened to a record.
type historyView struct {
	list []store.Change
	next string // where the next page is, "" on the last
}

func (v historyView) header(h http.Header) { setLink(h, v.next) }

func (v historyView) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, c := range v.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"version":`...)
		b = strconv.AppendInt(b, c.Version, 10)
		b = appendText(append(b, `,"action":`...), string(c.Action))
		b = append(b, `,"user_id":`...)
		if c.UserID == 0 {
			b = append(b, "null"...) // the command line is no user
		} else {
			b = strconv.AppendInt(b, c.UserID, 10)
		}
		b = appendText(append(b, `,"user":`...), c.User)
		b = appendTime(append(b, `,"at":`...), c.At)
		b = clienteView(c.Record).appendJSON(append(b, `,"record":`...))
		b = append(b, '}')
	}
	return append(b, ']')
}
