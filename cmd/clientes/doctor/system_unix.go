//go:build unix

package doctor

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// writable returns why this process cannot make files in a folder, or nil. It makes none.
func writable(folder string) error {
	var at unix.Stat_t
	if err := unix.Stat(folder, &at); err != nil {
		return err
	}
	return unix.Access(folder, unix.W_OK|unix.X_OK)
}

// foreignOwner returns the owner of a file, and whether that is somebody else than root and the
// user of this process.
func foreignOwner(info fs.FileInfo) (owner uint32, other bool) {
	at, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return at.Uid, at.Uid != 0 && int(at.Uid) != os.Geteuid()
}
