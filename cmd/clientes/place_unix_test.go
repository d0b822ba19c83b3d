//go:build unix

package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"clientes/auth/authtest"
)

// G6: somebody migrates with sudo, and the service runs as another user.
func TestFilesOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of another user")
	}
	nobody, err := user.Lookup("nobody")
	authtest.Must(t, err)
	id, err := strconv.Atoi(nobody.Uid)
	authtest.Must(t, err)
	group, err := strconv.Atoi(nobody.Gid)
	authtest.Must(t, err)
	// Folders of t.TempDir are in one that is closed to others.
	folder, err := os.MkdirTemp("", "")
	authtest.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	authtest.Must(t, os.Chmod(folder, 0o755))
	self, err := os.Executable()
	authtest.Must(t, err)
	program, err := os.ReadFile(self)
	authtest.Must(t, err)
	authtest.Must(t, os.WriteFile(filepath.Join(folder, "clientes"), program, 0o755))
	as := func(uid, gid int, database string) string {
		t.Helper()
		cmd := command(t, []string{"DATABASE_URL=sqlite:" + database}, "migrate")
		cmd.Path, cmd.Dir = filepath.Join(folder, "clientes"), folder
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
		}
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	inside := filepath.Join(folder, "data")
	authtest.Must(t, os.Mkdir(inside, 0o700))
	authtest.Must(t, os.Chown(inside, id, group))
	file := filepath.Join(inside, "clientes.db")
	if out := as(0, 0, file); !strings.Contains(out, "has all") {
		t.Fatal(out)
	}
	files := file + " " + file + ".lock"
	want := func(what, sentence string) {
		t.Helper()
		if out := as(id, group, file); out != "clientes: "+sentence+"\n" {
			t.Errorf("%s: got %s, want %s", what, out, sentence)
		}
	}
	want("a database of root", fmt.Sprintf(
		"%s belongs to root, and nobody may not read and write it: as root, chown nobody %s",
		file, files))
	authtest.Must(t, os.Chown(file, id, group))
	want("G6 a lock of root", fmt.Sprintf(
		"%s.lock belongs to root, and nobody may not read and write it: as root, chown nobody %s",
		file, files))
	authtest.Must(t, os.Chown(file+".lock", id, group))
	authtest.Must(t, os.WriteFile(file+"-wal", nil, 0o600))
	want("a WAL of root", fmt.Sprintf(
		"%s-wal belongs to root, and nobody may not read and write it: as root, chown nobody %s",
		file, strings.Replace(files, " ", " "+file+"-wal ", 1)))
	authtest.Must(t, os.Remove(file+"-wal"))
	if out := as(id, group, file); !strings.Contains(out, "has all") {
		t.Errorf("after the cures: %s", out)
	}
	authtest.Must(t, os.Chown(inside, 0, 0))
	authtest.Must(t, os.Chmod(inside, 0o755))
	file = filepath.Join(inside, "new.db")
	want("a folder of root", fmt.Sprintf("the folder %s belongs to root, and nobody may not make "+
		"files in it: as root, chown nobody %[1]s, or name a file elsewhere in DATABASE_URL", inside))
	authtest.Must(t, os.Chmod(inside, 0o700))
	file, inside = filepath.Join(inside, "deep", "new.db"), filepath.Join(inside, "deep")
	want("a folder that is closed", fmt.Sprintf("nobody may not look into the folder %s: as its "+
		"owner, let that user in, or name another file in DATABASE_URL", inside))
}
