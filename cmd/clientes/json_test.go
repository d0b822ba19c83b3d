package main

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// Every command whose result a script needs prints it as JSON. Errors and exit statuses are those
// of the same command without --json.
func TestJSON(t *testing.T) {
	secretIn(t)
	began := time.Now().Add(-time.Second)
	var migrations []struct {
		Version   int64      `json:"version"`
		Name      string     `json:"name"`
		Applied   bool       `json:"applied"`
		AppliedAt *time.Time `json:"applied_at"`
	}
	status := func() {
		t.Helper()
		migrations = nil
		wantJSON(t, call(t, nil, "", "migrate", "status", "--json"), 0, &migrations)
		if len(migrations) != store.SchemaVersion || migrations[0].Version != 1 ||
			!strings.HasPrefix(migrations[0].Name, "00001_") {
			t.Fatalf("%+v", migrations)
		}
	}
	status()
	if m := migrations[0]; m.Applied || m.AppliedAt != nil {
		t.Errorf("before all: %+v", m)
	}

	var user struct {
		ID        int64     `json:"id"`
		User      string    `json:"user"`
		Email     string    `json:"email"`
		Role      string    `json:"role"`
		Disabled  bool      `json:"disabled"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	wantJSON(t, call(t, nil, goodPassword, "user", "add", "ana", "--password-stdin", "--json",
		"--email", "ana@example.com", "--role", "editor"), 0, &user)
	if user.ID != 1 || user.User != "ana" || user.Email != "ana@example.com" ||
		user.Role != "editor" || user.Disabled || user.CreatedAt.Before(began) {
		t.Errorf("%+v", user)
	}
	call(t, nil, goodPassword, "user", "add", "ana", "--password-stdin", "--json").
		want(t, 1, "", "there is a user of that name already")

	status()
	if m := migrations[0]; !m.Applied || m.AppliedAt == nil || m.AppliedAt.Before(began) {
		t.Errorf("after all: %+v", m)
	}

	type counts struct {
		Imported *int64           `json:"imported"`
		Valid    *int64           `json:"valid"`
		Hashes   map[string]int64 `json:"hashes"`
		Absent   int64            `json:"without_password"`
		Neither  int64            `json:"without_password_and_email"`
	}
	is := func(n *int64, want int64) bool { return n != nil && *n == want }
	users := "user,email,password_hash\nbia,b@example.com,\ncarla,,\ndora,," + bcryptHash + "\n"
	customers := "name\nEva\nFlora\n"
	for _, test := range []struct {
		stdin string
		args  string
		want  int64
		kinds bool
	}{{users, "user import - --json", 3, true}, {customers, "import - --json", 2, false}} {
		var dry, real counts
		args := strings.Fields(test.args)
		wantJSON(t, call(t, nil, test.stdin, append(args, "--dry-run")...), 0, &dry)
		wantJSON(t, call(t, nil, test.stdin, args...), 0, &real)
		if !is(dry.Valid, test.want) || dry.Imported != nil ||
			!is(real.Imported, test.want) || real.Valid != nil {
			t.Errorf("%s: %+v and %+v", test.args, dry, real)
		}
		for _, c := range []counts{dry, real} {
			if test.kinds && (c.Hashes["bcrypt"] != 1 || c.Absent != 1 || c.Neither != 1) {
				t.Errorf("%s: %+v", test.args, c)
			}
		}
	}
	r := call(t, nil, "name,email\nAna,ana\n", "import", "-", "--json")
	if r.status != 1 || r.stdout != "" {
		t.Errorf("an import with a fault: %+v", r)
	}

	var exported struct {
		File     string `json:"file"`
		Exported int64  `json:"exported"`
	}
	wantJSON(t, call(t, nil, "", "export", "all.csv", "--json"), 0, &exported)
	if exported.File != "all.csv" || exported.Exported != 2 {
		t.Errorf("%+v", exported)
	}
	call(t, nil, "", "export", "--json").want(t, 2, "", "--json is about a FILE")

	type backup struct {
		File     string `json:"file"`
		Size     int64  `json:"size"`
		SHA256   string `json:"sha256"`
		Clientes int64  `json:"clientes"`
		Users    int64  `json:"users"`
	}
	var b backup
	wantJSON(t, call(t, nil, "", "backup", "b.db", "--json"), 0, &b)
	file, err := os.Stat("b.db")
	authtest.Must(t, err)
	sum, err := hex.DecodeString(b.SHA256)
	if b.File != "b.db" || b.Size != file.Size() || err != nil || len(sum) != 32 ||
		b.Clientes != 2 || b.Users != 4 {
		t.Errorf("%+v, %v", b, err)
	}

	type ended struct {
		Sessions int `json:"sessions"`
		Users    int `json:"users"`
		Mails    int `json:"mails"`
		Answers  int `json:"answers"`
	}
	var restored struct {
		File       string  `json:"file"`
		Clientes   int64   `json:"clientes"`
		Users      int64   `json:"users"`
		Kept       *string `json:"kept"`
		Unreadable *string `json:"unreadable"`
		KnowsIDs   bool    `json:"knows_ids"`
		Erased     int     `json:"erased"`
		Ended      ended   `json:"ended"`
	}
	wantJSON(t, call(t, nil, "", "restore", "b.db", "--json"), 0, &restored)
	if restored.File != "b.db" || restored.Clientes != 2 || restored.Users != 4 ||
		restored.Kept == nil || restored.Unreadable != nil || !restored.KnowsIDs ||
		restored.Ended.Users != 4 {
		t.Errorf("%+v", restored)
	}
	if _, err := os.Stat(*restored.Kept); err != nil {
		t.Error(err)
	}
	var all struct {
		ended
		Erased int `json:"erased"`
	}
	wantJSON(t, call(t, nil, "", "sessions", "end-all", "--json"), 0, &all)
	if all.ended != (ended{Users: 4}) || all.Erased != 0 {
		t.Errorf("%+v", all)
	}

	var rekeyed struct {
		Sealed     int      `json:"sealed"`
		Unchanged  int      `json:"unchanged"`
		Unfinished int      `json:"unfinished"`
		Unreadable []string `json:"unreadable"`
	}
	wantJSON(t, call(t, nil, "", "rekey", "--json"), 0, &rekeyed)
	if rekeyed.Sealed+rekeyed.Unchanged+rekeyed.Unfinished > 0 || rekeyed.Unreadable == nil {
		t.Errorf("%+v", rekeyed)
	}
}

func TestConfigAsJSON(t *testing.T) {
	type setting struct {
		Name  string  `json:"name"`
		Value *string `json:"value"`
		From  string  `json:"from"`
	}
	inFolder(t, map[string]string{".env": "SECRET=" + goodSecret + "\nPORT=x\n"})
	vars := map[string]string{"DATABASE_URL": "postgres://u:hunter2@h/d"}
	var settings []setting
	r := call(t, vars, "", "config", "--json")
	wantJSON(t, r, 1, &settings)
	text := call(t, vars, "", "config")
	if r.stderr != text.stderr || strings.Contains(r.stdout, "hunter2") {
		t.Errorf("%+v", r)
	}
	find := func(name string) (value, from string) {
		t.Helper()
		at := slices.IndexFunc(settings, func(s setting) bool { return s.Name == name })
		if at < 0 {
			t.Fatalf("no %s in %s", name, r.stdout)
		}
		value = "null"
		if settings[at].Value != nil {
			value = *settings[at].Value
		}
		return value, settings[at].From
	}
	for name, want := range map[string][2]string{
		"SECRET":       {"null", ".env"},
		"ROOT_SECRET":  {"", "default"},
		"PORT":         {"x", ".env"},
		"DATABASE_URL": {"postgres://u:***@h/d", "environment"},
	} {
		if value, from := find(name); value != want[0] || from != want[1] {
			t.Errorf("%s is %q from %s, want %q", name, value, from, want)
		}
	}
}

func TestTokenInspectAsJSON(t *testing.T) {
	secretIn(t)
	s := launch(t, nil, "serve")
	call(t, nil, goodPassword, "user", "add", "abc", "--password-stdin").want(t, 0, "", "")
	token := s.login(t, goodPassword)
	type inspected struct {
		Header map[string]any `json:"header"`
		Claims map[string]any `json:"claims"`
		Good   *bool          `json:"good"`
	}
	var in inspected
	wantJSON(t, call(t, nil, token, "token", "inspect", "--json"), 0, &in)
	if in.Header["alg"] != "HS256" || in.Claims["role"] != "viewer" || in.Good == nil || !*in.Good {
		t.Errorf("%+v", in)
	}
	call(t, nil, "another "+goodPassword, "user", "passwd", "abc", "--password-stdin").
		want(t, 0, "", "")
	in = inspected{}
	r := call(t, nil, token, "token", "inspect", "--json")
	wantJSON(t, r, 1, &in)
	if in.Good == nil || *in.Good || !strings.Contains(r.stderr, "the token is not good") {
		t.Errorf("after its end %+v, %s", in, r.stderr)
	}
	in = inspected{}
	r = call(t, map[string]string{"SECRET": ""}, token, "token", "inspect", "--json")
	wantJSON(t, r, 1, &in)
	if in.Good != nil || !strings.Contains(r.stderr, "the signature was not checked") {
		t.Errorf("without a secret %+v, %s", in, r.stderr)
	}
	part := base64.RawURLEncoding.EncodeToString
	// A stranger's token may hold what a terminal obeys.
	claims := "{\"a\":\"\u009b\U0001F680\",\"a\":2}"
	r = call(t, nil, part([]byte("{}"))+"."+part([]byte(claims))+".x", "token", "inspect", "--json")
	r.want(t, 1, `"\u009b🚀"`, "")

	// The health check, while it serves and when it does not.
	_, port, _ := strings.Cut(s.addr, ":")
	vars := map[string]string{"PORT": port}
	var ready struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}
	wantJSON(t, call(t, vars, "", "healthcheck", "--json"), 0, &ready)
	if ready.Status != "ok" || ready.Checks["store"] != "ok" {
		t.Errorf("%+v", ready)
	}
	s.signal(t)
	s.wait()
	if r := call(t, vars, "", "healthcheck", "--json"); r.status != 1 || r.stdout != "" {
		t.Errorf("%+v", r)
	}
}

func TestCopyAsJSON(t *testing.T) {
	inFolder(t, nil)
	from := map[string]string{"DATABASE_URL": "sqlite:from.db"}
	call(t, from, "name\nAna\nBia\n", "import", "-").want(t, 0, "", "")
	type side struct {
		Rows     int64  `json:"rows"`
		Checksum string `json:"checksum"`
	}
	var tables []struct {
		Table string `json:"table"`
		From  side   `json:"from"`
		To    side   `json:"to"`
		Same  bool   `json:"same"`
	}
	wantJSON(t, call(t, nil, "", "copy", "--json", "--from", "sqlite:from.db",
		"--to", postgrestest.Database(t)), 0, &tables)
	for _, table := range tables {
		if !table.Same || table.From != table.To || len(table.To.Checksum) != 64 ||
			table.Table == "clientes" && table.To.Rows != 2 {
			t.Errorf("%+v", table)
		}
	}
	if len(tables) != len(store.Tables()) {
		t.Errorf("%+v", tables)
	}
}
