package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
	"clientes/store"
)

// mailsTo returns the kinds of the mails in the queue by their recipients, and empties the queue.
func (m *mailing) mailsTo(t testing.TB) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, one := range queued(t, m.store) {
		to := one.To
		if all[to] != "" {
			all[to] += " "
		}
		all[to] += string(one.Kind)
		must(t, m.store.DeleteMail(t.Context(), one.ID))
	}
	return all
}

// takeLinks returns the tokens of the links in the queue by kind and recipient, and empties the
// queue.
func (m *mailing) takeLinks(t testing.TB) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, one := range queued(t, m.store) {
		u, err := m.store.User(t.Context(), one.UserID)
		must(t, err)
		if linkFor(one.Kind) > 0 && one.To != "" && one.LinkGeneration == u.LinkGeneration {
			all[string(one.Kind)+" "+one.To] = m.links.sign(one.Kind, u)
		}
		must(t, m.store.DeleteMail(t.Context(), one.ID))
	}
	return all
}

func wantMails(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: mails %v, want %v", what, got, want)
	}
}

func TestSignUp(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		a.add(t, store.User{Name: "owner", Email: "ana@example.com", Role: store.Admin})
		// Whether the email is somebody's makes no difference, except to its owner.
		for _, name := range []string{"bia", "carla"} {
			u, err := a.SignUp(ctx, name, "Ana@example.com", goodPassword)
			must(t, err)
			if u.Role != store.Viewer || u.Email != "" || u.PendingEmail != "Ana@example.com" ||
				u.Disabled || !matches(u.PasswordHash, goodPassword) {
				t.Errorf("signed up %+v", u)
			}
		}
		links := a.takeLinks(t)
		if len(links) != 1 { // of two to one email
			t.Fatalf("links %v", links)
		}
		var conflict *store.ConflictError
		err := a.ConfirmEmail(ctx, links["confirm Ana@example.com"])
		if !errors.As(err, &conflict) || conflict.Field != "email" {
			t.Errorf("an email that is somebody's is confirmed: %v", err)
		}
		_, err = a.SignUp(ctx, "BIA", "new@example.com", goodPassword)
		if !errors.As(err, &conflict) || conflict.Field != "user" {
			t.Errorf("a name twice: %v", err)
		}
		var invalid *store.InvalidError
		if _, err := a.SignUp(ctx, "b b", "x", "short"); !errors.As(err, &invalid) ||
			len(invalid.Fields) != 3 {
			t.Errorf("every fault at once: %v", err)
		}
		_, err = a.SignUp(ctx, "dora", "zoltrix@example.com", "zoltrix99")
		if !errors.As(err, &invalid) || invalid.Fields[0].Code != "too_guessable" {
			t.Errorf("the user's email as the password: %v", err)
		}
		wantMails(t, "refused", a.mailsTo(t), nil)
		u, err := a.SignUp(ctx, "dora", "", goodPassword)
		must(t, err)
		wantMails(t, "no email", a.mailsTo(t), nil)
		events, err := a.Events(ctx, store.EventFilter{UserID: u.ID}, 0, 10)
		must(t, err)
		if len(events) != 1 || events[0].Kind != store.EventSignup {
			t.Errorf("events %+v", events)
		}

		// Strangers cannot fill somebody's mailbox.
		for i := range 5 {
			_, err := a.SignUp(ctx, fmt.Sprint("eve", i), "victim@example.com", goodPassword)
			must(t, err)
		}
		wantMails(t, "many to one address", a.mailsTo(t),
			map[string]string{"victim@example.com": "confirm confirm confirm"})
	})
}

func TestChangeEmail(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		a := startMailing(t, e, url, c.Now, nil)
		ctx := t.Context()
		ana, me := a.newCaller(t, "ana")
		for _, current := range []string{"", "wrong " + goodPassword} {
			_, err := a.ChangeEmail(ctx, me, "ana@example.com", Proof{Current: current})
			wantFault(t, fmt.Sprintf("with the password %q", current), err, "current")
		}
		_, err := a.ChangeEmail(ctx, me, "ana", Proof{Current: goodPassword})
		wantFault(t, "no address", err, "email")
		wantMails(t, "refused", a.mailsTo(t), nil)

		// There is no old email yet that could get a mail.
		u, err := a.ChangeEmail(ctx, me, "ana@example.com", Proof{Current: goodPassword})
		must(t, err)
		if u.Email != "" || u.PendingEmail != "ana@example.com" {
			t.Errorf("%+v", u)
		}
		links := a.takeLinks(t)
		must(t, a.ConfirmEmail(ctx, links["confirm ana@example.com"]))
		wantMails(t, "the first is confirmed", a.mailsTo(t), nil)
		err = a.ConfirmEmail(ctx, links["confirm ana@example.com"])
		wantError(t, "the link works twice", err, ErrLinkInvalid)

		// The old email gets a mail when another one is requested, and when it is confirmed.
		_, err = a.ChangeEmail(ctx, me, "ana@example.org", Proof{Current: goodPassword})
		must(t, err)
		old := queued(t, a.store)
		links = a.takeLinks(t)
		if len(old) != 2 || !slices.ContainsFunc(old, func(m store.Mail) bool {
			return m.Kind == store.MailEmailChanged && m.To == "ana@example.com"
		}) {
			t.Errorf("mails %+v", old)
		}
		// A link to another email, or for something else, does not confirm it.
		_, err = a.ChangeEmail(ctx, me, "ana@example.net", Proof{Current: goodPassword})
		must(t, err)
		err = a.ConfirmEmail(ctx, links["confirm ana@example.org"])
		wantError(t, "the link to an address that is pending no more", err, ErrLinkInvalid)
		links = a.takeLinks(t)
		err = a.reset(ctx, links["confirm ana@example.net"], "another "+goodPassword)
		wantError(t, "a link to confirm resets the password", err, ErrLinkInvalid)
		must(t, a.ConfirmEmail(ctx, links["confirm ana@example.net"]))
		wantMails(t, "confirmed", a.mailsTo(t),
			map[string]string{"ana@example.com": "email_changed"})
		_, err = a.ChangeEmail(ctx, me, "fourth@example.com", Proof{Current: goodPassword})
		wantError(t, "a fourth new address within an hour", err, ErrTooManyAttempts)
		must(t, a.says(t, me))

		// The same email needs no password, and a mail too many is not sent.
		u, err = a.ChangeEmail(ctx, me, "ana@example.net", Proof{})
		must(t, err)
		if u.Email != "ana@example.net" || u.PendingEmail != "" {
			t.Errorf("%+v", u)
		}
		wantMails(t, "the same again", a.mailsTo(t), nil)
		c.Advance(2 * time.Hour)
		me, _ = a.callerOf(t, "ana", goodPassword)
		_, err = a.ChangeEmail(ctx, me, "last@example.com", Proof{Current: goodPassword})
		must(t, err)
		links = a.takeLinks(t)
		c.Advance(joinFor - time.Second)
		last := links["confirm last@example.com"]
		if err := a.links.checkToken(last, a.user(t, ana.ID), store.MailConfirm); err != nil {
			t.Errorf("within its time: %v", err)
		}
		c.Advance(2 * time.Second)
		err = a.ConfirmEmail(ctx, links["confirm last@example.com"])
		wantError(t, "beyond its time", err, ErrLinkInvalid)
		me, _ = a.callerOf(t, "ana", goodPassword)
		u, err = a.ChangeEmail(ctx, me, "", Proof{Current: goodPassword})
		must(t, err)
		if u.Email != "" || u.PendingEmail != "" {
			t.Errorf("%+v", u)
		}
		wantMails(t, "taken away", a.mailsTo(t),
			map[string]string{"ana@example.net": "email_changed"})
	})
}

// says returns whether the caller's session lives.
func (m *mailing) says(t testing.TB, c Caller) error {
	t.Helper()
	s, err := m.store.Session(t.Context(), c.SessionID)
	must(t, err)
	if !s.Lives(m.cfg.Now()) {
		return ErrTokenRevoked
	}
	return nil
}

func TestChangePassword(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		a.add(t, store.User{Name: "ana", Email: "ana@example.com"})
		const better = "another horse battery"
		me, token := a.callerOf(t, "ana", goodPassword)
		_, other := a.callerOf(t, "ana", goodPassword)
		must(t, a.ForgotPassword(ctx, "ana", ""))
		link := a.takeLinks(t)["reset ana@example.com"]
		var invalid *store.InvalidError
		err := a.ChangePassword(ctx, me, Proof{Current: "wrong " + goodPassword}, better)
		wantFault(t, "a wrong password", err, "current")
		for _, bad := range []string{"short", "password1", "ana@example.com"} {
			err := a.ChangePassword(ctx, me, Proof{Current: goodPassword}, bad)
			if !errors.As(err, &invalid) || invalid.Fields[0].Field != "password" {
				t.Errorf("%q as another: %v", bad, err)
			}
		}
		wantMails(t, "refused", a.mailsTo(t), nil)
		must(t, a.ChangePassword(ctx, me, Proof{Current: goodPassword}, better))
		for _, token := range []string{token, other} {
			_, err = a.Authenticate(ctx, token)
			wantError(t, "at once, a session of before", err, ErrTokenRevoked)
		}
		wantMails(t, "changed", a.mailsTo(t),
			map[string]string{"ana@example.com": "password_changed"})
		wantError(t, "a link of before", a.reset(ctx, link, goodPassword), ErrLinkInvalid)
		if err := a.ChangePassword(ctx, me, Proof{Current: better}, goodPassword); err != nil {
			t.Errorf("who asks is known to the routes: %v", err)
		}

		// A wrong password counts as a failed login, so a right one has to wait some time.
		me, _ = a.callerOf(t, "ana", goodPassword)
		for range 5 {
			err := a.ChangePassword(ctx, me, Proof{Current: "wrong " + goodPassword}, better)
			wantFault(t, "a wrong password", err, "current")
		}
		err = a.ChangePassword(ctx, me, Proof{Current: goodPassword}, better)
		wantError(t, "after five wrong ones", err, ErrTooManyAttempts)
		_, err = a.ChangeEmail(ctx, me, "new@example.com", Proof{Current: goodPassword})
		wantError(t, "after five wrong ones, another email", err, ErrTooManyAttempts)
		_, err = a.Login(ctx, goodLogin("ana"))
		wantError(t, "after five wrong ones, a login", err, ErrTooManyAttempts)
	})
}

// TestAnUpdateDoesNotOutliveTheSessions ends all sessions between the check of the current password
// and the update.
func TestAnUpdateDoesNotOutliveTheSessions(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		u := a.add(t, store.User{Name: "ana"})
		late := a.over(t, lateStore{a.cfg.Store, func() { must(t, a.LogoutEverywhere(ctx, u.ID)) }})
		for name, change := range map[string]func(Caller) error{
			"password": func(c Caller) error {
				proof := Proof{Current: goodPassword}
				return late.ChangePassword(ctx, c, proof, "another "+goodPassword)
			},
			"email": func(c Caller) error {
				_, err := late.ChangeEmail(ctx, c, "ana@example.com", Proof{Current: goodPassword})
				return err
			},
			"second factor": func(c Caller) error {
				_, err := late.BeginMFA(ctx, c, goodPassword)
				return err
			},
		} {
			me, _ := a.callerOf(t, "ana", goodPassword)
			err := change(me)
			if !errors.Is(err, ErrTokenRevoked) {
				t.Errorf("another %s: %v", name, err)
			}
			if now := a.user(t, u.ID); now.PasswordHash != u.PasswordHash ||
				now.PendingEmail != "" {
				t.Errorf("another %s was kept", name)
			}
		}
	})
}

// lateStore does something before each update of a user.
type lateStore struct {
	Store
	before func()
}

func (s lateStore) UpdateUser(
	ctx context.Context, id int64, update func(store.User) (store.User, error),
	effects ...store.EffectsFunc,
) (store.User, []store.Ended, error) {
	s.before()
	return s.Store.UpdateUser(ctx, id, update, effects...)
}

// writingStore notes which of its methods are called, and what they write.
type writingStore struct {
	Store
	calls *[]string
}

func (s writingStore) note(format string, args ...any) {
	*s.calls = append(*s.calls, fmt.Sprintf(format, args...))
}

func (s writingStore) User(ctx context.Context, id int64) (store.User, error) {
	s.note("user")
	return s.Store.User(ctx, id)
}

func (s writingStore) UserByName(ctx context.Context, name string) (store.User, error) {
	s.note("user by one key")
	return s.Store.UserByName(ctx, name)
}

func (s writingStore) UserByEmail(ctx context.Context, email string) (store.User, error) {
	s.note("user by one key")
	return s.Store.UserByEmail(ctx, email)
}

func (s writingStore) Users(ctx context.Context, after int64, limit int) ([]store.User, error) {
	s.note("%d users", limit)
	return s.Store.Users(ctx, after, limit)
}

func (s writingStore) UpdateBuckets(
	ctx context.Context, keys []string, update func([]store.Bucket) error,
) error {
	return s.Store.UpdateBuckets(ctx, keys, func(counts []store.Bucket) error {
		before := append([]store.Bucket(nil), counts...)
		err := update(counts)
		s.note("%d attempts, another row: %t, %v", len(keys),
			counts[0] != before[0] && counts[0].Count > 0, err)
		return err
	})
}

func (s writingStore) QueueMails(ctx context.Context, mails ...store.Mail) error {
	_, err := s.Store.User(ctx, mails[0].UserID)
	s.note("%d mails of kind %s to somebody who is there: %t", len(mails), mails[0].Kind,
		err == nil)
	return s.Store.QueueMails(ctx, mails...)
}

func (s writingStore) RecordEvents(ctx context.Context, events ...store.Event) error {
	s.note("%d events", len(events)) // no client waits for it
	return s.Store.RecordEvents(ctx, events...)
}

// TestForgotDoesTheSameForEverybody asks for users who exist and for others. The store gets the
// same calls and writes the same, so that the time tells nothing either (BenchmarkForgot).
func TestForgotDoesTheSameForEverybody(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		networks := 0
		// The fourth of a network would need a captcha, so each request has one of its own.
		elsewhere := func() context.Context {
			networks++
			ip := fmt.Sprint("192.0.2.", networks)
			return WithOrigin(t.Context(), Origin{IP: ip, RequestID: "r1"})
		}
		ctx := t.Context()
		add := func(u store.User) {
			u.Role, u.PasswordHash = store.Viewer, someHash
			_, err := a.store.CreateUser(ctx, u)
			must(t, err)
		}
		add(store.User{Name: "first"})
		add(store.User{Name: "ana", Email: "ana@example.com"})
		add(store.User{Name: "no-email", PendingEmail: "pending@example.com"})
		add(store.User{Name: "disabled", Email: "disabled@example.com", Disabled: true})
		var want []string
		for i, by := range [][2]string{
			{"ana", ""}, {"nobody", ""}, {"", "ana@example.com"}, {"", "nobody@example.com"},
			{"no-email", ""}, {"disabled", ""}, {"", "pending@example.com"},
			{"", "DISABLED@example.com"}, {"ana", ""}, {"nobody", ""}, {"ANA", ""},
			{"", "Ana@Example.com"},
			{"", "nobody@example.com"}, {"nobody", ""}, {"nobody", ""},
		} {
			var calls []string
			c.Advance(10 * time.Millisecond)
			noted := a.over(t, writingStore{a.cfg.Store, &calls})
			must(t, noted.ForgotPassword(elsewhere(), by[0], by[1]))
			if want == nil {
				want = calls
			}
			if !slices.Equal(calls, want) {
				t.Errorf("%d: %q has the store do\n%s, and the first\n%s", i, by,
					strings.Join(calls, "\n"), strings.Join(want, "\n"))
			}
		}
		if len(want) != 5 || strings.Contains(strings.Join(want, " "), "false") {
			t.Errorf("the store does %q", want)
		}
		mails := a.mailsTo(t)
		wantMails(t, "in an hour", map[string]string{"ana@example.com": mails["ana@example.com"]},
			map[string]string{"ana@example.com": "reset reset reset"})
		delete(mails, "ana@example.com")
		delete(mails, "")
		wantMails(t, "to others", mails, nil)

		// A mail to nobody is not sent.
		must(t, a.ForgotPassword(elsewhere(), "nobody", ""))
		var out authtest.Outbox
		a.sendDue(t, &out)
		if sent := out.Left(); len(sent) > 0 {
			t.Errorf("sent %+v", sent)
		}
		// A text that can be neither a name nor an email is nobody's.
		long := strings.Repeat("a", 1000)
		for _, by := range [][2]string{
			{"\x00", ""}, {long, ""}, {"", "\x00"}, {"", "a@"}, {"", long + "@b"},
		} {
			must(t, a.ForgotPassword(elsewhere(), by[0], by[1]))
		}
		// Nobody gets a fourth mail within an hour, whenever the first three were sent.
		a.mailsTo(t)
		for _, minutes := range []time.Duration{60, 59, 59, 1, 58, 2} {
			c.Advance(minutes * time.Minute)
			must(t, a.ForgotPassword(elsewhere(), "ana", ""))
		}
		wantMails(t, "in three hours", map[string]string{"": a.mailsTo(t)["ana@example.com"]},
			map[string]string{"": "reset reset reset reset"})
	})
}

// TestForgotOfOneNetwork asks for many made-up users: what is queued and counted is bounded.
func TestForgotOfOneNetwork(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		_, err := a.store.CreateUser(t.Context(), store.User{
			Name:         "ana",
			Email:        "ana@example.com",
			Role:         store.Viewer,
			PasswordHash: someHash,
		})
		must(t, err)
		a.guard.captchas.numbers = smallPuzzles
		from := func(ip string) context.Context { return WithOrigin(t.Context(), Origin{IP: ip}) }
		for i := range 200 {
			ctx := from(fmt.Sprintf("2001:db8:1:2::%d", i))
			mustSolve(t, ctx, func(ctx context.Context) error {
				return a.ForgotPassword(ctx, fmt.Sprint("nobody", i), "")
			})
		}
		if mails := queued(t, a.store); len(mails) != 50 {
			t.Errorf("%d mails", len(mails))
		}
		must(t, a.ForgotPassword(from("2001:db8:1:2::1"), "ana", ""))
		must(t, a.ForgotPassword(from("192.0.2.1"), "ana", ""))
		c.Advance(15 * time.Minute)
		must(t, a.ForgotPassword(from("2001:db8:1:2::1"), "ana", ""))
		wantMails(t, "one from each", map[string]string{"": a.mailsTo(t)["ana@example.com"]},
			map[string]string{"": "reset reset"})
	})
}

// TestALinkWorksOnceOverReplicas uses one link many times at once, in two processes.
func TestALinkWorksOnceOverReplicas(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a, b := startMailing(t, e, url, time.Now, nil), startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		u := a.add(t, store.User{Name: "ana", Email: "ana@example.com"})
		must(t, a.ForgotPassword(ctx, "ana", ""))
		must(t, a.ForgotPassword(ctx, "ana", ""))
		token := a.takeLinks(t)["reset ana@example.com"]
		var worked atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			m := []*mailing{a, b}[i%2]
			all.Go(func() {
				another := fmt.Sprintf("%d horse battery staple", i)
				switch err := m.reset(ctx, token, another); {
				case err == nil:
					worked.Add(1)
				case !errors.Is(err, ErrLinkInvalid):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if worked.Load() != 1 {
			t.Errorf("it worked %d times", worked.Load())
		}
		if now := a.user(t, u.ID); now.LinkGeneration != u.LinkGeneration+1 {
			t.Errorf("the generation went from %d to %d", u.LinkGeneration, now.LinkGeneration)
		}
		wantMails(t, "reset", a.mailsTo(t),
			map[string]string{"ana@example.com": "password_changed"})
	})
}

func TestReset(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		ctx := t.Context()
		u, err := a.store.CreateUser(ctx, store.User{
			Name:         "ana",
			Email:        "ana@example.com",
			Role:         store.Editor,
			PasswordHash: someHash,
			MFA:          store.MFA{Secret: "sealed", On: true, Recovery: "x"},
		})
		must(t, err)
		link := func() string {
			t.Helper()
			c.Advance(2 * time.Hour)
			must(t, a.ForgotPassword(ctx, "ana", ""))
			return a.takeLinks(t)["reset ana@example.com"]
		}
		token := link()
		wantFault(t, "a bad password", a.reset(ctx, token, "ana@example.com"), "password")
		err = a.ConfirmEmail(ctx, token)
		wantError(t, "a link to reset confirms an email", err, ErrLinkInvalid)
		must(t, a.reset(ctx, token, "another "+goodPassword)) // the link is still good
		now := a.user(t, u.ID)
		if now.MFA != u.MFA || now.Role != u.Role || now.Email != u.Email ||
			now.Generation != u.Generation+1 {
			t.Errorf("from %+v to %+v", u, now)
		}
		events, err := a.Events(ctx,
			store.EventFilter{UserID: u.ID, Kind: store.EventPasswordReset}, 0, 10)
		must(t, err)
		if len(events) != 1 {
			t.Errorf("events %+v", events)
		}
		token = link()
		c.Advance(resetFor)
		err = a.reset(ctx, token, goodPassword)
		wantError(t, "after half an hour", err, ErrLinkInvalid)
		token = link()
		must(t, a.accounts.Disable(ctx, "ana"))
		must(t, a.accounts.Enable(ctx, "ana"))
		err = a.reset(ctx, token, goodPassword)
		wantError(t, "after the user was disabled", err, ErrLinkInvalid)
		token = link()
		must(t, a.accounts.Delete(ctx, "ana"))
		err = a.reset(ctx, token, goodPassword)
		wantError(t, "after the user was deleted", err, ErrLinkInvalid)
	})
}

// TestUsersOfAdmins makes and changes users as an admin does.
func TestUsersOfAdmins(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		ctx := t.Context()
		var invalid *store.InvalidError
		_, err := a.AddUser(ctx, store.User{Name: "a b", Role: "root"}, "")
		if !errors.As(err, &invalid) || len(invalid.Fields) != 3 {
			t.Errorf("neither a password nor an email, and more: %v", err)
		}
		_, err = a.AddUser(ctx, store.User{Name: "bia", Role: store.Editor}, goodPassword)
		must(t, err)
		wantMails(t, "with a password", a.mailsTo(t), nil)

		ana, err := a.AddUser(ctx,
			store.User{Name: "ana", Email: "typo@example.com", Role: store.Admin}, "")
		must(t, err)
		if ana.Email != "typo@example.com" || ana.PasswordHash != "" {
			t.Errorf("invited %+v", ana)
		}
		first := a.takeLinks(t)["invitation typo@example.com"]
		_, err = a.Login(ctx, LoginRequest{User: "ana", Password: ""})
		wantError(t, "who has no password yet logs in", err, ErrInvalidLogin)
		edit := func(f func(*store.User)) (store.User, error) {
			return a.ChangeUser(ctx, ana.ID,
				func(u store.User) (store.User, error) { f(&u); return u, nil })
		}
		_, err = edit(func(u *store.User) { u.Email = "ana@example.com" })
		must(t, err)
		links := a.takeLinks(t)
		err = a.reset(ctx, first, goodPassword)
		wantError(t, "the invitation to another address", err, ErrLinkInvalid)
		c.Advance(joinFor - 10*time.Minute) // a hash takes some time
		second := links["invitation ana@example.com"]
		must(t, a.reset(ctx, second, goodPassword))
		wantMails(t, "a first password", a.mailsTo(t), nil)
		err = a.reset(ctx, second, goodPassword)
		wantError(t, "an invitation twice", err, ErrLinkInvalid)
		for what, f := range map[string]func(*store.User){
			"demoted":  func(u *store.User) { u.Role = store.Viewer },
			"disabled": func(u *store.User) { u.Disabled = true },
		} {
			if _, err := edit(f); !errors.Is(err, store.ErrLastAdmin) {
				t.Errorf("the last admin is %s: %v", what, err)
			}
		}
		wantError(t, "the last admin is deleted", a.DeleteUser(ctx, ana.ID), store.ErrLastAdmin)
		if _, err := edit(func(u *store.User) { u.Email = "x" }); !errors.As(err, &invalid) {
			t.Errorf("no email: %v", err)
		}
		// An email that an admin sets is confirmed, and cancels a pending one.
		a.change(t, ana, func(u *store.User) { u.PendingEmail = "new@example.com" })
		u, err := edit(func(u *store.User) { u.Email = "ana@example.org" })
		must(t, err)
		if u.Email != "ana@example.org" || u.PendingEmail != "" {
			t.Errorf("%+v", u)
		}
		wantMails(t, "another email", a.mailsTo(t),
			map[string]string{"ana@example.com": "email_changed"})

		// In this process sessions have ended when the call returns.
		change := func(id int64, update func(*store.User)) error {
			_, err := a.ChangeUser(ctx, id, func(u store.User) (store.User, error) {
				update(&u)
				return u, nil
			})
			return err
		}
		for what, end := range map[string]func(id int64) error{
			"role": func(id int64) error {
				return change(id, func(u *store.User) { u.Role = store.Editor })
			},
			"disabled": func(id int64) error {
				return change(id, func(u *store.User) { u.Disabled = true })
			},
			"deleted": func(id int64) error { return a.DeleteUser(ctx, id) },
		} {
			u, err := a.AddUser(ctx, store.User{Name: "of-" + what, Role: store.Viewer},
				goodPassword)
			must(t, err)
			_, token := a.callerOf(t, u.Name, goodPassword)
			must(t, end(u.ID))
			if _, err := a.Authenticate(ctx, token); !errors.Is(err, ErrTokenRevoked) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// TestStrangersDoNotKeepTheOwnerFromAChange blocks a name from elsewhere. Its owner, who has a
// session, changes the password.
func TestStrangersDoNotKeepTheOwnerFromAChange(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		_, me := a.newCaller(t, "ana")
		stranger := WithOrigin(ctx, Origin{IP: "198.51.100.7"})
		for range 5 {
			_, err := a.Login(stranger, LoginRequest{User: "ana", Password: "wrong"})
			wantError(t, "a stranger", err, ErrInvalidLogin)
		}
		_, err := a.Login(stranger, goodLogin("ana"))
		wantError(t, "the name is not blocked", err, ErrTooManyAttempts)
		must(t, a.ChangePassword(ctx, me, Proof{Current: goodPassword}, "another "+goodPassword))
	})
}

// TestADeviceTokenThatIsNotGood checks that a session is known by itself if its client has the
// device token of another user, or one that was cancelled.
func TestADeviceTokenThatIsNotGood(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		p := start(t, e, url, atClock(authtest.StoppedAt(someDay)))
		ana, me := p.newCaller(t, "ana")
		bia := p.add(t, store.User{Name: "bia"})
		cancelled := signDeviceToken(p.keys, ana, token.NewID(), p.store.Now())
		must(t, p.CancelDevices(t.Context(), me))
		p.blocked(t, "ana")
		for name, device := range map[string]string{
			"cancelled":      cancelled,
			"another user's": signDeviceToken(p.keys, bia, token.NewID(), p.store.Now()),
		} {
			ctx := WithOrigin(t.Context(), Origin{IP: "192.0.2.1", Device: device})
			if _, err := p.BeginMFA(ctx, me, goodPassword); err != nil {
				t.Errorf("with a device token that is %s: %v", name, err)
			}
		}
	})
}

// TestSignUpsOfOneNetwork checks that one network cannot sign up without end, whatever it sends.
func TestSignUpsOfOneNetwork(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		a.guard.captchas.numbers = smallPuzzles
		from := func(ctx context.Context, ip, given string) error {
			_, err := a.SignUp(WithOrigin(ctx, Origin{IP: ip}), "ana", "", given)
			return err
		}
		var invalid *store.InvalidError
		for range askedLimit.Free {
			err := withSolution(t, t.Context(), func(ctx context.Context) error {
				return from(ctx, "198.51.100.7", "short")
			})
			if !errors.As(err, &invalid) {
				t.Errorf("too short a password: %v", err)
			}
		}
		var many *TooManyError
		err := from(t.Context(), "198.51.100.7", goodPassword)
		if !errors.As(err, &many) || !many.Asked || many.Wait <= 0 ||
			errors.Is(err, ErrCaptchaRequired) {
			t.Errorf("one more: %v", err)
		}
		must(t, from(t.Context(), "203.0.113.9", goodPassword))
	})
}
