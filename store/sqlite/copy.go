package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// Identity implements [store.Copying].
func (s *Store) Identity(ctx context.Context) (store.Identity, error) {
	return decide(ctx, s, func(conn *sqlite.Conn) (store.Identity, error) {
		is, err := identity(conn)
		if err == nil {
			is.OrderBegan, err = orderBegan(conn)
		}
		return is, err
	})
}

// identity returns which database it is, also of an earlier version: without OrderBegan.
func identity(conn *sqlite.Conn) (store.Identity, error) {
	is, err := one(conn, func(stmt *sqlite.Stmt) store.Identity {
		return store.Identity{ID: stmt.ColumnText(0), Copying: stmt.ColumnText(1)}
	}, `
		SELECT id, copying
		FROM identity`)
	if err != nil {
		return store.Identity{}, fmt.Errorf("read the identity: %w", err)
	}
	return is, nil
}

// Extent implements [store.Copying].
func (s *Store) Extent(ctx context.Context, t store.Table) (store.Extent, error) {
	return readUntil(ctx, s,
		func(_ context.Context, conn *sqlite.Conn) (e store.Extent, err error) {
			e.Rows, err = one(conn, scanInteger, `
				SELECT count(*)
				FROM `+t.Name)
			if err != nil {
				return store.Extent{}, fmt.Errorf("count %s: %w", t.Name, err)
			}
			key := t.Names()[:t.Key]
			e.LastKey, err = one(conn, rowScanner(t.Columns[:t.Key]), `
				SELECT `+strings.Join(key, `, `)+`
				FROM `+t.Name+`
				ORDER BY `+strings.Join(key, ` DESC, `)+` DESC
				LIMIT 1`)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return store.Extent{}, fmt.Errorf("read the last of %s: %w", t.Name, err)
			}
			if t.IDs {
				e.LastID, err = one(conn, scanInteger, `
					SELECT coalesce(max(seq), 0)
					FROM sqlite_sequence
					WHERE name = ?`,
					t.Name)
				if err != nil {
					return store.Extent{}, fmt.Errorf("read the last id of %s: %w", t.Name, err)
				}
			}
			return e, nil
		})
}

// ReadRows implements [store.Copying].
func (s *Store) ReadRows(ctx context.Context, t store.Table, after []any,
	limit int) ([][]any, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	return readUntil(ctx, s, func(ctx context.Context, conn *sqlite.Conn) ([][]any, error) {
		key := strings.Join(t.Names()[:t.Key], `, `)
		where := `true`
		if after != nil {
			where = `(` + key + `) > (` + parameters(t.Key) + `)`
		}
		rows := make([][]any, 0, min(limit, usualPage))
		rows, err := list(ctx, conn, rows, rowScanner(t.Columns), `
			SELECT `+strings.Join(t.Names(), `, `)+`
			FROM `+t.Name+`
			WHERE `+where+`
			ORDER BY `+key+`
			LIMIT +?`,
			append(after[:len(after):len(after)], int64(limit))...)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", t.Name, err)
		}
		return rows, nil
	})
}

// BeginCopy implements [store.Copying].
func (s *Store) BeginCopy(ctx context.Context, source string) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		is, err := identity(conn)
		switch {
		case err != nil:
			return err
		case is.Copying == source && source != "":
			return nil
		case is.Copying != "":
			return fmt.Errorf(
				"the copy of another database into it is not finished: %w", store.ErrNotEmpty)
		}
		for _, t := range store.Tables() {
			has, err := one(conn, scanBool, `
				SELECT EXISTS (
					SELECT 1
					FROM `+t.Name+`)`)
			switch {
			case err != nil:
				return fmt.Errorf("look for rows in %s: %w", t.Name, err)
			case has:
				return fmt.Errorf("there are rows in %s: %w", t.Name, store.ErrNotEmpty)
			}
		}
		if err := exec(conn, `UPDATE identity SET copying = ?`, source); err != nil {
			return fmt.Errorf("note the copy: %w", err)
		}
		return nil
	})
}

// WriteRows implements [store.Copying]. Triggers of the tables fill the search index.
func (s *Store) WriteRows(ctx context.Context, source string, t store.Table, rows [][]any) error {
	_, err := writeAlone(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		if err := mustCopy(conn, source); err != nil {
			return struct{}{}, err
		}
		insert := `
			INSERT INTO ` + t.Name + ` (` + strings.Join(t.Names(), `, `) + `)
			VALUES (` + parameters(len(t.Columns)) + `)`
		for _, row := range rows {
			err := exec(conn, insert, row...)
			if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultConstraint {
				err = fmt.Errorf("%w: %w", store.ErrCopyDisturbed, err)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return struct{}{}, fmt.Errorf("write %s: %w", t.Name, err)
			}
		}
		return struct{}{}, nil
	})
	return err
}

// FinishCopy implements [store.Copying].
func (s *Store) FinishCopy(ctx context.Context, source store.Identity,
	lastIDs map[string]int64) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		if err := mustCopy(conn, source.ID); err != nil {
			return err
		}
		for _, t := range store.Tables() {
			if err := raiseLastID(conn, t.Name, lastIDs[t.Name]); err != nil {
				return fmt.Errorf("set the last id of %s: %w", t.Name, err)
			}
		}
		if err := countEnd(conn); err != nil {
			return err
		}
		err := exec(conn, `
			UPDATE sessions
			SET ended_order = (SELECT last FROM session_ends)
			WHERE ended_at IS NOT NULL`)
		if err != nil {
			return fmt.Errorf("order the ends: %w", err)
		}
		err = exec(conn, `
			UPDATE identity
			SET copying = '', order_began = ?, last_unordered = coalesce(
				(SELECT max(cliente_id) FROM cliente_history WHERE seq <= 0), 0)`,
			store.Instant(source.OrderBegan))
		if err != nil {
			return fmt.Errorf("note that the copy is finished: %w", err)
		}
		return nil
	})
}

// mustCopy returns [store.ErrCopyDisturbed] if no copy of the source is under way.
func mustCopy(conn *sqlite.Conn, source string) error {
	is, err := identity(conn)
	switch {
	case err != nil:
		return err
	case source == "" || is.Copying != source:
		return fmt.Errorf("no copy of it is under way: %w", store.ErrCopyDisturbed)
	}
	return nil
}

// raiseLastID makes sure that the table assigns no id up to last any more.
func raiseLastID(conn *sqlite.Conn, table string, last int64) error {
	if last == 0 {
		return nil
	}
	err := exec(conn, `
		UPDATE sqlite_sequence
		SET seq = max(seq, ?)
		WHERE name = ?`,
		last, table)
	if err != nil || conn.Changes() > 0 {
		return err
	}
	// No row was ever inserted into the table.
	return exec(conn, `
		INSERT INTO sqlite_sequence (name, seq)
		VALUES (?, ?)`,
		table, last)
}

// rowScanner returns a function that reads all columns of a row.
func rowScanner(columns []store.Column) func(*sqlite.Stmt) []any {
	return func(stmt *sqlite.Stmt) []any {
		row := make([]any, len(columns))
		for i, c := range columns {
			switch {
			case c.Kind == store.KindTimeOrNull && stmt.ColumnIsNull(i):
			case c.Kind == store.KindTimeOrNull, c.Kind == store.KindTime:
				row[i] = instant(stmt, i)
			case c.Kind == store.KindInteger:
				row[i] = stmt.ColumnInt64(i)
			case c.Kind == store.KindBoolean:
				row[i] = stmt.ColumnBool(i)
			case c.Kind == store.KindText:
				row[i] = stmt.ColumnText(i)
			}
		}
		return row
	}
}

// parameters returns n parameters of a statement.
func parameters(n int) string { return strings.Repeat(`, ?`, n)[2:] }
