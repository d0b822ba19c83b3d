package sqlite_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"clientes/store"
	"clientes/store/sqlite"
)

// A server examines its own database. If that closed the file, the locks of this process would be
// gone: fcntl_locking(2).
func TestExamineByTheServerKeepsItsLocks(t *testing.T) {
	t.Parallel()
	path, url := examined(t)
	s := open(t, url)
	for range 2 {
		if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
			t.Fatal(err)
		}
		if !isLocked(t, path) {
			t.Error("the server has no lock on its database")
		}
		wantSound(t, url)
	}
	if !isLocked(t, path) {
		t.Error("the server has lost its lock")
	}
}

// isLocked reports whether this process has a lock on a file.
func isLocked(t *testing.T, path string) bool {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	locks, err := os.ReadFile("/proc/locks")
	must(t, err)
	inode := info.Sys().(*syscall.Stat_t).Ino
	line := regexp.MustCompile(fmt.Sprintf(`POSIX .* %d \S+:%d `, os.Getpid(), inode))
	return line.Match(locks)
}

func TestExamineWhoMayUseTheFiles(t *testing.T) {
	t.Parallel()
	// Folders of t.TempDir are in one that is closed to others.
	folder, err := os.MkdirTemp("/var/tmp", "clientes-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	must(t, os.Chmod(folder, 0o755))
	path := filepath.Join(folder, "clientes.db")
	url := "sqlite:" + path
	must(t, sqlite.Migrate(t.Context(), url))
	cure := func(command string) {
		t.Helper()
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
	}
	const id = "database-files"
	wantFinding(t, url, id, store.LevelOK, "can read the files", "")
	for _, test := range []struct {
		broken string
		level  store.Level
		says   string
		cure   string
		root   bool
	}{
		{"chmod 644 " + path, store.LevelWarn, "every user of this machine can read " + path,
			"chmod 600 " + path + " " + path + ".lock", false},
		{"chmod 666 " + path, store.LevelFail, "every user of this machine can write to " + path,
			"chmod 600 " + path + " " + path + ".lock", false},
		{"chmod 777 " + folder, store.LevelFail, "every user of this machine can replace the " +
			"database",
			"chmod o-w " + folder, false},
		{"chown nobody " + path + ".lock", store.LevelFail,
			path + ".lock belongs to nobody, and the database to root",
			"chown root " + path + " " + path + ".lock", true},
	} {
		if test.root && os.Getuid() != 0 {
			continue
		}
		cure(test.broken)
		wantFinding(t, url, id, test.level, test.says, test.cure)
		cure(test.cure)
		wantFinding(t, url, id, store.LevelOK, "can read the files", "")
	}
	// In a folder that others cannot open, it is all the same.
	must(t, os.Chmod(path, 0o644))
	must(t, os.Chmod(folder, 0o700))
	wantFinding(t, url, id, store.LevelOK, "can read the files", "")
}

// Somebody migrates with sudo, and looks as the user that is to serve.
func TestExamineAFileOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make files of another user")
	}
	t.Parallel()
	folder, err := os.MkdirTemp("/var/tmp", "clientes-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	program := filepath.Join(folder, "test")
	self, err := os.Executable()
	must(t, err)
	copyTo(t, self, program)
	must(t, os.Chmod(program, 0o755))
	const nobody = 65534
	must(t, os.Chown(folder, nobody, nobody))
	path := filepath.Join(folder, "clientes.db")
	must(t, sqlite.Migrate(t.Context(), "sqlite:"+path))
	look := func() string {
		t.Helper()
		child := startChild(t, "examine", "sqlite:"+path)
		child.Path, child.Dir = program, folder
		child.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
		}
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	for _, suffix := range []string{"", ".lock"} {
		cure := "chown nobody " + path + " " + path + ".lock"
		want := "database-open fail " + path + suffix + " belongs to root, and nobody may not " +
			"read and write it; as root, " + cure
		if out := look(); !strings.Contains(out, want) {
			t.Errorf("got %s, want %s", out, want)
		}
		must(t, os.Chown(path+suffix, nobody, nobody))
	}
	if out := look(); !strings.Contains(out, "database-open ok") {
		t.Errorf("after the cure: %s", out)
	}
}

// mounted mounts a file system on a folder until t ends.
func mounted(t *testing.T, program string, args ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	out, err := exec.Command(program, append(args, folder)...).CombinedOutput()
	if err != nil {
		t.Skipf("cannot mount: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", folder).Run() })
	return folder
}

func remount(t *testing.T, folder, options string) {
	t.Helper()
	out, err := exec.Command("mount", "-o", "remount,"+options, folder).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A disk gets full and grows, and takes files and no more.
func TestExamineADisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it mounts file systems as Linux lets root do")
	}
	t.Parallel()
	folder := mounted(t, "mount", "-t", "tmpfs", "-o", "size=20g", "none")
	url := "sqlite:" + filepath.Join(folder, "clientes.db")
	must(t, sqlite.Migrate(t.Context(), url))
	const id = "database-space"
	wantFinding(t, url, "database-network", store.LevelFail, "(tmpfs) is in memory",
		"a disk of this machine")
	wantFinding(t, url, id, store.LevelOK, "the disk of "+folder+" has 20.0 GiB left", "")
	remount(t, folder, "size=8m")
	wantFinding(t, url, id, store.LevelWarn, "the disk of "+folder+" has ", "make room on it")
	err := os.WriteFile(filepath.Join(folder, "filler"), make([]byte, 9<<20), 0o600)
	if err == nil {
		t.Fatal("there is room")
	}
	wantFinding(t, url, id, store.LevelFail, "there is no room on the disk of "+folder,
		"make room on it")
	must(t, os.Remove(filepath.Join(folder, "filler")))
	remount(t, folder, "size=20g")
	wantFinding(t, url, id, store.LevelOK, " left", "")

	remount(t, folder, "nr_inodes=4")
	err = nil
	for name := range strings.FieldsSeq("a b c") {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, name), nil, 0o600))
	}
	if err == nil {
		t.Fatal("there is place for files")
	}
	wantFinding(t, url, id, store.LevelFail, "takes no more files", "delete files there")
	remount(t, folder, "nr_inodes=0")
	wantFinding(t, url, id, store.LevelOK, " left", "")

	remount(t, folder, "ro")
	wantFinding(t, "sqlite:"+filepath.Join(folder, "new.db"), "database-open", store.LevelFail,
		"the file system of "+folder+" is read-only", "mount it writable")
	remount(t, folder, "rw")
	wantFinding(t, url, "database-open", store.LevelOK, "can be opened", "")
}

// The files come by sshfs from a server for files that runs on this machine, without a network.
func TestExamineANetworkFileSystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it mounts file systems as Linux lets root do")
	}
	t.Parallel()
	const server = "/usr/lib/openssh/sftp-server"
	program, err := exec.LookPath("sshfs")
	if _, none := os.Stat(server); err != nil || none != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("sshfs or sftp-server is not installed")
		}
		t.Skip("sshfs or sftp-server is not installed")
	}
	shared := t.TempDir()
	line := filepath.Join(t.TempDir(), "line")
	must(t, os.WriteFile(line, []byte("#!/bin/sh\nexec "+server+"\n"), 0o700))
	folder := mounted(t, program, "-o", "ssh_command="+line, "here:"+shared)
	const id = "database-network"
	far := "sqlite:" + filepath.Join(folder, "clientes.db")
	near := "sqlite:" + filepath.Join(shared, "clientes.db")
	wantFinding(t, far, id, store.LevelFail, "the file system of "+folder+" (fuse.sshfs) comes "+
		"over a network",
		"name a file on a disk of this machine in DATABASE_URL, or use Postgres")
	must(t, sqlite.Migrate(t.Context(), near))
	wantFinding(t, far, id, store.LevelFail, "comes over a network", "or use Postgres")
	wantFinding(t, near, id, store.LevelOK, "is on this machine", "")
	_, err = os.Stat(filepath.Join(folder, "clientes.db-wal"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it left a WAL: %v", err)
	}
}
