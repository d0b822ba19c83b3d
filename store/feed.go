package store

import (
	"context"
	"errors"
	"math"
	"time"
)

// ErrUnknownPosition refuses a [FeedPosition] that is of another database, or of a later state of
// this one than a backup brought back. Whoever follows the changes must begin again from the start,
// with an empty copy.
var ErrUnknownPosition = errors.New("the position in the feed is not one of this database")

// Feed is the order of all changes of all records. Whoever reads it from the beginning, and applies
// what comes, has the same records as the database: see [Feed.Changes].
//
// A change comes after each change that it rests on: after the earlier ones of its record, and
// after the one that set free the email that it takes. This holds although transactions end in
// another order than they begin.
type Feed interface {
	// Changes returns up to limit changes after a position, the oldest first. The zero position is
	// the beginning. A change whose writer is still at work comes later, and so does each one after
	// it. Nothing is ever missed, whatever the time between two calls and whatever process answers.
	//
	// A change whose text was erased comes as [Erased], in its place. Records whose last change is
	// older than the order come first, as [Created]. They are as they were when the order began. To
	// find them takes many calls on a large database, of which some return nothing but a position
	// and More.
	//
	// It returns [ErrUnknownPosition] if this database does not hold the change that the position
	// names.
	Changes(ctx context.Context, after FeedPosition, limit int) (FeedPage, error)

	// FeedEnd returns the position after the last change that Changes would return now.
	FeedEnd(ctx context.Context) (FeedPosition, error)
}

// FeedPosition is a place in a [Feed]: after one of its changes. It is good for ever, and in a copy
// of the database too. The zero FeedPosition is the beginning of any.
type FeedPosition struct {
	Part FeedPart
	ID   int64 // of the last record, until the order begins
	Seq  int64 // of the last change, in the order; 0 at its beginning

	// At is when that change was made, or if there is none when the order began. By it another
	// history is known.
	At time.Time
}

// same reports whether two positions in the order are after the same change.
func (p FeedPosition) same(q FeedPosition) bool { return p.Seq == q.Seq && p.At.Equal(q.At) }

// FeedPart is one of the parts of a [Feed], in their order.
type FeedPart int

// The parts of a feed.
const (
	FeedOlder      FeedPart = iota // records whose last change is older than the order, by id
	FeedUnrecorded                 // records without history, by id
	FeedOrder                      // changes in their order
)

// FeedPage is a part of a [Feed].
type FeedPage struct {
	Changes []FeedChange // not nil
	Next    FeedPosition // after the last of them, or further
	More    bool         // there are more already

	// HeldSince is when a change was made that is kept, but has to wait for a writer before it.
	// It is the zero time if there is none.
	HeldSince time.Time
}

// FeedChange is a [Change] and the position after it.
type FeedChange struct {
	Change
	Position FeedPosition
}

// FeedSource is how an engine reads the parts of its [Feed].
type FeedSource struct {
	// Older returns the last change before the order began of up to limit records after an id, by
	// ascending id.
	Older func(after int64, limit int) ([]Change, error)

	// Unrecorded looks at up to limit records after an id, and returns those without history as
	// changes that created them. It also returns the id of the last one that it has looked at, 0 if
	// there is none.
	Unrecorded func(after int64, limit int) (found []Change, last int64, err error)

	// Ordered returns up to limit changes from the one with the number from on.
	Ordered func(from int64, limit int) ([]FeedChange, error)

	// Began returns when the order began.
	Began func() (time.Time, error)
}

const (
	// unrecordedStep is how many records are looked at in one step for those without history.
	unrecordedStep = 10_000

	// maxSteps bounds one call. Hardly any record is without history, and to look at ten million of
	// them takes longer than a call may take.
	maxSteps = 20
)

// Read returns a page, as [Feed] documents it.
func (s FeedSource) Read(ctx context.Context, after FeedPosition, limit int) (FeedPage, error) {
	p := FeedPage{Changes: []FeedChange{}, Next: after}
	limit = max(limit, 0)
	if after.Seq == 0 {
		began, err := s.Began()
		switch {
		case err != nil:
			return FeedPage{}, err
		case after != FeedPosition{} && !after.At.Equal(began):
			return FeedPage{}, ErrUnknownPosition
		}
		p.Next.At = began
	}
	for step := 0; p.Next.Part != FeedOrder && len(p.Changes) < limit && step < maxSteps; step++ {
		if err := s.readOlder(&p, limit-len(p.Changes)); err != nil {
			return FeedPage{}, err
		}
		if err := ctx.Err(); err != nil {
			return FeedPage{}, err
		}
	}
	if p.Next.Part != FeedOrder {
		p.More = true // perhaps, which the next call finds out
		return p, nil
	}
	// The change before them shows whether the position is one of this database.
	anchored := 0
	if p.Next.Seq > 0 {
		anchored = 1
	}
	wanted := limit - len(p.Changes)
	changes, err := s.Ordered(p.Next.Seq, wanted+anchored+1)
	if err != nil {
		return FeedPage{}, err
	}
	if anchored > 0 {
		if len(changes) == 0 || !changes[0].Position.same(p.Next) {
			return FeedPage{}, ErrUnknownPosition
		}
		changes = changes[1:]
	}
	p.More = len(changes) > wanted
	changes = changes[:min(wanted, len(changes))]
	for _, c := range changes {
		if c.Erased && c.Action != Deleted { // which has no record in any case
			// It is not left out: a follower who has the text of the one before would keep an
			// email that another record has after the next change.
			c.Action = Erased
		}
		p.Changes = append(p.Changes, c)
		p.Next = c.Position
	}
	return p, nil
}

// readOlder reads up to limit records that come before the order, or goes on to the next part.
func (s FeedSource) readOlder(p *FeedPage, limit int) error {
	var found []Change
	var err error
	part := p.Next.Part
	last := int64(math.MaxInt64)
	switch part {
	case FeedOlder:
		if found, err = s.Older(p.Next.ID, limit); len(found) > 0 {
			last = found[len(found)-1].Record.ID
		}
	case FeedUnrecorded:
		var looked int64
		if found, looked, err = s.Unrecorded(p.Next.ID, unrecordedStep); looked > 0 {
			last = looked
		}
	}
	if err != nil {
		return err
	}
	if len(found) > limit {
		found = found[:limit]
		last = found[limit-1].Record.ID
	}
	for _, c := range found {
		if c.Action == Deleted || c.Erased {
			continue // it was gone before the order began, or what it was is
		}
		c.Action = Created
		p.Changes = append(p.Changes, FeedChange{c, FeedPosition{
			Part: part, ID: c.Record.ID, At: p.Next.At,
		}})
	}
	p.Next.ID = last
	if last == math.MaxInt64 {
		p.Next = FeedPosition{Part: part + 1, At: p.Next.At}
	}
	return nil
}

// UnrecordedChange returns the change of a record that no history knows: that it was created as it
// is.
func UnrecordedChange(c Cliente) Change {
	return Change{Version: c.Version, Action: Created, At: c.UpdatedAt, Record: c}
}
