package doctor

import (
	"context"
	"io"
	"log"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

const (
	goodSecret  = "7c1e9b04f3a85d2660ba7e4f91d3c852"
	otherSecret = "d2946f0b8ae15c7739f0e2b56418ca7d"
)

// settingsOf returns the set-up of an environment, and of the files in the working folder. The
// network that it sees is closed.
func settingsOf(t *testing.T, environ map[string]string) Setup {
	t.Helper()
	lookup := func(name string) (string, bool) {
		value, ok := environ[name]
		return value, ok
	}
	c, err := config.Load(lookup, "SECRET")
	return Setup{
		Config: c, Err: c.CheckStart(t.Context(), err), Now: time.Now, Descriptors: 65536,
		Root: t.TempDir(),
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, syscall.ECONNREFUSED
		},
	}
}

// sound is the environment of a server behind a proxy, to which nothing is to be said but that no
// server runs here.
func sound() map[string]string {
	return map[string]string{
		"SECRET": goodSecret, "PUBLIC_URL": "https://api.example.com", "PORT": "0",
		"TRUSTED_PROXIES": "127.0.0.1", "REQUIRE_MFA": "admin",
	}
}

// with returns the sound environment with changes. A value of "" takes a setting away.
func with(changes ...string) map[string]string {
	environ := sound()
	for i := 0; i < len(changes); i += 2 {
		environ[changes[i]] = changes[i+1]
		if changes[i+1] == "" {
			delete(environ, changes[i])
		}
	}
	return environ
}

// want fails the test unless a check has a finding of this level, with this text.
func want(t *testing.T, found []store.Finding, id string, level store.Level, text string) {
	t.Helper()
	var of []store.Finding
	for _, f := range found {
		if (f.Cure == "") != (f.Level == store.LevelOK) {
			t.Errorf("%s is %s with the cure %q", f.ID, f.Level, f.Cure)
		}
		if f.ID == id && f.Level == level && strings.Contains(f.Message+". "+f.Cure, text) {
			return
		}
		if f.ID == id || f.Level != store.LevelOK {
			of = append(of, f)
		}
	}
	t.Errorf("%s is not %s with %q: %q", id, level, text, of)
}

// wantWell fails the test if a check has a finding that is not ok.
func wantWell(t *testing.T, found []store.Finding, id string) {
	t.Helper()
	for _, f := range found {
		if f.ID == id && f.Level != store.LevelOK {
			t.Errorf("after the cure: %q", f)
		}
	}
}

// TestSettings looks at each fault that the settings alone can have, and at what its cure leads to.
func TestSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	const fail, warn = store.LevelFail, store.LevelWarn
	tests := []struct {
		name          string
		faulty, cured map[string]string
		id            string
		level         store.Level
		want          string
	}{
		{"no secret", with("SECRET", ""), sound(), "secret", fail, "openssl rand -hex 32"},
		{"a short secret", with("SECRET", "abc"), sound(), "secret", fail, "openssl rand -hex 32"},
		{"the example of the tutorial", with("SECRET", strings.Repeat("mysecret", 5)), sound(),
			"secret", fail, "a short text, repeated"},
		{"a secret of words", with("SECRET", "correct horse battery staple and some more"), sound(),
			"secret-strength", fail, "SECRETS.md"},
		{"one secret for both", with("ROOT_SECRET", goodSecret), with("ROOT_SECRET", otherSecret),
			"root-secret", fail, "is the same as SECRET"},
		{"an earlier secret", with("SECRET_PREVIOUS", otherSecret), sound(),
			"earlier-secrets", warn, "take it away 720h"},
		{"the secret as an earlier one", with("SECRET_PREVIOUS", goodSecret), sound(),
			"earlier-secrets", warn, "nothing has been replaced"},
		{"an unreadable time", with("TOKEN_TTL", "5"), sound(), "token-ttl", fail,
			"a time with its unit: 5s"},
		{"several faults", with("TOKEN_TTL", "5", "SIGNUP", "maybe"), sound(), "signup", fail,
			"it has to be closed or open"},
		{"the wildcard", with("CORS_ORIGINS", "*"), sound(), "cors-origins", fail, "name each"},

		{"plain http", with("PUBLIC_URL", "http://api.example.com"), sound(), "public-url-scheme",
			fail, "put a proxy with TLS before the server"},
		{"HOST for all, PUBLIC_URL for none",
			with("HOST", "0.0.0.0", "PUBLIC_URL", "http://localhost:3000", "TRUSTED_PROXIES", ""),
			with("PUBLIC_URL", "http://localhost:3000", "TRUSTED_PROXIES", ""),
			"public-url-scheme", warn, "or HOST to 127.0.0.1"},
		{"HOST for all, no PUBLIC_URL", with("HOST", "0.0.0.0", "PUBLIC_URL", ""), sound(),
			"public-url-scheme", warn, "set PUBLIC_URL to what browsers use"},
		{"another port", with("PUBLIC_URL", "http://localhost:3001", "PORT", "3999"),
			with("PUBLIC_URL", "http://localhost:3999", "PORT", "3999"),
			"public-url-scheme", warn, "the port 3999"},
		{"an address to listen on", with("PUBLIC_URL", "https://0.0.0.0"), sound(),
			"public-url-scheme", warn, "links in mail lead nowhere"},

		{"pages of another site", with("CORS_ORIGINS", "https://app.other.com"),
			with("CORS_ORIGINS", "https://app.example.com"), "cookies", warn, "SameSite=Strict"},
		{"pages of a neighbour's site",
			with("PUBLIC_URL", "https://a.github.io", "CORS_ORIGINS", "https://b.github.io"),
			with("PUBLIC_URL", "https://a.github.io", "CORS_ORIGINS", "capacitor://localhost"),
			"cookies", warn, "of another site"},
		{"pages of another site, over http", with("CORS_ORIGINS", "http://app.other.com"), sound(),
			"cors", warn, "plain http"},
		{"pages over http", with("CORS_ORIGINS", "http://app.example.com"),
			with("CORS_ORIGINS", "https://app.example.com"), "cors", warn, "over https"},
		{"pages of this machine", with("CORS_ORIGINS", "http://localhost:5173"),
			with("CORS_ORIGINS", "http://localhost:5173", "PUBLIC_URL", "http://localhost:3000"),
			"cors", warn, "any program on the machine of a user"},
		{"its own pages", with("CORS_ORIGINS", "https://api.example.com"), sound(), "cors", warn,
			"take it away"},

		{"no proxy is trusted", with("TRUSTED_PROXIES", ""), sound(), "proxy", fail,
			"set TRUSTED_PROXIES"},
		{"another proxy is trusted", with("TRUSTED_PROXIES", "192.0.2.1"),
			with("TRUSTED_PROXIES", "192.0.2.1,127.0.0.1"), "proxy", fail,
			"add 127.0.0.1 to TRUSTED_PROXIES"},
		{"everybody is trusted", with("TRUSTED_PROXIES", "0.0.0.0/0"), sound(), "proxy", fail,
			"chooses the address"},
		{"everybody is trusted, IPv6", with("TRUSTED_PROXIES", "127.0.0.1,::/0"), sound(), "proxy",
			fail, "::/0"},
		{"strangers are trusted", with("TRUSTED_PROXIES", "127.0.0.1,8.0.0.0/8"), sound(), "proxy",
			fail, "strangers have addresses"},
		{"everybody is trusted, in halves",
			with("TRUSTED_PROXIES", "127.0.0.1,0.0.0.0/1,128.0.0.0/1"), sound(), "proxy", fail,
			"has 0.0.0.0/1, in which strangers"},
		{"a private network and strangers are trusted",
			with("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/7"), sound(), "proxy", fail, "strangers"},
		{"half a private network is trusted", with("TRUSTED_PROXIES", "127.0.0.1,10.128.0.0/9"),
			with("TRUSTED_PROXIES", "127.0.0.1,10.128.0.0/16,172.18.0.0/16,192.168.3.0/24"),
			"proxy", warn, "a whole private network"},
		{"a private network of IPv6 is trusted", with("TRUSTED_PROXIES", "127.0.0.1,fd00::/8"),
			with("TRUSTED_PROXIES", "127.0.0.1,fd12:3456:789a::/48"), "proxy", warn,
			"a whole private network"},
		{"a proxy by its name", with("TRUSTED_PROXIES", "proxy.example.com"), sound(),
			"trusted-proxies", fail, "it has to be networks such as"},
		{"a private network is trusted", with("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8"),
			with("TRUSTED_PROXIES", "127.0.0.1,10.0.3.7,10.1.0.0/24"), "proxy", warn,
			"a whole private network"},

		{"sign-up without mail", with("SIGNUP", "open"), sound(), "signup-mail", warn,
			"or SIGNUP=closed"},
		{"admins without a second factor", with("REQUIRE_MFA", ""), sound(), "mfa", warn,
			"REQUIRE_MFA=admin"},
		{"no mail", sound(), map[string]string{"SECRET": goodSecret, "PORT": "0"}, "mail", warn,
			"set SMTP_URL and MAIL_FROM"},
		{"metrics for all", with("METRICS_ADDR", "0.0.0.0:9090"),
			with("METRICS_ADDR", "127.0.0.1:9090"),
			"metrics", warn, "without a login"},
		{"an option of another program",
			with("DATABASE_URL", "postgres://u:p@localhost/d?connection_limit=5"),
			with("DATABASE_URL", "postgres://u:p@localhost/d?pool_max_conns=5"),
			"database-url", warn, "write pool_max_conns=5 instead"},
		{"an option that nobody needs",
			with("DATABASE_URL", "postgres://u:p@localhost/d?datestyle=German"), sound(),
			"database-url", warn, "take it out of DATABASE_URL"},
		{"a certificate that is not there",
			with("DATABASE_URL", "postgres://u:p@localhost/d?sslrootcert=/none.pem&sslmode=verify-full"),
			sound(), "database-url", fail, "correct what it names"},
		{"a slow stop", with("SHUTDOWN_TIMEOUT", "1m"), sound(), "shutdown", warn,
			"terminationGracePeriodSeconds"},
		{"a sudden stop", with("SHUTDOWN_TIMEOUT", "0s"), sound(), "shutdown", warn,
			"set it to 20s"},
		{"the platform chose the port", map[string]string{"SECRET": goodSecret, "PORT": "3998"},
			map[string]string{"SECRET": goodSecret, "PORT": "3998", "HOST": "127.0.0.1"},
			"listener", warn, "set HOST=0.0.0.0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			faulty, cured := settingsOf(t, test.faulty), settingsOf(t, test.cured)
			want(t, Examine(t.Context(), faulty), test.id, test.level, test.want)
			wantWell(t, Examine(t.Context(), cured), test.id)
		})
	}
	for _, f := range Examine(t.Context(), settingsOf(t, sound())) {
		if f.Level != store.LevelOK && f.ID != "public-url-reach" && f.ID != "mail" {
			t.Errorf("the sound set-up: %q", f)
		}
	}
}

// TestFiles looks at who can read the files of the settings.
func TestFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	const id = "secret-files"
	authtest.Must(t, os.WriteFile(".env", []byte("SECRET="+goodSecret+"\n"), 0o644))
	want(t, Examine(t.Context(), settingsOf(t, nil)), id, store.LevelFail, "chmod 600 .env")
	authtest.Must(t, os.Chmod(".env", 0o666))
	want(t, Examine(t.Context(), settingsOf(t, nil)), "env-file", store.LevelFail, "chmod 600 "+
		".env")
	authtest.Must(t, os.Chmod(".env", 0o600))
	want(t, Examine(t.Context(), settingsOf(t, nil)), id, store.LevelOK, "")

	authtest.Must(t, os.WriteFile("secret", []byte(goodSecret), 0o644))
	authtest.Must(t, os.WriteFile(".env", []byte("SECRET_FILE=secret\nNOBODY=1\n"), 0o600))
	found := Examine(t.Context(), settingsOf(t, nil))
	want(t, found, id, store.LevelFail, "chmod 600")
	want(t, found, "env-file", store.LevelWarn, "nobody knows NOBODY")
	authtest.Must(t, os.Chmod("secret", 0o600))
	want(t, Examine(t.Context(), settingsOf(t, nil)), id, store.LevelOK, "")

	if os.Geteuid() == 0 {
		authtest.Must(t, os.Chown("secret", 4242, 4242))
		want(t, Examine(t.Context(), settingsOf(t, nil)), id, store.LevelWarn, "the user 4242")
		authtest.Must(t, os.Chown("secret", 0, 0))
		want(t, Examine(t.Context(), settingsOf(t, nil)), id, store.LevelOK, "")
	}

	authtest.Must(t, os.WriteFile(".env", []byte("SECRET='\n"), 0o600))
	found = Examine(t.Context(), settingsOf(t, nil))
	want(t, found, "env-file", store.LevelFail, ".env line 1")
	want(t, found, "temporary-files", store.LevelOK, "") // and everything else is looked at
}

// TestTemporaryFiles looks at the folder for temporary files.
func TestTemporaryFiles(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "none")
	t.Setenv("TMPDIR", folder)
	const id = "temporary-files"
	want(t, temporary(t.Context(), Setup{}), id, store.LevelFail, "set TMPDIR")
	authtest.Must(t, os.Mkdir(folder, 0o700))
	want(t, temporary(t.Context(), Setup{}), id, store.LevelOK, folder)
	files, err := os.ReadDir(folder)
	if err != nil || len(files) > 0 {
		t.Errorf("it made %v, %v", files, err)
	}
}

// TestDatabaseIsExamined checks that the findings of the engine are among the others, and that it
// is not called with a URL that has a fault.
func TestDatabaseIsExamined(t *testing.T) {
	t.Chdir(t.TempDir())
	for url, called := range map[string]bool{"sqlite:x.db": true, "mysql://x": false} {
		s := settingsOf(t, with("DATABASE_URL", url))
		s.Database = func(_ context.Context, given string) []store.Finding {
			if given != url {
				t.Errorf("called with %s", given)
			}
			const message = "there\nare some\x1b"
			return []store.Finding{{ID: "tables", Level: store.LevelOK, Message: message}}
		}
		found := Examine(t.Context(), s)
		if called {
			want(t, found, "tables", store.LevelOK, "there are some")
		} else {
			want(t, found, "database-url", store.LevelFail, "has to begin with sqlite: or "+
				"postgres://")
		}
	}
}

// group writes the files of a control group and returns the folder that has them.
func group(t *testing.T, self string, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{"/proc/self/cgroup": self}
	maps.Copy(all, files)
	for name, text := range all {
		name = filepath.Join(root, name)
		authtest.Must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		authtest.Must(t, os.WriteFile(name, []byte(text), 0o600))
	}
	return root
}

// TestLimits looks at control groups of both versions, and at descriptors.
func TestLimits(t *testing.T) {
	const (
		second = "0::/app.slice/x\n"
		first  = "4:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n1:cpu:/docker/x\n0::/\n"
		folder = "/sys/fs/cgroup/app.slice/"
	)
	tests := []struct {
		name, self string
		files      map[string]string
		goLimit    int64
		procs      int
		id         string
		level      store.Level
		want       string
	}{
		{"no group", "", nil, math.MaxInt64, 2, "memory", store.LevelOK, "no limit"},
		{"no limit", second, map[string]string{folder + "memory.max": "max\n"}, math.MaxInt64, 2,
			"memory", store.LevelOK, "no limit"},
		{"little memory", second, map[string]string{folder + "memory.max": "67108864\n"},
			math.MaxInt64, 2, "memory", store.LevelFail, "64 MiB"},
		{"little memory above", second, map[string]string{
			folder + "x/memory.max": "max\n", "/sys/fs/cgroup/app.slice/memory.max": "67108864\n"},
			math.MaxInt64, 2, "memory", store.LevelFail, "64 MiB"},
		{"little memory, version 1", first, map[string]string{
			"/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "67108864\n"},
			math.MaxInt64, 2, "memory", store.LevelFail, "64 MiB"},
		{"little memory, version 1 in a container", first, map[string]string{
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "67108864\n"},
			math.MaxInt64, 2, "memory", store.LevelFail, "64 MiB"},
		{"no limit, version 1", first, map[string]string{
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"},
			math.MaxInt64, 2, "memory", store.LevelOK, "no limit"},
		{"Go does not know", second, map[string]string{folder + "memory.max": "268435456\n"},
			math.MaxInt64, 2, "memory", store.LevelWarn, "GOMEMLIMIT=128MiB"},
		{"Go knows", second, map[string]string{folder + "memory.max": "268435456\n"},
			128 * mib, 2, "memory", store.LevelOK, "256 MiB"},
		{"much memory", second, map[string]string{folder + "memory.max": "2147483648\n"},
			math.MaxInt64, 2, "memory", store.LevelOK, "2048 MiB"},
		{"a low GOMEMLIMIT", "", nil, 10 * mib, 2, "memory", store.LevelWarn,
			"GOMEMLIMIT is 10 MiB"},

		{"no quota", second, map[string]string{folder + "cpu.max": "max 100000\n"}, 0, 2,
			"processors", store.LevelOK, "no limit"},
		{"half a processor", second, map[string]string{folder + "cpu.max": "50000 100000\n"}, 0, 2,
			"processors", store.LevelWarn, "0.50 of a processor: a login takes 60 ms"},
		{"half a processor, version 1", first, map[string]string{
			"/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us":  "50000\n",
			"/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n"}, 0, 2,
			"processors", store.LevelWarn, "0.50"},
		{"no quota, version 1", first, map[string]string{
			"/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us":  "-1\n",
			"/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n"}, 0, 2,
			"processors", store.LevelOK, "no limit"},
		{"too many processors", second,
			map[string]string{folder + "cpu.max": "200000 100000\n"}, 0, 8,
			"processors", store.LevelWarn, "unset GOMAXPROCS"},
		{"two processors", second, map[string]string{folder + "cpu.max": "200000 100000\n"}, 0, 2,
			"processors", store.LevelOK, "2.00"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := group(t, test.self, test.files)
			found := memory(root, test.goLimit, test.procs)
			if test.id == "processors" {
				found = processors(root, test.procs)
			}
			want(t, found, test.id, test.level, test.want)
		})
	}
	for n, level := range map[uint64]store.Level{
		100: store.LevelFail, 1024: store.LevelWarn, 65536: store.LevelOK,
	} {
		want(t, limits(t.Context(), Setup{Descriptors: n}), "descriptors", level, "")
	}
}

// TestListener looks at what listens where the server would.
func TestListener(t *testing.T) {
	t.Chdir(t.TempDir())
	const id = "listener"
	answer := ""
	status := http.StatusOK
	other := httptest.NewUnstartedServer(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, answer)
		}))
	other.Config.ErrorLog = log.New(io.Discard, "", 0)
	other.Start()
	_, port, err := net.SplitHostPort(other.Listener.Addr().String())
	authtest.Must(t, err)
	look := func() []store.Finding {
		s := settingsOf(t, map[string]string{
			"SECRET": goodSecret, "PORT": port, "HOST": "127.0.0.1",
		})
		s.Dial = nil
		return listener(t.Context(), s)
	}
	answer = "<html>"
	want(t, look(), id, store.LevelFail, "another program listens")
	answer, status = `{"code":"store_unavailable","message":"The check failed."}`, 503
	want(t, look(), id, store.LevelFail, "is not ready: The check failed.")
	answer, status = `{"status":"ok"}`, 200
	want(t, look(), id, store.LevelOK, "is ready")

	monitored := settingsOf(t, with("METRICS_ADDR", "127.0.0.1:"+port))
	monitored.Dial = nil
	want(t, metrics(t.Context(), monitored), "metrics", store.LevelFail, "another program listens")
	answer = "clientes_build_info 1"
	want(t, metrics(t.Context(), monitored), "metrics", store.LevelOK, "")
	other.Close()
	want(t, metrics(t.Context(), monitored), "metrics", store.LevelOK, "")
	want(t, look(), id, store.LevelOK, "no server runs")
}

// TestPublicURLReach looks where PUBLIC_URL leads.
func TestPublicURLReach(t *testing.T) {
	t.Chdir(t.TempDir())
	const id = "public-url-reach"
	answer, status := `{"status":"ok"}`, http.StatusOK
	there := httptest.NewTLSServer(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://www.example.com/")
			if status < 300 || status > 399 {
				w.Header().Del("Location")
			}
			w.WriteHeader(status)
			io.WriteString(w, answer)
		}))
	defer there.Close()
	there.Config.ErrorLog = log.New(io.Discard, "", 0)
	s := settingsOf(t, with("PUBLIC_URL", "https://example.com")) // which its certificate has
	want(t, Examine(t.Context(), s), id, store.LevelWarn, "connection refused")
	s.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, there.Listener.Addr().String())
	}
	want(t, publicURL(t.Context(), s), id, store.LevelWarn, "signed by an authority that "+
		"clients trust")
	s.RootCAs = there.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	want(t, publicURL(t.Context(), s), id, store.LevelOK, "which is ready")
	answer = "hello"
	want(t, publicURL(t.Context(), s), id, store.LevelWarn, "no server of clientes")
	status = http.StatusBadGateway
	want(t, publicURL(t.Context(), s), id, store.LevelWarn, "start the server")
	status = http.StatusFound
	want(t, publicURL(t.Context(), s), id, store.LevelWarn, "leads to https://www.example.com/")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	s.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, plain.Listener.Addr().String())
	}
	want(t, publicURL(t.Context(), s), id, store.LevelWarn, "nothing speaks TLS at this port")
	s = settingsOf(t, with("PUBLIC_URL", "https://nobody.invalid"))
	s.Dial = nil
	want(t, publicURL(t.Context(), s), id, store.LevelWarn, "DNS")
}

// contextThatEnds returns a context that has ended, for checks that would connect to strangers.
func contextThatEnds(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

// wantNoSecret fails the test if a finding has one of the secrets of the tests in it.
func wantNoSecret(t *testing.T, found []store.Finding) {
	t.Helper()
	for _, f := range found {
		for _, secret := range []string{
			goodSecret, otherSecret, "letmein", "wrong-one", "postbox", "hunter2", "correct horse",
		} {
			if strings.Contains(f.Message+f.Cure, secret) {
				t.Errorf("a secret is in %q", f)
			}
		}
	}
}

// TestFindingsHaveNoSecrets puts secrets everywhere, also where they make a fault.
func TestFindingsHaveNoSecrets(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, environ := range []map[string]string{
		with("SECRET_PREVIOUS", otherSecret, "ROOT_SECRET", otherSecret,
			"DATABASE_URL", "postgres://postbox:hunter2@192.0.2.1/x?sslmode=maybe",
			"SMTP_URL", "smtp://postbox:hunter2@192.0.2.1:1025?tls=none"),
		with("SECRET", "correct horse battery staple and some more words",
			"SMTP_URL", "postbox:hunter2@x",
			"HOST", "postgres://postbox:hunter2@x", "PUBLIC_URL", "https://postbox:hunter2@x",
			"CORS_ORIGINS", "https://postbox:hunter2@x",
			"TRUSTED_PROXIES", "https://postbox:hunter2@x", "DATABASE_URL", "password=hunter2",
			"PASSWORD_DENYLIST", "postgres://postbox:hunter2@x"),
		with("METRICS_ADDR", "postgres://postbox:hunter2@x", "MAIL_FROM", "postbox:hunter2@x",
			"SIGNUP", "postbox:hunter2@x", "SHUTDOWN_TIMEOUT", "postbox:hunter2@x"),
		with("SECRET", goodSecret[:31], "ROOT_SECRET", goodSecret[:31]+" "),
	} {
		found := Examine(t.Context(), settingsOf(t, environ))
		wantNoSecret(t, found)
		for _, f := range found {
			if strings.Contains(f.Message+f.Cure, goodSecret[:31]) {
				t.Errorf("a secret is in %q", f)
			}
		}
	}
}
