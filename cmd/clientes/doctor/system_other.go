//go:build !unix

package doctor

import "io/fs"

// writable leaves it to the first file to show that it cannot be made.
func writable(string) error { return nil }

func foreignOwner(fs.FileInfo) (uint32, bool) { return 0, false }
