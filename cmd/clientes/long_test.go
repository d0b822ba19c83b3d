package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// longStep finds in .ci/run the names of the long tests, without "Test", and their packages.
var longStep = regexp.MustCompile(
	`(?m)^long_tests=\(([\w\s]+)\)\nTEST_LONG=1 go test (.*) -run "\^Test\(`)

// TestEveryLongTestIsAStep checks that the gate runs exactly those tests with TEST_LONG that look
// at it. Any other test would run twice, and one that nobody names would never run whole.
func TestEveryLongTestIsAStep(t *testing.T) {
	step := longStep.FindStringSubmatch(readProjectFile(t, ".ci/run"))
	if step == nil {
		t.Fatal(".ci/run has no step with TEST_LONG")
	}
	names, tested := strings.Fields(step[1]), strings.Fields(step[2])
	unknown := slices.Clone(names)
	packages := make(map[string][]*ast.File)
	eachSource(t, func(name string, src []byte) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		authtest.Must(t, err)
		packages[path.Dir(name)] = append(packages[path.Dir(name)], f)
	})
	for folder, files := range packages {
		tests := testsOf(files)
		for test, isLong := range tests {
			named := slices.Contains(names, strings.TrimPrefix(test, "Test")) &&
				isInPackages(folder, tested)
			switch {
			case isLong && !named:
				t.Errorf("%s: %s looks at TEST_LONG, but .ci/run does not name it", folder, test)
			case named && !isLong:
				t.Errorf("%s: %s does not look at TEST_LONG, but .ci/run names it", folder, test)
			case named:
				unknown = slices.DeleteFunc(unknown, func(name string) bool {
					return "Test"+name == test
				})
			}
		}
	}
	if len(unknown) > 0 {
		t.Errorf(".ci/run names tests that there are not: %q", unknown)
	}
}

// isInPackages reports whether a folder is one of the packages of a go command.
func isInPackages(folder string, packages []string) bool {
	return slices.ContainsFunc(packages, func(p string) bool {
		below, all := strings.CutSuffix(p, "/...")
		return p == "./"+folder || all && strings.HasPrefix("./"+folder+"/", below+"/")
	})
}

// testsOf returns the tests of a package, and whether each looks at TEST_LONG: itself, or through
// functions of the package. Methods of one name count as one.
func testsOf(files []*ast.File) map[string]bool {
	looks, calls := make(map[string]bool), make(map[string][]string)
	for _, f := range files {
		for _, d := range f.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := f.Name.Name
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					looks[name] = looks[name] || readsLong(n)
				case *ast.Ident:
					if n.Name != "long" { // variables may have that name, too
						calls[name] = append(calls[name], n.Name)
					}
				}
				return true
			})
		}
	}
	for more := true; more; {
		more = false
		for name, called := range calls {
			if looks[name] {
				continue
			}
			looks[name] = slices.ContainsFunc(called, func(c string) bool { return looks[c] })
			more = more || looks[name]
		}
	}
	tests := make(map[string]bool)
	for name := range calls {
		if strings.HasPrefix(name, "Test") {
			tests[name] = looks[name]
		}
	}
	return tests
}

// readsLong reports whether a call is long(), or os.Getenv("TEST_LONG").
func readsLong(call *ast.CallExpr) bool {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name == "long" && len(call.Args) == 0
	case *ast.SelectorExpr:
		if f.Sel.Name != "Getenv" || len(call.Args) != 1 {
			return false
		}
		arg, ok := call.Args[0].(*ast.BasicLit)
		return ok && arg.Value == `"TEST_LONG"`
	}
	return false
}

// TestLongTestsAreFound shows that the check finds what looks at TEST_LONG.
func TestLongTestsAreFound(t *testing.T) {
	const src = `package x
func long() bool { return os.Getenv("TEST_LONG") != "" }
func (b *tab) look() { if long() {} }
func TestItself(t *testing.T) { if !long() { t.Skip("TEST_LONG is not set") } }
func TestThroughAnother(t *testing.T) { t.Run("x", func(t *testing.T) { f(t).look() }) }
func TestQuick(t *testing.T) { long := "TEST_LONG is not set"; t.Log(long) }
`
	f, err := parser.ParseFile(token.NewFileSet(), "x_test.go", src, 0)
	authtest.Must(t, err)
	for test, isLong := range testsOf([]*ast.File{f}) {
		if isLong != (test != "TestQuick") {
			t.Errorf("%s: %t", test, isLong)
		}
	}
	for folder, want := range map[string]bool{
		"api": true, "store/sqlite": true, "store": true, "storetest": false, "api/wire": false,
	} {
		if got := isInPackages(folder, []string{"./api", "./store/..."}); got != want {
			t.Errorf("%s: %t", folder, got)
		}
	}
}
