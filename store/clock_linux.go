package store

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns a monotonic time that also counts while the machine sleeps, which Go's own does
// not do on Linux.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // every Linux that Go runs on has this clock
	}
	return time.Duration(t.Nano())
}
