//go:build !unix

package sqlite

// writable leaves it to the first file to show that it cannot be made.
func writable(string) error { return nil }

// writableFile leaves it to the first write to show that it fails.
func writableFile(string) error { return nil }

// usableFile leaves it to the first use to show that it fails.
func usableFile(string) error { return nil }

// ownerOf does not know to whom a file belongs.
func ownerOf(string) string { return "another user" }
