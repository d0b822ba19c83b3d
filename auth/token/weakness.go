package token

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Weakness returns why a secret that [CheckSecret] accepts is easy to guess, and "" if nothing
// shows that it is. The text continues a sentence that begins with the name of the secret. A public
// secret is one that anybody can know without a guess.
//
// A single signed text is enough to test guesses, as fast as a machine computes HMACs. So a secret
// has to be random: nothing slows a guess down. Whether it is can only be estimated. What programs
// make is spared, such as 128 random bits in hex or base64.
func Weakness(secret string) (why string, public bool) {
	distinct := make(map[byte]bool)
	var letters, digits, steps int
	for i := range len(secret) {
		c := secret[i]
		distinct[c] = true
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c >= utf8.RuneSelf:
			letters++
		case '0' <= c && c <= '9':
			digits++
		}
		if i > 0 && c-secret[i-1]+1 <= 2 { // one below, the same, one above
			steps++
		}
	}
	unit := period(secret)
	switch {
	case len(distinct) == 1:
		return "is one character, repeated", true
	case unit < shortUnit && 2*unit <= len(secret):
		return "is a short text, repeated", true
	case isCommand(secret):
		return "is a command, which nothing here runs: put its output there", true
	case reference.MatchString(secret):
		return "is a placeholder or a reference, which nothing has replaced", true
	case isPublicKey(secret):
		return "begins as a public key does, or is only the first line of a PEM file", true
	case isExample(secret):
		return "is an example that everybody can read", true
	case len(distinct) < 8:
		return "has only a few different characters", false
	case 2*unit <= len(secret):
		return "repeats itself", false
	case steps > len(secret)/2:
		return "is a sequence", false
	case letters == 0, digits == 0, len(strings.Fields(secret)) > 1:
		return "looks like words or numbers that a person has chosen", false
	}
	return "", false
}

// shortUnit is the length from which on a repeated text may have been random.
const shortUnit = 16

// period returns the length of the shortest text that makes s when it is repeated, the last time
// perhaps only in part. It is the failure function of Knuth, Morris and Pratt.
func period(s string) int {
	border := make([]int, len(s)+1) // of each beginning of s
	for i, k := 1, 0; i < len(s); i++ {
		for k > 0 && s[i] != s[k] {
			k = border[k]
		}
		if s[i] == s[k] {
			k++
		}
		border[i+1] = k
	}
	return len(s) - border[len(s)]
}

// command is a shell's command with an argument, among other text.
var command = regexp.MustCompile("\\$\\(\\s*[a-z][\\w./-]* [^)]*\\)|`\\s*[a-z][\\w./-]* [^`]*`")

// isCommand reports whether a shell would have replaced the secret by the output of a command.
func isCommand(secret string) bool {
	s := strings.TrimSpace(secret)
	return strings.HasPrefix(s, "$(") && strings.HasSuffix(s, ")") ||
		strings.HasPrefix(s, "`") && strings.HasSuffix(s, "`") || command.MatchString(s)
}

// reference is what some program or person should have replaced: all of a secret.
var reference = regexp.MustCompile(
	`^\s*(\$\{.*\}|\{\{.*\}\}|<[^<>]*>|\[[^\[\]]*\]|%\w*%|\$[A-Za-z_]\w*|\$env:\w+|op://.*)\s*$`)

// isPublicKey reports whether a secret begins as a key that others have, or is the first line of a
// file in the form of PEM, which is the same for everybody.
func isPublicKey(secret string) bool {
	s := strings.TrimSpace(secret)
	return strings.HasPrefix(s, "-----BEGIN") &&
		(!strings.Contains(s, "PRIVATE KEY") || !strings.ContainsAny(s, "\n\r")) ||
		strings.HasPrefix(s, "ssh-rsa ") || strings.HasPrefix(s, "ssh-ed25519 ")
}

// publishedKeys are random, but stand in documentation and tutorials that many have copied.
var publishedKeys = []string{
	"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", // FastAPI's manual
	"192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf", // Flask's manual
	"404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970", // Spring and JWT
	"5367566b59703373367639792f423f4528482b4d6251655468576d5a71347437", // Spring and JWT
	"3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b", // Spring and JWT
}

// isExample reports whether a secret is one that stands in documentation, or consists of the words
// of such placeholders: your_jwt_secret_key_here, change-me-to-at-least-32-characters.
func isExample(secret string) bool {
	var plain []byte
	for _, c := range []byte(strings.ToLower(secret)) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			plain = append(plain, c)
		case c >= utf8.RuneSelf:
			return false
		}
	}
	s := string(plain)
	for _, key := range publishedKeys {
		if s == key {
			return true
		}
	}
	if strings.HasPrefix(s, "djangoinsecure") {
		return true // what Django begins its examples with, random as they are
	}
	return len(s) <= longestExample && marker.MatchString(s) && unknownLetters(s) <= someUnknown
}

const (
	longestExample = 200 // in letters and digits
	someUnknown    = 6   // letters that no word explains: the name of a product, a year
)

// marker matches what stands in the usual placeholders, and in few secrets of people.
var marker = regexp.MustCompile(`your|change|replace|insert|example|placeholder|sample|dummy|` +
	`todo|secretkey|keysecret|secrethere|keyhere|stringhere|mysecret|mysuper|supersecret|` +
	`topsecret|verysecret|notsosecret|thisisa|atleast|minimum|keyboardcat|tobemodified|shhhh|generate|` +
	`random|donotuse|dontuse|reallyvery|reallyreally|jwtsecret|tokensecret|insecure|unsafe|` +
	`chavesecreta|meusegredo|suachave|minhachave|troque|mudeisso|clavesecreta|tuclave|cambia`)

// words are what placeholders are made of.
var words = strings.Fields(`
	a abc abcdef access admin an and any api app application aqui aleatoria aleatorio auth
	authentication b64 backend base64 be before bit bits byte bytes cambia cambiar cambie can cat
	change changed changeit changeme changethis changing char character characters chars chave
	clave cle clientes code com complex contrasena cookie copy criptografada de default demo
	deploy deployment dev development do dont dummy edit em en encoded encryption enough ensure
	enter env environment es esta este eu example express fill for from generate generated gere
	has here hex hidden hmac hs256 hs384 hs512 hash in insecure insert is it its jsonwebtoken jwt
	keep key keyboard keys la least length less local localhost long longa longer me meu mi minha
	minimum min minimo more muda mude mudeisso must muito mysecret need needs never new node
	nodejs not nota o of on one only or os our own para passphrase password phrase placeholder
	please por prod producao production private project public put random randomly real really
	refresh replace replaced replaceme replacethis sample se secret secreta secreto secrets secure
	security segredo segura seguro senha server session set seu shared shh should sign signature
	signed signing so some something startup store strong string strings string su sua
	sufficiently super supersecret sure symmetric test testing text that the then this tiene to
	tobemodified todo token tokens too top troque tu um una unique uma unsafe use used user using
	valid value values very want which web with words x xxx xxxx you your yours 1 12 123 1234
	12345 123456 1234567 12345678 123456789 1234567890 0123456789 16 256 32 384 48 512 64 2020
	2021 2022 2023 2024 2025 2026`)

// unknownLetters returns how many letters and digits of s are left when all words are taken out, as
// well as it can be done.
func unknownLetters(s string) int {
	fewest := make([]int, len(s)+1) // of each beginning of s
	for i := 1; i <= len(s); i++ {
		fewest[i] = fewest[i-1] + 1
		for _, w := range words {
			if strings.HasSuffix(s[:i], w) {
				fewest[i] = min(fewest[i], fewest[i-len(w)])
			}
		}
	}
	return fewest[len(s)]
}
