package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// room is a folder of the module, and the folders within it that are no rooms themselves.
type room struct {
	path      string
	ours      []string // the rooms of this module that its code may import
	tests     []string // those that only its tests may import
	libraries []string // what no other room may import, unless it lists it too
}

// rooms is the plan of the house. Imports point one way:
//
//	cmd/clientes → api → auth → auth/{captcha, password, token, throttle, mail} → store
//	      config   wire                                     store/{sqlite, postgres} ↗
//
// A room may look past its neighbour towards store, and never back. Only cmd and tests name an
// engine. A room whose name ends in test has what several tests share, and no program imports it.
func rooms() []room {
	engines := []string{
		"store/sqlite", "store/postgres", "store/postgres/postgrestest", "store/storetest",
	}
	fixtures := append([]string{"auth/authtest"}, engines...)
	return []room{
		{
			path: "cmd",
			ours: []string{
				"cmd/clientes/config", "cmd/clientes/doctor", "cmd/clientes/verify",
				"api", "api/wire",
				"auth", "auth/captcha", "auth/password", "auth/token", "auth/mail",
				"store", "store/sqlite", "store/postgres",
			},
			tests: []string{
				"api/wire/wiretest", "auth/authtest", "store/postgres/postgrestest",
				"store/storetest",
			},
			libraries: []string{
				"github.com/spf13/cobra", "golang.org/x/term", "github.com/schollz/progressbar",
				"github.com/prometheus",
			},
		},
		{
			path:  "cmd/clientes/doctor",
			ours:  []string{"cmd/clientes/config", "api/wire", "auth/mail", "store"},
			tests: []string{"auth/authtest"},
		},
		{path: "cmd/clientes/verify"},
		{
			path: "cmd/clientes/config",
			ours: []string{
				"auth/password", "auth/token", "auth/mail", "store", "store/sqlite",
				"store/postgres",
			},
			libraries: []string{"github.com/caarlos0/env", "github.com/joho/godotenv"},
		},
		{
			path: "api",
			ours: []string{"api/console", "api/wire", "auth", "auth/throttle", "store"},
			tests: append([]string{
				"api/wire/wiretest", "auth/captcha", "auth/mail", "auth/password",
			}, fixtures...),
			libraries: []string{
				"github.com/gin-gonic", "github.com/gin-contrib", "github.com/swaggest",
				"github.com/prometheus",
			},
		},
		{path: "api/console", libraries: []string{"html/template"}},
		{path: "api/wire", ours: []string{"store"}, tests: []string{"api/wire/wiretest"}},
		{path: "api/wire/wiretest", ours: []string{"store"}},
		{
			path: "auth",
			ours: []string{
				"auth/captcha", "auth/password", "auth/token", "auth/throttle", "auth/mail",
				"store",
			},
			tests:     fixtures,
			libraries: []string{"github.com/prometheus"},
		},
		{
			path: "auth/authtest",
			ours: []string{
				"auth/mail", "store", "store/sqlite", "store/postgres",
				"store/postgres/postgrestest",
			},
		},
		{
			path:      "auth/password",
			ours:      []string{"store"},
			tests:     []string{"auth/authtest"},
			libraries: []string{"golang.org/x/crypto"},
		},
		{
			path:      "auth/token",
			ours:      []string{"store"},
			tests:     []string{"auth/authtest"},
			libraries: []string{"github.com/golang-jwt"},
		},
		{path: "auth/throttle", ours: []string{"store"}, tests: fixtures},
		{path: "auth/captcha", ours: []string{"auth/token"}, tests: []string{"auth/authtest"}},
		{
			path:  "auth/mail",
			tests: []string{"auth/authtest"},
			libraries: []string{
				"github.com/wneessen/go-mail", "golang.org/x/net/idna", "html/template",
			},
		},
		{path: "store"},
		{path: "store/storetest", ours: []string{"store"}},
		{
			path:  "store/sqlite",
			ours:  []string{"store"},
			tests: []string{"store/storetest"},
			libraries: []string{
				"zombiezen.com/go/sqlite", "modernc.org/sqlite", "database/sql",
				"github.com/pressly/goose",
			},
		},
		{
			path:      "store/postgres",
			ours:      []string{"store"},
			tests:     []string{"store/storetest", "store/postgres/postgrestest"},
			libraries: []string{"github.com/jackc", "database/sql", "github.com/pressly/goose"},
		},
		{path: "store/postgres/postgrestest", libraries: []string{"github.com/jackc"}},
	}
}

// Imports point one way, and each library is used in its own room only.
func TestImports(t *testing.T) {
	files := 0
	eachSource(t, func(name string, src []byte) {
		if path.Ext(name) != ".go" || strings.Contains(name, "/testdata/") {
			return // no part of a build of ours
		}
		files++
		for _, fault := range importFaults(name, src) {
			t.Error(fault)
		}
	})
	if files < 20 {
		t.Errorf("only %d files were looked at", files)
	}
}

// eachSource calls f with every Go and SQL file of the module. The name is its path in the module.
func eachSource(t *testing.T, f func(name string, src []byte)) {
	t.Helper()
	for _, name := range append(filesOf(t, ".go"), filesOf(t, ".sql")...) {
		f(name, []byte(readProjectFile(t, name)))
	}
}

// importFaults returns which imports of a file are against the plan, a sentence each.
func importFaults(name string, src []byte) (faults []string) {
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if err != nil {
		return []string{err.Error()}
	}
	here := roomOf(path.Dir(name))
	if here == nil {
		return []string{name + " is in no room of the plan; add its folder to rooms"}
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{err.Error()}
		}
		why := ""
		if ours, ok := strings.CutPrefix(imported, "clientes/"); ok {
			why = here.neighbourFault(ours, test)
		} else if !test {
			why = here.moduleFault(imported)
		}
		if why != "" {
			faults = append(faults, name+" imports "+imported+", "+why)
		}
	}
	return faults
}

// neighbourFault returns why the room may not import another one, "" if it may.
func (here *room) neighbourFault(dir string, test bool) string {
	there := roomOf(dir)
	may := here.ours
	if test {
		may = slices.Concat(may, here.tests)
	}
	switch {
	case there == nil:
		return "which is in no room of the plan"
	case there.path == here.path, slices.Contains(may, there.path):
		return ""
	case len(may) == 0:
		return fmt.Sprintf("but %s imports no other room", here.path)
	}
	return fmt.Sprintf("but of the other rooms %s may import only %s", here.path,
		strings.Join(may, ", "))
}

// moduleFault returns why the code of the room may not import a library, "" if it may.
func (here *room) moduleFault(library string) string {
	var owners []string
	for _, r := range rooms() {
		if slices.ContainsFunc(r.libraries, func(l string) bool { return within(library, l) }) {
			owners = append(owners, r.path)
		}
	}
	switch {
	case len(owners) > 0 && !slices.Contains(owners, here.path):
		return "which is for " + strings.Join(owners, " and ")
	case here.path == "store" && strings.Contains(library, ".") &&
		!within(library, "golang.org/x/text") && library != "golang.org/x/sys/unix":
		return "but the vocabulary needs no library"
	}
	return ""
}

// roomOf returns the innermost room that a folder is in, or nil.
func roomOf(dir string) *room {
	var in *room
	for _, r := range rooms() {
		if within(dir, r.path) && (in == nil || len(r.path) > len(in.path)) {
			in = &r
		}
	}
	return in
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// serve.go only wires: HTTP, with its timeouts and its end, is the business of server.go, and a
// reader has all of serve on one page.
func TestServeOnlyWires(t *testing.T) {
	const onePage = 60 // lines
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "serve.go", nil, 0)
	authtest.Must(t, err)
	for _, spec := range f.Imports {
		if spec.Path.Value == `"net/http"` {
			t.Error("serve.go imports net/http; move what it is for to server.go")
		}
	}
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		first, last := fset.Position(fn.Pos()).Line, fset.Position(fn.End()).Line
		if n := last - first + 1; n > onePage {
			t.Errorf("%s in serve.go has %d lines, more than a page of %d",
				fn.Name.Name, n, onePage)
		}
	}
}

func TestImportsThatAreAgainstThePlanAreSeen(t *testing.T) {
	for _, test := range []struct {
		file, path string
		fault      bool
	}{
		{"cmd/clientes/a.go", "clientes/store/sqlite", false},
		{"cmd/clientes/a.go", "clientes/store/storetest", true},
		{"cmd/clientes/a.go", "clientes/auth/mail", false},
		{"cmd/clientes/a.go", "clientes/auth/throttle", true},
		{"cmd/clientes/a.go", "clientes/auth/authtest", true},
		{"cmd/clientes/a_test.go", "clientes/auth/authtest", false},
		{"cmd/clientes/a_test.go", "clientes/store/postgres/postgrestest", false},
		{"cmd/clientes/a.go", "clientes/api/wire", false},
		{"cmd/clientes/a.go", "clientes/cmd/clientes/config", false},
		{"cmd/clientes/a.go", "github.com/golang-jwt/jwt/v5", true},
		{"cmd/clientes/a.go", "github.com/jackc/pgx/v5/pgxpool", true},
		{"cmd/clientes/a.go", "github.com/joho/godotenv", true},
		{"cmd/clientes/config/a.go", "clientes/store/postgres", false},
		{"cmd/clientes/config/a.go", "clientes/auth", true},
		{"cmd/clientes/config/a.go", "clientes/api", true},
		{"cmd/clientes/config/a.go", "clientes/cmd/clientes", true},
		{"cmd/clientes/config/a.go", "github.com/joho/godotenv", false},
		{"api/a.go", "clientes/api/wire", false},
		{"api/a.go", "clientes/api/wire/wiretest", true},
		{"api/a_test.go", "clientes/api/wire/wiretest", false},
		{"api/a.go", "clientes/auth", false},
		{"api/a.go", "clientes/auth/mail", true},
		{"api/a_test.go", "clientes/auth/mail", false},
		{"api/a.go", "clientes/auth/authtest", true},
		{"api/a_test.go", "clientes/auth/authtest", false},
		{"api/a.go", "clientes/cmd/clientes", true},
		{"api/a.go", "clientes/cmd/clientes/config", true},
		{"api/a.go", "clientes/store/sqlite", true},
		{"api/a_test.go", "clientes/store/sqlite", false},
		{"api/a.go", "golang.org/x/crypto/bcrypt", true},
		{"api/a.go", "github.com/jackc/pgx/v5", true},
		{"api/a.go", "github.com/schollz/progressbar/v3", true},
		{"api/console/a.go", "clientes/auth", true},
		{"api/wire/a.go", "clientes/store", false},
		{"api/wire/a.go", "clientes/api", true},
		{"api/wire/a.go", "clientes/api/wire/wiretest", true},
		{"api/wire/a.go", "clientes/auth", true},
		{"api/wire/a.go", "github.com/gin-gonic/gin", true},
		{"auth/a.go", "clientes/auth/throttle", false},
		{"auth/a.go", "clientes/auth/mail", false},
		{"auth/a.go", "clientes/auth/authtest", true},
		{"auth/a_test.go", "clientes/auth/authtest", false},
		{"auth/a.go", "clientes/api", true},
		{"auth/a_test.go", "clientes/api", true},
		{"auth/a.go", "clientes/store/sqlite", true},
		{"auth/a.go", "github.com/gin-gonic/gin", true},
		{"auth/a.go", "github.com/golang-jwt/jwt/v5", true},
		{"auth/a.go", "github.com/joho/godotenv", true},
		{"auth/a.go", "github.com/wneessen/go-mail", true},
		{"auth/a.go", "golang.org/x/crypto/argon2", true},
		{"auth/authtest/a.go", "clientes/store/postgres/postgrestest", false},
		{"auth/authtest/a.go", "clientes/store/sqlite", false},
		{"auth/authtest/a.go", "clientes/auth", true},
		{"auth/authtest/a.go", "clientes/auth/password", true},
		{"auth/password/a.go", "clientes/auth", true},
		{"auth/password/a_test.go", "clientes/auth/authtest", false},
		{"auth/password/a.go", "github.com/golang-jwt/jwt/v5", true},
		{"auth/password/a.go", "golang.org/x/crypto/argon2", false},
		{"auth/token/a.go", "clientes/auth/password", true},
		{"auth/token/a.go", "clientes/auth/authtest", true},
		{"auth/token/a.go", "github.com/golang-jwt/jwt/v5", false},
		{"auth/throttle/a.go", "clientes/store", false},
		{"auth/throttle/a.go", "clientes/store/sqlite", true},
		{"auth/throttle/a_test.go", "clientes/store/sqlite", false},
		{"auth/mail/a.go", "clientes/auth", true},
		{"auth/mail/a.go", "clientes/store", true},
		{"auth/mail/a_test.go", "clientes/store", true},
		{"auth/mail/a.go", "github.com/wneessen/go-mail", false},
		{"store/a.go", "clientes/auth", true},
		{"store/a.go", "github.com/google/uuid", true},
		{"store/a.go", "golang.org/x/text/cases", false},
		{"store/sqlite/a.go", "clientes/store", false},
		{"store/sqlite/a.go", "clientes/store/postgres", true},
		{"store/sqlite/a.go", "clientes/store/storetest", true},
		{"store/sqlite/a_test.go", "clientes/store/storetest", false},
		{"store/sqlite/a_test.go", "clientes/auth/authtest", true},
		{"store/storetest/a.go", "clientes/store/sqlite", true},
		{"store/postgres/a.go", "clientes/store/postgres/postgrestest", true},
		{"store/postgres/a_test.go", "clientes/store/postgres/postgrestest", false},
		{"store/postgres/postgrestest/a.go", "clientes/store/postgres", true},
		{"util/a.go", "fmt", true},
		{"a.go", "fmt", true},
	} {
		src := "package a\n\nimport " + strconv.Quote(test.path) + "\n"
		if faults := importFaults(test.file, []byte(src)); (len(faults) > 0) != test.fault {
			t.Errorf("%s imports %s: faults %q", test.file, test.path, faults)
		}
	}
}
