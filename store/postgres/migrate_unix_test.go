//go:build unix

package postgres_test

import (
	"bytes"
	"syscall"
	"testing"

	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

func TestAStoppedMigratorLosesTheLock(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	release := blockMigration(t, url)
	watch := beside(t, url)
	stopped := migrator(t, url)
	var said bytes.Buffer
	stopped.Stderr = &said
	if err := stopped.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the first migrator is at work", func() bool { return waiting(t, watch) == 1 })
	// Like a machine that lost its network, it keeps its connections and falls silent.
	if err := stopped.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	release()
	if err := postgres.Migrate(soon(t), url); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Wait(); err == nil {
		t.Error("the first migrator did not notice that it lost the lock")
	} else if !bytes.Contains(said.Bytes(), []byte("migrate the database")) {
		t.Errorf("the first migrator said %q", &said)
	}
	wantReady(t, url)
}
