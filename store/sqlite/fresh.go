package sqlite

import (
	"os"
	"path/filepath"
)

// CanMake returns why a database that does not exist cannot be made at that URL, or nil. It makes
// nothing.
func CanMake(databaseURL string) error {
	path, err := pathOf(databaseURL)
	if err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if _, err := os.Stat(folder); err != nil {
		return explain(path, "make "+path, err)
	}
	if err := writable(folder); err != nil {
		return explain(path, "make "+path, err)
	}
	return nil
}
