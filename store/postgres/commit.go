package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The server commits by itself what comes in one trip, and rolls it back if a statement fails
// (https://www.postgresql.org/docs/current/protocol-flow.html, Pipelining). BEGIN, its setting and
// COMMIT would be three statements more. BenchmarkCommit shows what it buys to leave them out.

// beginOnce is begin for a transaction of one trip, which [commit] sends.
func (o opening) beginOnce() *pgx.Batch {
	b := new(pgx.Batch)
	b.Queue(o.checkOnce)
	return b
}

func beginOnce() *pgx.Batch { return plain.beginOnce() }

// readCommitted fails with codeLateIsolation if the transaction has another isolation than
// [beginReading] names. The statement that it is part of has begun the transaction, so it is too
// late to change that.
const (
	readCommitted     = "set_config('transaction_isolation', 'read committed', true), "
	codeLateIsolation = "25001"
)

// commit sends a transaction of one trip, which begins with [beginOnce]. Where the database has
// another isolation by default, that takes two trips: the server refuses the first one as a whole.
func commit(ctx context.Context, conn *pgx.Conn, once *pgx.Batch) error {
	err := send(ctx, conn, once)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != codeLateIsolation {
		return err
	}
	return commitExplicitly(ctx, conn, once)
}

// commitExplicitly is commit with a BEGIN that names the isolation.
func commitExplicitly(ctx context.Context, conn *pgx.Conn, once *pgx.Batch) error {
	b := beginReading()
	b.QueuedQueries = append(b.QueuedQueries, once.QueuedQueries...)
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}
