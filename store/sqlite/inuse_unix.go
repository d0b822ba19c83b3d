//go:build unix

package sqlite

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// inUse reports whether another process has the file open, by the lock that SQLite holds on it as
// long as a connection is open: see https://www.sqlite.org/src/file/src/os_unix.c. It must not be
// called while this process has the file open.
func inUse(path string) bool {
	const pendingByte, sharedBytes = 0x40000000, 510
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart,
		Start: pendingByte, Len: 2 + sharedBytes}
	err = syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock)
	return err == nil && lock.Type != syscall.F_UNLCK
}

// giveAway makes files those of the owner of the database, or of its folder if there is none. Only
// root can do that, and only files of root need it: the server could not open them.
func giveAway(path string, files ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	for _, file := range files {
		if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}
