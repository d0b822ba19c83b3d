//go:build !linux

package sqlite

import "clientes/store"

// examineDisk would look at the file system of a database.
func examineDisk(string) []store.Finding { return nil }
