package sqlite_test

import (
	"strings"
	"testing"

	"clientes/store/sqlite"
)

func TestMaskURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"sqlite:clientes.db":            "sqlite:clientes.db",
		"sqlite:/home/passos/x.db":      "sqlite:/home/passos/x.db",
		"sqlite:u:hunter2@h/d":          "(hidden)",
		"sqlite:host=h Passwd =hunter2": "(hidden)",
		"sqlite:x.db?_key=hunter2":      "(hidden)",
		"clientes.db":                   "(hidden)",
	} {
		if got := sqlite.MaskURL(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"sqlite:clientes.db":              "",
		"sqlite:/var/lib/clientes.db":     "",
		"clientes.db":                     "has to be of the form sqlite:PATH",
		"sqlite:":                         "has to name a file",
		"sqlite::memory:":                 "has to name a file",
		"sqlite:x.db?mode=ro":             "has to name a file",
		"sqlite:x\x00.db":                 "has to name a file",
		"sqlite: x.db":                    "has white space around",
		`sqlite:"x.db"`:                   "or quotes in it",
		"sqlite://x.db":                   "has // after sqlite:",
		"sqlite:///var/lib/clientes.db":   "has // after sqlite:",
		"postgres://u:hunter2@h/clientes": "has to be of the form sqlite:PATH",
	} {
		err := sqlite.CheckURL(url)
		if want == "" && err != nil || want != "" &&
			(err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
}
