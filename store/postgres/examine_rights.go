package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// rights looks at what the role may do. Before the first migration that is to make tables, and
// after it to use them.
func (x *examination) rights(ctx context.Context) ([]store.Finding, error) {
	if x.placeErr != nil {
		return okay("the rights are seen as soon as the schema is"), nil
	}
	p := x.place
	temporary := false
	err := x.row(ctx, `SELECT has_database_privilege(current_database(), 'TEMPORARY')`, &temporary)
	if err != nil {
		return nil, err
	}
	role, database := pgx.Identifier{p.user}.Sanitize(), pgx.Identifier{p.database}.Sanitize()
	var found []store.Finding
	if !temporary {
		found = append(found, failure(
			fmt.Sprintf("as the owner of the database, GRANT TEMPORARY ON DATABASE %s TO %s",
				database, role),
			"the role %s may not make temporary tables, which an import needs", p.user)...)
	}
	// Of version and encoding, other checks speak.
	if p.Check() != nil && checkVersion(p.version) == nil &&
		checkEncoding(p.database, p.encoding) == nil {
		if err := p.checkUse(); err != nil {
			return append(found, faulty(err)...), nil
		}
	}
	names, err := tableNames()
	if err != nil {
		return nil, err
	}
	closed, err := x.texts(ctx, `
		SELECT relname::text
		FROM pg_class AS c
		WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relname = ANY ($2)
			AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
				AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
		ORDER BY relname`,
		p.schema, names)
	if err != nil {
		return nil, err
	}
	if len(closed) > 0 {
		found = append(found, failure(
			fmt.Sprintf("as the owner of the tables, GRANT SELECT, INSERT, UPDATE, DELETE ON ALL "+
				"TABLES IN SCHEMA %s TO %s", pgx.Identifier{p.schema}.Sanitize(), role),
			"the role %s may not read and write all tables of clientes (%s)", p.user,
			strings.Join(closed, ", "))...)
	}
	for _, right := range []struct{ name, what string }{
		{"USAGE", "use all sequences of clientes (%s), which imports and `clientes copy` need"},
		{"UPDATE", "update all sequences of clientes (%s), which `clientes copy` and `clientes " +
			"sessions end-all` need"},
	} {
		without, err := x.texts(ctx, `
			SELECT c.relname::text
			FROM pg_class AS c
			JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
				AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
			JOIN pg_class AS owner ON owner.oid = d.refobjid
			WHERE c.relkind = 'S' AND owner.relname = ANY ($2)
				AND owner.relnamespace = to_regnamespace(quote_ident($1))
				-- A condition may be evaluated before the others, and this is an error for a table.
				AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, $3) END
			ORDER BY c.relname`,
			p.schema, names, right.name)
		if err != nil {
			return nil, err
		}
		if len(without) == 0 {
			continue
		}
		finding := failure
		if right.name == "UPDATE" {
			finding = warning
		}
		found = append(found, finding(
			fmt.Sprintf("as the owner of the tables, GRANT USAGE, UPDATE ON ALL SEQUENCES IN "+
				"SCHEMA %s TO %s", pgx.Identifier{p.schema}.Sanitize(), role),
			"the role %s may not "+right.what, p.user, strings.Join(without, ", "))...)
	}
	hidden, err := x.texts(ctx, `
		SELECT relname::text
		FROM pg_class AS c
		WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relname = ANY ($2)
			AND row_security_active(c.oid)
		ORDER BY relname`,
		p.schema, names)
	if err != nil {
		return nil, err
	}
	if len(hidden) > 0 {
		var cures []string
		for _, name := range hidden {
			cures = append(cures, fmt.Sprintf("ALTER TABLE %s DISABLE ROW LEVEL SECURITY",
				p.in(name)))
		}
		found = append(found, failure("as the owner of the tables, "+strings.Join(cures, "; "),
			"row-level security hides rows of clientes from the role %s (%s)", p.user,
			strings.Join(hidden, ", "))...)
	}
	if len(found) > 0 {
		return found, nil
	}
	if !p.mayCreate {
		return okay("the role %s may read and write all tables; the next version's migrations "+
			"take `clientes migrate` as the role that owns them", p.user), nil
	}
	return okay("the role %s has the rights that it needs", p.user), nil
}

// tableNames returns the names of the tables that the migrations make.
func tableNames() (names []string, err error) {
	all, err := known()
	if err != nil {
		return nil, err
	}
	made, err := madeTables(all)
	for _, t := range made {
		names = append(names, t.Name)
	}
	return names, err
}

// connections compares the connections that the servers may open with those that the database
// takes.
func (x *examination) connections(ctx context.Context) ([]store.Finding, error) {
	if !x.direct {
		return okay("a pooler stands before the database, so its limits count "+
			"(default_pool_size, max_client_conn), and each server opens %d at most", x.pool), nil
	}
	var usable, ofRole, ofDatabase, others, othersOfRole, othersOfDatabase, ours, hosts int
	role, database := "", ""
	err := x.ask(ctx, func(b *pgx.Batch) {
		b.Queue(`
			WITH seen AS (
				SELECT usename, datname, client_addr, coalesce(application_name = $1, false) AS ours
				FROM pg_stat_activity
				WHERE usesysid IS NOT NULL AND pid <> pg_backend_pid()
					AND backend_type IS DISTINCT FROM 'logical replication launcher'),
			counted AS (
				SELECT count(*) FILTER (WHERE NOT ours) AS others,
					count(*) FILTER (WHERE NOT ours AND usename = session_user) AS of_role,
					count(*) FILTER (WHERE NOT ours AND datname = current_database())
						AS of_database,
					count(*) FILTER (WHERE ours) AS ours,
					count(DISTINCT coalesce(host(client_addr), '')) FILTER (WHERE ours) AS hosts
				FROM seen)
			SELECT current_setting('max_connections')::int
					- current_setting('superuser_reserved_connections')::int
					- coalesce(current_setting('reserved_connections', true)::int, 0),
				CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END,
				CASE WHEN rolsuper THEN -1 ELSE datconnlimit END,
				others, of_role, of_database, ours, hosts, rolname::text, datname::text
			FROM counted, pg_roles, pg_database
			WHERE rolname = session_user AND datname = current_database()`, x.name).
			QueryRow(func(row pgx.Row) error {
				return row.Scan(&usable, &ofRole, &ofDatabase, &others, &othersOfRole,
					&othersOfDatabase, &ours, &hosts, &role, &database)
			})
	})
	if err != nil {
		return nil, err
	}
	pool := int(x.pool)
	// Servers on one machine have one address, and a full pool each.
	replicas := max(1, hosts, (ours+pool-1)/pool)
	role, database = pgx.Identifier{role}.Sanitize(), pgx.Identifier{database}.Sanitize()
	need := replicas * pool
	for _, limit := range []struct {
		most, others int
		what, cure   string
	}{
		{ofRole, othersOfRole, "the role " + role,
			fmt.Sprintf("ALTER ROLE %s CONNECTION LIMIT -1", role)},
		{ofDatabase, othersOfDatabase, "the database " + database,
			fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT -1", database)},
		{usable, others, "the server", "ALTER SYSTEM SET max_connections = N, and restart it"},
	} {
		if limit.most < 0 || limit.others+need <= limit.most {
			continue
		}
		cure := fmt.Sprintf("lower pool_max_conns in DATABASE_URL to %d, or raise the limit (%s)",
			max(1, (limit.most-limit.others)/replicas), limit.cure)
		is := warning
		if limit.others+pool > limit.most {
			is = failure
		}
		return is(cure, "%s takes %d connections, of which others have %d, and clientes may open "+
			"%d (servers: %d, each with %d)", limit.what, limit.most, limit.others, need, replicas,
			pool), nil
	}
	return okay("the server takes %d connections, of which others have %d, and clientes may open "+
		"%d (servers: %d, each with %d)", usable, others, need, replicas, pool), nil
}
