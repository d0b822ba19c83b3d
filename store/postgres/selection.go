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
	q := selected(sel, after)
	sql := `
		SELECT ` + clienteColumns + `
		FROM clientes
		WHERE ` + q.where + `
		ORDER BY ` + q.order + `
		LIMIT ` + strconv.Itoa(limit)
	alone := func(ctx context.Context, conn *pgx.Conn) ([]store.Cliente, error) {
		return list(ctx, conn, newPage(limit), toCliente, sql, q.args...)
	}
	var page []store.Cliente
	var err error
	switch {
	case sel.Filter != (store.Filter{}):
		page, err = callFor(ctx, s, store.Many, scanTimeout,
			func(ctx context.Context, conn *pgx.Conn) (found []store.Cliente, _ error) {
				b := beginLong(scanTimeout)
				queueList(b, &found, newPage(limit), toCliente, sql, q.args...)
				b.Queue("COMMIT")
				return found, send(ctx, conn, b)
			})
	case limit <= usualPage:
		page, err = s.reading.pages.Do(ctx, pageQuery{limit, sql, q.args})
		if isLeftOut(err) {
			page, err = call(ctx, s, store.Many, alone)
		}
	default: // would hold up others
		page, err = call(ctx, s, store.Many, alone)
	}
	if err != nil {
		return nil, fmt.Errorf("list clientes after %d: %w", after.ID, err)
	}
	return page, nil
}

// newPage has room for as many rows as a page usually has.
func newPage(limit int) []store.Cliente { return make([]store.Cliente, 0, min(limit, usualPage)) }

// CountClientes implements [store.Clientes].
func (s *Store) CountClientes(ctx context.Context, f store.Filter) (int64, error) {
	return callFor(ctx, s, store.Many, scanTimeout, func(ctx context.Context, conn *pgx.Conn) (
		int64, error) {
		var n int64
		q := selected(store.Selection{Filter: f}, store.Position{})
		b := beginLong(scanTimeout)
		b.Queue(`
			SELECT count(*)
			FROM clientes
			WHERE `+q.where,
			q.args...).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
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
	_, err := transfer(ctx, s, noResult(func(ctx context.Context, conn *pgx.Conn) error {
		if err := send(ctx, conn, beginLong(bulkTimeout)); err != nil {
			return fmt.Errorf("list clientes: %w", err)
		}
		q := selected(sel, store.Position{})
		rows, _ := conn.Query(ctx, `
			SELECT `+clienteColumns+`
			FROM clientes
			WHERE `+q.where+`
			ORDER BY `+q.order,
			q.args...) // its error is also rows.Err
		defer rows.Close()
		var c store.Cliente
		to := toCliente(&c)
		begun := false
		for rows.Next() {
			if err := rows.Scan(to...); err != nil {
				return fmt.Errorf("list clientes: %w", engineError(ctx, conn, err))
			}
			begun = true
			err := each(c)
			if err == nil && ctx.Err() != nil { // the rows that had arrived do not show it
				err = engineError(ctx, conn, ctx.Err())
			}
			if err != nil {
				// The connection could be used again only after the rest of the answer was read.
				conn.Close(ctx)
				return err
			}
		}
		switch err := rows.Err(); {
		case begun && isCollision(err):
			// Not to be retried: each has already seen some of the rows.
			return fmt.Errorf("list clientes: %w: %v", store.ErrUnavailable, err)
		case err != nil:
			return fmt.Errorf("list clientes: %w", engineError(ctx, conn, err))
		}
		return nil
	}))
	return err
}

// query is the parts of a statement that reads records.
type query struct {
	where string
	order string
	args  []any
}

// and adds a condition.
func (q *query) and(condition string) { q.where += ` AND ` + condition }

// arg adds an argument and returns its parameter.
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return `$` + strconv.Itoa(len(q.args))
}

// selected returns the query for the records of a selection after a position.
func selected(sel store.Selection, after store.Position) query {
	q := query{where: `true`}
	q.search(sel)
	q.filter(sel.Filter)
	q.page(sel, after)
	return q
}

// search adds the condition for the text of a selection.
func (q *query) search(sel store.Selection) {
	needle := sel.Needle()
	if needle == "" {
		return
	}
	escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(needle)
	q.and(`search LIKE ` + q.arg(`%`+escaped+`%`))
}

// filter adds the other conditions of a filter.
func (q *query) filter(f store.Filter) {
	if f.Email != "" {
		// The second condition is that of the partial index. Postgres uses the index only if the
		// query has the condition.
		q.and(`email_key = ` + q.arg(store.EmailKey(f.Email)) + ` AND email_key <> ''`)
	}
	if !f.UpdatedSince.IsZero() {
		q.and(`updated_at >= ` + q.arg(f.Since()))
	}
}

// page adds the order of a selection, and the condition for the records after a position.
func (q *query) page(sel store.Selection, after store.Position) {
	than, direction := ` > `, ``
	if sel.Descending {
		than, direction = ` < `, ` DESC`
	}
	key, at := sortColumn(sel.Sort, after)
	if key == "" {
		q.order = `id` + direction
		if after.ID != 0 {
			q.and(`id` + than + q.arg(after.ID))
		}
		return
	}
	q.order = key + direction + `, id` + direction
	if after.ID != 0 {
		q.and(`(` + key + `, id)` + than + `(` + q.arg(at) + `, ` + q.arg(after.ID) + `)`)
	}
}

// sortColumn returns the column of an order and its value in a position, or "" for the id alone.
func sortColumn(s store.Sort, p store.Position) (column string, value any) {
	switch s {
	case store.ByName:
		return `name_key`, p.Name
	case store.ByCreated:
		return `created_at`, p.At
	case store.ByUpdated:
		return `updated_at`, p.At
	}
	return "", nil
}
