package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// Examine takes examineTimeout at most, and questionTimeout for each question.
const (
	examineTimeout  = 10 * time.Second
	questionTimeout = 3 * time.Second
)

// Examine looks at the database that a URL names, and returns what an operator should know of it.
// It opens connections of its own, changes nothing, and takes some ten seconds at most. It also
// speaks for a database that cannot be opened.
func Examine(ctx context.Context, databaseURL string) []store.Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, examineTimeout, store.ErrUnavailable)
	defer cancel()
	config, err := configOf(databaseURL, callTimeout)
	if err != nil {
		return []store.Finding{{ID: "database-open", Level: store.LevelFail, Message: err.Error(),
			Cure: "correct DATABASE_URL"}}
	}
	x := examination{url: databaseURL, config: config.ConnConfig, pool: config.MaxConns,
		name: config.ConnConfig.RuntimeParams["application_name"]}
	if x.pool < minShared {
		x.pool++ // see decidingConns
	}
	x.config.ConnectTimeout = min(x.config.ConnectTimeout, examineTimeout/2)
	x.config.RuntimeParams["application_name"] = applicationName + " doctor"
	findings := []store.Finding{x.tls()}
	opened := x.open(ctx)
	findings = append(findings, opened)
	if opened.Level == store.LevelFail {
		return findings
	}
	defer x.close(ctx)
	for _, c := range checks {
		f, err := c.look(&x, ctx)
		if err != nil {
			f = []store.Finding{store.FindingUnseen(c.id, err)}
		}
		for i := range f {
			f[i].ID = c.id
		}
		findings = append(findings, f...)
	}
	return findings
}

// checks are those of a database that can be opened. A check returns at least one finding, or an
// error if it could not look.
var checks = []struct {
	id   string
	look func(*examination, context.Context) ([]store.Finding, error)
}{
	{"database-version", (*examination).version},
	{"database-encoding", (*examination).encoding},
	{"database-locale", (*examination).locale},
	{"database-schema", (*examination).schema},
	{"database-search", (*examination).search},
	{"database-rights", (*examination).rights},
	{"database-writable", (*examination).writable},
	{"database-pooler", (*examination).pooler},
	{"database-connections", (*examination).connections},
	{"database-clock", (*examination).clock},
	{"database-durability", (*examination).durability},
	{"database-timeouts", (*examination).timeouts},
	{"database-transactions", (*examination).transactions},
	{"database-replication", (*examination).replication},
	{"database-vacuum", (*examination).vacuum},
	{"database-wraparound", (*examination).wraparound},
	{"database-backup", (*examination).backup},
}

// examination is one call of [Examine].
type examination struct {
	url    string
	config *pgx.ConnConfig
	pool   int32  // how many connections one server opens at most
	name   string // the application_name of servers
	conn   *pgx.Conn
	direct bool // no pooler stands between

	place    place // the zero place if it could not be looked at
	placeErr error
}

func okay(format string, args ...any) []store.Finding {
	return []store.Finding{{Level: store.LevelOK, Message: fmt.Sprintf(format, args...)}}
}

func warning(cure, format string, args ...any) []store.Finding {
	return []store.Finding{{Level: store.LevelWarn, Message: fmt.Sprintf(format, args...),
		Cure: cure}}
}

func failure(cure, format string, args ...any) []store.Finding {
	return []store.Finding{{Level: store.LevelFail, Message: fmt.Sprintf(format, args...),
		Cure: cure}}
}

func faulty(err error) []store.Finding { return []store.Finding{store.FindingOf("", err)} }

// open connects, and tries a transaction, which poolers in statement mode refuse.
func (x *examination) open(ctx context.Context) store.Finding {
	const id = "database-open"
	if err := x.connect(ctx); err != nil {
		return store.FindingOf(id, err)
	}
	user, database := "", ""
	err := x.row(ctx, `SELECT current_user::text, current_database()::text`, &user, &database)
	if err != nil {
		return store.FindingOf(id, err)
	}
	asking, cancel := context.WithTimeoutCause(ctx, questionTimeout, store.ErrUnavailable)
	defer cancel()
	// On a connection that has just answered, this fails only with the connection.
	if g, err := greet(asking, x.conn); err == nil {
		x.direct = g.direct
	}
	x.place, x.placeErr = placeOf(asking, x.conn)
	return store.Finding{ID: id, Level: store.LevelOK, Message: fmt.Sprintf(
		"the role %s reaches the database %s at %s", user, database,
		address(x.conn.Config().Host, x.conn.Config().Port))}
}

func (x *examination) connect(ctx context.Context) (err error) {
	x.conn, err = connect(ctx, unprepared(x.config))
	return err
}

func (x *examination) close(ctx context.Context) { disconnect(ctx, x.conn) }

// ask queries in a transaction that cannot write, in one trip. The server ends what takes too long.
func (x *examination) ask(ctx context.Context, add func(*pgx.Batch)) error {
	if x.conn.IsClosed() { // after an answer that did not come in time
		if err := x.connect(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, questionTimeout, store.ErrUnavailable)
	defer cancel()
	_, err := runOnce(ctx, x.conn, noResult(func(ctx context.Context, conn *pgx.Conn) error {
		b := beginReading()
		b.Queue("SET TRANSACTION READ ONLY")
		b.Queue(fmt.Sprintf("SET LOCAL statement_timeout = %d",
			(questionTimeout - time.Second).Milliseconds()))
		add(b)
		b.Queue("ROLLBACK")
		return send(ctx, conn, b)
	}))
	return err
}

// row asks for one row.
func (x *examination) row(ctx context.Context, sql string, to ...any) error {
	return x.ask(ctx, func(b *pgx.Batch) {
		b.Queue(sql).QueryRow(func(row pgx.Row) error { return row.Scan(to...) })
	})
}

// texts asks for a list.
func (x *examination) texts(ctx context.Context, sql string, args ...any) (all []string,
	err error) {
	err = x.ask(ctx, func(b *pgx.Batch) {
		b.Queue(sql, args...).Query(func(rows pgx.Rows) (err error) {
			all, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	})
	return all, err
}

// tls looks at the URL alone.
func (x *examination) tls() store.Finding {
	f := store.Finding{ID: "database-tls", Level: store.LevelOK,
		Message: "nobody on a network can read what goes to the database, or pretend to be it"}
	if hosts := UnverifiedHosts(x.url); len(hosts) > 0 {
		f.Level = store.LevelWarn
		f.Message = fmt.Sprintf("whoever is on the way to %s can read what goes to the database, "+
			"or pretend to be it: its certificate is not verified", strings.Join(hosts, ", "))
		f.Cure = "add sslmode=verify-full to DATABASE_URL, and sslrootcert=FILE for an authority " +
			"of your own"
	}
	return f
}

func (x *examination) version(ctx context.Context) ([]store.Finding, error) {
	number, text := 0, ""
	err := x.row(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('server_version')`,
		&number, &text)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(number); err != nil {
		return faulty(err), nil
	}
	return okay("the server is PostgreSQL %s", text), nil
}

func (x *examination) encoding(ctx context.Context) ([]store.Finding, error) {
	database, encoding := "", ""
	err := x.row(ctx, `SELECT current_database()::text, current_setting('server_encoding')`,
		&database, &encoding)
	if err != nil {
		return nil, err
	}
	if err := checkEncoding(database, encoding); err != nil {
		return faulty(err), nil
	}
	return okay("the encoding is %s", encoding), nil
}

// locale looks at the one by which pg_trgm tells letters from other signs.
func (x *examination) locale(ctx context.Context) ([]store.Finding, error) {
	database, locale, usable := "", "", false
	err := x.row(ctx, `
		SELECT current_database()::text, datctype::text,
			datctype NOT IN ('C', 'POSIX') OR current_setting('server_version_num')::int >= 180000
		FROM pg_database
		WHERE datname = current_database()`,
		&database, &locale, &usable)
	if err != nil {
		return nil, err
	}
	if usable {
		return okay("the locale %s knows letters beyond ASCII", locale), nil
	}
	return warning("make another database with CREATE DATABASE … TEMPLATE template0 LOCALE "+
		"'C.UTF-8', and move everything there with `clientes copy`",
		"the locale of the database %s is %s, so a search for a text with letters beyond ASCII "+
			"reads all customers", database, locale), nil
}

func (x *examination) schema(ctx context.Context) ([]store.Finding, error) {
	if bad := (*store.PlaceError)(nil); errors.As(x.placeErr, &bad) {
		return faulty(bad), nil
	}
	if x.placeErr != nil {
		return faulty(x.placeErr), nil
	}
	copying := false
	if !x.place.lacks(copyVersion) {
		err := x.row(ctx, `
			SELECT EXISTS (
				SELECT 1
				FROM `+x.place.in("identity")+`
				WHERE copying <> '')`, &copying)
		if err != nil {
			return nil, err
		}
	}
	return []store.Finding{x.place.Finding("", copying)}, nil
}

// copyVersion is the migration that makes the table identity, with the column copying.
const copyVersion = 9

// search looks for the index that searches use: see 00008_cliente_indexes.sql.
func (x *examination) search(ctx context.Context) ([]store.Finding, error) {
	if x.placeErr != nil || x.place.lacks(searchVersion) {
		trusted, installed := false, false
		err := x.row(ctx, `
			SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'),
				EXISTS (
					SELECT 1
					FROM pg_available_extension_versions
					WHERE name = 'pg_trgm' AND (superuser AND trusted
							AND has_database_privilege(current_database(), 'CREATE')
						OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)))`,
			&installed, &trusted)
		switch {
		case err != nil:
			return nil, err
		case installed:
			return okay("the extension pg_trgm is there for the index of searches"), nil
		case trusted:
			return okay("the migrations can create the extension pg_trgm for searches"), nil
		}
		return warning("as a superuser or the owner of the database, CREATE EXTENSION pg_trgm; "+
			"if the server has none, install the package with PostgreSQL's additional modules",
			"the migrations cannot create the extension pg_trgm, and without it a search reads "+
				"all customers"), nil
	}
	index, schema := "", ""
	err := x.row(ctx, `
		SELECT coalesce((
				SELECT CASE WHEN indisvalid THEN 'valid' ELSE 'invalid' END
				FROM pg_index
				WHERE indexrelid = to_regclass('`+x.place.in("clientes_search")+`')), ''),
			coalesce((
				SELECT quote_ident(nspname)
				FROM pg_extension
				JOIN pg_namespace AS n ON n.oid = extnamespace
				WHERE extname = 'pg_trgm'), '')`, &index, &schema)
	if err != nil {
		return nil, err
	}
	create := fmt.Sprintf("CREATE INDEX CONCURRENTLY clientes_search ON %s USING gin (search "+
		"%s.gin_trgm_ops)", x.place.in("clientes"), cmp.Or(schema, "public"))
	switch {
	case index == "valid":
		return okay("searches have their index"), nil
	case index == "invalid":
		return warning(fmt.Sprintf("DROP INDEX %s; %s", x.place.in("clientes_search"), create),
			"the index of searches is not finished, so a search reads all customers"), nil
	case schema == "":
		return warning("CREATE EXTENSION pg_trgm SCHEMA public; "+create,
			"the extension pg_trgm is not there, so a search reads all customers"), nil
	}
	return warning(create, "searches have no index, so each reads all customers"), nil
}

func (x *examination) writable(ctx context.Context) ([]store.Finding, error) {
	const name = "default_transaction_read_only"
	standby, readOnly, from := false, false, ""
	err := x.row(ctx, `
		SELECT pg_is_in_recovery(), setting::bool, source
		FROM pg_settings
		WHERE name = '`+name+`'`, &standby, &readOnly, &from)
	switch {
	case err != nil:
		return nil, err
	case standby:
		what, _ := faultOf(&pgconn.PgError{Code: "25006"})
		return failure(toPrimary, "%s", what), nil
	case readOnly:
		return failure("if nobody wants that, "+x.resetOf(from, name, "off"), "%s is on for the "+
			"role %s: the database is read-only for it", name, x.roleName()), nil
	}
	return okay("the database takes writes"), nil
}

// resetOf returns how to change a setting at the place that its value comes from, which is the
// source of pg_settings. A command elsewhere may have no effect.
func (x *examination) resetOf(source, name, value string) string {
	role := pgx.Identifier{x.roleName()}.Sanitize()
	database := pgx.Identifier{cmp.Or(x.place.database, x.config.Database)}.Sanitize()
	of := "SYSTEM"
	switch source {
	case "client":
		return fmt.Sprintf("take %s out of DATABASE_URL (and of PGOPTIONS)", name)
	case "user":
		of = "ROLE " + role
	case "database":
		of = "DATABASE " + database
	case "database user":
		of = fmt.Sprintf("ROLE %s IN DATABASE %s", role, database)
	}
	cure := fmt.Sprintf("as a superuser, ALTER %s SET %s = %s", of, name, value)
	if of == "SYSTEM" {
		cure += "; SELECT pg_reload_conf()"
	}
	return cure
}

// pooler tells what [Open] would find out.
func (x *examination) pooler(ctx context.Context) ([]store.Finding, error) {
	if x.direct {
		return okay("no pooler stands before the database"), nil
	}
	if said := (*pgconn.PgError)(nil); errors.As(x.placeErr, &said) &&
		poolerCode(said.Message) == codeStatementMode {
		return okay("a pooler stands before the database; what its mode allows is seen with the " +
			"schema"), nil
	}
	if !prepares(x.config.DefaultQueryExecMode) {
		return okay("a pooler stands before the database, and the URL has its mode"), nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, questionTimeout, store.ErrUnavailable)
	defer cancel()
	if !losesStatements(ctx, x.config) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return okay("a pooler stands before the database, and it keeps prepared statements"), nil
	}
	_, cure := faultOf(&pgconn.PgError{Code: "26000"})
	return failure(cure, "a pooler in transaction mode stands before the database, and it loses "+
		"prepared statements"), nil
}

// The clock of a server decides about sessions, that of this machine about tokens.
const (
	clockWarn = time.Second
	clockFail = 30 * time.Second
)

func (x *examination) clock(ctx context.Context) ([]store.Finding, error) {
	asking, cancel := context.WithTimeoutCause(ctx, questionTimeout, store.ErrUnavailable)
	defer cancel()
	if err := x.ask(asking, func(*pgx.Batch) {}); err != nil { // the connection is there
		return nil, err
	}
	before := time.Now()
	g, err := greet(asking, x.conn)
	if err != nil {
		return nil, err
	}
	trip := time.Since(before)
	ahead := g.now.Sub(before.Add(trip / 2))
	apart := ahead.Abs() - trip/2 // at least
	how := "ahead of"
	if ahead < 0 {
		how = "behind"
	}
	const cure = "let both machines take the time from the network (chrony, systemd-timesyncd)"
	switch {
	case apart > clockFail:
		return failure(cure, "the clock of the database is %s %s that of this machine, so tokens "+
			"and sessions end at wrong times", ahead.Abs().Round(time.Second), how), nil
	case apart > clockWarn:
		return warning(cure, "the clock of the database is %s %s that of this machine",
			ahead.Abs().Round(100*time.Millisecond), how), nil
	}
	return okay("the clocks of the database and of this machine agree"), nil
}

// durability looks at what lets an answered write get lost.
func (x *examination) durability(ctx context.Context) ([]store.Finding, error) {
	off, err := x.texts(ctx, `
		SELECT name
		FROM unnest(ARRAY['fsync', 'full_page_writes', 'synchronous_commit']) AS name
		WHERE current_setting(name) = 'off'
		ORDER BY name`)
	if err != nil {
		return nil, err
	}
	if len(off) == 0 {
		return okay("what the database has answered is on its disk"), nil
	}
	var cures []string
	for _, name := range off {
		cures = append(cures, fmt.Sprintf("ALTER SYSTEM SET %s = on", name))
	}
	cure := strings.Join(cures, "; ") + "; SELECT pg_reload_conf()"
	if slices.Contains(off, "synchronous_commit") {
		cure += "; the setting may also be one of the role, the database or the URL"
	}
	return failure(cure, "the database can lose what it has answered in a crash: %s is off",
		strings.Join(off, ", ")), nil
}

// timeouts looks at those that end calls which are not at fault. Long calls set their own
// statement_timeout.
func (x *examination) timeouts(ctx context.Context) ([]store.Finding, error) {
	short, err := x.texts(ctx, `
		WITH limits AS MATERIALIZED ( -- other settings are no numbers
			SELECT name, reset_val, source
			FROM pg_settings
			WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_session_timeout',
				'transaction_timeout'))
		SELECT name || ' ' || source
		FROM limits
		WHERE reset_val::bigint BETWEEN 1 AND CASE name
				WHEN 'transaction_timeout' THEN $3::bigint
				WHEN 'idle_session_timeout' THEN $2
				ELSE $1
			END - 1
		ORDER BY name`,
		callTimeout.Milliseconds(), idleLeast.Milliseconds(), bulkTimeout.Milliseconds())
	if err != nil {
		return nil, err
	}
	if len(short) == 0 {
		return okay("no limit of the server ends calls that are not at fault"), nil
	}
	var names, cures []string
	for _, limit := range short {
		name, source, _ := strings.Cut(limit, " ")
		names = append(names, name)
		if _, ok := x.config.RuntimeParams[name]; ok {
			source = "client" // and not that of the questions here
		} else if source != "client" && source != "database user" {
			source = "user" // which counts before that of the database, and for nobody else
		}
		cures = append(cures, x.resetOf(source, name, "0"))
	}
	return warning(strings.Join(cures, "; "), "there are limits that end calls which are not at "+
		"fault: %s", strings.Join(names, ", ")), nil
}

// idleLeast is how long the server must let a connection be idle. Shorter, and half of the requests
// of a quiet hour would find theirs closed.
const idleLeast = 5 * time.Minute

// roleName returns the role of the connection.
func (x *examination) roleName() string { return cmp.Or(x.place.user, x.config.User) }
