package auth

import (
	"context"

	"clientes/store"
)

// change is how a user comes to be changed. Whom that has to be told follows from what is altered, whoever asked for it:
// so there is no way to change a password of which its owner does not hear.
type change struct {
	*changeNotes
	confirm bool // the pending email gets a link, also if it has had one before
}

// changing is the change of a user by the request of ctx.
func changing(ctx context.Context) change { return change{changeNotes: noteChange(ctx)} }

// tell is a store.Tell.
func (c change) tell(old, now store.User) store.Trail {
	trail := c.changeNotes.tell(old, now)
	mail := func(kind store.MailKind, to string) {
		if to != "" {
			trail.Mails = append(trail.Mails, store.Mail{Kind: kind, To: to})
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
	return trail
}
