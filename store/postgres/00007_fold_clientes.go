package postgres

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

// foldClientes fills the folded columns of the records that existed before the columns did, a
// thousand in a trip.
func foldClientes(ctx context.Context, tx *sql.Tx) error {
	for last := int64(0); ; {
		rows, err := tx.QueryContext(ctx, `
			SELECT id, name, email, phone, company
			FROM clientes
			WHERE id > $1
			ORDER BY id
			LIMIT 1000`,
			last)
		if err != nil {
			return err
		}
		var ids []int64
		var keys, texts []string
		for rows.Next() {
			var c store.Cliente
			if err := rows.Scan(&c.ID, &c.Name, &c.Email, &c.Phone, &c.Company); err != nil {
				return errors.Join(err, rows.Close())
			}
			last = c.ID
			ids = append(ids, c.ID)
			keys = append(keys, store.SortKey(c.Name))
			texts = append(texts, c.SearchText())
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		if len(ids) == 0 {
			return nil
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE clientes
			SET name_key = folded.name_key, search = folded.search
			FROM unnest($1::bigint[], $2::text[], $3::text[]) AS folded (id, name_key, search)
			WHERE clientes.id = folded.id`,
			ids, keys, texts)
		if err != nil {
			return err
		}
	}
}
