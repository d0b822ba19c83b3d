package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

var (
	// historyColumns are in the order of queueChange's arguments.
	historyColumns = `cliente_id, version, action, restored, user_id, user_name,
		at, created_at, updated_at, ` + textColumns

	// changeColumns are in the order of toChange. The record has the version of the change. Only
	// for a delete it has the version before.
	changeColumns = `version,
		CASE WHEN erased = 2 THEN 'erased' WHEN restored THEN 'restored' ELSE action END,
		user_id, user_name, at, erased <> 0 AS erased,
		cliente_id, version - (action = 'deleted')::int, created_at, updated_at, ` + textColumns
)

func toChange(c *store.Change) []any {
	return append([]any{&c.Version, &c.Action, &c.UserID, &c.User, &c.At, &c.Erased},
		toCliente(&c.Record)...)
}

var selectHistory = `
	SELECT ` + changeColumns + `
	FROM cliente_history
	WHERE cliente_id = $1 AND (version < $2 OR $2 = 0)
	ORDER BY version DESC
	LIMIT $3`

var selectChange = `
	SELECT ` + changeColumns + `
	FROM cliente_history
	WHERE cliente_id = $1 AND version = $2`

// ClienteHistory implements [store.Clientes].
func (s *Store) ClienteHistory(ctx context.Context, id, below int64,
	limit int) ([]store.Change, error) {
	limit = max(limit, 0) // a negative one is an error to Postgres
	return call(ctx, s, store.Many, func(ctx context.Context, conn *pgx.Conn) (
		[]store.Change, error) {
		changes, err := list(ctx, conn, []store.Change{}, toChange, selectHistory,
			id, below, limit)
		if err != nil {
			return nil, fmt.Errorf("list history of cliente %d: %w", id, err)
		}
		if len(changes) > 0 {
			return changes, nil
		}
		known, err := one(ctx, conn, toBool, `
			SELECT EXISTS (SELECT FROM clientes WHERE id = $1)
				OR EXISTS (SELECT FROM cliente_history WHERE cliente_id = $1)`,
			id)
		switch {
		case err != nil:
			return nil, fmt.Errorf("look for cliente %d: %w", id, err)
		case !known:
			return nil, store.ErrNotFound
		}
		return changes, nil
	})
}

var insertChange = `
	INSERT INTO cliente_history (` + historyColumns + `)
	VALUES ($1, $2, $3, $4, $5::bigint,
		coalesce((SELECT name FROM users WHERE id = $5::bigint), ''),
		$6, $7, $8, ` + parameters(9, store.ClienteTexts) + `)`

// queueChange queues the insert of one step of a record's history, with the name that the user has
// now.
func queueChange(b *pgx.Batch, c store.Change) {
	restored := c.Action == store.Restored
	if restored {
		c.Action = store.Updated // as older programs know it
	}
	b.Queue(insertChange, textArgs([]any{
		c.Record.ID, c.Version, string(c.Action), restored, c.UserID,
		c.At, c.Record.CreatedAt, c.Record.UpdatedAt,
	}, c.Record)...)
}
