package api

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
)

// device returns the device token in the answer to a login.
func device(t testing.TB, a answer) string {
	t.Helper()
	var in struct {
		Device string `json:"device"`
	}
	authtest.Must(t, json.Unmarshal([]byte(a.body), &in))
	return in.Device
}

func TestTooManyAttempts(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		known := device(t, f.call("POST", "/login", viewerLogin))
		for _, name := range []string{"the-viewer", "nobody"} {
			for range 5 {
				f.want(f.call("POST", "/login", `{"user":"`+name+`","password":"wrong"}`),
					401, "invalid_login")
			}
			for _, password := range []string{"wrong", "correct horse"} {
				a := f.call("POST", "/login", `{"user":"`+name+`","password":"`+password+`"}`)
				f.want(a, 429, "too_many_attempts")
				if a.header.Get("Retry-After") != "1" || !strings.Contains(a.body, `"auth":false`) {
					t.Errorf("Retry-After: %s, %s", a.header.Get("Retry-After"), a.body)
				}
			}
		}
		// A known device does not wait.
		a := f.call("POST", "/login",
			`{"user":"the-viewer","password":"correct horse","device":"`+known+`"}`)
		f.want(a, 200, "")
		if device(t, a) == "" {
			t.Error("a login with a device token returns none")
		}
		form := url.Values{
			"user": {"the-viewer"}, "password": {"correct horse"}, "device": {known},
		}
		f.want(f.call("POST", "/login", form.Encode(), "Content-Type", mediaForm), 200, "")
		// A device token of another user does not help.
		f.want(f.call("POST", "/login",
			`{"user":"nobody","password":"wrong","device":"`+known+`"}`),
			429, "too_many_attempts")
		f.want(f.call("POST", "/login",
			`{"user":"the-viewer","password":"wrong","device":"`+known+`"}`),
			401, "invalid_login")
		for _, c := range []struct{ members, faults string }{
			{`"device":1`, "device:invalid_type"}, {`"code":123456`, "code:invalid_type"},
			{`"code":{},"device":[],"cookie":"x"`,
				"code:invalid_type device:invalid_type cookie:invalid_type"},
			{`"device":null,"code":null`, ""},
		} {
			a := f.call("POST", "/login",
				`{"user":"the-viewer","password":"correct horse",`+c.members+`}`)
			if a.faults() != c.faults {
				t.Errorf("%s is at fault with %q", c.members, a.faults())
			}
		}
	}, stopTheClock)
}

// A wrong current password counts as a failed login on every route that requires it.
func TestAWrongCurrentPasswordCountsAsAFailedLogin(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for i, r := range [][3]string{
			{"POST", "/password", `{"current":"wrong","password":"some quite other words"}`},
			{"POST", "/me/mfa", `{"current":"wrong"}`},
			{"DELETE", "/me/mfa", `{"current":"wrong","code":"123456"}`},
			{"PATCH", "/me", `{"current":"wrong","email":"viewer@example.com"}`},
			{"POST", "/me/mfa", `{"current":"wrong"}`},
		} {
			a := f.as(store.Viewer, r[0], r[1], r[2])
			f.want(a, 422, "validation_failed")
			if a.faults() != "current:wrong_password" {
				t.Errorf("%d: %s %s is at fault with %q", i, r[0], r[1], a.faults())
			}
		}
		f.want(f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`),
			429, "too_many_attempts")
		f.want(f.call("POST", "/login", viewerLogin), 429, "too_many_attempts")
		f.want(f.call("POST", "/login", `{"user":"the-editor","password":"correct horse"}`),
			200, "")
	}, stopTheClock)
}

func TestTheDeviceInACookie(t *testing.T) {
	const own = "http://" + ownHost
	f := onSQLite(t, stopTheClock)
	const login = `{"user":"the-viewer","password":"correct horse","cookie":true}`
	a := f.call("POST", "/login", login, "Origin", own)
	cookies := a.header.Values("Set-Cookie")
	if device(t, a) != "" || len(cookies) != 2 ||
		!strings.HasPrefix(cookies[1], "clientes_device=") {
		t.Fatalf("answered %s and set %q", a.body, cookies)
	}
	for _, part := range []string{
		"; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Max-Age=" + strconv.Itoa(90*24*60*60),
	} {
		if !strings.Contains(cookies[1], part) {
			t.Errorf("%s is not in %s", part, cookies[1])
		}
	}
	known, _, _ := strings.Cut(cookies[1], ";")
	for range 5 {
		f.want(f.call("POST", "/login", `{"user":"the-viewer","password":"wrong"}`),
			401, "invalid_login")
	}
	f.want(f.call("POST", "/login", login, "Origin", own), 429, "too_many_attempts")
	a = f.call("POST", "/login", login, "Origin", own, "Cookie", known)
	f.want(a, 200, "")
	again, _, _ := strings.Cut(a.header.Values("Set-Cookie")[1], ";")
	if id := func(s string) string { return strings.Split(s, ".")[1] }; id(again) != id(known) {
		t.Errorf("another device: %s, then %s", known, again)
	}
	// A wrong current password counts for the device, or without a device token for the session.
	f.want(f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`), 200, "")
	f.want(f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`, "Cookie", known),
		200, "")
	// Neither a refresh nor a logout changes it.
	refresh, _, _ := strings.Cut(a.header.Values("Set-Cookie")[0], ";")
	a = f.call("POST", "/refresh", "", "Origin", own, "Cookie", refresh+"; "+known)
	set := a.header.Values("Set-Cookie")
	if a.status != 200 || len(set) != 1 || device(t, a) != "" {
		t.Errorf("a refresh answered %d and set %q", a.status, set)
	}
	a = f.call("POST", "/logout", "", "Origin", own, "Cookie", refresh+"; "+known)
	set = a.header.Values("Set-Cookie")
	if a.status != 200 || len(set) != 1 || !strings.HasPrefix(set[0], "clientes_refresh=;") {
		t.Errorf("a logout answered %d and set %q", a.status, set)
	}
	// A page that may not use the cookies cannot spend the attempts of the device.
	f.want(f.call("POST", "/login", `{"user":"the-viewer","password":"wrong"}`, "Cookie", known,
		"Origin", "https://evil.example"),
		403, "cross_origin")

	over := onSQLite(t, overHTTPS)
	a = over.call("POST", "/login", login, "Origin", "https://"+ownHost)
	cookies = a.header.Values("Set-Cookie")
	if len(cookies) != 2 || !strings.HasPrefix(cookies[1], "__Host-clientes_device=") ||
		!strings.Contains(cookies[1], "; Secure") {
		t.Errorf("over https it sets %q", cookies)
	}
}

// A browser still has a device token that was cancelled elsewhere. Its session is known all the
// same, so strangers do not keep its user from changing the password.
func TestACancelledDeviceWithASession(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		known := "clientes_device=" + device(t, f.call("POST", "/login", viewerLogin))
		f.want(f.as(store.Viewer, "DELETE", "/me/devices", ""), 204, "")
		for range 5 {
			f.want(f.call("POST", "/login", `{"user":"the-viewer","password":"wrong"}`),
				401, "invalid_login")
		}
		f.want(f.call("POST", "/login", viewerLogin), 429, "too_many_attempts")
		f.want(f.as(store.Viewer, "POST", "/password",
			`{"current":"correct horse","password":"`+goodPassword+`"}`, "Cookie", known), 204, "")
	}, stopTheClock)
}

// A client's network is what a trusted proxy names; of IPv6 it is a /64.
func TestOneNetworkIsSlowed(t *testing.T) {
	f := onSQLite(t, trustLoopback)
	refused := 0
	for i := range 60 {
		a := f.call("POST", "/login", fmt.Sprintf(`{"user":"user%d","password":"wrong"}`, i),
			"X-Forwarded-For", fmt.Sprintf("2001:db8::%x", i+1))
		if a.code() == "too_many_attempts" {
			refused++
		}
	}
	if refused < 8 || refused > 10 {
		t.Errorf("%d of 60 were refused", refused)
	}
	f.want(f.call("POST", "/login", viewerLogin, "X-Forwarded-For", "2001:db8:0:1::1"), 200, "")
}
