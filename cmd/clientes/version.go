package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// A build without the repository at hand, as in the Dockerfile, sets these with -ldflags
// "-X main.version=… -X main.commit=…". The linker can set nothing but package variables.
var version, commit string

func (p *program) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and Go version",
		Args:  arguments,
	}
	asJSON := addJSONFlag(cmd, "them")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *asJSON {
			v, c := buildOf(debug.ReadBuildInfo())
			return printJSON(p.stdout, versionView{v, c, runtime.Version()})
		}
		return p.printVersion()
	}
	return cmd
}

// versionView is the version for programs.
type versionView struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (p *program) printVersion() error {
	v, c := buildOf(debug.ReadBuildInfo())
	_, err := fmt.Fprintf(p.stdout, "clientes %s, commit %s, %s\n", v, c, runtime.Version())
	return err
}

// buildOf returns the version and the commit of the program: what the linker was told, else what
// the go command recorded.
func buildOf(info *debug.BuildInfo, ok bool) (v, c string) {
	v, c = version, commit
	if ok {
		noted := make(map[string]string)
		for _, s := range info.Settings {
			noted[s.Key] = s.Value
		}
		c = cmp.Or(c, noted["vcs.revision"])
		if commit == "" && noted["vcs.modified"] == "true" {
			c += " with changes"
		}
		v = cmp.Or(v, info.Main.Version)
	}
	return cmp.Or(v, "unknown"), cmp.Or(c, "unknown")
}
