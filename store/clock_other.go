//go:build !linux

package store

import "time"

// begun is an instant for time.Since to count from.
var begun = time.Now()

// sinceBoot returns a monotonic time. On some systems it stands still while the machine sleeps.
func sinceBoot() time.Duration { return time.Since(begun) }
