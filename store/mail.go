package store

import (
	"context"
	"time"
)

// Mail is a message that waits to be sent to a user. It says what to send and holds no link and no token:
// these are made when it is sent, so that whoever reads the database can follow none.
type Mail struct {
	ID     int64
	UserID int64
	Kind   MailKind
	To     string // the address, which may be a pending one, or one that was the user's before
	Detail string // what else the text says, in a form of package auth's; the store does not look inside

	// LinkGeneration is the user's at the instant of writing. A link is made with it: if it was cancelled
	// while the mail waited, it is born dead.
	LinkGeneration int64

	CreatedAt time.Time
	NextTry   time.Time // it is due from then on
	Tries     int64     // how often it was claimed
}

// MailKind says what a mail is about.
type MailKind string

// The kinds of mail. The first three carry a link.
const (
	MailReset           MailKind = "reset"            // set another password
	MailInvitation      MailKind = "invitation"       // set a first password
	MailConfirm         MailKind = "confirm"          // confirm a pending email
	MailPasswordChanged MailKind = "password_changed" // the password is another
	MailEmailChanged    MailKind = "email_changed"    // the email is or will be another, to the old one
	MailNewNetwork      MailKind = "new_address"      // a login from an address that is new
)

// MaxMailTries is how often a mail is tried before it is dropped: with the waits in between for some sixteen
// hours, a night in which nobody looks after the mail server.
const MaxMailTries = 14

// Wait is how long a mail that could not be sent waits for its next try: 15 seconds after the first, since
// some links are good for half an hour, twice as long after each further one, and four hours at most.
func (m Mail) Wait() time.Duration {
	const first, longest = 15 * time.Second, 4 * time.Hour
	wait := first
	for try := int64(1); try < m.Tries && wait < longest; try++ {
		wait *= 2
	}
	return min(wait, longest)
}

// Mails is the queue of mail that is to be sent.
type Mails interface {
	// QueueMails puts mails into the queue, due at once; of each UserID, Kind, To and Detail are kept. One to
	// a user who is gone is left out without an error. Mails that tell of a change of the user go there with
	// the change (EffectsFunc), those of a new address with SeeNetwork.
	QueueMails(ctx context.Context, mails ...Mail) error

	// ClaimMails gives up to limit mails that are due, those longest due, by ascending ID, and makes each due
	// again only after the lease, with one try more, as one atomic step: while a lease lasts nobody else is
	// given the mail. Whoever claimed it ends in DeleteMail or RetryMail; if they vanish it is given again
	// when the lease is over, and so may be sent twice, but never not at all. It gives an empty slice when
	// there are none.
	ClaimMails(ctx context.Context, lease time.Duration, limit int) ([]Mail, error)

	// DeleteMail removes a mail that was sent or is not worth sending any more. If it is gone it does nothing.
	DeleteMail(ctx context.Context, id int64) error

	// RetryMail makes a mail that was claimed and could not be sent due again after its Wait, or drops it if
	// it was the last of its MaxMailTries, and says whether it did so. If the lease has ended and somebody
	// else has claimed it since, it is theirs, and nothing is done; so if it is gone.
	RetryMail(ctx context.Context, m Mail) (dropped bool, err error)
}
