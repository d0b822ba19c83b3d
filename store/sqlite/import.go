package sqlite

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// ImportClientes implements [store.Clientes]. It holds the one writer from the first row to the
// commit.
func (s *Store) ImportClientes(ctx context.Context, by int64,
	rows iter.Seq2[store.Cliente, error]) (int64, error) {
	return writeAlone(ctx, s, func(conn *sqlite.Conn) (int64, error) {
		var row int64
		var faults store.RowsError
		for c, err := range rows {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return 0, err
			}
			row++
			var conflict *store.ConflictError
			switch _, err := s.insertCliente(conn, by, c); {
			case errors.As(err, &conflict):
				faults.Add(row, store.TakenEmail())
			case err != nil:
				return 0, fmt.Errorf("row %d: %w", row, err)
			}
		}
		return row, faults.Err()
	})
}

// CheckImport implements [store.Clientes]. It remembers the emails of the rows: some hundred bytes
// each.
func (s *Store) CheckImport(ctx context.Context,
	rows iter.Seq2[store.Cliente, error]) (int64, error) {
	return readUntil(ctx, s, func(ctx context.Context, conn *sqlite.Conn) (int64, error) {
		return store.CheckEmails(ctx, rows, func(key string) (bool, error) {
			taken, err := one(conn, scanBool, `
				SELECT EXISTS (
					SELECT 1
					FROM clientes
					WHERE email_key = ? AND email_key <> '')`,
				key)
			if err != nil {
				return false, fmt.Errorf("look for an email: %w", err)
			}
			return taken, nil
		})
	})
}
