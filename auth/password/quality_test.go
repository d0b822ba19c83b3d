package password

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

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
		err := Rules{}.CheckNew(password)
		var invalid *store.InvalidError
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", password, err)
		case want != "" && (!errors.As(err, &invalid) ||
			invalid.Fields[0].Code != want || invalid.Fields[0].Field != "password"):
			t.Errorf("%q: %v, want %s", password, err, want)
		}
	}
}

// guesses returns a user, and for each password whether it is easy to guess for somebody who knows
// the user.
func guesses() (u store.User, easy map[string]bool) {
	u = store.User{
		Name:         "ana.souza",
		Email:        "anninha@padaria-sãojoão.example",
		PendingEmail: "pending_иванов@mail.example",
	}
	easy = make(map[string]bool)
	for _, password := range []string{
		// well known
		"password", "Password1", "P@ssw0rd", "passw0rd123", "12345678", "123456789012",
		"qwertyui", "qwerty123", "1q2w3e4r", "asdfghjkl",
		"iloveyou", "letmein1", "football", "admin123", "sunshine", "monkey12", "trustno1",
		"ILOVEYOU", "1L0V3Y0U", "1i1yf10wer",
		"correct horse", "bluetrain7",
		"futurama", "krokodil", "1z2x3c4v", "192837465", "ghbdtnbr", "Flamengo1981", "futurama1",
		"krokodil2020!", "FUTURAMA7391!?", "fütürämä", "1981flamengo", "1qaz!QAZ", "zaq12wsx",
		"drowssap1", "amarutuf", "1a2s3d4f5g", "q1w2e3r4", "poiuytrewq", "yxcvbnmm", "azertyuiop",
		"741852963", "97531864", "Correctcorrect", "22/11/1990", "Наташа1990", "спартак1",
		"фыва1234", "абвгдежз",
		"пароль12", "Пароль2024", "привет123", "йцукенгш", "фывапролд", "密码密码密码密码", "パスワード123",
		"비밀번호1234", "كلمةالسر1", "١٢٣٤٥٦٧٨", "१२३४५६७८९", "１２３４５６７８",
		"senha123", "Senha2024", "contraseña", "motdepasse", "passwort1", "pässwörd", "ｐａｓｓｗｏｒｄ",
		// trivial
		"aaaaaaaa", "        ", "abcdefgh", "zyxwvuts", "11111111", "00000000000000",
		"abcabcabc"[:8], "22111990", "1990-11-22", "22/11/1990", "аааааааа",
		strings.Repeat("😀", 8), strings.Repeat("😀", 256), strings.Repeat("é", 20),
		// the product's
		"clientes", "Clientes", "CLIENTES1", "clientes123", "cl1entes", "Clientes2024",
		"clientesclientes",
		// the user's
		"ana.souza", "ANASOUZA", "ana22111990", "ana22/11/1990", "anasouza1", "souzaana",
		"4n4.50uz4", "Ana.Souza!", "anninha1", "anninha@padaria-sãojoão.example", "padaria1",
		"padaria-saojoao", "saojoao1", "pending_иванов@mail.example", "pending1", "иванов99",
	} {
		easy[password] = true
	}
	for _, password := range []string{
		"correct horse battery", "bluetrain77x", "futurama und krokodil", "futurama-7391-krokodil",
		"tr0ub4dor&3x", "5tVq!m2z",
		"gostodepaodequeijo", "tres tigres tristes", "h7Gd-3kQp", "zvxqpwmk",
		"пароль-неожиданный", "山田さんの秘密の言葉", "кошкаLampe", "🐢🚲🌵🎻🧊🪁🧵🪐", "नमस्ते दुनिया",
		"anasouza gosta de figos",
		"clientes satisfeitos voltam", strings.Repeat("a", 40) + "7bQ!x9Lm",
		"JBSWY3DPEHPK3PXPJBSWY3DPEH", // like quickstart's
		"q3B7mX0pRk2+VdL9sTzY8wAe",   // like openssl's
	} {
		easy[password] = false
	}
	return u, easy
}

func TestWhatIsEasyToGuess(t *testing.T) {
	u, easy := guesses()
	for password, want := range easy {
		if got := guessable(password, knownWords(u)); got != want {
			t.Errorf("%q is easy to guess: %t", password, got)
		}
	}
	for name, want := range map[string]bool{"zoltrix": true, "ana": false} {
		if guessable("zoltrix99", knownWords(store.User{Name: name})) != want {
			t.Errorf("the password of %q is easy to guess: %t", name, !want)
		}
	}
}

// TestManyGuessAtOnce is for the race detector.
func TestManyGuessAtOnce(t *testing.T) {
	u, easy := guesses()
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for password, want := range easy {
				if guessable(password, knownWords(u)) != want {
					t.Errorf("%q is easy to guess: %t", password, !want)
				}
			}
		})
	}
	running.Wait()
}

func TestPlainLetters(t *testing.T) {
	for s, want := range map[string]string{
		"Ação Ωm":                 "Acao \x08m",
		"ﬁｎe":                     "fine",
		"日日本":                     "\b\b\x17",
		"a\xffb":                  "a\x0eb",
		strings.Repeat("é", 300):  strings.Repeat("e", 72),
		strings.Repeat("ﷺ", 300):  "",
		strings.Repeat("\x00", 8): strings.Repeat("\x00", 8),
	} {
		got := plainLetters(s)
		if want == "" {
			want = got // it is enough that it is bounded
		}
		if got != want || len(got) > guessedPrefix {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

const slowDates = "0/8.-25101/0-10307.4898/631112-26552848198709126364.62008347474875000151"

// slowGuesses returns the passwords that were found to take longest.
func slowGuesses() map[string]string {
	long := func(s string) string { return strings.Repeat(s, 300)[:maxLength] }
	return map[string]string{
		"every sign that looks like a letter": long("4@8({[<3691!|70$5+%2"),
		"rows of keys":                        long("qwerfdsazxcvbnm"),
		"dates":                               long(slowDates),
		"words":                               long("password"),
		"one letter":                          long("a"),
		"letters of four bytes":               strings.Repeat("😀🐢🚲", 85),
	}
}

// FuzzGuessable checks that no password breaks the library, or is read beyond the prefix.
func FuzzGuessable(f *testing.F) {
	u, easy := guesses()
	for password := range easy {
		f.Add(password, u.Name, u.Email)
	}
	for _, password := range slowGuesses() {
		f.Add(password, "", "")
	}
	f.Fuzz(func(t *testing.T, password, name, email string) {
		got := guessable(password, knownWords(store.User{Name: name, Email: email}))
		runes := []rune(password)
		if !utf8.ValidString(password) || len(runes) <= guessedPrefix {
			return
		}
		known := knownWords(store.User{Name: name, Email: email})
		if guessable(string(runes[:guessedPrefix]), known) != got {
			t.Errorf("%q: what comes after the prefix counts", password)
		}
	})
}

func BenchmarkTheSlowestGuesses(b *testing.B) {
	for name, password := range slowGuesses() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				guessable(password, knownWords(store.User{Name: "ana", Email: "ana@example.com"}))
			}
		})
	}
}
