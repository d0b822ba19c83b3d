package sqlite

import (
	"fmt"
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
		return fmt.Errorf("make %s: %w; make its folder first, or give another DATABASE_URL", path, err)
	}
	if err := writable(folder); err != nil {
		return fmt.Errorf("make %s: write into %s: %w; let this user do so, or give another DATABASE_URL",
			path, folder, err)
	}
	return nil
}
