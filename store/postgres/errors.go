package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// engineError turns an error of pgx into one of the store. It returns [store.ErrNotFound] for no
// row, a [*store.ConflictError] for a value that another row has, and the context's error if the
// caller's context ended. An error that has nothing to do with the caller's data becomes a
// [*store.EngineError]. It returns any other error as it is.
func engineError(ctx context.Context, conn *pgx.Conn, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	code, constraint, detail := "", "", ""
	pg := (*pgconn.PgError)(nil)
	if errors.As(err, &pg) {
		code, constraint, detail = pg.Code, pg.ConstraintName, pg.Detail
	}
	what, cure := faultOf(pg)
	switch {
	case code == codeNewerSchema:
		required, _ := strconv.ParseInt(detail, 10, 64)
		return &store.NewerSchemaError{Required: required}
	case code == "42883": // no such function: the database is older than checkSchema
		return fmt.Errorf("%w: %w", store.ErrSchema, err)
	case code == "23505" && constraint == "users_name_key":
		return &store.ConflictError{Field: "user"}
	case code == "23505" && (constraint == "users_email_key" || constraint == "clientes_email_key"):
		return &store.ConflictError{Field: "email"}
	case errors.Is(context.Cause(ctx), store.ErrUnavailable):
		return named(conn, silence(ctx, conn, err))
	case ctx.Err() != nil:
		return ctx.Err()
	case what != "":
		return named(conn, &store.EngineError{What: what, Detail: pg.Error(), Cure: cure, Err: err})
	case conn != nil && conn.IsClosed():
		// pgx closes a connection if, and only if, it cannot go on with it.
		return named(conn, &store.EngineError{
			What: "the connection broke", Detail: err.Error(),
			Cure: "if it stays so, look into the server's log and at the network in between",
			Err:  err,
		})
	}
	return err
}

// silence returns the error of a call whose time was up: on a connection, or while it waited for
// one. It does not wrap err, which can be the context's own, as if the caller had hung up.
func silence(ctx context.Context, conn *pgx.Conn, err error) error {
	e := &store.EngineError{
		What: "no answer in time", Detail: err.Error(), Cure: findLoad, Err: store.ErrUnavailable,
	}
	if c := callOf(ctx); c != nil {
		after := c.lines.now() - c.begun
		if conn == nil {
			return noneFree(after)
		}
		e.Detail = afterTime(after)
	}
	return e
}

// noneFree returns the error of a call that has waited for a connection for so long.
func noneFree(waited time.Duration) error {
	return &store.EngineError{
		What: "no connection to the database was free in time", Detail: afterTime(waited),
		Cure: findLoad + "; if it is idle, raise pool_max_conns in the URL",
		Err:  store.ErrUnavailable,
	}
}

const findLoad = "look in pg_stat_activity for what keeps the server busy, and at the network in " +
	"between"

func afterTime(d time.Duration) string { return "after " + d.Round(100*time.Millisecond).String() }

// named adds to an error which database it is about.
func named(conn *pgx.Conn, err error) error {
	if conn == nil {
		return err
	}
	return fmt.Errorf("the database %s: %w", MaskURL(conn.Config().ConnString()), err)
}

// toPrimary is the cure where a server takes no writes.
const toPrimary = "lead the URL to the primary, not to a standby (target_session_attrs=read-write " +
	"chooses among several hosts)"

// faultOf returns what an error of the server says of the server's state and what helps, by its
// code (PostgreSQL's Appendix A). It returns "" for one that says something of the caller's data.
func faultOf(pg *pgconn.PgError) (what, cure string) {
	if pg == nil {
		return "", ""
	}
	code := pg.Code
	if code == codeProtocol {
		code = cmp.Or(poolerCode(pg.Message), code)
	}
	switch code {
	case "":
		return "", ""
	case codeNoServer:
		return "the pooler before the server gets no connection to it",
			"check that the database runs and that the pooler knows it; the pooler's log says more"
	case codeStatementMode:
		return "the pooler before the server takes no transactions",
			"set its pool_mode to transaction or session"
	case "53100":
		return "the server's disk is full", "make room on it"
	case "53200":
		return "the server has no memory left", "give it more, or lower its settings"
	case "53300":
		return "the server takes no more connections",
			"lower pool_max_conns in the URL, or raise max_connections"
	case "25006":
		return "the database is read-only",
			toPrimary + ", or set default_transaction_read_only to off"
	case "3D000":
		return "there is no such database", "make it with CREATE DATABASE, or correct the URL"
	case "42501":
		return "the user of the database lacks a right",
			"grant it: the user has to own the tables, or to read and write them, " +
				"to use and update their sequences, and to make temporary tables"
	case "42P01":
		return "a table is missing", "if no other schema was meant (search_path in the URL), " +
			"restore a backup"
	case "3F000":
		return "there is no such schema",
			"make it with CREATE SCHEMA, or correct search_path in the URL"
	case "26000", "42P05":
		return "a prepared statement was lost, as it is behind a pooler in transaction mode",
			"add default_query_exec_mode=exec to the URL"
	case "55P03":
		return "another transaction holds a lock for too long",
			"find it in pg_stat_activity and end it"
	case "57014":
		return "the server ended a statement that took too long",
			"look in pg_stat_activity for what keeps it busy"
	case "57P03":
		return "the server starts or stops", "wait until it accepts connections"
	case "57P01", "57P02":
		return "the server was stopped or crashed", "start it; its log says why it ended"
	case "XX001", "XX002":
		return "the server's files are damaged", "stop it, keep its files, and restore a backup"
	}
	switch code[:2] {
	case "08":
		return "the connection failed", "check the network and the pooler in between"
	case "28":
		return "the server refuses the user",
			"check user and password in the URL, and the server's pg_hba.conf"
	case "40":
		return "too many others change the same rows", "try again" // even after maxTries
	case "53":
		return "the server is at a limit", "raise it, or free what is used"
	case "57":
		return "the server ended the work", "its log says why"
	case "58":
		return "the server cannot use its files", "look into its log, and at its disk"
	}
	return "", ""
}

// isCollision reports whether the server ended a transaction so that another may go on, because of
// a serialization failure or a deadlock.
func isCollision(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// outcome remembers for [Store.Ready] if an error says that the disk is full, and returns the
// error.
func (s *Store) outcome(err error) error {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == "53100" {
		s.full.Store(true)
	}
	return err
}
