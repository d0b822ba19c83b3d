package auth

import "context"

// Gate lets few hashes of passwords run at once and few wait, because each takes a core and 19 MiB: a flood
// of logins must neither slow everything else nor take memory without bound.
type Gate struct {
	hasher Hasher
	slots  chan struct{}
	places chan struct{} // running and waiting
}

// NewGate makes a gate to a hasher, for that many hashes at once, and that many more waiting.
func NewGate(hasher Hasher, running, waiting int) *Gate {
	return &Gate{hasher: hasher, slots: make(chan struct{}, running), places: make(chan struct{}, running+waiting)}
}

// Do calls f when its turn comes, and gives what that gives. It gives ErrOverloaded at once if too many wait already, and
// the context's error if that ends first; f was not called then.
func (g *Gate) Do(ctx context.Context, f func(Hasher) error) error {
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
	default:
		return ErrOverloaded
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return f(g.hasher)
}
