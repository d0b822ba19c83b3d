package verify

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// logoutChecks are the promises about logouts.
func logoutChecks() []check {
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
	}
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
