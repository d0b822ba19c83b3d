//go:build unix

package config

import (
	"os"
	"strings"
	"testing"
)

// owned is a file or folder as a test wants it.
type owned struct {
	name         string
	mode         os.FileMode
	owner, group int // -1 for those of the test
}

func (o owned) apply(t *testing.T) {
	t.Helper()
	if o.owner >= 0 {
		if os.Geteuid() != 0 {
			t.Skip("only root can give files away")
		}
		if err := os.Chown(o.name, o.owner, o.group); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(o.name, o.mode); err != nil { // after chown, which drops bits
		t.Fatal(err)
	}
}

// A .env decides who can make tokens. So nobody else may write it, or put another in its place. The
// tests look at modes, since root may do everything.
func TestADotenvThatOthersCanChange(t *testing.T) {
	const secret, plain = "SECRET=" + goodSecret + "\n", "PORT=3000\n"
	const warned = "`chmod 600 .env` ends that"
	tests := []struct {
		name, text    string
		file, folder  owned
		fault, warned string
	}{
		{"only we", secret, owned{".env", 0o600, -1, -1}, owned{".", 0o755, -1, -1}, "", ""},
		{"all can read", secret, owned{".env", 0o644, -1, -1}, owned{".", 0o755, -1, -1},
			"", warned},
		{"all can read nothing", plain, owned{".env", 0o644, -1, -1}, owned{".", 0o755, -1, -1},
			"", ""},
		{"all can read a password", "DATABASE_URL=postgres://u:p@h/d\n",
			owned{".env", 0o644, -1, -1}, owned{".", 0o755, -1, -1}, "", warned},
		{"all can write", plain, owned{".env", 0o666, -1, -1}, owned{".", 0o755, -1, -1},
			".env can be written by other users", ""},
		{"all can write a secret", secret, owned{".env", 0o602, -1, -1}, owned{".", 0o755, -1, -1},
			".env can be written by other users", ""},
		{"a group can read", secret, owned{".env", 0o640, 0, 1234}, owned{".", 0o755, -1, -1},
			"", ""},
		{"a group can write", secret, owned{".env", 0o660, 0, 1234}, owned{".", 0o755, -1, -1},
			".env can be written by other users", ""},
		{"the user's own group can write", secret, owned{".env", 0o660, 1234, 1234},
			owned{".", 0o775, -1, -1}, "", ""},
		{"all can write the folder", secret, owned{".env", 0o600, -1, -1},
			owned{".", 0o777, -1, -1}, ".env can be replaced by other users", ""},
		{"a sticky folder", secret, owned{".env", 0o600, -1, -1},
			owned{".", 0o777 | os.ModeSticky, -1, -1}, "", ""},
		{"somebody else's in a sticky folder", secret, owned{".env", 0o600, 1234, 1234},
			owned{".", 0o777 | os.ModeSticky, -1, -1}, ".env can be replaced by other users", ""},
		{"a folder of a team", secret, owned{".env", 0o600, -1, -1},
			owned{".", 0o775, 0, 1234}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t, map[string]string{".env": test.text})
			test.file.apply(t)
			test.folder.apply(t)
			c, err := Load(environment(nil))
			got := strings.Join(faultsOf(err), "\n")
			if !strings.Contains(got, test.fault) || (got == "") != (test.fault == "") {
				t.Errorf("faults %q, want %q", got, test.fault)
			}
			got = strings.Join(c.Warnings(), "\n")
			if !strings.Contains(got, test.warned) || (got == "") != (test.warned == "") {
				t.Errorf("warnings %q, want %q", got, test.warned)
			}
		})
	}
}

// Other files of secrets are alike, but those of a container are readable by all, and root's.
func TestASecretFileThatOthersCanChange(t *testing.T) {
	tests := []struct {
		name          string
		file          owned
		link          bool // the file is in another folder, as Kubernetes has it
		fault, warned string
	}{
		{"only we", owned{"secrets/s", 0o600, -1, -1}, false, "", ""},
		{"we, and all can read", owned{"secrets/s", 0o644, -1, -1}, false,
			"", "SECRET comes from secrets/s, which other users of this machine can read"},
		{"another's, and all can read", owned{"secrets/s", 0o444, 1234, 1234}, true, "", ""},
		{"all can write", owned{"secrets/s", 0o646, -1, -1}, false,
			"SECRET is to come from secrets/s, as SECRET_FILE says, which can be written by", ""},
		{"a link to a folder that all can write", owned{"open", 0o777, -1, -1}, true,
			"SECRET is to come from secrets/s, as SECRET_FILE says, which can be replaced by", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t, nil)
			for _, folder := range []string{"secrets", "open"} {
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			file := "secrets/s"
			if test.link {
				file = "open/s"
				if err := os.Symlink("../open/s", "secrets/s"); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(file, []byte(goodSecret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			test.file.apply(t)
			c, err := Load(environment(map[string]string{"SECRET_FILE": "secrets/s"}), "SECRET")
			got := strings.Join(faultsOf(err), "\n")
			if !strings.Contains(got, test.fault) || (got == "") != (test.fault == "") {
				t.Errorf("faults %q, want %q", got, test.fault)
			}
			got = strings.Join(c.Warnings(), "\n")
			if test.fault == "" && (!strings.Contains(got, test.warned) ||
				(got == "") != (test.warned == "")) {
				t.Errorf("warnings %q, want %q", got, test.warned)
			}
		})
	}
}
