package postgres_test

import (
	"strings"
	"testing"

	"clientes/store/postgres"
)

func TestUnverifiedHosts(t *testing.T) {
	t.Setenv("PGSSLMODE", "") // and so this test is not parallel
	for url, want := range map[string]string{
		"postgres://u:p@127.0.0.1/d":                      "",
		"postgres://u:p@[::1]:5433/d":                     "",
		"postgres://u:p@localhost/d":                      "",
		"postgres:///d?host=/var/run/postgresql":          "",
		"postgres://u:p@postgres/d":                       "postgres",
		"postgres://u:p@db.example.com/d":                 "db.example.com",
		"postgres://u:p@db.example.com/d?sslmode=disable": "db.example.com",
		"postgres://u:p@db.example.com/d?sslmode=allow":   "db.example.com",
		"postgres://u:p@db.example.com/d?sslmode=require": "db.example.com",
		"postgres://u:p@10.1.2.3,127.0.0.1,db2/d":         "10.1.2.3 db2",

		"postgres://u:p@db.example.com/d?sslmode=verify-ca":       "",
		"postgres://u:p@db.example.com,db2/d?sslmode=verify-full": "",
		"postgres://u:p@h/d?sslmode=maybe":                        "", // no URL that opens
	} {
		if got := strings.Join(postgres.UnverifiedHosts(url), " "); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// What is shown of a URL, and said of a bad one, never holds the password.
func TestMaskURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgresql://u:hunter2@h:5432,h2:5433/d?pool_max_conns=3": "" +
			"postgresql://u:***@h:5432,h2:5433/d?pool_max_conns=3",

		"postgres://h/d":                                    "postgres://h/d",
		"postgres://hunter2:hunter2x@h/d":                   "postgres://hunter2:***@h/d",
		"postgresql://u:hunter2@h:5432,h2:5433/d?sslmode=x": "(hidden)",
		"postgres://u:hunt%40er2@h":                         "postgres://u:***@h",
		"postgres://u:?hunter2@h/d":                         "postgres://u:***@h/d",
		"postgres://u@h/d":                                  "postgres://u@h/d",
		"postgres://h/d?user=u&password=hunter2":            "postgres://h/d?user=u&password=***",
		"postgres://h/d?p%61ssword=hunter2":                 "postgres://h/d?p%61ssword=***",
		"postgres://u:hunt@er2@h/d":                         "(hidden)",
		"postgres://u:/hunter2@h/d":                         "(hidden)",
		"postgres://u:12/hunter2@h/d":                       "(hidden)",
		"postgres://u:hunter2%zz@h/d":                       "(hidden)",
		"postgres://u:hunter2\x00@h/d":                      "(hidden)",
		"postgres://u:hunter2@h:port/d":                     "(hidden)",
		"postgres://u:hunter2@h/d?pool_max_conns=x":         "(hidden)",

		"postgres://u:hunter2@h/d?sslmode=x&sslpassword=hunter2": "(hidden)",

		"mysql://u:hunter2@h/d":          "(hidden)",
		"postgres//u:hunter2@h/d":        "(hidden)",
		"host=h user=u password=hunter2": "(hidden)",
	} {
		if got := postgres.MaskURL(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
		err := postgres.CheckURL(url)
		if err != nil && (strings.Contains(err.Error(), "hunt") ||
			strings.Contains(err.Error(), "er2")) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://h/d":                         "",
		"postgresql://u:p@h1,h2:5433/d":          "",
		"postgres://h/d?user=u@example.com":      "", // the name of a role in some clouds
		"mysql://h/d":                            "has to be of the form postgres://",
		"postgres://h/d?pool_max_conns=0":        "driver takes: pool_max_conns too small",
		"postgresql://h/d?sslmode=perhaps":       "driver takes: failed to configure TLS",
		"postgres://u:hunt@er2@h/d":              "write @ in the password as %40",
		"postgres://u:12/hunter2@h/d":            "write / in the password as %2F",
		"postgres://u:p#w@h/d":                   "", // as libpq takes it
		"postgres://u:p%zz@h/d?pool_max_conns=0": "write it as %25",

		"postgres://u@server:p@server.example.com/d":    "for the user name (user@server on Azure)",
		"postgres://u:[YOUR-PASSWORD]@h/d":              "put it there, without the brackets",
		"postgres://u:<password>@h/d":                   "put it there, without the brackets",
		"postgres://u:[p]@h/d":                          "",
		"postgres://h/d&sslmode=require":                "they begin with ?",
		"postgres://h/d;sslmode=require":                "they begin with ?",
		"postgres://u:p@https://h/d":                    "the beginning of another URL",
		"postgres://h/d?sslmode=VERIFY_FULL":            "",
		"postgres://h/d?ssl-mode=VERIFY_FULL":           "",
		"postgres://h/d?sslmode=REQUIRED":               "disable, allow, prefer, require",
		"postgres://h/d?connect_timeout=10s":            "a number of seconds",
		"postgres://h/d?default_query_exec_mode=simple": "simple_protocol",
		"postgres://h/d?password=hunter2&hunt":          "write & there as %26",
		"postgres://h/d?password=p&hunt=1":              "& as %26",
	} {
		err := postgres.CheckURL(url)
		if want == "" && err != nil || want != "" &&
			(err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunt") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
