package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"clientes/store"
)

// This file is a migration between those in the folder migrations.
//
// Additive: it only writes what newer programs write anyway.
const (
	repairVersion = 16
	repairName    = "00016_repair_clientes.go"
)

// repairClientes repairs what servers of an older version wrote after a newer one had migrated the
// database. They left out or did not renew the folded columns, and kept no history. For a record
// whose present version is missing from the history, it adds that version: by nobody, at the time
// of the record's last change. What came before is lost.
//
// It has no transaction around it, which would keep all others from writing for as long as it
// takes. It may begin again after an interruption. Servers write meanwhile; a record that they have
// changed since it was read is as it should be.
//
// It leaves an unfinished copy alone, because the rows must be those of its source.
func repairClientes(ctx context.Context, db *sql.DB, report func(store.MigrationProgress)) error {
	progress := store.MigrationProgress{Name: repairName}
	copying := false
	err := db.QueryRowContext(ctx, `
		SELECT (SELECT count(*) FROM clientes), EXISTS (SELECT 1 FROM identity WHERE copying <> '')`).
		Scan(&progress.Total, &copying)
	if err != nil || copying {
		return err
	}
	for last := int64(0); ; {
		b, err := readRepairs(ctx, db, last)
		if err != nil || b.rows == 0 {
			return err
		}
		if err := b.write(ctx, db); err != nil {
			return err
		}
		last = b.last
		progress.Done += b.rows
		report(progress)
	}
}

// repairs are what a part of the records lacks.
type repairs struct {
	rows, last int64 // how many were read, and the id of the last one

	ids, versions []int64 // of those whose folded columns are not right
	keys, texts   []string
	unkept        []int64 // the ids of those whose version is not in the history
}

// readRepairs reads a thousand records after an id.
func readRepairs(ctx context.Context, db *sql.DB, after int64) (b repairs, err error) {
	rows, err := db.QueryContext(ctx, `
		SELECT id, version, name, email, phone, company, name_key, search,
			EXISTS (
				SELECT 1
				FROM cliente_history
				WHERE cliente_id = clientes.id AND version = clientes.version)
		FROM clientes
		WHERE id > ?
		ORDER BY id
		LIMIT 1000`,
		after)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c store.Cliente
		var key, text string
		var kept bool
		err := rows.Scan(&c.ID, &c.Version, &c.Name, &c.Email, &c.Phone, &c.Company,
			&key, &text, &kept)
		if err != nil {
			return b, err
		}
		b.rows++
		b.last = c.ID
		if k, t := store.SortKey(c.Name), c.SearchText(); k != key || t != text {
			b.ids = append(b.ids, c.ID)
			b.versions = append(b.versions, c.Version)
			b.keys = append(b.keys, k)
			b.texts = append(b.texts, t)
		}
		if !kept {
			b.unkept = append(b.unkept, c.ID)
		}
	}
	return b, rows.Err()
}

func (b repairs) write(ctx context.Context, db *sql.DB) (err error) {
	if len(b.ids) == 0 && len(b.unkept) == 0 {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	// Triggers keep the search index.
	for i, id := range b.ids {
		_, err := tx.ExecContext(ctx, `
			UPDATE clientes
			SET name_key = ?, search = ?
			WHERE id = ? AND version = ?`,
			b.keys[i], b.texts[i], id, b.versions[i])
		if err != nil {
			return err
		}
	}
	for _, id := range b.unkept {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
				name, email, phone, company, address, notes, created_at, updated_at)
			SELECT id, version, CASE version WHEN 1 THEN 'created' ELSE 'updated' END, 0, '',
				updated_at, name, email, phone, company, address, notes, created_at, updated_at
			FROM clientes
			WHERE id = ?
			ON CONFLICT (cliente_id, version) DO NOTHING`,
			id)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}
