package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/rpc"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"clientes/auth"
)

const (
	// hashPasswords is the command that a server calls its own program with.
	hashPasswords = "hash-passwords"

	// hashService is what the methods of an auth.Hasher are called by in the other process.
	hashService = "Hasher"

	// hashTimeout is for how long a server waits for an answer before it ends the process that hashes. The most expensive
	// hash takes three seconds, and longer only while the machine does something else.
	hashTimeout = 30 * time.Second
)

// hasher hashes passwords in a process of its own, which is this program again, on all processors but one. Within the
// server Argon2, for which x/crypto starts eight goroutines a hash, moves from one processor to the other, and requests
// wait for milliseconds behind it (BenchmarkLoginFlood). If the process ends by itself those passwords fail that it was
// busy with; the next one starts another.
type hasher struct {
	program    string // this one's file
	processors int    // that it may use, and so how many passwords it hashes at once
	timeout    time.Duration
	log        *slog.Logger

	ctx  context.Context // ends with close
	stop context.CancelFunc

	mu      sync.Mutex
	running *hashing // nil while no process runs
	ended   sync.WaitGroup
}

// hashing is a process that hashes.
type hashing struct {
	client *rpc.Client
	pid    int
	stop   context.CancelCauseFunc
}

// startHasher gives a hasher whose process runs. Who has it calls close at the end.
func startHasher(log *slog.Logger) (*hasher, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the file of this program: %w", err)
	}
	if runtime.GOOS == "linux" {
		program = "/proc/self/exe" // what runs, although an update may have put another in its place
	}
	ctx, stop := context.WithCancel(context.Background())
	h := &hasher{program: program, processors: max(1, runtime.GOMAXPROCS(0)-1), timeout: hashTimeout, log: log, ctx: ctx, stop: stop}
	if _, err := h.process(); err != nil {
		stop()
		return nil, err
	}
	return h, nil
}

// close ends the process.
func (h *hasher) close() {
	h.mu.Lock()
	h.stop() // from now on none is started
	h.mu.Unlock()
	h.ended.Wait()
}

// Check implements auth.Hasher.
func (h *hasher) Check(in auth.Check, out *auth.Checked) error {
	return h.call(hashService+".Check", in, out)
}

// Hash implements auth.Hasher.
func (h *hasher) Hash(in auth.NewPassword, out *string) error {
	return h.call(hashService+".Hash", in, out)
}

func (h *hasher) call(method string, in, out any) error {
	p, err := h.process()
	if err != nil {
		return err
	}
	late := time.AfterFunc(h.timeout, func() { p.stop(fmt.Errorf("no answer within %s", h.timeout)) })
	defer late.Stop()
	if err := p.client.Call(method, in, out); err != nil {
		return fmt.Errorf("have process %d hash a password: %w", p.pid, err)
	}
	return nil
}

// process gives the one that runs, or starts one.
func (h *hasher) process() (*hashing, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running != nil {
		return h.running, nil
	}
	ctx, stop := context.WithCancelCause(h.ctx)
	cmd := h.command(ctx)
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		stop(nil)
		return nil, fmt.Errorf("make pipes to a process that hashes passwords: %w", err)
	}
	if err := cmd.Start(); err != nil {
		stop(nil)
		return nil, fmt.Errorf("start a process that hashes passwords: %w; the system has to let this program run its own file", err)
	}
	p := &hashing{client: rpc.NewClient(pipes{stdout, stdin, stdin}), pid: cmd.Process.Pid, stop: stop}
	h.running = p
	h.ended.Go(func() {
		err := cmd.Wait()
		err = errors.Join(context.Cause(ctx), err)
		stop(nil)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.running = nil
		if h.ctx.Err() == nil {
			h.log.Error("the process that hashes passwords has ended; the next password starts another", "pid", p.pid, "error", err)
		}
	})
	return p, nil
}

// command is the process to start. It gets nothing of the server's environment, where secrets are.
func (h *hasher) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.program, hashPasswords)
	cmd.Args[0] = "clientes"
	cmd.Env = []string{"GOMAXPROCS=" + strconv.Itoa(h.processors)}
	cmd.Stderr = os.Stderr // a panic
	return cmd
}

// pipes is a connection of two pipes.
type pipes struct {
	io.Reader
	io.Writer
	io.Closer
}

// hashCommand is the other end of a hasher.
func (p *program) hashCommand() *cobra.Command {
	return &cobra.Command{
		Use:    hashPasswords,
		Short:  "Hash passwords for the server that has started this",
		Hidden: true,
		Args:   arguments,
		RunE: func(*cobra.Command, []string) error {
			// A terminal or a service manager sends these to the server and to this. The server still has passwords to
			// check, and says when it is over by closing the pipe, or by its death.
			signal.Ignore(os.Interrupt, syscall.SIGTERM)
			// Who reads a pipe that blocks keeps a processor with it, and there may be one only.
			if err := syscall.SetNonblock(syscall.Stdin, true); err != nil {
				return fmt.Errorf("wait for passwords: %w", err)
			}
			stdin := os.NewFile(uintptr(syscall.Stdin), "stdin")
			return serveHasher(pipes{stdin, p.stdout, stdin}, auth.LocalHasher{})
		},
	}
}

// serveHasher has h do what a hasher asks for, until the connection is closed.
func serveHasher(conn io.ReadWriteCloser, h auth.Hasher) error {
	service := rpc.NewServer()
	if err := service.RegisterName(hashService, recovering{h}); err != nil {
		return fmt.Errorf("offer to hash passwords: %w", err)
	}
	service.ServeConn(conn)
	return nil
}

// recovering makes an error of a panic, so that what one stranger sends ends nobody else's login.
type recovering struct {
	auth.Hasher
}

func (r recovering) Check(in auth.Check, out *auth.Checked) (err error) {
	defer recovered(&err)
	return r.Hasher.Check(in, out)
}

func (r recovering) Hash(in auth.NewPassword, out *string) (err error) {
	defer recovered(&err)
	return r.Hasher.Hash(in, out)
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}
