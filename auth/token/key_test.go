package token_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"clientes/auth/token"
)

// A key that stands in SECURITY.md, made by another program.
const (
	published     = "clk_ExampleOfAKeyThatNobodyHas0000208TNi"
	publishedHash = "VJz83kDLXD5X3ZHIO7VPilKz4nOKddUor2VXCS4NmzA"
)

func TestKeysAreOfThePublishedForm(t *testing.T) {
	form := regexp.MustCompile(`^clk_[0-9A-Za-z]{36}$`)
	seen := make(map[byte]bool)
	for range 200 {
		text, hash := token.NewKey()
		if !form.MatchString(text) || !token.IsKey(text) {
			t.Fatalf("%q", text)
		}
		if err := token.CheckKey(text); err != nil || token.HashKey(text) != hash {
			t.Fatalf("%s: %v, hash %s", text, err, hash)
		}
		for i := 4; i < 34; i++ {
			seen[text[i]] = true
		}
	}
	if len(seen) != 62 {
		t.Errorf("6000 random characters are %d different ones", len(seen))
	}
	hash := token.HashKey(published)
	if err := token.CheckKey(published); err != nil || hash.String() != publishedHash {
		t.Errorf("%v, hash %s", err, hash)
	}
}

func TestOneChangedCharacterIsNoKey(t *testing.T) {
	good, _ := token.NewKey()
	bad := []string{"", "clk_", good + "0", good[1:], good[:len(good)-1], good + "\n",
		strings.ToUpper(good), "clk_" + strings.Repeat("é", 18)}
	for i := range len(good) {
		for _, c := range []string{"0", "z", "-", "\x00"} {
			if changed := good[:i] + c + good[i+1:]; changed != good {
				bad = append(bad, changed)
			}
		}
	}
	for _, text := range bad {
		if err := token.CheckKey(text); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%q: got %v", text, err)
		}
		if text != "" && token.HashKey(text) == token.HashKey(good) {
			t.Errorf("%q has the same hash", text)
		}
	}
}

func FuzzCheckKey(f *testing.F) {
	text, _ := token.NewKey()
	for _, seed := range []string{text, published, "clk_", "", text + text} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		switch err := token.CheckKey(text); {
		case err == nil && (len(text) != len(published) || !token.IsKey(text)):
			t.Errorf("%q is a key", text)
		case err != nil && !errors.Is(err, token.ErrInvalid):
			t.Errorf("%q: got %v", text, err)
		}
		if text != published && token.HashKey(text) == token.HashKey(published) {
			t.Errorf("%q has the hash of another", text)
		}
	})
}
