package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A pooler in transaction mode may send each transaction to another connection of the server. The
// statements that the driver has prepared on one do not exist on the next, or exist already.
// PgBouncer 1.21 and newer can keep track of them, and poolers in session mode need not. So a store
// looks whether it finds its own statements again, and prepares none if it does not.

// probeRounds is how often the start looks for its statement. On a busy pooler the transactions of
// one client may happen to go to one connection.
const probeRounds = 3

// prepares reports whether statements with a name are prepared in a mode.
func prepares(mode pgx.QueryExecMode) bool {
	switch mode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol:
		return false
	}
	return true
}

// isLostStatement reports whether a prepared statement was not there, or one of its name was.
func isLostStatement(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "26000" || pg.Code == "42P05")
}

// unprepared returns a configuration for connections that prepare nothing, whatever stands before
// the server. It is for those that run few statements, each once.
func unprepared(config *pgx.ConnConfig) *pgx.ConnConfig {
	config = config.Copy()
	if prepares(config.DefaultQueryExecMode) {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return config
}

// beforeConnect is the hook of both pools.
func (s *Store) beforeConnect(_ context.Context, config *pgx.ConnConfig) error {
	if s.unprepared.Load() && prepares(config.DefaultQueryExecMode) {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return nil
}

// stopPreparing makes the store prepare no more statements. Connections that have some are closed
// when their call is over.
func (s *Store) stopPreparing() {
	if !s.unprepared.CompareAndSwap(false, true) {
		return
	}
	s.log.Warn("a pooler in transaction mode stands before the database, so statements are no longer " +
		"prepared; default_query_exec_mode=exec in its URL says so from the start")
	for _, p := range []*pool{&s.usual, &s.deciding} {
		p.Reset()
	}
}

// greeting is what a new connection tells.
type greeting struct {
	now    time.Time // of the server's clock
	direct bool      // nothing stands between
}

// greet reads the server's clock without a prepared statement. A process of the server that has
// another number than the one that the connection was told is one of a pooler's.
func greet(ctx context.Context, conn *pgx.Conn) (g greeting, err error) {
	pid := uint32(0)
	mode := conn.Config().DefaultQueryExecMode
	if prepares(mode) {
		mode = pgx.QueryExecModeExec
	}
	g, err = one(ctx, conn, func(g *greeting) []any { return []any{&g.now, &pid} }, `
		SELECT clock_timestamp(), pg_backend_pid()`,
		mode)
	g.direct = pid == conn.PgConn().PID()
	return g, err
}

// losesStatements reports whether a statement that one connection has prepared is replaced by that
// of another one. If it cannot tell, it reports false: the first call that loses one will tell.
func losesStatements(ctx context.Context, config *pgx.ConnConfig) bool {
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := connect(ctx, unprepared(config))
		if err != nil {
			return false
		}
		defer disconnect(ctx, conn)
		conns[i] = conn
	}
	for range probeRounds {
		name := "clientes_probe_" + rand.Text()
		for i, sql := range []string{"SELECT 'ours'", "SELECT 'another'"} {
			if _, err := conns[i].PgConn().Prepare(ctx, name, sql, nil); err != nil {
				return isLostStatement(err)
			}
		}
		answer := conns[0].PgConn().ExecPrepared(ctx, name, nil, nil, nil).Read()
		switch {
		case answer.Err != nil:
			return isLostStatement(answer.Err)
		case len(answer.Rows) != 1 || string(answer.Rows[0][0]) != "ours":
			return true
		}
		for _, conn := range conns {
			if err := conn.PgConn().Deallocate(ctx, name); err != nil {
				return false
			}
		}
	}
	return false
}
