//go:build !unix

package sqlite

// writable leaves it to the first file to show that it cannot be made.
func writable(string) error { return nil }

// writableFile leaves it to the first write to show that it fails.
func writableFile(string) error { return nil }
