package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
)

// app is an authenticator app (RFC 6238).
type app struct{ secret []byte }

// code returns the code of a moment.
func (a app) code(at time.Time) string {
	h := hmac.New(sha1.New, a.secret)
	binary.Write(h, binary.BigEndian, at.Unix()/30)
	sum := h.Sum(nil)
	from := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[from:])&0x7fffffff%1_000_000)
}

// post sends JSON to a server and returns the answer.
func post(t *testing.T, s *server, path, token string, body map[string]string) (int, string) {
	t.Helper()
	b, err := json.Marshal(body)
	authtest.Must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url(path), bytes.NewReader(b))
	authtest.Must(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-access-token", token)
	resp, err := http.DefaultClient.Do(req)
	authtest.Must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	authtest.Must(t, err)
	return resp.StatusCode, string(text)
}

// enrol adds a user with a second factor. The next code that is good is one of later.
func (f *fleet) enrol(t *testing.T, s *server, name string) app {
	t.Helper()
	f.addUser(t, name)
	token := f.login(t, s, name).Token
	status, text := post(t, s, "/me/mfa", token, map[string]string{"current": goodPassword})
	var enrolment struct {
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal([]byte(text), &enrolment); err != nil || status != 200 {
		t.Fatalf("set up a second factor: %d %s, %v", status, text, err)
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(enrolment.Secret)
	authtest.Must(t, err)
	a := app{secret}
	code := map[string]string{"code": a.code(time.Now())}
	if status, text := post(t, s, "/me/mfa/confirm", token, code); status != 200 {
		t.Fatalf("confirm a second factor: %d %s", status, text)
	}
	return a
}

// loginWithCode logs in with the code of the next time step, since that of now was used.
func (f *fleet) loginWithCode(t *testing.T, s *server, name string, a app) (int, string) {
	t.Helper()
	return post(t, s, "/login", "", map[string]string{
		"user": name, "password": goodPassword, "code": a.code(time.Now().Add(30 * time.Second)),
	})
}

// restart starts every process anew with these settings.
func (f *fleet) restart(t *testing.T, settings ...string) {
	t.Helper()
	f.secret = settings
	for i := range f.servers {
		s := f.on(i)
		s.signal(t)
		if status := s.wait(); status != 0 {
			t.Fatalf("status %d, log %s", status, s.stderr.String())
		}
		s = f.begin(t, f.databaseURL)
		s.wantListening(t)
		f.put(i, s)
	}
}

// SECRET has leaked, so the servers run without it. Second factors are sealed anew beside them.
func TestRekeyBesideServers(t *testing.T) {
	t.Parallel()
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, newURL(t))
			ana, bia := f.enrol(t, f.on(0), "ana"), f.enrol(t, f.on(1), "bia")
			f.addUser(t, "caio")
			// Once upon a time there was another secret, which nobody knows any more.
			lost := begin(t,
				[]string{"DATABASE_URL=" + f.databaseURL, "SECRET=" + otherSecret}, "serve")
			lost.wantListening(t)
			f.enrol(t, lost, "dora")
			lost.signal(t)

			const next = "51f6d0a83be94c7712ae58d90c6b3f24"
			leaked := f.login(t, f.on(0), "caio")
			f.restart(t, "SECRET="+next, "ROOT_SECRET="+rootSecret)
			for _, name := range []string{"/clientes", "/me"} {
				a, err := f.insist(t.Context(), "GET", f.on(0).url(name), leaked.Token, nil)
				if err != nil || !a.is(401, "token_invalid") {
					t.Errorf("a token of the leaked secret: %v, %v", a, err)
				}
			}
			rekey := func(settings ...string) result {
				vars := map[string]string{"DATABASE_URL": f.databaseURL, "SECRET": next}
				for _, s := range append(settings, "ROOT_SECRET="+rootSecret) {
					name, value, _ := strings.Cut(s, "=")
					vars[name] = value
				}
				return call(t, vars, "", "rekey")
			}
			rekey().want(t, 1, "sealed 0 second factors anew; 0 needed nothing\n",
				"clientes: 3 second factors cannot be opened, because the secret that sealed them is "+
					"not set: ana, bia, dora; set it in ROOT_SECRET_PREVIOUS")
			rekey("ROOT_SECRET_PREVIOUS="+goodSecret).
				want(t, 1, "sealed 2 second factors anew; 0 needed nothing\n", "set: dora; set it")
			rekey("ROOT_SECRET_PREVIOUS="+goodSecret).
				want(t, 1, "sealed 0 second factors anew; 2 needed nothing\n",
					"dora; set it in ROOT_SECRET_PREVIOUS and give the command again, or, "+
						"if it is lost, take each away with `clientes user mfa-off NAME`")
			for name, a := range map[string]app{"ana": ana, "bia": bia} {
				status, text := f.loginWithCode(t, f.on(1), name, a)
				if status != 200 {
					t.Errorf("%s cannot log in: %d %s", name, status, text)
				}
			}
			f.command(t, "", "user", "delete", "dora")
			rekey().want(t, 0, "sealed 0 second factors anew; 2 needed nothing\n", "")
		})
	}
}

// With a ROOT_SECRET, another SECRET costs every client one refresh, even if the old one is dropped
// at once.
func TestAnotherSecretUnderARoot(t *testing.T) {
	t.Parallel()
	for engine, newURL := range engineURLs(t) {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2, newURL(t), "ROOT_SECRET="+rootSecret)
			ana := f.enrol(t, f.on(0), "ana")
			f.addUser(t, "bia")
			before := f.login(t, f.on(0), "bia")
			f.restart(t, "SECRET="+otherSecret, "ROOT_SECRET="+rootSecret)
			for i := range f.servers {
				a, err := f.insist(t.Context(), "GET", f.on(i).url("/clientes"), before.Token, nil)
				if err != nil || !a.is(401, "token_invalid") {
					t.Errorf("a token of the leaked secret: %v, %v", a, err)
				}
			}
			after, err := f.insistOnRefresh(t, f.on(1), before.Refresh)
			if err != nil || after.status != 200 {
				t.Fatalf("the refresh: %v, %v", after, err)
			}
			f.want(t, f.on(0), after.Token, yes)
			if status, text := f.loginWithCode(t, f.on(1), "ana", ana); status != 200 {
				t.Errorf("ana cannot log in: %d %s", status, text)
			}
		})
	}
}

func TestRekeyNeedsADatabaseAndASecret(t *testing.T) {
	inFolder(t, nil)
	call(t, nil, "", "rekey").want(t, 1, "", "SECRET is missing")
	call(t, map[string]string{"SECRET": goodSecret}, "", "rekey").
		want(t, 1, "", "clientes: there is no database ")
	call(t, nil, "", "migrate").want(t, 0, "", "")
	call(t, map[string]string{"SECRET": goodSecret}, "", "rekey").
		want(t, 0, "sealed 0 second factors anew; 0 needed nothing\n", "")
}
