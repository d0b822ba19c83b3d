package password

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/rpc"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// hashTimeout is how long a process may take for an answer: ten times what the most expensive hash
// does (BenchmarkTheMostExpensiveHashes). One that takes longer is considered to hang.
const hashTimeout = 30 * time.Second

// ErrNoHasher means that the process that hashes passwords does not run or does not answer.
var ErrNoHasher = errors.New("passwords cannot be hashed")

// Process is a [Hasher] that hashes in a process of its own: this program again, on all processors
// but one. x/crypto starts eight goroutines for each Argon2 hash. Within the server they move from
// one processor to the other, and requests wait for milliseconds behind them (BenchmarkLoginFlood).
// If the process ends by itself, another one starts and does what the first has not answered.
type Process struct {
	file       string // of this program
	command    string // that calls ServeProcess
	processors int    // that the process may use, and so how many passwords it hashes at once
	timeout    time.Duration
	log        *slog.Logger

	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	first chan error // has one, of the first password

	mu      sync.Mutex
	running *child // nil while there is none
	started int64  // how many there were
}

// child is a process that runs [ServeProcess].
type child struct {
	client *rpc.Client
	pid    int
	kill   context.CancelCauseFunc
	ended  chan struct{} // closed when it has ended, and its Process has noted that
}

// StartProcess starts this program again with the one argument command, which has to call
// [ServeProcess]. It does not wait for it, so that a server opens its database meanwhile: that
// halves the time until it answers (BenchmarkStart). [Process.Started] waits. The caller has to
// close the Process.
func StartProcess(command string, log *slog.Logger) (*Process, error) {
	file, err := ownFile()
	if err != nil {
		return nil, err
	}
	return startProcess(file, command, log), nil
}

// ownFile returns the file of this program.
func ownFile() (string, error) {
	if runtime.GOOS == "linux" {
		// This is what runs, even if an update has put another file in its place.
		return "/proc/self/exe", nil
	}
	file, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("look for the file of this program, to run it again: %w", err)
	}
	return file, nil
}

func startProcess(file, command string, log *slog.Logger) *Process {
	ctx, stop := context.WithCancel(context.Background())
	p := &Process{
		file: file, command: command, timeout: hashTimeout, log: log, ctx: ctx, stop: stop,
		processors: max(1, runtime.GOMAXPROCS(0)-1), first: make(chan error, 1),
	}
	go func() {
		// An easy password costs no hash, but the process has to answer all the same.
		_, err := p.Hash("password", nil)
		p.first <- err
	}()
	return p
}

// Started waits until the process has shown that it works, and returns why it does not. It may be
// called once.
func (p *Process) Started() error { return <-p.first }

// Gate returns a gate before the process. As many passwords are hashed at once as the process has
// processors. A hash takes some 30 ms, so the last of those that wait has waited about a second.
func (p *Process) Gate() *Gate { return NewGate(p, p.processors, 32*p.processors) }

// Close ends the process. Calls that it has not answered fail.
func (p *Process) Close() {
	p.mu.Lock()
	p.stop() // from now on none is started
	c := p.running
	p.mu.Unlock()
	if c != nil {
		<-c.ended
	}
}

// Restarts returns how often another process was started, because one had ended.
func (p *Process) Restarts() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.started-1)
}

// Verify implements [Hasher].
func (p *Process) Verify(
	hash, password string, rehash bool,
) (good bool, rehashed string, err error) {
	args := VerifyArgs{Hash: hash, Password: password, Rehash: rehash}
	reply, err := call[VerifyReply](p, "Verify", args)
	return reply.Good, reply.Rehashed, err
}

// Hash implements [Hasher].
func (p *Process) Hash(password string, known []string) (hash string, err error) {
	return call[string](p, "Hash", HashArgs{Password: password, Known: known})
}

// Ready implements [Hasher]. If there is no process, it starts one. One that hangs does not answer,
// and is replaced when the time for a hash is over.
func (p *Process) Ready(ctx context.Context) error {
	answer := make(chan error, 1)
	go func() {
		_, err := call[bool](p, "Ping", true)
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: no answer of the process that hashes passwords: %w", ErrNoHasher,
			ctx.Err())
	}
}

// call calls a method of the service, and once more if the process ends without an answer.
func call[Reply any](p *Process, method string, args any) (Reply, error) {
	var none Reply
	var lost error
	for range 2 {
		c, err := p.child()
		if err != nil {
			return none, err
		}
		reply := none // a new one each time: gob does not write what is zero
		late := time.AfterFunc(p.timeout, func() {
			c.kill(fmt.Errorf("no answer within %s", p.timeout))
		})
		err = c.client.Call(serviceName+"."+method, args, &reply)
		late.Stop()
		var failed rpc.ServerError
		switch {
		case err == nil:
			return reply, nil
		case errors.As(err, &failed):
			return none, failed
		}
		lost = err
		c.kill(err) // if it still runs, it is of no use
		<-c.ended
	}
	return none, fmt.Errorf("%w: two processes that hash passwords gave no answer: %w; "+
		"standard error or the log says why they ended", ErrNoHasher, lost)
}

// child returns the process that runs, or starts one.
func (p *Process) child() (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return p.running, nil
	}
	if p.ctx.Err() != nil {
		return nil, fmt.Errorf("%w: the server ends", ErrNoHasher)
	}
	ctx, kill := context.WithCancelCause(p.ctx)
	cmd := p.cmd(ctx)
	client, err := startClient(cmd)
	if err != nil {
		kill(nil)
		return nil, fmt.Errorf("%w: start a process that hashes passwords: %w; the system has to "+
			"let this program run its own file once more, which Linux looks for in /proc, and "+
			"give it enough processes and open files", ErrNoHasher, err)
	}
	p.running = &child{
		client: client, pid: cmd.Process.Pid, kill: kill, ended: make(chan struct{}),
	}
	p.started++
	go p.await(ctx, cmd, p.running)
	return p.running, nil
}

// await waits for the end of a process and notes it.
func (p *Process) await(ctx context.Context, cmd *exec.Cmd, c *child) {
	defer close(c.ended)
	defer c.kill(nil)
	err := cmd.Wait()
	if why := context.Cause(ctx); why != nil {
		err = fmt.Errorf("%w: %w", why, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = nil
	if p.ctx.Err() == nil {
		p.log.Error("the process that hashes passwords has ended; the next password starts another",
			"pid", c.pid, "error", err)
	}
}

// cmd returns the command of the process.
func (p *Process) cmd(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.file, p.command)
	cmd.Args[0] = processName // for people who read a list of processes
	// It gets nothing of the server's environment, where secrets are.
	cmd.Env = []string{"GOMAXPROCS=" + strconv.Itoa(p.processors)}
	cmd.Stderr = os.Stderr // says why, if the Go runtime ends it
	return cmd
}

// processName is what lists of processes call the process.
const processName = "clientes"

// startClient starts a process and returns a client of what it serves on its standard input and
// output.
func startClient(cmd *exec.Cmd) (*rpc.Client, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return rpc.NewClient(pipes{stdout, stdin, stdin}), nil
}
