package api

import (
	"context"
	"net/url"
	"time"

	"clientes/api/wire"
	"clientes/store"
)

// eventView is a security event, or several of one kind that share a row.
type eventView struct {
	ID        int64           `json:"id"`
	Event     store.EventKind `json:"event"`
	UserID    *int64          `json:"user_id"`    // of the account; null if it is nobody's
	ActorID   *int64          `json:"actor_id"`   // null for a stranger and the command line
	ClienteID *int64          `json:"cliente_id"` // null if it is about no customer
	IP        string          `json:"ip"`
	UserAgent string          `json:"user_agent"`
	RequestID string          `json:"request_id"`
	Detail    string          `json:"detail"`
	Count     int64           `json:"count"`
	At        wire.Instant    `json:"at"`
	LastAt    wire.Instant    `json:"last_at"`
}

func viewEvent(e store.Event) eventView {
	return eventView{
		ID: e.ID, Event: e.Kind, UserID: idOrNull(e.UserID), ActorID: idOrNull(e.ActorID),
		ClienteID: idOrNull(e.ClienteID),
		IP:        e.IP, UserAgent: e.UserAgent, RequestID: e.RequestID, Detail: e.Detail,
		Count: e.Count, At: wire.Instant(e.At), LastAt: wire.Instant(e.LastAt),
	}
}

func idOrNull(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}

// eventFilters returns the query parameters that select events.
func eventFilters() []string { return []string{"user_id", "event", "since"} }

func auditQuery() []string { return append(eventFilters(), pageQuery()...) }

// auditInput selects events.
type auditInput struct {
	pageInput
	filter store.EventFilter
	given  url.Values // the parameters that select
}

func (in *auditInput) decode(r *request) error {
	if err := in.pageInput.decode(r); err != nil {
		return err
	}
	in.given = r.given(eventFilters()...)
	if s := in.given.Get("user_id"); in.given.Has("user_id") {
		id, ok := parseID(s)
		if !ok {
			return invalidParameter("The parameter \"user_id\" is a user's id.")
		}
		in.filter.UserID = id
	}
	if in.given.Has("event") {
		in.filter.Kind = store.EventKind(in.given.Get("event"))
		if !in.filter.Kind.Valid() {
			return invalidParameter("The parameter \"event\" is not the name of an event.")
		}
	}
	since, err := r.timeQuery("since")
	if err != nil {
		return err
	}
	in.filter.Since = store.Instant(since)
	if in.filter.Since.Before(since) {
		// Stored instants are whole milliseconds: the next one is the first not before since.
		in.filter.Since = in.filter.Since.Add(time.Millisecond)
	}
	return nil
}

func (s *Server) listEvents(ctx context.Context, in auditInput) (page[store.Event], error) {
	return readPage(ctx, s, in.pageInput, list[store.Event, int64]{
		path:    "/audit",
		given:   in.given,
		cursors: "/audit?" + in.given.Encode(),
		read: func(ctx context.Context, before int64, limit int) ([]store.Event, error) {
			return s.cfg.Auth.Events(ctx, in.filter, before, limit)
		},
		position: func(e *store.Event) string { return formatID(e.ID) },
		parse:    parseID,
		view:     reflected(viewEvent),
	})
}
