//go:build unix

package sqlite

import "golang.org/x/sys/unix"

// writable returns why this process cannot make files in a folder, or nil.
func writable(folder string) error { return unix.Access(folder, unix.W_OK|unix.X_OK) }
