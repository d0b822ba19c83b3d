package main

import (
	"os"
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

// inFolder makes a new folder with these files the working folder of the test.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		authtest.Must(t, os.WriteFile(name, []byte(text), 0o600))
	}
}
