package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

func TestUserApply(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 0, 0, 123_456_789, time.FixedZone("", -3*60*60))
	old := store.User{
		ID: 1, Name: "ana", Email: "ana@example.com", PendingEmail: "ana@example.org",
		Role: store.Editor, PasswordHash: "hash",
		MFA:        store.MFA{Secret: "sealed", On: true, LastStep: 5, Recovery: "one two"},
		Generation: 10, LinkGeneration: 20, DeviceGeneration: 30,
		CreatedAt: store.Instant(at.Add(-2 * time.Hour)),
		UpdatedAt: store.Instant(at.Add(-time.Hour)),
	}
	for _, c := range []struct {
		name    string
		update  func(*store.User)
		ends    bool // all sessions
		links   bool // are cancelled
		devices bool // are cancelled
		quiet   bool // UpdatedAt stays
	}{
		{name: "nothing", update: func(*store.User) {}, quiet: true},
		{name: "what stays", update: func(u *store.User) {
			u.ID, u.Name, u.Generation, u.CreatedAt, u.UpdatedAt = 9, "x", 9, at, at
		}, quiet: true},
		{
			name:   "password",
			update: func(u *store.User) { u.PasswordHash = "x" },
			ends:   true,
			links:  true,
		},
		{name: "role", update: func(u *store.User) { u.Role = store.Admin }, ends: true},
		{
			name:   "disabled",
			update: func(u *store.User) { u.Disabled = true },
			ends:   true,
			links:  true,
		},
		{name: "email", update: func(u *store.User) { u.Email = "x@example.com" }, links: true},
		{name: "no email", update: func(u *store.User) { u.Email = "" }, links: true},
		{
			name:   "email in another case",
			update: func(u *store.User) { u.Email = "Ana@example.com" },
			links:  true,
		},
		{name: "pending email", update: func(u *store.User) { u.PendingEmail = "x@example.org" }},
		{name: "another secret", update: func(u *store.User) { u.MFA.Secret = "x" }},
		{name: "no second factor", update: func(u *store.User) { u.MFA = store.MFA{} }},
		{name: "a code", update: func(u *store.User) { u.MFA.LastStep = 6 }, quiet: true},
		{
			name:   "a recovery code",
			update: func(u *store.User) { u.MFA.Recovery = "two" },
			quiet:  true,
		},
		{name: "links", update: func(u *store.User) { u.LinkGeneration = 99 }, links: true},
		{name: "links, back", update: func(u *store.User) { u.LinkGeneration = 0 }, links: true},
		{name: "links, and a password", update: func(u *store.User) {
			u.LinkGeneration,
				u.PasswordHash = 99, "x"
		}, ends: true, links: true},
		{
			name:    "device tokens",
			update:  func(u *store.User) { u.DeviceGeneration = 99 },
			devices: true,
		},
	} {
		n := old
		c.update(&n)
		want := n
		want.ID, want.Name = old.ID, old.Name
		want.CreatedAt, want.UpdatedAt = old.CreatedAt, old.UpdatedAt
		want.Generation, want.LinkGeneration = old.Generation, old.LinkGeneration
		want.DeviceGeneration = old.DeviceGeneration
		for generation, raised := range map[*int64]bool{
			&want.Generation: c.ends, &want.LinkGeneration: c.links,
			&want.DeviceGeneration: c.devices,
		} {
			if raised {
				*generation++
			}
		}
		if !c.quiet {
			want.UpdatedAt = store.Instant(at)
		}
		if got := old.Apply(n, at); got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.name, got, want)
		}
		want.UpdatedAt = old.UpdatedAt
		if got := old.Apply(n, at.Add(-24*time.Hour)); got != want {
			t.Errorf("%s, by a clock that is behind:\n got %+v\nwant %+v", c.name, got, want)
		}
	}

	n := old
	n.Email = old.PendingEmail
	if got := old.Apply(n, at); got.Email != "ana@example.org" || got.PendingEmail != "" {
		t.Errorf("a confirmed email is still pending: %+v", got)
	}
	enabled := old
	old.Disabled = true
	got := old.Apply(enabled, at)
	if got.Generation != old.Generation || got.LinkGeneration != old.LinkGeneration {
		t.Errorf("enabled: %+v", got)
	}
}

func TestEffectsAreOfTheUser(t *testing.T) {
	events := []store.Event{{UserID: 5, Kind: store.EventSignup}}
	effects := func(old, now store.User) store.Effects {
		mail := store.Mail{UserID: 5, To: fmt.Sprint(old.Name, "+", now.Name)}
		return store.Effects{Mails: []store.Mail{mail}, Events: events}
	}
	got := store.EffectsOf(store.User{Name: "old"}, store.User{ID: 7, Name: "new"},
		[]store.EffectsFunc{effects, effects})
	want := store.Effects{
		Mails: []store.Mail{{UserID: 7, To: "old+new"}, {UserID: 7, To: "old+new"}},
		Events: []store.Event{{UserID: 7, Kind: store.EventSignup},
			{UserID: 7, Kind: store.EventSignup}},
	}
	if !slices.Equal(got.Mails, want.Mails) || !slices.Equal(got.Events, want.Events) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if events[0].UserID != 5 {
		t.Error("the events of the function were written to")
	}
}

func TestMailWaits(t *testing.T) {
	var all time.Duration
	for tries, want := range map[int64]time.Duration{
		0: 15 * time.Second, 1: 15 * time.Second, 2: 30 * time.Second, 3: time.Minute,
		10: 128 * time.Minute,
		11: 4 * time.Hour, 12: 4 * time.Hour, 1 << 60: 4 * time.Hour,
	} {
		if got := (store.Mail{Tries: tries}).Wait(); got != want {
			t.Errorf("after try %d it waits %s, want %s", tries, got, want)
		}
	}
	for tries := int64(1); tries < store.MaxMailTries; tries++ {
		all += store.Mail{Tries: tries}.Wait()
	}
	if all < 16*time.Hour || all > 17*time.Hour {
		t.Errorf("all in all it waits %s", all)
	}
}

func TestUserName(t *testing.T) {
	long := strings.Repeat("a", 64) + "@" + strings.Repeat(strings.Repeat("b", 46)+".", 4) + "c"
	for _, c := range []struct {
		name, sent, want string
		ok               bool
	}{
		{"plain", "Ana.Maria_1+x-y", "Ana.Maria_1+x-y", true},
		{"J1 trailing space", "ana ", "ana", true},
		{"white space around it", "\t\u00a0ana\r\n", "ana", true},
		{"64", strings.Repeat("a", 64), strings.Repeat("a", 64), true},
		{"65", strings.Repeat("a", 65), strings.Repeat("a", 65), false},
		{"no address, but plain", "a@b@c", "a@b@c", true},
		{"O8 apostrophe", "o'brien@example.com", "o'brien@example.com", true},
		{"O9 long", "first.middle.last.person@department.faculty.university-hospital.example.org",
			"first.middle.last.person@department.faculty.university-hospital.example.org", true},
		{"254 bytes", long, long, len(long) == store.MaxEmail},
		{"255 bytes", "x" + long, "x" + long, false},
		{"other signs of an address", "a!#$%&*/=?^`{|}~b@example.com",
			"a!#$%&*/=?^`{|}~b@example.com", true},
		{"UTF-8", "jos\u00e9@example.com", "jos\u00e9@example.com", true},
		{"NFD", "jose\u0301@example.com", "jos\u00e9@example.com", true},
		{"O9 no address", "jos\u00e9", "jos\u00e9", false},
		{"a space", "ana maria", "ana maria", false},
		{"a space in an address", "ana maria@example.com", "ana maria@example.com", false},
		{"a name before the address", "Ana <ana@example.com>", "Ana <ana@example.com>", false},
		{"a quoted local part", `"ana"@example.com`, `"ana"@example.com`, false},
		{"nothing", " ", "", false},
		{"no text", "an\xff", "an\xff", false},
		{"NUL", "ana\x00", "ana\x00", false},
	} {
		name, ok := store.UserName(c.sent)
		if ok != c.ok || ok && name != c.want {
			t.Errorf("%s: %+q, %t", c.name, name, ok)
		}
		u, err := store.User{Name: c.sent, Role: store.Viewer}.Validate()
		if (err == nil) != c.ok || ok && u.Name != c.want {
			t.Errorf("%s: a user with it is %+q, %v", c.name, u.Name, err)
		}
	}
}

// TestNameKey checks that every spelling of a name has the key of the form that is kept. Otherwise
// the spellings of somebody's name would be counted together, and those of nobody's one by one.
func TestNameKey(t *testing.T) {
	for _, spellings := range [][]string{
		{"ana", " ANA\n", "Ana\u200b"},
		{"jos\u00e9@example.com", "JOSE\u0301@example.com"},
		{"\u1fb4@example.com", "\u03b1\u0301\u0345@example.com", "\u03b1\u0345\u0301@example.com"},
		{"stra\u00dfe@example.com", "STRASSE@example.com"},
		{"\u03bf\u03c3@example.com", "\u039f\u03a3@example.com", "\u03bf\u03c2@example.com"},
	} {
		for _, spelling := range spellings {
			kept, ok := store.UserName(spelling)
			key := store.NameKey(spelling)
			if !ok || key != store.NameKey(kept) || key != store.NameKey(spellings[0]) {
				t.Errorf("%+q has the key %+q, and is kept as %+q", spelling, key, kept)
			}
		}
	}
}
