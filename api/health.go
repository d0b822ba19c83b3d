package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"clientes/store"
)

type messageView struct {
	Message string `json:"message"`
}

// home is the tutorial's greeting.
func (s *Server) home(context.Context, nothing) (messageView, error) {
	return messageView{Message: "Everything is okay!"}, nil
}

type healthView struct {
	Status string `json:"status"`
}

// healthz answers as long as the process lives, whatever the state of anything else.
func (s *Server) healthz(context.Context, nothing) (healthView, error) {
	return healthView{Status: "ok"}, nil
}

const (
	// readyTimeout bounds the checks. A load balancer has to learn of a fault within six seconds.
	readyTimeout = 4 * time.Second

	// readyFor is how long the checks are good from their beginning. Whoever asks meanwhile shares
	// them, so a crowd of askers costs no more than one.
	readyFor = time.Second

	// endsWait is how long the checks wait for the next report of what ended. A server that has
	// just begun has none yet, and on a busy machine one may be late.
	endsWait = time.Second
)

// checks are what a server needs to answer every request. Each is one of the constants below.
type checks struct {
	Store         string `json:"store"`          // a write is kept
	Migrations    string `json:"migrations"`     // the schema is the one of this program
	EndedSessions string `json:"ended_sessions"` // it is known which sessions ended
	Hasher        string `json:"hasher"`         // passwords can be hashed
}

const (
	checkOK      = "ok"
	checkFailed  = "failed"
	checkUnknown = "unknown" // because the store does not answer
)

type readyView struct {
	Status string `json:"status"`
	Checks checks `json:"checks"`
}

// readiness is one run of the checks.
type readiness struct {
	checks checks
	err    error // nil if all are ok
}

// notReadyError says which checks failed. Its text is for the log.
type notReadyError struct {
	checks  checks
	message string // for the client: a sentence for each check that failed
	errs    []error
}

func (e *notReadyError) Error() string {
	return fmt.Sprint("not ready: ", errors.Join(e.errs...))
}

func (e *notReadyError) Unwrap() []error { return e.errs }

// readyz reports whether this server should get requests.
func (s *Server) readyz(ctx context.Context, _ nothing) (readyView, error) {
	if s.draining.Load() {
		return readyView{}, errDraining
	}
	r, err := s.checked(ctx)
	if err != nil {
		return readyView{}, err
	}
	return readyView{Status: "ok", Checks: r.checks}, r.err
}

// checked returns the checks as they were made within the last second. It returns an error if ctx
// ends before they are final.
func (s *Server) checked(ctx context.Context) (*readiness, error) {
	return s.ready.get(ctx, readyFor, s.runChecks)
}

// runChecks makes all checks. One that panics counts as failed.
func (s *Server) runChecks(ctx context.Context, r *readiness) {
	bad := &notReadyError{message: "The checks could not be made."} // unless they are
	r.err = bad
	defer func() { bad.checks = r.checks }()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	hasher := make(chan error, 1)
	go func() { hasher <- s.cfg.Auth.CanHash(ctx) }()
	var sentences []string
	fail := func(err error, is *string, sentence string) {
		*is = checkFailed
		bad.errs = append(bad.errs, err)
		sentences = append(sentences, sentence)
	}

	is := &r.checks
	*is = checks{checkFailed, checkUnknown, checkOK, checkOK}
	switch err := s.cfg.Store.Ready(ctx); {
	case errors.Is(err, store.ErrSchema):
		is.Store = checkOK
		fail(err, &is.Migrations, "The check \"migrations\" failed: "+
			"they are not in, or are of another version.")
	case err != nil:
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the database has not kept a small write in %s; look for what keeps it "+
				"busy, and at the network in between: %w", readyTimeout, err)
		}
		fail(err, &is.Store, "The check \"store\" failed: the database cannot be written to.")
	default:
		is.Store, is.Migrations = checkOK, checkOK
		s.checkCopy(ctx, fail, &is.Store)
	}
	if err := s.endsKnown(ctx); err != nil {
		fail(err, &is.EndedSessions, "The check \"ended_sessions\" failed: "+
			"it is not known which sessions ended.")
	}
	if err := <-hasher; err != nil {
		fail(err, &is.Hasher, "The check \"hasher\" failed: passwords cannot be checked.")
	}
	bad.message = strings.Join(sentences, " ")
	if bad.errs == nil {
		r.err = nil
	}
}

// endsKnown returns nil once it is known which sessions ended.
func (s *Server) endsKnown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endsWait)
	defer cancel()
	for {
		err := s.cfg.Auth.EndsKnown()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// checkCopy fails the check of the store if the store holds only a part of another one.
func (s *Server) checkCopy(
	ctx context.Context, fail func(error, *string, string), is *string,
) {
	switch identity, err := s.cfg.Store.Identity(ctx); {
	case err != nil:
		fail(err, is, "The check \"store\" failed: the database cannot be read.")
	case identity.Copying != "":
		fail(errHalfCopied, is,
			"The check \"store\" failed: a copy into the database is not finished.")
	}
}
