package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// Identity implements [store.Copying].
func (s *Store) Identity(ctx context.Context) (store.Identity, error) {
	return decide(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.Identity, error) {
		is, err := one(ctx, conn, toIdentity, `
			SELECT id, copying, order_began
			FROM identity`)
		if err != nil {
			return store.Identity{}, fmt.Errorf("read the identity: %w", err)
		}
		return is, nil
	})
}

func toIdentity(is *store.Identity) []any {
	return []any{&is.ID, &is.Copying, &is.OrderBegan}
}

// lastID is the last value of an identity column's sequence, NULL if there was none. $1 and $2 are
// the table and the column.
const lastID = `
	SELECT last_value
	FROM pg_sequences
	WHERE format('%I.%I', schemaname, sequencename) = pg_get_serial_sequence($1, $2)`

// Extent implements [store.Copying].
func (s *Store) Extent(ctx context.Context, t store.Table) (store.Extent, error) {
	return transfer(ctx, s,
		func(ctx context.Context, conn *pgx.Conn) (e store.Extent, _ error) {
			key := t.Names()[:t.Key]
			b := beginLong(bulkTimeout)
			b.Queue(`
				SELECT count(*)
				FROM ` + t.Name).QueryRow(func(row pgx.Row) error { return row.Scan(&e.Rows) })
			b.Queue(`
				SELECT ` + strings.Join(key, `, `) + `
				FROM ` + t.Name + `
				ORDER BY ` + strings.Join(key, ` DESC, `) + ` DESC
				LIMIT 1`).Query(func(rows pgx.Rows) (err error) {
				if rows.Next() {
					e.LastKey, err = rowOf(rows)
				}
				return err
			})
			if t.IDs {
				b.Queue(`SELECT coalesce((`+lastID+`), 0)`, t.Name, key[0]).
					QueryRow(func(row pgx.Row) error { return row.Scan(&e.LastID) })
			}
			b.Queue("COMMIT")
			if err := send(ctx, conn, b); err != nil {
				return store.Extent{}, fmt.Errorf("measure %s: %w", t.Name, err)
			}
			return e, nil
		})
}

// ReadRows implements [store.Copying].
func (s *Store) ReadRows(ctx context.Context, t store.Table, after []any,
	limit int) ([][]any, error) {
	limit = max(limit, 0) // a negative one is an error to Postgres
	return callFor(ctx, s, store.Many, scanTimeout,
		func(ctx context.Context, conn *pgx.Conn) ([][]any, error) {
			key := strings.Join(t.Names()[:t.Key], `, `)
			where := `true`
			if after != nil {
				where = `(` + key + `) > (` + parameters(1, t.Key) + `)`
			}
			answer, _ := conn.Query(ctx, `
				SELECT `+strings.Join(t.Names(), `, `)+`
				FROM `+t.Name+`
				WHERE `+where+`
				ORDER BY `+key+`
				LIMIT `+strconv.Itoa(limit),
				after...) // its error is also answer.Err
			defer answer.Close()
			rows := make([][]any, 0, min(limit, usualPage))
			for answer.Next() {
				row, err := rowOf(answer)
				if err != nil {
					return nil, fmt.Errorf("read %s: %w", t.Name, engineError(ctx, conn, err))
				}
				rows = append(rows, row)
			}
			if err := answer.Err(); err != nil {
				return nil, fmt.Errorf("read %s: %w", t.Name, engineError(ctx, conn, err))
			}
			return rows, nil
		})
}

// BeginCopy implements [store.Copying].
func (s *Store) BeginCopy(ctx context.Context, source string) error {
	return do(ctx, s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		is, err := lockIdentity(ctx, conn)
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
			has, err := one(ctx, conn, toBool, `
				SELECT EXISTS (
					SELECT
					FROM `+t.Name+`)`)
			switch {
			case err != nil:
				return fmt.Errorf("look for rows in %s: %w", t.Name, err)
			case has:
				return fmt.Errorf("there are rows in %s: %w", t.Name, store.ErrNotEmpty)
			}
		}
		note := new(pgx.Batch)
		note.Queue(`UPDATE identity SET copying = $1`, source)
		note.Queue("COMMIT")
		if err := send(ctx, conn, note); err != nil {
			return fmt.Errorf("note the copy: %w", err)
		}
		return nil
	})
}

// WriteRows implements [store.Copying]. COPY keeps the ids of the rows although they are GENERATED
// ALWAYS.
func (s *Store) WriteRows(ctx context.Context, source string, t store.Table, rows [][]any) error {
	return do(ctx, s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		if err := mustCopy(ctx, conn, source); err != nil {
			return err
		}
		_, err := conn.CopyFrom(ctx, pgx.Identifier{t.Name}, t.Names(), pgx.CopyFromRows(rows))
		pg := (*pgconn.PgError)(nil)
		switch {
		case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "23"): // a constraint of any kind
			return fmt.Errorf("write %s: %w: %w", t.Name, store.ErrCopyDisturbed, err)
		case err != nil:
			return fmt.Errorf("write %s: %w", t.Name, engineError(ctx, conn, err))
		}
		if _, err := exec(ctx, conn, "COMMIT"); err != nil {
			return fmt.Errorf("write %s: %w", t.Name, err)
		}
		return nil
	})
}

// FinishCopy implements [store.Copying]. A sequence keeps its new value even if the call fails,
// which does no harm.
func (s *Store) FinishCopy(ctx context.Context, source store.Identity,
	lastIDs map[string]int64) error {
	_, err := transfer(ctx, s, noResult(func(ctx context.Context, conn *pgx.Conn) error {
		if err := mustCopy(ctx, conn, source.ID); err != nil {
			return err
		}
		finish := new(pgx.Batch)
		for _, t := range store.Tables() {
			if last := lastIDs[t.Name]; last > 0 {
				finish.Queue(`
					SELECT setval(pg_get_serial_sequence($1, $2),
						greatest($3::bigint, (`+lastID+`)))`,
					t.Name, t.Columns[0].Name, last)
			}
		}
		finish.Queue(`
			UPDATE sessions
			SET ended_order = pg_current_xact_id()::text::bigint
			WHERE ended_at IS NOT NULL`)
		finish.Queue(`
			SELECT setval('cliente_history_seq', max(seq))
			FROM cliente_history
			HAVING max(seq) > 0`)
		finish.Queue(`
			UPDATE identity
			SET copying = '', order_began = $1, last_unordered = coalesce(
				(SELECT max(cliente_id) FROM cliente_history WHERE seq <= 0), 0)`,
			store.Instant(source.OrderBegan))
		finish.Queue("COMMIT")
		if err := send(ctx, conn, finish); err != nil {
			return fmt.Errorf("finish the copy: %w", err)
		}
		return nil
	}))
	return err
}

// mustCopy begins a transaction in which nobody else begins, writes or finishes a copy. It returns
// [store.ErrCopyDisturbed] if no copy of the source is under way.
func mustCopy(ctx context.Context, conn *pgx.Conn, source string) error {
	is, err := lockIdentity(ctx, conn)
	switch {
	case err != nil:
		return err
	case source == "" || is.Copying != source:
		return fmt.Errorf("no copy of it is under way: %w", store.ErrCopyDisturbed)
	}
	return nil
}

func lockIdentity(ctx context.Context, conn *pgx.Conn) (is store.Identity, err error) {
	b := begin()
	b.Queue(`
		SELECT id, copying, order_began
		FROM identity
		FOR UPDATE`).QueryRow(func(row pgx.Row) error { return row.Scan(toIdentity(&is)...) })
	if err := send(ctx, conn, b); err != nil {
		return store.Identity{}, fmt.Errorf("lock the identity: %w", err)
	}
	return is, nil
}

// rowOf reads all columns of a row.
func rowOf(rows pgx.Rows) ([]any, error) {
	row, err := rows.Values()
	if err != nil {
		return nil, err
	}
	for i, v := range row {
		switch v := v.(type) {
		case time.Time:
			row[i] = store.Instant(v)
		case nil, bool, int64, string:
		default: // 'infinity' is no time to Go, nor to the other engine
			return nil, fmt.Errorf("%s is %v, which no store keeps",
				rows.FieldDescriptions()[i].Name, v)
		}
	}
	return row, nil
}

// parameters returns the names of n parameters of a statement, from $first on.
func parameters(first, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = `$` + strconv.Itoa(first+i)
	}
	return strings.Join(names, `, `)
}
