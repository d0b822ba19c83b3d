package password

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"clientes/store"
)

// The length of a password in characters. NIST SP 800-63B section 3.1.1.2 requires at least 8, and
// that 64 or more are accepted. So no operator may require more than 64.
const (
	MinLength      = 8
	MaxLeastLength = 64
	maxLength      = 256
)

// Rules are what an operator requires of a new password beyond what is always required. The zero
// Rules require nothing more.
type Rules struct {
	Least  int       // how many characters it has at least, if that is more than [MinLength]
	Denied *Denylist // may be nil
}

// CheckNew returns a *[store.InvalidError] on "password" if something is plainly wrong with a new
// one, so that a caller can report it beside other faults. The length is that of its NFC. Whether
// the password is easy to guess is only known when it is hashed ([Gate.HashNew]).
func (r Rules) CheckNew(password string) error {
	least := max(r.Least, MinLength)
	switch n := utf8.RuneCountInString(norm.NFC.String(password)); {
	case !utf8.ValidString(password):
		return store.Invalid("password", "invalid_text", "The password is not valid UTF-8.")
	case n < least:
		return store.Invalid("password", "too_short",
			fmt.Sprintf("A password has at least %d characters.", least))
	case n > maxLength:
		return store.Invalid("password", "too_long",
			fmt.Sprintf("A password has at most %d characters.", maxLength))
	}
	return nil
}

func tooGuessable() error {
	return store.Invalid("password", "too_guessable", "This password is too easy to guess. "+
		"Choose a longer one: a few words that do not belong together, say, without names, dates, "+
		"rows of keys, or anything of your own name and email.")
}

func leaked() error {
	return store.Invalid("password", "too_guessable", "This password is known from a leak of "+
		"passwords somewhere. Choose another one.")
}

const (
	// minBits is the logarithm to base 2 of the fewest guesses that are accepted. That is a hundred
	// million if half of them find it on the average, where zxcvbn's score becomes 2.
	minBits = 27.575

	// guessedPrefix is how many characters of a password are looked at. The time grows with their
	// square, and nobody chooses a password that is still easy to guess after so many.
	guessedPrefix = 72
)

// guessable reports whether the password is among the first that somebody who knows the user would
// try. It can take as long as a hash (BenchmarkTheSlowestGuesses), and so waits at the gate like
// one.
func guessable(password string, known []string) bool {
	ranks := make(map[string]int, len(known))
	for i, word := range known {
		if _, ok := ranks[word]; !ok {
			ranks[word] = i + 1
		}
	}
	plain := plainLetters(password)
	if isIn(plain, passwordList.has) || guessBits(plain, ranks) < minBits {
		return true
	}
	return slices.ContainsFunc(forms(plain, password), func(form string) bool {
		// Which of the forms it is adds one bit.
		return isIn(form, passwordList.has) || 1+guessBits(form, ranks) < minBits
	})
}

// forms returns what else somebody may have had in mind who chose the password: the letters that
// signs look like, the keys where its letters stand, all of it backwards, or two words in turns.
func forms(plain, password string) []string {
	forms := []string{
		unleet(plain, "i"), unleet(plain, "l"), plainLetters(keys(password)), backwards(plain),
		inTurns(plain),
	}
	slices.Sort(forms)
	forms = slices.Compact(forms)
	return slices.DeleteFunc(forms, func(form string) bool { return form == plain })
}

// isIn reports whether a list has the password, perhaps with up to four digits and up to two other
// signs behind it.
func isIn(form string, has func(word string) bool) bool {
	word := strings.ToLower(form)
	isSign := func(c byte) bool { return !isLower(c) && !isDigit(c) && c > ' ' }
	for signs := 0; ; signs++ {
		for digits := 0; ; digits++ {
			if has(word[:len(word)-digits]) {
				return true
			}
			if digits == min(4, len(word)) || !isDigit(word[len(word)-digits-1]) {
				break
			}
		}
		if signs == 2 || word == "" || !isSign(word[len(word)-1]) {
			return false
		}
		word = word[:len(word)-1]
	}
}

func backwards(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// inTurns returns every other character of s, and then the others: "1a2b3c" becomes "123abc".
func inTurns(s string) string {
	var even, odd []byte
	for i := range len(s) {
		if i%2 == 0 {
			even = append(even, s[i])
		} else {
			odd = append(odd, s[i])
		}
	}
	return string(even) + string(odd)
}

// keys returns what the keys of Cyrillic letters write on an English keyboard. The lists have many
// Russian words in this form.
func keys(s string) string {
	const cyrillic = "ёйцукенгшщзхъфывапролджэячсмитьбю"
	const english = "`qwertyuiop[]asdfghjkl;'zxcvbnm,."
	letters := []rune(cyrillic)
	return strings.Map(func(r rune) rune {
		if i := slices.Index(letters, unicode.ToLower(r)); i >= 0 {
			return rune(english[i])
		}
		return r
	}, norm.NFC.String(s))
}

// knownWords returns what somebody who guesses a password of the user would try first. That is the
// product, all parts of the user's name and emails, and words that the lists do not have: the word
// for password in other languages, and words of other scripts.
func knownWords(u store.User) []string {
	words := []string{
		"clientes", "senha", "contrasena", "motdepasse", "passwort", "parola", "wachtwoord",
	}
	for _, word := range []string{
		"пароль", "привет", "любовь", "κωδικος", "סיסמה", "كلمةالسر",
		"رمزعبور", "पासवर्ड", "รหัสผ่าน", "密码", "密碼", "我爱你", "パスワード", "비밀번호", "사랑해",
	} {
		words = append(words, plainLetters(word))
	}
	apart := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	for _, text := range []string{u.Name, u.Email, u.PendingEmail} {
		if len(text) > store.MaxEmail { // not valid: the user is refused anyway
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

// plainLetters returns the beginning of a text in ASCII, the form that the lists and guessBits can
// read. Accents are dropped, digits of other scripts become those of ASCII, and any other character
// beyond ASCII becomes one of 26 signs that are in no word of the lists.
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

// digit returns the ASCII digit of a decimal digit of another script. Unicode has the digits of
// each script in a row from 0 to 9.
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

// unleet replaces signs by the letters that they look like. A sign that looks like either of two
// letters becomes one.
func unleet(s, one string) string {
	return strings.NewReplacer("4", "a", "@", "a", "8", "b", "(", "c", "{", "c", "[", "c", "<", "c",
		"3", "e", "6", "g", "9", "g", "1", one, "|", one, "!", "i", "0", "o", "$", "s", "5", "s",
		"+", "t", "7", "t", "%", "x", "2", "z").Replace(s)
}
