package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// namelessFile makes a file without a name in a folder. It is gone with the process, however that
// ends. Some file systems have no such files.
func namelessFile(folder string) (*os.File, error) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return nil, err // nameFile needs it
	}
	fd, err := unix.Open(folder, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: folder, Err: err}
	}
	return os.NewFile(uintptr(fd), folder), nil
}

// nameFile links a nameless file to a name that no other file has.
func nameFile(f *os.File, name string) error {
	// Without /proc only a privileged process could do it: see open(2).
	from := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: from, New: name, Err: err}
	}
	return nil
}
