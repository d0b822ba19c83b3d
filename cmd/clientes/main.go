// Command clientes is the whole product in one program: the server of the API and what an operator
// needs beside it.
//
// It is the only package that knows all others. It reads the environment (package config), opens
// the store that DATABASE_URL names (engine.go), builds auth and the API upon it (serve.go), and
// closes them in the opposite order.
//
// Each command has a file of its own and calls the same functions that the API calls. None knows
// SQL. Three know what goes over the wire: "token inspect" compares the claims of a token with the
// settings, "captcha solve" finds the challenge in an answer, and "healthcheck" requests /readyz.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"clientes/cmd/clientes/config"
	"clientes/store"
)

// sameSignal is how long another signal counts as the same one. timeout(1) sends it to the process
// and to its group, and a wrapper in the foreground passes on the interrupt that the terminal has
// sent to both.
const sameSignal = 250 * time.Millisecond

func main() {
	end := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) ignores it
		end = append(end, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), end...)
	context.AfterFunc(ctx, func() {
		time.Sleep(sameSignal)
		// A terminal that closes sends this more than once, and nobody means anything by it. It is
		// still caught, and dropped: one that arrives during signal.Ignore can end the process.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		stop() // from now on another signal ends the process at once
	})
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

// program is what a command can reach of the world around it.
type program struct {
	lookupEnv      func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
	buffer         *logBuffer // of standard error; nil in a command that does not serve
	name           string     // how the program was called, see [calledAs]
	args           []string   // as they were typed
}

// byGoRun matches the folder of a program that "go run" has built: a temporary one at the first
// run, and one of Go's cache later.
var byGoRun = regexp.MustCompile(`/go-build[0-9]+/.*/exe$|/[0-9a-f]{64}-d$`)

// calledAs returns how whoever typed the command called the program at this path. No shell finds
// what "go run" has built under the name clientes.
func calledAs(executable string) string {
	if byGoRun.MatchString(filepath.ToSlash(filepath.Dir(executable))) {
		return "go run ./cmd/clientes"
	}
	if base := filepath.Base(executable); strings.HasPrefix(base, "clientes-") {
		return "./" + base // of `make release`
	}
	return "clientes"
}

// asTyped returns a text whose commands, in backquotes, begin as the program was called.
func (p *program) asTyped(text string) string {
	return strings.ReplaceAll(text, "`clientes ", "`"+p.name+" ")
}

// usageError is a mistake of whoever typed the command: the exit status is 2.
type usageError struct {
	message string
}

func (e *usageError) Error() string { return e.message }

// run executes the command that the arguments name and returns the exit status: 0 done, 1 failed, 2
// wrong usage. An error goes to stderr in one sentence.
func run(
	ctx context.Context, args []string, lookupEnv func(string) (string, bool),
	stdin io.Reader, stdout, stderr io.Writer,
) int {
	executable, _ := os.Executable() // without it, by its own name
	p := &program{
		lookupEnv: lookupEnv, stdin: stdin, stdout: stdout, stderr: stderr,
		name: calledAs(executable), args: args,
	}
	root := p.root()
	root.SetArgs(append([]string{}, args...)) // never nil, which would be os.Args
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	defer p.endStderr()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	// A server, a file or a certificate of a stranger may have written part of it.
	fmt.Fprintf(p.stderr, "clientes: %s\n", withoutControls(p.asTyped(sentence(err))))
	var usage *usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

func (p *program) root() *cobra.Command {
	root := p.group("clientes", "An HTTP API for customer records",
		p.quickstartCommand(),
		p.serveCommand(),
		p.migrateCommand(),
		p.userCommand(),
		p.keyCommand(),
		p.importCommand(),
		p.exportCommand(),
		p.changesCommand(),
		p.copyCommand(),
		p.backupCommand(),
		p.restoreCommand(),
		p.sessionsCommand(),
		p.rekeyCommand(),
		p.tokenCommand(),
		p.captchaCommand(),
		p.configCommand(),
		p.doctorCommand(),
		p.verifyCommand(),
		p.healthcheckCommand(),
		p.completionCommand(),
		p.versionCommand(),
		p.hashPasswordsCommand(),
	)
	asked := root.Flags().BoolP("version", "v", false, "print version, commit and Go version")
	asGroup := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *asked && len(p.args) == 1:
			return p.printVersion()
		case *asked:
			return &usageError{"--version stands alone; `clientes version --json` prints JSON"}
		}
		return asGroup(cmd, args)
	}
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		said := err.Error()
		inner, is := errors.AsType[*strconv.NumError](err)
		if is && errors.Is(inner, strconv.ErrSyntax) { // which has no news
			said = strings.TrimSuffix(said, ": "+inner.Error())
		}
		return &usageError{fmt.Sprintf("%s; see `%s --help`", said, cmd.CommandPath())}
	})
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		ValidArgsFunction: func(
			_ *cobra.Command, args []string, begun string,
		) ([]string, cobra.ShellCompDirective) {
			return commandsBelow(root, args, begun), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd, rest)
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	})
	completeWords(root)
	return root
}

// commandsBelow returns the commands of the group that the arguments name, as a shell shows them.
func commandsBelow(root *cobra.Command, args []string, begun string) []string {
	group, rest, err := root.Find(args)
	if err != nil || len(rest) > 0 {
		return nil
	}
	var names []string
	for _, cmd := range group.Commands() {
		if cmd.IsAvailableCommand() && strings.HasPrefix(cmd.Name(), begun) {
			names = append(names, cmd.Name()+"\t"+cmd.Short)
		}
	}
	return names
}

// group is a command that only holds others.
func (p *program) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		// Or "clientes srve --port 1" would be about the flag, not about the command.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		RunE: func(group *cobra.Command, args []string) error {
			flag := slices.IndexFunc(p.args, func(arg string) bool {
				return strings.HasPrefix(arg, "-")
			})
			if len(args) == 0 && flag >= 0 {
				return &usageError{fmt.Sprintf("give a command before %s; `%s --help` lists them",
					p.args[flag], group.CommandPath())}
			}
			return unknownCommand(group, args)
		},
	}
	group.AddCommand(commands...)
	return group
}

// unknownCommand returns the error for a group that was called without one of its commands.
func unknownCommand(group *cobra.Command, args []string) error {
	if len(args) == 0 {
		return &usageError{fmt.Sprintf("give a command; `%s --help` lists them",
			group.CommandPath())}
	}
	group.SuggestionsMinimumDistance = 2
	if near := group.SuggestionsFor(args[0]); len(near) > 0 {
		return &usageError{fmt.Sprintf("there is no command %q; did you mean `%s %s`?", args[0],
			group.CommandPath(), near[0])}
	}
	return &usageError{fmt.Sprintf("there is no command %q; `%s --help` lists them", args[0],
		group.CommandPath())}
}

// oneOrStdin accepts one argument, or none if what it names is to be read from standard input. See
// [program.argumentOrStdin].
func oneOrStdin(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return &usageError{"give one " + what + ", or none and write it to standard input"}
		}
		return nil
	}
}

// tellTyping says on standard error what a command that reads standard input waits for, if a person
// has to type it.
func (p *program) tellTyping(what string) {
	if isTerminal(p.stdin) {
		fmt.Fprintf(p.stderr, "Reading %s from the terminal; end it with Ctrl+D on a line of its own.\n",
			what)
	}
}

// argumentOrStdin returns the one argument, or what is written to standard input, without the white
// space around it.
func (p *program) argumentOrStdin(args []string, what string) (string, error) {
	var text string
	if len(args) == 1 {
		text = args[0]
	} else {
		p.tellTyping("the " + what)
		b, err := io.ReadAll(io.LimitReader(p.stdin, 1<<16))
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", what, err)
		}
		text = string(b)
	}
	if text = store.Trim(text); text == "" {
		return "", &usageError{"give a " + what + " as the argument or on standard input"}
	}
	return text, nil
}

// arguments accepts exactly the arguments that the command's Use names in capitals.
func arguments(cmd *cobra.Command, args []string) error {
	words := strings.Fields(cmd.Use)[1:]
	if len(args) == len(words) {
		return nil
	}
	want := "no arguments"
	if len(words) > 0 {
		want = strings.Join(words, " and ")
	}
	were := "were"
	if len(args) == 1 {
		were = "was"
	}
	return &usageError{fmt.Sprintf("`%s` takes %s, but %d %s given; see `%s --help`",
		cmd.CommandPath(), want, len(args), were, cmd.CommandPath())}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// sentence returns what went wrong and what to do about it.
func sentence(err error) string {
	var (
		configuration *config.Error
		conflict      *store.ConflictError
		invalid       *store.InvalidError
		newer         *store.NewerSchemaError
	)
	if errors.As(err, &configuration) {
		return configuration.Error()
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		text = "interrupted before it was done"
	case errors.As(err, &invalid):
		text = invalid.Error()
	case errors.As(err, &conflict) && conflict.Field == "user":
		text = "there is a user of that name already; `clientes user list` shows them"
	case errors.As(err, &conflict):
		text = fmt.Sprintf("another record has this %s; choose a different one", conflict.Field)
	case errors.Is(err, store.ErrLastAdmin):
		text = store.ErrLastAdmin.Error() + "; make another user an admin first"
	case errors.As(err, &newer):
		text += "; run the version that changed it, or a newer one"
	case errors.Is(err, store.ErrSchema):
		text += "; `clientes migrate` applies what is missing"
	case errors.Is(err, store.ErrUnavailable) && !isEngineError(err):
		text += "; check that the database runs and that DATABASE_URL leads to it"
	}
	return strings.Join(strings.Fields(text), " ") // some drivers write a list
}

// counted returns a number and its noun.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
