package verify

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// user is somebody who can log in.
type user struct {
	id       int64
	name     string
	password string
	role     string
	given    string   // a code of the second factor that was given, for one login
	recovery []string // the recovery codes that are left, nil without a second factor

	confirmed string // the code that switched the second factor on
}

// session is what a login or a refresh granted.
type session struct {
	user    *user
	token   string
	refresh string
	device  string
	expires time.Time     // of the token, by the clock here
	idle    time.Duration // how long the session lives without a use
}

// newUser makes a user of a role. There is no email, so no mail about the user is sent to anybody.
// The role must not be admin: all admins would get mail.
func (v *verifier) newUser(ctx context.Context, role string) (*user, error) {
	u := &user{name: v.newName(), password: newPassword(), role: role}
	v.hide(u.password)
	a, err := v.wantAsAdmin(ctx, http.StatusCreated, request{
		method: "POST", path: "/users",
		body: map[string]any{"user": u.name, "password": u.password, "role": role},
	})
	if err != nil {
		return nil, fmt.Errorf("make a user: %w", err)
	}
	var made struct {
		ID int64 `json:"id"`
	}
	if err := a.into(&made); err != nil {
		return nil, err
	}
	u.id = made.ID
	return u, nil
}

// newName returns a name for another user, who is to be removed.
func (v *verifier) newName() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.made++
	name := v.tag + "-" + strconv.Itoa(v.made)
	v.users[name] = 0
	return name
}

// newPassword returns a password that nobody guesses, as long as the largest PASSWORD_MIN wants it.
func newPassword() string { return rand.Text() + rand.Text() + rand.Text() }

// newSession makes a user of a role and logs them in.
func (v *verifier) newSession(ctx context.Context, role string) (*session, error) {
	u, err := v.newUser(ctx, role)
	if err != nil {
		return nil, err
	}
	return v.login(ctx, u)
}

// visitLogins is how often a check may log in the user of visit, the first time included. There are
// ten recovery codes.
const visitLogins = 6

// shared returns a session of a role for checks that neither end it nor change its user.
func (v *verifier) shared(ctx context.Context, role string) (*session, error) {
	if s := v.sharedSessions[role]; s != nil {
		return s, v.renew(ctx, s)
	}
	s, err := v.newSession(ctx, role)
	if err == nil {
		v.sharedSessions[role] = s
	}
	return s, err
}

// visit returns a session of its own, of the user whom shared made. It costs one password hash less
// than a new user. The check may log that user in a few times more.
func (v *verifier) visit(ctx context.Context, role string) (*session, error) {
	s, err := v.shared(ctx, role)
	if err != nil {
		return nil, err
	}
	if s.user.recovery != nil && len(s.user.recovery) < visitLogins { // each login takes a code
		delete(v.sharedSessions, role)
		return v.newSession(ctx, role)
	}
	return v.login(ctx, s.user)
}

// login logs a user in. A refusal is a *refusedError.
func (v *verifier) login(ctx context.Context, u *user) (*session, error) {
	return v.loginAt(ctx, u, "", nil)
}

// loginAt is login at a replica, with more members in the body.
func (v *verifier) loginAt(
	ctx context.Context, u *user, server string, members map[string]any,
) (*session, error) {
	body := map[string]any{"user": u.name, "password": u.password}
	if code := u.code(); code != "" {
		body["code"] = code
	}
	maps.Copy(body, members)
	a, err := v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/login", server: server, body: body,
	})
	if err != nil {
		return nil, err
	}
	s, err := v.granted(a, u)
	if err != nil {
		return nil, err
	}
	return s, v.enrol(ctx, s)
}

// renew sees to it that the token of a session is good for some seconds. TOKEN_TTL and SESSION_IDLE
// may be ten seconds.
func (v *verifier) renew(ctx context.Context, s *session) error {
	if time.Until(s.expires) > 5*time.Second {
		return nil
	}
	next, err := v.refresh(ctx, s)
	var refused *refusedError
	if errors.As(err, &refused) {
		next, err = v.login(ctx, s.user)
	}
	if err == nil {
		*s = *next
	}
	return err
}

// refresh uses the refresh token of a session up.
func (v *verifier) refresh(ctx context.Context, s *session) (*session, error) {
	a, err := v.want(ctx, http.StatusOK, refreshRequest(s.refresh))
	if err != nil {
		return nil, err
	}
	return v.granted(a, s.user)
}

func refreshRequest(token string) request {
	return request{
		method: "POST", path: "/refresh", body: map[string]any{"refresh_token": token},
	}
}

// granted reads the answer to a login or a refresh.
func (v *verifier) granted(a answer, u *user) (*session, error) {
	var grant struct {
		Token   string `json:"token"`
		Refresh string `json:"refresh_token"`
		Device  string `json:"device"`
		Seconds int    `json:"expires_in"`
		Idle    int    `json:"refresh_expires_in"`
	}
	if err := a.into(&grant); err != nil {
		return nil, err
	}
	if grant.Token == "" {
		return nil, broken("a login or refresh answered %v without a token", a)
	}
	v.hide(grant.Token, grant.Refresh, grant.Device)
	expires := time.Now().Add(time.Duration(grant.Seconds) * time.Second)
	idle := time.Duration(grant.Idle) * time.Second
	return &session{u, grant.Token, grant.Refresh, grant.Device, expires, idle}, nil
}

// code returns a code of the second factor that has not been used, "" if there is none.
func (u *user) code() string {
	if u.given != "" {
		code := u.given
		u.given = ""
		return code
	}
	if len(u.recovery) == 0 {
		return ""
	}
	code := u.recovery[0]
	u.recovery = u.recovery[1:]
	return code
}

// enrol sets a second factor up for the user of a session if the server requires one, and makes the
// session one with it.
func (v *verifier) enrol(ctx context.Context, s *session) error {
	if s.user.recovery != nil {
		return nil
	}
	v.mu.Lock()
	known := v.allMFA
	v.mu.Unlock()
	if s.user.role != "admin" && known != nil && !*known {
		return nil
	}
	a, err := v.do(ctx, request{method: "GET", path: "/clientes?limit=1", token: s.token})
	if err != nil {
		return err
	}
	required := a.is(http.StatusForbidden, "mfa_setup_required")
	if s.user.role != "admin" {
		v.mu.Lock()
		v.allMFA = &required
		v.mu.Unlock()
	}
	if !required {
		return nil
	}
	if s.user.name == v.cfg.Admin.User && !v.cfg.Admin.Temporary {
		return errors.New("the server requires a second factor of this admin, who has none; " +
			"set it up first, and give its current code with --code")
	}
	if err := v.setUpMFA(ctx, s); err != nil {
		return err
	}
	again, err := v.login(ctx, s.user) // this time with a code
	if err != nil {
		return fmt.Errorf("log in with a second factor: %w", err)
	}
	*s = *again
	return nil
}

// oneTimePassword returns the code of a key at now (RFC 6238).
func oneTimePassword(key []byte, now time.Time) string {
	mac := hmac.New(sha1.New, key)
	binary.Write(mac, binary.BigEndian, uint64(now.Unix()/30)) // never fails
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[at:]) & (1<<31 - 1)
	return fmt.Sprintf("%06d", n%1_000_000)
}

// noteMade notes what a request has made, so that clean removes it.
func (v *verifier) noteMade(r request, a answer) {
	if r.method != "POST" || a.status != http.StatusCreated {
		return
	}
	var made struct {
		ID   int64  `json:"id"`
		User string `json:"user"`
	}
	if r.path != "/clientes" && r.path != "/users" || a.into(&made) != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case r.path == "/users" && strings.HasPrefix(strings.ToLower(made.User), v.tag):
		v.users[made.User] = made.ID
	case r.path == "/clientes":
		v.clientes[made.ID] = true
	}
}

// clean removes what the run has made, and returns what is left.
func (v *verifier) clean(ctx context.Context) (left []string) {
	ctx, cancel := context.WithTimeout(ctx, maxCleaning)
	defer cancel()
	v.cleaning.Store(true)
	if err := v.findClientes(ctx); err != nil {
		left = append(left, "customers named "+v.tag+", which could not be searched for: "+
			v.hidden(err.Error()))
	}
	var calls []func() error
	for id := range v.clientes {
		calls = append(calls, func() error {
			return v.remove(ctx, fmt.Sprintf("the customer %d", id), "/clientes/"+decimal(id))
		})
	}
	for name, id := range v.users {
		calls = append(calls, func() error { return v.removeUser(ctx, name, id) })
	}
	for _, err := range all(4, calls...) {
		if err != nil {
			left = append(left, v.hidden(err.Error()))
		}
	}
	slices.Sort(left)
	if _, err := v.asAdmin(ctx, request{method: "POST", path: "/logout"}); err != nil {
		left = append(left, "the admin's session, which ends by itself")
	}
	return left
}

// findClientes notes customers whose making got no answer, or that came by an import.
func (v *verifier) findClientes(ctx context.Context) error {
	path := "/clientes?limit=1000&q=" + url.QueryEscape(v.tag)
	a, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "GET", path: path})
	if err != nil {
		return err
	}
	var found []jsontext.Value
	if err := a.into(&found); err != nil {
		return err
	}
	for _, text := range found {
		var c struct {
			ID int64 `json:"id"`
		}
		// A server whose search is broken answers everybody's customers.
		if !strings.Contains(strings.ToLower(string(text)), v.tag) {
			continue
		}
		if err := json.Unmarshal(text, &c); err != nil {
			return err
		}
		v.clientes[c.ID] = true
	}
	return nil
}

// remove deletes what is at a path. The error names it, and why that was not possible.
func (v *verifier) remove(ctx context.Context, what, path string) error {
	r := request{method: "DELETE", path: path, header: http.Header{"If-Match": anyVersion}}
	a, err := v.asAdmin(ctx, r)
	if err == nil && a.is(http.StatusForbidden, "step_up_required") {
		proof := map[string]any{"current": v.admin.user.password}
		if code := v.admin.user.code(); code != "" {
			proof["code"] = code
		}
		a, err = v.asAdmin(ctx, request{method: "DELETE", path: path, body: proof})
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case a.status == http.StatusNoContent, a.status == http.StatusNotFound:
		return nil
	}
	return fmt.Errorf("%s: %w", what, &refusedError{a})
}

// removeUser removes a user. The id is 0 if the request that should have made them got no answer,
// or was refused.
func (v *verifier) removeUser(ctx context.Context, name string, id int64) error {
	what := "the user " + name
	ids := []int64{id}
	if id == 0 {
		path := "/users?user=" + url.QueryEscape(name)
		a, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "GET", path: path})
		var found []struct {
			ID   int64  `json:"id"`
			User string `json:"user"`
		}
		if err == nil {
			err = a.into(&found)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		ids = nil
		for _, u := range found {
			if strings.EqualFold(u.User, name) { // see findClientes
				ids = append(ids, u.ID)
			}
		}
	}
	for _, id := range ids {
		if err := v.remove(ctx, what, "/users/"+decimal(id)); err != nil {
			return err
		}
	}
	return nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
