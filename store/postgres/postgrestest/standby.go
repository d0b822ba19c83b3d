package postgrestest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Standby starts another cluster that follows this one until [Cluster.Promote]. It has every
// database of this one, under its own URL.
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	s, err := newFolder(false)
	if err != nil {
		stopTest(t, err)
	}
	s.t = t
	t.Cleanup(func() {
		s.lifeline.Close()
		if err := s.watchdog.Wait(); err != nil {
			t.Errorf("remove the standby: %v", err)
		}
	})
	program, err := s.baseBackup()
	if err != nil {
		stopTest(t, err)
	}
	err = s.run(program, "-h", c.folder, "-p", "5432", "-U", "postgres", "-D", s.data(),
		"-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"),
		os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The copy has the folder of the other cluster. The last line counts.
	_, err = conf.WriteString("unix_socket_directories = '" + s.folder + "'\n")
	if err := errors.Join(err, conf.Close()); err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s
}

// baseBackup returns the path of pg_basebackup, from the folder of binaries. It may lie where a
// link to the server leads.
func (c *Cluster) baseBackup() (relative string, err error) {
	server, err := filepath.EvalSymlinks(filepath.Join(c.binaries, "postgres"))
	if err != nil {
		return "", err
	}
	for _, folder := range []string{c.binaries, filepath.Dir(server)} {
		path := filepath.Join(folder, "pg_basebackup")
		if _, err := os.Stat(path); err == nil {
			return filepath.Rel(c.binaries, path)
		}
	}
	return "", fmt.Errorf("pg_basebackup was not found beside the server: %w", errNotInstalled)
}

// Promote makes a standby a primary.
func (c *Cluster) Promote() {
	c.t.Helper()
	if err := c.run("pg_ctl", "-D", c.data(), "-w", "promote"); err != nil {
		c.t.Fatal(err)
	}
}
