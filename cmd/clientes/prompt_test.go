//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"clientes/auth/authtest"
)

// newTerminal returns the two ends of a pseudo-terminal: that of a person and that of a program.
func newTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	authtest.Must(t, err)
	t.Cleanup(func() { person.Close() })
	raw, err := person.SyscallConn()
	authtest.Must(t, err)
	var number int
	if ctl := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	authtest.Must(t, err)
	return person, program // whose last reader closes it
}

// shows reports whether the terminal shows what is typed.
func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	authtest.Must(t, err)
	return state.Lflag&unix.ECHO != 0
}

// prompts is the stderr of a program, and a person who answers its questions. The person types the
// next line as soon as the terminal no longer shows what is typed.
type prompts struct {
	t       *testing.T
	person  *os.File
	program *os.File
	answers []func()
	said    bytes.Buffer
	typing  sync.WaitGroup
}

func (p *prompts) Write(b []byte) (int, error) {
	if strings.HasSuffix(string(b), ": ") && len(p.answers) > 0 {
		answer := p.answers[0]
		p.answers = p.answers[1:]
		p.typing.Go(func() {
			for shows(p.t, p.program) {
			}
			answer()
		})
	}
	return p.said.Write(b)
}

func (p *prompts) types(line string) func() {
	return func() { io.WriteString(p.person, line+"\n") }
}

func TestThePasswordIsAskedForTwice(t *testing.T) {
	inFolder(t, nil)
	vars := at("sqlite:clientes.db")
	for _, test := range []struct {
		first, second string
		status        int
		said          string
		flags         []string
	}{
		{goodPassword, goodPassword + "x", 1,
			"clientes: the two passwords are not the same; nothing was changed, try again\n", nil},
		{"short", "short", 1, "clientes: password: ", nil},
		{goodPassword, goodPassword, 0, "Password: \nOnce more: \n", nil},
		// The terminal would show what is read from it.
		{goodPassword, goodPassword, 1, "there is a user of that name",
			[]string{"--password-stdin"}},
	} {
		person, terminal := newTerminal(t)
		p := &prompts{t: t, person: person, program: terminal}
		p.answers = []func(){p.types(test.first), p.types(test.second)}
		args := append([]string{"user", "add", "bob"}, test.flags...)
		status := run(t.Context(), args, environment(vars),
			terminal, io.Discard, p)
		p.typing.Wait()
		if status != test.status || !strings.Contains(p.said.String(), test.said) {
			t.Errorf("%q, %q: status %d, stderr %q",
				test.first, test.second, status, p.said.String())
		}
		if !shows(t, terminal) {
			t.Error("the terminal does not show what is typed any more")
		}
		terminal.Close()
		seen := make(chan string)
		// It ends with an error: nobody has the other end any more.
		go func() { b, _ := io.ReadAll(person); seen <- string(b) }()
		if s := <-seen; strings.Contains(s, test.first) {
			t.Errorf("the password was shown: %q", s)
		}
	}
}

// What has to be typed is said.
func TestReadingFromATerminal(t *testing.T) {
	inFolder(t, nil)
	for args, what := range map[string]string{
		"token inspect": "the token", "captcha solve": "the challenge", "import -": "customers",
		"user import -": "users",
	} {
		person, terminal := newTerminal(t)
		_, err := io.WriteString(person, "x\n\x04")
		authtest.Must(t, err)
		var said strings.Builder
		run(t.Context(), strings.Fields(args), environment(at("sqlite:clientes.db")),
			terminal, io.Discard, &said)
		want := "Reading " + what + " from the terminal; end it with Ctrl+D on a line of its own.\n"
		if !strings.HasPrefix(said.String(), want) {
			t.Errorf("%s says %q", args, said.String())
		}
	}
}

// An interrupt ends a command that waits for the password. Then the terminal shows again what is
// typed.
func TestInterruptedPrompt(t *testing.T) {
	inFolder(t, nil)
	vars := at("sqlite:clientes.db")
	ctx, cancel := context.WithCancel(t.Context())
	person, terminal := newTerminal(t)
	p := &prompts{t: t, person: person, program: terminal, answers: []func(){cancel}}
	status := run(ctx, []string{"user", "add", "bob"}, environment(vars), terminal,
		io.Discard, p)
	p.typing.Wait()
	const interrupted = "clientes: interrupted before it was done\n"
	if status != 1 || !strings.HasSuffix(p.said.String(), interrupted) {
		t.Errorf("status %d, stderr %q", status, p.said.String())
	}
	if !shows(t, terminal) {
		t.Error("the terminal does not show what is typed any more")
	}
	// The read goes on, and has the terminal to itself, until this or the end of the process.
	io.WriteString(person, "\n")
}
