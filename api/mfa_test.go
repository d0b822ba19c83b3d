package api

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
)

// oneTime returns the code of a secret at a time, as an authenticator app does.
func oneTime(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	authtest.Must(t, err)
	h := hmac.New(sha1.New, key)
	authtest.Must(t, binary.Write(h, binary.BigEndian, at.Unix()/30))
	sum := h.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

func TestSecondFactor(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.want(f.as(store.Viewer, "POST", "/me/mfa/confirm", `{"code":"123456"}`), 404, "not_found")
		f.want(f.as(store.Viewer, "DELETE", "/me/mfa",
			`{"current":"correct horse","code":"123456"}`),
			404, "not_found")
		a := f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`)
		f.want(a, 200, "")
		var enrolment struct {
			Secret string `json:"secret"`
			URI    string `json:"uri"`
			QR     string `json:"qr"`
			QRSize int    `json:"qr_size"`
		}
		authtest.Must(t, json.Unmarshal([]byte(a.body), &enrolment))
		if path, size, err := drawQR(enrolment.URI); err != nil || enrolment.QR != path ||
			enrolment.QRSize != size {
			t.Errorf("the QR code of %d is %.100s, %v", enrolment.QRSize, enrolment.QR, err)
		}
		uri := "otpauth://totp/clientes:the-viewer?secret=" + enrolment.Secret + "&issuer=clientes&"
		if !strings.HasPrefix(enrolment.URI, uri) {
			t.Errorf("the URI is %s", enrolment.URI)
		}
		a = f.as(store.Viewer, "POST", "/me/mfa/confirm", `{"code":"abcdef"}`)
		f.want(a, 422, "validation_failed")
		if a.faults() != "code:wrong_code" {
			t.Errorf("faults %q", a.faults())
		}
		now := f.server.cfg.Now()
		a = f.as(store.Viewer, "POST", "/me/mfa/confirm",
			`{"code":"`+oneTime(t, enrolment.Secret, now)+`"}`)
		f.want(a, 200, "")
		var recovery struct {
			Codes []string `json:"recovery_codes"`
		}
		authtest.Must(t, json.Unmarshal([]byte(a.body), &recovery))
		if !userOf(t, f.as(store.Viewer, "GET", "/me", "")).MFA {
			t.Error("GET /me tells of no second factor")
		}
		a = f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`)
		f.want(a, 409, "conflict")
		if a.faults() != "mfa:taken" {
			t.Errorf("faults %q", a.faults())
		}
		f.want(f.as(store.Viewer, "POST", "/me/mfa/confirm", `{"code":"123456"}`), 409, "conflict")

		const login = `{"user":"the-viewer","password":"correct horse"%s}`
		a = f.call("POST", "/login", fmt.Sprintf(login, ""))
		f.want(a, 401, "mfa_required")
		got := a.header.Get("WWW-Authenticate")
		if got != `Bearer realm="clientes"` || !strings.Contains(a.body, `"auth":false`) {
			t.Errorf("WWW-Authenticate: %s, %s", got, a.body)
		}
		f.want(f.call("POST", "/login", fmt.Sprintf(login, `,"code":""`)), 401, "mfa_required")
		// The code was used.
		f.want(f.call("POST", "/login",
			fmt.Sprintf(login, `,"code":"`+oneTime(t, enrolment.Secret, now)+`"`)),
			401, "mfa_invalid")
		f.want(f.call("POST", "/login",
			`{"user":"the-viewer","password":"wrong","code":"`+recovery.Codes[0]+`"}`),
			401, "invalid_login")
		next := oneTime(t, enrolment.Secret, now.Add(30*time.Second))
		f.want(f.call("POST", "/login", fmt.Sprintf(login, `,"code":"`+next+`"`)), 200, "")
		f.want(f.call("POST", "/login",
			"user=the-viewer&password=correct+horse&code="+recovery.Codes[0],
			"Content-Type", mediaForm),
			200, "")
		f.want(f.call("POST", "/login", fmt.Sprintf(login, `,"code":"`+recovery.Codes[0]+`"`)),
			401, "mfa_invalid")

		for body, faults := range map[string]string{
			`{}`:                          "current:required code:required",
			`{"current":"correct horse"}`: "code:required",

			`{"current":"correct horse","code":"x"}`:      "code:wrong_code",
			`{"current":"correct horse","code":"","x":1}`: "x:unknown_member code:required",
		} {
			a := f.as(store.Viewer, "DELETE", "/me/mfa", body)
			if a.status != 422 || a.faults() != faults {
				t.Errorf("%s is at fault with %d %q", body, a.status, a.faults())
			}
		}
		a = f.as(store.Editor, "POST", "/me/mfa", `{"current":"correct horse","code":"1"}`)
		if a.faults() != "code:unknown_member" {
			t.Errorf("faults %q", a.faults())
		}
		f.want(f.as(store.Viewer, "DELETE", "/me/mfa",
			`{"current":"correct horse","code":"`+recovery.Codes[1]+`"}`),
			204, "")
		f.want(f.call("POST", "/login", fmt.Sprintf(login, "")), 200, "")

		// An admin helps a user who has lost the device.
		a = f.as(store.Viewer, "POST", "/me/mfa", `{"current":"correct horse"}`)
		authtest.Must(t, json.Unmarshal([]byte(a.body), &enrolment))
		f.want(f.as(store.Viewer, "POST", "/me/mfa/confirm",
			`{"code":"`+oneTime(t, enrolment.Secret, now)+`"}`),
			200, "")
		f.want(f.call("POST", "/login", fmt.Sprintf(login, "")), 401, "mfa_required")
		path := fmt.Sprintf("/users/%d/mfa", f.users[store.Viewer].ID)
		f.want(f.as(store.Editor, "DELETE", path, ""), 403, "forbidden")
		f.want(f.as(store.Admin, "DELETE", path, ""), 204, "")
		f.want(f.as(store.Admin, "DELETE", "/users/99999/mfa", ""), 404, "not_found")
		f.want(f.call("POST", "/login", fmt.Sprintf(login, "")), 200, "")
	}, stopTheClock)
}
