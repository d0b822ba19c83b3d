//go:build unix

package sqlite

import "golang.org/x/sys/unix"

// writable returns why this process cannot make files in a folder, or nil.
func writable(folder string) error { return unix.Access(folder, unix.W_OK|unix.X_OK) }

// writableFile returns why this process cannot write to a file, or nil.
func writableFile(path string) error { return unix.Access(path, unix.W_OK) }
