package auth

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"clientes/store"
)

// effects decides what is kept beside an update of a user: the mails to them and the events of the
// audit. Both follow from what the update alters, whoever caused it. So there is no way to change a
// password without a mail to its owner.
type effects struct {
	ctx     context.Context // of the request that causes the update
	confirm bool            // send a link to the pending email, even if it has got one before

	// created and password are the kinds of event of a new account and of another password. ""
	// stands for EventUserCreated and EventPasswordChanged.
	created, password store.EventKind

	takenAway    bool // if the second factor goes, it is not its owner who switches it off
	mailedEnough bool // the user has lately got a mail about device tokens

	uninvited bool // a user without a password gets no mail to choose one

	// newAdmins names the new admins of an import, whose mails come with the first of them. ""
	// stands for the user themselves.
	newAdmins string

	events []store.Event // what the last call of method of returned
}

// newEffects returns the effects of an update by the request of ctx.
func newEffects(ctx context.Context) *effects { return &effects{ctx: ctx} }

// of is a [store.EffectsFunc]. The store may call it again, and the last call counts.
func (fx *effects) of(old, now store.User) store.Effects {
	fx.events = fx.eventsOf(old, now)
	return store.Effects{
		Events: fx.events, Mails: fx.mailsOf(old, now), ToAdmins: fx.adminMailsOf(old, now),
	}
}

// log writes the log lines of an update that was kept.
func (fx *effects) log(log *slog.Logger) { logEvents(log, fx.events) }

// mailsOf returns the mails that an update from old to now causes.
func (fx *effects) mailsOf(old, now store.User) (mails []store.Mail) {
	mail := func(kind store.MailKind, to string) {
		if to != "" {
			mails = append(mails, store.Mail{Kind: kind, To: to})
		}
	}
	if fx.confirm {
		mail(store.MailConfirm, now.PendingEmail)
	}
	// A first password is no news to its owner, who has just chosen it.
	if old.PasswordHash != now.PasswordHash && old.PasswordHash != "" {
		mail(store.MailPasswordChanged, now.Email)
	}
	if old.PendingEmail != now.PendingEmail && now.PendingEmail != "" {
		mail(store.MailEmailChanged, old.Email) // while the owner can still do something about it
	}
	if old.Email != now.Email {
		mail(store.MailEmailChanged, old.Email)
		if now.PasswordHash == "" && !fx.uninvited {
			mail(store.MailInvitation, now.Email) // an invitation to the old email is cancelled
		}
	}
	return append(mails, fx.warningsOf(old, now)...)
}

// warningsOf returns the mails that an update causes because a thief may have made it. If it alters
// the email too, they go to the old one.
func (fx *effects) warningsOf(old, now store.User) (mails []store.Mail) {
	to := cmp.Or(old.Email, now.Email)
	if old.ID == 0 || to == "" {
		return nil
	}
	mail := func(kind store.MailKind, detail string) {
		mails = append(mails, store.Mail{Kind: kind, To: to, Detail: detail})
	}
	if old.Role != now.Role {
		mail(store.MailRoleChanged, string(now.Role))
	}
	switch kind, detail := fx.mfaEvent(old.MFA, now.MFA); kind {
	case store.EventMFAOn:
		mail(store.MailMFAOn, "")
	case store.EventMFAOff:
		mail(store.MailMFAOff, "")
	case store.EventMFATakenAway:
		mail(store.MailMFATakenAway, "")
	case store.EventRecoveryUsed:
		mail(store.MailRecoveryUsed, detail)
	case store.EventRecoveryRenewed:
		mail(store.MailRecoveryRenewed, "")
	}
	if cancelsDevices(old, now) && !fx.mailedEnough {
		mail(store.MailDevicesCancelled, "")
	}
	return mails
}

// adminMailsOf returns the mails to the other admins that an update causes.
func (fx *effects) adminMailsOf(old, now store.User) []store.Mail {
	if old.ActiveAdmin() || !now.ActiveAdmin() {
		return nil
	}
	names := cmp.Or(fx.newAdmins, now.Name)
	if first, _, _ := strings.Cut(names, ","); first != now.Name {
		return nil // the mails of the first one name them all
	}
	return []store.Mail{newAdminMail(originOf(fx.ctx).ActorID, names)}
}

// cancelsDevices reports whether an update cancels the device tokens of a user. Disabling does so
// too, and has an event of its own.
func cancelsDevices(old, now store.User) bool {
	return old.DeviceGeneration != now.DeviceGeneration && !(now.Disabled && !old.Disabled)
}

// eventsOf returns the events that an update from old to now causes. For a new user, old is zero.
func (fx *effects) eventsOf(old, now store.User) (events []store.Event) {
	add := func(kind store.EventKind, detail string) {
		events = append(events, newEvent(fx.ctx, kind, now.ID, detail))
	}
	if old.ID == 0 {
		add(cmp.Or(fx.created, store.EventUserCreated), string(now.Role))
		return events
	}
	if old.Role != now.Role {
		add(store.EventRoleChanged, string(old.Role)+" to "+string(now.Role))
	}
	if old.PasswordHash != now.PasswordHash {
		add(cmp.Or(fx.password, store.EventPasswordChanged), "")
	}
	if old.Email != now.Email {
		add(store.EventEmailChanged, "")
	}
	if old.PendingEmail != now.PendingEmail && now.PendingEmail != "" {
		add(store.EventEmailRequested, "")
	}
	if !old.Disabled && now.Disabled {
		add(store.EventUserDisabled, "")
	}
	if old.Disabled && !now.Disabled {
		add(store.EventUserEnabled, "")
	}
	if kind, detail := fx.mfaEvent(old.MFA, now.MFA); kind != "" {
		add(kind, detail)
	}
	if cancelsDevices(old, now) {
		add(store.EventDevicesCancelled, "")
		e := &events[len(events)-1]
		e.Key = string(e.Kind) + " of " + decimal(now.ID) // a session is enough to do it at will
	}
	return events
}

// mfaEvent returns the event of an update of the second factor, "" for none.
func (fx *effects) mfaEvent(old, now store.MFA) (kind store.EventKind, detail string) {
	before, after := recoveryHashes(old), recoveryHashes(now)
	left := len(after)
	isNew := func(hash string) bool { return !slices.Contains(before, hash) }
	switch {
	case !old.On && now.On:
		return store.EventMFAOn, ""
	case old.On && !now.On && fx.takenAway:
		return store.EventMFATakenAway, ""
	case old.On && !now.On:
		return store.EventMFAOff, ""
	case slices.ContainsFunc(after, isNew):
		return store.EventRecoveryRenewed, ""
	case left < len(before):
		return store.EventRecoveryUsed, strconv.Itoa(left) + " left"
	}
	return "", ""
}
