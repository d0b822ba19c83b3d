package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// check is one promise and how it is tried.
type check struct {
	id       string
	section  string // of the promises, see the constants
	sentence string // the promise

	// try returns what was seen, a short sentence without secrets. A promise that does not hold is
	// the error of broken, and one that could not be tried is that of notTried. Every other error
	// counts as broken, because a server that does not answer keeps no promise.
	try func(ctx context.Context, v *verifier) (seen string, err error)
}

// The sections of the promises.
const (
	conventions = "1. Conventions"
	tutorial    = "2. The tutorial's routes"
	accessToken = "3. The access token"
	sessions    = "4. Sessions"
	accounts    = "5. Accounts"
	customers   = "6. Customers"
	people      = "7. For people and for tools"
)

// checks is the table of all promises by their sections, in the order in which they are tried.
func checks() []check {
	all := slices.Concat(
		forgeryChecks(), signedChecks(),
		logoutChecks(), refreshChecks(), sessionChecks(), stepUpChecks(),
		loginChecks(), unknownUserChecks(), factorChecks(), keyChecks(),
		networkChecks(), cookieChecks(), headerChecks(),
		idempotencyChecks(), recordChecks(), writeChecks(), listChecks(), importChecks(),
		routeChecks(), userChecks(), auditChecks(), tutorialChecks(),
	)
	slices.SortStableFunc(all, func(a, b check) int {
		return strings.Compare(a.section, b.section)
	})
	return all
}

// Promise is a promise that verify knows how to try.
type Promise struct {
	ID       string
	Section  string
	Sentence string
}

// Promises returns all of them, in the order in which they are tried.
func Promises() (all []Promise) {
	for _, c := range checks() {
		all = append(all, Promise{c.id, c.section, c.sentence})
	}
	return all
}

// brokenError means that a promise does not hold.
type brokenError struct{ what string }

func (e *brokenError) Error() string { return e.what }

// broken returns the error for a promise that does not hold. It says what was sent and what came.
func broken(format string, args ...any) error {
	return &brokenError{fmt.Sprintf(format, args...)}
}

// untriedError means that a promise could not be tried.
type untriedError struct{ why string }

func (e *untriedError) Error() string { return e.why }

// notTried returns the error for a promise that could not be tried.
func notTried(format string, args ...any) error {
	return &untriedError{fmt.Sprintf(format, args...)}
}

// try runs one check within its time.
func (v *verifier) try(ctx context.Context, c check) Result {
	r := Result{Promise: Promise{c.id, c.section, c.sentence}}
	if ctx.Err() != nil {
		r.Outcome, r.Evidence = NotTried, "the run ended before"
		return r
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, maxCheck)
	defer cancel()
	var seen string
	err := recovered(func() (err error) {
		if err := v.renew(limited, v.admin); err != nil {
			return err
		}
		seen, err = c.try(limited, v)
		return err
	})
	r.Took = time.Since(began).Round(time.Millisecond)
	var (
		untried *untriedError
		refused *refusedError
	)
	switch {
	case err == nil:
		r.Outcome, r.Evidence = Passed, seen
	case errors.As(err, &untried):
		r.Outcome, r.Evidence = NotTried, err.Error()
	case ctx.Err() != nil:
		r.Outcome, r.Evidence = NotTried, "the run ended before it was done"
	case errors.As(err, &refused) && (refused.status == 429 || refused.code() == "overloaded"):
		r.Outcome = NotTried
		r.Evidence = "the server was too busy, or slows this address down: " + err.Error()
	default:
		r.Outcome, r.Evidence = Failed, err.Error()
	}
	r.Evidence = v.hidden(r.Evidence)
	return r
}
