//go:build unix

package postgrestest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// PausePooler stops the process of the PgBouncer of [Cluster.Pooler], which then says nothing.
func (c *Cluster) PausePooler() { c.signalPooler(syscall.SIGSTOP) }

// ResumePooler ends PausePooler.
func (c *Cluster) ResumePooler() { c.signalPooler(syscall.SIGCONT) }

// KillPooler kills that PgBouncer.
func (c *Cluster) KillPooler() { c.signalPooler(syscall.SIGKILL) }

func (c *Cluster) signalPooler(s syscall.Signal) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.folder, "pgbouncer.pid"))
	if err != nil {
		c.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, s)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
