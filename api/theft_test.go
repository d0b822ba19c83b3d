package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/store"
)

// change updates a user behind the back of the server.
func (f *fixture) change(role store.Role, update func(*store.User)) {
	f.t.Helper()
	_, _, err := f.store.UpdateUser(f.t.Context(), f.users[role].ID,
		func(u store.User) (store.User, error) {
			update(&u)
			return u, nil
		})
	authtest.Must(f.t, err)
}

// mailTo sets an email of the users of these roles.
func (f *fixture) mailTo(roles ...store.Role) {
	f.t.Helper()
	for _, role := range roles {
		f.change(role, func(u *store.User) { u.Email = string(role) + "@example.com" })
	}
}

// enrol switches on the second factor of a token's user. It returns the secret and recovery codes.
func (f *fixture) enrol(token string) (secret string, recovery []string) {
	f.t.Helper()
	a := f.call("POST", "/me/mfa", `{"current":"correct horse"}`, "x-access-token", token)
	f.want(a, 200, "")
	var enrolment struct {
		Secret string `json:"secret"`
	}
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &enrolment))
	code := oneTime(f.t, enrolment.Secret, f.store.Now())
	a = f.call("POST", "/me/mfa/confirm", `{"code":"`+code+`"}`, "x-access-token", token)
	f.want(a, 200, "")
	return enrolment.Secret, f.recoveryCodes(a)
}

func (f *fixture) recoveryCodes(a answer) []string {
	f.t.Helper()
	var view struct {
		Codes []string `json:"recovery_codes"`
	}
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &view))
	return view.Codes
}

// logIn logs the user of a role in.
func (f *fixture) logIn(role store.Role, code string, headers ...string) answer {
	f.t.Helper()
	return f.call("POST", "/login", fmt.Sprintf(
		`{"user":"the-%s","password":"correct horse","code":%q}`, role, code), headers...)
}

// audited returns "event detail" of a user's events of these kinds, the newest first.
func (f *fixture) audited(role store.Role, kinds ...store.EventKind) string {
	f.t.Helper()
	events, err := f.auth.Events(f.t.Context(),
		store.EventFilter{UserID: f.users[role].ID}, 0, 1000)
	authtest.Must(f.t, err)
	var said []string
	for _, e := range events {
		for _, kind := range kinds {
			if e.Kind == kind {
				said = append(said, strings.TrimSpace(string(e.Kind)+" "+e.Detail))
			}
		}
	}
	return strings.Join(said, "; ")
}

func (f *fixture) wantAudited(want string, role store.Role, kinds ...store.EventKind) {
	f.t.Helper()
	if got := f.audited(role, kinds...); got != want {
		f.t.Errorf("the audit says %q, want %q", got, want)
	}
}

// wantNoMail fails the test if there is a mail that nobody has taken. It sends one itself, and
// waits for that.
func (f *fixture) wantNoMail(out *authtest.Outbox) {
	f.t.Helper()
	authtest.Must(f.t, f.store.QueueMails(f.t.Context(), store.Mail{
		UserID: f.users[store.Admin].ID, Kind: store.MailPasswordChanged, To: "last@example.com",
	}))
	out.Take(f.t, mail.PasswordChanged, "last@example.com")
	if left := out.Left(); len(left) > 0 {
		f.t.Errorf("there is mail: %+v", left)
	}
}

// The owner of an account gets mail about everything that a thief of it would do with its second
// factor, and the audit has an event of each.
func TestSecondFactorsAreWatched(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		f.mailTo(store.Viewer)
		out := f.outbox()
		const to = "viewer@example.com"
		secret, recovery := f.enrol(f.tokens[store.Viewer])
		out.Take(t, mail.MFAOn, to)
		form := regexp.MustCompile(`^[a-z2-7]{5}(-[a-z2-7]{5}){3}-[a-z2-7]{6}$`)
		if len(recovery) != 10 || !form.MatchString(recovery[0]) {
			t.Errorf("the codes are %q", recovery)
		}
		c.Advance(time.Minute)
		f.want(f.logIn(store.Viewer, oneTime(t, secret, c.Now())), 200, "")
		out.Take(t, mail.NewNetwork, to)
		// People type codes as they like.
		typed := strings.ToUpper(strings.ReplaceAll(recovery[0], "-", " – ")) + "\t"
		f.want(f.logIn(store.Viewer, typed), 200, "")
		if m := out.Take(t, mail.RecoveryUsed, to); m.Detail != "9 left" {
			t.Errorf("the mail says %q", m.Detail)
		}
		f.want(f.logIn(store.Viewer, recovery[0]), 401, "mfa_invalid")
		f.wantAudited("login pwd recovery; login pwd otp, new address; login pwd",
			store.Viewer, store.EventLogin)

		// New recovery codes cost the password and a code.
		const path, right = "/me/mfa/recovery", `{"current":"correct horse","code":"%s"}`
		for body, faults := range map[string]string{
			`{}`:                                  "current:required code:required",
			`{"current":"wrong","code":"000000"}`: "current:wrong_password",
			fmt.Sprintf(right, "wrong"):           "code:wrong_code",
			fmt.Sprintf(right, recovery[0]):       "code:wrong_code",
			`{"current":"a","code":"1","x":"y"}`:  "x:unknown_member",
		} {
			if a := f.as(store.Viewer, "POST", path, body); a.faults() != faults {
				t.Errorf("%s: %d %s", body, a.status, a.faults())
			}
		}
		f.want(f.as(store.Editor, "POST", path, fmt.Sprintf(right, "000000")), 404, "not_found")
		c.Advance(time.Hour) // the wrong codes have to wait
		code := oneTime(t, secret, c.Now())
		f.tokens[store.Viewer] = f.tokenOf(f.logIn(store.Viewer, code))
		f.want(f.as(store.Viewer, "POST", path, fmt.Sprintf(right, code)), 422, "validation_failed")
		c.Advance(time.Minute)
		code = oneTime(t, secret, c.Now())
		a := f.as(store.Viewer, "POST", path, fmt.Sprintf(right, code))
		f.want(a, 200, "")
		renewed := f.recoveryCodes(a)
		out.Take(t, mail.RecoveryRenewed, to)
		f.want(f.logIn(store.Viewer, code), 401, "mfa_invalid") // it is spent
		f.want(f.logIn(store.Viewer, recovery[1]), 401, "mfa_invalid")
		f.want(f.logIn(store.Viewer, renewed[1]), 200, "")
		out.Take(t, mail.RecoveryUsed, to)
		a = f.as(store.Viewer, "POST", path, fmt.Sprintf(right, renewed[2]))
		f.want(a, 200, "")
		out.Take(t, mail.RecoveryRenewed, to)
		last := f.recoveryCodes(a)

		f.want(f.as(store.Viewer, "DELETE", "/me/mfa", fmt.Sprintf(right, last[0])), 204, "")
		out.Take(t, mail.MFAOff, to)
		f.enrol(f.tokens[store.Viewer])
		out.Take(t, mail.MFAOn, to)
		f.tokens[store.Admin] = f.login(store.Admin) // the old one is an hour old
		f.want(f.as(store.Admin, "DELETE",
			fmt.Sprintf("/users/%d/mfa", f.users[store.Viewer].ID), ""), 204, "")
		out.Take(t, mail.MFATakenAway, to)
		// The two renewals are one row: the same user has done the same within the window.
		f.wantAudited("mfa_taken_away; mfa_on; mfa_off; recovery_used 9 left; "+
			"recovery_renewed; recovery_used 9 left; mfa_on", store.Viewer,
			store.EventMFAOn, store.EventMFAOff, store.EventMFATakenAway,
			store.EventRecoveryUsed, store.EventRecoveryRenewed)
	})
}

// tokenOf returns the access token of a login.
func (f *fixture) tokenOf(a answer) string {
	f.t.Helper()
	f.want(a, 200, "")
	var v struct {
		Token string `json:"token"`
	}
	authtest.Must(f.t, json.Unmarshal([]byte(a.body), &v))
	return v.Token
}

// Recovery codes of an earlier version, without a salt, are good once.
func TestOldRecoveryCodes(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.enrol(f.tokens[store.Viewer])
		id := f.users[store.Viewer].ID
		hash := func(plain string) string {
			h := sha256.Sum256(fmt.Appendf(nil, "%d %s", id, plain))
			return base64.RawURLEncoding.EncodeToString(h[:])
		}
		f.change(store.Viewer, func(u *store.User) {
			u.MFA.Recovery = hash("abcdefghijklmnop") + " " + hash("qrstuvwxyz234567")
		})
		f.want(f.logIn(store.Viewer, "ABCD-EFGH-IJKL-MNOP"), 200, "")
		f.want(f.logIn(store.Viewer, "abcd-efgh-ijkl-mnop"), 401, "mfa_invalid")
		f.wantAudited("recovery_used 1 left", store.Viewer, store.EventRecoveryUsed)
	})
}

// Whoever knows the password but has no code is reported: an event for each, and one mail a day. An
// owner who sends the code a moment later is not bothered.
func TestHalfLoginsAreReported(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		f.mailTo(store.Viewer)
		secret, _ := f.enrol(f.tokens[store.Viewer])
		c.Advance(time.Minute)
		out := f.outbox()
		const to = "viewer@example.com"
		out.Take(t, mail.MFAOn, to)

		// later lets time pass until the mail could have been sent, whenever it was tried before.
		later := func() {
			for range 3 {
				c.Advance(2 * time.Minute)
				f.wantNoMail(out)
			}
		}
		f.want(f.logIn(store.Viewer, ""), 401, "mfa_required")
		f.wantAudited("mfa_missing", store.Viewer, store.EventMFAMissing)
		f.want(f.logIn(store.Viewer, "00000x"), 401, "mfa_invalid")
		f.want(f.logIn(store.Viewer, oneTime(t, secret, c.Now())), 200, "")
		out.Take(t, mail.NewNetwork, to)
		later()

		c.Advance(15 * time.Minute)
		f.want(f.logIn(store.Viewer, "", "User-Agent", "thief"), 401, "mfa_required")
		for range 2 {
			f.want(f.logIn(store.Viewer, ""), 401, "mfa_required")
		}
		var got mail.Message
		f.eventually("the user is told", func() bool {
			c.Advance(time.Second)
			if left := out.Left(); len(left) > 0 {
				got = left[0]
			}
			return got.To != ""
		})
		if out.Take(t, mail.HalfLogin, to); got.IP != "127.0.0.1" || got.UserAgent != "thief" {
			t.Errorf("the mail says %+v", got)
		}
		c.Advance(15 * time.Minute)
		f.want(f.logIn(store.Viewer, "99999x"), 401, "mfa_invalid")
		later() // one mail a day
		f.wantAudited("mfa_failed; mfa_missing; mfa_failed; mfa_missing", store.Viewer,
			store.EventMFAMissing, store.EventMFAFailed)
		c.Advance(25 * time.Hour)
		f.want(f.logIn(store.Viewer, "99999x"), 401, "mfa_invalid")
		f.eventually("the user is told again", func() bool {
			c.Advance(time.Second)
			return len(out.Left()) > 0
		})
		out.Take(t, mail.HalfLogin, to)
	})
}

// All other admins hear of a new admin, whoever made it, even if it is gone at once. The user hears
// of another role.
func TestNewAdminsAreReported(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.mailTo(store.Admin, store.Viewer, store.Editor)
		out := f.outbox()
		const to = "admin@example.com"
		wantNewAdmin := func(name, by string) {
			t.Helper()
			if m := out.Take(t, mail.NewAdmin, to); m.Detail != name || m.By != by {
				t.Errorf("the mail says %+v", m)
			}
		}
		a := f.as(store.Admin, "POST", "/users",
			`{"user":"eve","role":"admin","password":"five grumpy violets"}`)
		f.want(a, 201, "")
		eve := fmt.Sprintf("/users/%d", userOf(t, a).ID)
		f.want(f.as(store.Admin, "DELETE", eve, ""), 204, "")
		wantNewAdmin("eve", "the-admin")

		viewer := fmt.Sprintf("/users/%d", f.users[store.Viewer].ID)
		f.want(f.as(store.Admin, "PATCH", viewer, `{"role":"admin"}`), 200, "")
		wantNewAdmin("the-viewer", "the-admin")
		if m := out.Take(t, mail.RoleChanged, "viewer@example.com"); m.Detail != "admin" {
			t.Errorf("the mail says %+v", m)
		}
		f.want(f.as(store.Admin, "PATCH", viewer, `{"disabled":true}`), 200, "")
		f.want(f.as(store.Admin, "PATCH", viewer, `{"disabled":false}`), 200, "")
		wantNewAdmin("the-viewer", "the-admin")
		f.want(f.as(store.Admin, "PATCH", viewer, `{"role":"editor"}`), 200, "")
		out.Take(t, mail.RoleChanged, "viewer@example.com")
		f.wantNoMail(out)
	})
}

// A user forgets all devices: none of them has a count of its own from then on.
func TestDevicesAreCancelled(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		f.mailTo(store.Viewer)
		out := f.outbox()
		const to = "viewer@example.com"
		a := f.call("POST", "/login", `{"user":"the-viewer","password":"correct horse"}`)
		f.want(a, 200, "")
		var v struct {
			Device string `json:"device"`
		}
		authtest.Must(t, json.Unmarshal([]byte(a.body), &v))
		out.Take(t, mail.NewNetwork, to)
		lockOut := func() {
			for range 5 {
				f.want(f.call("POST", "/login", `{"user":"the-viewer","password":"wrong"}`),
					401, "invalid_login")
			}
		}
		known := `{"user":"the-viewer","password":"correct horse","device":"` + v.Device + `"}`
		lockOut()
		f.want(f.logIn(store.Viewer, ""), 429, "too_many_attempts")
		f.want(f.call("POST", "/login", known), 200, "")

		a = f.as(store.Viewer, "DELETE", "/me/devices", "",
			"Cookie", "clientes_device="+v.Device, "Origin", "http://"+ownHost)
		f.want(a, 204, "")
		if got := a.header.Get("Set-Cookie"); !strings.HasPrefix(got, "clientes_device=; ") ||
			!strings.Contains(got, "Max-Age=0") {
			t.Errorf("Set-Cookie: %s", got)
		}
		out.Take(t, mail.DevicesCancelled, to)
		f.want(f.call("POST", "/login", known), 429, "too_many_attempts")
		f.want(f.as(store.Viewer, "GET", "/me", ""), 200, "") // sessions go on

		for range 4 {
			a = f.as(store.Viewer, "DELETE", "/me/devices", "")
			f.want(a, 204, "")
			if got := a.header.Get("Set-Cookie"); got != "" {
				t.Errorf("Set-Cookie: %s", got)
			}
		}
		out.Take(t, mail.DevicesCancelled, to)
		out.Take(t, mail.DevicesCancelled, to)
		f.wantNoMail(out) // three an hour
		f.wantAudited("devices_cancelled", store.Viewer, store.EventDevicesCancelled)
		u, err := f.store.User(t.Context(), f.users[store.Viewer].ID)
		if err != nil || u.DeviceGeneration != 5 {
			t.Errorf("cancelled %d times, %v", u.DeviceGeneration, err)
		}
		f.want(f.call("DELETE", "/me/devices", ""), 401, "token_missing")
	})
}

// A second factor that was sealed under a secret that is gone has a clear answer, and recovery
// codes are good. The log says what to do.
func TestASecondFactorThatCannotBeOpened(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		gone := strings.Repeat("A", 64)
		secret, recovery := f.enrol(f.tokens[store.Viewer])
		f.change(store.Viewer, func(u *store.User) { u.MFA.Secret = gone })
		code := oneTime(t, secret, time.Now().Add(30*time.Second))
		for range 25 { // nobody looks at the code, so nobody counts it
			a := f.logIn(store.Viewer, code)
			f.want(a, 401, "mfa_invalid")
			if !strings.Contains(a.body, "use a recovery code") {
				t.Fatalf("it says %s", a.body)
			}
		}
		if log := f.log.String(); !strings.Contains(log, "clientes user mfa-off") ||
			!strings.Contains(log, "SECRET_PREVIOUS") {
			t.Errorf("the log does not say what to do: %s", log)
		}
		const body = `{"current":"correct horse","code":"%s"}`
		for _, r := range []struct{ method, path string }{
			{"DELETE", "/me/mfa"}, {"POST", "/me/mfa/recovery"},
		} {
			a := f.as(store.Viewer, r.method, r.path, fmt.Sprintf(body, code))
			if f.want(a, 422, "validation_failed"); a.faults() != "code:cannot_be_checked" {
				t.Errorf("%s: %s", r.path, a.faults())
			}
		}
		f.want(f.logIn(store.Viewer, recovery[0]), 200, "")
		f.want(f.as(store.Viewer, "DELETE", "/me/mfa", fmt.Sprintf(body, recovery[1])), 204, "")

		f.want(f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`), 200, "")
		f.change(store.Viewer, func(u *store.User) { u.MFA.Secret = gone })
		a := f.as(store.Viewer, "POST", "/me/mfa/confirm", `{"code":"`+code+`"}`)
		if f.want(a, 422, "validation_failed"); a.faults() != "code:begin_again" {
			t.Errorf("confirmed: %s", a.faults())
		}
		f.enrol(f.tokens[store.Viewer])
	})
}

// Exports and imports are events, also those that are broken off.
func TestTransfersAreEvents(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.want(f.as(store.Editor, "POST", "/clientes/import", "name,email\nAna,a@x.example\nBia,\n",
			"Content-Type", "text/csv", "X-Request-Id", "in"), 200, "")
		f.want(f.as(store.Editor, "POST", "/clientes/import", `{"name":"A","email":"A@x.example"}`,
			"Content-Type", "application/x-ndjson"), 422, "validation_failed")
		f.want(f.as(store.Editor, "GET", "/clientes/export?q=bia", "",
			"Accept", "application/x-ndjson"), 200, "")
		for range 2 {
			f.want(f.as(store.Editor, "GET", "/clientes/export", "", "User-Agent", "thief"),
				200, "")
		}
		f.want(f.as(store.Editor, "HEAD", "/clientes/export", ""), 200, "")
		f.wantAudited("export text/csv, 2 rows; export application/x-ndjson, 1 rows; "+
			"import application/x-ndjson, 0 rows, broken off; import text/csv, 2 rows",
			store.Editor, store.EventExport, store.EventImport)
		events, _ := f.auditPage("/audit?event=export")
		if e := events[0]; e.Count != 2 || e.UserAgent != "thief" || e.ActorID == nil ||
			*e.ActorID != f.users[store.Editor].ID || e.RequestID == "" {
			t.Errorf("the export is %+v", e)
		}
		if events, _ := f.auditPage("/audit?event=import"); events[1].RequestID != "in" {
			t.Errorf("the import is %+v", events[1])
		}
	})
}
