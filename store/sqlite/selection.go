package sqlite

import (
	"context"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// Clientes implements [store.Clientes].
func (s *Store) Clientes(ctx context.Context, sel store.Selection, after store.Position,
	limit int) ([]store.Cliente, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	page := func(ctx context.Context, conn *sqlite.Conn) ([]store.Cliente, error) {
		q, err := selected(conn, sel, after)
		if err != nil {
			return nil, err
		}
		rows := make([]store.Cliente, 0, min(limit, usualPage))
		rows, err = list(ctx, conn, rows, scanCliente, `
			SELECT `+clienteColumns+`
			FROM `+q.from+`
			WHERE `+q.where+`
			ORDER BY `+q.order+`
			LIMIT +?`,
			append(q.args, int64(limit))...)
		if err != nil {
			return nil, fmt.Errorf("list clientes after %d: %w", after.ID, err)
		}
		return rows, nil
	}
	if sel.Filter == (store.Filter{}) {
		return readMany(ctx, s,
			func(conn *sqlite.Conn) ([]store.Cliente, error) { return page(ctx, conn) })
	}
	return readLong(ctx, s, page)
}

// CountClientes implements [store.Clientes].
func (s *Store) CountClientes(ctx context.Context, f store.Filter) (int64, error) {
	return readLong(ctx, s, func(_ context.Context, conn *sqlite.Conn) (int64, error) {
		q, err := selected(conn, store.Selection{Filter: f}, store.Position{})
		if err != nil {
			return 0, err
		}
		n, err := one(conn, scanInteger, `
			SELECT count(*)
			FROM `+q.from+`
			WHERE `+q.where,
			q.args...)
		if err != nil {
			return 0, fmt.Errorf("count clientes: %w", err)
		}
		return n, nil
	})
}

// EachCliente implements [store.Clientes]. A statement sees one state of the database from its
// first row to its last.
func (s *Store) EachCliente(ctx context.Context, sel store.Selection,
	each func(store.Cliente) error) error {
	var refused error
	_, err := readUntil(ctx, s, func(ctx context.Context, conn *sqlite.Conn) (struct{}, error) {
		q, err := selected(conn, sel, store.Position{})
		if err != nil {
			return struct{}{}, err
		}
		stmt, err := prepare(conn, `
			SELECT `+clienteColumns+`
			FROM `+q.from+`
			WHERE `+q.where+`
			ORDER BY `+q.order,
			q.args)
		if err != nil {
			return struct{}{}, fmt.Errorf("list clientes: %w", err)
		}
		defer stmt.Reset()
		for {
			row, err := stmt.Step()
			if err != nil {
				return struct{}{}, fmt.Errorf("list clientes: %w", engineError(err))
			}
			if !row {
				return struct{}{}, nil
			}
			if refused = each(scanCliente(stmt)); refused != nil {
				return struct{}{}, nil
			}
		}
	})
	if refused != nil {
		return refused
	}
	return err
}

// fewMatches is the largest number of matching records that are sorted. Above it, a search in
// another order than by id reads the records in that order and tests each for the text.
const fewMatches = 5000

// fewHave reports whether at most fewMatches records match a phrase.
func fewHave(conn *sqlite.Conn, phrase string) (bool, error) {
	n, err := one(conn, scanInteger, `
		SELECT count(*)
		FROM (
			SELECT 1
			FROM clientes_search
			WHERE clientes_search MATCH ?
			LIMIT ?)`,
		phrase, int64(fewMatches+1))
	if err != nil {
		return false, fmt.Errorf("count what has the text: %w", err)
	}
	return n <= fewMatches, nil
}

// query is the parts of a statement that reads records.
type query struct {
	from  string
	id    string // the column that holds the id
	where string
	order string
	args  []any
}

// and adds a condition with its arguments.
func (q *query) and(condition string, args ...any) {
	q.where += ` AND ` + condition
	q.args = append(q.args, args...)
}

// selected returns the query for the records of a selection after a position.
func selected(conn *sqlite.Conn, sel store.Selection, after store.Position) (query, error) {
	q := query{from: `clientes`, id: `id`, where: `true`}
	if err := q.search(conn, sel); err != nil {
		return query{}, err
	}
	q.filter(sel.Filter)
	q.page(sel, after)
	return q, nil
}

// search adds the condition for the text of a selection.
func (q *query) search(conn *sqlite.Conn, sel store.Selection) (err error) {
	needle := sel.Needle()
	if needle == "" {
		return nil
	}
	phrase := `"` + strings.ReplaceAll(needle, `"`, `""`) + `"`
	few := true
	if column, _ := sortColumn(sel.Sort, store.Position{}); column == "" {
		q.id = `clientes_search.rowid` // the order of the index
	} else if few, err = fewHave(conn, phrase); err != nil {
		return err
	}
	if few {
		// CROSS makes SQLite read the index first.
		q.from = `clientes_search CROSS JOIN clientes ON clientes.id = clientes_search.rowid`
		q.and(`clientes_search MATCH ?`, phrase)
	}
	// The index takes these three for the same character.
	if !few || strings.ContainsAny(needle, "\ufffd\ufffe\uffff") {
		q.and(`instr(clientes.search, ?) > 0`, needle)
	}
	return nil
}

// filter adds the other conditions of a filter.
func (q *query) filter(f store.Filter) {
	if f.Email != "" {
		// The second condition is that of the partial index. SQLite uses the index only if the
		// query has the condition.
		q.and(`email_key = ? AND email_key <> ''`, store.EmailKey(f.Email))
	}
	if !f.UpdatedSince.IsZero() {
		q.and(`updated_at >= ?`, f.Since())
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
		q.order = q.id + direction
		if after.ID != 0 {
			q.and(q.id+than+`?`, after.ID)
		}
		return
	}
	q.order = key + direction + `, ` + q.id + direction
	if after.ID != 0 {
		q.and(`(`+key+`, `+q.id+`)`+than+`(?, ?)`, at, after.ID)
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
