// Package password hashes and judges passwords.
//
// A [Hasher] verifies a password against a hash, and hashes a new one. [Local] does so in this
// process. [Process] does so in a process of its own, so that requests do not wait behind Argon2.
// [ServeProcess] is the other end of it. Either hasher stands behind a [Gate]:
//
//	gate := password.NewGate(password.Local{}, 2, 64)
//	hash, err := gate.HashNew(ctx, user, "correct horse battery")
//	good, rehashed, err := gate.Verify(ctx, hash, "correct horse battery", true)
//
// The package promises three things. An unknown user costs the same time as a wrong password. A
// flood of logins takes bounded memory. No password is trimmed, and it may come in any Unicode form
// of the same text (NFC, NFD): NIST SP 800-63B section 3.1.1.2.
//
// New hashes are Argon2id, of a password's NFC. Hashes of many other programs match, too (see
// [CheckHash]), and are replaced at the first login.
//
// The package knows nothing of logins, sessions, or how often somebody may try.
package password

import (
	"context"

	"golang.org/x/text/unicode/norm"
)

// Hasher does all work with passwords that takes a core and memory for some 30 ms, and so waits at
// a [Gate]. Its methods are safe for concurrent use. They fail only if another process does the
// work and that process fails.
type Hasher interface {
	// Verify reports whether hash is a hash of the password. If it is, but is not of the kind and
	// cost that new ones have, and rehash is set, it also returns a new hash. A hash of no known
	// kind, such as "", matches nothing after the same work.
	Verify(hash, password string, rehash bool) (good bool, rehashed string, err error)

	// Hash returns a hash of a new password, or "" if the password is easy to guess. The words in
	// known are what somebody who knows the user would try first.
	Hash(password string, known []string) (hash string, err error)

	// Ready returns nil if the hasher answers, which costs no hash.
	Ready(ctx context.Context) error
}

// Local hashes in this process, and never fails.
type Local struct{}

// Verify implements [Hasher].
func (Local) Verify(hash, password string, rehash bool) (good bool, rehashed string, err error) {
	good = verifyPassword(hash, password)
	if good && rehash && replaceable(hash, password) {
		rehashed = hashPassword(password)
	}
	return good, rehashed, nil
}

// Hash implements [Hasher].
func (Local) Hash(password string, known []string) (hash string, err error) {
	if guessable(norm.NFC.String(password), known) {
		return "", nil
	}
	return hashPassword(password), nil
}

// Ready implements [Hasher].
func (Local) Ready(context.Context) error { return nil }
