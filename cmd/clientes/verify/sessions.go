package verify

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// sessionChecks are the promises about what ends sessions, beside a logout.
func sessionChecks() []check {
	return []check{
		{"session-end", sessions,
			"A user sees and ends their own sessions, and no one else's.",
			sessionEnd},
		{"password-change-ends", sessions,
			"Another password ends all sessions of the user.",
			passwordChangeEnds},
		{"role-change-ends", sessions,
			"Another role ends all sessions of the user.",
			roleChangeEnds},
		{"disabled-user", sessions,
			"Disabling a user ends all their sessions and keeps them out.",
			disabledUser},
		{"deleted-user", sessions, "Deleting a user ends all their sessions.", deletedUser},
		{"admin-ends-sessions", accounts,
			"An admin ends all sessions of a user.",
			adminEndsSessions},
	}
}

// withinOf is how soon every process refuses a session that has ended.
const withinOf = time.Second

// wantRefused returns an error unless every server refuses the token of a session that has ended at
// since: the server where it ended at once, the others within a second. It counts from the answer
// to a request that was sent later than that, so a slow network is no fault.
func (v *verifier) wantRefused(
	ctx context.Context, s *session, where string, since time.Time,
) (worst time.Duration, err error) {
	var mu sync.Mutex
	var calls []func() error
	for _, server := range v.servers() {
		calls = append(calls, func() error {
			took, err := v.untilEnded(ctx, s, server, server == where, since)
			mu.Lock()
			worst = max(worst, took)
			mu.Unlock()
			return err
		})
	}
	return worst, together(len(calls), calls...)
}

// wantEnded is wantRefused for a session that has a refresh token, too.
func (v *verifier) wantEnded(
	ctx context.Context, s *session, where string, since time.Time,
) (worst time.Duration, err error) {
	if worst, err = v.wantRefused(ctx, s, where, since); err != nil {
		return 0, err
	}
	for _, server := range v.servers() {
		r := refreshRequest(s.refresh)
		r.server = server
		a, err := v.do(ctx, r)
		if err != nil {
			return 0, err
		}
		if a.status != http.StatusUnauthorized {
			return 0, broken("the refresh token of an ended session was answered %v by %s",
				a, server)
		}
	}
	return worst, nil
}

// untilEnded asks a server about a token until it is refused, and returns how long after since.
func (v *verifier) untilEnded(
	ctx context.Context, s *session, server string, atOnce bool, since time.Time,
) (time.Duration, error) {
	for {
		sent := time.Since(since)
		a, err := v.ask(ctx, server, s.token)
		switch {
		case err != nil:
			return 0, err
		case a.status == http.StatusUnauthorized:
			return sent, v.staysEnded(ctx, s, server)
		case atOnce:
			return 0, broken("%s still answered %v right after it had ended the session", server, a)
		case a.accepted() && sent > withinOf:
			return 0, broken("%s still accepted the token %v after the end of its session",
				server, sent.Round(time.Millisecond))
		case !a.accepted() && a.status != http.StatusServiceUnavailable:
			return 0, broken("%s answered %v to the token of an ended session", server, a)
		case sent > maxRequest:
			return 0, broken("%s still answered %v %v after the end of the session",
				server, a, sent.Round(time.Second))
		}
		if !pause(ctx, 10*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
}

// staysEnded returns an error if a server accepts a token that it has refused.
func (v *verifier) staysEnded(ctx context.Context, s *session, server string) error {
	for range 3 {
		a, err := v.ask(ctx, server, s.token)
		if err != nil {
			return err
		}
		if a.accepted() {
			return broken("%s accepted a token again that it had refused", server)
		}
	}
	return nil
}

// pause waits, and reports whether ctx lasted as long.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// knownEverywhere waits until every server accepts the token of a session, so that each has it in
// its memory when it ends.
func (v *verifier) knownEverywhere(ctx context.Context, s *session) error {
	for _, server := range v.servers() {
		a, err := v.ask(ctx, server, s.token)
		for n := 0; err == nil && a.status == http.StatusServiceUnavailable && n < 50; n++ {
			pause(ctx, 20*time.Millisecond)
			a, err = v.ask(ctx, server, s.token)
		}
		if err != nil {
			return err
		}
		if !a.accepted() {
			return broken("%s answered %v to the token of a login at another process", server, a)
		}
	}
	return nil
}

// where returns where something was seen, for a report.
func (v *verifier) where() string {
	if len(v.others) == 0 {
		return "one process (no --replica was given)"
	}
	return strconv.Itoa(1+len(v.others)) + " processes"
}

// twoSessions makes a viewer and logs them in twice.
func (v *verifier) twoSessions(ctx context.Context) (first, second *session, err error) {
	if first, err = v.newSession(ctx, "viewer"); err != nil {
		return nil, nil, err
	}
	second, err = v.login(ctx, first.user)
	return first, second, err
}

// listed is a session as GET /sessions lists it.
type listed struct {
	ID         string    `json:"id"`
	IP         string    `json:"ip"`
	Current    bool      `json:"current"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

func (v *verifier) sessionsOf(ctx context.Context, s *session) (all []listed, err error) {
	a, err := v.want(ctx, http.StatusOK, request{method: "GET", path: "/sessions", token: s.token})
	if err != nil {
		return nil, err
	}
	return all, a.into(&all)
}

func sessionEnd(ctx context.Context, v *verifier) (string, error) {
	first, second, err := v.twoSessions(ctx)
	if err != nil {
		return "", err
	}
	stranger, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	all, err := v.sessionsOf(ctx, first)
	if err != nil {
		return "", err
	}
	var other string
	current := 0
	for _, s := range all {
		if s.Current {
			current++
		} else if other == "" {
			other = s.ID
		}
		if s.ExpiresAt.Sub(s.CreatedAt) > 31*24*time.Hour && s.ExpiresAt.Sub(s.CreatedAt) > 0 {
			return "", broken("a session lives for %v", s.ExpiresAt.Sub(s.CreatedAt))
		}
	}
	// A second factor that the server requires costs a session more.
	if len(all) < 2 || current != 1 || other == "" {
		return "", broken("of 2 sessions %d are listed, %d of them as the current one",
			len(all), current)
	}
	end := func(s *session) (answer, error) {
		return v.do(ctx, request{method: "DELETE", path: "/sessions/" + other, token: s.token})
	}
	a, err := end(stranger)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusNotFound {
		return "", broken("a user who ends somebody else's session is answered %v", a)
	}
	if err := v.wantAccepted(ctx, second, "after a stranger tried to end its session"); err != nil {
		return "", err
	}
	for _, s := range all {
		if s.Current {
			continue
		}
		other = s.ID
		if a, err = end(first); err != nil {
			return "", err
		}
		if a.status != http.StatusNoContent {
			return "", broken("a user who ends their own session is answered %v", a)
		}
	}
	if _, err := v.wantEnded(ctx, second, v.base, time.Now()); err != nil {
		return "", err
	}
	if all, err = v.sessionsOf(ctx, first); err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", broken("after all others have ended, %d sessions are listed", len(all))
	}
	return "the list has both; a stranger got 404; one's own got 204 and ended on " + v.where(),
		v.wantAccepted(ctx, first, "after the user's other session was ended")
}

// ends makes a user with two sessions, has something end them, and returns what was seen.
func (v *verifier) ends(
	ctx context.Context, end func(ctx context.Context, s *session) error,
) (u *user, device, seen string, err error) {
	first, second, err := v.twoSessions(ctx)
	if err != nil {
		return nil, "", "", err
	}
	for _, s := range []*session{first, second} {
		if err := v.knownEverywhere(ctx, s); err != nil {
			return nil, "", "", err
		}
	}
	if err := end(ctx, first); err != nil {
		return nil, "", "", err
	}
	ended := time.Now()
	var worst time.Duration
	for _, s := range []*session{first, second} {
		took, err := v.wantEnded(ctx, s, v.base, ended)
		if err != nil {
			return nil, "", "", err
		}
		worst = max(worst, took)
	}
	seen = fmt.Sprintf("both sessions of the user ended on %s within %v",
		v.where(), worst.Round(time.Millisecond))
	return first.user, second.device, seen, nil
}

func passwordChangeEnds(ctx context.Context, v *verifier) (string, error) {
	next := newPassword()
	v.hide(next)
	u, device, seen, err := v.ends(ctx, func(ctx context.Context, s *session) error {
		body := map[string]any{"current": s.user.password, "password": next}
		if code := s.user.code(); code != "" {
			body["code"] = code
		}
		_, err := v.want(ctx, http.StatusNoContent, request{
			method: "POST", path: "/password", token: s.token, body: body,
		})
		return err
	})
	if err != nil {
		return "", err
	}
	// With the device mark, so that it does not count on this address.
	a, err := v.do(ctx, request{method: "POST", path: "/login", body: map[string]any{
		"user": u.name, "password": u.password, "device": device, "code": u.code(),
	}})
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "invalid_login") {
		return "", broken("the old password was answered %v", a)
	}
	u.password = next
	_, err = v.login(ctx, u)
	return seen + "; the old password is refused, the new one works", err
}

// patchUser changes a user as the admin.
func (v *verifier) patchUser(ctx context.Context, u *user, body map[string]any) error {
	path := "/users/" + decimal(u.id)
	_, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "PATCH", path: path, body: body})
	return err
}

func roleChangeEnds(ctx context.Context, v *verifier) (string, error) {
	u, _, seen, err := v.ends(ctx, func(ctx context.Context, s *session) error {
		return v.patchUser(ctx, s.user, map[string]any{"role": "editor"})
	})
	if err != nil {
		return "", err
	}
	s, err := v.login(ctx, u)
	if err != nil {
		return "", err
	}
	_, payload, _ := parts(s.token)
	c, err := decodeClaims(payload)
	if err == nil && c["role"] != "editor" {
		err = broken("after the change the token of a login has the role %v", c["role"])
	}
	return seen, err
}

func disabledUser(ctx context.Context, v *verifier) (string, error) {
	u, _, seen, err := v.ends(ctx, func(ctx context.Context, s *session) error {
		return v.patchUser(ctx, s.user, map[string]any{"disabled": true})
	})
	if err != nil {
		return "", err
	}
	a, err := v.do(ctx, request{method: "POST", path: "/login",
		body: map[string]any{"user": u.name, "password": u.password}})
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "invalid_login") {
		return "", broken("the login of a disabled user was answered %v", a)
	}
	if err := v.patchUser(ctx, u, map[string]any{"disabled": false}); err != nil {
		return "", err
	}
	_, err = v.login(ctx, u)
	return seen + "; a login was refused like a wrong password, and works once enabled", err
}

func deletedUser(ctx context.Context, v *verifier) (string, error) {
	_, _, seen, err := v.ends(ctx, func(ctx context.Context, s *session) error {
		_, err := v.wantAsAdmin(ctx, http.StatusNoContent, request{
			method: "DELETE", path: "/users/" + decimal(s.user.id),
		})
		return err
	})
	return seen, err
}

func adminEndsSessions(ctx context.Context, v *verifier) (string, error) {
	u, _, seen, err := v.ends(ctx, func(ctx context.Context, s *session) error {
		_, err := v.wantAsAdmin(ctx, http.StatusNoContent, request{
			method: "DELETE", path: "/users/" + decimal(s.user.id) + "/sessions",
		})
		return err
	})
	if err != nil {
		return "", err
	}
	_, err = v.login(ctx, u)
	return seen, err
}
