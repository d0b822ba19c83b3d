package auth

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"clientes/store"
)

// TestStrangersDoNotKeepTheOwnerFromAChange blocks a name from elsewhere, and has who is logged in change the password.
func TestStrangersDoNotKeepTheOwnerFromAChange(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		_, err := a.accounts.Add(ctx, store.User{Name: "ana", Role: store.Viewer}, password)
		must(t, err)
		me, _ := a.callerOf(t, "ana", password)
		stranger := WithOrigin(ctx, Origin{IP: "198.51.100.7"})
		for range 5 {
			if _, err := a.Login(stranger, LoginRequest{User: "ana", Password: "wrong"}); !errors.Is(err, ErrInvalidLogin) {
				t.Errorf("a stranger: %v", err)
			}
		}
		if _, err := a.Login(stranger, LoginRequest{User: "ana", Password: password}); !errors.Is(err, ErrTooManyAttempts) {
			t.Errorf("the name is not blocked: %v", err)
		}
		must(t, a.ChangePassword(ctx, me, password, "another "+password))
	})
}

// TestSignUpsOfOneAddress holds that one address can not sign up without end, whatever it sends.
func TestSignUpsOfOneAddress(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		from := func(ip, password string) error {
			_, err := a.SignUp(WithOrigin(t.Context(), Origin{IP: ip}), "ana", "", password)
			return err
		}
		var invalid *store.InvalidError
		for range askedLimit.free {
			if err := from("198.51.100.7", "short"); !errors.As(err, &invalid) {
				t.Errorf("too short a password: %v", err)
			}
		}
		var many *TooManyError
		if err := from("198.51.100.7", password); !errors.As(err, &many) || !many.Asked || many.Wait <= 0 {
			t.Errorf("one more: %v", err)
		}
		must(t, from("203.0.113.9", password))
	})
}

// TestALongPasswordKeepsItsBcrypt holds that what bcrypt has not looked at becomes no part of a password.
func TestALongPasswordKeepsItsBcrypt(t *testing.T) {
	long := strings.Repeat("ж", maxBcryptLen/2)
	hash, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
	must(t, err)
	for password, want := range map[string]bool{long: true, long + " and a slip": false} {
		if !verifyPassword(string(hash), password) || replaceable(string(hash), password) != want {
			t.Errorf("a password of %d bytes: %t", len(password), replaceable(string(hash), password))
		}
	}
	if replaceable(hashPassword(long), long) {
		t.Error("a hash of today is replaced")
	}
}

// TestCodesThatConfirmCount holds that a second factor can not be set up by trying all codes.
func TestCodesThatConfirmCount(t *testing.T) {
	onEachStore(t, func(t *testing.T, e engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		_, err := a.accounts.Add(ctx, store.User{Name: "ana", Role: store.Viewer}, password)
		must(t, err)
		me, _ := a.callerOf(t, "ana", password)
		_, err = a.BeginMFA(ctx, me, password)
		must(t, err)
		var invalid *store.InvalidError
		for range codesLimit.free {
			if _, err := a.ConfirmMFA(ctx, me, "no code"); !errors.As(err, &invalid) {
				t.Errorf("a wrong code: %v", err)
			}
		}
		if _, err := a.ConfirmMFA(ctx, me, "no code"); !errors.Is(err, ErrTooManyAttempts) {
			t.Errorf("one more: %v", err)
		}
	})
}
