package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// nextSeq is the number of the next change. There is one writer at a time.
const nextSeq = `(SELECT 1 + coalesce(max(seq), 0) FROM cliente_history WHERE seq > 0)`

// Changes implements [store.Feed].
func (s *Store) Changes(ctx context.Context, after store.FeedPosition,
	limit int) (store.FeedPage, error) {
	return readLong(ctx, s, func(ctx context.Context, conn *sqlite.Conn) (store.FeedPage, error) {
		after, err := beforeRestores(conn, after)
		if err != nil {
			return store.FeedPage{}, err
		}
		page, err := feedSource(ctx, conn).Read(ctx, after, limit)
		if err != nil {
			return store.FeedPage{}, fmt.Errorf("read the changes: %w", err)
		}
		return page, nil
	})
}

// FeedEnd implements [store.Feed].
func (s *Store) FeedEnd(ctx context.Context) (store.FeedPosition, error) {
	return readMany(ctx, s, func(conn *sqlite.Conn) (store.FeedPosition, error) {
		end, err := one(conn, scanFeedPosition, `
			SELECT seq, at
			FROM cliente_history
			WHERE seq > 0
			ORDER BY seq DESC
			LIMIT 1`)
		switch {
		case errors.Is(err, store.ErrNotFound):
			began, err := orderBegan(conn)
			return store.FeedPosition{Part: store.FeedOrder, At: began}, err
		case err != nil:
			return store.FeedPosition{}, fmt.Errorf("read the end of the feed: %w", err)
		}
		return end, nil
	})
}

func orderBegan(conn *sqlite.Conn) (time.Time, error) {
	began, err := one(conn, func(stmt *sqlite.Stmt) time.Time { return instant(stmt, 0) }, `
		SELECT order_began
		FROM identity`)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when the order of changes began: %w", err)
	}
	return began, nil
}

func scanFeedPosition(stmt *sqlite.Stmt) store.FeedPosition {
	return store.FeedPosition{
		Part: store.FeedOrder, Seq: stmt.ColumnInt64(0), At: instant(stmt, 1),
	}
}

// maxRestores bounds how many restores a position is followed through.
const maxRestores = 1000

// beforeRestores returns p if there is its change. If p is one of a state of the database that a
// restore has replaced, it returns the position from which to go on.
func beforeRestores(conn *sqlite.Conn, p store.FeedPosition) (store.FeedPosition, error) {
	for range maxRestores {
		if p.Seq == 0 {
			return p, nil
		}
		exists, err := one(conn, scanBool, `
			SELECT EXISTS (
				SELECT 1
				FROM cliente_history
				WHERE seq > 0 AND seq = ? AND at = ?)`,
			p.Seq, p.At)
		if err != nil {
			return p, fmt.Errorf("look for change %d: %w", p.Seq, err)
		}
		if exists {
			return p, nil
		}
		next, err := one(conn, scanFeedPosition, `
			SELECT resume, coalesce(at, (SELECT order_began FROM identity))
			FROM restores
			LEFT JOIN cliente_history ON seq > 0 AND seq = resume
			WHERE newest_same < ?1 AND ?1 <= last
			ORDER BY last DESC
			LIMIT 1`,
			p.Seq)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return p, nil // which no change has
		case err != nil:
			return p, fmt.Errorf("look for restores: %w", err)
		}
		p = next
	}
	return p, nil
}

// selectOrdered returns changes in their order. SQLite begins at the first of the two bounds and
// skips until the other one holds. So the one that moves on comes first: otherwise each page would
// read all those before it again. The other one lets SQLite use the index.
var selectOrdered = `
	SELECT ` + changeColumns + `, seq, at
	FROM cliente_history
	WHERE seq >= ? AND seq > 0
	ORDER BY seq
	LIMIT ?`

func feedSource(ctx context.Context, conn *sqlite.Conn) store.FeedSource {
	return store.FeedSource{
		Began: func() (time.Time, error) { return orderBegan(conn) },
		Older: func(after int64, limit int) ([]store.Change, error) {
			return list(ctx, conn, nil, scanChange, `
				SELECT `+changeColumns+`
				FROM cliente_history AS h
				WHERE cliente_id > ? AND cliente_id <= (SELECT last_unordered FROM identity)
					AND seq <= 0 AND version = (
						SELECT max(version)
						FROM cliente_history
						WHERE cliente_id = h.cliente_id AND seq <= 0)
				ORDER BY cliente_id
				LIMIT ?`,
				after, int64(limit))
		},
		Unrecorded: func(after int64, limit int) ([]store.Change, int64, error) {
			return unrecorded(ctx, conn, after, limit)
		},
		Ordered: func(from int64, limit int) ([]store.FeedChange, error) {
			return list(ctx, conn, nil, scanFeedChange, selectOrdered, from, int64(limit))
		},
	}
}

func scanFeedChange(stmt *sqlite.Stmt) store.FeedChange {
	after := stmt.ColumnCount() - 2
	return store.FeedChange{Change: scanChange(stmt), Position: store.FeedPosition{
		Part: store.FeedOrder, Seq: stmt.ColumnInt64(after), At: instant(stmt, after+1),
	}}
}

// unrecorded returns those of the next records that have no history. A record that was written by
// hand has none.
func unrecorded(ctx context.Context, conn *sqlite.Conn, after int64, limit int) (
	found []store.Change, last int64, err error) {
	last, err = one(conn, scanInteger, `
		SELECT coalesce(max(id), 0)
		FROM (
			SELECT id
			FROM clientes
			WHERE id > ?
			ORDER BY id
			LIMIT ?)`,
		after, int64(limit))
	if err != nil || last == 0 {
		return nil, 0, err
	}
	clientes, err := list(ctx, conn, nil, scanCliente, `
		SELECT `+clienteColumns+`
		FROM clientes
		WHERE id > ? AND id <= ? AND NOT EXISTS (
			SELECT 1
			FROM cliente_history
			WHERE cliente_id = clientes.id)
		ORDER BY id`,
		after, last)
	for _, c := range clientes {
		found = append(found, store.UnrecordedChange(c))
	}
	return found, last, err
}
