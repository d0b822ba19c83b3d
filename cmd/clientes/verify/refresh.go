package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// refreshChecks are the promises about refresh tokens.
func refreshChecks() []check {
	return []check{
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
	}
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
