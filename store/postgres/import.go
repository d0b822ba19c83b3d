package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// newID takes an id from the sequence of clientes.
const newID = `nextval(pg_get_serial_sequence('clientes', 'id'))`

// ImportClientes implements [store.Clientes]. COPY writes the rows into a temporary table first,
// where they get their ids. If no email is taken, one statement each copies them from there into
// clientes and cliente_history.
func (s *Store) ImportClientes(ctx context.Context, by int64,
	rows iter.Seq2[store.Cliente, error]) (n int64, err error) {
	for range maxTries {
		n, err = s.importClientes(ctx, by, rows)
		// Somebody took an email after the check. The next check sees that, and names the row.
		if conflict := (*store.ConflictError)(nil); !errors.As(err, &conflict) {
			break
		}
	}
	return n, err
}

func (s *Store) importClientes(ctx context.Context, by int64,
	rows iter.Seq2[store.Cliente, error]) (int64, error) {
	return transfer(ctx, s, func(ctx context.Context, conn *pgx.Conn) (int64, error) {
		b := beginLong(bulkTimeout)
		b.Queue(plain.check)
		n, err := stage(ctx, conn, b, newID, rows)
		if err != nil {
			return 0, err
		}
		now := store.Instant(s.now())
		write := new(pgx.Batch)
		write.Queue(`
			INSERT INTO clientes (id, version, created_at, updated_at, `+rowColumns+`)
			OVERRIDING SYSTEM VALUE
			SELECT id, 1, $1::timestamptz, $1::timestamptz, `+rowColumns+`
			FROM import`,
			now)
		write.Queue(`
			INSERT INTO cliente_history (`+historyColumns+`)
			SELECT id, 1, 'created', false, $1::bigint,
				coalesce((SELECT name FROM users WHERE id = $1::bigint), ''),
				$2::timestamptz, $2::timestamptz, $2::timestamptz, `+textColumns+`
			FROM import`,
			by, now)
		err = send(ctx, conn, write)
		if err == nil {
			// In a trip of its own: if the caller is gone by now, it is not sent, and nothing is
			// kept.
			_, err = exec(ctx, conn, "COMMIT")
		}
		if err != nil {
			return 0, fmt.Errorf("import clientes: %w", err)
		}
		return n, nil
	})
}

// CheckImport implements [store.Clientes].
func (s *Store) CheckImport(ctx context.Context,
	rows iter.Seq2[store.Cliente, error]) (int64, error) {
	return transfer(ctx, s, func(ctx context.Context, conn *pgx.Conn) (int64, error) {
		b := beginLong(bulkTimeout)
		return stage(ctx, conn, b, `0`, rows) // a used id would be missing forever
	})
}

// stage begins a transaction with b and copies the rows into a temporary table named import, which
// lasts as long as the transaction. Its columns are row, id and rowColumns. The expression id says
// where a row gets its id. It returns a [*store.RowsError] if an email is taken.
func stage(ctx context.Context, conn *pgx.Conn, b *pgx.Batch, id string,
	rows iter.Seq2[store.Cliente, error]) (int64, error) {
	b.Queue(`
		CREATE TEMPORARY TABLE import
		ON COMMIT DROP
		AS SELECT 0::bigint AS row, id, ` + rowColumns + `
		FROM clientes
		WITH NO DATA`)
	b.Queue(`
		ALTER TABLE import
		ALTER id SET DEFAULT ` + id)
	if err := send(ctx, conn, b); err != nil {
		return 0, fmt.Errorf("make room for the rows: %w", err)
	}
	columns := strings.Split("row, "+rowColumns, ", ")
	next, stop := iter.Pull2(rows)
	defer stop()
	source := &stagedRows{next: next}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"import"}, columns, source)
	switch {
	case source.err != nil:
		return 0, source.err
	case err != nil:
		return 0, fmt.Errorf("send the rows: %w", engineError(ctx, conn, err))
	}
	return n, checkEmails(ctx, conn)
}

// stagedRows feeds the rows to pgx. It implements [pgx.CopyFromSource].
type stagedRows struct {
	next func() (store.Cliente, error, bool)
	row  int64
	c    store.Cliente
	err  error // of the rows
}

// Next reads one row.
func (r *stagedRows) Next() (ok bool) {
	if r.err != nil {
		return false
	}
	r.c, r.err, ok = r.next()
	r.row++
	return ok && r.err == nil
}

// Values returns the columns of the row, in the order of stage.
func (r *stagedRows) Values() ([]any, error) {
	return rowArgs([]any{r.row}, r.c), nil
}

// Err returns the error that ended the rows.
func (r *stagedRows) Err() error { return r.err }

// checkEmails returns a [*store.RowsError] if an earlier row or a record has the email of a row in
// import. It runs before any row is kept: a rollback of half a million rows would leave the indexes
// as large as if they had stayed.
func checkEmails(ctx context.Context, conn *pgx.Conn) error {
	var faults store.RowsError
	type fault struct{ row, count int64 }
	taken, err := list(ctx, conn, nil, func(f *fault) []any { return []any{&f.row, &f.count} }, `
		SELECT row, count(*) OVER ()
		FROM (
			SELECT row, email_key, row_number() OVER (PARTITION BY email_key ORDER BY row) AS nth
			FROM import
			WHERE email_key <> ''
		) AS numbered
		WHERE nth > 1 OR EXISTS (
			SELECT
			FROM clientes
			WHERE clientes.email_key = numbered.email_key AND clientes.email_key <> '')
		ORDER BY row
		LIMIT $1`,
		store.MaxRowErrors)
	if err != nil {
		return fmt.Errorf("look for emails that are taken: %w", err)
	}
	for _, f := range taken {
		faults.Add(f.row, store.TakenEmail())
		faults.Count = f.count
	}
	return faults.Err()
}
