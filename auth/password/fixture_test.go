package password

import (
	"os"
	"slices"
	"testing"

	"clientes/auth/authtest"
)

// hashPasswords is the argument with which the test binary is what a [Process] starts.
const hashPasswords = "hash-passwords"

func TestMain(m *testing.M) {
	if slices.Equal(os.Args[1:], []string{hashPasswords}) {
		if err := ServeProcess(os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// must ends a test at an error.
var must = authtest.Must

// goodPassword is hard to guess.
const goodPassword = "correct horse battery"
