package main

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

// hashTimeout is how long a process may take for an answer, ten times what the most expensive hash does
// (BenchmarkTheMostExpensiveHashes in auth). One that takes longer is taken to hang.
const hashTimeout = 30 * time.Second

// hasher is an auth.Hasher that hashes in a process of its own, which is this program again, on all processors but one.
// Within the server Argon2, for which x/crypto starts eight goroutines a hash, moves from one processor to the other, and
// requests wait for milliseconds behind it (BenchmarkLoginFlood). If the process ends by itself there is another for what
// it has not answered.
type hasher struct {
	file       string // of this program
	processors int    // that the process may use, and so how many passwords it hashes at once
	timeout    time.Duration
	log        *slog.Logger

	ctx  context.Context // ends with close
	stop context.CancelFunc

	mu      sync.Mutex
	running *hashProcess // nil while there is none
}

// hashProcess runs `clientes hash-passwords`.
type hashProcess struct {
	client *rpc.Client
	pid    int
	kill   context.CancelCauseFunc
	ended  chan struct{} // closed when it has ended, and the hasher knows
}

// ownFile is the file of this program.
func ownFile() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil // what runs, although an update may have put another in its place
	}
	file, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("look for the file of this program, to run it again: %w", err)
	}
	return file, nil
}

// startHasher gives a hasher that has shown that it works. Who has it calls close at the end.
func startHasher(file string, log *slog.Logger) (*hasher, error) {
	ctx, stop := context.WithCancel(context.Background())
	h := &hasher{file: file, processors: max(1, runtime.GOMAXPROCS(0)-1), timeout: hashTimeout, log: log, ctx: ctx, stop: stop}
	// What is easy to guess costs no hash, and the process has to look at it nevertheless.
	if _, err := h.Hash("password", nil); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// close ends the process, and what it has not answered fails.
func (h *hasher) close() {
	h.mu.Lock()
	h.stop() // from now on none is started
	p := h.running
	h.mu.Unlock()
	if p != nil {
		<-p.ended
	}
}

// Verify implements auth.Hasher.
func (h *hasher) Verify(hash, password string, rehash bool) (good bool, rehashed string, err error) {
	reply, err := ask[VerifyReply](h, "Verify", VerifyArgs{Hash: hash, Password: password, Rehash: rehash})
	return reply.Good, reply.Rehashed, err
}

// Hash implements auth.Hasher.
func (h *hasher) Hash(password string, known []string) (hash string, err error) {
	return ask[string](h, "Hash", HashArgs{Password: password, Known: known})
}

// ask calls a method of hashService, and once more if the process ends without an answer.
func ask[Reply any](h *hasher, method string, args any) (Reply, error) {
	var none Reply
	var lost error
	for range 2 {
		p, err := h.process()
		if err != nil {
			return none, err
		}
		reply := none // a new one each time: gob does not write what is zero
		late := time.AfterFunc(h.timeout, func() { p.kill(fmt.Errorf("no answer within %s", h.timeout)) })
		err = p.client.Call(hashServiceName+"."+method, args, &reply)
		late.Stop()
		var failed rpc.ServerError
		switch {
		case err == nil:
			return reply, nil
		case errors.As(err, &failed):
			return none, failed
		}
		lost = err
		p.kill(err) // if it still runs, it is of no use
		<-p.ended
	}
	return none, fmt.Errorf("two processes that hash passwords gave no answer: %w; standard error or the log says why they ended", lost)
}

// process gives the one that runs, or starts one.
func (h *hasher) process() (*hashProcess, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running != nil {
		return h.running, nil
	}
	if h.ctx.Err() != nil {
		return nil, errors.New("no more passwords are hashed: the server ends")
	}
	ctx, kill := context.WithCancelCause(h.ctx)
	cmd := h.command(ctx)
	client, err := startClient(cmd)
	if err != nil {
		kill(nil)
		return nil, fmt.Errorf("start a process that hashes passwords: %w; the system has to let this program run its own file "+
			"once more, which Linux looks for in /proc, and give it enough processes and open files", err)
	}
	p := &hashProcess{client: client, pid: cmd.Process.Pid, kill: kill, ended: make(chan struct{})}
	h.running = p
	go func() {
		defer close(p.ended)
		defer kill(nil)
		err := cmd.Wait()
		if why := context.Cause(ctx); why != nil {
			err = fmt.Errorf("%w: %w", why, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.running = nil
		if h.ctx.Err() == nil {
			h.log.Error("the process that hashes passwords has ended; the next password starts another", "pid", p.pid, "error", err)
		}
	}()
	return p, nil
}

// command is the process to start.
func (h *hasher) command(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.file, hashPasswords)
	cmd.Args[0] = "clientes" // for who looks at a list of processes
	// Nothing of the server's environment, where secrets are.
	cmd.Env = []string{"GOMAXPROCS=" + strconv.Itoa(h.processors)}
	cmd.Stderr = os.Stderr // says why, if the runtime of Go ends it
	return cmd
}

// startClient starts a process and gives a client of what it serves on its standard input and output.
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
