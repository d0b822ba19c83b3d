package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
)

// TestMain lets the test binary be the program itself, for tests that need a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv(runAsProgram) != "" || slices.Equal(os.Args[1:], []string{hashPasswords}) {
		main()
	}
	// Most parallel tests wait for time to pass, so more of them than there are cores can run at
	// once. The command line's own -parallel is read after this, and wins.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const runAsProgram = "CLIENTES_TEST_RUNS_THE_PROGRAM"

// command returns the program as a process of its own, in the working folder of the test, with this
// environment alone.
func command(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	authtest.Must(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append([]string{runAsProgram + "=1"}, environ...)
	return cmd
}

// needs skips a test that runs programs which are not installed. With CI=true it fails instead.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		_, err := exec.LookPath(program)
		switch {
		case err != nil && os.Getenv("CI") == "true":
			t.Fatal("this test runs ", program, ": ", err)
		case err != nil:
			t.Skip("this test runs ", program, ", which is not installed")
		}
	}
}

// children returns the processes that a process has started, none where there is no /proc.
func children(tb testing.TB, pid int) (of []int) {
	tb.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	authtest.Must(tb, err)
	for _, file := range files {
		text, _ := os.ReadFile(file) // or the thread has ended
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			authtest.Must(tb, err)
			of = append(of, child)
		}
	}
	return of
}

// result is how a call of run ended.
type result struct {
	status         int
	stdout, stderr string
}

// manyOfOne matches what is said of several things with the number one, as in "1 rows" or "1 were".
var manyOfOne = regexp.MustCompile(`\b1 (?:were|are|have|[a-z]{2,}[^is\W]s)\b`)

// call runs the program within the test. Whatever it prints, it counts as people do.
func call(t *testing.T, vars map[string]string, stdin string, args ...string) result {
	t.Helper()
	r := callWithin(t.Context(), vars, stdin, args...)
	if wrong := manyOfOne.FindString(r.stdout + r.stderr); wrong != "" {
		t.Errorf("%q says %q: %s%s", args, wrong, r.stdout, r.stderr)
	}
	return r
}

// One thing is named as one.
func TestOne(t *testing.T) {
	secretIn(t)
	user := "user,password_hash\nana," + bcryptHash + "\n"
	for _, test := range []struct{ stdin, args, want string }{
		{"", "serve now", "but 1 was given"},
		{user, "user import - --dry-run", "1 user can be imported"},
		{user, "user import -", "1 user with a hash of bcrypt\n"},
		{"name\nAna\n", "import - --dry-run", "1 customer can be imported"},
		{"name\nAna\n", "import -", "imported 1 customer\n"},
		{"name,email\nAna,ana\n", "import -", "the file has a fault"},
		{"", "export all.csv", "exported 1 customer to"},
		{"", "backup b.db", "backed up 1 customer and 1 user to"},
		{"", "restore b.db", "restored 1 customer and 1 user from"},
		{"", "sessions end-all", "the links and device tokens of 1 user;"},
		{"", "migrate", "the database has all"},
		{"", "rekey", "sealed 0 second factors anew"},
	} {
		r := call(t, nil, test.stdin, strings.Fields(test.args)...)
		if !strings.Contains(r.stdout+r.stderr, test.want) {
			t.Errorf("%s says %s%s, want %q", test.args, r.stdout, r.stderr, test.want)
		}
	}
	call(t, map[string]string{"SECRET": "a"}, "", "config").want(t, 1, "", "")
	for text, wrong := range map[string]bool{
		"1 rows": true, "1 were given": true, "1 row": false, "11 rows": false, "1 was": false,
		"1 address": false, "1 is": false,
	} {
		if manyOfOne.MatchString(text) != wrong {
			t.Errorf("%q is taken for the wrong kind", text)
		}
	}
}

// callWithin is call with a context that may end before the program does. Without vars,
// DATABASE_URL is set to its default, for in a folder where nothing is set no command adds
// anything. What a command says of a database that it has made is left out.
func callWithin(
	ctx context.Context, vars map[string]string, stdin string, args ...string,
) result {
	if vars == nil {
		vars = at("sqlite:clientes.db")
	}
	var stdout, stderr bytes.Buffer
	status := run(ctx, args, environment(vars), strings.NewReader(stdin), &stdout, &stderr)
	said := madeLine.ReplaceAllString(stderr.String(), "")
	return result{status, stdout.String(), said}
}

// madeLine is what a command says when it has made a database. TestNoDatabaseByAccident reads it,
// and [callWithin] removes it.
var madeLine = regexp.MustCompile(`(?m)^clientes: made the (database|tables) .*\n`)

// want fails the test unless the call ended with this status and these texts are in its output.
func (r result) want(t *testing.T, status int, stdout, stderr string) {
	t.Helper()
	said := strings.Contains(r.stdout, stdout) && strings.Contains(r.stderr, stderr)
	if r.status != status || !said {
		t.Fatalf("status %d, want %d\nstdout %s\nwant %s\nstderr %s\nwant %s",
			r.status, status, r.stdout, stdout, r.stderr, stderr)
	}
	if r.status == 0 && r.stderr != "" && stderr == "" {
		t.Fatalf("done, but stderr says %s", r.stderr)
	}
}

// wantJSON fails the test unless the call ended with this status and standard output is one JSON
// value that v takes, with all its members.
func wantJSON(t *testing.T, r result, status int, v any) {
	t.Helper()
	err := json.Unmarshal([]byte(r.stdout), v, json.RejectUnknownMembers(true))
	if r.status != status || err != nil || r.status == 0 && r.stderr != "" {
		t.Fatalf("status %d, want %d, %v\nstdout %s\nstderr %s",
			r.status, status, err, r.stdout, r.stderr)
	}
	if body, ok := strings.CutSuffix(r.stdout, "\n"); !ok || body != strings.TrimSpace(body) {
		t.Errorf("the JSON does not end with one newline: %q", r.stdout[max(0, len(r.stdout)-20):])
	}
}

// A terminal prints the lines of a help as they are.
func TestHelpIsNarrow(t *testing.T) {
	var walk func(args ...string)
	walk = func(args ...string) {
		r := call(t, nil, "", append([]string{"help"}, args...)...)
		r.want(t, 0, "Usage:", "")
		for line := range strings.Lines(r.stdout) {
			line = strings.TrimSuffix(line, "\n")
			if utf8.RuneCountInString(line) > maxColumns {
				t.Errorf("the help of %v has a wide line: %s", args, line)
			}
		}
		cmd, _, err := new(program).root().Find(args)
		authtest.Must(t, err)
		for _, c := range cmd.Commands() {
			walk(append(slices.Clone(args), c.Name())...)
		}
	}
	walk()
}

func TestWrongUsage(t *testing.T) {
	inFolder(t, nil)
	tests := []struct {
		args string
		want string
	}{
		{"", "clientes: give a command; `clientes --help` lists them\n"},
		{"srve", "clientes: there is no command \"srve\"; did you mean `clientes serve`?\n"},
		{"srve --port 1", "clientes: there is no command \"srve\""},
		{"xyzzy", "clientes: there is no command \"xyzzy\"; `clientes --help` lists them\n"},
		{"import",
			"clientes: `clientes import` takes FILE, but 0 were given; see `clientes import --help`\n"},
		{"import x.csv --format xml", "clientes: there is no format \"xml\"; give csv or ndjson\n"},
		{"export x.csv y.csv", "clientes: give one file, or none to write to standard output\n"},
		{"export x.csv --format text/csv",
			"clientes: there is no format \"text/csv\"; give csv or ndjson\n"},
		{"export x.json",
			"clientes: the name of the file does not say its format; end it in .csv or .ndjson"},
		{"export x.jsonl --spreadsheet-safe", "clientes: --spreadsheet-safe is for CSV"},
		{"export --format ndjson --spreadsheet-safe", "clientes: --spreadsheet-safe is for CSV"},
		{"completion", "clientes: `clientes completion` takes SHELL, but 0 were given"},
		{"completion tcsh", "clientes: there is no completion for \"tcsh\""},
		{"--port 1", "clientes: give a command before --port; `clientes --help` lists them\n"},
		{"user -x", "clientes: give a command before -x; `clientes user --help` lists them\n"},
		{"--version --json", "clientes: --version stands alone; `clientes version --json` prints JSON"},
		{"user --version", "clientes: give a command before --version;"},
		{"help xyzzy", "clientes: there is no command \"xyzzy\""},
		{"serve --port 1", "clientes: unknown flag: --port; see `clientes serve --help`\n"},
		{"changes --follow=maybe", "clientes: invalid argument \"maybe\" for \"--follow\" flag; " +
			"see `clientes changes --help`\n"},
		{"serve now", "clientes: `clientes serve` takes no arguments, but 1 was given"},
		{"version -x",
			"clientes: unknown shorthand flag: 'x' in -x; see `clientes version --help`\n"},
		{"user", "clientes: give a command; `clientes user --help` lists them\n"},
		{"user lst", "clientes: there is no command \"lst\"; did you mean `clientes user list`?\n"},
		{"user add", "clientes: `clientes user add` takes NAME, but 0 were given"},
		{"user import", "clientes: `clientes user import` takes FILE, but 0 were given"},
		{"user role bob", "clientes: `clientes user role` takes NAME and ROLE, but 1 was given"},
		{"user role bob boss",
			"clientes: there is no role \"boss\"; give viewer, editor or admin\n"},
		{"user add bob --role boss --password-stdin", "clientes: there is no role \"boss\""},
		{"user add bob --password-stdin --password-hash x",
			"clientes: --password-hash and --password-stdin are two ways"},
		{"user add bob --password-hash=",
			"clientes: --password-hash is empty; put the hash in single quotes"},
		{"user add bob --email", "clientes: flag needs an argument: --email"},
		{"migrate down", "clientes: there is no command \"down\""},
		{"backup", "clientes: `clientes backup` takes FILE, but 0 were given"},
		{"restore a b", "clientes: `clientes restore` takes FILE, but 2 were given"},
		{"sessions", "clientes: give a command; `clientes sessions --help` lists them\n"},
		{"key add x", "clientes: give the user whose key it is with --user"},
		{"token", "clientes: give a command"},
		{"token inspect a b", "clientes: give one token"},
		{"token inspect", "clientes: give a token as the argument or on standard input"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			r := call(t, nil, "", strings.Fields(test.args)...)
			r.want(t, 2, "", test.want)
			if r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("not one sentence: stdout %q, stderr %q", r.stdout, r.stderr)
			}
		})
	}
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("wrong usage made files: %v", files)
	}
}

func TestHelp(t *testing.T) {
	inFolder(t, nil)
	for _, args := range [][]string{{"--help"}, {"help"}} {
		r := call(t, nil, "", args...)
		r.want(t, 0, "Usage:", "")
		for _, name := range []string{
			"quickstart", "serve", "migrate", "user", "import", "export",
			"copy", "backup", "restore", "sessions", "key", "token", "config", "healthcheck",
			"version",
		} {
			if !strings.Contains(r.stdout, "\n  "+name+" ") {
				t.Errorf("%v does not name %s:\n%s", args, name, r.stdout)
			}
		}
	}
	call(t, nil, "", "help", "user", "add").want(t, 0, "--password-stdin", "")
	call(t, nil, "", "user", "add", "--help").want(t, 0, "--password-stdin", "")
}

func TestVersion(t *testing.T) {
	text := call(t, nil, "", "version")
	text.want(t, 0, "clientes ", "")
	text.want(t, 0, ", go1.", "")
	for _, flag := range []string{"--version", "-v"} {
		if r := call(t, nil, "", flag); r != text {
			t.Errorf("%s prints %+v, want %+v", flag, r, text)
		}
	}
	var v versionView
	wantJSON(t, call(t, nil, "", "version", "--json"), 0, &v)
	if text.stdout != fmt.Sprintf("clientes %s, commit %s, %s\n", v.Version, v.Commit, v.Go) {
		t.Errorf("version --json prints %+v", v)
	}
}

// A bad configuration stops every command that reads one, and all its faults are listed.
func TestEveryCommandChecksTheConfiguration(t *testing.T) {
	inFolder(t, map[string]string{".env": "PROT=1\n"})
	vars := map[string]string{"PORT": "x", "LOG_LEVEL": "x"}
	for _, args := range []string{
		"quickstart", "serve", "migrate", "migrate status", "user add a --password-stdin",
		"user import x", "user list", "user passwd a",
		"user role a admin", "user disable a", "user enable a", "user delete a", "import x.csv",
		"export", "token inspect x", "config", "healthcheck",
		"backup x", "restore x", "sessions end-all",
		"key add x --user a", "key list", "key end x",
	} {
		r := call(t, vars, "", strings.Fields(args)...)
		r.want(t, 1, "", "clientes: the configuration has to be corrected:\n")
		r.want(t, 1, "", "\n  PORT is \"x\"")
		r.want(t, 1, "", "\n  LOG_LEVEL is \"x\"")
		r.want(t, 1, "",
			"clientes: warning: .env line 1: nobody knows PROT; the nearest known name is PORT\n")
	}
	call(t, vars, "", "version").want(t, 0, "clientes ", "")
}

func TestConfig(t *testing.T) {
	inFolder(t, map[string]string{
		".env":   "SECRET_FILE=secret\nHOST=0.0.0.0\nSECRET_PREVIOUS='" + otherSecret + "'\n",
		"secret": goodSecret + "\n",
	})
	r := call(t, map[string]string{
		"PORT": "3001", "DATABASE_URL": "postgres://u:hunter2@h/d", "ROOT_SECRET": rootSecret,
		"SMTP_URL": "smtp://u:hunter2@h", "MAIL_FROM": "Clientes <c@example.com>",
	}, "", "config")
	want := `SETTING           VALUE                         FROM
SECRET            (hidden)                      file secret
SECRET_PREVIOUS   (hidden)                      .env
ROOT_SECRET       (hidden)                      environment
ROOT_SECRET_PREVIOUS (none)                     default
HOST              0.0.0.0                       .env
PORT              3001                          environment
DATABASE_URL      postgres://u:***@h/d          environment
TOKEN_TTL         300s                          default
SESSION_IDLE      30m                           default
REMEMBER_IDLE     336h                          default
SESSION_MAX       720h                          default
ISSUER            clientes                      default
AUDIENCE          clientes                      default
REFRESH_GRACE     30s                           default
AUDIT_KEEP        8760h                         default
SIGNUP            closed                        default
REQUIRE_MFA       none                          default
PASSWORD_MIN      8                             default
PASSWORD_DENYLIST (none)                        default
PUBLIC_URL        http://localhost:3001         default
SMTP_URL          smtp://***:***@h:587          environment
MAIL_FROM         Clientes <c@example.com>      environment
CORS_ORIGINS      (none)                        default
TRUSTED_PROXIES   (none)                        default
REQUIRE_IF_MATCH  false                         default
CONSOLE           on                            default
METRICS_ADDR      (none)                        default
LOG_LEVEL         info                          default
LOG_FORMAT        text on a terminal, else json default
SHUTDOWN_DELAY    0s                            default
SHUTDOWN_TIMEOUT  20s                           default
`
	if squeeze(r.stdout) != squeeze(want) || r.status != 0 || r.stderr != "" {
		t.Errorf("status %d, stderr %q, stdout\n%s\nwant\n%s", r.status, r.stderr, r.stdout, want)
	}

	inFolder(t, nil)
	r = call(t, nil, "", "config")
	r.stdout = squeeze(r.stdout)
	r.want(t, 1, "SECRET (none)",
		"SECRET is missing; `openssl rand -hex 32` makes a good one")
}

// squeeze replaces several spaces by one.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestACommandThatIsInterruptedSaysSo(t *testing.T) {
	inFolder(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	callWithin(ctx, nil, "", "migrate").want(t, 1, "", "clientes: interrupted before it was done\n")
}
