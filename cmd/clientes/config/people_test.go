package config

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// utf16Text returns a text in UTF-16 with a byte order mark.
func utf16Text(order binary.AppendByteOrder, s string) string {
	b := order.AppendUint16(nil, 0xfeff)
	for _, unit := range utf16.Encode([]rune(s)) {
		b = order.AppendUint16(b, unit)
	}
	return string(b)
}

// Lines of .env that mean another value, and what they mean. The environment is that of the
// program.
func TestReferencesInDotenv(t *testing.T) {
	environ := environment(map[string]string{
		"APP_PORT": "8080", "BIND": "0.0.0.0", "EMPTY": "", "SECRET_OF_HELM": goodSecret,
		"DB_PASSWORD": "pa$$word", "lower": "8081", "PORT": "8082", "A": "9999",
	})
	const unset = "has a $ before a name that no line above it sets, nor the environment"
	const command = "is a command, and .env runs none"
	const unclear = "has a ${ that cannot be read"
	tests := []struct{ name, file, setting, want, fault string }{
		{"C1 braces", "PORT=${APP_PORT}", "PORT", "8080", ""},
		{"C1 an address", "HOST=${BIND}", "HOST", "0.0.0.0", ""},
		{"no braces", "PORT=$APP_PORT", "PORT", "8080", ""},
		{"double quotes", `PORT="${APP_PORT}"`, "PORT", "8080", ""},
		{"single quotes", `ISSUER='${APP_PORT}'`, "ISSUER", "${APP_PORT}", ""},
		{"lower case", "PORT=${lower}", "PORT", "8081", ""},
		{"a secret", "SECRET=${SECRET_OF_HELM}", "SECRET", goodSecret, ""},
		{"within", "PUBLIC_URL=http://localhost:${APP_PORT}", "PUBLIC_URL",
			"http://localhost:8080", ""},
		{"no second time", "ISSUER=$DB_PASSWORD", "ISSUER", "pa$$word", ""},
		{"its own name", "PORT=${PORT:-3000}", "PORT", "8082", ""},
		{"an earlier line first", "A=1\nPORT=$A", "PORT", "1", ""},
		{"an earlier line of its own", "B=$A\nPORT=$B", "PORT", "9999", ""},
		{"an earlier line without a value", "A=\nPORT=$A", "PORT", "9999", ""},
		{"a later line", "PORT=$X1\nX1=1", "", "", unset},
		{"unset", "PORT=${NOBODY}", "", "", unset},
		{"unset, of HOST", "HOST=${NOBODY}", "", "", unset},
		{"unset, without braces", "LOG_LEVEL=$NOBODY", "", "", unset},
		{"unset, in lower case", "TOKEN_TTL=$nobody", "", "", unset},
		{"unset, in quotes", `SIGNUP="${NOBODY}"`, "", "", unset},
		{"set to nothing", "PORT=${EMPTY}", "", "", unset},
		{"a default", "PORT=${NOBODY:-3001}", "PORT", "3001", ""},
		{"a default that is not needed", "PORT=${APP_PORT:-3001}", "PORT", "8080", ""},
		{"a default for nothing", "PORT=${EMPTY:-3001}", "PORT", "3001", ""},
		{"a default for unset alone", "ISSUER=a${EMPTY-3001}", "ISSUER", "a", ""},
		{"a default, unset", "PORT=${NOBODY-3001}", "PORT", "3001", ""},
		{"a default in a default", "PORT=${NOBODY:-${ALSO:-3002}}", "PORT", "3002", ""},
		{"a reference in a default", "PORT=${NOBODY:-$APP_PORT}", "PORT", "8080", ""},
		{"a default of nothing", "ISSUER=a${NOBODY:-}", "ISSUER", "a", ""},
		{"another value", "PORT=${BIND:+3003}", "PORT", "3003", ""},
		{"another value, unset", "ISSUER=a${NOBODY+b}", "ISSUER", "a", ""},
		{"a message", "PORT=${APP_PORT:?has to be set}", "PORT", "8080", ""},
		{"a message, unset", "PORT=${NOBODY:?has to be set}", "", "", unset},
		{"a message, set to nothing", "PORT=${EMPTY:?x}", "", "", unset},
		{"a message, empty is enough", "ISSUER=a${EMPTY?x}", "ISSUER", "a", ""},
		{"quotes in a default", "PORT=${NOBODY:-'3001'}", "", "", unclear},
		{"a part of a value", "PORT=${APP_PORT%0}", "", "", unclear},
		{"another name's value", "PORT=${!APP_PORT}", "", "", unclear},
		{"the length", "PORT=${#APP_PORT}", "", "", unclear},
		{"nothing", "PORT=${}", "", "", unclear},
		{"open", "PORT=${APP_PORT", "", "", "has a ${ without its }"},
		{"D1", "SECRET=$(head -c 32 /dev/urandom | base64)", "", "", command},
		{"D2", "SECRET=`openssl rand -hex 32 | tr -d x`", "", "", command},
		{"a command in quotes", `SECRET="$(openssl rand -hex 32)"`, "", "", command},
		{"a command for a port", "PORT=$(cat port)", "", "", command},
		{"a command in a URL", "DATABASE_URL=postgres://u:$(cat pw)@h/d", "", "", command},
		{"a command in a default", "HOST=${NOBODY:-$(hostname)}", "", "", command},
		{"backticks in a URL", "SMTP_URL=smtp://u:`cat pw`@h", "", "", command},
		{"one backtick", "ISSUER=a`b", "ISSUER", "a`b", ""},
		{"two dollars in a URL", "DATABASE_URL=postgres://u:pa$$word@h/d", "", "", "has $$"},
		{"a hash of bcrypt", "SMTP_URL=smtp://u:$2b$10$N9qo8uLOickgx2ZMRZoMye@h", "", "",
			"has a $ before a digit"},
		{"a dollar and a word", "DATABASE_URL=postgres://u:pa$word@h/d", "", "", unset},
		{"two dollars in single quotes", "DATABASE_URL='postgres://u:pa$$word@h/d'", "DATABASE_URL",
			"postgres://u:pa$$word@h/d", ""},
		{"bcrypt in single quotes", "ISSUER='$2b$10$N9qo8u'", "ISSUER", "$2b$10$N9qo8u", ""},
		{"a dollar that ends", "ISSUER=a$", "ISSUER", "a$", ""},
		{"a dollar and a sign", "ISSUER=a$-b$/c", "ISSUER", "a$-b$/c", ""},
		{"an escaped dollar", `ISSUER=a\$b`, "", "", "would lose its backslash"},
		{"a broken line", "A='\\''\nPORT=$A", "", "", "refers to a line above it"},
		{"somebody else's command", "OTHER=$(date)\nPORT=3000", "PORT", "3000", ""},
	}
	for _, test := range tests {
		values, faults, warnings := parseDotenv(test.file, settings(), environ)
		all := strings.Join(faults, "; ")
		switch {
		case test.fault == "" && (len(faults) > 0 || values[test.setting] != test.want):
			t.Errorf("%s: %q, faults %q, want %q",
				test.name, values[test.setting], faults, test.want)
		case test.fault != "" && !strings.Contains(all, test.fault):
			t.Errorf("%s: faults %q, want %q", test.name, faults, test.fault)
		}
		differs := strings.Contains(strings.Join(warnings, "; "), "environment has another value")
		if want := test.name == "an earlier line first"; differs != want {
			t.Errorf("%s: warnings %q", test.name, warnings)
		}
	}
}

// Files as editors and other programs write them.
func TestFormsOfDotenv(t *testing.T) {
	const plain = "PORT=8080\r\nISSUER='São João'\r\n"
	tests := []struct{ name, file, want, fault string }{
		{"UTF-8", plain, "8080", ""},
		{"a byte order mark", "\ufeff" + plain, "8080", ""},
		{"UTF-16 of PowerShell", utf16Text(binary.LittleEndian, plain), "8080", ""},
		{"UTF-16, the other way", utf16Text(binary.BigEndian, plain), "8080", ""},
		{"UTF-16 without a mark", utf16Text(binary.LittleEndian, plain)[2:], "",
			".env is UTF-16 without a byte order mark"},
		{"half a character", utf16Text(binary.LittleEndian, plain) + "x", "",
			".env is UTF-16 cut in the middle"},
		{"Windows-1252", "ISSUER=S\xe3o", "", ".env is not text in UTF-8"},
		{"export", "export PORT=8080", "8080", ""},
		{"YAML", "PORT: 8080", "8080", ""},
		{"spaces around the sign", "PORT = 8080", "8080", ""},
		{"a comment", "PORT=8080 # the port # of it", "8080", ""},
		{"a comment behind quotes", "PORT='8080' # the port", "8080", ""},
		{"a no-break space", "PORT=\u00a08080\u00a0", "8080", ""},
		{"a zero-width space", "PORT=\u200b8080\u200b", "8080", ""},
		{"spaces in quotes", "PORT=' 8080\t'", "8080", ""},
		{"set", "set PORT=8080", "", "line 1 is not of the form NAME=value; leave out the command"},
		{"SET", "SET PORT=8080", "", "leave out the command before the name"},
		{"setx", "setx PORT 8080", "", "leave out the command before the name"},
		{"PowerShell", "$env:PORT = '8080'", "", "leave out the $"},
		{"a list of compose", "- PORT=8080", "", "but of a YAML or JSON file"},
		{"JSON", "{\n\"PORT\": 8080\n}", "", "but of a YAML or JSON file"},
		{"typographic quotes", "PORT=“8080”", "", "begins with a typographic quote"},
		{"one typographic quote", "HOST=‘0.0.0.0’", "", "begins with a typographic quote"},
		{"NUL", "PORT=80\x0080", "", "has a control character"},
		{"a comment of systemd", "; the port\nPORT=8080", "", "begin it with #"},
		{"a line of a Dockerfile", "ENV PORT=8080", "", "leave out the command before the name"},
		{"export -x", "export -x PORT=8080", "", "leave out the command before the name"},
		{"readonly", "readonly PORT=8080", "", "leave out the command before the name"},
		{"no sign", "PORT 8080", "", "write = between name and value"},
		{"a colon and a sign", "PORT:=8080", "", "line 1 is not of the form NAME=value; leave out"},
		{"a line that goes on, of systemd", "ISSUER=abc\\\ndef", "", "only between quotes"},
		{"a no-break space in front", "\u00a0PORT=8080", "", "something in its name"},
		{"a no-break space behind", "PORT\u00a0=8080", "", "something in its name"},
		{"a second byte order mark", "A=1\n\ufeffPORT=8080", "", "something in its name"},
		{"a wide sign", "PORT＝8080", "", "something in its name"},
		{"a Cyrillic letter", "РORT=8080", "", "something in its name"},
		{"line ends of old Macs", "PORT=8080\rHOST=::1\r", "", "the ends of lines"},
		{"two on a line", "ISSUER=abc AUDIENCE=def", "", "has the setting AUDIENCE in it"},
		{"two on a line of a shell", "PORT=8080; export HOST=::", "", "has the setting HOST in it"},
		{"two on a line, in quotes", "PORT=8080\nISSUER='abc AUDIENCE=def'", "8080", ""},
		{"somebody else's options", "PORT=8080\nOPTS=-Xmx1g -DHEAP=1", "8080", ""},
		{"Ansible", "$ANSIBLE_VAULT;1.1;AES256\n66386439653236\n", "",
			".env is encrypted by ansible-vault"},
		{"git-crypt", "\x00GITCRYPT\x00\x8f\xff", "", ".env is encrypted by git-crypt"},
		{"age", "age-encryption.org/v1\n-> X25519 abc\n", "", ".env is encrypted by age"},
		{"PGP", "-----BEGIN PGP MESSAGE-----\n\nhQ==\n", "", ".env is encrypted by PGP"},
		{"twice", "PORT=8080\nPORT=8081", "", "is set for the second time"},
		{"twice, once empty", "PORT=\nPORT=8080", "8080", ""},
	}
	for _, test := range tests {
		inFolder(t, map[string]string{".env": test.file})
		c, err := Load(environment(nil))
		all := strings.Join(faultsOf(err), "; ")
		if test.fault == "" && (err != nil || c.values["PORT"] != test.want) {
			t.Errorf("%s: %q, %v", test.name, c.values["PORT"], err)
		}
		if test.fault != "" && !strings.Contains(all, test.fault) {
			t.Errorf("%s: faults %q, want %q", test.name, all, test.fault)
		}
	}
}

// What is around a value in the environment, or another way to write it, is understood.
func TestValuesAsPeopleWriteThem(t *testing.T) {
	inFolder(t, map[string]string{
		"url":   "\ufeffpostgres://v:pw@127.0.0.1:5432/dbv\r\n\r\n",
		"url16": utf16Text(binary.LittleEndian, "postgres://v:pw@127.0.0.1:5432/dbv\r\n"),
	})
	const database = "postgres://v:pw@127.0.0.1:5432/dbv"
	tests := []struct {
		name, value string
		good        func(c Config) bool
	}{
		{"DATABASE_URL", database + "\n", // the E1 case
			func(c Config) bool { return c.DatabaseURL == database }},
		{"DATABASE_URL", " " + database + "\t\r\n",
			func(c Config) bool { return c.DatabaseURL == database }},
		{"DATABASE_URL", "\ufeff" + database + "\u200b",
			func(c Config) bool { return c.DatabaseURL == database }},
		{"DATABASE_URL_FILE", "url", func(c Config) bool { return c.DatabaseURL == database }},
		{"DATABASE_URL_FILE", " url\n", func(c Config) bool { return c.DatabaseURL == database }},
		{"DATABASE_URL_FILE", "url16", func(c Config) bool { return c.DatabaseURL == database }},
		{"PORT", "8080\n", func(c Config) bool { return c.Port == 8080 }},
		{"PORT", "\u00a08080", func(c Config) bool { return c.Port == 8080 }},
		{"PORT", " \n", func(c Config) bool { return c.Port == 3000 }},
		{"TOKEN_TTL", "300s ", func(c Config) bool { return c.TokenTTL == 5*time.Minute }},
		{"TOKEN_TTL", "5m ", func(c Config) bool { return c.TokenTTL == 5*time.Minute }},
		{"SESSION_IDLE", "1h30m\r", func(c Config) bool { return c.SessionIdle == 90*time.Minute }},
		{"REQUIRE_IF_MATCH", "True", func(c Config) bool { return c.RequireIfMatch }},
		{"REQUIRE_IF_MATCH", "TRUE ", func(c Config) bool { return c.RequireIfMatch }},
		{"REQUIRE_IF_MATCH", "yes", func(c Config) bool { return c.RequireIfMatch }},
		{"REQUIRE_IF_MATCH", "on", func(c Config) bool { return c.RequireIfMatch }},
		{"REQUIRE_IF_MATCH", "1", func(c Config) bool { return c.RequireIfMatch }},
		{"REQUIRE_IF_MATCH", "Off", func(c Config) bool { return !c.RequireIfMatch }},
		{"LOG_LEVEL", "INFO", func(c Config) bool { return c.LogLevel == "info" }},
		{"LOG_FORMAT", "JSON", func(c Config) bool { return c.LogFormat == "json" }},
		{"SIGNUP", "Open", func(c Config) bool { return c.Signup == "open" }},
		{"CONSOLE", "Off", func(c Config) bool { return c.Console == "off" }},
		{"HOST", "LOCALHOST", func(c Config) bool { return c.IsLoopback() }},
		{"HOST", "::1\n", func(c Config) bool { return c.Host == "::1" }},
		{"TRUSTED_PROXIES", "10.0.0.0/8 192.0.2.7\n", func(c Config) bool {
			return slices.Equal(c.TrustedProxies, []netip.Prefix{
				netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"),
			})
		}},
		{"TRUSTED_PROXIES", "::1,::ffff:10.0.0.0/104", func(c Config) bool {
			return slices.Equal(c.TrustedProxies, []netip.Prefix{
				netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8"),
			})
		}},
		{"CORS_ORIGINS", "capacitor://localhost", // the N1 case
			func(c Config) bool { return c.CORSOrigins[0] == "capacitor://localhost" }},
		{"CORS_ORIGINS", "https://a.example http://localhost:5173\n", func(c Config) bool {
			return slices.Equal(c.CORSOrigins,
				[]string{"https://a.example", "http://localhost:5173"})
		}},
	}
	for _, origin := range []string{
		"ionic://localhost", "tauri://localhost", "app://.", "http://tauri.localhost",
		"chrome-extension://abcdefghijklmnopabcdefghijklmnop", "http://[::1]:8080",
		"moz-extension://2c1f0b7e-55b1-4f4e-9d0e-8a4a4cf3a0b1", "vscode-webview://0abc9def",
		"https://xn--exmple-cua.com", "http://my_service:8080", "http://127.0.0.1:5173",
	} {
		tests = append(tests, struct {
			name, value string
			good        func(c Config) bool
		}{"CORS_ORIGINS", origin, func(c Config) bool {
			return slices.Equal(c.CORSOrigins, []string{origin})
		}})
	}
	for _, test := range tests {
		c, err := Load(environment(map[string]string{"SECRET": goodSecret, test.name: test.value}))
		if err != nil || !test.good(c) {
			t.Errorf("%s=%q: %+v, %v", test.name, test.value, c.values, err)
		}
	}
}

// What cannot be understood is refused with what to write instead.
func TestFaultsThatSayWhatToWrite(t *testing.T) {
	inFolder(t, map[string]string{"url": "DATABASE_URL=postgres://u:hunter2@h/d\n"})
	own, err := os.Hostname()
	if err != nil || own == "localhost" {
		t.Skipf("this machine is called %q: %v", own, err)
	}
	tests := []struct{ name, value, want string }{
		{"TOKEN_TTL", "300", `TOKEN_TTL is "300", but has to be a time with its unit: 300s`},
		{"SESSION_MAX", "30d", `SESSION_MAX is "30d", but has to be a time with its unit: 720h`},
		{"SESSION_MAX", "2 weeks", "with its unit: 336h"},
		{"SESSION_IDLE", "30min", "with its unit: 30m"},
		{"SESSION_IDLE", "30 M", "with its unit: 30m"},
		{"PORT", "tcp://10.0.0.1:3000", "which Kubernetes sets for a service"},
		{"PORT", "3000/tcp", "PORT is"},
		{"PORT", "=3000", "PORT is"},
		{"PORT", "PORT=3000", "PORT begins with its own name"},
		{"PORT", `"3000"`, "PORT begins and ends with a quote"},
		{"PORT", "“3000”", "PORT begins and ends with a quote"},
		{"PORT", "${APP_PORT}", "PORT has a reference or a command in it"},
		{"PORT", "$(cat port)", "PORT has a reference or a command in it"},
		{"DATABASE_URL", "postgres://u:${DB_PASSWORD}@h/d", "has a reference or a command in it"},
		{"DATABASE_URL", "postgres://u:$(DB_PASSWORD)@h/d", "has a reference or a command in it"},
		{"DATABASE_URL", "'postgres://u:hunter2@h/d'", "begins and ends with a quote"},
		{"DATABASE_URL_FILE", "url", "DATABASE_URL begins with its own name"},
		{"HOST", "[::1]", "without the brackets"},
		{"HOST", ":3000", "belongs into PORT"},
		{"HOST", "0.0.0.0:3000", "belongs into PORT"},
		{"HOST", "[::]:3000", "belongs into PORT"},
		{"HOST", "http://0.0.0.0:3000", "belongs into PUBLIC_URL"},
		{"HOST", "*", "has to be 0.0.0.0 or ::"},
		// The P2 case.
		{"HOST", "x86_64-conda-linux-gnu", "comes from the environment, where conda"},
		{"HOST", "x86_64-conda_cos6-linux-gnu", "comes from the environment, where conda"},
		{"HOST", "arm64-apple-darwin20.0.0", "comes from the environment, where conda"},
		{"HOST", own, "comes from the environment, where csh and zsh"},
		{"HOST", strings.ToUpper(own), "comes from the environment, where csh and zsh"},
		{"TRUSTED_PROXIES", "loopback", "names are not looked up"},
		{"TRUSTED_PROXIES", "nginx, 10.0.0.0/8", `has "nginx" in it`},
		{"TRUSTED_PROXIES", "*", `has "*" in it`},
		{"TRUSTED_PROXIES", "1", `has "1" in it`},
		{"TRUSTED_PROXIES", "fe80::1%eth0", "names are not looked up"},
		{"CORS_ORIGINS", "*", "without *: name each"},
		{"CORS_ORIGINS", "null", "is of the origin null"},
		{"CORS_ORIGINS", "file://", "is of the origin null"},
		{"CORS_ORIGINS", "https://app.example.com/", "commas: https://app.example.com"},
		{"CORS_ORIGINS", "https://app.example.org/login?x", "commas: https://app.example.org"},
		{"CORS_ORIGINS", "HTTPS://App.Example.org", "commas: https://app.example.org"},
		{"CORS_ORIGINS", "https://app.example.org:443", "commas: https://app.example.org"},
		{"CORS_ORIGINS", "http://app.example.org:080", "commas: http://app.example.org"},
		{"CORS_ORIGINS", "https://app.example.org:08443", "commas: https://app.example.org:8443"},
		{"CORS_ORIGINS", "https://exämple.com", "in ASCII, where such a name begins with xn--"},
		{"CORS_ORIGINS", "app.example.org", "commas: https://app.example.org"},
		{"CORS_ORIGINS", "ws://localhost:5173", "commas: http://localhost:5173"},
		{"CORS_ORIGINS", "http://[0:0:0:0:0:0:0:1]:80", "commas: http://[::1]"},
		{"CORS_ORIGINS", "Capacitor://localhost", "commas: capacitor://localhost"},
		{"CORS_ORIGINS", "capacitor://localhost/", "commas: capacitor://localhost"},
		{"CORS_ORIGINS", "capacitor:localhost", "CORS_ORIGINS has"},
		{"CORS_ORIGINS", "chrome-extension://*", "without *"},
		{"CORS_ORIGINS", `["https://a.example"]`, "CORS_ORIGINS has"},
		{"PUBLIC_URL", "api.example.org", "without a path: https://api.example.org"},
		{"PUBLIC_URL", "https://API.example.org/", "without a path: https://api.example.org"},
		{"PUBLIC_URL", "https://api.example.org:443", "without a path: https://api.example.org"},
		{"PUBLIC_URL", "capacitor://localhost", "without a path"},
		{"PUBLIC_URL", "ftp://api.example.org", "without a path: https://api.example.com"},
		{"PUBLIC_URL", "localhost:3000", "without a path: http://localhost:3000"},
		{"PUBLIC_URL", "https:/api.example.org", "without a path: https://api.example.com"},
		{"PUBLIC_URL", "op://Prod/clientes/url", "has a reference or a command in it"},
		{"CORS_ORIGINS", "https://a.example,", "take away the comma"},
		{"TRUSTED_PROXIES", "10.0.0.0/8,", "take away the comma"},
		{"ISSUER", "op://Prod/clientes/issuer", "has a reference or a command in it"},
		{"DATABASE_URL", "postgres://ana:[YOUR-PASSWORD]@db.example/d", "nobody has replaced"},
		{"SMTP_URL", "smtp://ana:<password>@mail.example", "nobody has replaced"},
		{"ISSUER", "{{ .Values.issuer }}", "has a reference or a command in it"},
		{"ISSUER", "%ISSUER%", "has a reference or a command in it"},
		{"ISSUER", "$ISSUER", "has a reference or a command in it"},
		{"ISSUER", "<your issuer>", "has a reference or a command in it"},
		{"AUDIENCE", "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s/)",
			"has a reference or a command in it"},
		{"ISSUER", "ENC[AES256_GCM,data:5bJD,iv:A,tag:B,type:str]", "has encrypted"},
		{"DATABASE_URL", "encrypted:BDqDBibm4wsYqMpCjTQ6BsDHmMadg9K3dAt", "has encrypted"},
		{"ISSUER", "undefined", "a program writes that has no value"},
		{"ISSUER", "=clientes", "begins with a second sign"},
		{"AUDIENCE", ">clientes", "begins with a second sign"},
		{"SECRET_FILE", "~/secret", "nothing replaces its ~ here"},
		{"SECRET_FILE", "file:///run/secrets/clientes", "without file:"},
		{"SMTP_URL", "smtp://a.example,b.example", "its host has to be a name"},
		{"SMTP_URL", "smtp://h:465", "write smtps:// instead"},
		{"SMTP_URL", "smtps://h:587", "write smtp:// instead"},
		{"MAIL_FROM", "Clientes no-reply@example.com", "MAIL_FROM is"},
	}
	for _, test := range tests {
		vars := map[string]string{"SECRET": goodSecret, test.name: test.value}
		if test.name == "SECRET_FILE" {
			delete(vars, "SECRET")
		}
		if test.name == "SMTP_URL" {
			vars["MAIL_FROM"] = "c@example.com"
		}
		_, err := Load(environment(vars))
		got := strings.Join(faultsOf(err), "; ")
		if !strings.Contains(got, test.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s=%s: %q, want %q", test.name, test.value, got, test.want)
		}
	}
}

// What a server could not open at its start is a fault of the configuration too.
func TestStartWithoutADatabaseFile(t *testing.T) {
	inFolder(t, map[string]string{"file": "", "old.db": ""})
	for url, want := range map[string]string{
		"sqlite:new.db":        "",
		"sqlite:old.db":        "",
		"sqlite:nowhere/x.db":  "DATABASE_URL leads to no database, and none can be made: there is no",
		"sqlite:file/x.db":     "DATABASE_URL leads to no database, and none can be made",
		"sqlite:.":             "DATABASE_URL leads to a folder",
		"sqlite:$HOME/x.db":    "DATABASE_URL begins with a reference",
		"sqlite:%APPDATA%/x":   "DATABASE_URL begins with a reference",
		"sqlite: x.db":         "DATABASE_URL has white space around the name of its file",
		"postgres://u:p@h/d":   "",
		"sqlite:nowhere/x.db?": "DATABASE_URL has to name a file",
	} {
		c, err := Load(environment(map[string]string{"SECRET": goodSecret, "DATABASE_URL": url}))
		got := strings.Join(faultsOf(c.CheckStart(t.Context(), err)), "; ")
		if want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// In .env a HOST is what a person wrote there.
func TestTheNameOfTheMachineInDotenv(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	inFolder(t, map[string]string{".env": "HOST=" + own})
	if _, err := Load(environment(nil)); err != nil {
		t.Error(err)
	}
}

// What is left around a secret is a part of it, and warned of.
func TestWhatIsAroundASecret(t *testing.T) {
	tests := []struct{ name, secret, want string }{
		{"D3 quotes of docker", `"` + goodSecret + `"`, "begins and ends with a quote"},
		{"single quotes", "'" + goodSecret + "'", "begins and ends with a quote"},
		{"typographic quotes", "“" + goodSecret + "”", "begins and ends with a quote"},
		{"quotes and a newline", "'" + goodSecret + "'\n\n", "begins and ends with a quote"},
		{"D5 its name", "SECRET=" + goodSecret, "begins with the name of a setting"},
		{"export", "export SECRET=" + goodSecret, "begins with the name of a setting"},
		{"its name and quotes", `SECRET="` + goodSecret + `"`, "begins and ends with a quote"},
		{"a byte order mark", "\ufeff" + goodSecret, "begins with a byte order mark"},
		{"UTF-16", utf16Text(binary.LittleEndian, goodSecret), "is text in UTF-16"},
		{"a space", goodSecret + " ", "begins or ends with white space"},
		{"a no-break space", "\u00a0" + goodSecret, "begins or ends with white space"},
		{"a zero-width space", goodSecret + "\u200b", "begins or ends with white space"},
		{"two newlines", goodSecret + "\n\n", "begins or ends with white space"},
		{"a second sign", "=" + goodSecret, "begins with a sign (=)"},
		{"JSON", `{"key":"` + goodSecret + `"}`, "begins and ends with a brace"},
		{"two lines", goodSecret + "\n" + otherSecret, "has several lines"},
	}
	for _, test := range tests {
		for _, name := range []string{
			"SECRET", "ROOT_SECRET", "SECRET_PREVIOUS", "ROOT_SECRET_PREVIOUS",
		} {
			secret := test.secret
			if strings.Contains(secret, "SECRET=") {
				secret = strings.ReplaceAll(secret, "SECRET=", name+"=")
			}
			inFolder(t, map[string]string{"secret.txt": secret + "\n"})
			vars := map[string]string{name + "_FILE": "secret.txt"}
			if name != "SECRET" {
				vars["SECRET"] = rootSecret
			}
			c, err := Load(environment(vars), "SECRET")
			got := strings.Join(c.Warnings(), "\n")
			if err != nil || !strings.Contains(got, name+": a secret "+test.want) {
				t.Errorf("%s of %s: warnings %q, %v", test.name, name, got, err)
			}
			if strings.Contains(got, goodSecret[:8]) {
				t.Errorf("%s: a warning has the secret: %q", test.name, got)
			}
		}
	}
}

// Quotes and a name around a weak secret make it no better, and a weak one of before is no fault.
func TestWeakSecretsInDisguise(t *testing.T) {
	inFolder(t, nil)
	for name, secret := range map[string]string{
		"D6":               strings.Repeat("a", 32),
		"in quotes":        `"` + strings.Repeat("a", 32) + `"`,
		"with its name":    "SECRET=" + strings.Repeat("a", 32),
		"a space":          " your_jwt_secret_key_here_change_me ",
		"D1 of docker":     "$(head -c 32 /dev/urandom | base64)",
		"D2 of docker":     "`openssl rand -hex 32 | tr -d x`",
		"a reference":      "${SECRET_OF_THE_PRODUCTION_SERVER}",
		"a line of PEM":    "-----BEGIN OPENSSH PRIVATE KEY-----",
		"the tutorial's":   strings.Repeat("mysecret", 4),
		"of Supabase":      "super-secret-jwt-token-with-at-least-32-characters-long",
		"of FastAPI":       "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
		"digits, repeated": strings.Repeat("0123456789", 4),
	} {
		_, err := Load(environment(map[string]string{"SECRET": secret}), "SECRET")
		got := faultsOf(err)
		if len(got) != 1 || !strings.HasPrefix(got[0], "SECRET cannot be used: it") {
			t.Errorf("%s: %q", name, got)
		} else if strings.Contains(got[0], secret) {
			t.Errorf("%s: the fault has the secret: %q", name, got)
		}
		c, err := Load(environment(map[string]string{
			"SECRET": goodSecret, "SECRET_PREVIOUS": secret, "ROOT_SECRET_PREVIOUS": secret,
		}), "SECRET")
		if got := strings.Join(c.Warnings(), "\n"); err != nil ||
			strings.Count(got, "_PREVIOUS: its secret number 1 ") != 2 {
			t.Errorf("%s of before: %q, %v", name, got, err)
		}
	}
}

func TestPublicURLOfAllAddresses(t *testing.T) {
	inFolder(t, nil)
	for _, test := range []struct {
		vars           map[string]string
		public         string
		loopback, hint bool
	}{
		{map[string]string{}, "http://127.0.0.1:3000", false, false},
		{map[string]string{"PORT": "10000"}, "http://127.0.0.1:10000", true, false}, // the P1 case
		{map[string]string{"PORT": "0"}, "http://127.0.0.1:0", false, false},
		{map[string]string{"PORT": "10000", "HOST": "127.0.0.1"}, "http://127.0.0.1:10000",
			false, false},
		{map[string]string{"PORT": "10000", "HOST": "0.0.0.0"}, "http://localhost:10000",
			false, true},
		{map[string]string{"HOST": "::"}, "http://localhost:3000", false, true},
		{map[string]string{"HOST": "::ffff:0.0.0.0"}, "http://localhost:3000", false, true},
		{map[string]string{"HOST": "0.0.0.0", "PORT": "80"}, "http://localhost", false, true},
		{map[string]string{"HOST": "0.0.0.0", "PUBLIC_URL": "https://a.example"},
			"https://a.example", false, false},
		{map[string]string{"HOST": "192.0.2.7"}, "http://192.0.2.7:3000", false, false},
		{map[string]string{"PUBLIC_URL": "http://0.0.0.0:3000"}, "http://0.0.0.0:3000",
			false, true},
		{map[string]string{"PUBLIC_URL": "http://[::]:3000"}, "http://[::]:3000", false, true},
	} {
		c, err := Load(environment(test.vars))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.PublicURLAt(nil).String(); got != test.public ||
			(c.LoopbackHint() != "") != test.loopback || (c.PublicURLHint() != "") != test.hint {
			t.Errorf("%v: %s, %q, %q", test.vars, got, c.LoopbackHint(), c.PublicURLHint())
		}
	}
	// From .env the port is nobody's but the user's.
	inFolder(t, map[string]string{".env": "PORT=10000"})
	c, err := Load(environment(nil))
	if err != nil || c.LoopbackHint() != "" {
		t.Errorf("%q, %v", c.LoopbackHint(), err)
	}
}

// Kubernetes and compose set a variable to nothing when what it refers to is absent.
func TestAnEmptyVariableOverDotenv(t *testing.T) {
	inFolder(t, map[string]string{".env": "SECRET=" + goodSecret + "\nPORT=8080\nHOST=::1\n"})
	empty := environment(map[string]string{"SECRET": "", "PORT": " ", "ISSUER": ""})
	c, err := Load(empty, "SECRET")
	if got := faultsOf(err); len(got) != 1 || !strings.HasPrefix(got[0], "SECRET is missing") {
		t.Errorf("faults %q", got)
	}
	got := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{
		"the environment sets SECRET to nothing", "the environment sets PORT to nothing",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("warnings %q, want %q", got, want)
		}
	}
	if strings.Count(got, "to nothing") != 2 || c.Host != "::1" {
		t.Errorf("HOST %s, warnings %q", c.Host, got)
	}
}

// The defaults of SESSION_IDLE and REMEMBER_IDLE follow a lower SESSION_MAX, and a value that was
// set does not.
func TestTheDefaultOfSessionIdleIsCapped(t *testing.T) {
	inFolder(t, nil)
	c, err := Load(environment(map[string]string{"SESSION_MAX": "10m"}))
	if err != nil || c.SessionIdle != 10*time.Minute || c.RememberIdle != 10*time.Minute {
		t.Errorf("%s and %s, %v", c.SessionIdle, c.RememberIdle, err)
	}
	for _, name := range []string{"SESSION_IDLE", "REMEMBER_IDLE"} {
		if c.values[name] != "10m0s" {
			t.Errorf("%s is shown as %q", name, c.values[name])
		}
		_, err = Load(environment(map[string]string{"SESSION_MAX": "10m", name: "30m"}))
		if got := faultsOf(err); len(got) != 1 || !strings.HasPrefix(got[0], name+" is 30m0s") {
			t.Errorf("faults %q", got)
		}
	}
	c, err = Load(environment(map[string]string{"REMEMBER_IDLE": "0"}))
	if err != nil || c.RememberIdle != 0 {
		t.Errorf("%s, %v", c.RememberIdle, err)
	}
}
