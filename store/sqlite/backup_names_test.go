package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"clientes/store/sqlite"
)

func TestABackupLeavesTheFilesOfTheDatabaseAlone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	database := filepath.Join(folder, "clientes.db")
	url := "sqlite:" + database
	if err := sqlite.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	quiet := func(int64, int64) {}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".lock", ".restoring", ".last-backup"} {
		if _, err := sqlite.WriteBackup(t.Context(), url, database+suffix, quiet); err == nil {
			t.Errorf("%q is accepted", suffix)
		}
	}
	link, there := filepath.Join(folder, "link"), filepath.Join(t.TempDir(), "there.db")
	if err := os.Symlink(there, link); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.WriteBackup(t.Context(), url, link, quiet); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(there); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the backup is not where the link leads: %v", err)
	}
	if _, err := sqlite.Restore(t.Context(), "sqlite:"+folder, there, quiet); err == nil {
		t.Error("a folder is replaced")
	}
	if _, err := os.Stat(database); err != nil {
		t.Error(err)
	}
}
