package auth

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
)

// TestTOTPVectors uses the vectors of RFC 6238, appendix B, for SHA-1: their last six digits.
func TestTOTPVectors(t *testing.T) {
	for at, want := range map[int64]string{
		59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924",
		2000000000: "279037", 20000000000: "353130",
	} {
		if got := totp([]byte("12345678901234567890"), stepAt(time.Unix(at, 0))); got != want {
			t.Errorf("at %d the code is %s, want %s", at, got, want)
		}
	}
}

// authenticator is the app on somebody's phone.
type authenticator struct{ secret []byte }

func (a authenticator) code(at time.Time) string { return totp(a.secret, stepAt(at)) }

// enrol sets up a second factor and returns the app and the recovery codes. It uses up one code.
func (p *process) enrol(t testing.TB, u store.User, at time.Time) (authenticator, []string) {
	t.Helper()
	ctx := from(t.Context(), "192.0.2.1")
	e, err := p.BeginMFA(ctx, Caller{UserID: u.ID}, goodPassword)
	must(t, err)
	uri, err := url.Parse(e.URI)
	must(t, err)
	q := uri.Query()
	if uri.Scheme != "otpauth" || uri.Host != "totp" || uri.Path != "/clientes:"+u.Name ||
		q.Get("secret") != e.Secret || q.Get("issuer") != "clientes" {
		t.Errorf("the URI is %s", e.URI)
	}
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(q.Get("secret"))
	must(t, err)
	if len(secret) < 20 {
		t.Errorf("the secret has %d bytes", len(secret))
	}
	app := authenticator{secret}
	codes, err := p.ConfirmMFA(ctx, Caller{UserID: u.ID}, app.code(at))
	must(t, err)
	if len(codes) != 10 {
		t.Errorf("%d recovery codes", len(codes))
	}
	return app, codes
}

func TestSecondFactor(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ana := p.add(t, store.User{Name: "ana"})
		caller := Caller{UserID: ana.ID}
		ctx := from(t.Context(), "192.0.2.1")
		_, err := p.ConfirmMFA(ctx, caller, "123456")
		wantError(t, "to confirm nothing", err, ErrMFAOff)
		err = p.EndMFA(ctx, caller, Proof{goodPassword, "123456"})
		wantError(t, "to switch nothing off", err, ErrMFAOff)
		_, err = p.BeginMFA(ctx, caller, "wrong")
		wantFault(t, "a wrong password", err, "current")
		first, err := p.BeginMFA(ctx, caller, goodPassword)
		must(t, err)
		_, err = p.ConfirmMFA(ctx, caller, "12345a")
		wantFault(t, "a wrong code", err, "code")
		right := goodLogin("ana")
		p.wantTry(t, "192.0.2.1", right, "in") // not before it is confirmed
		app, recovery := p.enrol(t, ana, c.Now())
		if kept, err := base32Text.DecodeString(first.Secret); err != nil ||
			string(kept) == string(app.secret) {
			t.Error("asking again gives the same secret")
		}
		_, err = p.BeginMFA(ctx, caller, goodPassword)
		wantError(t, "another beside it", err, ErrMFAOn)
		_, err = p.ConfirmMFA(ctx, caller, app.code(c.Now()))
		wantError(t, "confirming twice", err, ErrMFAOn)

		with := func(code string) LoginRequest {
			r := right
			r.Code = code
			return r
		}
		p.wantTry(t, "192.0.2.1", right, "code?")
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now())), "wrong code") // it was used to confirm
		c.Advance(90 * time.Second)
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now().Add(-60*time.Second))), "wrong code")
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now().Add(60*time.Second))), "wrong code")
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now().Add(-30*time.Second))), "in")
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now())[:3]+" "+app.code(c.Now())[3:]), "in")
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now())), "wrong code")
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now().Add(30*time.Second))), "in")
		p.wantTry(t, "192.0.2.1", with(app.code(c.Now())), "wrong code") // older than the last one
		wrongToo := with(app.code(c.Now().Add(time.Hour)))
		wrongToo.Password = "wrong"
		p.wantTry(t, "192.0.2.1", wrongToo, "wrong")

		p.wantTry(t, "192.0.2.1", with(strings.ToUpper(recovery[3])), "in")
		p.wantTry(t, "192.0.2.1", with(recovery[3]), "wrong code")
		p.wantTry(t, "192.0.2.1", with(strings.ReplaceAll(recovery[4], "-", "")), "in")
		p.wantTry(t, "192.0.2.1", with("aaaa-aaaa-aaaa-aaaa"), "wrong code")
		p.wantTry(t, "192.0.2.1", with("--"), "wrong code")

		// The store holds neither the secret nor the codes.
		kept, err := p.store.User(t.Context(), ana.ID)
		must(t, err)
		all := fmt.Sprintf("%+v", kept)
		if strings.Contains(all, base32Text.EncodeToString(app.secret)) ||
			strings.Contains(all, string(app.secret)) ||
			strings.Contains(all, plainCode(recovery[0])) || len(recoveryHashes(kept.MFA)) != 8 {
			t.Errorf("kept is %s", all)
		}

		c.Advance(time.Hour)
		err = p.EndMFA(ctx, caller, Proof{"wrong", app.code(c.Now())})
		wantFault(t, "to switch it off with a wrong password", err, "current")
		err = p.EndMFA(ctx, caller, Proof{goodPassword, "000000"})
		wantFault(t, "to switch it off with a wrong code", err, "code")
		must(t, p.EndMFA(ctx, caller, Proof{goodPassword, app.code(c.Now())}))
		p.wantTry(t, "192.0.2.1", right, "in")
		p.enrol(t, ana, c.Now())
		p.wantTry(t, "192.0.2.1", right, "code?")
		must(t, p.DropMFA(ctx, ana.ID))
		must(t, p.DropMFA(ctx, ana.ID))
		p.wantTry(t, "192.0.2.1", right, "in")
		wantError(t, "of nobody", p.DropMFA(ctx, 999), store.ErrNotFound)
		var kinds []string
		events, err := p.Events(t.Context(), store.EventFilter{UserID: ana.ID}, 0, 100)
		must(t, err)
		for _, e := range events {
			switch e.Kind {
			case store.EventMFAOn, store.EventMFAOff, store.EventMFATakenAway,
				store.EventRecoveryUsed:
				kinds = append(kinds, string(e.Kind))
			}
		}
		want := "mfa_taken_away mfa_on mfa_off recovery_used recovery_used mfa_on"
		if got := strings.Join(kinds, " "); got != want {
			t.Errorf("the audit says %s, want %s", got, want)
		}
		if countEvents(t, p, store.EventFilter{UserID: ana.ID, Kind: store.EventMFAFailed}) == 0 {
			t.Error("the audit says nothing of wrong codes")
		}
	})
}

func TestACodeWorksOnceOverReplicas(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		replicas := []*process{start(t, e, url, atClock(c)), start(t, e, url, atClock(c))}
		ana := replicas[0].add(t, store.User{Name: "ana"})
		app, recovery := replicas[0].enrol(t, ana, c.Now())
		c.Advance(time.Minute)
		for _, code := range []string{app.code(c.Now()), recovery[0]} {
			ends := make(map[string]int)
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					_, end := replicas[i%2].try(t, "192.0.2.1", goodLogin("ana").withCode(code))
					mu.Lock()
					defer mu.Unlock()
					ends[end]++
				})
			}
			all.Wait()
			if ends["in"] != 1 || ends["wrong code"] != 3 {
				t.Errorf("four logins with one code end in %v", ends)
			}
			c.Advance(24 * time.Hour)
		}
	})
}

// TestGuessingCodes has a thief of the password guess codes for days, while the owner logs in on a
// known device.
func TestGuessingCodes(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ana := p.add(t, store.User{Name: "ana"})
		app, _ := p.enrol(t, ana, c.Now())
		c.Advance(time.Minute)
		known := p.wantTry(t, "192.0.2.1", goodLogin("ana").withCode(app.code(c.Now())), "in")
		const days = 2
		looked, logins := 0, 0
		for end, next := c.Now().Add(days*24*time.Hour), c.Now(); c.Now().Before(end); {
			wait := 1
			_, last := p.try(t, "203.0.113.1", goodLogin("ana").withCode("99999x"))
			if last == "wrong code" {
				looked++
			} else if _, err := fmt.Sscanf(last, "wait %d", &wait); err != nil {
				t.Fatalf("a guess ends in %q", last)
			}
			if !c.Now().Before(next) {
				c.Advance(time.Minute) // for the next code
				known = p.wantTry(t, "192.0.2.1",
					goodLogin("ana").withCode(app.code(c.Now())).withDevice(known.Device), "in")
				logins++
				next = next.Add(6 * time.Hour)
			}
			c.Advance(time.Duration(min(wait, 3600)) * time.Second)
		}
		if looked > 20*days || looked < 20 {
			t.Errorf("%d codes in %d days were looked at", looked, days)
		}
		if logins < 4*days-1 {
			t.Errorf("the owner logged in %d times", logins)
		}
	})
}

// TestACodeThatIsMissingIsNoSuccess checks that a right password without a code clears nothing, and
// counts nothing either.
func TestACodeThatIsMissingIsNoSuccess(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ana := p.add(t, store.User{Name: "ana"})
		app, _ := p.enrol(t, ana, c.Now())
		c.Advance(time.Minute)
		right := goodLogin("ana")
		for range 4 {
			p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wrong")
			p.wantTry(t, "192.0.2.1", right, "code?")
			p.wantTry(t, "192.0.2.1", right, "code?")
		}
		wrong := right
		wrong.Code = "99999x"
		p.wantTry(t, "192.0.2.1", wrong, "wrong code") // the fifth
		p.wantTry(t, "192.0.2.1", right, "wait 1")
		c.Advance(time.Second)
		p.wantTry(t, "192.0.2.1", right, "code?")
		right.Code = app.code(c.Now())
		p.wantTry(t, "192.0.2.1", right, "in")
	})
}

func TestSealedSecrets(t *testing.T) {
	e := authtest.SQLite()
	c := authtest.StoppedAt(someDay)
	url := e.Migrated(t)
	p := start(t, e, url, atClock(c))
	rotated := start(t, e, url, atClock(c), withSecrets(otherSecret, testSecret))
	dropped := start(t, e, url, atClock(c), withSecrets(otherSecret))
	ana, bia := p.add(t, store.User{Name: "ana"}), p.add(t, store.User{Name: "bia"})
	app, recovery := p.enrol(t, ana, c.Now())
	c.Advance(time.Minute)

	// Copied to another's row, neither the secret nor the recovery codes are worth anything.
	_, _, err := p.store.UpdateUser(t.Context(), bia.ID, func(u store.User) (store.User, error) {
		a, err := p.store.User(t.Context(), ana.ID)
		u.MFA = a.MFA
		return u, err
	})
	must(t, err)
	for _, code := range []string{app.code(c.Now()), recovery[0]} {
		_, err := p.Login(from(t.Context(), "192.0.2.1"), goodLogin("bia").withCode(code))
		if err == nil {
			t.Error("the second factor of another lets in")
		}
	}

	must(t, p.DropMFA(t.Context(), bia.ID))
	p.enrol(t, bia, c.Now())
	_, _, err = p.store.UpdateUser(t.Context(), bia.ID, func(u store.User) (store.User, error) {
		a, err := p.store.User(t.Context(), ana.ID)
		u.MFA.Recovery = a.MFA.Recovery
		return u, err
	})
	must(t, err)
	p.wantTry(t, "192.0.2.1", goodLogin("bia").withCode(recovery[0]), "wrong code")

	login := goodLogin("ana").withCode(app.code(c.Now()))
	if _, err := dropped.Login(from(t.Context(), "192.0.2.1"), login); err == nil ||
		errors.Is(err, ErrMFAInvalid) {
		t.Errorf("under another secret it ends in %v", err)
	}
	before, err := p.store.User(t.Context(), ana.ID)
	must(t, err)
	rotated.wantTry(t, "192.0.2.1", login, "in")
	after, err := p.store.User(t.Context(), ana.ID)
	must(t, err)
	if before.MFA.Secret == after.MFA.Secret {
		t.Error("the first use after a rotation did not encrypt anew")
	}
	c.Advance(time.Minute)
	login.Code = app.code(c.Now())
	dropped.wantTry(t, "192.0.2.1", login, "in")
	if again, err := p.store.User(t.Context(), ana.ID); err != nil ||
		again.MFA.Secret != after.MFA.Secret {
		t.Errorf("each use encrypts anew (%v)", err)
	}
}

// TestCodesThatConfirmCount checks that nobody can set up a second factor by trying all codes.
func TestCodesThatConfirmCount(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		_, me := a.newCaller(t, "ana")
		_, err := a.BeginMFA(ctx, me, goodPassword)
		must(t, err)
		var invalid *store.InvalidError
		for range codesLimit.Free {
			if _, err := a.ConfirmMFA(ctx, me, "no code"); !errors.As(err, &invalid) {
				t.Errorf("a wrong code: %v", err)
			}
		}
		_, err = a.ConfirmMFA(ctx, me, "no code")
		wantError(t, "one more", err, ErrTooManyAttempts)
	})
}
