package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"clientes/auth/mail"
	"clientes/store"
)

// Post carries one mail away. An error that is mail.ErrUndeliverable says that trying again is of no use.
type Post interface {
	Send(ctx context.Context, m mail.Message) error
}

const (
	// lookForMail is how often the queue is looked at: nobody waits for a mail by the second.
	lookForMail = time.Second

	// mailsAtOnce is how many mails a process has under way. Servers take few connections of one client.
	mailsAtOnce = 4

	// mailLease is for how long nobody else takes a mail that is under way: longer than any Post takes for one, or it
	// would be sent twice.
	mailLease = 5 * time.Minute

	// mailNote bounds the writing down of what became of a mail, which goes on when everything else has to end.
	mailNote = 10 * time.Second
)

// SendMail sends the mails of the queue by post until ctx ends. Those that are under way then may still take the grace,
// and when it returns none is. Any number of processes may do this at once: each mail is taken by one of them.
func (a *Auth) SendMail(ctx context.Context, post Post, grace time.Duration) {
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cut) })()
	tick := time.NewTicker(lookForMail)
	defer tick.Stop()
	var away bool // the store, at the last look
	for ctx.Err() == nil {
		mails, err := a.cfg.Store.ClaimMails(ctx, mailLease, mailsAtOnce)
		if err != nil && ctx.Err() == nil && !away {
			a.cfg.Log.Warn("can not look for mail that is to be sent; trying again every second", "error", err)
		}
		away = err != nil
		var all sync.WaitGroup
		for _, m := range mails {
			all.Go(func() { a.sendOne(sending, post, m) })
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

// sendOne sends a mail that was claimed, and notes in the queue what became of it. If that can not be noted, the lease
// ends and somebody tries again.
func (a *Auth) sendOne(ctx context.Context, post Post, m store.Mail) {
	err := a.post(ctx, post, m)
	log := a.cfg.Log.With("kind", string(m.Kind), "user_id", m.UserID, "mail", m.ID)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mailNote)
	defer cancel()
	switch {
	case err == nil:
		err = a.cfg.Store.DeleteMail(ctx, m.ID)
	case errors.Is(err, mail.ErrUndeliverable):
		log.Warn("a mail can not be delivered and is dropped", "error", err)
		err = a.cfg.Store.DeleteMail(ctx, m.ID)
	default:
		why := err
		var dropped bool
		if dropped, err = a.cfg.Store.RetryMail(ctx, m); dropped {
			log.Error("a mail could not be sent and is given up", "tries", m.Tries, "error", why)
		} else {
			log.Warn("a mail could not be sent; trying again later", "tries", m.Tries, "wait", m.Wait().String(), "error", why)
		}
	}
	if err != nil {
		log.Warn("can not note what became of a mail: it may be sent again", "error", err)
	}
}

// post sends a mail, unless what it is about was cancelled while it waited: that is no error.
func (a *Auth) post(ctx context.Context, post Post, m store.Mail) error {
	u, err := a.cfg.Store.User(ctx, m.UserID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look up user: %w", err)
	}
	msg := mail.Message{Kind: mail.Kind(m.Kind), To: m.To, User: u.Name, At: m.CreatedAt}
	if msg.ValidFor = linkFor(m.Kind); msg.ValidFor > 0 {
		if m.To == "" || m.To != linkAddress(m.Kind, u) || m.LinkGeneration != u.LinkGeneration || u.Disabled {
			return nil
		}
		msg.Token = a.tokens.keys[0].linkToken(m.Kind, u, a.cfg.Now().Add(msg.ValidFor))
	}
	if m.Kind == store.MailNewNetwork {
		msg.IP, msg.UserAgent, _ = strings.Cut(m.Detail, " ")
	}
	return post.Send(ctx, msg)
}

// newAddressMail tells a user of a login from an address that is new.
func newAddressMail(u store.User, ip, userAgent string) store.Mail {
	return store.Mail{UserID: u.ID, Kind: store.MailNewNetwork, To: u.Email, Detail: ip + " " + userAgent}
}
