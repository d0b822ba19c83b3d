package auth

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"

	"clientes/store"
)

// change is how a user comes to be made or changed. Whom that has to be told, and what the audit says, follows from what
// is altered, whoever asked for it: so there is no way to change a password of which its owner does not hear.
type change struct {
	ctx     context.Context // of the request that it is for
	confirm bool            // the pending email gets a link, also if it has had one before

	// created and password are what a new account and another password are noted as: EventUserCreated and
	// EventPasswordChanged if they are "".
	created, password store.EventKind

	events []store.Event // of the last call of tell
}

// changing is the change of a user by the request of ctx.
func changing(ctx context.Context) *change { return &change{ctx: ctx} }

// tell is a store.EffectsFunc. The store may call it again; the last call counts.
func (c *change) tell(old, now store.User) store.Effects {
	c.events = c.eventsOf(old, now)
	return store.Effects{Events: c.events, Mails: c.mailsOf(old, now)}
}

// log writes the lines of a change that was kept.
func (c *change) log(log *slog.Logger) { logEvents(log, c.events) }

func (c *change) mailsOf(old, now store.User) (mails []store.Mail) {
	mail := func(kind store.MailKind, to string) {
		if to != "" {
			mails = append(mails, store.Mail{Kind: kind, To: to})
		}
	}
	if c.confirm {
		mail(store.MailConfirm, now.PendingEmail)
	}
	if old.PasswordHash != now.PasswordHash && old.PasswordHash != "" { // a first one is no news to who has just chosen it
		mail(store.MailPasswordChanged, now.Email)
	}
	if old.PendingEmail != now.PendingEmail && now.PendingEmail != "" {
		mail(store.MailEmailChanged, old.Email) // while they can still do something about it
	}
	if old.Email != now.Email {
		mail(store.MailEmailChanged, old.Email)
		if now.PasswordHash == "" {
			mail(store.MailInvitation, now.Email) // that to the old one, if there was any, is cancelled
		}
	}
	return mails
}

func (c *change) eventsOf(old, now store.User) (events []store.Event) {
	add := func(kind store.EventKind, detail string) {
		events = append(events, newEvent(c.ctx, kind, now.ID, detail))
	}
	if old.ID == 0 {
		add(cmp.Or(c.created, store.EventUserCreated), string(now.Role))
		return events
	}
	if old.Role != now.Role {
		add(store.EventRoleChanged, string(old.Role)+" to "+string(now.Role))
	}
	if old.PasswordHash != now.PasswordHash {
		add(cmp.Or(c.password, store.EventPasswordChanged), "")
	}
	if old.Email != now.Email {
		add(store.EventEmailChanged, "")
	}
	if old.PendingEmail != now.PendingEmail && now.PendingEmail != "" {
		add(store.EventEmailRequested, "")
	}
	switch {
	case !old.Disabled && now.Disabled:
		add(store.EventUserDisabled, "")
	case old.Disabled && !now.Disabled:
		add(store.EventUserEnabled, "")
	}
	switch {
	case !old.MFA.On && now.MFA.On:
		add(store.EventMFAOn, "")
	case old.MFA.On && !now.MFA.On:
		add(store.EventMFAOff, "")
	case len(recoveryHashes(now.MFA)) < len(recoveryHashes(old.MFA)):
		add(store.EventRecoveryUsed, strconv.Itoa(len(recoveryHashes(now.MFA)))+" left")
	}
	return events
}
