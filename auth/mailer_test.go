package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	netmail "net/mail"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"clientes/auth/authtest"
	"clientes/auth/mail"
	"clientes/auth/password"
	"clientes/store"
)

// office is a real SMTP server with STARTTLS. It refuses mail in clear, and mail without the
// password.
type office struct {
	addr        string // stays the same when it opens again
	certificate tls.Certificate
	server      *smtp.Server
	mu          sync.Mutex
	taken       []string // "recipient: text"
}

func newOffice(t *testing.T) *office {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{}, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	o := &office{
		addr:        "127.0.0.1:0",
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
	}
	o.open(t)
	t.Cleanup(o.close)
	return o
}

func (o *office) open(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", o.addr)
	must(t, err)
	o.addr = listener.Addr().String()
	o.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		_, secured := c.TLSConnectionState()
		return &officeSession{o: o, secured: secured}, nil
	}))
	o.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{o.certificate}}
	o.server.ErrorLog = log.New(io.Discard, "", 0)
	server := o.server
	go server.Serve(listener)
}

func (o *office) close() { o.server.Close() }

// sender returns a Sender that sends by this server.
func (o *office) sender(t *testing.T) Sender {
	t.Helper()
	server, err := mail.ParseServer("smtp://postbox:letmein@" + o.addr)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(o.certificate.Leaf)
	return mail.NewSMTP(mail.Config{
		Server:    server,
		From:      netmail.Address{Address: "clientes@example.com"},
		PublicURL: &url.URL{Scheme: "https", Host: "api.example.com"},
		Timeout:   20 * time.Second,
		RootCAs:   roots,
		Now:       time.Now,
	})
}

func (o *office) mails() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.taken...)
}

type officeSession struct {
	o             *office
	secured, user bool
	to            string
}

func (s *officeSession) Reset()                   {}
func (s *officeSession) Logout() error            { return nil }
func (s *officeSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *officeSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if s.user = s.secured && user == "postbox" && password == "letmein"; !s.user {
			return errors.New("no")
		}
		return nil
	}), nil
}

func (s *officeSession) Mail(string, *smtp.MailOptions) error {
	if !s.user {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *officeSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	}
	s.to = to
	return nil
}

func (s *officeSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	s.o.taken = append(s.o.taken, s.to+": "+strings.ReplaceAll(string(b), "=\r\n", ""))
	return err
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
	a, err := New(Config{
		Store: st, Gate: password.NewGate(quickHasher, 2, 64), Secret: testSecret,
		Issuer: "clientes", Audience: "clientes", TokenTTL: 5 * time.Minute,
		SessionIdle: 30 * time.Minute, SessionMax: 720 * time.Hour, RefreshGrace: 30 * time.Second,
		Now: now, Log: slog.New(slog.NewTextHandler(log, nil)),
	})
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
		o, c := newOffice(t), authtest.NewClock()
		a := startMailing(t, e, url, c.Now, o.sender(t))
		u, err := a.accounts.Add(t.Context(),
			store.User{Name: "ana", Email: "ana@example.com", Role: store.Viewer}, goodPassword)
		must(t, err)
		o.close()
		must(t, a.ForgotPassword(t.Context(), "ANA", ""))
		must(
			t,
			a.accounts.SetPassword(t.Context(), "ana", "another "+goodPassword),
		) // cancels the link and sends a mail about it
		must(t, a.ForgotPassword(t.Context(), "", "Ana@Example.com"))
		authtest.Eventually(t, "it has tried in vain",
			func() bool { return strings.Count(a.log.String(), "trying again later") >= 2 })
		if log := a.log.String(); strings.Contains(log, "example.com") ||
			strings.Contains(log, "letmein") {
			t.Errorf("the log has an address or a password in it:\n%s", log)
		}
		a.end()

		o.open(t)
		c.Advance(20 * time.Second) // the wait after the first try
		b := startMailing(t, e, url, c.Now, o.sender(t))
		authtest.Eventually(t, "both mails have arrived",
			func() bool { return len(o.mails()) >= 2 })
		authtest.Eventually(t, "the queue is empty",
			func() bool { return len(queued(t, b.store)) == 0 })
		b.end()
		mails := o.mails()
		if len(mails) != 2 {
			t.Fatalf("%d mails: %q", len(mails), mails)
		}
		all := strings.Join(mails, "\n")
		if !strings.Contains(all, "Subject: Your password was changed") ||
			strings.Count(all, "ana@example.com: ") != 2 {
			t.Errorf("%s", all)
		}
		token := linkInMail.FindStringSubmatch(all)
		if token == nil || strings.Count(all, "Subject: Choose a new password") != 1 {
			t.Fatalf("there is not one link in %s", all)
		}

		d := startMailing(t, e, url, c.Now, nil)
		before, err := d.store.User(t.Context(), u.ID)
		must(t, err)
		must(t, d.ResetPassword(t.Context(), token[1], "yet another "+goodPassword))
		if err := d.ResetPassword(
			t.Context(), token[1], "yet another "+goodPassword); !errors.Is(err, ErrLinkInvalid) {
			t.Errorf("the link works twice: %v", err)
		}
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
		o := newOffice(t)
		idle := startMailing(t, e, url, time.Now, nil)
		u, err := idle.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer},
			goodPassword)
		must(t, err)
		for i := range n {
			must(t, idle.store.QueueMails(t.Context(), store.Mail{
				UserID: u.ID,
				Kind:   store.MailPasswordChanged,
				To:     fmt.Sprintf("a%d@example.com", i),
			}))
		}
		for range 2 {
			startMailing(t, e, url, time.Now, o.sender(t))
		}
		authtest.Eventually(t, "all have arrived", func() bool { return len(o.mails()) >= n })
		authtest.Eventually(t, "the queue is empty",
			func() bool { return len(queued(t, idle.store)) == 0 })
		got := make(map[string]int)
		for _, m := range o.mails() {
			to, _, _ := strings.Cut(m, ": ")
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
				newNetworkMail(u, "192.0.2.1", "curl/8.5.0 (x y)"),
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
			a.sendDue(t, senderFunc(func(_ context.Context, m mail.Message) error {
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
				return nil
			}))
			if got := strings.Join(sent, " "); got != want {
				t.Errorf("%s: sent %s", name, got)
			}
			if left := queued(t, a.store); len(left) > 0 {
				t.Errorf("%s: left %+v", name, left)
			}
		}
	})
}

// TestMailThatCannotBeSent checks that a mail is dropped if the server refuses it for good, or
// after too many tries.
func TestMailThatCannotBeSent(t *testing.T) {
	authtest.OnEachStore(t, func(t *testing.T, e authtest.Engine, url string) {
		c := authtest.NewClock()
		a := startMailing(t, e, url, c.Now, nil)
		u, err := a.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer},
			goodPassword)
		must(t, err)
		queue := func() {
			must(t, a.store.QueueMails(t.Context(), store.Mail{
				UserID: u.ID,
				Kind:   store.MailPasswordChanged,
				To:     "ana@example.com",
			}))
		}
		queue()
		a.sendDue(t, senderFunc(func(context.Context, mail.Message) error {
			return fmt.Errorf("%w: no such mailbox", mail.ErrUndeliverable)
		}))
		if log := a.log.String(); len(queued(t, a.store)) > 0 ||
			!strings.Contains(log, "dropped") || !strings.Contains(log, "no such mailbox") {
			t.Errorf("what is refused for good is kept, or not told of:\n%s", log)
		}

		queue()
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
		u, err := a.accounts.Add(t.Context(), store.User{Name: "ana", Role: store.Viewer},
			goodPassword)
		must(t, err)
		for _, cut := range []bool{false, true} {
			must(t, a.store.QueueMails(t.Context(), store.Mail{
				UserID: u.ID,
				Kind:   store.MailPasswordChanged,
				To:     "ana@example.com",
			}))
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
