package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// place is the schema in which the tables are, or are to be made.
type place struct {
	store.Schema
	carry bool // see [store.Place.Schema]
	noted bool // there is a [store.MigrationTable]

	database, user  string
	schema, current string // the schema of the tables, and the one in which CREATE TABLE makes them
	version         int    // of the server, 140000 for 14.0
	encoding        string
	mayCreate       bool   // tables in current
	checks          bool   // the function of checkSchema is there
	trigrams        string // the schema of pg_trgm, if the user may not use it
}

// isUpToDate reports whether a migrator has nothing to do.
func (p place) isUpToDate() bool { return p.Check() == nil && !p.carry }

// placeOf looks at the place that the connection leads to, and changes nothing. It reads all of it
// at one moment: another process may be migrating the database.
func placeOf(ctx context.Context, conn *pgx.Conn) (p place, err error) {
	all, err := known()
	if err != nil {
		return place{}, err
	}
	made, err := madeTables(all)
	if err != nil {
		return place{}, err
	}
	_, err = exec(ctx, conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	if err != nil {
		return place{}, err
	}
	defer func() {
		if _, end := exec(ctx, conn, "ROLLBACK"); err == nil {
			err = end
		}
	}()
	searchPath, own, early := "", "", ""
	err = conn.QueryRow(ctx, `
		SELECT current_database()::text, current_user::text, coalesce(current_schema()::text, ''),
			current_setting('server_version_num')::int, current_setting('server_encoding'),
			coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
			current_setting('search_path'),
			coalesce((
				SELECT relnamespace::regnamespace::text
				FROM pg_class
				WHERE oid = to_regclass('`+store.MigrationTable+`')), ''),
			coalesce((
				SELECT relnamespace::regnamespace::text
				FROM pg_class
				WHERE oid = to_regclass('`+store.EarlyTable+`')), ''),
			to_regproc('clientes_check_schema') IS NOT NULL,
			coalesce((
				SELECT nspname::text
				FROM pg_extension
				JOIN pg_namespace AS n ON n.oid = extnamespace
				WHERE extname = 'pg_trgm' AND NOT has_schema_privilege(n.oid, 'USAGE')), '')`).
		Scan(&p.database, &p.user, &p.current, &p.version, &p.encoding, &p.mayCreate,
			&searchPath, &own, &early, &p.checks, &p.trigrams)
	if err != nil {
		return place{}, engineError(ctx, conn, err)
	}
	// The schema that search_path names first can be one that was made after our tables.
	found, ours := store.Place{}, false
	for _, schema := range []string{unquote(own), unquote(early), p.current} {
		if schema == "" {
			continue
		}
		p.schema = schema
		if found, err = p.tables(ctx, conn, made); err != nil {
			return place{}, err
		}
		ours = found.Ours(made)
		if ours || own != "" {
			break
		}
	}
	if !ours && own == "" {
		if err := p.checkSearchPath(ctx, conn, searchPath); err != nil {
			return place{}, err
		}
	}
	if ours && p.schema != p.current {
		if err := p.checkHidden(ctx, conn, made); err != nil {
			return place{}, err
		}
	}
	if err := p.notes(ctx, conn, &found, ours); err != nil {
		return place{}, err
	}
	p.noted = found.HasNotes(store.MigrationTable)
	p.Schema, p.carry, err = found.Schema(all, made)
	if err == nil && p.CheckRequired() == nil && !p.checks && !p.lacks(functionVersion) {
		err = &store.PlaceError{
			Fault: found.Name + " lacks the function clientes_check_schema, which a migration made",
			Cure:  "restore a backup that has all, not the tables alone",
		}
	}
	return p, err
}

// tables returns the tables and views of the schema, without those of extensions. Types and
// sequences are among them if no table of ours can have its name because of them.
func (p place) tables(ctx context.Context, conn *pgx.Conn, made []store.MadeTable) (
	store.Place, error) {
	names := []string{store.MigrationTable}
	for _, t := range made {
		names = append(names, t.Name)
	}
	type table struct{ name, columns string }
	rows, err := list(ctx, conn, nil, func(t *table) []any { return []any{&t.name, &t.columns} }, `
		SELECT relname::text, coalesce(string_agg(attname::text, ' '), '')
		FROM pg_class AS c
		LEFT JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
		WHERE relnamespace = to_regnamespace(quote_ident($1))
			AND (relkind IN ('r', 'p', 'v', 'm', 'f', 'c') OR relname = ANY ($2))
			AND NOT EXISTS (
				SELECT 1
				FROM pg_depend
				WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
		GROUP BY relname
		UNION ALL
		SELECT typname::text, ''
		FROM pg_type
		WHERE typnamespace = to_regnamespace(quote_ident($1)) AND typrelid = 0
			AND typname = ANY ($2)`,
		p.schema, names)
	found := store.Place{
		Name:   fmt.Sprintf("the schema %s of the database %s", p.schema, p.database),
		Tables: make(map[string][]string),
		Own: "give clientes a database of its own (CREATE DATABASE), or a schema of its own " +
			"(CREATE SCHEMA clientes, and search_path=clientes in DATABASE_URL)",
	}
	for _, t := range rows {
		found.Tables[t.name] = strings.Fields(t.columns)
	}
	return found, err
}

// notes adds the migrations that are noted in the place.
func (p place) notes(ctx context.Context, conn *pgx.Conn, found *store.Place, ours bool) error {
	read := func(table string) ([]store.Migration, error) {
		if !found.HasNotes(table) {
			return nil, nil
		}
		return list(ctx, conn, nil, toMigration, `
			SELECT version_id, coalesce(min(tstamp) AT TIME ZONE 'UTC', to_timestamp(0))
			FROM `+p.in(table)+`
			WHERE version_id > 0 AND is_applied
			GROUP BY version_id
			ORDER BY version_id`)
	}
	var err error
	if found.Noted, err = read(store.MigrationTable); err != nil {
		return err
	}
	if slices.ContainsFunc(found.Noted, isFirst) {
		// What is in the other table is carried over, or is of another program.
		delete(found.Tables, store.EarlyTable)
	}
	found.Early, err = read(store.EarlyTable)
	if pg := (*pgconn.PgError)(nil); !ours && errors.As(err, &pg) && pg.Code == "42501" {
		found.Early, err = []store.Migration{{}}, nil // which only its owner may read
	}
	if err != nil {
		return err
	}
	for _, column := range found.Tables["identity"] {
		if ours && column == "required_version" {
			found.Required, err = one(ctx, conn, func(v *int64) []any { return []any{v} }, `
				SELECT coalesce(max(required_version), 0)
				FROM `+p.in("identity"))
		}
	}
	return err
}

func isFirst(m store.Migration) bool { return m.Version == 1 }

// in returns the name of a table of the schema as SQL needs it.
func (p place) in(table string) string { return pgx.Identifier{p.schema, table}.Sanitize() }

// checkHidden refuses a search_path that finds a table of something else before one of ours.
func (p place) checkHidden(ctx context.Context, conn *pgx.Conn, made []store.MadeTable) error {
	var names []string
	for _, t := range made {
		names = append(names, t.Name)
	}
	hidden, err := list(ctx, conn, nil, func(name *string) []any { return []any{name} }, `
		SELECT oid::regclass::text
		FROM pg_class
		WHERE oid IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
			AND relnamespace <> to_regnamespace(quote_ident($2))
		ORDER BY relname`,
		names, p.schema)
	if err != nil || len(hidden) == 0 {
		return err
	}
	return &store.PlaceError{
		Fault: fmt.Sprintf("the schema %s has a table %s of something else, which search_path finds "+
			"before that of clientes in the schema %s", p.current, hidden[0], p.schema),
		Cure: fmt.Sprintf("add search_path=%s to DATABASE_URL", p.schema),
	}
}

// checkSearchPath refuses a search_path whose first schema cannot be used. Postgres would take the
// next one, which may be somebody else's.
func (p place) checkSearchPath(ctx context.Context, conn *pgx.Conn, searchPath string) error {
	first := ""
	for name := range strings.SplitSeq(searchPath, ",") {
		if first = unquote(strings.TrimSpace(name)); first != "$user" {
			break
		}
		if p.current == p.user {
			return nil
		}
	}
	if first == p.current && first != "" {
		return nil
	}
	exists, err := one(ctx, conn, toBool, `
		SELECT to_regnamespace(quote_ident($1)) IS NOT NULL`,
		first)
	quoted := pgx.Identifier{first}.Sanitize()
	user := pgx.Identifier{p.user}.Sanitize()
	switch {
	case err != nil:
		return err
	case first == "" || first == "$user":
		return &store.PlaceError{
			Fault: "search_path names no schema that is in the database " + p.database,
			Cure:  "name one in DATABASE_URL, for example search_path=public",
		}
	case exists:
		return &store.PlaceError{
			Fault: fmt.Sprintf("the role %s may not use the schema %s, which search_path names first",
				p.user, first),
			Cure: fmt.Sprintf("as its owner, GRANT USAGE, CREATE ON SCHEMA %s TO %s", quoted, user),
		}
	}
	return &store.PlaceError{
		Fault: fmt.Sprintf("there is no schema %s in the database %s, and search_path names it first",
			first, p.database),
		Cure: fmt.Sprintf("make it (CREATE SCHEMA %s AUTHORIZATION %s), or correct search_path",
			quoted, user),
	}
}

// oldestServer is the oldest version of PostgreSQL that knows what the migrations use.
const oldestServer = 140000

// checkVersion refuses a server that is too old for the migrations, before the first of them.
func checkVersion(version int) error {
	if version < oldestServer {
		return &store.PlaceError{
			Fault: fmt.Sprintf("the server of the database is PostgreSQL %d", version/10000),
			Cure:  "upgrade it: clientes needs PostgreSQL 14 or newer",
		}
	}
	return nil
}

// checkEncoding refuses one that cannot keep most text, and would return some of it altered.
func checkEncoding(database, encoding string) error {
	if encoding != "UTF8" {
		return &store.PlaceError{
			Fault: fmt.Sprintf("the encoding of the database %s is %s, and clientes needs UTF8",
				database, encoding),
			Cure: "make another one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
		}
	}
	return nil
}

// checkUse returns why no tables can be made in the place, or nil.
func (p place) checkUse() error {
	if err := checkVersion(p.version); err != nil {
		return err
	}
	if err := checkEncoding(p.database, p.encoding); err != nil {
		return err
	}
	if p.trigrams != "" && p.lacks(searchVersion) {
		return &store.PlaceError{
			Fault: fmt.Sprintf("the role %s may not use the schema %s, in which the extension pg_trgm is",
				p.user, p.trigrams),
			Cure: fmt.Sprintf("as its owner, GRANT USAGE ON SCHEMA %s TO %s",
				pgx.Identifier{p.trigrams}.Sanitize(), pgx.Identifier{p.user}.Sanitize()),
		}
	}
	if p.mayCreate {
		return nil
	}
	if !p.lacks(1) {
		return &store.PlaceError{
			Fault: fmt.Sprintf("the role %s may not make what a newer version needs in the schema %s",
				p.user, p.current),
			Cure: "run `clientes migrate` once as the role that owns the tables",
		}
	}
	user, grant := pgx.Identifier{p.user}.Sanitize(), pgx.Identifier{p.current}.Sanitize()
	cure := fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA %s TO %s", grant, user)
	if p.current == "public" { // since version 15 only the owner of the database may create in it
		cure = fmt.Sprintf("ALTER DATABASE %s OWNER TO %s (or GRANT CREATE ON SCHEMA public TO %s)",
			pgx.Identifier{p.database}.Sanitize(), user, user)
	}
	return &store.PlaceError{
		Fault: fmt.Sprintf("the role %s may not create tables in the schema %s of the database %s",
			p.user, p.current, p.database),
		Cure: "as the owner or a superuser, " + cure,
	}
}

// searchVersion is the migration that makes the index for searches, with pg_trgm where it is, and
// functionVersion the one that makes the function of checkSchema.
const (
	searchVersion   = 8
	functionVersion = 15
)

func (p place) lacks(version int64) bool {
	return slices.ContainsFunc(p.Migrations, func(m store.Migration) bool {
		return m.Version == version && !m.Applied
	})
}

// unquote returns the name that an identifier in a search_path or a regnamespace stands for.
func unquote(identifier string) string {
	if name, ok := strings.CutPrefix(identifier, `"`); ok {
		return strings.ReplaceAll(strings.TrimSuffix(name, `"`), `""`, `"`)
	}
	return strings.ToLower(identifier)
}

// madeTables returns the tables that the migrations make.
func madeTables(all []store.Migration) (made []store.MadeTable, err error) {
	for _, m := range all {
		text, err := fs.ReadFile(migrations, "migrations/"+m.Name)
		if err != nil {
			continue // a migration in Go, which makes none
		}
		made = append(made, store.MadeTables(m.Version, string(text))...)
	}
	return made, nil
}
