// Package token signs what the server hands out, and verifies it when it comes back.
//
// A [Keyring] holds the secrets. [Keyring.Sign] signs a short text for one [Purpose], and
// [Keyring.Verify] returns the text if the signature is ours. So refresh tokens, links in mail,
// device tokens and cursors share one format and one parser:
//
//	keys, err := token.NewKeyring(secret)
//	signed := keys.Sign(token.Link, "reset.7.1795348800", "generation 3")
//	text, ok := keys.Verify(token.Link, signed, "generation 3")
//
// [Keyring.Seal] and [Keyring.Open] are for secrets that the store keeps. An [Issuer] mints and
// verifies access tokens, which are JWTs that other services can verify, too.
//
// The package promises three things. The MAC is verified before anything that a stranger wrote is
// decoded. A text that was signed for one purpose, or for other bound values, is refused. What one
// released version signed, every other one accepts, older or newer.
//
// It knows nothing of users' rows, of the store, or of which sessions have ended: whether a
// token was revoked is for package auth to decide.
package token

import "errors"

var (
	// ErrInvalid refuses an access token that no secret of ours has signed, or whose claims are not
	// all there and valid.
	ErrInvalid = errors.New("the token is not a valid access token")

	// ErrExpired refuses an access token whose only fault is its age.
	ErrExpired = errors.New("the token has expired")
)
