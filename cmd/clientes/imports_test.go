package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// room is a folder of the module, the folders within it included, and what its code may import.
type room struct {
	path string
	ours []string // the rooms of this module
	// libraries are for this room alone.
	libraries []string
	tests     []string // the rooms that only its tests may import
}

// rooms returns the plan: cmd → api → auth → store, and the engines beside it.
func rooms() []room {
	engines := []string{"store/sqlite", "store/postgres", "store/storetest"}
	return []room{
		{
			path: "cmd",
			ours: []string{"api", "api/wire", "auth", "auth/mail", "store", "store/sqlite",
				"store/postgres"},
			libraries: []string{
				"github.com/spf13/cobra", "github.com/caarlos0/env", "github.com/joho/godotenv",
				"golang.org/x/term",
				"github.com/schollz/progressbar",
			},
			tests: []string{"store/storetest"},
		},
		{
			path: "api",
			ours: []string{"api/wire", "auth", "store"},
			libraries: []string{"github.com/gin-gonic", "github.com/gin-contrib",
				"github.com/swaggest"},
			tests: append([]string{"auth/mail"}, engines...),
		},
		{path: "api/wire", ours: []string{"store"}},
		{
			path: "auth",
			ours: []string{"auth/mail", "store"},
			libraries: []string{"github.com/golang-jwt", "golang.org/x/crypto",
				"github.com/ccojocar/zxcvbn-go"},
			tests: engines,
		},
		{path: "auth/mail",
			libraries: []string{"github.com/wneessen/go-mail", "golang.org/x/net/idna",
				"html/template"}},
		{path: "store"},
		{path: "store/storetest", ours: []string{"store"}},
		{
			path: "store/sqlite",
			ours: []string{"store"},
			libraries: []string{"zombiezen.com/go/sqlite", "modernc.org/sqlite", "database/sql",
				"github.com/pressly/goose"},
			tests: []string{"store/storetest"},
		},
		{
			path:      "store/postgres",
			ours:      []string{"store"},
			libraries: []string{"github.com/jackc", "database/sql", "github.com/pressly/goose"},
			tests:     []string{"store/storetest"},
		},
	}
}

// Imports point one way, and each library is used in its own room only.
func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() &&
			(entry.Name() == "testdata" || len(entry.Name()) > 2 && entry.Name()[0] == '.'):
			return filepath.SkipDir // not part of any build
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		files++
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, fault := range importFaults(filepath.ToSlash(name), src) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Errorf("only %d files were looked at", files)
	}
}

// importFaults returns the imports of a file that are against the plan.
func importFaults(name string, src []byte) (faults []string) {
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if err != nil {
		return []string{err.Error()}
	}
	dir, _ := filepath.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	here := roomOf(dir)
	if here == nil {
		return []string{name +
			" is in no room of the plan; say in this test what may be imported there"}
	}
	test := strings.HasSuffix(name, "_test.go")
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{err.Error()}
		}
		if ours, ok := strings.CutPrefix(path, "clientes/"); ok {
			there := roomOf(ours)
			switch {
			case there == nil:
				faults = append(faults, name+" imports "+path+", which is in no room of the plan")
			case there.path == here.path, slices.Contains(here.ours, there.path):
			case test && slices.Contains(here.tests, there.path):
			default:
				faults = append(faults, name+" imports "+path)
			}
			continue
		}
		if test {
			continue
		}
		var owners []string
		for _, r := range rooms() {
			if slices.ContainsFunc(r.libraries, func(l string) bool { return within(path, l) }) {
				owners = append(owners, r.path)
			}
		}
		// config.go asks the driver whether it can read its URL.
		asksDriver := here.path == "cmd" && within(path, "github.com/jackc/pgx")
		if len(owners) > 0 && !slices.Contains(owners, here.path) && !asksDriver {
			faults = append(faults,
				name+" imports "+path+", which is for "+strings.Join(owners, " and "))
		}
		if here.path == "store" && strings.Contains(path, ".") &&
			!within(path, "golang.org/x/text") {
			faults = append(faults, name+" imports "+path+", but the vocabulary needs no library")
		}
	}
	return faults
}

// roomOf returns the innermost room that a folder is in, nil if there is none.
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

func TestImportsThatAreAgainstThePlanAreSeen(t *testing.T) {
	for _, test := range []struct {
		file, path string
		fault      bool
	}{
		{"cmd/clientes/a.go", "clientes/store/sqlite", false},
		{"cmd/clientes/a.go", "github.com/jackc/pgx/v5/pgxpool", false},
		{"cmd/clientes/a.go", "github.com/golang-jwt/jwt/v5", true},
		{"cmd/clientes/a.go", "clientes/store/storetest", true},
		{"api/a.go", "clientes/auth", false},
		{"api/console/a.go", "clientes/auth", false},
		{"api/a.go", "clientes/cmd/clientes", true},
		{"api/a.go", "clientes/store/sqlite", true},
		{"api/wire/a.go", "clientes/api", true},
		{"api/wire/a.go", "clientes/auth", true},
		{"api/wire/a.go", "github.com/gin-gonic/gin", true},
		{"cmd/clientes/a.go", "clientes/api/wire", false},
		{"api/a.go", "github.com/jackc/pgx/v5", true},
		{"api/a.go", "github.com/schollz/progressbar/v3", true},
		{"api/a_test.go", "clientes/store/sqlite", false},
		{"auth/a.go", "clientes/api", true},
		{"auth/a_test.go", "clientes/api", true},
		{"auth/a.go", "github.com/gin-gonic/gin", true},
		{"auth/a.go", "github.com/joho/godotenv", true},
		{"api/a.go", "github.com/ccojocar/zxcvbn-go/scoring", true},
		{"auth/a.go", "clientes/auth/mail", false},
		{"auth/a.go", "github.com/wneessen/go-mail", true},
		{"auth/mail/a.go", "github.com/wneessen/go-mail", false},
		{"auth/mail/a.go", "clientes/auth", true},
		{"auth/mail/a.go", "clientes/store", true},
		{"auth/mail/a_test.go", "clientes/store", true},
		{"api/a.go", "clientes/auth/mail", true},
		{"cmd/clientes/a.go", "clientes/auth/mail", false},
		{"store/a.go", "clientes/auth", true},
		{"store/a.go", "golang.org/x/text/cases", false},
		{"store/a.go", "github.com/google/uuid", true},
		{"store/sqlite/a.go", "clientes/store", false},
		{"store/sqlite/a.go", "clientes/store/postgres", true},
		{"store/sqlite/a_test.go", "clientes/store/storetest", false},
		{"store/sqlite/a.go", "clientes/store/storetest", true},
		{"store/storetest/a.go", "clientes/store/sqlite", true},
		{"store/postgres/postgrestest/a.go", "clientes/store/postgres", false},
		{"util/a.go", "fmt", true},
		{"a.go", "fmt", true},
	} {
		src := "package a\n\nimport " + strconv.Quote(test.path) + "\n"
		if faults := importFaults(test.file, []byte(src)); (len(faults) > 0) != test.fault {
			t.Errorf("%s imports %s: faults %q", test.file, test.path, faults)
		}
	}
}
