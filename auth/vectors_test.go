package auth

import (
	"context"
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
	revoked := []store.Ended{{ID: "EBESExQVFhcYGRobHB0eHw", TokenExp: noon.Add(time.Hour)}}
	a, err := New(Config{
		Store: everySession{}, Secret: testSecret,
		Previous: []string{otherSecret}, Issuer: "clientes",
		Audience: "clientes", TokenTTL: time.Minute, Now: now, Log: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	a.denied.addAll(revoked)
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

// everySession is a store in which every session lives.
type everySession struct{ Store }

func (everySession) SessionEnds(
	_ context.Context, _ store.Watermark, ids []string,
) (store.Ends, error) {
	ends := store.Ends{Next: "0", Asked: make(map[string]store.SessionState)}
	for _, id := range ids {
		ends.Asked[id] = store.SessionState{TokenExp: noon.Add(time.Hour)}
	}
	return ends, nil
}
