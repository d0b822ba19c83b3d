package doctor

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"clientes/auth/authtest"
	"clientes/store"
)

// liar is a server that answers as clientes does, and tries to fool whoever looks at it.
func liar(t *testing.T) (base *url.URL, passwords *atomic.Int64) {
	t.Helper()
	passwords = new(atomic.Int64)
	answers := map[string]string{
		"/readyz": `{"status":"ok"}`,
		"/openapi.json": `{"info":{"version":"\u001b[2J"},` +
			`"servers":[{"url":"http://\u001b]0;` + strings.Repeat("é", 10_000) + `"}]}`,
		"/login": `{"token":"a.b.c"}`,
		"/me":    `{"code":"token_invalid"}`,
		"/doctor": `{"request":{"address":"\u001b[31m"},` +
			`"findings":[{"id":"request-\u001b]0;x\u0007",` +
			`"level":"\u001b[2Jok","message":"a\u009b31mb\nfail  x","cure":"\u202ec"}]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "the password") {
			passwords.Add(1)
		}
		w.Header().Set("Etag", "\"\u009b2J")
		w.Header().Set("Set-Cookie", "clientes_refresh=; Path=/")
		if r.URL.Path == "/me" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, answers[r.URL.Path])
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	authtest.Must(t, err)
	return base, passwords
}

// What a server of somebody else says reaches no terminal as it is, and none of it is lost.
func TestALiarIsNotObeyed(t *testing.T) {
	t.Parallel()
	base, passwords := liar(t)
	found := ExamineURL(t.Context(), Target{
		URL: base, Now: time.Now, User: "boss", Password: "the password", Setup: true,
	})
	his := 0
	for _, f := range found {
		for _, text := range []string{f.ID, string(f.Level), f.Message, f.Cure} {
			if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("a terminal would obey %q", text)
			}
			if len(text) > 1100 {
				t.Errorf("a text has %d bytes", len(text))
			}
		}
		if strings.HasPrefix(f.ID, "request-") && f.Level == store.LevelWarn {
			his++
		}
	}
	if his != 1 || passwords.Load() != 1 {
		t.Errorf("%d findings of the server's, %d passwords: %q", his, passwords.Load(), found)
	}
}

// No password goes over a network in clear, also not where a redirect could lead.
func TestNoPasswordGoesInClear(t *testing.T) {
	t.Parallel()
	base, passwords := liar(t)
	found := ExamineURL(t.Context(), Target{
		URL: &url.URL{Scheme: "http", Host: "api.example.test"}, Now: time.Now,
		User: "boss", Password: "the password",
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, base.Host)
		},
	})
	refused := slices.ContainsFunc(found, func(f store.Finding) bool {
		return f.ID == "url-login" && f.Level == store.LevelFail &&
			strings.Contains(f.Message, "was not sent")
	})
	if !refused || passwords.Load() != 0 {
		t.Errorf("the password was sent %d times: %q", passwords.Load(), found)
	}
}
