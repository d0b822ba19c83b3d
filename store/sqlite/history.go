package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// changeColumns are in the order of scanChange. The version of the record is the change's own, but for a delete.
const changeColumns = `version, action, user_id, user_name, at, cliente_id, name, email, phone, company, address, notes,
	version - (action = 'deleted'), created_at, updated_at`

func scanChange(stmt *sqlite.Stmt) store.Change {
	return store.Change{
		Version: stmt.ColumnInt64(0),
		Action:  store.Action(stmt.ColumnText(1)),
		UserID:  stmt.ColumnInt64(2),
		User:    stmt.ColumnText(3),
		At:      instant(stmt, 4),
		Record: store.Cliente{
			ID:        stmt.ColumnInt64(5),
			Name:      stmt.ColumnText(6),
			Email:     stmt.ColumnText(7),
			Phone:     stmt.ColumnText(8),
			Company:   stmt.ColumnText(9),
			Address:   stmt.ColumnText(10),
			Notes:     stmt.ColumnText(11),
			Version:   stmt.ColumnInt64(12),
			CreatedAt: instant(stmt, 13),
			UpdatedAt: instant(stmt, 14),
		},
	}
}

// ClienteHistory keeps the promise of store.Clientes.
func (s *Store) ClienteHistory(ctx context.Context, id, below int64, limit int) ([]store.Change, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	return read(ctx, s, func(conn *sqlite.Conn) ([]store.Change, error) {
		known, err := one(conn, scanBool, `
			SELECT EXISTS (SELECT 1 FROM clientes WHERE id = ?)
				OR EXISTS (SELECT 1 FROM cliente_history WHERE cliente_id = ?)`,
			id, id)
		switch {
		case err != nil:
			return nil, fmt.Errorf("look for cliente %d: %w", id, err)
		case !known:
			return nil, store.ErrNotFound
		}
		changes, err := list(ctx, conn, []store.Change{}, scanChange, `
			SELECT `+changeColumns+`
			FROM cliente_history
			WHERE cliente_id = ? AND (version < ? OR ? = 0)
			ORDER BY version DESC
			LIMIT +?`,
			id, below, below, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("list history of cliente %d: %w", id, err)
		}
		return changes, nil
	})
}

// keepChange adds to the history, with the name that the user has now.
func keepChange(conn *sqlite.Conn, id int64, c store.Change) error {
	err := exec(conn, `
		INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
			name, email, phone, company, address, notes, created_at, updated_at)
		VALUES (?, ?, ?, ?, coalesce((SELECT name FROM users WHERE id = ?), ''), ?,
			?, ?, ?, ?, ?, ?, ?, ?)`,
		id, c.Version, string(c.Action), c.UserID, c.UserID, c.At,
		c.Record.Name, c.Record.Email, c.Record.Phone, c.Record.Company, c.Record.Address, c.Record.Notes,
		c.Record.CreatedAt, c.Record.UpdatedAt)
	if err != nil {
		return fmt.Errorf("keep the change of cliente %d: %w", id, err)
	}
	return nil
}
