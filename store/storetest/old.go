package storetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

// Downs returns what undoes the migrations from a version on, the newest first. It reads them from
// the folder migrations of the engine under test.
func Downs(t *testing.T, from int64) []string {
	t.Helper()
	return DownsBetween(t, from, store.SchemaVersion)
}

// DownsBetween is [Downs] of the migrations up to a version.
func DownsBetween(t *testing.T, from, to int64) []string {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var downs []string
	for _, file := range slices.Backward(files) {
		if filepath.Base(file) < fmt.Sprintf("%05d", from) {
			break
		}
		if filepath.Base(file) >= fmt.Sprintf("%05d", to+1) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, down, ok := strings.Cut(string(text), "-- +goose Down")
		if !ok {
			t.Fatalf("%s has no part \"-- +goose Down\", by which these tests undo it", file)
		}
		downs = append(downs, down)
	}
	if len(downs) == 0 && from != 16 { // which is in Go
		t.Fatalf("there is no migration from %d on", from)
	}
	return downs
}

// WantOldUsers compares the users of a store with those that the tests of older databases insert.
func WantOldUsers(t *testing.T, st store.Store) {
	t.Helper()
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	want := []store.User{
		{
			ID: 1, Name: "Ana", Email: "Ana@example.com", Role: store.Admin, PasswordHash: "hash",
			Generation: 3, CreatedAt: at(1000), UpdatedAt: at(2000),
		},
		{
			ID: 2, Name: "bia", Role: store.Viewer, Disabled: true, PasswordHash: "hash of bia",
			CreatedAt: at(3000), UpdatedAt: at(3000),
		},
	}
	if got, err := st.Users(t.Context(), 0, 10); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err := st.UserByEmail(t.Context(), "ANA@example.com"); err != nil || got != want[0] {
		t.Errorf("by email: %+v, %v", got, err)
	}
}
