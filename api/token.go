package api

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"clientes/auth"
)

// tokenError refuses a request for want of a good token, with a sentence for whoever wrote the
// client. It stands in error_description, so it has neither quotes nor backslashes.
type tokenError struct {
	kind error // errTokenMissing or one of auth
	hint string
}

func (e *tokenError) Error() string { return e.kind.Error() + ": " + e.hint }
func (e *tokenError) Unwrap() error { return e.kind }

// tokenHint returns what the client can learn of why its token was refused, "" if nothing.
func tokenHint(err error) string {
	if own, is := errors.AsType[*tokenError](err); is {
		return own.hint
	}
	if invalid, is := errors.AsType[*auth.InvalidTokenError](err); is {
		return invalid.Reason
	}
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return "The token has expired; refresh it, or log in again."
	case errors.Is(err, auth.ErrTokenRevoked):
		return "The session of the token was ended; log in again."
	}
	return ""
}

// ofKey returns an error that refuses a key. It says what its owner can do, which is not to log in.
// Other errors are returned as they are.
func ofKey(err error) error {
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return &tokenError{auth.ErrTokenExpired, "The key has expired; make another one."}
	case errors.Is(err, auth.ErrTokenRevoked):
		return &tokenError{auth.ErrTokenRevoked, "The key was ended; make another one."}
	case errors.Is(err, auth.ErrStepUpRequired):
		return &requestError{auth.ErrStepUpRequired,
			"A key alone does not allow this: send the password of its user as \"current\" in the body " +
				"(and a code of their second factor as \"code\", if they have one)."}
	case errors.Is(err, auth.ErrMFASetupRequired):
		return &requestError{auth.ErrMFASetupRequired,
			"The user of this key must have a second factor. Set one up, then make another key."}
	}
	return err
}

// challengeFor returns the WWW-Authenticate of a 401 (RFC 6750 section 3). The hint is that of
// [tokenHint].
func challengeFor(err error, hint string) string {
	invalid, description, quote := "", "", ""
	if aboutToken(err) {
		invalid = `, error="invalid_token"`
	}
	if hint != "" {
		description, quote = `, error_description="`, `"`
	}
	return `Bearer realm="clientes"` + invalid + description + hint + quote
}

// scopeChallenge returns the WWW-Authenticate of a 403. It names the scope that a key lacks.
func scopeChallenge(err error) string {
	challenge := `Bearer realm="clientes", error="insufficient_scope"`
	if lacks, is := errors.AsType[*scopeError](err); is && lacks.scope != noKey {
		challenge += `, scope="` + string(lacks.scope) + `"`
	}
	return challenge
}

// accessToken returns the token of a request. Authorization counts only if x-access-token has no
// token: beside it, a gateway may have written Authorization for itself. Several tokens must be the
// same. Otherwise two parts of a system could take the request for that of different people.
func accessToken(h http.Header) (string, error) {
	tokens, why := tokensIn(h["X-Access-Token"], bareToken)
	if tokens == nil {
		var otherwise error
		tokens, otherwise = tokensIn(h["Authorization"], bearerToken)
		why = cmp.Or(why, otherwise, errTokenMissing)
	}
	if tokens == nil {
		return "", why
	}
	for _, t := range tokens[1:] {
		if t != tokens[0] {
			return "", &tokenError{auth.ErrTokenInvalid,
				"The header is there several times with different tokens; send one."}
		}
	}
	return tokens[0], nil
}

// tokensWithin returns what may be tokens in a text, whatever stands around them: quotes, another
// scheme, commas, JSON. It is for a logout, which must not leave a session open because its token
// came in an odd dress.
func tokensWithin(text string) (tokens []string) {
	outside := func(r rune) bool {
		return r != '.' && r != '_' && r != '-' && (r < '0' || r > '9') &&
			(r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	for word := range strings.FieldsFuncSeq(text, outside) {
		isToken := len(word) >= shortestToken && strings.Count(word, ".") == 2
		if (isToken || auth.IsWholeKey(word)) && !slices.Contains(tokens, word) {
			tokens = append(tokens, word)
		}
	}
	return tokens
}

// shortestToken is the length of a refresh token, the shortest of our tokens with dots: the id of a
// session, a number and a MAC.
const shortestToken = 22 + len(".0.") + 43

// tokensIn returns the tokens in the values of a header. If there are none, the error is why, or
// nil if the header is absent.
func tokensIn(values []string, read func(string) (string, error)) (tokens []string, err error) {
	for _, v := range values {
		token, why := read(strings.Trim(v, " \t"))
		if token != "" {
			tokens = append(tokens, token)
		}
		err = cmp.Or(err, why)
	}
	return tokens, err
}

// bareToken reads x-access-token: a token as it is, or after the scheme.
func bareToken(value string) (string, error) {
	token, schemed := afterBearer(value)
	switch {
	case token == "" && schemed:
		return "", &tokenError{errTokenMissing, "x-access-token has no token after Bearer."}
	case isPlaceholder(token):
		return "", errPlaceholder("x-access-token")
	}
	return token, nil
}

// bearerToken reads Authorization (RFC 6750 section 2.1).
func bearerToken(value string) (string, error) {
	token, schemed := afterBearer(value)
	switch {
	case !schemed:
		return "", otherScheme(value)
	case token == "":
		return "", &tokenError{errTokenMissing, "Authorization has no token after Bearer."}
	case isPlaceholder(token):
		return "", errPlaceholder("Authorization")
	}
	return token, nil
}

// afterBearer returns what a value has after the scheme Bearer, in any case of letters, and all of
// it if it has no such scheme.
func afterBearer(value string) (rest string, schemed bool) {
	const scheme = "Bearer"
	if len(value) < len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) {
		return value, false
	}
	rest = value[len(scheme):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return value, false
	}
	return strings.Trim(rest, " \t"), true
}

// isPlaceholder reports whether a text is what languages and tools write for a missing value.
func isPlaceholder(token string) bool {
	const longest = "[object promise]"
	if word := strings.Trim(token, `"'()<>`); len(word) <= len(longest) {
		switch strings.ToLower(word) {
		case "undefined", "null", "nil", "none", "nan", "false", "[object object]", longest:
			return true
		}
	}
	// A variable without a value, of Postman and of a shell or template.
	return strings.HasPrefix(token, "{{") || strings.HasPrefix(token, "$")
}

func errPlaceholder(header string) error {
	return &tokenError{auth.ErrTokenInvalid, header + " has a placeholder such as undefined " +
		"or null in place of a token: the client has none yet; log in first."}
}

// otherScheme returns why Authorization without the scheme Bearer holds no token. Whether it holds
// one without its scheme shows by the two dots, or by how a key begins. What a gateway writes there
// for itself has neither.
func otherScheme(value string) error {
	scheme, rest, found := strings.Cut(value, " ")
	switch {
	case value == "":
		return nil
	case (strings.Count(value, ".") >= 2 || auth.IsKey(value)) && !found:
		return &tokenError{auth.ErrTokenInvalid,
			"Authorization needs Bearer and a space before the token."}
	case strings.Count(rest, ".") >= 2 || auth.IsKey(rest):
		return &tokenError{auth.ErrTokenInvalid, "Authorization needs Bearer and a space " +
			"before the token; it has another scheme."}
	case isPlaceholder(scheme) && !found:
		return errPlaceholder("Authorization")
	}
	return &tokenError{errTokenMissing,
		"Authorization has no token of this server: that is Bearer, a space and the token."}
}
