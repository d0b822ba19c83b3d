package store_test

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestEnginesHaveTheSameMigrations compares the file names of both engines' migrations.
func TestEnginesHaveTheSameMigrations(t *testing.T) {
	names := func(engine string) (names []string) {
		for _, pattern := range []string{"migrations/*.sql", "0*.go"} {
			files, err := filepath.Glob(filepath.Join(engine, pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s has no %s, %v", engine, pattern, err)
			}
			for _, file := range files {
				names = append(names, filepath.Base(file))
			}
		}
		return names
	}
	if a, b := names("sqlite"), names("postgres"); !slices.Equal(a, b) {
		t.Errorf("sqlite has\n%q, postgres\n%q", a, b)
	}
}
