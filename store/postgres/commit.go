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

// otherIsolation marks a connection whose transactions have another isolation by default.
const otherIsolation = "clientes: another isolation by default"

// commit sends a transaction of one trip, which begins with [beginOnce]. Where the database has
// another isolation by default, the server refuses the first one of a connection as a whole. That
// one takes two trips, and those after it begin explicitly.
func commit(ctx context.Context, conn *pgx.Conn, once *pgx.Batch) error {
	memory := conn.PgConn().CustomData()
	if memory[otherIsolation] == nil {
		err := send(ctx, conn, once)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != codeLateIsolation {
			return err
		}
		memory[otherIsolation] = true
	}
	return commitExplicitly(ctx, conn, once)
}

// commitExplicitly is commit with a BEGIN that names the isolation.
func commitExplicitly(ctx context.Context, conn *pgx.Conn, once *pgx.Batch) error {
	b := beginReading()
	for _, q := range once.QueuedQueries {
		// A copy: pgx has noted in q how it prepared the statement, and forgotten it at an error.
		b.Queue(q.SQL, q.Arguments...).Fn = q.Fn
	}
	b.Queue("COMMIT")
	return send(ctx, conn, b)
}
