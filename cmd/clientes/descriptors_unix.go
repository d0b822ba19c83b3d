//go:build unix

package main

import (
	"math"
	"syscall"
)

// descriptors returns how many files and connections this process may have open. At the start, Go
// has raised that to what the system allows.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64
	}
	return uint64(limit.Cur)
}
