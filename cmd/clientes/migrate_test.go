package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// slowMigrations is an engine that waits for another process, then applies a quick migration, one
// that is only at work, and one that counts its rows.
func slowMigrations(err error) engine {
	return engine{migrate: func(
		_ context.Context, _ string, report func(store.MigrationProgress),
	) error {
		time.Sleep(6500 * time.Millisecond)
		report(store.MigrationProgress{Name: "quick"})
		time.Sleep(time.Second)
		report(store.MigrationProgress{Name: "silent"})
		time.Sleep(10 * time.Second)
		report(store.MigrationProgress{Name: "counting"})
		for i := range int64(4) {
			time.Sleep(2 * time.Second)
			report(store.MigrationProgress{Name: "counting", Done: 1000 * (i + 1), Total: 4000})
		}
		return err
	}}
}

func TestALongMigrationTellsHowFarItIs(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		var out bytes.Buffer
		broken := errors.New("broken")
		_, err := slowMigrations(broken).migrateTelling(t.Context(), "", tellTo(&out))
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		const want = "waiting for the database, or for another process that migrates it (5s)\n" +
			"migrating: silent (8s)\n" +
			"migrating: counting, 3000 of 4000 rows (8s)\n"
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
	})
}

func TestALongMigrationIsInTheLog(t *testing.T) {
	authtest.InBubble(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		_, err := slowMigrations(nil).migrateTelling(t.Context(), "", tellLog(log))
		authtest.Must(t, err)
		for _, want := range []string{
			`msg="waiting for the database, or for another process that migrates it" after=5s`,
			"msg=migrating migration=silent rows=0 of=0 after=8s",
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %s in\n%s", want, &out)
			}
		}
	})
}
