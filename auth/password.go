package auth

import (
	"fmt"
	"unicode/utf8"

	"clientes/store"
)

// The length of a password in characters: NIST SP 800-63B section 3.1.1.2 wants 8 at least and asks for 64
// or more to be taken.
const (
	MinPassword = 8
	MaxPassword = 256
)

// checkNewPassword says whether somebody may take this password, as a *store.InvalidError on "password".
func checkNewPassword(password string) error {
	fault := func(code, message string) error {
		return &store.InvalidError{Fields: []store.FieldError{{Field: "password", Code: code, Message: message}}}
	}
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return fault("invalid_text", "The password is not valid UTF-8.")
	case n < MinPassword:
		return fault("too_short", fmt.Sprintf("A password has at least %d characters.", MinPassword))
	case n > MaxPassword:
		return fault("too_long", fmt.Sprintf("A password has at most %d characters.", MaxPassword))
	}
	return nil
}
