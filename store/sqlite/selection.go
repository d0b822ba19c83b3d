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
		from, where, order, args, err := selected(conn, sel, after)
		if err != nil {
			return nil, err
		}
		rows := make([]store.Cliente, 0, min(limit, usualPage))
		rows, err = list(ctx, conn, rows, scanCliente, `
			SELECT `+clienteColumns+`
			FROM `+from+`
			WHERE `+where+`
			ORDER BY `+order+`
			LIMIT +?`,
			append(args, int64(limit))...)
		if err != nil {
			return nil, fmt.Errorf("list clientes after %d: %w", after.ID, err)
		}
		return rows, nil
	}
	if sel.Filter == (store.Filter{}) {
		return read(ctx, s,
			func(conn *sqlite.Conn) ([]store.Cliente, error) { return page(ctx, conn) })
	}
	return readLong(ctx, s, page)
}

// CountClientes implements [store.Clientes].
func (s *Store) CountClientes(ctx context.Context, f store.Filter) (int64, error) {
	return readLong(ctx, s, func(_ context.Context, conn *sqlite.Conn) (int64, error) {
		from, where, _, args, err := selected(conn, store.Selection{Filter: f}, store.Position{})
		if err != nil {
			return 0, err
		}
		n, err := one(conn, scanInteger, `
			SELECT count(*)
			FROM `+from+`
			WHERE `+where,
			args...)
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
		from, where, order, args, err := selected(conn, sel, store.Position{})
		if err != nil {
			return struct{}{}, err
		}
		stmt, err := prepare(conn, `
			SELECT `+clienteColumns+`
			FROM `+from+`
			WHERE `+where+`
			ORDER BY `+order,
			args)
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

// selected returns the parts of a statement that reads the records of a selection after a position.
func selected(conn *sqlite.Conn, sel store.Selection,
	after store.Position) (from, where, order string, args []any, err error) {
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
	from, id := `clientes`, `id`
	conditions := make([]string, 1, 5)
	conditions[0] = `true`
	if needle := sel.Needle(); needle != "" {
		phrase := `"` + strings.ReplaceAll(needle, `"`, `""`) + `"`
		few := true
		if key == "" {
			id = `clientes_search.rowid` // the order of the index
		} else if few, err = fewHave(conn, phrase); err != nil {
			return "", "", "", nil, err
		}
		if few {
			// CROSS makes SQLite read the index first.
			from = `clientes_search CROSS JOIN clientes ON clientes.id = clientes_search.rowid`
			conditions, args = append(conditions, `clientes_search MATCH ?`), append(args, phrase)
		}
		// The index takes these three for the same character.
		if !few || strings.ContainsAny(needle, "\ufffd\ufffe\uffff") {
			conditions, args = append(conditions, `instr(clientes.search, ?) > 0`),
				append(args, needle)
		}
	}
	if sel.Email != "" {
		// The second condition is the one of the partial index, which SQLite uses only if the query
		// has it.
		conditions, args = append(conditions, `email_key = ? AND email_key <> ''`),
			append(args, store.EmailKey(sel.Email))
	}
	if !sel.UpdatedSince.IsZero() {
		conditions, args = append(conditions, `updated_at >= ?`), append(args, sel.Since())
	}
	than, direction := ` > `, ``
	if sel.Descending {
		than, direction = ` < `, ` DESC`
	}
	if key == "" {
		order = id + direction
		if after.ID != 0 {
			conditions, args = append(conditions, id+than+`?`), append(args, after.ID)
		}
	} else {
		order = key + direction + `, ` + id + direction
		if after.ID != 0 {
			conditions, args = append(conditions, `(`+key+`, `+id+`)`+than+`(?, ?)`),
				append(args, at, after.ID)
		}
	}
	return from, strings.Join(conditions, ` AND `), order, args, nil
}
