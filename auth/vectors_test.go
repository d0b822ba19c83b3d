package auth

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

// TestVectors authenticates with the access tokens in token/testdata/access, whose names are the
// verdict. All sessions live, except the one of the revoked tokens.
func TestVectors(t *testing.T) {
	files, err := filepath.Glob("token/testdata/access/*.jwt")
	must(t, err)
	if len(files) < 100 {
		t.Fatalf("there are only %d vectors", len(files))
	}
	now := func() time.Time { return noon }
	a, err := New(Config{
		Store:  struct{ Store }{}, // nobody asks it
		Secret: testSecret, Previous: []string{otherSecret}, Issuer: "clientes",
		Audience: "clientes", TokenTTL: time.Minute, Now: now, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	asked := noon
	a.denied.asOf.Store(&asked) // the list is current, so that no store is asked
	a.denied.addAll([]store.Ended{{ID: "EBESExQVFhcYGRobHB0eHw", TokenExp: noon.Add(time.Hour)}})
	for _, file := range files {
		vector, err := os.ReadFile(file)
		must(t, err)
		want := ErrTokenInvalid
		for prefix, verdict := range map[string]error{
			"good_": nil, "expired_": ErrTokenExpired, "revoked_": ErrTokenRevoked,
		} {
			if strings.HasPrefix(filepath.Base(file), prefix) {
				want = verdict
			}
		}
		if _, err := a.Authenticate(t.Context(), string(vector)); !errors.Is(err, want) {
			t.Errorf("%s: the verdict is %v, want %v", filepath.Base(file), err, want)
		}
	}
}
