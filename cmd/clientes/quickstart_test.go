package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/sqlite"
)

// passwordIn returns the password in the output of quickstart, "" if there is none.
func passwordIn(printed string) string {
	m := regexp.MustCompile(`(?m)^ +password +(\S+)$`).FindStringSubmatch(printed)
	if m == nil {
		return ""
	}
	return m[1]
}

// login returns an access token of the admin of a quickstart.
func (s *server) login(t *testing.T, password string) string {
	t.Helper()
	return s.loginAs(t, "abc", password)
}

// loginAs returns an access token of a user.
func (s *server) loginAs(t *testing.T, user, password string) string {
	t.Helper()
	resp, err := http.Post(s.url("/login"), "application/json",
		strings.NewReader(`{"user":"`+user+`","password":"`+password+`"}`))
	authtest.Must(t, err)
	defer resp.Body.Close()
	var login struct {
		Token string `json:"token"`
	}
	if err := json.UnmarshalRead(resp.Body, &login); err != nil || resp.StatusCode != 200 {
		t.Fatalf("login: status %d, %v", resp.StatusCode, err)
	}
	return login.Token
}

// customers returns the names of all customers.
func customers(t *testing.T) []string {
	t.Helper()
	st, err := sqlite.Open(t.Context(), "sqlite:clientes.db", store.Options{})
	authtest.Must(t, err)
	defer st.Close()
	all, err := st.Clientes(t.Context(), store.Selection{}, store.Position{}, 100)
	authtest.Must(t, err)
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return names
}

// A newcomer in an empty folder: one command, then lines to paste. Run again it only serves.
func TestQuickstart(t *testing.T) {
	inFolder(t, nil)
	s := launch(t, nil, "quickstart")
	printed := s.printed(t)
	password := passwordIn(printed)
	if len(password) < 20 || strings.Count(printed, password) != 2 {
		t.Fatalf("the password is not there, and in the line that logs in:\n%s", printed)
	}
	dotenv, err := os.ReadFile(".env")
	authtest.Must(t, err)
	secret := regexp.MustCompile(`(?m)^SECRET=[0-9a-f]{64}$`)
	if !secret.Match(dotenv) || strings.Contains(printed, string(dotenv)) {
		t.Errorf(".env is\n%s", dotenv)
	}
	root := regexp.MustCompile(`(?m)^ROOT_SECRET=[0-9a-f]{64}$`)
	if !root.Match(dotenv) {
		t.Errorf("there is no ROOT_SECRET in .env:\n%s", dotenv)
	}
	if info, err := os.Stat(".env"); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	t.Run("its lines, pasted", func(t *testing.T) {
		needs(t, "curl")
		paste := regexp.MustCompile(`(?ms)^TOKEN=.*/logout'.*?$`).FindString(printed)
		sh := exec.CommandContext(t.Context(), "sh", "-e", "-c", paste)
		sh.Env = []string{"PATH=" + os.Getenv("PATH")}
		out, err := sh.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		answers := strings.Split(strings.TrimSpace(string(out)), "\n")
		for i, want := range []string{
			`[{"id":1,"name":"Ana Souza"`, `{"id":6,"name":"Flora Dias"`,
			`{"id":1,"name":"Ana Souza"`, `{"auth":false,"token":null}`,
		} {
			if i >= len(answers) || !strings.HasPrefix(answers[i], want) {
				t.Errorf("the lines\n%s\nanswer\n%s\nwant, in line %d, %s", paste, out, i+1, want)
			}
		}
	})
	s.signal(t)
	if status := s.wait(); status != 0 {
		t.Errorf("status %d, log %s", status, s.stderr.String())
	}
	for _, secret := range []string{password, "eyJ"} {
		if strings.Contains(s.stderr.String(), secret) {
			t.Errorf("%s is in the log: %s", secret, s.stderr.String())
		}
	}

	s = launch(t, nil, "quickstart")
	printed = s.printed(t)
	const again = "Everything is set up already; serving at http://127.0.0.1:"
	if passwordIn(printed) != "" || !strings.Contains(printed, again) {
		t.Errorf("the second time it prints\n%s", printed)
	}
	s.login(t, password)
	if now, err := os.ReadFile(".env"); err != nil || string(now) != string(dotenv) {
		t.Errorf(".env has changed: %s, %v", now, err)
	}
	if n := len(customers(t)); n != 6 {
		t.Errorf("%d customers after the second time", n)
	}
}

// The lines for PowerShell send what those for a POSIX shell send. No shell of Windows runs them
// here.
func TestPasteLines(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		lines := pasteLines(goos)
		for _, part := range []string{
			"URL/login", "USER", "PASS", "x-access-token", "'URL/clientes'", "flora@example.com",
			"'URL/clientes/1'", "URL/logout",
		} {
			if !strings.Contains(lines, part) {
				t.Errorf("the lines for %s have no %s:\n%s", goos, part, lines)
			}
		}
	}
}

// Whoever typed "go run" has no program of the name clientes.
func TestCommandsAsTyped(t *testing.T) {
	cached := "/home/ana/.cache/go-build/cd/" + strings.Repeat("cdf3", 16) + "-d/clientes"
	for executable, want := range map[string]string{
		"/usr/local/bin/clientes":              "clientes",
		"./clientes":                           "clientes",
		"":                                     "clientes",
		"/home/ana/exe/clientes":               "clientes",
		"/tmp/go-build4193/b001/exe/clientes":  "go run ./cmd/clientes",
		cached:                                 "go run ./cmd/clientes",
		"/tmp/go-build4193/b001/clientes.test": "clientes",
		"/home/ana/clientes-linux-amd64":       "./clientes-linux-amd64",
	} {
		p := &program{name: calledAs(executable)}
		got := p.asTyped("`clientes serve` starts clientes, `clientes user list` lists")
		if got != "`"+want+" serve` starts clientes, `"+want+" user list` lists" {
			t.Errorf("called as %s: %s", executable, got)
		}
	}
}

// If the port is in use, quickstart makes nothing.
func TestQuickstartOnABusyPort(t *testing.T) {
	inFolder(t, nil)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	defer busy.Close()
	port := strconv.Itoa(busy.Addr().(*net.TCPAddr).Port)
	call(t, map[string]string{"PORT": port}, "", "quickstart").
		want(t, 1, "", "clientes: cannot listen on 127.0.0.1:"+port)
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("it made files: %v", files)
	}
}

// Wherever the first run was stopped, the next one goes on.
func TestQuickstartGoesOn(t *testing.T) {
	withSamples := func(n int) func(t *testing.T, st *sqlite.Store) {
		return func(t *testing.T, st *sqlite.Store) {
			for _, c := range samples()[:n] {
				if _, err := st.CreateCliente(t.Context(), 0, c); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	tests := []struct {
		name   string
		dotenv string // "" for none
		fill   func(t *testing.T, st *sqlite.Store)
	}{
		{"before .env", "", nil},
		{"within .env", "# Whoever", nil},
		{"after .env", "SECRET=" + goodSecret + "\n", nil},
		{"after the migrations", "SECRET=" + goodSecret + "\n", withSamples(0)},
		{"among the customers", "SECRET=" + goodSecret + "\n", withSamples(2)},
		{"before the admin", "SECRET=" + goodSecret + "\n", withSamples(5)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t, nil)
			if test.dotenv != "" {
				authtest.Must(t, os.WriteFile(".env", []byte(test.dotenv), 0o600))
			}
			if test.fill != nil {
				call(t, nil, "", "migrate").want(t, 0, "", "")
				st, err := sqlite.Open(t.Context(), "sqlite:clientes.db", store.Options{})
				authtest.Must(t, err)
				test.fill(t, st)
				authtest.Must(t, st.Close())
			}
			s := launch(t, nil, "quickstart")
			s.login(t, passwordIn(s.printed(t)))
			if got := customers(t); len(got) != len(samples()) {
				t.Errorf("the customers are %q", got)
			}
		})
	}
}

func TestQuickstartKeepsWhatIsThere(t *testing.T) {
	t.Run("customers", func(t *testing.T) {
		inFolder(t, nil)
		call(t, nil, "", "migrate").want(t, 0, "", "")
		st, err := sqlite.Open(t.Context(), "sqlite:clientes.db", store.Options{})
		authtest.Must(t, err)
		if _, err := st.CreateCliente(t.Context(), 0, store.Cliente{Name: "Mine"}); err != nil {
			t.Fatal(err)
		}
		authtest.Must(t, st.Close())
		s := launch(t, nil, "quickstart")
		s.login(t, passwordIn(s.printed(t)))
		if got := customers(t); len(got) != 1 {
			t.Errorf("the customers are %q", got)
		}
	})
	t.Run("users", func(t *testing.T) {
		inFolder(t, nil)
		call(t, nil, goodPassword, "user", "add", "bob", "--password-stdin").want(t, 0, "", "")
		s := launch(t, []string{"SECRET=" + goodSecret}, "quickstart")
		if printed := s.printed(t); passwordIn(printed) != "" {
			t.Errorf("there is a new admin:\n%s", printed)
		}
		if got := customers(t); len(got) != 0 {
			t.Errorf("the customers are %q", got)
		}
	})
	t.Run("a .env without SECRET", func(t *testing.T) {
		inFolder(t, nil)
		// As a copy of .env.example, open to others and without a line end.
		const before = "SECRET=\nISSUER=me"
		authtest.Must(t, os.WriteFile(".env", []byte(before), 0o644))
		s := launch(t, nil, "quickstart")
		const added = "added a new SECRET to .env, which only you can read.\n"
		if printed := s.printed(t); !strings.HasPrefix(printed, added) {
			t.Errorf("it does not say what it did:\n%s", printed)
		}
		after, err := os.ReadFile(".env")
		if err != nil || !strings.HasPrefix(string(after), before+"\n") {
			t.Errorf(".env is\n%s", after)
		}
		if info, err := os.Stat(".env"); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		call(t, nil, "", "config").want(t, 0, "", "")
	})
	t.Run("a SECRET in the environment", func(t *testing.T) {
		inFolder(t, nil)
		launch(t, []string{"SECRET=" + goodSecret}, "quickstart")
		if _, err := os.Stat(".env"); err == nil {
			t.Error("it made a .env that the environment hides")
		}
	})
}

// A new SECRET beside an existing database logs everybody out and makes second factors unreadable.
// So quickstart makes one only if it is told to.
func TestQuickstartBesideADatabaseWithoutItsDotenv(t *testing.T) {
	inFolder(t, nil)
	s := launch(t, nil, "quickstart")
	password := passwordIn(s.printed(t))
	s.signal(t)
	s.wait()
	dotenv, err := os.ReadFile(".env")
	authtest.Must(t, err)
	authtest.Must(t, os.Remove(".env"))

	lost := begin(t, nil, "quickstart")
	status := lost.wait()
	for _, want := range []string{
		"sqlite:clientes.db has users, but no SECRET is set: was .env lost? Put it back",
		"`clientes quickstart --new-secret` makes another", "second factors cannot be opened",
	} {
		if status != 1 || !strings.Contains(lost.stderr.String(), want) {
			t.Errorf("status %d, it does not say %q: %s", status, want, lost.stderr.String())
		}
	}
	if _, err := os.Stat(".env"); err == nil {
		t.Error("it wrote a new .env")
	}

	// Half of a .env is no better than none, but another SECRET in it is the user's own doing.
	authtest.Must(t, os.WriteFile(".env", []byte("ISSUER=clientes\n"), 0o600))
	if lost := begin(t, nil, "quickstart"); lost.wait() != 1 {
		t.Errorf("with a .env that has no SECRET it serves: %s", lost.stderr.String())
	}
	authtest.Must(t, os.Remove(".env"))

	s = launch(t, nil, "quickstart", "--new-secret")
	if printed := s.printed(t); !strings.HasPrefix(printed, "wrote .env with a new SECRET") {
		t.Errorf("it prints\n%s", printed)
	}
	s.login(t, password)
	if now, err := os.ReadFile(".env"); err != nil || string(now) == string(dotenv) {
		t.Errorf("the .env is the old one: %v", err)
	}
	s.signal(t)
	s.wait()
	made, err := os.ReadFile(".env")
	authtest.Must(t, err)
	s = launch(t, nil, "quickstart", "--new-secret") // nothing to make
	if printed := s.printed(t); !strings.HasPrefix(printed, "There is a SECRET already") {
		t.Errorf("it prints\n%s", printed)
	}
	s.login(t, password)
	if now, err := os.ReadFile(".env"); err != nil || string(now) != string(made) {
		t.Errorf(".env has changed: %s, %v", now, err)
	}
}

// What the environment says of ROOT_SECRET would hide a line of .env now, but perhaps not later.
func TestQuickstartLeavesARootSecretAlone(t *testing.T) {
	for _, set := range []string{
		"ROOT_SECRET=", "ROOT_SECRET_FILE=", "ROOT_SECRET=" + rootSecret,
	} {
		inFolder(t, nil)
		launch(t, []string{set}, "quickstart")
		dotenv, err := os.ReadFile(".env")
		if err != nil || strings.Contains(string(dotenv), "\nROOT") {
			t.Errorf("%s: .env is\n%s%v", set, dotenv, err)
		}
	}
}

func TestQuickstartWithASecretThatIsHidden(t *testing.T) {
	for _, name := range []string{"SECRET", "SECRET_FILE"} {
		inFolder(t, nil)
		want := "clientes: the environment sets " + name + " to nothing, which hides what .env says"
		call(t, map[string]string{name: ""}, "", "quickstart").want(t, 1, "", want)
		if files, _ := os.ReadDir("."); len(files) > 0 {
			t.Errorf("it made files: %v", files)
		}
	}
}

// No text of a sample is altered when it is stored.
func TestSamplesAreValid(t *testing.T) {
	for _, c := range samples() {
		if valid, err := c.Validate(); err != nil || valid != c {
			t.Errorf("%q becomes %+v, %v", c.Name, valid, err)
		}
	}
}
