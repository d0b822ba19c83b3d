package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"clientes/store"
)

// This file is a migration between those in the folder migrations. It fills columns that only Go
// can fold.
const (
	foldVersion = 7
	foldName    = "00007_fold_clientes.go"
)

// foldClientes fills the folded columns of the records that existed before the columns did.
func foldClientes(ctx context.Context, tx *sql.Tx) error {
	read, err := tx.PrepareContext(ctx, `
		SELECT id, name, email, phone, company
		FROM clientes
		WHERE id > ?
		ORDER BY id
		LIMIT 1`)
	if err != nil {
		return err
	}
	defer read.Close()
	write, err := tx.PrepareContext(ctx, `
		UPDATE clientes
		SET name_key = ?, search = ?
		WHERE id = ?`)
	if err != nil {
		return err
	}
	defer write.Close()
	var c store.Cliente
	for {
		err := read.QueryRowContext(ctx, c.ID).Scan(&c.ID, &c.Name, &c.Email, &c.Phone, &c.Company)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		_, err = write.ExecContext(ctx, store.SortKey(c.Name), c.SearchText(), c.ID)
		if err != nil {
			return err
		}
	}
}
