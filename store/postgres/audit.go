package postgres

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// eventColumns are in the order of toEvent.
const eventColumns = `id, kind, user_id, actor_id, cliente_id, ip, user_agent, request_id, detail,
	key, count, at, last_at`

func toEvent(e *store.Event) []any {
	return []any{&e.ID, &e.Kind, &e.UserID, &e.ActorID, &e.ClienteID, &e.IP, &e.UserAgent,
		&e.RequestID, &e.Detail, &e.Key, &e.Count, &e.At, &e.LastAt}
}

// RecordEvents implements [store.Audit].
func (s *Store) RecordEvents(ctx context.Context, events ...store.Event) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginOnce()
		s.queueEffects(b, store.Effects{Events: events})
		if err := commit(ctx, conn, b); err != nil {
			return fmt.Errorf("insert events: %w", err)
		}
		return nil
	})
}

// Events implements [store.Audit].
func (s *Store) Events(ctx context.Context, filter store.EventFilter, before int64,
	limit int) ([]store.Event, error) {
	limit = max(limit, 0) // a negative one is an error to Postgres
	if before == 0 {
		before = math.MaxInt64
	}
	var where []string
	var args []any
	and := func(condition string, arg any) {
		args = append(args, arg)
		where = append(where, condition+` $`+strconv.Itoa(len(args)))
	}
	and(`id <`, before)
	if filter.UserID != 0 {
		and(`user_id =`, filter.UserID)
	}
	if filter.ClienteID != 0 {
		where = append(where, `cliente_id <> 0`) // the condition of the index
		and(`cliente_id =`, filter.ClienteID)
	}
	if filter.Kind != "" {
		and(`kind =`, string(filter.Kind))
	}
	if !filter.Since.IsZero() {
		and(`last_at >=`, store.Instant(filter.Since))
	}
	return call(ctx, s, store.Many, func(ctx context.Context, conn *pgx.Conn) (
		[]store.Event, error) {
		page := make([]store.Event, 0, min(limit, usualPage))
		page, err := list(ctx, conn, page, toEvent, `
			SELECT `+eventColumns+`
			FROM audit
			WHERE `+strings.Join(where, ` AND `)+`
			ORDER BY id DESC
			LIMIT $`+strconv.Itoa(len(args)+1),
			append(args, limit)...)
		if err != nil {
			return nil, fmt.Errorf("list events before %d: %w", before, err)
		}
		return page, nil
	})
}

// DeleteEvents implements [store.Audit]. It skips rows that another process has locked.
func (s *Store) DeleteEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (int, error) {
		removed, err := change(ctx, conn, `
			DELETE FROM audit
			WHERE id IN (
				SELECT id
				FROM audit
				WHERE last_at < $1
				ORDER BY last_at
				LIMIT $2
				FOR UPDATE SKIP LOCKED)`,
			store.Instant(before), max(limit, 0))
		if err != nil {
			return 0, fmt.Errorf("delete events: %w", err)
		}
		return int(removed), nil
	})
}

// queueEvent queues the insert of an event, or its count on the row of its key and window.
func (s *Store) queueEvent(b *pgx.Batch, e store.Event) {
	e = e.Settled(s.now())
	b.Queue(`
		INSERT INTO audit (kind, user_id, actor_id, cliente_id, ip, user_agent, request_id,
			detail, key, window_at, count, at, last_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (key, window_at) WHERE key <> '' DO UPDATE
		SET count = audit.count + excluded.count,
			last_at = greatest(audit.last_at, excluded.last_at)`,
		string(e.Kind), e.UserID, e.ActorID, e.ClienteID, e.IP, e.UserAgent, e.RequestID,
		e.Detail, e.Key,
		e.At.Truncate(store.AuditWindow), e.Count, e.At, e.LastAt)
}
