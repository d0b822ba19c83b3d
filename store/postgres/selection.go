package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// Clientes implements [store.Clientes].
func (s *Store) Clientes(ctx context.Context, sel store.Selection, after store.Position,
	limit int) ([]store.Cliente, error) {
	limit = max(limit, 0) // a negative one is an error to Postgres
	where, order, args := selected(sel, after)
	query := `
		SELECT ` + clienteColumns + `
		FROM clientes
		WHERE ` + where + `
		ORDER BY ` + order + `
		LIMIT ` + strconv.Itoa(limit)
	page := make([]store.Cliente, 0, min(limit, usualPage))
	var err error
	if sel.Filter == (store.Filter{}) {
		page, err = call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (
			[]store.Cliente, error) {
			return list(ctx, conn, page, toCliente, query, args...)
		})
	} else {
		page, err = callFor(ctx, s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) (
			[]store.Cliente, error) {
			found := page
			b := beginLong(scanTimeout)
			b.Queue(query, args...).Query(func(rows pgx.Rows) (err error) {
				found, err = pgx.AppendRows(found, rows, func(row pgx.CollectableRow) (
					c store.Cliente, err error) {
					return c, row.Scan(toCliente(&c)...)
				})
				return err
			})
			b.Queue("COMMIT")
			return found, send(ctx, conn, b)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list clientes after %d: %w", after.ID, err)
	}
	return page, nil
}

// CountClientes implements [store.Clientes].
func (s *Store) CountClientes(ctx context.Context, f store.Filter) (int64, error) {
	return callFor(ctx, s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) (
		n int64, err error) {
		where, _, args := selected(store.Selection{Filter: f}, store.Position{})
		b := beginLong(scanTimeout)
		b.Queue(`
			SELECT count(*)
			FROM clientes
			WHERE `+where,
			args...).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		b.Queue("COMMIT")
		if err := send(ctx, conn, b); err != nil {
			return 0, fmt.Errorf("count clientes: %w", err)
		}
		return n, nil
	})
}

// EachCliente implements [store.Clientes]. A statement sees one state of the database, and its rows
// arrive as fast as each takes them.
func (s *Store) EachCliente(ctx context.Context, sel store.Selection,
	each func(store.Cliente) error) error {
	_, err := callFor(ctx, s, bulkTimeout, func(ctx context.Context, conn *pgx.Conn) (
		struct{}, error) {
		if err := send(ctx, conn, beginLong(bulkTimeout)); err != nil {
			return struct{}{}, fmt.Errorf("list clientes: %w", err)
		}
		where, order, args := selected(sel, store.Position{})
		rows, _ := conn.Query(ctx, `
			SELECT `+clienteColumns+`
			FROM clientes
			WHERE `+where+`
			ORDER BY `+order,
			args...) // its error is also rows.Err
		defer rows.Close()
		var c store.Cliente
		to := toCliente(&c)
		begun := false
		for rows.Next() {
			if err := rows.Scan(to...); err != nil {
				return struct{}{}, fmt.Errorf("list clientes: %w", engineError(ctx, conn, err))
			}
			begun = true
			err := each(c)
			if err == nil && ctx.Err() != nil { // what has come already would not tell
				err = engineError(ctx, conn, ctx.Err())
			}
			if err != nil {
				// The connection could be used again only after the rest of the answer was read.
				conn.Close(ctx)
				return struct{}{}, err
			}
		}
		switch err := rows.Err(); {
		case begun && isCollision(err):
			// Not to be retried: each has already seen some of the rows.
			return struct{}{}, fmt.Errorf("list clientes: %w: %v", store.ErrUnavailable, err)
		case err != nil:
			return struct{}{}, fmt.Errorf("list clientes: %w", engineError(ctx, conn, err))
		}
		return struct{}{}, nil
	})
	return err
}

// selected returns the parts of a statement that reads the records of a selection after a position.
func selected(sel store.Selection, after store.Position) (where, order string, args []any) {
	conditions := make([]string, 1, 5)
	conditions[0] = `true`
	arg := func(v any) string {
		args = append(args, v)
		return `$` + strconv.Itoa(len(args))
	}
	if needle := sel.Needle(); needle != "" {
		pattern := `%` + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(needle) + `%`
		conditions = append(conditions, `search LIKE `+arg(pattern))
	}
	if sel.Email != "" {
		// The second condition is the one of the partial index, which Postgres uses only if the
		// query has it.
		conditions = append(conditions,
			`email_key = `+arg(store.EmailKey(sel.Email))+` AND email_key <> ''`)
	}
	if !sel.UpdatedSince.IsZero() {
		conditions = append(conditions, `updated_at >= `+arg(sel.Since()))
	}
	than, direction := ` > `, ``
	if sel.Descending {
		than, direction = ` < `, ` DESC`
	}
	var key string
	var at any
	switch sel.Sort {
	case store.ByName:
		key, at = `name_key`, after.Name
	case store.ByCreated:
		key, at = `created_at`, after.At
	case store.ByUpdated:
		key, at = `updated_at`, after.At
	}
	if key == "" {
		order = `id` + direction
		if after.ID != 0 {
			conditions = append(conditions, `id`+than+arg(after.ID))
		}
	} else {
		order = key + direction + `, id` + direction
		if after.ID != 0 {
			conditions = append(conditions, `(`+key+`, id)`+than+`(`+arg(at)+`, `+arg(after.ID)+`)`)
		}
	}
	return strings.Join(conditions, ` AND `), order, args
}
