package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sessionChecks are the promises about sessions: how they end, and how they are refreshed.
func sessionChecks() []check {
	return []check{
		{"logout-everywhere", accessToken,
			"A logout counts at once where it was accepted, and on every replica within a second.",
			logoutEverywhere},
		{"logout-refresh", sessions,
			"A refresh under way during a logout yields nothing that works afterwards.",
			logoutRefresh},
		{"logout-all", sessions,
			"A logout from everywhere ends all sessions of the user, and nobody else's.",
			logoutAll},
		{"refresh-race", sessions,
			"Fifty refreshes at once with one token have one successor, and the session goes on.",
			refreshRace},
		{"refresh-grace", sessions,
			"A refresh whose answer was lost has the same successor once more, from every replica.",
			refreshGrace},
		{"refresh-lost", sessions,
			"After the grace it has another successor, and the one that nobody claimed is dead.",
			refreshLost},
		{"refresh-reuse", sessions,
			"A refresh token that is used again after its successor was used ends the session.",
			refreshReuse},
		{"refresh-forged", sessions,
			"A made-up refresh token is refused, and ends nobody's session.",
			refreshForged},
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
		{"step-up", accounts,
			"What outlives a stolen token needs the password or a login that is younger than five minutes.",
			stepUp},
		{"own-proof", accounts,
			"One's own email, password and second factor need the password.",
			ownProof},
	}
}

// withinOf is how soon every process refuses a session that has ended.
const withinOf = time.Second

// wantEnded returns an error unless every server refuses the token of a session that has ended at
// since: the server where it ended at once, the others within a second. It counts from the answer
// to a request that was sent later than that, so a slow network is no fault.
func (v *verifier) wantEnded(
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
	if err := together(len(calls), calls...); err != nil {
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

func logoutEverywhere(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	var worst time.Duration
	servers := v.servers()
	n := 2 * len(servers)
	for i := range n {
		where := servers[i%len(servers)]
		if i > 0 {
			if s, err = v.loginAt(ctx, s.user, servers[(i+1)%len(servers)], nil); err != nil {
				return "", err
			}
		}
		if err := v.knownEverywhere(ctx, s); err != nil {
			return "", err
		}
		r := request{method: "POST", path: "/logout", server: where, token: s.token}
		how := "its access token"
		if i >= len(servers) { // the second time by the other token
			r.token, r.body = "", map[string]any{"refresh_token": s.refresh}
			how = "its refresh token"
		}
		if _, err := v.want(ctx, http.StatusOK, r); err != nil {
			return "", fmt.Errorf("log out with %s: %w", how, err)
		}
		took, err := v.wantEnded(ctx, s, where, time.Now())
		if err != nil {
			return "", fmt.Errorf("after a logout with %s: %w", how, err)
		}
		worst = max(worst, took)
	}
	return fmt.Sprintf("%d logouts on %s; the last refusal came for a token that was sent %s "+
		"after the answer", n, v.where(), worst.Round(time.Millisecond)), nil
}

func logoutRefresh(ctx context.Context, v *verifier) (string, error) {
	const rounds = 6
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	granted := 0
	for i := range rounds {
		if i > 0 {
			if s, err = v.login(ctx, s.user); err != nil {
				return "", err
			}
		}
		var got answer
		end := request{method: "POST", path: "/logout", token: s.token}
		// One of them comes a little later each time, so that they meet in different places.
		late := time.Duration(i-rounds/2) * 300 * time.Microsecond
		err := together(2, func() (err error) {
			pause(ctx, max(0, late))
			got, err = v.do(ctx, refreshRequest(s.refresh))
			return err
		}, func() error {
			pause(ctx, max(0, -late))
			_, err := v.want(ctx, http.StatusOK, end)
			return err
		})
		if err != nil {
			return "", err
		}
		if _, err := v.wantEnded(ctx, s, v.base, time.Now()); err != nil {
			return "", err
		}
		if got.status != http.StatusOK {
			continue
		}
		granted++
		next, err := v.granted(got, s.user)
		if err != nil {
			return "", err
		}
		if _, err := v.wantEnded(ctx, next, v.base, time.Now()); err != nil {
			return "", fmt.Errorf("a refresh during a logout: %w", err)
		}
	}
	return fmt.Sprintf("%d logouts with a refresh at the same moment, %d of these were granted; "+
		"no token of theirs was accepted afterwards", rounds, granted), nil
}

// twoSessions makes a viewer and logs them in twice.
func (v *verifier) twoSessions(ctx context.Context) (first, second *session, err error) {
	if first, err = v.newSession(ctx, "viewer"); err != nil {
		return nil, nil, err
	}
	second, err = v.login(ctx, first.user)
	return first, second, err
}

func logoutAll(ctx context.Context, v *verifier) (string, error) {
	first, second, err := v.twoSessions(ctx)
	if err != nil {
		return "", err
	}
	bystander, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	everywhere := map[string]any{"everywhere": true}
	a, err := v.do(ctx, request{method: "POST", path: "/logout", token: "x.y.z", body: everywhere})
	if err != nil {
		return "", err
	}
	if a.status != http.StatusUnauthorized {
		return "", broken("a logout from everywhere with a bad token was answered %v", a)
	}
	if _, err := v.want(ctx, http.StatusOK, request{
		method: "POST", path: "/logout", token: first.token, body: everywhere,
	}); err != nil {
		return "", err
	}
	ended := time.Now()
	for _, s := range []*session{first, second} {
		if _, err := v.wantEnded(ctx, s, v.base, ended); err != nil {
			return "", err
		}
	}
	return "two sessions of a user ended on " + v.where() + ", that of another user goes on",
		v.wantAccepted(ctx, bystander, "after another user's logout")
}

// racers is how many refreshes are sent at once.
const racers = 50

func refreshRace(ctx context.Context, v *verifier) (string, error) {
	if v.cfg.RefreshGrace == 0 {
		return "", notTried("REFRESH_GRACE is 0: each refresh has another successor")
	}
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	servers := v.servers()
	answers := make([]answer, racers)
	calls := make([]func() error, racers)
	for i := range racers {
		r := refreshRequest(s.refresh)
		r.server = servers[i%len(servers)]
		calls[i] = func() (err error) {
			answers[i], err = v.do(ctx, r)
			return err
		}
	}
	began := time.Now()
	if err := together(racers, calls...); err != nil {
		return "", err
	}
	took := time.Since(began)
	if v.cfg.RefreshGrace > 0 && took > v.cfg.RefreshGrace {
		return "", notTried("%d refreshes at once took longer than REFRESH_GRACE", racers)
	}
	var newest *session
	successors := make(map[string]bool)
	for _, a := range answers {
		if a.status == http.StatusServiceUnavailable {
			return "", notTried("the server was too busy for %d refreshes at once", racers)
		}
		if a.status != http.StatusOK {
			return "", broken("one of %d refreshes at once was answered %v", racers, a)
		}
		if newest, err = v.granted(a, s.user); err != nil {
			return "", err
		}
		successors[newest.refresh] = true
	}
	if n := len(successors); n != 1 {
		if v.cfg.RefreshGrace < 0 {
			return "", notTried("%d refreshes at once have %d successors; this is a fault unless "+
				"REFRESH_GRACE is 0 there", racers, n)
		}
		return "", broken("%d refreshes at once with one token have %d successors", racers, n)
	}
	if err := v.wantAccepted(ctx, newest, "after fifty refreshes"); err != nil {
		return "", err
	}
	if _, err := v.refresh(ctx, newest); err != nil {
		return "", fmt.Errorf("use the successor of fifty refreshes: %w", err)
	}
	return fmt.Sprintf("%d refreshes on %s, all with the same successor, which works",
		racers, v.where()), nil
}

func refreshGrace(ctx context.Context, v *verifier) (string, error) {
	if v.cfg.RefreshGrace == 0 {
		return "", notTried("REFRESH_GRACE is 0: each refresh has another successor")
	}
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	began := time.Now()
	first, err := v.refresh(ctx, s)
	if err != nil {
		return "", err
	}
	for _, server := range v.servers() {
		r := refreshRequest(s.refresh)
		r.server = server
		a, err := v.want(ctx, http.StatusOK, r)
		if v.cfg.RefreshGrace > 0 && time.Since(began) > v.cfg.RefreshGrace {
			return "", notTried("two refreshes took longer than REFRESH_GRACE")
		}
		if err != nil {
			return "", fmt.Errorf("a refresh once more at %s: %w", server, err)
		}
		again, err := v.granted(a, s.user)
		switch {
		case err != nil:
			return "", err
		case again.refresh == first.refresh:
		case v.cfg.RefreshGrace < 0:
			return "", notTried("a refresh once more has another successor; this is a fault " +
				"unless REFRESH_GRACE is 0 there")
		default:
			return "", broken("a refresh once more at %s has another successor", server)
		}
		if err := v.wantAccepted(ctx, again, "after a refresh once more"); err != nil {
			return "", err
		}
	}
	if _, err := v.refresh(ctx, first); err != nil {
		return "", fmt.Errorf("use the successor: %w", err)
	}
	return "the same successor once more from " + v.where() + ", and it works", nil
}

func refreshLost(ctx context.Context, v *verifier) (string, error) {
	switch grace := v.cfg.RefreshGrace; {
	case grace < 0:
		return "", notTried("REFRESH_GRACE of the server is not known here")
	case grace > maxCheck-15*time.Second:
		return "", notTried("REFRESH_GRACE of %v is longer than a check may take", grace)
	case grace > 2*time.Second && !v.cfg.Slow:
		return "", notTried("it has to wait for REFRESH_GRACE of %v; --slow does", grace)
	}
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	lost, err := v.refresh(ctx, s)
	if err != nil {
		return "", err
	}
	if lost.idle < v.cfg.RefreshGrace+5*time.Second {
		return "", notTried("a session ends after %v without a use, and REFRESH_GRACE is %v",
			lost.idle, v.cfg.RefreshGrace)
	}
	if !pause(ctx, v.cfg.RefreshGrace+time.Second) {
		return "", ctx.Err()
	}
	found, err := v.refresh(ctx, s)
	if err != nil {
		return "", fmt.Errorf("a refresh once more after the grace: %w", err)
	}
	if found.refresh == lost.refresh {
		return "", broken("after the grace a refresh once more has the same successor")
	}
	a, err := v.do(ctx, refreshRequest(lost.refresh))
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "refresh_invalid") {
		return "", broken("the successor that nobody claimed was answered %v", a)
	}
	_, err = v.wantEnded(ctx, found, v.base, time.Now())
	return "another successor after the grace; using the lost one ended the session", err
}

func refreshReuse(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	first, err := v.refresh(ctx, s)
	if err != nil {
		return "", err
	}
	second, err := v.refresh(ctx, first)
	if err != nil {
		return "", err
	}
	if err := v.knownEverywhere(ctx, second); err != nil {
		return "", err
	}
	servers := v.servers()
	where := servers[len(servers)-1]
	thief := refreshRequest(s.refresh)
	thief.server = where
	a, err := v.do(ctx, thief)
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnauthorized, "refresh_invalid") {
		return "", broken("a refresh token whose successor was used is answered %v", a)
	}
	took, err := v.wantEnded(ctx, second, where, time.Now())
	if err != nil {
		return "", fmt.Errorf("after the reuse: %w", err)
	}
	return fmt.Sprintf("401 refresh_invalid, and the session ended on %s within %v",
		v.where(), took.Round(time.Millisecond)), nil
}

func refreshForged(ctx context.Context, v *verifier) (string, error) {
	s, err := v.visit(ctx, "viewer")
	if err != nil {
		return "", err
	}
	text, mac, ok := cutLast(s.refresh)
	if !ok {
		return "", notTried("the refresh token is in no form that verify can forge")
	}
	sid, _, _ := strings.Cut(text, ".")
	own := signed(sid, "1", newPassword(), sha256.New)
	forged := map[string]string{
		"a changed MAC":             text + "." + flip(mac, 0),
		"a MAC that is cut off":     text + "." + mac[:len(mac)-1],
		"no MAC":                    text + ".",
		"another counter":           sid + ".1." + mac,
		"a counter far ahead":       sid + ".999999." + mac,
		"another session":           flip(sid, 0) + strings.TrimPrefix(text, sid) + "." + mac,
		"a MAC of our own":          own,
		"the id of a session":       sid,
		"the bare text":             text,
		"an empty text with a MAC":  "." + mac,
		"a text that is far longer": strings.Repeat("a", 5000),
	}
	for what, token := range forged {
		a, err := v.do(ctx, refreshRequest(token))
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusUnauthorized, "refresh_invalid") {
			return "", broken("a refresh token with %s was answered %v", what, a)
		}
		body := map[string]any{"refresh_token": token}
		end := request{method: "POST", path: "/logout", body: body}
		if _, err := v.want(ctx, http.StatusOK, end); err != nil {
			return "", err
		}
	}
	if err := v.wantAccepted(ctx, s, "after forged refresh tokens"); err != nil {
		return "", err
	}
	if _, err := v.refresh(ctx, s); err != nil {
		return "", fmt.Errorf("refresh after the forgeries: %w", err)
	}
	return fmt.Sprintf("%d forgeries refused by /refresh and without effect at /logout",
		len(forged)), nil
}

// cutLast cuts a text at its last dot.
func cutLast(text string) (before, after string, ok bool) {
	at := strings.LastIndexByte(text, '.')
	if at < 0 || at+2 > len(text) {
		return "", "", false
	}
	return text[:at], text[at+1:], true
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

func stepUp(ctx context.Context, v *verifier) (string, error) {
	x, err := v.sample(ctx)
	if err == nil {
		err = v.secretSigns(x.session.token, v.admin.token)
	}
	if err != nil {
		return "", err
	}
	victim, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	header, payload, _ := parts(v.admin.token)
	c, err := decodeClaims(payload)
	if err != nil {
		return "", err
	}
	path := "/users/" + decimal(victim.user.id)
	timeless := c.without("auth_time")
	if !v.adminHasFactor() { // it may be required, and amr tells of it
		timeless = timeless.without("amr")
	}
	tried := 0
	for what, old := range map[string]claims{
		"a login six minutes ago": c.with("auth_time", v.cfg.Now().Add(-6*time.Minute).Unix()),
		"no time of its login":    timeless,
		"a login in the future":   c.with("auth_time", v.cfg.Now().Add(10*time.Minute).Unix()),
	} {
		token := signed(header, old.encoded(), v.cfg.Secret, sha256.New)
		v.hide(token)
		a, err := v.do(ctx, request{method: "GET", path: path, token: token})
		if err != nil {
			return "", err
		}
		if a.status != http.StatusOK {
			return "", broken("an admin's token with %s was answered %v by a route that only reads",
				what, a)
		}
		for _, r := range []request{
			{method: "PATCH", path: path, body: map[string]any{"role": "editor"}},
			{method: "PATCH", path: path, body: map[string]any{"email": ""}},
			{method: "PATCH", path: path, body: map[string]any{"disabled": true}},
			{method: "DELETE", path: path + "/sessions"},
			{method: "DELETE", path: path + "/mfa"},
			{method: "DELETE", path: path},
			{method: "POST", path: "/users", body: map[string]any{
				"user": v.newName(), "password": newPassword(), "role": "admin"}},
		} {
			r.token = token
			a, err := v.do(ctx, r)
			if err != nil {
				return "", err
			}
			if !a.is(http.StatusForbidden, "step_up_required") {
				return "", broken("%s %s with %s was answered %v",
					r.method, strings.ReplaceAll(r.path, path, "/users/{id}"), what, a)
			}
			tried++
		}
	}
	if err := v.wrongProof(ctx, path); err != nil {
		return "", err
	}
	if err := v.wantAccepted(ctx, victim, "after the refusals"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d changes with tokens of old logins, each refused with 403 "+
		"step_up_required", tried), nil
}

// wrongProof returns an error if a wrong password of the admin is taken for the right one. It is
// one failure of the admin's, until the next login. An admin with a second factor would need codes.
func (v *verifier) wrongProof(ctx context.Context, path string) error {
	if v.adminHasFactor() {
		return nil
	}
	r := request{method: "PATCH", path: path, body: map[string]any{
		"role": "editor", "current": newPassword(),
	}}
	a, err := v.asAdmin(ctx, r)
	if err != nil {
		return err
	}
	if a.status != http.StatusUnprocessableEntity ||
		!strings.Contains(string(a.body), `"current"`) {
		return broken("PATCH /users/{id} with a wrong password of the admin was answered %v", a)
	}
	r.body = map[string]any{"email": "", "current": v.admin.user.password}
	_, err = v.wantAsAdmin(ctx, http.StatusOK, r)
	return err
}

// adminHasFactor reports whether the admin has logged in with a second factor.
func (v *verifier) adminHasFactor() bool {
	return v.admin.user.recovery != nil || v.cfg.Admin.Code != ""
}

func ownProof(ctx context.Context, v *verifier) (string, error) {
	s, err := v.newSession(ctx, "viewer")
	if err != nil {
		return "", err
	}
	next := newPassword()
	v.hide(next)
	tried := 0
	for _, r := range []request{
		{method: "PATCH", path: "/me", body: map[string]any{"email": v.tag + "@example.invalid"}},
		{method: "POST", path: "/password", body: map[string]any{"password": next}},
		{method: "POST", path: "/me/mfa", body: map[string]any{}},
		{method: "DELETE", path: "/me/mfa", body: map[string]any{}},
		{method: "POST", path: "/password", body: map[string]any{
			"password": next, "current": newPassword()}},
		{method: "PATCH", path: "/me", body: map[string]any{
			"email": v.tag + "@example.invalid", "current": newPassword()}},
	} {
		r.token = s.token
		if s.user.recovery != nil {
			r.body.(map[string]any)["code"] = "000000" // the password is looked at first
		}
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if a.status != http.StatusUnprocessableEntity ||
			!strings.Contains(string(a.body), `"current"`) {
			return "", broken("%s %s without the right password was answered %v, not 422 on "+
				"current", r.method, r.path, a)
		}
		tried++
	}
	if _, err := v.login(ctx, s.user); err != nil {
		return "", fmt.Errorf("log in with the password that must not have changed: %w", err)
	}
	return fmt.Sprintf("%d changes without or with a wrong current password, each refused with 422",
		tried), nil
}
