package store

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Erasure is a customer whose text was erased.
type Erasure struct {
	ClienteID int64
	Version   int64 // of the erasure in the history
	At        time.Time
}

// ErasedUserName is what the history has in place of the name of a user who was erased.
func ErasedUserName(id int64) string { return "user " + strconv.FormatInt(id, 10) }

// NamesSettle is how long after its erasure the name of a user is looked for once more in the
// history. A change that was under way may have brought it there. No write takes that long.
const NamesSettle = 2 * time.Hour

// MaxReason is the longest reason of an erasure, in code points after normalization.
const MaxReason = 200

// ValidReason returns the reason of an erasure in the form that is stored, or an [*InvalidError].
// It is kept, so it must not name the person.
func ValidReason(reason string) (string, error) {
	var v invalid
	reason = v.line("reason", Trim(reason), MaxReason)
	return reason, v.err()
}

// ErrNotCleared says that erased texts may be left in the files of an engine, which only an
// operator can change. It comes in an [EngineError].
var ErrNotCleared = errors.New("the files of the database cannot be cleared of erased texts")

// Erasing takes the text about a person out for good. What was done, when and by whom stays.
type Erasing interface {
	// EraseCliente removes the record as DeleteCliente does, the text of all its changes, and the
	// fingerprints of the idempotency keys that stand for it, as one atomic step. Such a key makes
	// no record again: CreateClienteOnce refuses it. That step is a change itself, with
	// the next version and no text. The events are kept in it too, as events of this customer. The
	// id is remembered, so that [Erasing.EraseAgain] finds it in an older state of the database.
	//
	// It calls check with the record as it is, or with the zero Cliente if it was deleted. An error
	// of check is returned unwrapped, and nothing is erased. The store may call check again. If all
	// is erased already, it does nothing and does not call check. It returns [ErrNotFound] for an
	// id that no record has or had.
	EraseCliente(ctx context.Context, by, id int64, check func(Cliente) error,
		events ...Event) error

	// Erasure returns when a customer was erased, or ErrNotFound if it was not.
	Erasure(ctx context.Context, clienteID int64) (Erasure, error)

	// EraseUser removes the account as DeleteUser does, if it is still there. It removes addresses
	// and clients from the user's sessions, and the names of their keys. It keeps the events as
	// events of this user, unless the user is erased already. The id is remembered. All this is one
	// atomic step.
	//
	// Then it replaces the name in the history by [ErasedUserName], and removes the user's
	// addresses and clients from events. It does some thousand rows at a time. If that fails, the
	// account is gone, and another call or [Erasing.EraseAgain] goes on.
	//
	// It returns ErrNotFound if nothing is kept of a user with this id, or [ErrLastAdmin].
	EraseUser(ctx context.Context, id int64, events ...Event) ([]Ended, error)

	// EraseAgain erases who is remembered as erased and has text all the same, because an older
	// state of the database was restored: up to limit customers, and as many users. It leaves the
	// last admin. It returns how many it erased. It looks for the name of a user once more when
	// that was erased [NamesSettle] ago.
	//
	// Once they are fewer, it overwrites what the engine has left of erased text in its files. It
	// returns [ErrUnavailable] if long reads keep it from that; another call goes on. It returns
	// [ErrNotCleared] if it cannot overwrite such files at all. If nothing was erased since the
	// last call, it only looks up each id that is remembered.
	EraseAgain(ctx context.Context, limit int) (int, error)
}

// Tombstone returns the change that an erasure is, but for the mark that it is one. It has no text.
// An engine passes the record and its last change, either of which may be zero, and the time.
func Tombstone(by int64, c Cliente, last Change, now time.Time) Change {
	if c.ID == 0 {
		c = last.Record
	}
	at := last.At
	if c.UpdatedAt.After(at) {
		at = c.UpdatedAt
	}
	return Change{
		Version: max(c.Version, last.Version) + 1, Action: Deleted, UserID: by, At: Later(at, now),
		Record: Cliente{ID: c.ID, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt},
	}
}

// ErasedAgain returns the event of [Erasing.EraseAgain].
func ErasedAgain() Event {
	return Event{Kind: EventClienteErased, Detail: "again: an older state was restored"}
}

// EraseAllAgain calls EraseAgain until nobody is left, and returns how many there were.
func EraseAllAgain(ctx context.Context, e Erasing) (erased int, err error) {
	const atOnce = 100 // before it looks whether the context has ended
	for n := atOnce; n >= atOnce; erased += n {
		if n, err = e.EraseAgain(ctx, atOnce); err != nil {
			return erased, err
		}
	}
	return erased, nil
}

// EraseEach erases the customers and users that an engine has found for [Erasing.EraseAgain], and
// returns how many it erased.
func EraseEach(ctx context.Context, e Erasing, clientes, users []int64) (erased int, err error) {
	for _, id := range clientes {
		err := e.EraseCliente(ctx, 0, id, func(Cliente) error { return nil }, ErasedAgain())
		if err != nil {
			return 0, err
		}
	}
	erased = len(clientes)
	for _, id := range users {
		switch _, err := e.EraseUser(ctx, id); {
		case errors.Is(err, ErrLastAdmin):
		case err != nil:
			return 0, err
		default:
			erased++
		}
	}
	return erased, nil
}

// RowsAtOnce is how many rows of the history or the audit an engine clears of names or addresses at
// a time. Nobody waits for long meanwhile.
const RowsAtOnce = 2000

// InParts calls clear with the keys that find returns, up to [RowsAtOnce] of them behind a key, and
// begins behind the zero key. It ends when find returns fewer.
func InParts[K any](find func(after K) ([]K, error), clear func([]K) error) error {
	var last K
	for {
		found, err := find(last)
		if err == nil && len(found) > 0 {
			err = clear(found)
		}
		if err != nil || len(found) < RowsAtOnce {
			return err
		}
		last = found[len(found)-1]
	}
}
