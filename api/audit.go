package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"clientes/store"
)

// eventView is what happened to the security of an account, or many times the same.
type eventView struct {
	ID        int64           `json:"id"`
	Event     store.EventKind `json:"event"`
	UserID    *int64          `json:"user_id"`  // whose account, null when nobody's
	ActorID   *int64          `json:"actor_id"` // who did it, null when a stranger or the command line
	IP        string          `json:"ip"`
	UserAgent string          `json:"user_agent"`
	RequestID string          `json:"request_id"`
	Detail    string          `json:"detail"`
	Count     int64           `json:"count"`
	At        instant         `json:"at"`
	LastAt    instant         `json:"last_at"`
}

func viewEvent(e store.Event) eventView {
	return eventView{
		ID: e.ID, Event: e.Kind, UserID: idOrNull(e.UserID), ActorID: idOrNull(e.ActorID),
		IP: e.IP, UserAgent: e.UserAgent, RequestID: e.RequestID, Detail: e.Detail,
		Count: e.Count, At: instant(e.At), LastAt: instant(e.LastAt),
	}
}

func idOrNull(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}

// eventsView is a page of the audit, a bare array.
type eventsView struct {
	list []eventView
	next string // where the next page is, "" on the last
}

func (v eventsView) header(h http.Header) { setLink(h, v.next) }

// MarshalJSON writes the array.
func (v eventsView) MarshalJSON() ([]byte, error) { return appendReflected(nil, v.list) }

// auditInput is which events an admin wants.
type auditInput struct {
	pageInput
	filter store.EventFilter
	said   url.Values // the parameters that say so
}

func (in *auditInput) decode(r *request) error {
	if err := in.pageInput.decode(r); err != nil {
		return err
	}
	in.said = make(url.Values)
	for _, name := range []string{"user_id", "event", "since"} {
		if s, ok := r.query(name); ok {
			in.said.Set(name, s)
		}
	}
	if s := in.said.Get("user_id"); in.said.Has("user_id") {
		id, ok := parseID(s)
		if !ok {
			return invalidParameter("The parameter \"user_id\" is a user's id.")
		}
		in.filter.UserID = id
	}
	if in.said.Has("event") {
		in.filter.Kind = store.EventKind(in.said.Get("event"))
		if !in.filter.Kind.Valid() {
			return invalidParameter("The parameter \"event\" is not the name of an event.")
		}
	}
	if in.said.Has("since") {
		t, err := time.Parse(time.RFC3339Nano, in.said.Get("since"))
		if err != nil {
			return invalidParameter("The parameter \"since\" is a time like 2026-11-22T18:00:00.000Z (a + in it is written %%2B).")
		}
		// Up to the next millisecond: what is kept was cut to one.
		if t = t.UTC(); !store.Instant(t).Equal(t) {
			t = store.Instant(t).Add(time.Millisecond)
		}
		if t.Year() >= 1 { // else it is before everything
			in.filter.Since = t
		}
	}
	return nil
}

// list names what a cursor is a place in.
func (in *auditInput) list() string { return "/audit?" + in.said.Encode() }

func (s *Server) listEvents(ctx context.Context, in auditInput) (v eventsView, err error) {
	var before int64 // the first page
	if in.cursor != "" {
		place, ok := s.cfg.Auth.ParseCursor(in.list(), in.cursor)
		if !ok {
			return v, errInvalidCursor()
		}
		if before, ok = parseID(place); !ok {
			return v, errInvalidCursor()
		}
	}
	// One more than asked says whether there is a next page.
	events, err := s.cfg.Auth.Events(ctx, in.filter, before, in.limit+1)
	if err != nil {
		return v, err
	}
	n := min(len(events), in.limit)
	v.list = make([]eventView, n)
	for i, e := range events[:n] {
		v.list[i] = viewEvent(e)
	}
	if n < len(events) {
		v.next = in.nextLink("/audit", in.said, s.cfg.Auth.SignCursor(in.list(), strconv.FormatInt(events[n-1].ID, 10)))
	}
	return v, nil
}
