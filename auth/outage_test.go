package auth

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
)

// The log has the reason that counts now, not only the first one, and says when all is well.
func TestAnOutageIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	var log authtest.Log
	out := Outage{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Level: slog.LevelWarn,
		Fails: "it fails", Well: "it is well",
	}
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	for i := range 130 { // a try a second
		err := errors.New("broken")
		if i > 0 {
			err = errors.New("standby")
		}
		out.Note(now.Add(time.Duration(i)*time.Second), err)
	}
	out.Note(now.Add(130*time.Second), nil)
	out.Note(now.Add(131*time.Second), nil)
	var got []string
	for line := range strings.Lines(log.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), "level=")
		got = append(got, line)
	}
	want := []string{
		`WARN msg="it fails" error=broken`,
		`WARN msg="it fails" error=standby since=2026-11-29T00:00:00.000Z`,
		`WARN msg="it fails" error=standby since=2026-11-29T00:00:00.000Z`,
		`INFO msg="it is well" after=2m10s`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
