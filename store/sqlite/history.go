package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

var (
	// historyColumns are in the order of keepChange's arguments.
	historyColumns = `seq, cliente_id, version, action, restored, user_id, user_name,
		at, created_at, updated_at, ` + textColumns

	// changeColumns are in the order of scanChange. The record has the version of the change. Only
	// for a delete it has the version before.
	changeColumns = `version,
		CASE WHEN erased = 2 THEN 'erased' WHEN restored THEN 'restored' ELSE action END,
		user_id, user_name, at, erased <> 0,
		cliente_id, version - (action = 'deleted'), created_at, updated_at, ` + textColumns
)

func scanChange(stmt *sqlite.Stmt) store.Change {
	return store.Change{
		Version: stmt.ColumnInt64(0),
		Action:  store.Action(stmt.ColumnText(1)),
		UserID:  stmt.ColumnInt64(2),
		User:    stmt.ColumnText(3),
		At:      instant(stmt, 4),
		Erased:  stmt.ColumnBool(5),
		Record:  scanClienteAt(stmt, 6),
	}
}

var selectHistory = `
	SELECT ` + changeColumns + `
	FROM cliente_history
	WHERE cliente_id = ? AND (version < ? OR ? = 0)
	ORDER BY version DESC
	LIMIT +?`

var selectChange = `
	SELECT ` + changeColumns + `
	FROM cliente_history
	WHERE cliente_id = ? AND version = ?`

// ClienteHistory implements [store.Clientes].
func (s *Store) ClienteHistory(ctx context.Context, id, below int64,
	limit int) ([]store.Change, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	return readMany(ctx, s, func(conn *sqlite.Conn) ([]store.Change, error) {
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
		changes, err := list(ctx, conn, []store.Change{}, scanChange, selectHistory,
			id, below, below, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("list history of cliente %d: %w", id, err)
		}
		return changes, nil
	})
}

var insertChange = `
	INSERT INTO cliente_history (` + historyColumns + `)
	VALUES (` + nextSeq + `, ?, ?, ?, ?, ?,
		coalesce((SELECT name FROM users WHERE id = ?), ''),
		?, ?, ?, ` + parameters(store.ClienteTexts) + `)`

// keepChange inserts one step of a record's history, with the name that the user has now.
func keepChange(conn *sqlite.Conn, c store.Change) error {
	restored := c.Action == store.Restored
	if restored {
		c.Action = store.Updated // as older programs know it
	}
	err := exec(conn, insertChange,
		c.Record.ID, c.Version, string(c.Action), restored, c.UserID,
		c.UserID,
		c.At, c.Record.CreatedAt, c.Record.UpdatedAt, &c.Record)
	if err != nil {
		return fmt.Errorf("keep the change of cliente %d: %w", c.Record.ID, err)
	}
	return nil
}
