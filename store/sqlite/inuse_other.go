//go:build !unix

package sqlite

// inUse returns false: Windows refuses to rename a file that is open.
func inUse(string) bool { return false }
