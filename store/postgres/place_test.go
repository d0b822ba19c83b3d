package postgres_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// inventory returns everything in a database that a migration could make, and the rows of goose's
// tables.
func inventory(t *testing.T, url string) string {
	t.Helper()
	conn := beside(t, url)
	all := ask[string](t, conn, `
		SELECT coalesce(string_agg(oid::text || ' ' || relname, ' ' ORDER BY oid), '')
		FROM pg_class`)
	all += ask[string](t, conn, `
		SELECT string_agg(oid::text, ' ' ORDER BY oid)
		FROM (SELECT oid FROM pg_proc UNION ALL SELECT oid FROM pg_extension) AS o`)
	if ask[bool](t, conn, `SELECT to_regclass('goose_db_version') IS NOT NULL`) {
		all += ask[string](t, conn, `
			SELECT coalesce(string_agg(g::text, ' '), '')
			FROM goose_db_version AS g`)
	}
	return all
}

const otherGoose = `
	CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL,
		is_applied boolean NOT NULL, tstamp timestamp DEFAULT now());
	INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (2, true);`

// script runs statements on a connection of its own.
func script(t *testing.T, url, statements string) {
	t.Helper()
	if _, err := beside(t, url).PgConn().Exec(t.Context(), statements).ReadAll(); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

func TestASchemaOfSomethingElseIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string]string{
		"A1 goose of another service": otherGoose,
		"A4 a users table":            `CREATE TABLE users (id int)`,
		"goose with more versions than ours": otherGoose + `CREATE TABLE orders (id int);
			INSERT INTO goose_db_version (version_id, is_applied)
			VALUES (14, true), (18, true), (20240101000000, true)`,
		"goose and tables of our names": otherGoose + `CREATE TABLE users (id int, name text);
			CREATE TABLE sessions (id text)`,
		"a goose table of another form": `CREATE TABLE goose_db_version (version text)`,
		"a view":                        `CREATE VIEW one AS SELECT 1 AS n`,
		"a materialized view":           `CREATE MATERIALIZED VIEW one AS SELECT 1 AS n`,
		"a partitioned table": `
			CREATE TABLE visits (at date) PARTITION BY RANGE (at)`,
		"an enum of the name of a table":    `CREATE TYPE users AS ENUM ('a')`,
		"a domain of the name of a table":   `CREATE DOMAIN sessions AS int`,
		"a sequence of the name of a table": `CREATE SEQUENCE clientes`,
		"a table of the name of that of our migrations": `
			CREATE TABLE clientes_migrations (version text)`,
		"a table beside an extension": `CREATE EXTENSION pg_trgm; CREATE TABLE x (id int)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.Database(t)
			script(t, url, statements)
			before := inventory(t, url)
			_, schema := postgres.Schema(t.Context(), url)
			for call, err := range map[string]error{
				"migrate": postgres.Migrate(soon(t), url), "schema": schema,
			} {
				var bad *store.PlaceError
				if !errors.As(err, &bad) || !bad.Foreign || err != error(bad) {
					t.Errorf("%s: got %v", call, err)
				}
			}
			if after := inventory(t, url); after != before {
				t.Errorf("from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func TestASchemaOfItsOwnIsTaken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ statements, searchPath string }{
		"an extension with tables in it": {`CREATE EXTENSION pg_trgm;
			CREATE EXTENSION pg_buffercache`, ""},
		"beside one of another service": {otherGoose +
			`CREATE TABLE users (id int); CREATE SCHEMA clientes`, "clientes"},
		"beside one, with public behind it": {otherGoose +
			`CREATE TABLE users (id int); CREATE SCHEMA clientes`, "clientes,public"},
		"of a name that needs quotes": {`CREATE TABLE users (id int); CREATE SCHEMA "My-App"`,
			`"My-App"`},
		"after an interrupted start": {strings.Split(otherGoose, "INSERT")[0], ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.Database(t)
			script(t, url, test.statements)
			if test.searchPath != "" {
				url = with(t, url, "search_path", test.searchPath)
			}
			for range 2 {
				if err := postgres.Migrate(soon(t), url); err != nil {
					t.Fatal(err)
				}
			}
			wantReady(t, url)
			goose := ask[bool](t, beside(t, url),
				`SELECT to_regclass('public.goose_db_version') IS NOT NULL`)
			if goose && ask[int](t, beside(t, url),
				`SELECT count(*) FROM public.goose_db_version WHERE version_id > 2`) > 0 {
				t.Error("it wrote to goose's table")
			}
		})
	}
}

// A schema of the user's name, which search_path names first by default, can come after our tables.
func TestASchemaThatCameLaterChangesNothing(t *testing.T) {
	t.Parallel()
	for _, version := range []int64{14, fixtureVersion} {
		url := fixture(t, version)
		script(t, url, `DO $$ BEGIN EXECUTE format('CREATE SCHEMA %I', current_user); END $$`)
		if err := postgres.Migrate(soon(t), url); err != nil {
			t.Fatal(err)
		}
		wantReady(t, url)
		if n := ask[int](t, beside(t, url), `
			SELECT count(*)
			FROM pg_class
			WHERE relnamespace = current_schema()::regnamespace`); n > 0 {
			t.Errorf("%d tables and indexes are in the new schema", n)
		}
	}
}

func TestADatabaseThatLacksATableIsRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []int64{14, fixtureVersion} {
		for _, table := range []string{"mails", "users", "audit"} {
			url := fixture(t, version)
			script(t, url, `DROP TABLE `+table+` CASCADE`)
			_, schema := postgres.Schema(t.Context(), url)
			for _, err := range []error{schema, postgres.Migrate(soon(t), url)} {
				var bad *store.PlaceError
				if !errors.As(err, &bad) || bad.Foreign || !strings.Contains(bad.Fault, table) {
					t.Errorf("of version %d, without %s: got %v", version, table, err)
				}
			}
		}
	}
}

// Another service may bring its goose to where our tables are: its table is not ours.
func TestGooseOfAServiceThatCameLaterIsNotRead(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	script(t, url, otherGoose)
	script(t, url, `DELETE FROM clientes_migrations WHERE version_id = 17; DROP TABLE probe`)
	if err := postgres.Migrate(soon(t), url); err != nil {
		t.Fatal(err)
	}
	if n := ask[int](t, beside(t, url), `SELECT count(*) FROM goose_db_version`); n != 3 {
		t.Errorf("goose's table has %d rows", n)
	}
	wantReady(t, url)
}

// Each place that cannot be used is named once, with what to do.
func TestAPlaceThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t)
	script(t, cluster.URL, `CREATE ROLE app LOGIN`)
	script(t, cluster.URL, `CREATE DATABASE appdb`)
	script(t, cluster.URL, `
		CREATE DATABASE latin
		TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`)
	at := func(database string, options ...string) string {
		t.Helper()
		u, err := url.Parse(cluster.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/" + database
		return with(t, u.String(), options...)
	}
	script(t, at("appdb"), `CREATE SCHEMA closed; CREATE SCHEMA half; GRANT USAGE ON SCHEMA half TO app`)
	script(t, cluster.URL, `CREATE DATABASE bare OWNER app`)
	script(t, at("bare"), `
		REVOKE ALL ON SCHEMA public FROM public, pg_database_owner;
		CREATE SCHEMA extensions;
		CREATE EXTENSION pg_trgm SCHEMA extensions;
		CREATE SCHEMA mine AUTHORIZATION app`)
	for name, test := range map[string]struct{ url, want string }{
		"G1 no right on public": {at("appdb", "user", "app"),
			`the role app may not create tables in the schema public of the database appdb: ` +
				`as the owner or a superuser, ALTER DATABASE "appdb" OWNER TO "app" ` +
				`(or GRANT CREATE ON SCHEMA public TO "app")`},
		"no right on another schema": {at("appdb", "user", "app", "search_path", "half"),
			`the role app may not create tables in the schema half of the database appdb: ` +
				`as the owner or a superuser, GRANT USAGE, CREATE ON SCHEMA "half" TO "app"`},
		"a schema that the role may not use": {at("appdb", "user", "app", "search_path", "closed"),
			`the role app may not use the schema closed, which search_path names first: ` +
				`as its owner, GRANT USAGE, CREATE ON SCHEMA "closed" TO "app"`},
		"no such schema": {at("appdb", "user", "app", "search_path", "Shop,public"),
			`there is no schema shop in the database appdb, and search_path names it first: ` +
				`make it (CREATE SCHEMA "shop" AUTHORIZATION "app"), or correct search_path`},
		"the usual search_path, and public closed": {at("bare", "user", "app"),
			`the role app may not use the schema public, which search_path names first: ` +
				`as its owner, GRANT USAGE, CREATE ON SCHEMA "public" TO "app"`},
		"an empty search_path": {at("bare", "user", "app", "search_path", ""),
			`search_path names no schema that is in the database bare: ` +
				`name one in DATABASE_URL, for example search_path=public`},
		"pg_trgm in a closed schema": {at("bare", "user", "app", "search_path", "mine"),
			`the role app may not use the schema extensions, in which the extension pg_trgm is: ` +
				`as its owner, GRANT USAGE ON SCHEMA "extensions" TO "app"`},
		"another encoding": {at("latin"),
			`the encoding of the database latin is LATIN1, and clientes needs UTF8: ` +
				`make another one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`},
	} {
		err := postgres.Migrate(soon(t), test.url)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: got\n%v, want\n%s", name, err, test.want)
		}
	}
}

// An operator may keep tables beside ours, but not in the place of one that is still to be made.
func TestATableInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	url := fixture(t, 16)
	script(t, url, `CREATE TABLE probe (of text)`)
	before := inventory(t, url)
	err := postgres.Migrate(soon(t), url)
	var bad *store.PlaceError
	if !errors.As(err, &bad) || !strings.Contains(bad.Fault, "(probe)") || bad.Cure != "rename it" {
		t.Errorf("got %v", err)
	}
	if after := inventory(t, url); after != before {
		t.Errorf("from\n%s\nto\n%s", before, after)
	}
	script(t, url, `ALTER TABLE probe RENAME TO my_probe`)
	if err := postgres.Migrate(soon(t), url); err != nil {
		t.Fatal(err)
	}
	wantReady(t, url)
}

func TestATableThatHidesOneOfOursIsNamed(t *testing.T) {
	t.Parallel()
	url := fixture(t, fixtureVersion)
	script(t, url, `CREATE SCHEMA shop; CREATE TABLE shop.users (id int)`)
	err := postgres.Migrate(soon(t), with(t, url, "search_path", "shop,public"))
	want := "the schema shop has a table users of something else, which search_path finds before " +
		"that of clientes in the schema public: add search_path=public to DATABASE_URL"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v, want\n%s", err, want)
	}
}

// A server may have a role that reads and writes, and leave migrations to the owner.
func TestARoleThatOnlyReadsAndWrites(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t)
	script(t, cluster.URL, `CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN`)
	script(t, cluster.URL, `CREATE DATABASE shop OWNER owner`)
	as := func(user string) string {
		t.Helper()
		u, err := url.Parse(cluster.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/shop"
		return with(t, u.String(), "user", user)
	}
	if err := postgres.Migrate(soon(t), as("owner")); err != nil {
		t.Fatal(err)
	}
	script(t, as("owner"), `
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app;
		CREATE TABLE goose_db_version (LIKE clientes_migrations INCLUDING ALL);
		INSERT INTO goose_db_version (version_id, is_applied, tstamp)
		SELECT version_id, is_applied, tstamp
		FROM clientes_migrations
		WHERE version_id <= 14;
		DELETE FROM clientes_migrations
		WHERE version_id <= 14;
		GRANT SELECT ON goose_db_version TO app`)
	if err := postgres.Migrate(soon(t), as("app")); err != nil {
		t.Fatalf("carry over: %v", err)
	}
	wantReady(t, as("app"))
	script(t, as("owner"), `
		DELETE FROM clientes_migrations
		WHERE version_id = 17;
		DROP TABLE probe`)
	err := postgres.Migrate(soon(t), as("app"))
	want := "the role app may not make what a newer version needs in the schema public: " +
		"run `clientes migrate` once as the role that owns the tables"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v, want\n%s", err, want)
	}
}

// Some databases have other forms of dates, or another encoding, for every client.
func TestSettingsOfTheDatabaseDoNotMatter(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	script(t, url, `
		DO $$
		BEGIN
			EXECUTE format('ALTER DATABASE %I SET datestyle = German', current_database());
			EXECUTE format('ALTER DATABASE %I SET client_encoding = LATIN1', current_database());
			EXECUTE format('ALTER DATABASE %I SET timezone = "America/Sao_Paulo"',
				current_database());
		END
		$$`)
	url = with(t, url, "default_query_exec_mode", "exec")
	for range 2 {
		if err := postgres.Migrate(soon(t), url); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, url)
	made, err := s.CreateCliente(soon(t), 0, store.Cliente{Name: "João Çelik"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Cliente(soon(t), made.ID)
	if err != nil || got != made {
		t.Errorf("got %+v, %v, want %+v", got, err, made)
	}
}

// Another service may also keep its goose from being read by others.
func TestGooseThatOnlyItsOwnerReads(t *testing.T) {
	t.Parallel()
	cluster := postgrestest.Start(t)
	script(t, cluster.URL, `CREATE ROLE app LOGIN`)
	script(t, cluster.URL, `CREATE DATABASE shop OWNER app`)
	u, err := url.Parse(cluster.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/shop"
	app := with(t, u.String(), "user", "app")
	for range 2 {
		if err := postgres.Migrate(soon(t), app); err != nil {
			t.Fatal(err)
		}
		wantReady(t, app)
		script(t, u.String(), `DROP TABLE IF EXISTS goose_db_version;`+otherGoose)
	}
}

func TestADatabaseThatLacksTheFunctionIsRefused(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	script(t, url, `DROP FUNCTION clientes_check_schema`)
	err := postgres.Migrate(soon(t), url)
	var bad *store.PlaceError
	if !errors.As(err, &bad) || !strings.Contains(bad.Fault, "clientes_check_schema") {
		t.Errorf("got %v", err)
	}
}
