package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// These cannot be constants, as the store has the names of the texts. They never change. Statements
// with them are variables, too: a call that put one together would allocate.
var (
	// textColumns are the columns of a customer's texts, in clientes and in cliente_history alike.
	// They are in the order of [store.Cliente.Texts].
	textColumns = strings.Join(store.TextNames(), ", ")

	// rowColumns are the texts and what Go makes of them for order, uniqueness and search.
	rowColumns = textColumns + `, name_key, email_key, search`

	// clienteColumns are in the order of scanCliente.
	clienteColumns = `id, version, created_at, updated_at, ` + textColumns
)

// rowParameters is the number of rowColumns.
const rowParameters = store.ClienteTexts + 3

func scanCliente(stmt *sqlite.Stmt) store.Cliente { return scanClienteAt(stmt, 0) }

// scanClienteAt is scanCliente where clienteColumns begin at another column than the first.
func scanClienteAt(stmt *sqlite.Stmt, column int) store.Cliente {
	c := store.Cliente{
		ID:        stmt.ColumnInt64(column),
		Version:   stmt.ColumnInt64(column + 1),
		CreatedAt: instant(stmt, column+2),
		UpdatedAt: instant(stmt, column+3),
	}
	for i, t := range c.Texts() {
		*t.Value = stmt.ColumnText(column + 4 + i)
	}
	return c
}

var createCliente = `
	INSERT INTO clientes (version, created_at, updated_at, ` + rowColumns + `)
	VALUES (?, ?, ?, ` + parameters(rowParameters) + `)`

// insertCliente writes a new record and the first step of its history.
func (s *Store) insertCliente(conn *sqlite.Conn, by int64, c store.Cliente) (store.Cliente, error) {
	c.Version = 1
	c.CreatedAt = store.Instant(s.now())
	c.UpdatedAt = c.CreatedAt
	sortKey, emailKey, searchText := c.Keys()
	err := exec(conn, createCliente,
		c.Version, c.CreatedAt, c.UpdatedAt,
		&c, sortKey, emailKey, searchText)
	switch {
	case isConflict(err):
		return store.Cliente{}, &store.ConflictError{Field: "email"}
	case err != nil:
		return store.Cliente{}, fmt.Errorf("insert cliente: %w", err)
	}
	c.ID = conn.LastInsertRowID()
	return c, keepChange(conn, store.Change{
		Version: c.Version, Action: store.Created, UserID: by, At: c.CreatedAt, Record: c,
	})
}

// Cliente implements [store.Clientes].
func (s *Store) Cliente(ctx context.Context, id int64) (store.Cliente, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		return clienteByID(conn, id)
	})
}

var updateCliente = `
	UPDATE clientes
	SET version = ?, updated_at = ?, (` + rowColumns + `) = (` + parameters(rowParameters) + `)
	WHERE id = ?`

// UpdateCliente implements [store.Clientes].
func (s *Store) UpdateCliente(ctx context.Context, by, id int64,
	update func(store.Cliente) (store.Cliente, error)) (store.Cliente, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		old, err := clienteByID(conn, id)
		if err != nil {
			return store.Cliente{}, err
		}
		c, err := update(old)
		if err != nil {
			return store.Cliente{}, err
		}
		if c.SameText(old) {
			return old, nil
		}
		return s.replaceCliente(conn, by, old, c, store.Updated)
	})
}

// replaceCliente writes the next version of a record, with the texts of c, and its history.
func (s *Store) replaceCliente(conn *sqlite.Conn, by int64, old, c store.Cliente,
	action store.Action) (store.Cliente, error) {
	c.ID = old.ID
	c.Version = old.Version + 1
	c.CreatedAt = old.CreatedAt
	c.UpdatedAt = store.Later(old.UpdatedAt, s.now())
	sortKey, emailKey, searchText := c.Keys()
	err := exec(conn, updateCliente,
		c.Version, c.UpdatedAt,
		&c, sortKey, emailKey, searchText,
		c.ID)
	switch {
	case isConflict(err):
		return store.Cliente{}, &store.ConflictError{Field: "email"}
	case err != nil:
		return store.Cliente{}, fmt.Errorf("update cliente %d: %w", c.ID, err)
	}
	return c, keepChange(conn, store.Change{
		Version: c.Version, Action: action, UserID: by, At: c.UpdatedAt, Record: c,
	})
}

// RestoreCliente implements [store.Clientes].
func (s *Store) RestoreCliente(ctx context.Context, by, id, version int64,
	check func(store.Cliente) error) (store.Cliente, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
		old, err := clienteByID(conn, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return store.Cliente{}, err
		}
		wanted, err := one(conn, scanChange, selectChange, id, version)
		if err != nil {
			return store.Cliente{}, fmt.Errorf("read version %d of cliente %d: %w", version, id,
				err)
		}
		if wanted.Erased {
			return store.Cliente{}, fmt.Errorf("version %d of cliente %d is erased: %w", version,
				id, store.ErrNotFound)
		}
		if err := check(old); err != nil {
			return store.Cliente{}, err
		}
		switch {
		case old.ID == 0:
			if old, err = bringBack(conn, wanted.Record); err != nil {
				return store.Cliente{}, err
			}
		case wanted.Record.SameText(old):
			return old, nil
		}
		return s.replaceCliente(conn, by, old, wanted.Record, store.Restored)
	})
}

var createClienteAgain = `
	INSERT INTO clientes (id, version, created_at, updated_at, ` + rowColumns + `)
	VALUES (?, ?, ?, ?, ` + parameters(rowParameters) + `)`

// bringBack inserts a record that was deleted, with the version and the time of its last change.
func bringBack(conn *sqlite.Conn, c store.Cliente) (store.Cliente, error) {
	last, err := one(conn, scanChange, selectHistory, c.ID, int64(0), int64(0), int64(1))
	if err != nil {
		return store.Cliente{}, fmt.Errorf("read the last change of cliente %d: %w", c.ID, err)
	}
	c.Version, c.UpdatedAt = last.Version, last.At
	sortKey, emailKey, searchText := c.Keys()
	err = exec(conn, createClienteAgain,
		c.ID, c.Version, c.CreatedAt, c.UpdatedAt,
		&c, sortKey, emailKey, searchText)
	switch {
	case isConflict(err):
		return store.Cliente{}, &store.ConflictError{Field: "email"}
	case err != nil:
		return store.Cliente{}, fmt.Errorf("insert cliente %d again: %w", c.ID, err)
	}
	return c, nil
}

// DeleteCliente implements [store.Clientes].
func (s *Store) DeleteCliente(ctx context.Context, by, id int64,
	check func(store.Cliente) error) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		c, err := clienteByID(conn, id)
		if err != nil {
			return err
		}
		if err := check(c); err != nil {
			return err
		}
		if err := exec(conn, `DELETE FROM clientes WHERE id = ?`, id); err != nil {
			return fmt.Errorf("delete cliente %d: %w", id, err)
		}
		at := store.Later(c.UpdatedAt, s.now())
		return keepChange(conn, store.Change{
			Version: c.Version + 1, Action: store.Deleted, UserID: by, At: at, Record: c,
		})
	})
}

var selectCliente = `
	SELECT ` + clienteColumns + `
	FROM clientes
	WHERE id = ?`

func clienteByID(conn *sqlite.Conn, id int64) (store.Cliente, error) {
	c, err := one(conn, scanCliente, selectCliente, id)
	if err != nil {
		return store.Cliente{}, fmt.Errorf("read cliente %d: %w", id, err)
	}
	return c, nil
}
