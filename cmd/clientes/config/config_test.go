package config

import (
	"errors"
	netmail "net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"clientes/auth/mail"
)

const (
	goodSecret  = "7c1e9b04f3a85d2660ba7e4f91d3c852"
	otherSecret = "d2946f0b8ae15c7739f0e2b56418ca7d"
	rootSecret  = "e05b71c96a2df3841907cb62ad54f8b3"
)

// environment returns os.LookupEnv over a map.
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

// faultsOf returns the faults that an error of Load lists.
func faultsOf(err error) []string {
	var e *Error
	if errors.As(err, &e) {
		return e.Faults
	}
	return nil
}

func TestDefaults(t *testing.T) {
	inFolder(t, nil)
	got, err := Load(environment(map[string]string{"SECRET": goodSecret}), "SECRET")
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range got.origins {
		want := "default"
		if name == "SECRET" {
			want = "environment"
		}
		if from != want {
			t.Errorf("%s comes from %q, want %q", name, from, want)
		}
	}
	got.values, got.origins = nil, nil
	want := Config{
		Secret: goodSecret, Host: "127.0.0.1", Port: 3000, DatabaseURL: "sqlite:clientes.db",
		TokenTTL: 5 * time.Minute, SessionIdle: 30 * time.Minute, SessionMax: 30 * 24 * time.Hour,
		RememberIdle: 14 * 24 * time.Hour,
		Issuer:       "clientes", Audience: "clientes", RefreshGrace: 30 * time.Second,
		AuditKeep: 365 * 24 * time.Hour,
		Signup:    "closed", RequireMFA: "none",
		PasswordMin: 8, Console: "on", LogLevel: "info", ShutdownTimeout: 20 * time.Second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	inFolder(t, nil)
	got, err := Load(environment(map[string]string{
		"SECRET":          goodSecret,
		"SECRET_PREVIOUS": otherSecret + "," + goodSecret,

		"ROOT_SECRET":          rootSecret,
		"ROOT_SECRET_PREVIOUS": otherSecret,

		"HOST":              "::",
		"PORT":              "0",
		"DATABASE_URL":      "postgres://u:p@db1:5433,db2/clientes?pool_max_conns=7",
		"TOKEN_TTL":         "10s",
		"SESSION_IDLE":      "1m",
		"REMEMBER_IDLE":     "30m",
		"SESSION_MAX":       "1h",
		"ISSUER":            "i",
		"AUDIENCE":          "a",
		"REFRESH_GRACE":     "0s",
		"AUDIT_KEEP":        "168h",
		"SIGNUP":            "open",
		"REQUIRE_MFA":       "admin",
		"PASSWORD_MIN":      "15",
		"PASSWORD_DENYLIST": "denied.txt",
		"SMTP_URL":          "smtps://u:p%40@mail.example.com:2465",
		"MAIL_FROM":         "São João <c@exämple.com>",
		"PUBLIC_URL":        "https://api.example.com/",
		"CORS_ORIGINS":      "https://app.example.com, http://localhost:5173",
		"TRUSTED_PROXIES":   "10.1.2.3/8, ::1/128",
		"REQUIRE_IF_MATCH":  "true",
		"CONSOLE":           "off",
		"METRICS_ADDR":      "[::1]:9090",
		"LOG_LEVEL":         "debug",
		"LOG_FORMAT":        "json",
		"SHUTDOWN_DELAY":    "1s",
		"SHUTDOWN_TIMEOUT":  "0s",
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
	want := Config{
		Secret:         goodSecret,
		SecretPrevious: []string{otherSecret, goodSecret},

		RootSecret:         rootSecret,
		RootSecretPrevious: []string{otherSecret},

		Host:           "::",
		DatabaseURL:    "postgres://u:p@db1:5433,db2/clientes?pool_max_conns=7",
		TokenTTL:       10 * time.Second,
		SessionIdle:    time.Minute,
		RememberIdle:   30 * time.Minute,
		SessionMax:     time.Hour,
		AuditKeep:      7 * 24 * time.Hour,
		Issuer:         "i",
		Audience:       "a",
		Signup:         "open",
		RequireMFA:     "admin",
		PasswordMin:    15,
		PasswordDenied: "denied.txt",
		SMTP:           server,
		MailFrom:       netmail.Address{Name: "São João", Address: "c@xn--exmple-cua.com"},
		PublicURL:      "https://api.example.com/",
		CORSOrigins:    []string{"https://app.example.com", "http://localhost:5173"},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		},
		RequireIfMatch: true,
		Console:        "off",
		MetricsAddr:    "[::1]:9090",
		LogLevel:       "debug",
		LogFormat:      "json",
		ShutdownDelay:  time.Second,

		warnings: []string{"TRUSTED_PROXIES has 10.1.2.3/8 in it, which is all of 10.0.0.0/8: " +
			"write that, or 10.1.2.3 alone"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// Each case is one wrong value and what its fault has to say.
func TestFaults(t *testing.T) {
	inFolder(t, map[string]string{"empty": "\n", "short": "x\n"})
	tests := []struct{ name, value, want string }{
		{"REFRESH_GRACE", "-1s", "REFRESH_GRACE is -1s, but has to be from 0s to 5m"},
		{"REFRESH_GRACE", "6m", "REFRESH_GRACE is 6m0s, but has to be from 0s to 5m"},
		{"AUDIT_KEEP", "1h", "AUDIT_KEEP is 1h0m0s, but has to be from 168h to 87600h"},
		{"AUDIT_KEEP", "90000h", "AUDIT_KEEP is 90000h0m0s, but has to be from 168h to 87600h"},
		{"PASSWORD_MIN", "7", `PASSWORD_MIN is "7", but has to be a number from 8 to 64`},
		{"PASSWORD_MIN", "65", `PASSWORD_MIN is "65", but has to be a number from 8 to 64`},
		{"PASSWORD_MIN", "long", `PASSWORD_MIN is "long", but has to be a number from 8 to 64`},
		{"SIGNUP", "yes", `SIGNUP is "yes", but has to be closed or open`},
		{"SIGNUP", "Opened", `SIGNUP is "Opened", but has to be closed or open`},
		{"REQUIRE_MFA", "true", `REQUIRE_MFA is "true", but has to be none, admin or all`},
		{"SMTP_URL", "mail.example.com:25",
			"SMTP_URL cannot be used: it has to begin with smtp:// or smtps://"},
		{"SMTP_URL", "smtp://u:p/w@h",
			"SMTP_URL cannot be used: behind smtp:// it may have user:password@, has a host"},
		{"SMTP_URL", "smtp://h:99999",
			"SMTP_URL cannot be used: its port has to be a number from 1 to 65535"},
		{"SMTP_URL", "smtp://mail.example.com", "MAIL_FROM is missing; SMTP_URL needs it"},
		{"SMTP_URL_FILE", "short",
			"SMTP_URL cannot be used: it has to begin with smtp:// or smtps://"},
		{"SMTP_URL_FILE", "empty",
			"SMTP_URL is to come from empty, as SMTP_URL_FILE says, but nothing"},
		{"MAIL_FROM", "clientes",
			`MAIL_FROM is "clientes", but it has to be as clientes@example.com or`},
		{"MAIL_FROM", "joão@example.com", "in ASCII before the @"},
		{"PUBLIC_URL", "api.example.com",
			`PUBLIC_URL is "api.example.com", but has to be as browsers write it`},
		{"PUBLIC_URL", "https://api.example.com/v1",
			`PUBLIC_URL is "https://api.example.com/v1", but has to be`},
		{"PUBLIC_URL", "ftp://api.example.com",
			`PUBLIC_URL is "ftp://api.example.com", but has to be`},
		{"METRICS_ADDR", "9090",
			`METRICS_ADDR is "9090", but has to be an address and a port: 127.0.0.1:9090`},
		{"METRICS_ADDR", "127.0.0.1", `METRICS_ADDR is "127.0.0.1", but has to be an address and a port`},
		{"METRICS_ADDR", "127.0.0.1:", `METRICS_ADDR is "127.0.0.1:", but has to be an address and a port`},
		{"METRICS_ADDR", "127.0.0.1:65536", `but has to be an address and a port: 127.0.0.1:9090`},
		{"METRICS_ADDR", "127.0.0.1:http", `but has to be an address and a port: 127.0.0.1:9090`},
		{"METRICS_ADDR", "::1:9090", `but has to be an address and a port: 127.0.0.1:9090`},
		{"METRICS_ADDR", "http://127.0.0.1:9090", `but has to be an address to listen on`},
		{"METRICS_ADDR", ":9090", `METRICS_ADDR is ":9090", but has to name the address too: ` +
			`127.0.0.1:9090 for this machine alone, or 0.0.0.0:9090 for all`},
		{"METRICS_ADDR", "a b:9090", `METRICS_ADDR is "a b:9090", whose host has to be an address`},
		{"METRICS_ADDR", "u:p@h:9090", `METRICS_ADDR is something with a password, but`},
		{"METRICS_ADDR", "127.0.0.1:3000",
			`METRICS_ADDR is "127.0.0.1:3000", where the API listens: choose another port`},
		{"METRICS_ADDR", "localhost:3000", `where the API listens`},
		{"METRICS_ADDR", "0.0.0.0:3000", `where the API listens`},
		{"METRICS_ADDR", "[::]:3000", `where the API listens`},
		{"CORS_ORIGINS", "*",
			`CORS_ORIGINS has "*" in it, but has to be origins as browsers write them`},
		{"CORS_ORIGINS", "https://*.example.com", `CORS_ORIGINS has "https://*.example.com" in it`},
		{"CORS_ORIGINS", "https://a.example,https://App.example",
			`CORS_ORIGINS has "https://App.example" in it`},
		{"CORS_ORIGINS", "https://a.example/", `CORS_ORIGINS has "https://a.example/" in it`},
		{"CORS_ORIGINS", "https://a.example:443", `CORS_ORIGINS has "https://a.example:443" in it`},
		{"CORS_ORIGINS", "https://u:p@a.example",
			`CORS_ORIGINS has something with a password in it`},
		{"CORS_ORIGINS", "null", `CORS_ORIGINS has "null" in it`},
		{"SECRET", "", "SECRET is missing; `openssl rand -hex 32` makes a good one"},
		{"SECRET", goodSecret[1:],
			"SECRET cannot be used: it has 31 bytes, and 32 or more are needed; `openssl rand -hex 32`"},
		{"SECRET", goodSecret + ",x", "SECRET cannot be used: it holds a comma"},
		{"SECRET_FILE", "short", "SECRET and SECRET_FILE are both set in environment"},
		{"SECRET_PREVIOUS", goodSecret + ",short",
			"SECRET_PREVIOUS cannot be used, its secret number 2"},
		{"SECRET_PREVIOUS", goodSecret + ",",
			"SECRET_PREVIOUS cannot be used, its secret number 2"},
		{"SECRET_PREVIOUS_FILE", "absent",
			"SECRET_PREVIOUS cannot be read from the file that SECRET_PREVIOUS_FILE names"},
		{"SECRET_PREVIOUS_FILE", "empty",
			"SECRET_PREVIOUS is to come from empty, as SECRET_PREVIOUS_FILE says, but nothing"},
		{"SECRET_PREVIOUS_FILE", ".", "SECRET_PREVIOUS cannot be read from the file"},
		{"SECRET_PREVIOUS_FILE", "/dev/zero", "SECRET_PREVIOUS cannot be read from the file"},
		{"ROOT_SECRET", "short", "ROOT_SECRET cannot be used: it has 5 bytes"},
		{"ROOT_SECRET", goodSecret, "ROOT_SECRET is the same as SECRET"},
		{"ROOT_SECRET", strings.Repeat("b", 64), "ROOT_SECRET cannot be used: it is one character"},
		{"ROOT_SECRET_FILE", "short", "ROOT_SECRET cannot be used: it has one byte"},
		{"ROOT_SECRET_PREVIOUS", goodSecret + ",short",
			"ROOT_SECRET_PREVIOUS cannot be used, its secret number 2"},
		{"SECRET", strings.Repeat("a", 32),
			"SECRET cannot be used: it is one character, repeated; `openssl rand -hex 32`"},
		{"SECRET", "a-string-secret-at-least-256-bits-long",
			"SECRET cannot be used: it is an example that everybody can read"},
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
		{"DATABASE_URL", "postgres://h/d?pool_max_conns=0",
			"driver takes: pool_max_conns too small"},
		{"DATABASE_URL", "postgresql://h/d?sslmode=perhaps",
			"driver takes: failed to configure TLS"},
		{"DATABASE_URL_FILE", "short", "DATABASE_URL has to begin with sqlite: or postgres://"},
		{"TOKEN_TTL", "300", "TOKEN_TTL is \"300\", but has to be a time with its unit"},
		{"TOKEN_TTL", "9s", "TOKEN_TTL is 9s, but has to be from 10s to 1h"},
		{"TOKEN_TTL", "1h0m1s", "TOKEN_TTL is 1h0m1s, but has to be from 10s to 1h"},
		{"TOKEN_TTL", "10500ms", "TOKEN_TTL is 10.5s, but has to be of whole seconds"},
		{"SESSION_IDLE", "4m59s", "SESSION_IDLE is 4m59s, but has to be TOKEN_TTL (5m0s) or more"},
		{"SESSION_IDLE", "721h",
			"SESSION_IDLE is 721h0m0s, but has to be SESSION_MAX (720h0m0s) or less"},
		{"REMEMBER_IDLE", "4m59s",
			"REMEMBER_IDLE is 4m59s, but has to be TOKEN_TTL (5m0s) or more, or 0"},
		{"REMEMBER_IDLE", "-1s", "REMEMBER_IDLE is -1s, but has to be TOKEN_TTL (5m0s) or more"},
		{"REMEMBER_IDLE", "721h",
			"REMEMBER_IDLE is 721h0m0s, but has to be SESSION_MAX (720h0m0s) or less"},
		{"SESSION_MAX", "1m", "SESSION_MAX is 1m0s, but has to be TOKEN_TTL (5m0s) or more"},
		{"SESSION_MAX", "forever", "SESSION_MAX is \"forever\", but has to be a time"},
		{"ISSUER", strings.Repeat("x", 256), "ISSUER has to be at most 255 bytes"},
		{"AUDIENCE", "\xff", "AUDIENCE has to be at most 255 bytes of UTF-8"},
		{"TRUSTED_PROXIES", "10.0.0.1/", "TRUSTED_PROXIES has \"10.0.0.1/\" in it"},
		{"TRUSTED_PROXIES", "10.0.0.0/8,", "TRUSTED_PROXIES has \"\" in it"},
		{"REQUIRE_IF_MATCH", "maybe", "REQUIRE_IF_MATCH is \"maybe\", but has to be true or false"},
		{"LOG_LEVEL", "verbose", "LOG_LEVEL is"},
		{"LOG_FORMAT", "xml", "LOG_FORMAT is"},
		{"SHUTDOWN_DELAY", "-1s", "SHUTDOWN_DELAY is"},
		{"SHUTDOWN_TIMEOUT", "-1s", "SHUTDOWN_TIMEOUT is"},
		{"SHUTDOWN_TIMEOUT", "20", "SHUTDOWN_TIMEOUT is"},
	}
	for _, test := range tests {
		vars := map[string]string{"SECRET": goodSecret}
		vars[test.name] = test.value
		_, err := Load(environment(vars), "SECRET")
		got := faultsOf(err)
		said := strings.Contains(strings.Join(got, "\n"), test.want)
		// SESSION_MAX=1m is too short for both of its neighbours: two faults.
		if !said || len(got) > 1 && test.name != "SESSION_MAX" {
			t.Errorf("%s=%s: %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	inFolder(t, map[string]string{".env": "PORT=x\nPROT=3000\n"})
	c, err := Load(environment(map[string]string{
		"TOKEN_TTL": "soon", "SESSION_IDLE": "1s", "SESSION_MAX": "-1h", "HOST": "a b",
		"DATABASE_URL": "x", "LOG_LEVEL": "x",
	}), "SECRET")
	got := faultsOf(err)
	// In the order of the settings. Nobody can read the TOKEN_TTL, but no session may be shorter
	// than the least one.
	want := []string{"SECRET", "HOST", "PORT", "DATABASE_URL", "TOKEN_TTL", "SESSION_IDLE",
		"SESSION_MAX", "LOG_LEVEL"}
	if len(got) != len(want) {
		t.Fatalf("faults %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]+" ") {
			t.Errorf("fault %d is %q, want one of %s", i, got[i], want[i])
		}
	}
	const misspelt = "nobody knows PROT; the nearest known name is PORT"
	if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], misspelt) {
		t.Errorf("warnings %q", c.warnings)
	}
	if _, err := Load(environment(nil)); len(faultsOf(err)) != 1 {
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
		{"the environment wins", "SECRET=" + goodSecret, map[string]string{"SECRET": envSecret},
			envSecret, "environment"},
		{".env fills in", "SECRET=" + goodSecret, nil, goodSecret, ".env"},
		{"a file from .env", "SECRET_FILE=secret", nil, fileSecret, "file secret"},
		{"a file from the environment wins over a value in .env", "SECRET=" + goodSecret,
			map[string]string{"SECRET_FILE": "secret"}, fileSecret, "file secret"},
		{"a value in the environment wins over a file from .env", "SECRET_FILE=absent",
			map[string]string{"SECRET": envSecret}, envSecret, "environment"},
		{"both in the environment", "",
			map[string]string{"SECRET": envSecret, "SECRET_FILE": "secret"}, "", ""},
		{"both in .env", "SECRET=" + goodSecret + "\nSECRET_FILE=secret", nil, "", ""},
		{"an empty one beside the other is none", "",
			map[string]string{"SECRET": "", "SECRET_FILE": "secret"}, fileSecret, "file secret"},
		{"set to nothing it hides the one in .env", "SECRET=" + goodSecret,
			map[string]string{"SECRET": ""}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t, map[string]string{".env": test.dotenv, "secret": fileSecret + "\r\n"})
			c, err := Load(environment(test.env), "SECRET")
			if (err == nil) != (test.secret != "") {
				t.Fatal(err)
			}
			if err == nil && (c.Secret != test.secret || c.origins["SECRET"] != test.from) {
				t.Errorf("%q from %q, want %q from %q",
					c.Secret, c.origins["SECRET"], test.secret, test.from)
			}
		})
	}
}

func TestOneNewlineIsDropped(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "a\n": "a", "a\r\n": "a", "a\n\n": "a\n", "a\r": "a\r", "": "", "\n": "",
		" a ": " a ",
	} {
		if got := DropNewline(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}

func TestWhiteSpaceAroundASecretIsWarnedOf(t *testing.T) {
	inFolder(t, nil)
	c, err := Load(environment(map[string]string{
		"SECRET": goodSecret + " ", "SECRET_PREVIOUS": goodSecret + ", " + goodSecret}))
	if err != nil || len(c.warnings) != 2 || c.Secret != goodSecret+" " {
		t.Errorf("%q, warnings %q, %v", c.Secret, c.warnings, err)
	}
}

// Some secrets are worse than they seem, but a server that runs with one goes on.
func TestSecretsThatAreWarnedOf(t *testing.T) {
	inFolder(t, nil)
	const phrase = "correct horse battery staple and so on"
	tests := []struct {
		name string
		vars map[string]string
		want string // "" for no warning
	}{
		{"random", map[string]string{"SECRET": goodSecret, "ROOT_SECRET": rootSecret}, ""},
		{"a phrase", map[string]string{"SECRET": phrase}, "SECRET looks like words"},
		{"a phrase as the root", map[string]string{"SECRET": goodSecret, "ROOT_SECRET": phrase},
			"ROOT_SECRET looks like words"},
		{"a phrase that only verifies",
			map[string]string{"SECRET": goodSecret, "SECRET_PREVIOUS": phrase},
			"SECRET_PREVIOUS: its secret number 1 looks like words"},
		{"one character that only verifies, so that it can be replaced", map[string]string{
			"SECRET": goodSecret, "SECRET_PREVIOUS": strings.Repeat("a", 32)},
			"SECRET_PREVIOUS: its secret number 1 is one character, repeated"},
		{"the root was SECRET and still verifies",
			map[string]string{"SECRET": goodSecret, "SECRET_PREVIOUS": rootSecret,
				"ROOT_SECRET": rootSecret}, "SECRET_PREVIOUS has ROOT_SECRET in it"},
		{"SECRET was the root",
			map[string]string{"SECRET": goodSecret, "ROOT_SECRET": rootSecret,
				"ROOT_SECRET_PREVIOUS": goodSecret}, "ROOT_SECRET_PREVIOUS has SECRET in it"},
		{"a root that comes next",
			map[string]string{"SECRET": goodSecret, "ROOT_SECRET_PREVIOUS": rootSecret}, ""},
	}
	for _, test := range tests {
		c, err := Load(environment(test.vars), "SECRET")
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got := strings.Join(c.Warnings(), "\n")
		if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: warnings %q, want %q", test.name, got, test.want)
		}
		for _, secret := range test.vars {
			if strings.Contains(got, secret) {
				t.Errorf("%s: a warning repeats a secret: %s", test.name, got)
			}
		}
		for _, row := range c.Rows() {
			for _, secret := range test.vars {
				if strings.Contains(row.Value, secret) {
					t.Errorf("%s: %s is shown as %s", test.name, row.Name, row.Value)
				}
			}
		}
	}
}

// .env.example names every setting, with its default, and no other.
func TestDotenvExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", ".env.example"))
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
	for _, m := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.*)$`).
		FindAllStringSubmatch(string(text), -1) {
		got[m[1]] = m[2]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	_, faults, warnings := parseDotenv(string(text), settings(), environment(nil))
	if len(faults)+len(warnings) > 0 {
		t.Error(faults, warnings)
	}
	// Without the # before its settings it is a .env too.
	plain := regexp.MustCompile(`(?m)^#([A-Z_]+=)`).ReplaceAllString(string(text), "$1")
	inFolder(t, map[string]string{".env": plain})
	if _, err := Load(environment(nil)); err != nil {
		t.Error(err)
	}
}

func TestLocalURL(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1":    "http://127.0.0.1:3000",
		"0.0.0.0":      "http://127.0.0.1:3000",
		"::":           "http://[::1]:3000",
		"192.0.2.1":    "http://192.0.2.1:3000",
		"localhost":    "http://localhost:3000",
		"fe80::1%eth0": "http://[fe80::1%25eth0]:3000",
	} {
		if got := LocalURL(host, 3000); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
