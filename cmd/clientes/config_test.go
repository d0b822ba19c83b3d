package main

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// faultsIn returns what a command prints of a configuration that it refuses.
func faultsIn(stderr string) string {
	return regexp.MustCompile(`(?s)clientes: the configuration has to be corrected:\n.*`).
		FindString(stderr)
}

// What config accepts, serve accepts, and the other way round, with the same words.
func TestConfigAndServeAgree(t *testing.T) {
	const url = "PUBLIC_URL=https://api.example.com"
	files := map[string]string{
		"words.txt":  "clientes\nflores\n",
		"empty.txt":  "",
		"mixed.txt":  "0000000000000000000000000000000000000000:1\nflores\n",
		"secret.txt": goodSecret + "\n",
		"url.txt":    "\ufeffsqlite:clientes.db\r\n",
	}
	good := [][]string{
		{},
		{url},
		{"PASSWORD_DENYLIST=words.txt\n"},
		{"SECRET=", "SECRET_FILE=secret.txt"},
		{"DATABASE_URL=sqlite:clientes.db\n"},
		{"DATABASE_URL_FILE=url.txt"},
		{"HOST=localhost"},
		{"HOST=LOCALHOST "},
		{"HOST=0.0.0.0", url},
		{"HOST=0.0.0.0"},
		{"CORS_ORIGINS=capacitor://localhost, app://."},
		{"METRICS_ADDR=localhost:0"},
		{"METRICS_ADDR=[::1]:0 "},
		{"TRUSTED_PROXIES=10.0.0.0/8 192.0.2.7,::1"},
		{"SMTP_URL=smtp://mailpit:1025?tls=none", "MAIL_FROM=Clientes <no-reply@example.com>"},
		{"TOKEN_TTL=300s ", "REQUIRE_IF_MATCH=Yes", "LOG_LEVEL=INFO", "SIGNUP=Open"},
		{"SECRET=" + `"` + goodSecret + `"`},
	}
	bad := [][]string{
		{"SECRET="},
		{"SECRET=" + strings.Repeat("a", 32)},
		{"SECRET=$(head -c 32 /dev/urandom | base64)"},
		{"PASSWORD_DENYLIST=absent.txt"},
		{"PASSWORD_DENYLIST=empty.txt"},
		{"PASSWORD_DENYLIST=mixed.txt"},
		{"PASSWORD_DENYLIST=."},
		{"HOST=192.0.2.1"}, // of nobody, RFC 5737
		{"HOST=nowhere.invalid"},
		{"HOST=x86_64-conda-linux-gnu"},
		{"HOST=[::1]"},
		{"PORT=tcp://10.0.0.1:3000"},
		{"DATABASE_URL=postgres://h/d?sslmode=verify-full&sslrootcert=absent.pem"},
		{"DATABASE_URL=clientes.db"},
		{"SMTP_URL=smtp://h:465", "MAIL_FROM=c@example.com"},
		{"SMTP_URL=smtp://h"},
		{"TOKEN_TTL=300", "SESSION_MAX=30d"},
		{"SESSION_IDLE=2h", "SESSION_MAX=1h"},
		{"CORS_ORIGINS=https://app.example.com/"},
		{"METRICS_ADDR=9090"},
		{"METRICS_ADDR=192.0.2.1:9090"},
		{"METRICS_ADDR=nowhere.invalid:9090"},
		{"METRICS_ADDR=127.0.0.1:3000"},
		{"TRUSTED_PROXIES=loopback"},
		{url + "/v1"},
		{"LOG_FORMAT=xml", "LOG_LEVEL=verbose", "REQUIRE_IF_MATCH=2"},
		{"ROOT_SECRET=" + goodSecret},
	}
	for _, vars := range good {
		t.Run(strings.Join(vars, " "), func(t *testing.T) {
			inFolder(t, files)
			vars = append([]string{"SECRET=" + goodSecret}, vars...)
			if r := call(t, varsOf(vars), "", "config"); r.status != 0 {
				t.Errorf("config says %s", r.stderr)
			}
			launch(t, vars, "serve")
		})
	}
	for _, vars := range bad {
		t.Run(strings.Join(vars, " "), func(t *testing.T) {
			inFolder(t, files)
			vars := varsOf(append([]string{"SECRET=" + goodSecret}, vars...))
			asked, tried := call(t, vars, "", "config"), call(t, vars, "", "serve")
			said := faultsIn(asked.stderr)
			if asked.status != 1 || tried.status != 1 || said == "" ||
				faultsIn(tried.stderr) != said {
				t.Errorf("config ended with %d: %s\nserve ended with %d: %s",
					asked.status, asked.stderr, tried.status, tried.stderr)
			}
			made, err := os.ReadDir(".")
			authtest.Must(t, err)
			if len(made) != len(files) {
				t.Errorf("a start that failed made files: %v", made)
			}
		})
	}
}

// varsOf returns an environment as a map.
func varsOf(environ []string) map[string]string {
	vars := make(map[string]string)
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	return vars
}

// Whatever a .env of other programs refers to, config and serve read alike. The C1 case.
func TestConfigReadsReferences(t *testing.T) {
	inFolder(t, map[string]string{
		".env": "SECRET=" + goodSecret + "\nPORT=${APP_PORT}\nHOST=${BIND}\n",
	})
	call(t, nil, "", "config").
		want(t, 1, "", ".env line 2: the value of PORT has a $ before a name that no line above it")
	shown := call(t, map[string]string{"APP_PORT": "8080", "BIND": "0.0.0.0"}, "", "config")
	for _, row := range []string{
		`(?m)^PORT +8080 +\.env$`, `(?m)^HOST +0\.0\.0\.0 +\.env$`,
		`(?m)^PUBLIC_URL +http://localhost:8080 +default$`,
	} {
		if shown.status != 0 || !regexp.MustCompile(row).MatchString(shown.stdout) {
			t.Errorf("status %d: %s%s", shown.status, shown.stdout, shown.stderr)
		}
	}
}

// A platform that sets PORT alone cannot reach the server, and its log says so. The P1 case.
func TestStartHints(t *testing.T) {
	const loopback = "PORT comes from the environment and HOST is not set"
	const public = "PUBLIC_URL is not set: links in mail lead to localhost"
	free, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	free.Close()
	_, port, err := net.SplitHostPort(free.Addr().String())
	authtest.Must(t, err)
	for _, test := range []struct {
		environ []string
		want    []string
	}{
		{[]string{"PORT=" + port}, []string{loopback}},
		{[]string{"PORT=" + port, "HOST=127.0.0.1"}, nil},
		{[]string{"PORT=" + port, "HOST=0.0.0.0"}, []string{public}},
		{[]string{"PORT=" + port, "HOST=0.0.0.0", "PUBLIC_URL=https://a.example"}, nil},
		{[]string{"SMTP_URL=smtp://mailpit:1025?tls=none", "MAIL_FROM=c@example.com"},
			[]string{"SMTP_URL has tls=none"}},
	} {
		secretIn(t)
		s := launch(t, test.environ, "serve")
		s.wantReady(t)
		s.signal(t)
		s.wait()
		for _, hint := range []string{loopback, public, "SMTP_URL has tls=none"} {
			got := strings.Contains(s.stderr.String(), hint)
			if got != slices.Contains(test.want, hint) {
				t.Errorf("%q: %q: %t, log %s", test.environ, hint, got, s.stderr.String())
			}
		}
	}
}

// A shell of conda or csh must not lead a newcomer astray. The P2 case.
func TestQuickstartInOtherShells(t *testing.T) {
	own, err := os.Hostname()
	authtest.Must(t, err)
	hosts := []string{"x86_64-conda-linux-gnu", "arm64-apple-darwin20.0.0"}
	if own != "localhost" {
		hosts = append(hosts, own)
	}
	for _, host := range hosts {
		inFolder(t, nil)
		r := call(t, map[string]string{"HOST": host, "PORT": "0"}, "", "quickstart")
		r.want(t, 1, "", "comes from the environment, where")
		if made, _ := os.ReadDir("."); len(made) > 0 {
			t.Errorf("%s: it made %v", host, made)
		}
	}
}
