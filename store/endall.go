package store

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// Restoring makes a database safe to serve after an older state of it was brought back.
type Restoring interface {
	// EndAll ends what an older state must not bring back, in one step, and records
	// [EventAllEnded]. It ends all sessions, those that have a Key too, in the order that
	// SessionEnds goes by. It raises all generations of all users to numbers that were never given.
	// It removes idempotency keys and queued mails. Buckets stay, and so do passwords, roles and
	// second factors.
	//
	// From then on no table assigns an id up to its entry in lastIDs, which are those that were
	// ever given. If lastIDs is nil, nobody knows them, and all ids go on after an [IDJump].
	EndAll(ctx context.Context, lastIDs map[string]int64) (EndedAll, error)
}

// EndedAll counts what [Restoring.EndAll] has ended.
type EndedAll struct {
	Sessions int // those that had not ended, the keys of programs too
	Users    int // whose links, device tokens and logins under way are cancelled
	Mails    int
	Answers  int // that were remembered for idempotency keys
}

const (
	minIDJump, maxIDJump = 1e9, 1e12

	// A generation is raised by a few a day.
	minGenerationJump, maxGenerationJump = 1 << 32, 1 << 40
)

// IDJump returns how far ids jump where nobody knows which ones were given: further than a table
// ever grew since its last backup. It is random, because the same backup may be restored twice. It
// leaves room for thousands of jumps below 2^53, the highest integer that JavaScript has.
func IDJump() int64 { return minIDJump + rand.Int64N(maxIDJump-minIDJump) }

// GenerationJump returns by how much EndAll raises the generations of users. It is random for the
// same reason: a step of one would bring back a generation that was given after the backup.
func GenerationJump() int64 {
	return minGenerationJump + rand.Int64N(maxGenerationJump-minGenerationJump)
}

// Event returns what the audit keeps of it.
func (e EndedAll) Event() Event {
	detail := fmt.Sprintf("sessions %d, users %d, mails %d, answers %d",
		e.Sessions, e.Users, e.Mails, e.Answers)
	return Event{Kind: EventAllEnded, Detail: detail}
}
