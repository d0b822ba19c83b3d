package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clientes/auth/authtest"
)

// completed returns what a shell offers behind the arguments, the last of which is begun.
func completed(t *testing.T, args ...string) (values []string, directive string) {
	t.Helper()
	r := call(t, nil, "", append([]string{"__complete"}, args...)...)
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	for _, line := range lines[:len(lines)-1] {
		value, _, _ := strings.Cut(line, "\t")
		values = append(values, value)
	}
	return values, lines[len(lines)-1]
}

func TestCompletion(t *testing.T) {
	inFolder(t, nil)
	const files, noFiles, inThisOrder = ":0", ":4", ":36"
	for _, test := range []struct {
		args      string // the last word is begun; a line that ends in a space begins a new one
		want      string
		directive string
	}{
		{"us", "user", noFiles},
		{"user d", "delete disable", noFiles},
		{"token ", "inspect", noFiles},
		{"hash", "", noFiles}, // hidden
		{"help mig", "migrate", noFiles},
		{"help user r", "role", noFiles},
		{"completion ", "bash zsh fish powershell", noFiles},
		{"user add ana --role ", "viewer editor admin", inThisOrder},
		{"user add --role=e", "editor", inThisOrder},
		{"user add --password-s", "--password-stdin", noFiles},
		{"user add ", "", noFiles},
		{"user add --email ", "", noFiles},
		{"user role ana a", "admin", inThisOrder},
		{"user role ana admin ", "", noFiles},
		{"import ", "", files},
		{"import all.csv ", "", noFiles},
		{"import --format ", "csv ndjson", noFiles},
		{"verify --check token-a", "token-alg-none token-alg-confusion token-audience", noFiles},
		{"export ", "", files},
		{"export --format n", "ndjson", noFiles},
		{"changes --s", "--since", noFiles},
		{"changes ", "", noFiles},
		{"user list --j", "--json", noFiles},
		{"serve ", "", noFiles},
		{"copy --from ", "", noFiles},
	} {
		values, directive := completed(t, strings.Split(test.args, " ")...)
		if got := strings.Join(values, " "); got != test.want || directive != test.directive {
			t.Errorf("%q is completed by %q with %s, want %q with %s",
				test.args, got, directive, test.want, test.directive)
		}
	}
	call(t, nil, "", "completion", "tcsh").want(t, 2, "",
		`clientes: there is no completion for "tcsh"; give bash, zsh, fish or powershell`)
	call(t, nil, "", "completion", "PowerShell").want(t, 0, "Register-ArgumentCompleter", "")
	if made, _ := os.ReadDir("."); len(made) > 0 {
		t.Errorf("completing made %v", made)
	}
}

// The scripts are good, and each shell completes a word with them.
func TestEveryShellCompletes(t *testing.T) {
	// How each shell is made to complete a line without a terminal. For bash, a function stands in
	// for that of the package bash-completion, and for zsh, for the one that shows the values.
	for shell, script := range map[string]string{
		"bash": `_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
source ./script
compopt() { true; } # only for a shell that completes
COMP_WORDS=(clientes user add --role ed) COMP_CWORD=4 COMP_LINE='clientes user add --role ed'
COMP_POINT=${#COMP_LINE} COMP_TYPE=9
complete -p clientes > /dev/null
__start_clientes
echo "${COMPREPLY[@]}"`,
		"zsh": `compdef() { true }
_describe() { local name=${@[-1]}; print -l -- ${(P)name} }
source ./script
words=(clientes user add --role ed) CURRENT=5
_clientes`,
		"fish": `source ./script
complete -C 'clientes user add --role ed'`,
	} {
		t.Run(shell, func(t *testing.T) {
			needs(t, shell)
			inFolder(t, nil)
			r := call(t, nil, "", "completion", shell)
			r.want(t, 0, "clientes", "")
			authtest.Must(t, os.WriteFile("script", []byte(r.stdout), 0o600))
			if out, err := exec.Command(shell, "-n", "script").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			// The shell calls the program by its name.
			cmd := command(t, nil)
			authtest.Must(t, os.Symlink(cmd.Path, "clientes"))
			folder, err := os.Getwd()
			authtest.Must(t, err)
			shown := exec.Command(shell, "-c", script)
			shown.Env = slices.Concat(cmd.Env, []string{
				"PATH=" + folder + string(filepath.ListSeparator) + os.Getenv("PATH"),
				"HOME=" + folder, "TERM=dumb",
			})
			out, err := shown.CombinedOutput()
			if err != nil || strings.Join(strings.Fields(string(out)), " ") != "editor" {
				t.Errorf("%v: it completes %q", err, out)
			}
		})
	}
}
