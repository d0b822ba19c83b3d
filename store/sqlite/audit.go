package sqlite

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// eventColumns are in the order of scanEvent.
const eventColumns = `id, kind, user_id, actor_id, cliente_id, ip, user_agent, request_id, detail,
	key, count, at, last_at`

func scanEvent(stmt *sqlite.Stmt) store.Event {
	return store.Event{
		ID:        stmt.ColumnInt64(0),
		Kind:      store.EventKind(stmt.ColumnText(1)),
		UserID:    stmt.ColumnInt64(2),
		ActorID:   stmt.ColumnInt64(3),
		ClienteID: stmt.ColumnInt64(4),
		IP:        stmt.ColumnText(5),
		UserAgent: stmt.ColumnText(6),
		RequestID: stmt.ColumnText(7),
		Detail:    stmt.ColumnText(8),
		Key:       stmt.ColumnText(9),
		Count:     stmt.ColumnInt64(10),
		At:        instant(stmt, 11),
		LastAt:    instant(stmt, 12),
	}
}

// RecordEvents implements [store.Audit].
func (s *Store) RecordEvents(ctx context.Context, events ...store.Event) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		return s.keepEffects(conn, store.Effects{Events: events})
	})
}

// Events implements [store.Audit].
func (s *Store) Events(ctx context.Context, filter store.EventFilter, before int64,
	limit int) ([]store.Event, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	if before == 0 {
		before = math.MaxInt64
	}
	where, args := []string{`id < ?`}, []any{before}
	if filter.UserID != 0 {
		where, args = append(where, `user_id = ?`), append(args, filter.UserID)
	}
	if filter.ClienteID != 0 {
		// The second condition is that of the index.
		where = append(where, `cliente_id = ?`, `cliente_id <> 0`)
		args = append(args, filter.ClienteID)
	}
	if filter.Kind != "" {
		where, args = append(where, `kind = ?`), append(args, string(filter.Kind))
	}
	if !filter.Since.IsZero() {
		where, args = append(where, `last_at >= ?`), append(args, store.Instant(filter.Since))
	}
	return readMany(ctx, s, func(conn *sqlite.Conn) ([]store.Event, error) {
		page := make([]store.Event, 0, min(limit, usualPage))
		page, err := list(ctx, conn, page, scanEvent, `
			SELECT `+eventColumns+`
			FROM audit
			WHERE `+strings.Join(where, ` AND `)+`
			ORDER BY id DESC
			LIMIT +?`,
			append(args, int64(limit))...)
		if err != nil {
			return nil, fmt.Errorf("list events before %d: %w", before, err)
		}
		return page, nil
	})
}

// DeleteEvents implements [store.Audit].
func (s *Store) DeleteEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (int, error) {
		err := exec(conn, `
			DELETE FROM audit
			WHERE id IN (
				SELECT id
				FROM audit
				WHERE last_at < ?
				ORDER BY last_at
				LIMIT ?)`,
			store.Instant(before), int64(max(limit, 0)))
		if err != nil {
			return 0, fmt.Errorf("delete events: %w", err)
		}
		return conn.Changes(), nil
	})
}

// insertEvent inserts an event, or counts it on the row of its key and window.
func (s *Store) insertEvent(conn *sqlite.Conn, e store.Event) error {
	e = e.Settled(s.now())
	err := exec(conn, `
		INSERT INTO audit (kind, user_id, actor_id, cliente_id, ip, user_agent, request_id,
			detail, key, window_at, count, at, last_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (key, window_at) WHERE key <> '' DO UPDATE
		SET count = count + excluded.count, last_at = max(last_at, excluded.last_at)`,
		string(e.Kind), e.UserID, e.ActorID, e.ClienteID, e.IP, e.UserAgent, e.RequestID,
		e.Detail, e.Key,
		e.At.Truncate(store.AuditWindow), e.Count, e.At, e.LastAt)
	if err != nil {
		return fmt.Errorf("insert event: %w", err)
	}
	return nil
}
