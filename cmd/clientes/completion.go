package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"clientes/cmd/clientes/verify"
	"clientes/store"
)

// shells are those that have a completion, and how the script for each is written.
var shells = []struct {
	name  string
	write func(root *cobra.Command, to io.Writer) error
}{
	{"bash", func(root *cobra.Command, to io.Writer) error {
		return root.GenBashCompletionV2(to, true)
	}},
	{"zsh", (*cobra.Command).GenZshCompletion},
	{"fish", func(root *cobra.Command, to io.Writer) error {
		return root.GenFishCompletion(to, true)
	}},
	{"powershell", (*cobra.Command).GenPowerShellCompletionWithDesc},
}

func shellNames() []string {
	var names []string
	for _, s := range shells {
		names = append(names, s.name)
	}
	return names
}

func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write a script that lets a shell complete commands",
		Long: `Write to standard output what lets a shell complete commands, flags and their values at the tab key.
SHELL is bash, zsh, fish or powershell. The program has to be in PATH, under the name clientes. It
looks into no database, so names of users are not completed. Give it again after an update.

bash, with the package bash-completion:

  mkdir -p ~/.local/share/bash-completion/completions
  clientes completion bash > ~/.local/share/bash-completion/completions/clientes

zsh, with "fpath=(~/.zfunc $fpath); autoload -U compinit; compinit" in ~/.zshrc:

  mkdir -p ~/.zfunc
  clientes completion zsh > ~/.zfunc/_clientes

fish:

  mkdir -p ~/.config/fish/completions
  clientes completion fish > ~/.config/fish/completions/clientes.fish

PowerShell, as a line of $PROFILE:

  clientes completion powershell | Out-String | Invoke-Expression

A new shell has it.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, shell := range shells {
				if strings.EqualFold(shell.name, args[0]) {
					return shell.write(cmd.Root(), p.stdout)
				}
			}
			return &usageError{fmt.Sprintf("there is no completion for %q; give bash, zsh, fish or powershell",
				args[0])}
		},
	}
}

// valuesOf returns what can stand in the place of a word in capitals, such as ROLE, and whether a
// shell completes it. Without values the shell completes the names of files.
func valuesOf(word string) ([]string, cobra.ShellCompDirective) {
	switch word {
	case "FILE":
		return nil, cobra.ShellCompDirectiveDefault
	case "ROLE":
		var roles []string
		for _, role := range store.Roles() {
			roles = append(roles, string(role))
		}
		return roles, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	case "SCOPES":
		var scopes []string
		for _, scope := range store.Admin.Scopes() {
			scopes = append(scopes, string(scope))
		}
		return scopes, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	case "FORMAT":
		return []string{"csv", "ndjson"}, cobra.ShellCompDirectiveNoFileComp
	case "ID":
		var ids []string
		for _, promise := range verify.Promises() {
			ids = append(ids, promise.ID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	case "SHELL":
		return shellNames(), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeWords lets shells complete the arguments and the values of flags of a command and of
// those below it, by the words in capitals that its Use and the usage of its flags name.
func completeWords(cmd *cobra.Command) {
	if cmd.ValidArgsFunction == nil {
		words := strings.Fields(cmd.Use)[1:]
		cmd.ValidArgsFunction = func(
			_ *cobra.Command, args []string, begun string,
		) ([]string, cobra.ShellCompDirective) {
			if len(args) >= len(words) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			values, directive := valuesOf(strings.Trim(words[len(args)], "[]"))
			return beginning(values, begun), directive
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, set := cmd.GetFlagCompletionFunc(f.Name); set || f.Value.Type() == "bool" {
			return
		}
		word, _ := pflag.UnquoteUsage(f)
		complete := func(
			_ *cobra.Command, _ []string, begun string,
		) ([]string, cobra.ShellCompDirective) {
			values, directive := valuesOf(word)
			return beginning(values, begun), directive
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic(err) // only of a flag that is not there
		}
	})
	for _, below := range cmd.Commands() {
		completeWords(below)
	}
}

// beginning returns the values that begin with a text.
func beginning(values []string, text string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return !strings.HasPrefix(v, text) })
}
