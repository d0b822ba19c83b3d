package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/store"
)

func TestStrangersDoNotKeepOutAKnownDevice(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		const home, cafe = "192.0.2.1", "203.0.113.1"
		right, wrong := goodLogin("ana"), LoginRequest{User: "ana", Password: "wrong"}
		laptop := p.wantTry(t, home, right, "in").Device
		phone := p.wantTry(t, home, right, "in").Device
		if laptop == phone || laptop == "" {
			t.Fatalf("the device tokens are %q and %q", laptop, phone)
		}
		for range 5 {
			p.wantTry(t, cafe, wrong, "wrong")
		}
		p.wantTry(t, home, right, "wait 1")
		again := p.wantTry(t, cafe, right.withDevice(laptop), "in").Device
		if again == laptop && c.Now() != someDay {
			t.Error("the device token was not renewed")
		}
		// It does not clear the failures of strangers.
		p.wantTry(t, home, right, "wait 1")

		// A device has a bucket of its own, and clears it.
		for range 5 {
			p.wantTry(t, home, wrong.withDevice(laptop), "wrong")
		}
		p.wantTry(t, cafe, right.withDevice(laptop), "wait 1")
		p.wantTry(t, home, right.withDevice(phone), "in")
		c.Advance(time.Second)
		p.wantTry(t, home, wrong.withDevice(laptop), "wrong")
		p.wantTry(t, home, wrong.withDevice(laptop), "wait 2")
		c.Advance(2 * time.Second)
		p.wantTry(t, home, right.withDevice(laptop), "in")
		for range 5 {
			p.wantTry(t, home, wrong.withDevice(laptop), "wrong")
		}
		p.wantTry(t, home, right.withDevice(laptop), "wait 1")
	})
}

// TestDisablingCancelsDeviceTokens is for accounts that somebody else had when they were disabled.
func TestDisablingCancelsDeviceTokens(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		p.add(t, store.User{Name: "ana"})
		laptop := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in").Device
		must(t, p.accounts.Disable(t.Context(), "ana"))
		must(t, p.accounts.Enable(t.Context(), "ana"))
		for range 5 {
			p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}, "wrong")
		}
		p.wantTry(t, "192.0.2.1", goodLogin("ana").withDevice(laptop), "wait 1")
	})
}

// TestAKnownDeviceOnASlowedNetwork checks that a known device does not wait for its network, and
// does not count against it.
func TestAKnownDeviceOnASlowedNetwork(t *testing.T) {
	e := authtest.SQLite()
	c := authtest.StoppedAt(someDay)
	p := start(t, e, e.Migrated(t), atClock(c))
	p.add(t, store.User{Name: "ana"})
	p.add(t, store.User{Name: "bia"})
	laptop := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in").Device
	for i := range 45 {
		try, err := p.guard.reserveLogin(from(t.Context(), "192.0.2.1"), store.User{},
			fmt.Sprint("user", i), "")
		must(t, err)
		must(t, try.Fail(t.Context()))
	}
	for range 5 {
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "ana", Password: "wrong"}.withDevice(laptop),
			"wrong")
	}
	for range 5 {
		p.wantTry(t, "192.0.2.1", LoginRequest{User: "bia", Password: "wrong"}, "wrong")
	}
	p.wantTry(t, "192.0.2.1", LoginRequest{User: "caio", Password: "wrong"}, "wait 1")
	c.Advance(100 * time.Millisecond)
	p.wantTry(t, "192.0.2.1", goodLogin("ana").withDevice(laptop), "wait 1") // its own
	other := p.wantTry(t, "192.0.2.2", goodLogin("ana"), "in").Device
	p.wantTry(t, "192.0.2.1", goodLogin("ana").withDevice(other), "in")
}

func TestAllDevicesHaveFiftyFailuresADay(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		p := start(t, e, url, atClock(c))
		ana := p.add(t, store.User{Name: "ana"})
		wrong := LoginRequest{User: "ana", Password: "wrong"}
		fresh := func() string { // as if a thief had collected many
			return signDeviceToken(p.keys, ana, token.NewID(), c.Now())
		}
		for i := range 50 {
			if i%5 == 0 {
				wrong.Device = fresh()
			}
			p.wantTry(t, "192.0.2.1", wrong, "wrong")
		}
		// From now on a device token is worth nothing: its client is a stranger.
		for range 5 {
			wrong.Device = fresh()
			p.wantTry(t, "192.0.2.1", wrong, "wrong")
		}
		wrong.Device = fresh()
		p.wantTry(t, "192.0.2.1", wrong, "wait 1")
		right := goodLogin("ana").withDevice(fresh())
		p.wantTry(t, "192.0.2.1", right, "wait 1")
		c.Advance(time.Second)
		p.wantTry(t, "192.0.2.1", right, "in")
		c.Advance(24*time.Hour - 2*time.Second)
		for range 5 {
			p.wantTry(t, "192.0.2.1", wrong, "wrong")
		}
		p.wantTry(t, "192.0.2.1", wrong, "wait 1")
		c.Advance(time.Second)
		wrong.Device = fresh() // another day
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
		p.wantTry(t, "192.0.2.1", wrong, "wrong")
	})
}

func TestWhichDeviceTokensAreGood(t *testing.T) {
	e := authtest.SQLite()
	c := authtest.StoppedAt(someDay)
	url := e.Migrated(t)
	p := start(t, e, url, atClock(c))
	rotated := start(t, e, url, atClock(c), withSecrets(otherSecret, testSecret))
	dropped := start(t, e, url, atClock(c), withSecrets(otherSecret))
	ana, bia := p.add(t, store.User{Name: "ana"}), p.add(t, store.User{Name: "bia"})
	laptop := p.wantTry(t, "192.0.2.1", goodLogin("ana"), "in").Device
	if len(laptop) > 100 {
		t.Errorf("the device token is %q", laptop)
	}
	good := func(p *process, deviceToken string, u store.User) bool {
		d, ok := parseDeviceToken(p.keys, deviceToken)
		return ok && d.good(u, c.Now())
	}
	changed := ana
	changed.DeviceGeneration++
	parts := strings.Split(laptop, ".")
	forge := func(i int, text string) string {
		other := append([]string{}, parts...)
		other[i] = text
		return strings.Join(other, ".")
	}
	for name, is := range map[string][2]bool{
		"the token itself":           {good(p, laptop, ana), true},
		"another user":               {good(p, laptop, bia), false},
		"nobody":                     {good(p, laptop, store.User{}), false},
		"all tokens cancelled":       {good(p, laptop, changed), false},
		"under a previous secret":    {good(rotated, laptop, ana), true},
		"under a secret that is not": {good(dropped, laptop, ana), false},
		"another user's id":          {good(p, forge(0, fmt.Sprint(bia.ID)), bia), false},
		"another device":             {good(p, forge(1, token.NewID()), ana), false},
		"another generation":         {good(p, forge(2, "1"), changed), false},
		"another time":               {good(p, forge(3, "1895384956"), ana), false},
		"half of the MAC":            {good(p, laptop[:len(laptop)-20], ana), false},
		"something behind it":        {good(p, laptop+".x", ana), false},
		"nothing":                    {good(p, "", ana), false},
		"dots":                       {good(p, "....", ana), false},
		"too long":                   {good(p, strings.Repeat("a", 300), ana), false},
		"a refresh token":            {good(p, signRefreshToken(p.keys, parts[1], 0), ana), false},
	} {
		if is[0] != is[1] {
			t.Errorf("%s is good: %t", name, is[0])
		}
	}
	c.Advance(DeviceTokenTTL - time.Millisecond)
	if !good(p, laptop, ana) {
		t.Error("the device token is not good for 90 days")
	}
	renewed := rotated.wantTry(t, "192.0.2.1", goodLogin("ana").withDevice(laptop), "in").Device
	c.Advance(time.Millisecond)
	if good(p, laptop, ana) {
		t.Error("the device token is good for more than 90 days")
	}
	if !good(dropped, renewed, ana) || strings.Split(renewed, ".")[1] != parts[1] {
		t.Errorf("the device token was not renewed under the new secret for the same device: %s", renewed)
	}
}
