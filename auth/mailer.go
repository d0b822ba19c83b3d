package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"clientes/auth/mail"
	"clientes/auth/throttle"
	"clientes/store"
)

// Sender sends one mail. An error that is [mail.ErrUndeliverable] means that trying again is of no
// use.
type Sender interface {
	Send(ctx context.Context, m mail.Message) error
}

const (
	// lookForMail is how often the queue is looked at: nobody waits for a mail by the second.
	lookForMail = time.Second

	// mailsAtOnce is how many mails a process sends at once. Servers take few connections of one
	// client.
	mailsAtOnce = 4

	// mailLease is how long nobody else takes a mail that is being sent. It is longer than any
	// Sender takes for one. Otherwise the mail would be sent twice.
	mailLease = 5 * time.Minute

	// mailNote bounds the write of what became of a mail. It goes on when everything else has to
	// end: otherwise a mail that was sent would be sent again.
	mailNote = 10 * time.Second

	// halfLoginWait is how long a mail about a right password without a right code waits for the
	// code. The mail is tried again and again meanwhile, the last time after 105 seconds.
	halfLoginWait = 90 * time.Second
)

// errTooEarly means that a mail has to wait before it is known whether it is needed.
var errTooEarly = errors.New("it is too early to send this mail")

// errUnneeded means that a mail is not sent at all: its subject was cancelled while it waited, or
// there were too many like it.
var errUnneeded = errors.New("nobody needs this mail any more")

// mailStore is what a mailer needs of a store. [store.Mails], [store.Users] and [store.Sessions]
// document its methods.
type mailStore interface {
	ClaimMails(ctx context.Context, lease time.Duration, limit int) ([]store.Mail, error)
	DeleteMail(ctx context.Context, id int64) error
	RetryMail(ctx context.Context, m store.Mail) (dropped bool, err error)
	User(ctx context.Context, id int64) (store.User, error)
	UserSessions(ctx context.Context, userID int64, now time.Time) ([]store.Session, error)
	Keys(ctx context.Context, userID int64, now time.Time, after store.KeyPosition, limit int) (
		[]store.OwnedKey, error)
	clock
}

// mailer sends the mails of the queue.
type mailer struct {
	store   mailStore
	links   *links
	limiter *throttle.Limiter
	log     *slog.Logger
	sender  Sender
	metrics *metrics
}

// SendMail sends the mails of the queue until ctx ends. Mails that are being sent at that moment
// get the grace to finish. When SendMail returns, none is on its way. Any number of processes may
// call it at once: one of them takes each mail.
func (a *Auth) SendMail(ctx context.Context, sender Sender, grace time.Duration) {
	newMailer(a, sender).run(ctx, grace)
}

func newMailer(a *Auth, sender Sender) *mailer {
	return &mailer{
		store: a.cfg.Store, links: a.links, limiter: a.guard.limiter, log: a.cfg.Log,
		sender: sender, metrics: a.metrics,
	}
}

func (m *mailer) run(ctx context.Context, grace time.Duration) {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cut) })()
	tick := time.NewTicker(lookForMail)
	defer tick.Stop()
	out := Outage{
		Log: m.log, Level: slog.LevelWarn,
		Fails: "cannot look for mail to send; trying again every second",
		Well:  "looking for mail to send again",
	}
	for ctx.Err() == nil {
		mails, err := m.store.ClaimMails(ctx, mailLease, mailsAtOnce)
		if ctx.Err() == nil {
			out.Note(m.store.Now(), err)
		}
		var all sync.WaitGroup
		for _, one := range mails {
			all.Go(func() { m.sendOne(sending, one) })
		}
		all.Wait()
		if len(mails) == mailsAtOnce {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// sendOne sends a mail that was claimed, and notes in the queue what became of it. If that cannot
// be noted, the lease ends and another process tries again.
func (m *mailer) sendOne(ctx context.Context, one store.Mail) {
	err := m.send(ctx, one)
	log := m.log.With("kind", string(one.Kind), "user_id", one.UserID, "mail", one.ID)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mailNote)
	defer cancel()
	switch {
	case err == nil:
		m.metrics.mail(resultSent)
		err = m.store.DeleteMail(ctx, one.ID)
	case errors.Is(err, errUnneeded):
		m.metrics.mail(resultUnneeded)
		err = m.store.DeleteMail(ctx, one.ID)
	case errors.Is(err, errTooEarly):
		_, err = m.store.RetryMail(ctx, one)
	case errors.Is(err, mail.ErrUndeliverable):
		m.metrics.mail(resultUndeliverable)
		log.Warn("a mail cannot be delivered and is dropped", "error", err)
		err = m.store.DeleteMail(ctx, one.ID)
	default:
		why := err
		var dropped bool
		if dropped, err = m.store.RetryMail(ctx, one); dropped {
			m.metrics.mail(resultGivenUp)
			log.Error("a mail could not be sent and is given up", "tries", one.Tries, "error", why)
		} else {
			m.metrics.mail(resultFailed)
			log.Warn("a mail could not be sent; trying again later",
				"tries", one.Tries, "wait", one.Wait().String(), "error", why)
		}
	}
	if err != nil {
		log.Warn("cannot note what became of a mail: it may be sent again", "error", err)
	}
}

// send sends a mail. It returns errUnneeded if the mail is not to be sent.
func (m *mailer) send(ctx context.Context, one store.Mail) error {
	u, err := m.store.User(ctx, one.UserID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return errUnneeded
	case err != nil:
		return fmt.Errorf("look up user: %w", err)
	}
	msg := mail.Message{Kind: mail.Kind(one.Kind), To: one.To, User: u.Name, At: one.CreatedAt}
	if msg.ValidFor = linkFor(one.Kind); msg.ValidFor > 0 {
		if !linkWanted(one, u) {
			return errUnneeded
		}
		msg.Token = m.links.sign(one.Kind, u)
	}
	switch one.Kind {
	case store.MailNewNetwork:
		msg.IP, msg.UserAgent, _ = strings.Cut(one.Detail, " ")
		return m.sendLimited(ctx, newNetworkMailsBucket(one.UserID), msg)
	case store.MailHalfLogin:
		msg.IP, msg.UserAgent, _ = strings.Cut(one.Detail, " ")
		return m.sendHalfLogin(ctx, one, msg)
	case store.MailPasswordChanged:
		keys, err := m.store.Keys(ctx, u.ID, m.store.Now(), store.KeyPosition{}, store.MaxKeys)
		if err != nil {
			return fmt.Errorf("look up keys: %w", err)
		}
		msg.Keys = keyNames(keys)
	case store.MailNewAdmin:
		by, names, _ := strings.Cut(one.Detail, " ")
		if msg.By, err = m.nameOf(ctx, by); err != nil {
			return err
		}
		msg.Detail = names
	default:
		msg.Detail = one.Detail
	}
	return m.sender.Send(ctx, msg)
}

// sendHalfLogin sends the mail about a login with a right password and no right code, once a day,
// unless a login from the same network has got its second factor since.
func (m *mailer) sendHalfLogin(ctx context.Context, one store.Mail, msg mail.Message) error {
	now := m.store.Now()
	sessions, err := m.store.UserSessions(ctx, one.UserID, now)
	if err != nil {
		return fmt.Errorf("look up sessions: %w", err)
	}
	network := throttle.NetworkOf(msg.IP)
	for _, s := range sessions {
		if !s.CreatedAt.Before(one.CreatedAt) && throttle.NetworkOf(s.IP) == network {
			return errUnneeded
		}
	}
	// A clock that was set back is no reason to wait for longer.
	if age := now.Sub(one.CreatedAt); 0 <= age && age < halfLoginWait {
		return errTooEarly
	}
	return m.sendLimited(ctx, halfLoginsBucket(one.UserID), msg)
}

// sendLimited sends a mail unless so many were sent that the bucket is full. If the process is
// killed while it sends, the mail counts, and may be lost.
func (m *mailer) sendLimited(
	ctx context.Context, bucket throttle.Bucket, msg mail.Message,
) error {
	sending, err := m.limiter.Reserve(ctx, bucket)
	switch {
	case errors.Is(err, ErrTooManyAttempts):
		return errUnneeded
	case err != nil:
		return err
	}
	defer sending.Release(ctx) // unless it was sent
	if err := m.sender.Send(ctx, msg); err != nil {
		return err
	}
	return sending.Fail(ctx) // stays counted
}

// nameOf returns the name of the user of an ID in decimal.
func (m *mailer) nameOf(ctx context.Context, id string) (string, error) {
	n, _ := strconv.ParseInt(id, 10, 64)
	if n == 0 {
		return "the command line", nil
	}
	u, err := m.store.User(ctx, n)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "a user who is gone", nil
	case err != nil:
		return "", fmt.Errorf("look up user: %w", err)
	}
	return u.Name, nil
}

// linkWanted reports whether the link of a mail would still be good for the user as they are.
func linkWanted(m store.Mail, u store.User) bool {
	return m.To != "" && m.To == linkEmail(m.Kind, u) && m.LinkGeneration == u.LinkGeneration &&
		!u.Disabled
}

// newOriginMail returns a mail that says where the request of ctx came from.
func newOriginMail(ctx context.Context, kind store.MailKind, u store.User) store.Mail {
	o := originOf(ctx)
	return store.Mail{UserID: u.ID, Kind: kind, To: u.Email, Detail: o.IP + " " + o.UserAgent}
}

// newAdminMail returns the mail to admins about new ones, whom a user has made, or with the ID 0
// the command line.
func newAdminMail(by int64, names string) store.Mail {
	return store.Mail{Kind: store.MailNewAdmin, Detail: decimal(by) + " " + names}
}
