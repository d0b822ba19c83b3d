package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// restorer makes a backup of a database while it serves, and puts it in place when it does not.
type restorer struct {
	backup  func(t *testing.T, f *fleet)
	restore func(t *testing.T, f *fleet) (url string)
}

func restorers() map[string]func(t *testing.T) (url string, r restorer) {
	return map[string]func(t *testing.T) (string, restorer){
		"sqlite": func(t *testing.T) (string, restorer) {
			folder := t.TempDir()
			url, file := "sqlite:"+filepath.Join(folder, "clientes.db"),
				filepath.Join(folder, "backup.db")
			return url, restorer{
				func(t *testing.T, f *fleet) { f.command(t, "", "backup", file) },
				func(t *testing.T, f *fleet) string {
					f.command(t, "", "restore", file)
					return url
				},
			}
		},
		"postgres": func(t *testing.T) (string, restorer) {
			dump, restore := postgresTool(t, "pg_dump"), postgresTool(t, "pg_restore")
			file := filepath.Join(t.TempDir(), "clientes.dump")
			return postgrestest.Database(t), restorer{
				func(t *testing.T, f *fleet) {
					mustRun(t, dump, "-Fc", "--file="+file, f.databaseURL)
				},
				func(t *testing.T, f *fleet) string {
					url := postgrestest.Database(t)
					mustRun(t, restore, "--no-owner", "--dbname="+url, file)
					(&fleet{databaseURL: url}).command(t, "", "sessions", "end-all")
					return url
				},
			}
		},
	}
}

// postgresTool returns where a tool of Postgres is.
func postgresTool(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	authtest.Must(t, err)
	if len(found) == 0 {
		needs(t, name)
	}
	return found[len(found)-1]
}

func mustRun(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// TestARestoreLosesAndRevivesNothing makes a backup under load, goes on, kills the server and
// brings the backup back. What was answered before the backup is there. What has ended since, and
// what began since, is no use to anybody. No id is given twice. TEST_ROUNDS=n does it n times.
func TestARestoreLosesAndRevivesNothing(t *testing.T) {
	t.Parallel()
	for name, engine := range restorers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, r := engine(t)
			m := newMailServer(t)
			f := &fleet{
				databaseURL: url,
				secret: append(m.environ(), "SECRET="+goodSecret,
					"PUBLIC_URL=https://c.example.com"),
				client: &http.Client{Timeout: eventuallySoon},
			}
			f.command(t, goodPassword, "user", "add", "abc", "--role", "admin", "--password-stdin")
			for n := range storetest.Rounds(t, 1) {
				// Another one in each round: few links are mailed to one in a while.
				ana := fmt.Sprint("ana", n)
				f.command(t, goodPassword, "user", "add", ana, "--email", ana+"@example.com",
					"--password-stdin")
				f.databaseURL = f.restoreRound(t, m, r, ana)
			}
		})
	}
}

// restoreRound is one round of [TestARestoreLosesAndRevivesNothing]. It returns the URL of the
// database that was restored.
func (f *fleet) restoreRound(t *testing.T, m *mailServer, r restorer, ana string) string {
	t.Helper()
	s := f.begin(t, f.databaseURL)
	s.wantListening(t)
	out, stays := f.login(t, s, "abc"), f.login(t, s, "abc")
	early := f.resetLink(t, s, m, ana)

	w := f.write(t, s, stays.Token)
	authtest.Eventually(t, "customers are created", func() bool { return len(w.so()) > 50 })
	before := w.so()
	r.backup(t, f)
	authtest.Eventually(t, "more are created", func() bool { return len(w.so()) > len(before)+50 })

	f.logout(t, s, out.Token)
	since := f.login(t, s, "abc")
	late := f.resetLink(t, s, m, ana)
	if status := s.post(t, "/password/reset", early.body()); status != 200 {
		t.Errorf("the link of before the backup: status %d", status)
	}
	lastUser := f.newUser(t, s, stays.Token)
	authtest.Must(t, s.cmd.Process.Kill())
	s.wait()
	answered := w.end()
	lastID := int64(0)
	for id := range answered {
		lastID = max(lastID, id)
	}

	url := r.restore(t, f)
	f.databaseURL = url
	s = f.begin(t, url)
	s.wantListening(t)
	for what, a := range map[string]answer{
		"logged out since": out, "open at the backup": stays, "begun since": since,
	} {
		got, err := f.insistOnRefresh(t, s, a.Refresh)
		if err != nil || got.status != 401 {
			t.Errorf("a session that was %s was refreshed: %v, %v", what, got, err)
		}
	}
	f.want(t, s, out.Token, no)
	f.want(t, s, stays.Token, no)
	for what, link := range map[string]resetLink{"used since": early, "mailed since": late} {
		if status := s.post(t, "/password/reset", link.body()); status != 422 {
			t.Errorf("a link that was %s: status %d", what, status)
		}
	}
	again := f.login(t, s, "abc")
	for id, name := range before {
		if got := f.nameOf(t, s, again.Token, id); got != name {
			t.Errorf("customer %d was answered before the backup, and is %q", id, got)
		}
	}
	if id := f.newUser(t, s, again.Token); id <= lastUser {
		t.Errorf("the id %d of a user was given before; the last one was %d", id, lastUser)
	}
	w = f.write(t, s, again.Token)
	authtest.Eventually(t, "customers are created", func() bool { return len(w.so()) > 10 })
	for id := range w.end() {
		if id <= lastID {
			t.Errorf("the id %d of a customer was given before; the last one was %d", id, lastID)
		}
	}
	s.signal(t)
	s.wait()
	return url
}

type resetLink struct{ token string }

func (l resetLink) body() string {
	return `{"token":"` + l.token + `","password":"` + goodPassword + ` for ana"}`
}

var resetToken = regexp.MustCompile(`/app/#reset=3D([A-Za-z0-9._-]+)`)

// resetLink has a link mailed to a user.
func (f *fleet) resetLink(t *testing.T, s *server, m *mailServer, user string) resetLink {
	t.Helper()
	had := len(m.Mails())
	if status := s.post(t, "/password/forgot", `{"user":"`+user+`"}`); status != 202 {
		t.Fatalf("status %d", status)
	}
	var link resetLink
	authtest.Eventually(t, "the link is mailed", func() bool {
		found := resetToken.FindStringSubmatch(strings.Join(m.Mails()[had:], "\n"))
		if found != nil {
			link.token = found[1]
		}
		return found != nil
	})
	return link
}

// newUser creates a user over the API and returns the id.
func (f *fleet) newUser(t *testing.T, s *server, token string) int64 {
	t.Helper()
	name := fmt.Sprintf("user%d", len(s.stderr.String())) + strings.ReplaceAll(s.addr, ":", "")
	resp, err := f.send(s, "POST", "/users", "application/json", token, strings.NewReader(
		fmt.Sprintf(`{"user":%q,"role":"viewer","password":%q}`, name, goodPassword)))
	authtest.Must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	authtest.Must(t, err)
	var u struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal(body, &u); err != nil || resp.StatusCode != 201 {
		t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	return u.ID
}

// nameOf returns the name of a customer, or the status.
func (f *fleet) nameOf(t *testing.T, s *server, token string, id int64) string {
	t.Helper()
	resp, err := f.send(s, "GET", fmt.Sprint("/clientes/", id), "", token, nil)
	authtest.Must(t, err)
	defer resp.Body.Close()
	var c struct {
		Name string `json:"name"`
	}
	if err := json.UnmarshalRead(resp.Body, &c); err != nil || resp.StatusCode != 200 {
		return resp.Status
	}
	return c.Name
}

// writing is clients that create customers until they are stopped or the server is.
type writing struct {
	mu      sync.Mutex
	answers map[int64]string
	end     func() map[int64]string
}

func (f *fleet) write(t *testing.T, s *server, token string) *writing {
	t.Helper()
	w := &writing{answers: make(map[int64]string)}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%d of client %d", i, n)
				resp, err := f.send(s, "POST", "/clientes", "application/json", token,
					strings.NewReader(`{"name":"`+name+`"}`))
				if err != nil {
					return // it was killed
				}
				var c struct {
					ID int64 `json:"id"`
				}
				err = json.UnmarshalRead(resp.Body, &c)
				resp.Body.Close()
				if err == nil && resp.StatusCode == 201 {
					w.mu.Lock()
					w.answers[c.ID] = name
					w.mu.Unlock()
				}
			}
		})
	}
	w.end = func() map[int64]string {
		stop()
		clients.Wait()
		return w.answers
	}
	t.Cleanup(func() { w.end() })
	return w
}

// so returns what was answered so far.
func (w *writing) so() map[int64]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[int64]string, len(w.answers))
	for id, name := range w.answers {
		all[id] = name
	}
	return all
}

// TestRestore walks through what an operator may do.
func TestRestore(t *testing.T) {
	inFolder(t, nil)
	vars := at("sqlite:clientes.db")
	names := func() string {
		t.Helper()
		r := call(t, vars, "", "export", "--format", "ndjson")
		r.want(t, 0, "", "")
		return fmt.Sprint(regexp.MustCompile(`"name":"\w+"`).FindAllString(r.stdout, -1))
	}
	add := func(name string) {
		t.Helper()
		call(t, vars, `{"name":"`+name+`"}`, "import", "-", "--format", "ndjson").want(t, 0, "", "")
	}
	call(t, vars, "", "backup", "b.db").want(t, 1, "", "clientes: ")
	if files, _ := os.ReadDir("."); len(files) > 0 {
		t.Errorf("a backup of nothing made files: %v", files)
	}
	call(t, vars, goodPassword, "user", "add", "abc", "--role", "admin", "--password-stdin")
	add("Ana")
	call(t, vars, "", "backup", "b.db").
		want(t, 0, "backed up 1 customer and 1 user to b.db\nsize ", "")
	add("Bia")

	// Not while somebody uses it.
	s := launch(t, []string{"DATABASE_URL=sqlite:clientes.db", "SECRET=" + goodSecret}, "serve")
	call(t, vars, "", "restore", "b.db").want(t, 1, "", "a process has the database open; stop")
	if got := s.post(t, "/login", `{"user":"abc","password":"`+goodPassword+`"}`); got != 200 {
		t.Errorf("status %d", got)
	}
	s.signal(t)
	s.wait()
	if got := names(); got != `["name":"Ana" "name":"Bia"]` {
		t.Errorf("after it was refused there are %s", got)
	}

	// Nor anything that is no backup.
	fileOf(t, "text", "my notes")
	fileOf(t, "empty", "")
	b, err := os.ReadFile("b.db")
	authtest.Must(t, err)
	fileOf(t, "half.db", string(b[:len(b)/2]))
	call(t, at("sqlite:other.db"), "", "migrate").want(t, 0, "", "")
	for _, name := range []string{"text", "empty", "half.db", "absent", "clientes.db", "."} {
		call(t, vars, "", "restore", name).want(t, 1, "", "clientes: ")
	}
	if got := names(); got != `["name":"Ana" "name":"Bia"]` {
		t.Errorf("after bad files there are %s", got)
	}

	call(t, vars, "", "restore", "b.db").want(t, 0,
		"restored 1 customer and 1 user from b.db\nkept the database that was there as ", "")
	if got := names(); got != `["name":"Ana"]` {
		t.Errorf("restored %s", got)
	}
	add("Caio")
	all := call(t, vars, "", "export")
	if !strings.Contains(all.stdout, "\n3,Caio") {
		t.Errorf("the ids do not go on: %s", all.stdout)
	}

	// What was kept can be restored, too. Now the ids are those of the newer one.
	kept, err := filepath.Glob("clientes.db.before-restore-*")
	authtest.Must(t, err)
	if len(kept) != 1 {
		t.Fatalf("kept %q", kept)
	}
	call(t, vars, "", "restore", kept[0]).want(t, 0, "restored 2 customers", "")
	add("Dora")
	if r := call(t, vars, "", "export"); !strings.Contains(r.stdout, "\n4,Dora") {
		t.Errorf("the ids do not go on: %s", r.stdout)
	}

	// Without the database the ids jump.
	authtest.Must(t, os.Rename("clientes.db", "elsewhere.db"))
	call(t, vars, "", "restore", "b.db").want(t, 0, "so ids jump ahead", "")
	add("Eva")
	all = call(t, vars, "", "export")
	if !regexp.MustCompile(`\n\d{10,12},Eva`).MatchString(all.stdout) {
		t.Errorf("the ids do not jump: %s", all.stdout)
	}

	// A backup that was put there by hand.
	fileOf(t, "clientes.db", string(b))
	call(t, vars, "", "user", "list").want(t, 1, "", "clientes restore")
	authtest.Must(t, os.Rename("clientes.db", "moved.db"))
	call(t, vars, "", "restore", "moved.db").want(t, 0, "restored 1 customer", "")
	if got := names(); got != `["name":"Ana"]` {
		t.Errorf("restored %s", got)
	}
	left, err := filepath.Glob("*.restoring*")
	authtest.Must(t, err)
	if len(left) > 0 {
		t.Errorf("left %q", left)
	}

	out := call(t, vars, "", "backup", "-")
	if out.status != 0 || !strings.HasPrefix(out.stdout, "SQLite format 3") ||
		!strings.Contains(out.stderr, "sha256") {
		t.Errorf("to standard output: status %d, %s", out.status, out.stderr)
	}

	elsewhere := at("postgres://u:p@127.0.0.1:1/d")
	call(t, elsewhere, "", "backup", "x").want(t, 1, "", "pg_dump -Fc")
	call(t, elsewhere, "", "restore", "b.db").want(t, 1, "", "clientes sessions end-all")
}

// TestARestoreOfADatabaseThatIsDamaged keeps the old files, the WAL too, and says so.
func TestARestoreOfADatabaseThatIsDamaged(t *testing.T) {
	inFolder(t, nil)
	vars := at("sqlite:clientes.db")
	call(t, vars, `{"name":"Ana"}`, "import", "-", "--format", "ndjson").want(t, 0, "", "")
	call(t, vars, "", "backup", "b.db").want(t, 0, "", "")
	fileOf(t, "clientes.db", strings.Repeat("damaged ", 10_000))
	fileOf(t, "clientes.db-wal", "rest")
	call(t, vars, "", "restore", "b.db").want(t, 0, "which could not be read", "")
	call(t, vars, "", "export").want(t, 0, "1,Ana", "")
	kept, err := filepath.Glob("clientes.db.before-restore-*")
	authtest.Must(t, err)
	if len(kept) != 2 || !strings.HasSuffix(kept[1], "-wal") {
		t.Errorf("kept %q", kept)
	}
}

// TestARestoreThatIsKilled leaves the old or the new database, and goes on when it is given again.
func TestARestoreThatIsKilled(t *testing.T) {
	inFolder(t, nil)
	vars := at("sqlite:clientes.db")
	call(t, vars, "name\nAna\n", "import", "-", "--format", "csv").want(t, 0, "", "")
	call(t, vars, "", "backup", "b.db").want(t, 0, "", "")
	lastID := 1
	export := func() (ids []string) {
		t.Helper()
		r := call(t, vars, "", "export")
		r.want(t, 0, "", "")
		return regexp.MustCompile(`(?m)^\d+`).FindAllString(r.stdout, -1)
	}
	// A whole one, to see how long it takes.
	began := time.Now()
	cmd := command(t, []string{"DATABASE_URL=sqlite:clientes.db"}, "restore", "b.db")
	authtest.Must(t, cmd.Run())
	took := time.Since(began)
	old := 0
	for range storetest.Rounds(t, 8) {
		call(t, vars, "name\nBia\n", "import", "-", "--format", "csv").want(t, 0, "", "")
		before := export()
		var last int
		fmt.Sscan(before[len(before)-1], &last)
		if last <= lastID {
			t.Errorf("the id %d after %d", last, lastID)
		}
		lastID = last
		cmd := command(t, []string{"DATABASE_URL=sqlite:clientes.db"}, "restore", "b.db")
		authtest.Must(t, cmd.Start())
		time.Sleep(took/2 + rand.N(took/2))
		cmd.Process.Kill()
		cmd.Wait()
		got := fmt.Sprint(export())
		switch got {
		case fmt.Sprint(before):
			old++
		case "[1]":
		default:
			t.Errorf("there are %s", got)
		}
		call(t, vars, "", "restore", "b.db").want(t, 0, "restored 1 customer", "")
	}
	t.Logf("the old database was left %d times", old)
}

// TestSessionsEndAll ends sessions beside a server that runs.
func TestSessionsEndAll(t *testing.T) {
	t.Parallel()
	for name, database := range engineURLs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1, database(t))
			f.addUser(t, "ana")
			a := f.login(t, f.on(0), "ana")
			f.want(t, f.on(0), a.Token, yes)
			f.command(t, "", "sessions", "end-all")
			authtest.Eventually(t, "the server knows", f.isRefused(t, f.on(0), a.Token))
			f.wantRefused(t, f.on(0), "/refresh", refreshBody{a.Refresh}, "refresh_invalid")
		})
	}
}
