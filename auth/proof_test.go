package auth

import (
	"errors"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// Requests that send one proof at once, to two replicas, use its code up once.
func TestTheCodeOfAProofWorksOnce(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		replicas := []*process{start(t, e, url, atClock(c)), start(t, e, url, atClock(c))}
		ana := replicas[0].add(t, store.User{Name: "ana"})
		app, recovery := replicas[0].enrol(t, ana, c.Now())
		c.Advance(time.Minute)
		g, err := replicas[0].Login(t.Context(), goodLogin("ana").withCode(app.code(c.Now())))
		must(t, err)
		me, err := replicas[0].Authenticate(t.Context(), g.Token)
		must(t, err)
		c.Advance(time.Minute)
		for _, code := range []string{app.code(c.Now()), recovery[0]} {
			var mu sync.Mutex
			var all sync.WaitGroup
			passed, wrong := 0, 0
			for i := range 4 {
				all.Go(func() {
					err := replicas[i%2].StepUp(t.Context(), me, Proof{goodPassword, code})
					var invalid *store.InvalidError
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						passed++
					case errors.As(err, &invalid) && invalid.Fields[0].Code == "wrong_code":
						wrong++
					default:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if passed != 1 || wrong != 3 {
				t.Errorf("of four proofs with one code %d passed, %d were wrong", passed, wrong)
			}
		}
	})
}

// A proof is good for a session that lives, and a login counts for five minutes.
func TestStepUp(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ctx := t.Context()
		ana := p.add(t, store.User{Name: "ana"})
		g, err := p.Login(ctx, goodLogin("ana"))
		must(t, err)
		me, err := p.Authenticate(ctx, g.Token)
		must(t, err)
		for _, step := range []struct {
			after time.Duration // the login
			want  error
		}{
			{0, nil},
			{5*time.Minute - time.Second, nil},
			{5 * time.Minute, ErrStepUpRequired},
			{-time.Minute, nil},
			{-time.Minute - time.Second, ErrStepUpRequired}, // a clock was wrong
			{365 * 24 * time.Hour, ErrStepUpRequired},
		} {
			c.Advance(step.after)
			wantError(t, step.after.String(), p.StepUp(ctx, me, Proof{}), step.want)
			c.Advance(-step.after)
		}
		old := me
		old.AuthTime = time.Time{}
		wantError(t, "no auth_time", p.StepUp(ctx, old, Proof{}), ErrStepUpRequired)
		must(t, p.StepUp(ctx, old, Proof{Current: goodPassword}))
		must(t, p.StepUp(ctx, me, Proof{Current: goodPassword, Code: "unused"}))
		wantFault(t, "a wrong password", p.StepUp(ctx, me, Proof{Current: "wrong"}), "current")
		wantFault(t, "no password", p.StepUp(ctx, me, Proof{Code: "123456"}), "current")

		must(t, p.LogoutEverywhere(ctx, ana.ID))
		for _, proof := range []Proof{{}, {Current: goodPassword}} {
			wantError(t, "of a session that has ended", p.StepUp(ctx, me, proof), ErrTokenRevoked)
		}

		// The login of a user who has set up a second factor since was made without it.
		bia, me := p.newCaller(t, "bia")
		must(t, p.StepUp(ctx, me, Proof{}))
		p.enrol(t, bia, c.Now())
		wantError(t, "without the factor", p.StepUp(ctx, me, Proof{}), ErrStepUpRequired)
		wantFault(t, "no code", p.StepUp(ctx, me, Proof{Current: goodPassword}), "code")
	})
}
