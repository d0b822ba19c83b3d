package verify

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const liarSecret = "7c1e9b04f3a85d2660ba7e4f91d3c852"

// liar is a program that answers as clientes does, and notes what it is sent.
type liar struct {
	*httptest.Server
	token string // of every login

	mu                 sync.Mutex
	tokens             []string
	deleted            []string
	logins, newRecords int
}

func newLiar(t *testing.T, token string) *liar {
	t.Helper()
	l := &liar{token: token}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = append(l.tokens, r.Header.Get("X-Access-Token"),
		strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	body, _ := io.ReadAll(r.Body)
	l.tokens = append(l.tokens, strings.Split(string(body), `"`)...)
	switch {
	case r.URL.Path == "/login":
		l.logins++
		fmt.Fprintf(w, `{"token":%q,"refresh_token":"r","device":"d"}`, l.token)
	case r.Method == "DELETE":
		l.deleted = append(l.deleted, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == "POST" && (r.URL.Path == "/users" || r.URL.Path == "/clientes"):
		l.newRecords++
		w.WriteHeader(http.StatusServiceUnavailable) // whether it was made, nobody knows
		fmt.Fprintf(w, `{"code":"\u001b]0;%s\u0007","message":"x"}`, strings.Repeat("é", 10_000))
	case r.URL.Path == "/users": // a filter that is broken finds everybody
		io.WriteString(w, `[{"id":1,"user":"boss"},{"id":2,"user":"ana"}]`)
	case r.URL.Path == "/clientes":
		io.WriteString(w, `[{"id":7,"name":"Somebody"},{"id":8,"name":"Else"}]`)
	case r.URL.Path == "/openapi.json":
		io.WriteString(w, `{"info":{"title":"\u001b[2J","version":"1"},"paths":{}}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"code":"not_found"}`)
	}
}

// payloads of an admin for many years, whom the liar would like to be.
func wished() (header, payload string) {
	return encode(`{"alg":"HS256","typ":"JWT"}`), claims{
		"id": 1, "sub": "1", "role": "admin", "sid": "o-ys7bzWwBdMy0jfUzMMGw", "jti": "x",
		"iss": "clientes", "aud": "clientes", "iat": 1, "exp": 4102444800, "auth_time": 1,
	}.encoded()
}

// A server that lies cannot have its own words signed with the secret, by any check.
func TestALiarGetsNothingSigned(t *testing.T) {
	t.Parallel()
	header, payload := wished()
	l := newLiar(t, header+"."+payload+"."+encode(strings.Repeat("x", sha256.Size)))
	v, err := newVerifier(Config{URL: l.URL, Secret: liarSecret, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	u := &user{name: "viewer", role: "viewer"}
	s := &session{
		user: u, token: l.token, refresh: "r", device: "d", expires: time.Now().Add(time.Hour),
	}
	v.admin, v.sharedSessions["viewer"] = s, s
	for _, c := range checks() {
		if c.section == accessToken && c.id != "logout-everywhere" || c.id == "step-up" {
			v.try(t.Context(), c)
		}
	}
	for _, token := range l.tokens {
		header, payload, _ := parts(token)
		if header != "" && token == signed(header, payload, liarSecret, sha256.New) {
			t.Errorf("the server got %s", token)
		}
	}
	if len(l.tokens) < 100 {
		t.Errorf("only %d tokens were tried", len(l.tokens))
	}
	// Where it does pass on a token of the true server, an admin's token of its own stays unsigned.
	mine := signed(header, claims{"id": 5, "sub": "5", "role": "viewer"}.encoded(), liarSecret,
		sha256.New)
	if err := v.secretSigns(mine); err != nil {
		t.Error(err)
	}
	if err := v.secretSigns(mine, l.token); err == nil {
		t.Error("a token of the liar's counts as one of the server's")
	}
}

// A server that does not know the secret learns no admin's password.
func TestALiarDoesNotKnowTheSecret(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"", "401 token_invalid", "401 token_expired", "by the last bit", "by turns",
	} {
		n := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n++
			token := r.Header.Get("X-Access-Token")
			odd := answer == "by turns" && n%2 == 0 ||
				answer == "by the last bit" && token[len(token)-2]%2 == 0
			code := strings.TrimPrefix(answer, "401 ")
			if odd {
				code = "token_invalid"
			}
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"code":%q}`, code)
		}))
		t.Cleanup(server.Close)
		err := SharesSecret(t.Context(), Config{URL: server.URL, Secret: liarSecret})
		if err == nil || !strings.Contains(err.Error(), "does not know SECRET") {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// Answers that no check expects neither end the run nor pass, and nothing is removed that the run
// did not make.
func TestALiarDoesNoHarm(t *testing.T) {
	t.Parallel()
	l := newLiar(t, "a.b.")
	report, err := Run(t.Context(), Config{
		URL: l.URL, Secret: liarSecret, Now: time.Now, Admin: Credentials{User: "boss"},
		Only: []string{"token-signature", "paging-complete", "idempotency-race", "roles-records",
			"attempts-known-device", "user-unique"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := report.Count(Passed); n > 0 || len(report.Results) != 6 {
		t.Errorf("%d of %d passed", n, len(report.Results))
	}
	if l.newRecords == 0 || len(l.deleted) > 0 {
		t.Errorf("%d records were to be made, and %q were deleted", l.newRecords, l.deleted)
	}
	var b strings.Builder
	for _, write := range []func(Report, io.Writer) error{Report.WriteText, Report.WriteMarkdown} {
		if err := write(report, &b); err != nil {
			t.Fatal(err)
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\x07") {
		t.Errorf("a terminal would obey %q", b.String())
	}
	if n := b.Len(); n > 20_000 {
		t.Errorf("the reports have %d bytes", n)
	}
}

// A check that panics has failed, also in what it does at once.
func TestAPanicIsAFailure(t *testing.T) {
	t.Parallel()
	for _, try := range []func() error{
		func() error { panic("x") },
		func() error { return together(2, func() error { panic("x") }) },
	} {
		if err := recovered(try); err == nil || !strings.Contains(err.Error(), "another form") {
			t.Errorf("got %v", err)
		}
	}
}
