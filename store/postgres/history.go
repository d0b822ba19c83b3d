package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// changeColumns are in the order of toChange. The version of the record is the change's own, but for a delete.
const changeColumns = `version, action, user_id, user_name, at, cliente_id, name, email, phone, company, address, notes,
	version - (action = 'deleted')::int, created_at, updated_at`

func toChange(c *store.Change) []any {
	return append([]any{&c.Version, &c.Action, &c.UserID, &c.User, &c.At}, toCliente(&c.Record)...)
}

// ClienteHistory keeps the promise of store.Clientes.
func (s *Store) ClienteHistory(ctx context.Context, id, below int64, limit int) ([]store.Change, error) {
	limit = max(limit, 0) // a negative one is an error to Postgres
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]store.Change, error) {
		changes, err := list(ctx, conn, []store.Change{}, toChange, `
			SELECT `+changeColumns+`
			FROM cliente_history
			WHERE cliente_id = $1 AND (version < $2 OR $2 = 0)
			ORDER BY version DESC
			LIMIT $3`,
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

// queueChange queues what adds to the history, with the name that the user has now.
func queueChange(b *pgx.Batch, id int64, c store.Change) {
	b.Queue(`
		INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
			name, email, phone, company, address, notes, created_at, updated_at)
		VALUES ($1, $2, $3, $4::bigint, coalesce((SELECT name FROM users WHERE id = $4::bigint), ''), $5,
			$6, $7, $8, $9, $10, $11, $12, $13)`,
		id, c.Version, string(c.Action), c.UserID, c.At,
		c.Record.Name, c.Record.Email, c.Record.Phone, c.Record.Company, c.Record.Address, c.Record.Notes,
		c.Record.CreatedAt, c.Record.UpdatedAt)
}
