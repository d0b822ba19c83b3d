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
)

// newTerminal gives the two ends of a pseudo-terminal: what a person types and sees, and what a program has.
func newTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if ctl := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program // whose last reader closes it
}

// shows says whether the terminal shows what is typed.
func shows(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// prompts is the stderr of a program that a person answers: each time it has been asked something, the next
// line is typed, once the terminal has stopped to show what is typed.
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
	for _, test := range []struct {
		first, second string
		status        int
		said          string
	}{
		{goodPassword, goodPassword + "x", 1, "clientes: the two passwords are not the same; nothing was changed, try again\n"},
		{"short", "short", 1, "clientes: password: "},
		{goodPassword, goodPassword, 0, "Password: \nOnce more: \n"},
	} {
		person, terminal := newTerminal(t)
		p := &prompts{t: t, person: person, program: terminal}
		p.answers = []func(){p.types(test.first), p.types(test.second)}
		status := run(t.Context(), []string{"user", "add", "bob"}, environment(nil), terminal, io.Discard, p)
		p.typing.Wait()
		if status != test.status || !strings.Contains(p.said.String(), test.said) {
			t.Errorf("%q, %q: status %d, stderr %q", test.first, test.second, status, p.said.String())
		}
		if !shows(t, terminal) {
			t.Error("the terminal does not show what is typed any more")
		}
		terminal.Close()
		seen := make(chan string)
		go func() { b, _ := io.ReadAll(person); seen <- string(b) }() // ends with an error, for nobody has the other end
		if s := <-seen; strings.Contains(s, test.first) {
			t.Errorf("the password was shown: %q", s)
		}
	}
}

// An interrupt while the password is asked for ends the command, and the terminal shows again what is typed.
func TestInterruptedPrompt(t *testing.T) {
	inFolder(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	person, terminal := newTerminal(t)
	p := &prompts{t: t, person: person, program: terminal, answers: []func(){cancel}}
	status := run(ctx, []string{"user", "add", "bob"}, environment(nil), terminal, io.Discard, p)
	p.typing.Wait()
	if status != 1 || !strings.HasSuffix(p.said.String(), "clientes: interrupted before it was done\n") {
		t.Errorf("status %d, stderr %q", status, p.said.String())
	}
	if !shows(t, terminal) {
		t.Error("the terminal does not show what is typed any more")
	}
	// The read goes on, and has the terminal to itself, until this or the end of the process.
	io.WriteString(person, "\n")
}
