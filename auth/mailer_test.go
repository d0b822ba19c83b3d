package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/store"
)

// smtpTo returns a Sender that sends by a server.
func smtpTo(t testing.TB, s *authtest.MailServer) Sender {
	t.Helper()
	server, err := mail.ParseServer(s.URL())
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Certificate())
	return mail.NewSMTP(mail.Config{
		Server:    server,
		From:      netmail.Address{Address: "clientes@example.com"},
		PublicURL: &url.URL{Scheme: "https", Host: "api.example.com"},
		Timeout:   20 * time.Second,
		RootCAs:   roots,
		Now:       time.Now,
	})
}

// mailing is a process that sends mail, or will.
type mailing struct {
	*process
	log *authtest.Log
	end func() // stops it and closes its store
}

// startMailing opens the database as a server does, but only sends mail. Without a sender it sends
// nothing.
func startMailing(
	t testing.TB, e authtest.Engine, url string, now func() time.Time, sender Sender,
) *mailing {
	t.Helper()
	st, log := e.Open(t, url, now), new(authtest.Log)
	cfg := testConfig()
	cfg.Store, cfg.Now, cfg.Log = st, now, slog.New(slog.NewTextHandler(log, nil))
	a, err := New(cfg)
	must(t, err)
	m := &mailing{process: &process{Auth: a, accounts: a.accounts, store: st}, log: log}
	ctx, stop := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	if sender != nil {
		sending.Go(func() { m.SendMail(ctx, sender, 10*time.Second) })
	}
	m.end = sync.OnceFunc(func() {
		stop()
		sending.Wait()
		must(t, st.Close())
	})
	t.Cleanup(m.end)
	return m
}

// queue queues a mail that has no link.
func (m *mailing) queue(t testing.TB, u store.User, to string) {
	t.Helper()
	one := store.Mail{UserID: u.ID, Kind: store.MailPasswordChanged, To: to}
	must(t, m.store.QueueMails(t.Context(), one))
}

// queued returns the mails in the queue, by claiming all of them for no time.
func queued(t testing.TB, st store.Store) []store.Mail {
	t.Helper()
	mails, err := st.ClaimMails(t.Context(), 0, 1000)
	must(t, err)
	return mails
}

var linkInMail = regexp.MustCompile(
	`https://api\.example\.com/app/#(?:reset|confirm)=3D([A-Za-z0-9._-]+)`,
)

// TestMail follows a forgotten password through a real mail server. The server is away for a while,
// and the process ends and starts again.
func TestMail(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		server, c := authtest.NewMailServer(t), authtest.NewClock()
		a := startMailing(t, e, url, c.Now, smtpTo(t, server))
		u := a.add(t, store.User{Name: "ana", Email: "ana@example.com"})
		server.Close()
		must(t, a.ForgotPassword(t.Context(), "ANA", ""))
		// Another password cancels the link, and causes a mail of its own.
		must(t, a.accounts.SetPassword(t.Context(), "ana", "another "+goodPassword))
		must(t, a.ForgotPassword(t.Context(), "", "Ana@Example.com"))
		authtest.Eventually(t, "it has tried in vain",
			func() bool { return strings.Count(a.log.String(), "trying again later") >= 2 })
		if log := a.log.String(); strings.Contains(log, "example.com") ||
			strings.Contains(log, "letmein") {
			t.Errorf("the log has an address or a password in it:\n%s", log)
		}
		a.end()

		server.Open(t)
		c.Advance(20 * time.Second) // the wait after the first try
		b := startMailing(t, e, url, c.Now, smtpTo(t, server))
		authtest.Eventually(t, "both mails have arrived",
			func() bool { return len(server.Mails()) >= 2 })
		authtest.Eventually(t, "the queue is empty",
			func() bool { return len(queued(t, b.store)) == 0 })
		b.end()
		mails := server.Mails()
		if len(mails) != 2 {
			t.Fatalf("%d mails: %q", len(mails), mails)
		}
		all := strings.Join(mails, "\n")
		if !strings.Contains(all, "Subject: Your password was changed") ||
			strings.Count(all, "To: ana@example.com\n") != 2 {
			t.Errorf("%s", all)
		}
		token := linkInMail.FindStringSubmatch(all)
		if token == nil || strings.Count(all, "Subject: Choose a new password") != 1 {
			t.Fatalf("there is not one link in %s", all)
		}

		d := startMailing(t, e, url, c.Now, nil)
		before, err := d.store.User(t.Context(), u.ID)
		must(t, err)
		must(t, d.reset(t.Context(), token[1], "yet another "+goodPassword))
		err = d.reset(t.Context(), token[1], "yet another "+goodPassword)
		wantError(t, "the link works twice", err, ErrLinkInvalid)
		after, err := d.store.User(t.Context(), u.ID)
		must(t, err)
		if after.Generation != before.Generation+1 ||
			after.LinkGeneration != before.LinkGeneration+1 ||
			!matches(after.PasswordHash, "yet another "+goodPassword) {
			t.Errorf("from %+v to %+v", before, after)
		}
	})
}

// TestReplicasSendEachMailOnce has two processes send the mails of one queue.
func TestReplicasSendEachMailOnce(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		const n = 60
		server := authtest.NewMailServer(t)
		idle := startMailing(t, e, url, time.Now, nil)
		u := idle.add(t, store.User{Name: "ana"})
		for i := range n {
			idle.queue(t, u, fmt.Sprintf("a%d@example.com", i))
		}
		var senders []*mailing
		for range 2 {
			senders = append(senders, startMailing(t, e, url, time.Now, smtpTo(t, server)))
		}
		authtest.Eventually(t, "all have arrived", func() bool { return len(server.Mails()) >= n })
		for _, m := range senders {
			m.end() // before a look at the queue, which takes mails from those who send them
		}
		if left := queued(t, idle.store); len(left) > 0 {
			t.Errorf("%d mails are still in the queue", len(left))
		}
		got := make(map[string]int)
		for _, m := range server.Mails() {
			to, _, _ := strings.Cut(m, "\n")
			got[to]++
		}
		for to, times := range got {
			if times != 1 {
				t.Errorf("%s got it %d times", to, times)
			}
		}
		if len(got) != n {
			t.Errorf("%d got it", len(got))
		}
	})
}

// senderFunc is a Sender that calls itself.
type senderFunc func(ctx context.Context, m mail.Message) error

func (f senderFunc) Send(ctx context.Context, m mail.Message) error { return f(ctx, m) }

// sendDue sends what is due, as SendMail does, one after the other.
func (m *mailing) sendDue(t testing.TB, sender Sender) {
	t.Helper()
	mails, err := m.store.ClaimMails(t.Context(), mailLease, 1000)
	must(t, err)
	for _, one := range mails {
		newMailer(m.Auth, sender).sendOne(t.Context(), one)
	}
}

// TestMailThatIsCancelled checks that a link that was cancelled while its mail waited is not sent,
// and that all other mails are.
func TestMailThatIsCancelled(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		a := startMailing(t, e, url, time.Now, nil)
		ctx := t.Context()
		for name, cancels := range map[string][]func(*store.User){
			"password": {func(u *store.User) { u.PasswordHash = "another" }},
			"email":    {func(u *store.User) { u.Email = "other@example.com" }},
			"no-email": {func(u *store.User) { u.Email, u.PendingEmail = "", "" }},
			"disabled": {func(u *store.User) { u.Disabled = true }},
			"enabled": {
				func(u *store.User) { u.Disabled = true },
				func(u *store.User) { u.Disabled = false },
			},
			"links":   {func(u *store.User) { u.LinkGeneration++ }},
			"role":    {func(u *store.User) { u.Role = store.Editor }},
			"pending": {func(u *store.User) { u.PendingEmail = "third@example.com" }},
		} {
			u, err := a.store.CreateUser(ctx, store.User{
				Name:         name,
				Email:        name + "@example.com",
				PendingEmail: "new-" + name + "@example.com",
				Role:         store.Viewer,
				PasswordHash: someHash,
			})
			must(t, err)
			must(t, a.store.QueueMails(
				ctx,
				store.Mail{UserID: u.ID, Kind: store.MailReset, To: u.Email},
				store.Mail{UserID: u.ID, Kind: store.MailInvitation, To: u.Email},
				store.Mail{UserID: u.ID, Kind: store.MailConfirm, To: u.PendingEmail},
				store.Mail{UserID: u.ID, Kind: store.MailPasswordChanged, To: u.Email},
				store.Mail{UserID: u.ID, Kind: store.MailEmailChanged, To: u.Email},
				newOriginMail(WithOrigin(ctx, Origin{
					IP: "192.0.2.1", UserAgent: "curl/8.5.0 (x y)",
				}), store.MailNewNetwork, u),
			))
			for _, cancel := range cancels {
				_, _, err := a.store.UpdateUser(ctx, u.ID,
					func(u store.User) (store.User, error) { cancel(&u); return u, nil })
				must(t, err)
			}
			now, err := a.store.User(ctx, u.ID)
			must(t, err)
			want := "password_changed email_changed new_address"
			switch name {
			case "role":
				want = "reset invitation confirm " + want
			case "pending":
				want = "reset invitation " + want
			}
			var sent []string
			var out authtest.Outbox
			a.sendDue(t, &out)
			for _, m := range out.Left() {
				sent = append(sent, string(m.Kind))
				if m.User != name || m.At.IsZero() || (m.Token != "") != (m.ValidFor > 0) {
					t.Errorf("%s: %+v", name, m)
				}
				if m.Token != "" {
					if m.ValidFor != linkFor(store.MailKind(m.Kind)) {
						t.Errorf("%s: good for %s", m.Kind, m.ValidFor)
					}
					must(t, a.links.checkToken(m.Token, now, store.MailKind(m.Kind)))
				}
				if m.Kind == mail.NewNetwork &&
					(m.IP != "192.0.2.1" || m.UserAgent != "curl/8.5.0 (x y)") {
					t.Errorf("from %q, %q", m.IP, m.UserAgent)
				}
			}
			if got := strings.Join(sent, " "); got != want {
				t.Errorf("%s: sent %s", name, got)
			}
			if left := queued(t, a.store); len(left) > 0 {
				t.Errorf("%s: left %+v", name, left)
			}
		}
	})
}

// TestMailAboutNewNetworks has a thief of the password log in from many networks. Mail that cannot
// be sent does not count.
func TestMailAboutNewNetworks(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.StoppedAt(someDay)
		a := startMailing(t, e, url, c.Now, nil)
		a.add(t, store.User{Name: "ana", Email: "ana@example.com"})
		sent := 0
		works := senderFunc(func(context.Context, mail.Message) error { sent++; return nil })
		broken := senderFunc(func(context.Context, mail.Message) error { return errBroken })
		for i := range 2 * newNetworksLimit.Free {
			a.wantTry(t, fmt.Sprint("192.0.2.", i), goodLogin("ana"), "in")
		}
		a.sendDue(t, broken)
		c.Advance(store.FirstMailWait)
		a.sendDue(t, works)
		if sent != int(newNetworksLimit.Free) || len(queued(t, a.store)) != 0 {
			t.Errorf("%d mails were sent, %d wait", sent, len(queued(t, a.store)))
		}
		c.Advance(newNetworksLimit.Window)
		a.wantTry(t, "198.51.100.1", goodLogin("ana"), "in")
		a.sendDue(t, works)
		if sent != int(newNetworksLimit.Free)+1 {
			t.Errorf("the next day %d mails were sent", sent)
		}
	})
}

// TestMailThatCannotBeSent checks that a mail is dropped if the server refuses it for good, or
// after too many tries.
func TestMailThatCannotBeSent(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		u := a.add(t, store.User{Name: "ana"})
		a.queue(t, u, "ana@example.com")
		a.sendDue(t, senderFunc(func(context.Context, mail.Message) error {
			return fmt.Errorf("%w: no such mailbox", mail.ErrUndeliverable)
		}))
		if log := a.log.String(); len(queued(t, a.store)) > 0 ||
			!strings.Contains(log, "dropped") || !strings.Contains(log, "no such mailbox") {
			t.Errorf("what is refused for good is kept, or not told of:\n%s", log)
		}

		a.queue(t, u, "ana@example.com")
		tries := 0
		for range store.MaxMailTries + 2 {
			a.sendDue(t, senderFunc(func(context.Context, mail.Message) error {
				tries++
				return errors.New("nobody is there")
			}))
			c.Advance(4 * time.Hour)
		}
		log := a.log.String()
		again, failed := strings.Count(log, "trying again later"), strings.Count(log, "level=ERROR")
		if tries != store.MaxMailTries || len(queued(t, a.store)) > 0 ||
			again != tries-1 || failed != 1 || !strings.Contains(log, "given up") {
			t.Errorf("%d tries:\n%s", tries, log)
		}
	})
}

// TestTheEndOfAProcessFinishesMailUnderWay stops a process whose mail server is slow. Within the
// grace the mail is sent. What takes longer is left to another process.
func TestTheEndOfAProcessFinishesMailUnderWay(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		u := a.add(t, store.User{Name: "ana"})
		for _, cut := range []bool{false, true} {
			a.queue(t, u, "ana@example.com")
			ctx, stop := context.WithCancel(t.Context())
			begun, goOn := make(chan struct{}), make(chan struct{})
			returned := make(chan struct{})
			grace := time.Minute
			if cut {
				grace = 0
			}
			go func() {
				a.SendMail(ctx, senderFunc(func(ctx context.Context, _ mail.Message) error {
					close(begun)
					select {
					case <-goOn:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}), grace)
				close(returned)
			}()
			<-begun
			stop()
			if !cut {
				select {
				case <-returned:
					t.Error("it did not wait for the mail under way")
				case <-time.After(50 * time.Millisecond):
				}
				close(goOn)
			}
			<-returned
			after := mailLease
			if cut {
				after = 20 * time.Second // that it was not sent is noted all the same
			}
			c.Advance(after)
			if left := queued(t, a.store); (len(left) == 1) != cut {
				t.Errorf("cut: %t, and %d are left", cut, len(left))
			}
		}
	})
}
