package store

import (
	"context"
	"time"
)

// Mail is a message that waits to be sent to a user. It holds no link and no token: these are made
// when the mail is sent, so a reader of the database can follow none.
type Mail struct {
	ID     int64
	UserID int64
	Kind   MailKind
	To     string // an email, which may be pending, or may have been the user's before
	Detail string // further content, in a form of package auth's; opaque to the store

	// LinkGeneration is the user's at the instant of writing. A link is made with it. So a link
	// that was cancelled while the mail waited is invalid when it arrives.
	LinkGeneration int64

	CreatedAt time.Time
	NextTry   time.Time // it is due from then on
	Tries     int64     // how often it was claimed
}

// MailKind is what a mail is about.
type MailKind string

// The kinds of mail. The first three carry a link.
const (
	MailReset            MailKind = "reset"             // set another password
	MailInvitation       MailKind = "invitation"        // set a first password
	MailConfirm          MailKind = "confirm"           // confirm a pending email
	MailPasswordChanged  MailKind = "password_changed"  // the password is another
	MailEmailChanged     MailKind = "email_changed"     // to the old email, when it changes
	MailNewNetwork       MailKind = "new_address"       // a login from a new network
	MailHalfLogin        MailKind = "half_login"        // a right password without a right code
	MailMFAOn            MailKind = "mfa_on"            // the second factor is on
	MailMFAOff           MailKind = "mfa_off"           // it is off
	MailMFATakenAway     MailKind = "mfa_taken_away"    // an admin or a command took it away
	MailRecoveryUsed     MailKind = "recovery_used"     // a recovery code was used
	MailRecoveryRenewed  MailKind = "recovery_renewed"  // the recovery codes are new ones
	MailRoleChanged      MailKind = "role_changed"      // the role is another
	MailDevicesCancelled MailKind = "devices_cancelled" // all device tokens were cancelled
	MailNewAdmin         MailKind = "new_admin"         // to the other admins
)

// MaxMailTries is how often a mail is tried before it is dropped. With the waits in between that
// takes some sixteen hours: a night in which nobody looks after the mail server.
const MaxMailTries = 14

// The waits of a mail that could not be sent: see [Mail.Wait].
const (
	FirstMailWait   = 15 * time.Second
	LongestMailWait = 4 * time.Hour
)

// MailSlack is how much later than any wait a mail must be due to be taken for one that a wrong
// clock has queued. Processes that claim at the same moment do not have quite the same time.
const MailSlack = time.Minute

// Wait returns how long a mail that could not be sent waits for its next try. It is 15 seconds
// after the first try, because some links are valid for half an hour. It doubles after each further
// try, up to four hours.
func (m Mail) Wait() time.Duration {
	wait := FirstMailWait
	for try := int64(1); try < m.Tries && wait < LongestMailWait; try++ {
		wait *= 2
	}
	return min(wait, LongestMailWait)
}

// Mails is the queue of mail to send.
type Mails interface {
	// QueueMails puts mails into the queue, due at once. It keeps UserID, Kind, To and Detail of
	// each. A mail to a user who is gone is left out without an error. Mails about a change of a
	// user are queued with the change (see [EffectsFunc]), and those about a new network by
	// [Sessions.OpenSession].
	QueueMails(ctx context.Context, mails ...Mail) error

	// ClaimMails returns up to limit mails that are due, by ascending ID; if there are more, those
	// that are due longest. In the same atomic step it counts a try and makes each due again after
	// the lease, so that nobody else gets it until then. If there are none, the slice is empty, not
	// nil.
	//
	// A mail is also due if it would wait for longer than its Wait and the lease. A clock that was
	// ahead has written that.
	//
	// The caller must call DeleteMail or RetryMail for each. If it vanishes, the mail is claimed
	// again after the lease. So a mail may be sent twice, but is never lost.
	ClaimMails(ctx context.Context, lease time.Duration, limit int) ([]Mail, error)

	// DeleteMail removes a mail that was sent or is no longer worth sending. It does nothing if the
	// mail is gone.
	DeleteMail(ctx context.Context, id int64) error

	// RetryMail makes a claimed mail that could not be sent due again after its Wait. It drops the
	// mail instead if this was the last of [MaxMailTries], and reports whether it did. It does
	// nothing if the mail is gone, or if somebody else has claimed it after the lease ended.
	RetryMail(ctx context.Context, m Mail) (dropped bool, err error)

	// MailQueue returns how long the queue is.
	MailQueue(ctx context.Context) (MailQueue, error)
}

// MailQueue is the length of the queue of mail, with those mails that are not due yet.
type MailQueue struct {
	Mails  int64
	Oldest time.Time // when the oldest was queued, the zero time if there are none
}
