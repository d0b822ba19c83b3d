package main

import (
	"os"
	"testing"

	"clientes/auth/authtest"
)

const (
	goodSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
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
		authtest.Must(t, os.WriteFile(name, []byte(text), 0o600))
	}
}
