package sqlite_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"clientes/store/sqlite"
)

// Each is a file system that a start meets, with the sentence that says what to do.
func TestAFileSystemThatTakesNoDatabase(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("it mounts file systems as Linux lets root do")
	}
	t.Parallel()
	for options, want := range map[string]string{
		"ro":        "the file system of FOLDER is read-only: mount it writable, or name a file elsewhere",
		"size=256k": "there is no room on the disk of FOLDER: make room on it, or name a file on another",
	} {
		folder := t.TempDir()
		mount := exec.Command("mount", "-t", "tmpfs", "-o", options, "none", folder)
		out, err := mount.CombinedOutput()
		if err != nil {
			t.Skipf("cannot mount: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("umount", "-l", folder).Run() })
		if options != "ro" {
			err := os.WriteFile(filepath.Join(folder, "filler"), make([]byte, 1<<20), 0o600)
			if err == nil {
				t.Fatal("there is room")
			}
		}
		err = sqlite.Migrate(t.Context(), "sqlite:"+filepath.Join(folder, "x.db"))
		want = strings.ReplaceAll(want, "FOLDER", folder)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", options, err, want)
		}
	}
}
