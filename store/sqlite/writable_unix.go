//go:build unix

package sqlite

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// writable returns why this process cannot make files in a folder, or nil.
func writable(folder string) error { return unix.Access(folder, unix.W_OK|unix.X_OK) }

// writableFile returns why this process cannot write to a file, or nil.
func writableFile(path string) error { return unix.Access(path, unix.W_OK) }

// usableFile returns why this process cannot read and write a file, or nil.
func usableFile(path string) error { return unix.Access(path, unix.R_OK|unix.W_OK) }

// ownerOf returns the name of the user to whom a file belongs.
func ownerOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "another user"
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "another user"
	}
	return userName(strconv.FormatUint(uint64(stat.Uid), 10))
}
