package auth

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go/matching"
	"github.com/ccojocar/zxcvbn-go/scoring"
	"golang.org/x/text/unicode/norm"

	"clientes/store"
)

// The length of a password in characters: NIST SP 800-63B section 3.1.1.2 wants 8 at least and asks for 64
// or more to be taken.
const (
	MinPassword = 8
	MaxPassword = 256
)

// CheckNewPassword says what is plainly wrong with a new password, as a *store.InvalidError on "password", for who wants to
// tell of it beside other faults. That it is easy to guess is seen only when it is to be set. Nothing is trimmed or
// normalized: what is checked and hashed is what was received.
func CheckNewPassword(password string) error {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return store.Invalid("password", "invalid_text", "The password is not valid UTF-8.")
	case n < MinPassword:
		return store.Invalid("password", "too_short", fmt.Sprintf("A password has at least %d characters.", MinPassword))
	case n > MaxPassword:
		return store.Invalid("password", "too_long", fmt.Sprintf("A password has at most %d characters.", MaxPassword))
	}
	return nil
}

func tooGuessable() error {
	return store.Invalid("password", "too_guessable", "This password is too easy to guess. Choose a longer one: a few words that do not "+
		"belong together, say, without names, dates, rows of keys, or anything of your own name and email.")
}

const (
	// minStrength is zxcvbn's score from which a password is taken: 2, that is more than a hundred million
	// guesses of somebody who knows how people choose passwords.
	minStrength = 2

	// guessedPrefix is how many characters of a password are looked at. The time goes with their square, and
	// what this many do not make hard to guess is not a password that somebody would have chosen.
	guessedPrefix = 72
)

// guessable says whether the password is among the first that somebody would try who knows the user. It can take
// as long as a hash (BenchmarkTheSlowestGuesses) and so waits at the gate like one.
func guessable(password string, known []string) bool {
	plain := plainLetters(password)
	for _, form := range slices.Compact([]string{plain, unleet(plain, "i"), unleet(plain, "l")}) {
		if strength(form, known) < minStrength {
			return true
		}
	}
	return false
}

// strength is zxcvbn.PasswordStrength with two differences. Its own way with "p4ssw0rd" tries every reading of
// every sign, which took 0.8 seconds for 72 of them: unleet gives it few. And it counts the end of a date one
// character too far, so that it saw none at the end of a password.
func strength(password string, known []string) int {
	matches := matching.Omnimatch(password, known, matching.FilterL33tMatcher)
	for i := range matches {
		if matches[i].DictionaryName == "date_match" {
			matches[i].J--
		}
	}
	return scoring.MinimumEntropyMatchSequence(password, matches).Score
}

// knownWords gives what comes to mind first to somebody who guesses a password of the user: the product, the
// word for password in languages that zxcvbn has no list of, rows of other keyboards, and all parts of the user's name and
// emails.
func knownWords(u store.User) []string {
	words := []string{"clientes", "senha", "contrasena", "motdepasse", "passwort", "parola", "wachtwoord"}
	for _, word := range []string{
		"пароль", "привет", "любовь", "йцукен", "йцукенг", "йцукенгшщзхъ", "фывапр", "фывапролджэ", "ячсмить", "ячсмитьбю", "йфяцыч",
		"κωδικος", "סיסמה", "كلمةالسر", "رمزعبور", "पासवर्ड", "รหัสผ่าน", "密码", "密碼", "我爱你", "パスワード", "비밀번호", "사랑해",
	} {
		words = append(words, plainLetters(word))
	}
	apart := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	for _, text := range []string{u.Name, u.Email, u.PendingEmail} {
		if len(text) > store.MaxEmail { // no valid one: the user is refused anyway
			continue
		}
		for _, word := range append(strings.FieldsFunc(text, apart), text) {
			if word = plainLetters(word); len(word) > 2 {
				words = append(words, word)
			}
		}
	}
	return words
}

// plainLetters gives a text as zxcvbn can read it, which takes each byte for a character and knows the letters and digits
// of English: accents go, digits of other scripts become these, and each other character beyond ASCII one of 26 signs that
// are in no word.
func plainLetters(s string) string {
	var plain strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > guessedPrefix {
			break
		}
		plain.WriteRune(r)
	}
	s = norm.NFKD.String(plain.String())
	plain.Reset()
	for _, r := range s {
		switch {
		case plain.Len() == guessedPrefix:
			return plain.String()
		case r < utf8.RuneSelf:
			plain.WriteByte(byte(r))
		case unicode.IsDigit(r):
			plain.WriteByte(digit(r))
		case r < 0x0300 || r > 0x036f: // not a combining accent
			plain.WriteByte(byte(1 + unicode.ToLower(r)%26))
		}
	}
	return plain.String()
}

// digit gives the decimal digit of a script as that of ASCII: Unicode has those of each in a row from 0 to 9.
func digit(r rune) byte {
	for _, in := range unicode.Nd.R16 {
		if rune(in.Lo) <= r && r <= rune(in.Hi) {
			return '0' + byte((r-rune(in.Lo))%10)
		}
	}
	for _, in := range unicode.Nd.R32 {
		if rune(in.Lo) <= r && r <= rune(in.Hi) {
			return '0' + byte((r-rune(in.Lo))%10)
		}
	}
	return '0'
}

// unleet reads signs as the letters that they look like. What looks like two letters is read as one.
func unleet(s, one string) string {
	return strings.NewReplacer("4", "a", "@", "a", "8", "b", "(", "c", "{", "c", "[", "c", "<", "c", "3", "e", "6", "g", "9", "g",
		"1", one, "|", one, "!", "i", "0", "o", "$", "s", "5", "s", "+", "t", "7", "t", "%", "x", "2", "z").Replace(s)
}
