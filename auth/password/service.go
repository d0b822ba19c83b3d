package password

import (
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// ServeProcess answers the [Process] that started this program, over standard input and the given
// standard output. It returns when the Process closes the connection, or dies.
func ServeProcess(stdout io.Writer) error {
	// A terminal or a service manager sends these to the server and to this process. The server
	// still has passwords to check, and ends this process when it has none.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Linux calls the process "exe", since it was started as /proc/self/exe. The name is a
	// courtesy, so an error does not matter.
	_ = os.WriteFile("/proc/self/comm", []byte(processName), 0)
	// A read of a blocking pipe keeps a processor, and this process may have only one.
	if err := syscall.SetNonblock(syscall.Stdin, true); err != nil {
		return fmt.Errorf("wait for passwords: %w", err)
	}
	stdin := os.NewFile(uintptr(syscall.Stdin), "stdin")
	return serve(pipes{stdin, stdout, stdin}, Local{})
}

// serve answers the other end of a connection until that end closes it.
func serve(conn io.ReadWriteCloser, h Hasher) error {
	server := rpc.NewServer()
	if err := server.RegisterName(serviceName, service{h}); err != nil {
		return fmt.Errorf("offer to hash passwords: %w", err)
	}
	server.ServeConn(conn)
	return nil
}

// pipes is a connection of two pipes.
type pipes struct {
	io.Reader
	io.Writer
	io.Closer
}

const serviceName = "Hasher"

// service is a [Hasher] in the form that net/rpc wants. Its methods turn a panic into an error, so
// that what one stranger sends ends nobody else's login.
type service struct {
	hasher Hasher
}

// VerifyArgs and VerifyReply are the arguments and results of [Hasher]'s Verify, HashArgs those of
// its Hash. They are exported because net/rpc requires it.
type (
	VerifyArgs struct {
		Hash, Password string
		Rehash         bool
	}
	VerifyReply struct {
		Good     bool
		Rehashed string
	}
	HashArgs struct {
		Password string
		Known    []string
	}
)

// Verify calls the hasher's method of that name.
func (s service) Verify(args VerifyArgs, reply *VerifyReply) (err error) {
	defer recovered(&err)
	reply.Good, reply.Rehashed, err = s.hasher.Verify(args.Hash, args.Password, args.Rehash)
	return err
}

// Hash calls the hasher's method of that name.
func (s service) Hash(args HashArgs, hash *string) (err error) {
	defer recovered(&err)
	*hash, err = s.hasher.Hash(args.Password, args.Known)
	return err
}

// Ping answers whether the process lives.
func (service) Ping(_ bool, alive *bool) error {
	*alive = true
	return nil
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}
