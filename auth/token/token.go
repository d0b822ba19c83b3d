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

import (
	"errors"
	"strings"
)

var (
	// ErrInvalid refuses an access token that no secret of ours has signed, or whose claims are not
	// all there and valid. It comes as an [*InvalidError].
	ErrInvalid = errors.New("the token is not a valid access token")

	// ErrExpired refuses an access token whose only fault is its age.
	ErrExpired = errors.New("the token has expired")
)

// InvalidError is an [ErrInvalid] with its reason. The reason helps no forger: of a token whose
// signature does not match, it tells only the form that its sender has seen.
type InvalidError struct {
	// Reason is a sentence about the token that repeats nothing of it. It has only characters that
	// may stand in an error_description (RFC 6750 section 3): neither quotes nor backslashes.
	Reason string
}

// Error implements error.
func (e *InvalidError) Error() string { return ErrInvalid.Error() + ": " + e.Reason }

// Unwrap returns [ErrInvalid].
func (e *InvalidError) Unwrap() error { return ErrInvalid }

func invalid(reason string) error { return &InvalidError{Reason: reason} }

// formFault returns what is wrong with the form of a text that is no access token, before its
// signature is looked at.
func formFault(text string) error {
	switch {
	case text == "":
		return invalid("The token is empty.")
	case strings.HasPrefix(text, "{"):
		return invalid("This is JSON; send only the value of its member token.")
	case strings.ContainsAny(text[:1], "\"'`") || strings.ContainsAny(text[len(text)-1:], "\"'`"):
		return invalid("There are quotation marks around the token; send it without them.")
	case len(text) > 7 && strings.EqualFold(text[:7], "Bearer "):
		return invalid("The token begins with Bearer, which is there twice; send it once.")
	case strings.ContainsRune(text, ','):
		return invalid("There is a comma in the token; send one token, without a list around it.")
	case strings.ContainsAny(text, " \t\r\n"):
		return invalid("There is white space in the token; send it as one word.")
	case len(text) > MaxAccess:
		return invalid("The token is too long to be one of this server.")
	case strings.ContainsRune(text, '%'):
		return invalid("The token has a percent sign in it; send it without URL encoding.")
	case !isTokenText(text):
		return invalid("The token has characters that no token has; send it as the login returned it.")
	case strings.Count(text, ".") > 2:
		return invalid("A token has three parts with dots between them; this one has more.")
	}
	return invalid("A token has three parts with dots between them; this one may be cut off.")
}

// signatureFault returns why the three parts of what may be an access token have no good signature.
func signatureFault(header, payload, signature string) error {
	switch {
	case len(header) == 22 && isDigits(payload):
		return invalid("This looks like a refresh token; send the access token.")
	case len(signature) != signatureSize:
		return invalid("The signature of the token is not one of HS256; the token may be cut off, " +
			"or of another server.")
	}
	return invalid("The signature of the token does not match: the token is of another server, " +
		"or was changed, or SECRET was.")
}

// signatureSize is the length of an HMAC-SHA-256 in base64url.
const signatureSize = 43

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
