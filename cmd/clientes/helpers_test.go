package main

import (
	"os"
	"path/filepath"
	"testing"

	"clientes/auth/authtest"
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

// settingsOfOwn returns the settings of a program with a secret and an embedded database of its
// own. A test that needs no more may run beside others: it stays in the working folder.
func settingsOfOwn(t *testing.T) []string {
	t.Helper()
	return []string{
		"SECRET=" + goodSecret,
		"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "clientes.db"),
	}
}

// long reports whether the tests that take long are to run, too.
func long() bool { return os.Getenv("TEST_LONG") != "" }

// inFolder makes a new folder with these files the working folder of the test.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		authtest.Must(t, os.WriteFile(name, []byte(text), 0o600))
	}
}
