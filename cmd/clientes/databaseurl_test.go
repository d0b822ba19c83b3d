package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
)

// F5: the input of the case is a PgBouncer in transaction mode with three connections, and a URL
// that says nothing of it.
func TestAPoolerInTransactionMode(t *testing.T) {
	t.Parallel()
	c := postgrestest.Start(t)
	f := newFleet(t, 1, c.Pooler(t, 3)(c.Database(t)))
	f.addUser(t, "ana")
	s := f.on(0)
	s.wantReady(t)
	for range 3 {
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				password := goodPassword
				if n%4 == 3 {
					password = "a wrong password"
				}
				a, err := f.do(t.Context(), "POST", s.url("/login"), "", loginBody{"ana", password})
				// Many at once are throttled, or find the hasher busy. Neither is the database.
				if err != nil || a.status == 500 || a.is(503, "store_unavailable") {
					t.Errorf("login %d: %v %v", n, a, err)
				}
				resp, err := http.Get(s.url("/readyz"))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("/readyz answers %d", resp.StatusCode)
				}
			})
		}
		all.Wait()
	}
	if n := strings.Count(s.stderr.String(), "a pooler in transaction mode"); n != 1 {
		t.Errorf("%d lines of the pooler: %s", n, s.stderr.String())
	}
}

// B and G3: what a command says of a database that it cannot open. It is one sentence, the cause
// comes first and once, and no piece of the password is in it.
func TestWhatIsSaidOfADatabaseThatCannotBeOpened(t *testing.T) {
	inFolder(t, nil)
	for _, test := range []struct{ name, url, want string }{
		{"B1 at sign", "postgres://app:Summer@GardenQuiz@127.0.0.1:1/app",
			"write @ in the password as %40"},
		{"at sign in Prisma's URL", "postgresql://app:Summer@GardenQuiz@127.0.0.1:1/app?schema=public",
			"write @ in the password as %40"},
		{"slash", "postgres://app:Summer/GardenQuiz@127.0.0.1:1/app", "as %2F"},
		{"of SQLAlchemy", "postgresql+asyncpg://app:Summer@GardenQuiz@127.0.0.1:1/app", "as %40"},
		{"keywords", "host=127.0.0.1 user=app password=SummerGardenQuiz",
			"postgres://USER:PASSWORD"},
		{"of .NET", "Server=127.0.0.1;User Id=app;Password=SummerGardenQuiz",
			"postgres://USER:PASSWORD"},
		{"psql", "psql 'postgres://app:SummerGardenQuiz@127.0.0.1:1/app'",
			"leave out the command psql"},
		{"quotes", `"postgres://app:SummerGardenQuiz@127.0.0.1:1/app"`,
			"write the value without quotes"},
		{"its own name", "DATABASE_URL=postgres://app:SummerGardenQuiz@127.0.0.1:1/app",
			"own name"},
		{"nobody listens", "postgres://app:SummerGardenQuiz@127.0.0.1:1/app",
			cannotReach + "nothing listens there (user=app database=app host=127.0.0.1:1)"},
		{"C3 hash", "postgres://app:Summer#GardenQuiz@127.0.0.1:1/app",
			cannotReach + "nothing listens there (user=app database=app host=127.0.0.1:1)"},
		{"E1 newline", "postgres://app:SummerGardenQuiz@127.0.0.1:1/app\n",
			cannotReach + "nothing listens there (user=app database=app host=127.0.0.1:1)"},
		{"several hosts", "postgres://app:SummerGardenQuiz@127.0.0.1:1,127.0.0.1:2/app",
			"host=127.0.0.1:1,127.0.0.1:2)"},
		{"no socket", "postgres://app:SummerGardenQuiz@/app?host=/nowhere",
			cannotReach + "there is no such socket"},
		{"no such host", "postgres://app:SummerGardenQuiz@db.invalid/app",
			"there is no host named db.invalid (user=app database=app host=db.invalid:5432)"},
		{"an unknown option", "postgres://app:SummerGardenQuiz@127.0.0.1:1/app?sslmod=require",
			"sslmod, which nobody knows; the nearest known name is sslmode"},
		{"another one", "postgres://app:SummerGardenQuiz@127.0.0.1:1/app?pool_max_con=5",
			"the nearest known name is pool_max_conns"},
	} {
		vars := map[string]string{"DATABASE_URL": test.url, "SECRET": goodSecret}
		migrate, serve, config := call(t, vars, "", "migrate"), call(t, vars, "", "serve"),
			call(t, vars, "", "config")
		for _, r := range []result{migrate, serve} {
			if r.status != 1 || strings.Count(r.stderr, test.want) != 1 ||
				strings.Contains(r.stderr, "TLS") || strings.Contains(r.stderr, "tls") {
				t.Errorf("%s: status %d, %s, want %s", test.name, r.status, r.stderr, test.want)
			}
		}
		// What config accepts, serve accepts, up to the database itself.
		accepts := !strings.Contains(migrate.stderr, "configuration")
		if accepts != (config.status == 0) {
			t.Errorf("%s: config ends with %d, but migrate says %s", test.name, config.status,
				migrate.stderr)
		}
		all := migrate.stderr + serve.stderr + config.stderr + config.stdout
		for _, piece := range []string{"Summ", "mmer", "Gard", "Quiz"} {
			if strings.Contains(all, piece) {
				t.Errorf("%s: %s is in %s", test.name, piece, all)
			}
		}
	}
}

const cannotReach = "the server of the database cannot be reached: "

// G3: a server that asks for a password. Its users come with URLs of other programs.
func TestAServerThatAsksForAPassword(t *testing.T) {
	inFolder(t, nil)
	addr := askForPassword(t, "v", "pa#ss@w/rd")
	for _, test := range []struct{ name, url, want string }{
		{"G3 wrong password", "postgres://v:wrong@" + addr + "/postgres",
			"the password of user v is wrong"},
		{"no password", "postgres://v@" + addr + "/postgres", "there is none"},
		{"no such database", "postgres://v:pa#ss%40w%2Frd@" + addr + "/nowhere",
			"there is no database named nowhere"},
		{"TLS that is required", "postgres://v:wrong@" + addr + "/postgres?sslmode=require",
			"offers no TLS, which sslmode requires"},
		{"a value of a setting", "postgres://v:pa#ss%40w%2Frd@" + addr +
			"/postgres?work_mem=lots",
			"does not take an option of the URL"},
		{"a setting of an extension", "postgres://v:pa#ss%40w%2Frd@" + addr +
			"/postgres?a.b=c", ""},
		{"E1 newline", "postgres://v:pa#ss%40w%2Frd@" + addr + "/postgres\n", ""},
		{"F1 Prisma", "postgresql://v:pa#ss%40w%2Frd@" + addr +
			"/postgres?schema=public", ""},
		{"F3 libpq", "postgres://v:pa#ss%40w%2Frd@" + addr +
			"/postgres?gssencmode=disable&keepalives=1", ""},
		{"F4 node-postgres", "postgres://v:pa#ss%40w%2Frd@" + addr +
			"/postgres?uselibpqcompat=true", ""},
		{"JDBC", "jdbc:postgresql://" + addr + "/postgres?user=v&password=pa%23ss%40w%2Frd",
			""},
	} {
		vars := map[string]string{"DATABASE_URL": test.url, "SECRET": goodSecret}
		r := call(t, vars, "", "migrate")
		if test.want == "" {
			config := call(t, vars, "", "config")
			if r.status != 0 || config.status != 0 {
				t.Errorf("%s: %s%s", test.name, r.stderr, config.stderr)
			}
			continue
		}
		first := strings.TrimPrefix(r.stderr, "clientes: migrate the database: ")
		before, _, _ := strings.Cut(first, "(")
		if r.status != 1 || !strings.Contains(before, test.want) ||
			strings.Contains(r.stderr, "tls") {
			t.Errorf("%s: status %d, %s, want %s", test.name, r.status, r.stderr, test.want)
		}
		for _, secret := range []string{"wrong@", "pa#ss", "w/rd", "w%2Frd"} {
			if strings.Contains(r.stderr, secret) {
				t.Errorf("%s tells of the password: %s", test.name, r.stderr)
			}
		}
	}
}

// askForPassword starts a server that lets a user in only with a password, and returns its address.
func askForPassword(t *testing.T, user, password string) (addr string) {
	t.Helper()
	c := postgrestest.Start(t)
	conn, err := postgrestest.Connect(t.Context(), c.URL)
	authtest.Must(t, err)
	defer conn.Close(t.Context())
	file := ""
	authtest.Must(t, conn.QueryRow(t.Context(), "SHOW hba_file").Scan(&file))
	for _, statement := range []string{
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", user, password),
		"GRANT CREATE ON SCHEMA public TO " + user,
		fmt.Sprintf("COPY (VALUES ('local all %s scram-sha-256'), ('local all all trust')) TO '%s'",
			user, file),
		"SELECT pg_reload_conf()",
	} {
		_, err := conn.Exec(t.Context(), statement)
		authtest.Must(t, err)
	}
	_, through := postgrestest.NewCable(t, c.URL)
	u, err := url.Parse(through)
	authtest.Must(t, err)
	// The server reads the file in its own time.
	authtest.Eventually(t, "the server asks for a password", func() bool {
		conn, err := postgrestest.Connect(t.Context(), "postgres://v@"+u.Host+"/postgres")
		if err == nil {
			conn.Close(t.Context())
		}
		return err != nil
	})
	return u.Host
}
