package main

import (
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"clientes/auth"
)

// hashPasswords is the name of the command that a hasher calls.
const hashPasswords = "hash-passwords"

func (p *program) hashPasswordsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    hashPasswords,
		Short:  "Hash passwords for the server that has started this",
		Hidden: true,
		Args:   arguments,
		RunE: func(*cobra.Command, []string) error {
			if isTerminal(p.stdin) {
				return &usageError{"a server calls this by itself; `clientes serve` starts one"}
			}
			// A terminal or a service manager sends these to the server and to this. The server still has passwords to
			// check, and ends this when it has none.
			signal.Ignore(os.Interrupt, syscall.SIGTERM)
			// Linux calls the process "exe", as it was started. It is but a name.
			_ = os.WriteFile("/proc/self/comm", []byte("clientes"), 0)
			// Who reads a pipe that blocks keeps a processor with it, and there may be one only.
			if err := syscall.SetNonblock(syscall.Stdin, true); err != nil {
				return fmt.Errorf("wait for passwords: %w", err)
			}
			stdin := os.NewFile(uintptr(syscall.Stdin), "stdin")
			return serveHashes(pipes{stdin, p.stdout, stdin}, auth.LocalHasher{})
		},
	}
}

// serveHashes answers a hasher until that closes the connection, as its death does.
func serveHashes(conn io.ReadWriteCloser, h auth.Hasher) error {
	server := rpc.NewServer()
	if err := server.RegisterName(hashServiceName, hashService{h}); err != nil {
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

const hashServiceName = "Hasher"

// hashService is an auth.Hasher in the form that net/rpc wants. Its methods make an error of a panic, so that what one
// stranger sends ends nobody else's login.
type hashService struct {
	hasher auth.Hasher
}

// VerifyArgs and VerifyReply are what auth.Hasher's Verify takes and gives, HashArgs what its Hash takes.
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

// Verify calls the method of that name.
func (s hashService) Verify(args VerifyArgs, reply *VerifyReply) (err error) {
	defer recovered(&err)
	reply.Good, reply.Rehashed, err = s.hasher.Verify(args.Hash, args.Password, args.Rehash)
	return err
}

// Hash calls the method of that name.
func (s hashService) Hash(args HashArgs, hash *string) (err error) {
	defer recovered(&err)
	*hash, err = s.hasher.Hash(args.Password, args.Known)
	return err
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}
