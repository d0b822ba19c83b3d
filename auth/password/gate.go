package password

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/text/unicode/norm"

	"clientes/store"
)

// ErrOverloaded means that too many passwords are waiting to be hashed.
var ErrOverloaded = errors.New("too many passwords are waiting to be checked")

// Gate lets few passwords be hashed at once and few wait, because each takes a core and 19 MiB. A
// flood of logins must neither slow everything else nor take memory without bound.
//
// A Gate has two lanes, for strangers and for known users. Neither takes a place in the other. Of
// those who wait, a known user is next. So a flood of strangers delays a known user by one hash.
//
// A Gate is safe for concurrent use.
type Gate struct {
	Rules Rules // for new passwords; not to be changed while the gate is in use

	observer Observer
	hasher   Hasher
	slots    chan struct{}
	handed   chan struct{} // a slot goes to a known user who waits
	admitted chan struct{} // running and waiting in the lane
	known    chan struct{} // admitted of the lane for known users, nil within itself
}

// NewGate returns a gate before a hasher: the lane for strangers. running is how many hashes run at
// once, and waiting is how many more may wait in each lane.
func NewGate(hasher Hasher, running, waiting int) *Gate {
	return &Gate{
		hasher:   hasher,
		slots:    make(chan struct{}, running),
		handed:   make(chan struct{}),
		admitted: make(chan struct{}, running+waiting),
		known:    make(chan struct{}, running+waiting),
	}
}

// Known returns the lane for users who have shown that they were here before. It has the rules that
// the gate has at the call. The caller lets in few at once for each user: nobody else bounds how
// many of the places one user takes.
func (g *Gate) Known() *Gate {
	if g.known == nil {
		return g
	}
	lane := *g
	lane.admitted, lane.known = g.known, nil
	return &lane
}

// Observer is told how long things take at a [Gate]. Its functions are called at the same time by
// many goroutines.
type Observer struct {
	Waited func(time.Duration) // for a slot, in vain if the caller gave up
	Worked func(time.Duration) // with a slot
}

// Observed returns the gate with an observer of all that goes through it this way. It has the rules
// that the gate has at the call.
func (g *Gate) Observed(o Observer) *Gate {
	observed := *g
	observed.observer = o
	return &observed
}

// Waiting returns how many passwords wait for a slot, in the lane and in that of [Gate.Known].
func (g *Gate) Waiting() int {
	return max(0, len(g.admitted)+len(g.known)-len(g.slots))
}

// HasherRestarts returns how often a [Process] behind the gate was started again.
func (g *Gate) HasherRestarts() int64 {
	if p, ok := g.hasher.(*Process); ok {
		return p.Restarts()
	}
	return 0
}

// Do calls f when a slot is free, and returns the error of f. It returns [ErrOverloaded] at once
// if too many wait in the lane, and the context's error if the context ends first. In both cases f
// is not called.
func (g *Gate) Do(ctx context.Context, f func(Hasher) error) error {
	select {
	case g.admitted <- struct{}{}:
		defer func() { <-g.admitted }()
	default:
		return ErrOverloaded
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	begun := time.Now()
	var handed chan struct{} // nobody hands a stranger a slot
	if g.known == nil {
		handed = g.handed
	}
	select {
	case g.slots <- struct{}{}:
	case <-handed:
	case <-ctx.Done():
		g.observer.waited(begun)
		return ctx.Err()
	}
	defer g.leave()
	defer g.observer.worked(time.Now())
	g.observer.waited(begun)
	return f(g.hasher)
}

func (o Observer) waited(since time.Time) {
	if o.Waited != nil {
		o.Waited(time.Since(since))
	}
}

func (o Observer) worked(since time.Time) {
	if o.Worked != nil {
		o.Worked(time.Since(since))
	}
}

// leave hands the slot to a known user who waits, or makes it free.
func (g *Gate) leave() {
	select {
	case g.handed <- struct{}{}:
	default:
		<-g.slots
	}
}

// Ready is the hasher's [Hasher.Ready]. It does not wait at the gate: a crowd there is no reason to
// send everybody elsewhere.
func (g *Gate) Ready(ctx context.Context) error {
	if err := g.hasher.Ready(ctx); err != nil {
		return fmt.Errorf("see whether passwords can be hashed: %w", err)
	}
	return nil
}

// Verify is the hasher's [Hasher.Verify] behind the gate.
func (g *Gate) Verify(
	ctx context.Context, hash, password string, rehash bool,
) (good bool, rehashed string, err error) {
	err = g.Do(ctx, func(h Hasher) (err error) {
		good, rehashed, err = h.Verify(hash, password, rehash)
		return err
	})
	if err != nil {
		return false, "", fmt.Errorf("verify password: %w", err)
	}
	return good, rehashed, nil
}

// HashNew returns the hash of a new password of u. A password that the gate's [Rules] refuse, or
// that is easy to guess for somebody who knows the name and the emails of u, is a
// *[store.InvalidError] on "password". Other errors come from the gate, its hasher or the denylist.
func (g *Gate) HashNew(
	ctx context.Context, u store.User, password string,
) (hash string, err error) {
	if err := g.Rules.CheckNew(password); err != nil {
		return "", err
	}
	err = g.Do(ctx, func(h Hasher) (err error) {
		known := knownWords(u)
		if g.Rules.Denied != nil {
			if err := g.Rules.Denied.check(norm.NFC.String(password)); err != nil {
				return err
			}
			known = append(known, g.Rules.Denied.words...)
		}
		hash, err = h.Hash(password, known)
		return err
	})
	var invalid *store.InvalidError
	switch {
	case errors.As(err, &invalid):
		return "", invalid
	case err != nil:
		return "", fmt.Errorf("hash password: %w", err)
	case hash == "":
		return "", tooGuessable()
	}
	return hash, nil
}
