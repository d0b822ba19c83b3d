package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"clientes/store"
)

// EraseCliente erases a customer for a caller, as [store.Erasing] does, and records it with the
// reason. What the engine leaves of the text goes within seconds, if [Auth.Run] runs.
func (a *Auth) EraseCliente(
	ctx context.Context, c Caller, id int64, reason string, check func(store.Cliente) error,
) error {
	e := newEvent(ctx, store.EventClienteErased, 0, reason)
	e.ClienteID, e.Key = id, "" // an id is erased once
	erased := false
	err := a.cfg.Store.EraseCliente(ctx, c.UserID, id, func(c store.Cliente) error {
		err := check(c)
		erased = err == nil
		return err
	}, e)
	if err == nil && erased {
		logEvents(a.cfg.Log, []store.Event{e})
		a.eraser.wake()
	}
	return err
}

// RecordDisclosure records that a caller has read all that is kept of a customer. A caller can do
// that at will, so it has one row in [store.AuditWindow].
func (a *Auth) RecordDisclosure(ctx context.Context, id int64) {
	e := newEvent(ctx, store.EventClienteDisclosed, 0, "")
	e.ClienteID = id
	e.Key += " about " + decimal(id)
	a.audit.record(ctx, e)
}

// EraseUser deletes a user, ends all their sessions, and takes out what names them elsewhere, as
// [store.Erasing] does. It returns [store.ErrNotFound] or [store.ErrLastAdmin].
func (a *Auth) EraseUser(ctx context.Context, id int64) error {
	err := a.accounts.erase(ctx, id)
	a.eraser.wake() // also if the caller has gone in the middle of it
	return err
}

// Erase is [Auth.EraseUser] for the user of that name.
func (a *Accounts) Erase(ctx context.Context, name string) error {
	u, err := a.users.UserByName(ctx, name)
	if err != nil {
		return fmt.Errorf("look up user: %w", err)
	}
	if err := a.erase(ctx, u.ID); err != nil {
		return err
	}
	_, err = a.users.EraseAgain(ctx, 0) // nobody, but the files
	switch {
	case errors.Is(err, store.ErrNotCleared):
		return fmt.Errorf("the user is deleted, but the name may be left in files: %w", err)
	case errors.Is(err, store.ErrUnavailable):
		return nil // the server that uses them does it, or the next one at its start
	}
	return err
}

func (a *Accounts) erase(ctx context.Context, id int64) error {
	if err := a.checkCaller(ctx); err != nil {
		return err
	}
	event := newEvent(ctx, store.EventUserErased, id, "")
	ended, err := a.users.EraseUser(ctx, id, event)
	a.ended(ended) // also if names are left: the account is gone
	if err != nil {
		return fmt.Errorf("erase user: %w", err)
	}
	logEvents(a.log, []store.Event{event})
	return nil
}

const (
	// eraseEvery is how often it is looked for what has to be erased again, and for what the
	// command line has erased. Erasures of this process wake it.
	eraseEvery = time.Minute

	// eraseRetry is the time between two tries while others read the files.
	eraseRetry = time.Second
)

// eraser does what an erasure leaves to be done: see [store.Erasing.EraseAgain].
type eraser struct {
	store interface {
		clock
		store.Erasing
	}
	log   *slog.Logger
	woken chan struct{}
}

func newEraser(cfg Config) *eraser {
	return &eraser{store: cfg.Store, log: cfg.Log, woken: make(chan struct{}, 1)}
}

// wake lets run begin at once.
func (e *eraser) wake() {
	select {
	case e.woken <- struct{}{}:
	default:
	}
}

// run begins at once, because the database may have been restored, and goes on until ctx ends.
func (e *eraser) run(ctx context.Context) {
	out := Outage{
		Log: e.log, Level: slog.LevelWarn,
		Fails: "what was erased is not out of the files yet; trying again",
		Well:  "what was erased is out of the files",
	}
	for {
		err := e.once(ctx)
		if ctx.Err() != nil {
			return
		}
		out.Note(e.store.Now(), err)
		wait := eraseEvery
		if err != nil && !errors.Is(err, store.ErrNotCleared) {
			wait = eraseRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-e.woken:
		case <-time.After(wait):
		}
	}
}

func (e *eraser) once(ctx context.Context) error {
	erased, err := store.EraseAllAgain(store.WithRank(ctx, store.Insisting), e.store)
	if erased > 0 {
		e.log.Info("erased again, as an older state was restored or names were left",
			"rows", erased)
	}
	return err
}
