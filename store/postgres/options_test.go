package postgres

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store/postgres/postgrestest"
)

// What the URLs of other programs mean here. A row has the options, what the driver gets, and words
// of the warnings.
func TestForeignOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, query, want, warned string }{
		{"F1 Prisma", "schema=public", "search_path=public",
			"schema, which is taken as search_path=public"},
		{"Prisma, a schema with capitals", "schema=Sales", `search_path="Sales"`, "search_path"},
		{"Prisma behind PgBouncer", "schema=public&pgbouncer=true&connection_limit=1&pool_timeout=20",
			"default_query_exec_mode=exec pool_max_conns=1 search_path=public",
			"pool_timeout, which is passed over: a call waits five seconds"},
		{"pg8000", "unix_sock=/cloudsql/a:b:c/.s.PGSQL.5432", "host=/cloudsql/a:b:c",
			"unix_sock, which is taken as host=/cloudsql/a:b:c"},
		{"another form of dates", "datestyle=German", "", "datestyle, which is passed over"},
		{"Prisma, our own name counts", "connection_limit=1&pool_max_conns=9", "pool_max_conns=9",
			"connection_limit, which is passed over: pool_max_conns is there too"},
		{"Prisma, no pooler", "pgbouncer=false&statement_cache_size=100",
			"statement_cache_capacity=100", "statement_cache_capacity=100"},
		{"Prisma, no cache", "statement_cache_size=0", "default_query_exec_mode=exec", "exec"},
		{"Prisma, strict", "sslmode=require&sslaccept=strict&sslcert=ca.pem",
			"sslcert= sslmode=verify-full sslrootcert=ca.pem", "sslrootcert=ca.pem"},
		{"Prisma, not strict", "sslaccept=accept_invalid_certs", "", "sslmode=verify-full does"},
		{"Prisma, an identity", "sslidentity=a.p12&sslpassword=x&socket_timeout=3&connect_timeout=5",
			"connect_timeout=5 sslpassword=x", "sslcert=FILE"},
		{"F3 libpq", "gssencmode=disable&keepalives=1", "", "gssencmode, which is passed over"},
		{"libpq, the network", "keepalives_idle=9&keepalives_interval=9&keepalives_count=9&" +
			"tcp_user_timeout=9&load_balance_hosts=random", "", "hosts are tried in their order"},
		{"libpq, what the driver has", "krbsrvname=k&channel_binding=require&" +
			"target_session_attrs=read-write&require_auth=scram-sha-256",
			"channel_binding=require krbsrvname=k require_auth=scram-sha-256 " +
				"target_session_attrs=read-write", ""},
		{"libpq, names and TLS", "fallback_application_name=a&client_encoding=UTF8&requiressl=1&" +
			"sslcompression=0", "application_name=a client_encoding=UTF8 sslmode=require",
			"TLS never"},
		{"libpq, dbname", "dbname=x&user=u", "database=x user=u", ""},
		{"libpq, hostaddr", "hostaddr=10.0.0.1", "host=10.0.0.1", ""},
		{"F4 node-postgres", "uselibpqcompat=true", "", "what it means to libpq"},
		{"node-postgres, TLS unchecked", "sslmode=no-verify", "sslmode=require sslrootcert=",
			"nobody checks whose server"},
		{"node-postgres, TLS unchecked in another way", "ssl=no-verify",
			"sslmode=require sslrootcert=", "nobody checks whose server"},
		{"node-postgres, ssl", "ssl=true&max=7", "pool_max_conns=7 sslmode=require",
			"sslmode=verify-full does"},
		{"node-postgres, milliseconds", "connectionTimeoutMillis=2500&idleTimeoutMillis=1",
			"connect_timeout=3", "pool_max_conn_idle_time"},
		{"both kinds of TLS", "ssl=true&sslmode=disable", "sslmode=disable",
			"need not be encrypted"},
		{"both kinds of TLS agree", "sslmode=verify-full&ssl=true", "sslmode=verify-full", ""},
		{"Supabase", "options=reference%3Dabc", "options=reference=abc", ""},
		{"Supabase for Vercel", "sslmode=require&supa=base-pooler.x&workaround=supabase-pooler.vercel",
			"sslmode=require", "supa, which is passed over"},
		{"Neon", "options=endpoint%3Dep-1&sslmode=require&channel_binding=require",
			"channel_binding=require options=endpoint=ep-1 sslmode=require", ""},
		{"Neon, not encoded", "sslmode=require&options=endpoint=ep-1",
			"options=endpoint=ep-1 sslmode=require", ""},
		{"JDBC", "user=u&password=p&ssl=true&currentSchema=a,b&ApplicationName=x&loginTimeout=4&" +
			"prepareThreshold=0&reWriteBatchedInserts=true",
			"application_name=x connect_timeout=4 default_query_exec_mode=exec password=p " +
				"search_path=a,b sslmode=require user=u",
			"reWriteBatchedInserts, which is passed over"},
		{"JDBC, Heroku", "sslfactory=org.postgresql.ssl.NonValidatingFactory",
			"sslmode=require sslrootcert=", "nobody checks whose server"},
		{"JDBC, hosts", "targetServerType=primary&loadBalanceHosts=true",
			"target_session_attrs=primary", "loadBalanceHosts"},
		{"JDBC, simple", "preferQueryMode=simple", "default_query_exec_mode=simple_protocol",
			"simple"},
		{"asyncpg", "ssl=verify-full&timeout=5&command_timeout=9",
			"connect_timeout=5 sslmode=verify-full", "statement_timeout=MILLISECONDS"},
		{"SQLAlchemy", "prepared_statement_cache_size=0&async_fallback=true",
			"default_query_exec_mode=exec", "async_fallback"},
		{"Rails", "pool=5&encoding=unicode&reconnect=true&prepared_statements=false",
			"client_encoding=UTF8 default_query_exec_mode=exec pool_max_conns=5", "reconnect"},
		{"Rails, prepared", "prepared_statements=true&schema_search_path=a,public",
			"search_path=a,public", "search_path=a,public"},
		{"Django", "conn_max_age=600&conn_health_checks=true", "", "conn_max_age"},
		{"Doctrine", "serverVersion=16&charset=utf8", "client_encoding=UTF8", "serverVersion"},
		{"Ecto", "pool_size=10&ssl=false&prepare=unnamed", "pool_max_conns=10 sslmode=disable",
			"pool"},
		{"lib/pq", "binary_parameters=yes&disable_prepared_binary_result=yes",
			"default_query_exec_mode=exec", "disable_prepared_binary_result"},
		{"sqlx", "ssl-mode=require&ssl-root-cert=ca.pem&options[search_path]=a",
			"search_path=a sslmode=require sslrootcert=ca.pem", "ssl-mode"},
		{"golang-migrate", "x-migrations-table=m", "", "x-migrations-table"},
		{"settings of the server", "search_path=a&statement_timeout=5&application_name=x&work_mem=4MB&" +
			"TimeZone=UTC&pg_trgm.similarity_threshold=0.5",
			"application_name=x pg_trgm.similarity_threshold=0.5 search_path=a statement_timeout=5 " +
				"timezone=UTC work_mem=4MB", ""},
		{"an empty one", "&sslmode=require&", "sslmode=require", ""},
		{"capitals", "SSLMODE=require", "sslmode=require", ""},
		{"a name in some clouds", "user=u@host", "user=u@host", ""},
	} {
		p, err := split("postgres:///d?" + test.query)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		o, err := p.translate()
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []string
		for _, name := range slices.Sorted(maps.Keys(o.values)) {
			got = append(got, name+"="+o.values[name])
		}
		warned := strings.Join(o.warnings, "\n")
		if strings.Join(got, " ") != test.want || !strings.Contains(warned, test.warned) ||
			(warned == "") != (test.warned == "") {
			t.Errorf("%s: %s becomes %s, warned of %q", test.name, test.query, got, warned)
		}
	}
}

// What is refused, and the words that help.
func TestForeignFaults(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"pool_max_con=3":                    "pool_max_con, which nobody knows",
		"sslmod=require":                    "sslmod, which nobody knows",
		"max_wal_size=1GB":                  "max_wal_size, which nobody knows",
		"flag":                              "flag, which nobody knows",
		"gssencmode=require":                "sslmode=verify-full",
		"client_encoding=LATIN1":            "text is always UTF-8",
		"charset=latin1":                    "text is always UTF-8",
		"sslaccept=maybe":                   "strict or accept_invalid_certs",
		"targetServerType=secondary":        "primary",
		"replication=true":                  "leave it out",
		"hostaddr=1.2.3.4&host=h":           "write the address as the host",
		"ssl_min_protocol_version=TLSv1.3":  "on the server",
		"sslcert=ca.pem":                    "sslrootcert=FILE",
		"connectionTimeoutMillis=soon":      "connect_timeout=SECONDS",
		"sslmode=%zz":                       "%25",
		"connection_limit=0":                "pool_max_conns too small",
		"options%00=x":                      "%00",
		"default_query_exec_mode=sometimes": "default_query_exec_mode",
	} {
		err := CheckURL("postgres://u:hunter2@h/d?" + query)
		if err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "hunt") {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
}

// Names of the protocol, as others write them.
func TestSchemes(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"postgres", "postgresql", "POSTGRES", "postgresql+psycopg2",
		"postgresql+asyncpg", "postgresql+psycopg", "postgres+pool", "jdbc:postgresql", "postgis",
		"pgsql", "psql", "ecto", "r2dbc:postgresql", "r2dbc:pool:postgresql"} {
		config, err := parse(scheme + "://u:p%40q@db.example.com:5433/d?sslmode=require\n")
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		c := config.ConnConfig
		got := fmt.Sprint(c.User, c.Password, c.Host, c.Port, c.Database)
		if got != "up@qdb.example.com5433d" {
			t.Errorf("%s: %s", scheme, got)
		}
	}
	for _, url := range []string{"mysql://h/d", "prisma+postgres://h/d", "postgres:/h",
		"sqlite:postgres://x"} {
		if IsURL(url) {
			t.Errorf("%s is taken for a URL of Postgres", url)
		}
	}
}

// A password is taken as libpq takes it where nobody can take it for anything else.
func TestPasswordsThatAreNotEncoded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url, want string }{
		{"C3 hash", "postgres://app:pa#ss@127.0.0.1:5432/app", "pa#ss"},
		{"question mark", "postgres://app:pa?ss@127.0.0.1:5432/app", "pa?ss"},
		{"colon", "postgres://app:pa:ss@127.0.0.1:5432/app", "pa:ss"},
		{"bracket", "postgres://app:pa[ss@127.0.0.1:5432/app", "pa[ss"},
		{"space", "postgres://app:pa ss@127.0.0.1:5432/app", "pa ss"},
		{"plus", "postgres://app:pa+ss@127.0.0.1:5432/app", "pa+ss"},
		{"quote", `postgres://app:pa"'ss@127.0.0.1:5432/app`, `pa"'ss`},
		{"ampersand and equals", "postgres://app:pa&s=s@127.0.0.1:5432/app", "pa&s=s"},
		{"letters beyond ASCII", "postgres://app:señal@127.0.0.1:5432/app", "señal"},
		{"encoded", "postgres://app:%40%2F%3F%23%25@127.0.0.1:5432/app", "@/?#%"},
	} {
		config, err := parse(test.url)
		if err != nil || config.ConnConfig.Password != test.want ||
			config.ConnConfig.Host != "127.0.0.1" {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for _, test := range []struct{ name, url, want string }{
		{"B1 at sign", "postgres://app:Summer@Garden2026@127.0.0.1:5432/app", "%40"},
		{"two at signs", "postgres://app:a@b@c@127.0.0.1:5432/app", "%40"},
		{"at the end", "postgres://app:Summer@@127.0.0.1:5432/app", "%40"},
		{"in the user", "postgres://a@b.com:pw@127.0.0.1:5432/app", "%40"},
		{"slash", "postgres://app:Summer/Garden2026@127.0.0.1:5432/app", "%2F"},
		{"slash and at", "postgres://app:Sum@mer/Garden@127.0.0.1:5432/app", "%2F"},
		{"slash behind a number", "postgres://app:12/Garden2026@127.0.0.1:5432/app", "%2F"},
		{"slash and question mark", "postgres://app:12/Gard?en=2026@127.0.0.1:5432/app", "%3F"},
		{"percent", "postgres://app:100%Garden@127.0.0.1:5432/app", "%25"},
		{"percent at the end", "postgres://app:Garden%@127.0.0.1:5432/app", "%25"},
		{"line break", "postgres://app:Summer\nGarden@127.0.0.1:5432/app", "line break"},
	} {
		_, err := parse(test.url)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// The list of the server's settings has all those that a connection to this server may set.
func TestServerSettings(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), postgrestest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, _ := conn.Query(t.Context(), `
		SELECT lower(name)
		FROM pg_settings
		WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend')`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 100 {
		t.Fatal(len(names), err)
	}
	known := strings.Fields(serverSettings)
	if !slices.IsSorted(known) {
		t.Error("settings.txt is not in order")
	}
	for _, name := range names {
		if _, ok := slices.BinarySearch(known, name); !ok && !strings.Contains(name, ".") {
			t.Errorf("%s is missing in settings.txt", name)
		}
	}
}

// No piece of a password is in what is said or shown of a URL, whatever characters it has.
func FuzzPasswordInURL(f *testing.F) {
	for _, password := range []string{
		"Summer@Garden2026", "pa#ss", "a/b@cdef", "12/abcd?efgh=ijkl", "abcd?efgh", "100%zzzz",
		"[abcd", "]abcd/efgh", "abcd:efgh", "abcd efgh", "abcd&efgh=ijkl", "5432/wxyz?wxyz&wxyz",
		"abcd,efgh/ijkl", "12,34:56/wxyz", "x?sslmode=wxyz", "1/x?user=wxyz", "\x00wxyz", "%77xyz",
	} {
		f.Add(password)
	}
	f.Fuzz(func(t *testing.T, password string) {
		if strings.HasPrefix(password, "@") {
			// Nothing of what comes before the first @ is the password then: it is a part of the
			// host, which two @ refuse.
			return
		}
		url := "postgres://u:" + password + "@h.x/d"
		said := MaskURL(url)
		c, err := parse(url)
		switch {
		case err != nil:
			said += "\n" + err.Error()
		case c.ConnConfig.Host == "h.x":
			said += "\n" + target(&c.ConnConfig.Config)
		case strings.Contains(password, "user=") || strings.Contains(password, "password="):
			// postgres://host:port/database?user=name@cloud, as some clouds want it.
			return
		}
		said += "\n" + strings.Join(Warnings(url), "\n")
		for i := 0; i+4 <= len(password); i++ {
			piece := password[i : i+4]
			if strings.Contains(said, piece) && !strings.Contains(vocabulary(t), piece) {
				t.Errorf("%q of %q is in %q", piece, password, said)
			}
		}
	})
}

// vocabulary returns the words of the program itself, in which a piece of a password means nothing.
func vocabulary(t *testing.T) string {
	var all strings.Builder
	for _, file := range []string{"url.go", "options.go", "connect.go", "settings.txt"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String() + "postgres://u:***@h.x/d user=u database=d host=h.x:5432"
}

// Each refusal of a server has its own sentence. A server older than the migrations has one too.
func TestRefusals(t *testing.T) {
	t.Parallel()
	config, err := pgconn.ParseConfig("postgres://v:hunter2@db.example.com/dbv")
	if err != nil {
		t.Fatal(err)
	}
	said := make(map[string]string)
	for code, want := range map[string]string{
		"28P01": "the password of user v is wrong", "28000": "does not let user v in",
		"3D000": "no database named dbv", "42501": "may not connect",
		"53300": "no more connections", "57P03": "starts or stops",
		"42704": "an option of the URL", "08P01": "a pooler before it",
		"0A000": "version of the protocol", "XX000": "refuses the connection",
		"53100": "disk is full", "25006": "read-only", "3F000": "no such schema",
		"57P01": "was stopped",
	} {
		what, cure := refusal(config, &pgconn.PgError{Code: code})
		if !strings.Contains(what, want) || cure == "" || said[what] != "" {
			t.Errorf("%s: %s; %s; want %s", code, what, cure, want)
		}
		said[what] = code
	}
	const noServer = "the pooler before the server gets no connection"
	for message, want := range map[string]string{
		"SASL authentication failed":         "the password of user v is wrong",
		"no such user":                       "the password of user v is wrong",
		"no such database: dbv":              "no database named dbv",
		"no more connections allowed":        "no more connections",
		"query_wait_timeout":                 noServer,
		"pgbouncer cannot connect to server": noServer,

		"server login has been failing, try again later (server_login_retry)": noServer,

		"transaction blocks not allowed in statement pooling mode": "takes no transactions",
		"unsupported startup parameter: search_path":               "what the URL asks for",
	} {
		what, cure := refusal(config, &pgconn.PgError{Code: codeProtocol, Message: message})
		if !strings.Contains(what, want) || cure == "" {
			t.Errorf("%s: %s; %s; want %s", message, what, cure, want)
		}
	}
	for version, good := range map[int]bool{130014: false, 140000: true, 180001: true} {
		if err := checkVersion(version); (err == nil) != good {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
