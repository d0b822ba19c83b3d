package main

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clientes/auth/mail"
)

const (
	goodSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
)

// environment is os.LookupEnv over a map.
func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}

// inFolder makes a new folder with these files the working folder of the test.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// faultsOf gives the faults of an error of loadConfig.
func faultsOf(err error) []string {
	var e *configError
	if errors.As(err, &e) {
		return e.faults
	}
	return nil
}

func TestDefaults(t *testing.T) {
	inFolder(t, nil)
	got, err := loadConfig(environment(map[string]string{"SECRET": goodSecret}), "SECRET")
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range got.origins {
		if want := map[bool]string{true: "environment", false: "default"}[name == "SECRET"]; from != want {
			t.Errorf("%s comes from %q, want %q", name, from, want)
		}
	}
	got.values, got.origins = nil, nil
	want := config{
		Secret: goodSecret, Host: "127.0.0.1", Port: 3000, DatabaseURL: "sqlite:clientes.db",
		TokenTTL: 5 * time.Minute, SessionIdle: 30 * time.Minute, SessionMax: 30 * 24 * time.Hour,
		Issuer: "clientes", Audience: "clientes", RefreshGrace: 30 * time.Second, Signup: "closed",
		LogLevel: "info", ShutdownTimeout: 20 * time.Second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	inFolder(t, nil)
	got, err := loadConfig(environment(map[string]string{
		"SECRET": goodSecret, "SECRET_PREVIOUS": otherSecret + "," + goodSecret, "HOST": "::", "PORT": "0",
		"DATABASE_URL": "postgres://u:p@db1:5433,db2/clientes?pool_max_conns=7", "TOKEN_TTL": "10s",
		"SESSION_IDLE": "1m", "SESSION_MAX": "1h", "ISSUER": "i", "AUDIENCE": "a", "REFRESH_GRACE": "0s",
		"SIGNUP": "open", "SMTP_URL": "smtps://u:p%40@mail.example.com:2465", "MAIL_FROM": "São João <c@exämple.com>",
		"PUBLIC_URL": "https://api.example.com/", "CORS_ORIGINS": "https://app.example.com, http://localhost:5173",
		"TRUSTED_PROXIES": "10.1.2.3/8, ::1/128", "REQUIRE_IF_MATCH": "true", "LOG_LEVEL": "debug",
		"LOG_FORMAT": "json", "SHUTDOWN_DELAY": "1s", "SHUTDOWN_TIMEOUT": "0s",
	}), "SECRET")
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range got.origins {
		if from != "environment" {
			t.Errorf("%s comes from %q", name, from)
		}
	}
	got.values, got.origins = nil, nil
	server, err := mail.ParseServer("smtps://u:p%40@mail.example.com:2465")
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		Secret: goodSecret, SecretPrevious: []string{otherSecret, goodSecret}, Host: "::",
		Signup: "open", SMTP: server, MailFrom: netmail.Address{Name: "São João", Address: "c@xn--exmple-cua.com"},
		DatabaseURL: "postgres://u:p@db1:5433,db2/clientes?pool_max_conns=7", TokenTTL: 10 * time.Second,
		SessionIdle: time.Minute, SessionMax: time.Hour, Issuer: "i", Audience: "a",
		PublicURL: "https://api.example.com/", CORSOrigins: []string{"https://app.example.com", "http://localhost:5173"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		RequireIfMatch: true, LogLevel: "debug", LogFormat: "json", ShutdownDelay: time.Second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// Each case is one wrong value, and what has to be said of it.
func TestFaults(t *testing.T) {
	inFolder(t, map[string]string{"empty": "\n", "short": "x\n"})
	tests := []struct{ name, value, want string }{
		{"REFRESH_GRACE", "-1s", "REFRESH_GRACE is -1s, but has to be from 0s to 5m"},
		{"REFRESH_GRACE", "6m", "REFRESH_GRACE is 6m0s, but has to be from 0s to 5m"},
		{"SIGNUP", "yes", `SIGNUP is "yes", but has to be closed or open`},
		{"SIGNUP", "Open", `SIGNUP is "Open", but has to be closed or open`},
		{"SMTP_URL", "mail.example.com:25", "SMTP_URL can not be used: it has to begin with smtp:// or smtps://"},
		{"SMTP_URL", "smtp://u:p/w@h", "SMTP_URL can not be used: behind smtp:// it may have user:password@, has a host"},
		{"SMTP_URL", "smtp://h:99999", "SMTP_URL can not be used: its port has to be a number from 1 to 65535"},
		{"SMTP_URL", "smtp://mail.example.com", "MAIL_FROM is missing; SMTP_URL needs it"},
		{"SMTP_URL_FILE", "short", "SMTP_URL can not be used: it has to begin with smtp:// or smtps://"},
		{"SMTP_URL_FILE", "empty", "SMTP_URL is to come from empty, as SMTP_URL_FILE says, but nothing"},
		{"MAIL_FROM", "clientes", `MAIL_FROM is "clientes", but it has to be as clientes@example.com or`},
		{"MAIL_FROM", "joão@example.com", "in ASCII before the @"},
		{"PUBLIC_URL", "api.example.com", `PUBLIC_URL is "api.example.com", but has to be as browsers write it`},
		{"PUBLIC_URL", "https://api.example.com/v1", `PUBLIC_URL is "https://api.example.com/v1", but has to be`},
		{"PUBLIC_URL", "ftp://api.example.com", `PUBLIC_URL is "ftp://api.example.com", but has to be`},
		{"CORS_ORIGINS", "*", `CORS_ORIGINS has "*" in it, but has to be origins as browsers write them`},
		{"CORS_ORIGINS", "https://*.example.com", `CORS_ORIGINS has "https://*.example.com" in it`},
		{"CORS_ORIGINS", "https://a.example,https://App.example", `CORS_ORIGINS has "https://App.example" in it`},
		{"CORS_ORIGINS", "https://a.example/", `CORS_ORIGINS has "https://a.example/" in it`},
		{"CORS_ORIGINS", "https://a.example:443", `CORS_ORIGINS has "https://a.example:443" in it`},
		{"CORS_ORIGINS", "https://u:p@a.example", `CORS_ORIGINS has something with a password in it`},
		{"CORS_ORIGINS", "null", `CORS_ORIGINS has "null" in it`},
		{"SECRET", "", "SECRET is missing; `openssl rand -hex 32` makes a good one"},
		{"SECRET", goodSecret[1:], "SECRET can not be used: it has 31 bytes, and 32 or more are needed; `openssl rand -hex 32`"},
		{"SECRET", goodSecret + ",x", "SECRET can not be used: it holds a comma"},
		{"SECRET_FILE", "short", "SECRET and SECRET_FILE are both set in environment"},
		{"SECRET_PREVIOUS", goodSecret + ",short", "SECRET_PREVIOUS can not be used, its secret number 2"},
		{"SECRET_PREVIOUS", goodSecret + ",", "SECRET_PREVIOUS can not be used, its secret number 2"},
		{"SECRET_PREVIOUS_FILE", "absent", "SECRET_PREVIOUS can not be read from the file that SECRET_PREVIOUS_FILE names"},
		{"SECRET_PREVIOUS_FILE", "empty", "SECRET_PREVIOUS is to come from empty, as SECRET_PREVIOUS_FILE says, but nothing"},
		{"SECRET_PREVIOUS_FILE", ".", "SECRET_PREVIOUS can not be read from the file"},
		{"SECRET_PREVIOUS_FILE", "/dev/zero", "SECRET_PREVIOUS can not be read from the file"},
		{"HOST", "[::1]", "HOST is"},
		{"HOST", "0.0.0.0:3000", "HOST is"},
		{"HOST", "a b", "HOST is"},
		{"PORT", "http", "PORT is"},
		{"PORT", "65536", "PORT is"},
		{"PORT", "-1", "PORT is"},
		{"DATABASE_URL", "clientes.db", "DATABASE_URL has to begin with sqlite: or postgres://"},
		{"DATABASE_URL", "mysql://h/d", "DATABASE_URL has to begin with sqlite: or postgres://"},
		{"DATABASE_URL", "sqlite:", "DATABASE_URL has to name a file"},
		{"DATABASE_URL", "sqlite::memory:", "DATABASE_URL has to name a file"},
		{"DATABASE_URL", "sqlite:x.db?mode=ro", "DATABASE_URL has to name a file"},
		{"DATABASE_URL", "sqlite://x.db", "DATABASE_URL has // after sqlite:"},
		{"DATABASE_URL", "postgres://h/d?pool_max_conns=0", "driver takes: pool_max_conns too small"},
		{"DATABASE_URL", "postgresql://h/d?sslmode=perhaps", "driver takes: failed to configure TLS"},
		{"DATABASE_URL_FILE", "short", "DATABASE_URL has to begin with sqlite: or postgres://"},
		{"TOKEN_TTL", "300", "TOKEN_TTL is \"300\", but has to be a time with its unit"},
		{"TOKEN_TTL", "9s", "TOKEN_TTL is 9s, but has to be from 10s to 1h"},
		{"TOKEN_TTL", "1h0m1s", "TOKEN_TTL is 1h0m1s, but has to be from 10s to 1h"},
		{"TOKEN_TTL", "10500ms", "TOKEN_TTL is 10.5s, but has to be of whole seconds"},
		{"SESSION_IDLE", "4m59s", "SESSION_IDLE is 4m59s, but has to be TOKEN_TTL (5m0s) or more"},
		{"SESSION_IDLE", "721h", "SESSION_IDLE is 721h0m0s, but has to be SESSION_MAX (720h0m0s) or less"},
		{"SESSION_MAX", "1m", "SESSION_MAX is 1m0s, but has to be TOKEN_TTL (5m0s) or more"},
		{"SESSION_MAX", "forever", "SESSION_MAX is \"forever\", but has to be a time"},
		{"ISSUER", strings.Repeat("x", 256), "ISSUER has to be at most 255 bytes"},
		{"AUDIENCE", "\xff", "AUDIENCE has to be at most 255 bytes of UTF-8"},
		{"TRUSTED_PROXIES", "10.0.0.1", "TRUSTED_PROXIES has \"10.0.0.1\" in it"},
		{"TRUSTED_PROXIES", "10.0.0.0/8,", "TRUSTED_PROXIES has \"\" in it"},
		{"REQUIRE_IF_MATCH", "yes", "REQUIRE_IF_MATCH is \"yes\", but has to be true or false"},
		{"LOG_LEVEL", "verbose", "LOG_LEVEL is"},
		{"LOG_FORMAT", "xml", "LOG_FORMAT is"},
		{"SHUTDOWN_DELAY", "-1s", "SHUTDOWN_DELAY is"},
		{"SHUTDOWN_TIMEOUT", "-1s", "SHUTDOWN_TIMEOUT is"},
		{"SHUTDOWN_TIMEOUT", "20", "SHUTDOWN_TIMEOUT is"},
	}
	for _, test := range tests {
		vars := map[string]string{"SECRET": goodSecret}
		vars[test.name] = test.value
		_, err := loadConfig(environment(vars), "SECRET")
		got := faultsOf(err)
		// SESSION_MAX=1m is too short for both of its neighbours, which is worth two lines.
		if len(got) == 0 || len(got) > 1 && test.name != "SESSION_MAX" || !slices.ContainsFunc(got, func(f string) bool {
			return strings.Contains(f, test.want)
		}) {
			t.Errorf("%s=%s: %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	inFolder(t, map[string]string{".env": "PORT=x\nPROT=3000\n"})
	c, err := loadConfig(environment(map[string]string{
		"TOKEN_TTL": "soon", "SESSION_IDLE": "1s", "HOST": "a b", "DATABASE_URL": "x", "LOG_LEVEL": "x",
	}), "SECRET")
	got := faultsOf(err)
	// In the order of the settings; SESSION_IDLE can not be compared with a TOKEN_TTL that nobody can read.
	want := []string{"SECRET", "HOST", "PORT", "DATABASE_URL", "TOKEN_TTL", "LOG_LEVEL"}
	if len(got) != len(want) {
		t.Fatalf("faults %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]+" ") {
			t.Errorf("fault %d is %q, want one of %s", i, got[i], want[i])
		}
	}
	if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "nobody knows PROT; the nearest known name is PORT") {
		t.Errorf("warnings %q", c.warnings)
	}
	if _, err := loadConfig(environment(nil)); len(faultsOf(err)) != 1 {
		t.Errorf("a SECRET that nobody needs is missed: %v", err)
	}
}

func TestPrecedence(t *testing.T) {
	const envSecret, fileSecret = goodSecret + "env", goodSecret + "file"
	tests := []struct {
		name         string
		dotenv       string
		env          map[string]string
		secret, from string // "" for a fault
	}{
		{"the environment wins", "SECRET=" + goodSecret, map[string]string{"SECRET": envSecret}, envSecret, "environment"},
		{".env fills in", "SECRET=" + goodSecret, nil, goodSecret, ".env"},
		{"a file from .env", "SECRET_FILE=secret", nil, fileSecret, "file secret"},
		{"a file from the environment wins over a value in .env", "SECRET=" + goodSecret,
			map[string]string{"SECRET_FILE": "secret"}, fileSecret, "file secret"},
		{"a value in the environment wins over a file from .env", "SECRET_FILE=absent",
			map[string]string{"SECRET": envSecret}, envSecret, "environment"},
		{"both in the environment", "", map[string]string{"SECRET": envSecret, "SECRET_FILE": "secret"}, "", ""},
		{"both in .env", "SECRET=" + goodSecret + "\nSECRET_FILE=secret", nil, "", ""},
		{"an empty one beside the other is none", "", map[string]string{"SECRET": "", "SECRET_FILE": "secret"}, fileSecret, "file secret"},
		{"set to nothing it hides the one in .env", "SECRET=" + goodSecret, map[string]string{"SECRET": ""}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t, map[string]string{".env": test.dotenv, "secret": fileSecret + "\r\n"})
			c, err := loadConfig(environment(test.env), "SECRET")
			if (err == nil) != (test.secret != "") {
				t.Fatal(err)
			}
			if err == nil && (c.Secret != test.secret || c.origins["SECRET"] != test.from) {
				t.Errorf("%q from %q, want %q from %q", c.Secret, c.origins["SECRET"], test.secret, test.from)
			}
		})
	}
}

func TestOneNewlineIsDropped(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "a\n": "a", "a\r\n": "a", "a\n\n": "a\n", "a\r": "a\r", "": "", "\n": "", " a ": " a ",
	} {
		if got := dropNewline(in); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestWhiteSpaceAroundASecretIsWarnedOf(t *testing.T) {
	inFolder(t, nil)
	c, err := loadConfig(environment(map[string]string{
		"SECRET": goodSecret + " ", "SECRET_PREVIOUS": goodSecret + ", " + goodSecret}))
	if err != nil || len(c.warnings) != 2 || c.Secret != goodSecret+" " {
		t.Errorf("%q, warnings %q, %v", c.Secret, c.warnings, err)
	}
}

// What the program shows of a URL, and says of a bad one, never holds the password.
func TestThePasswordOfADatabaseIsNotShown(t *testing.T) {
	tests := []struct{ url, shown string }{
		{"sqlite:clientes.db", "sqlite:clientes.db"},
		{"postgres://h/d", "postgres://h/d"},
		{"postgres://hunter2:hunter2x@h/d", "postgres://hunter2:***@h/d"},
		{"postgresql://u:hunter2@h:5432,h2:5433/d?pool_max_conns=3", "postgresql://u:***@h:5432,h2:5433/d?pool_max_conns=3"},
		{"postgres://u:hunt%40er2@h", "postgres://u:***@h"},
		{"postgres://u:?hunter2@h/d", "postgres://u:***@h/d"},
		{"postgres://h/d?user=u&password=hunter2", "postgres://h/d?user=u&password=***"},
		{"postgres://h/d?p%61ssword=hunter2", "postgres://h/d?p%61ssword=***"},
		{"postgres://u:hunt@er2@h/d", "(hidden)"},
		{"postgres://u:/hunter2@h/d", "(hidden)"},
		{"postgres://u:12/hunter2@h/d", "(hidden)"},
		{"postgres://u:hunter2%zz@h/d", "(hidden)"},
		{"postgres://u:hunter2\x00@h/d", "(hidden)"},
		{"postgres://u:hunter2@h:port/d", "(hidden)"},
		{"postgres://u:hunter2@h/d?pool_max_conns=x", "(hidden)"},
		{"postgres://u:hunter2@h/d?sslmode=x&sslpassword=hunter2", "(hidden)"},
		{"mysql://u:hunter2@h/d", "(hidden)"},
		{"postgres//u:hunter2@h/d", "(hidden)"},
		{"host=h user=u password=hunter2", "(hidden)"},
	}
	for _, test := range tests {
		if got := shownDatabaseURL(test.url); got != test.shown {
			t.Errorf("%s is shown as %s, want %s", test.url, got, test.shown)
		}
		if why := databaseFault(test.url); strings.Contains(why, "hunt") || strings.Contains(why, "er2") {
			t.Errorf("%s: %s", test.url, why)
		}
	}
}

// The password of the mail server is neither shown nor repeated, nor is the user, which some services have as a secret.
func TestThePasswordOfAMailServerIsNotShown(t *testing.T) {
	inFolder(t, nil)
	for smtpURL, shown := range map[string]string{
		"smtp://localhost:1025":           "smtp://localhost:1025",
		"smtps://hunter2:hunter2@h":       "smtps://***:***@h:465",
		"smtp://u:hunter2%40@h:25/":       "smtp://***:***@h:25",
		"smtp://u:hunt@er2@h":             "smtp://***:***@h:587",
		"smtp://u:hunter2/x@h":            "(hidden)",
		"smtp://u:12/hunter2@h":           "(hidden)",
		"smtp://u:hunter2@h:port":         "(hidden)",
		"smtp://u:hunter2%zz@h":           "(hidden)",
		"smtp://u:hunter2\x00@h":          "(hidden)",
		"smtp//u:hunter2@h":               "(hidden)",
		"https://u:hunter2@h":             "(hidden)",
		"smtp://hunter2@mail.example.com": "(hidden)",
	} {
		c, err := loadConfig(environment(map[string]string{"SMTP_URL": smtpURL, "MAIL_FROM": "c@example.com"}))
		if got := c.shown(setting{name: "SMTP_URL"}); got != shown {
			t.Errorf("%s is shown as %s, want %s", smtpURL, got, shown)
		}
		if (err != nil) != (shown == "(hidden)") || err != nil && (strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "er2")) {
			t.Errorf("%s: %v", smtpURL, err)
		}
		if text := fmt.Sprintf("%v %+v %s", c.SMTP, c.SMTP, c.SMTP); strings.Contains(text, "hunt") {
			t.Errorf("%s is printed as %s", smtpURL, text)
		}
	}
}

// A password that was given to the wrong setting is neither shown nor repeated.
func TestAPasswordInTheWrongSettingIsNotShown(t *testing.T) {
	inFolder(t, nil)
	for _, s := range settings() {
		for _, name := range s.names() {
			for _, value := range []string{
				"postgres://u:hunter2@h/d", "postgres://h/d?password=hunter2", "host=h Password = hunter2", "postgres://u:hunter2,x@h/d",
				"u:hunter2@h:587", "postgres//u:hunter2@h/d", "smtp:/u:hunter2@h",
			} {
				r := call(t, map[string]string{name: value}, "", "config")
				if strings.Contains(r.stdout+r.stderr, "hunter2") {
					t.Errorf("%s=%s: it says\n%s%s", name, value, r.stdout, r.stderr)
				}
			}
		}
	}
}

// .env.example names every setting, with its default, and no other.
func TestDotenvExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, s := range settings() {
		for _, name := range s.names() {
			want[name] = ""
		}
		want[s.name] = s.fallback
	}
	got := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		got[m[1]] = m[2]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	_, faults, warnings := parseDotenv(string(text), settings())
	if len(faults)+len(warnings) > 0 {
		t.Error(faults, warnings)
	}
	// With every # before a setting taken away it is a .env too.
	plain := regexp.MustCompile(`(?m)^#([A-Z_]+=)`).ReplaceAllString(string(text), "$1")
	inFolder(t, map[string]string{".env": plain})
	if _, err := loadConfig(environment(nil)); err != nil {
		t.Error(err)
	}
}
