package auth

import (
	"errors"
	"strings"
	"testing"

	"clientes/store"
)

func TestNewPasswords(t *testing.T) {
	for password, want := range map[string]string{
		"12345678":                     "",
		"1234567":                      "too_short",
		"áéíóúàèì":                     "",
		"áéíóúàè":                      "too_short",
		strings.Repeat("😀", 256):       "",
		strings.Repeat("😀", 257):       "too_long",
		"        ":                     "",
		"nul\x00 is a character, too":  "",
		"broken UTF-8 is no text \xff": "invalid_text",
	} {
		err := checkNewPassword(password)
		var invalid *store.InvalidError
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", password, err)
		case want != "" && (!errors.As(err, &invalid) || invalid.Fields[0].Code != want || invalid.Fields[0].Field != "password"):
			t.Errorf("%q: %v, want %s", password, err, want)
		}
	}
}
