package token

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
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
	var letters, digits, signs, steps int
	for i := range len(secret) {
		c := secret[i]
		distinct[c] = true
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c >= utf8.RuneSelf:
			letters++
		case '0' <= c && c <= '9':
			digits++
		case strings.IndexByte(secret, c) == i:
			signs++ // of different kinds
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
	case isEncrypted.MatchString(secret):
		return "is what another program has encrypted, and nothing here decrypts it", true
	case isExample(secret):
		return "is an example that everybody can read", true
	case len(distinct) < 8:
		return "has only a few different characters", false
	case 2*unit <= len(secret), repeatsAtFirst(secret):
		return "repeats itself", false
	case steps > len(secret)*2/3, keySteps(secret) > len(secret)*2/3:
		return "is a sequence", false
	case urlLike.MatchString(secret):
		return "looks like a URL", false
	case !utf8.ValidString(secret), signs >= manySigns, isPassphrase(secret):
		return "", false
	case letters == 0, digits == 0 && !changesCase(secret), len(strings.Fields(secret)) > 1,
		dated.MatchString(secret):
		return "looks like words or numbers that a person has chosen", false
	}
	return "", false
}

// urlLike matches a secret that is the address of something.
var urlLike = regexp.MustCompile(`^\s*[a-z][a-z0-9+.-]*://`)

// dated matches a secret that begins with a day.
var dated = regexp.MustCompile(`^\d{4}-[01]\d-[0-3]\d`)

// repeatsAtFirst reports whether nearly all of a secret is a short text, repeated, to which
// somebody has added what some rule asks for: PasswordPasswordPasswordPassword1!
func repeatsAtFirst(secret string) bool {
	s := secret[:len(secret)-len(secret)/8]
	unit := period(s)
	return unit < shortUnit && 2*unit <= len(s)
}

// keyRows are neighbours on a keyboard, from left to right and from top to bottom.
const keyRows = "1234567890 qwertyuiop asdfghjkl zxcvbnm 1qaz 2wsx 3edc 4rfv 5tgb 6yhn 7ujm 8ik 9ol 0p"

// keySteps counts the steps from one key of a keyboard to the next.
func keySteps(secret string) int {
	s, steps := strings.ToLower(secret), 0
	for i := 1; i < len(s); i++ {
		if s[i] != ' ' && s[i-1] != ' ' && (strings.Contains(keyRows, s[i-1:i+1]) ||
			strings.Contains(keyRows, string([]byte{s[i], s[i-1]}))) {
			steps++
		}
	}
	return steps
}

// changesCase reports whether upper and lower case follow each other as they do in random text:
// where words begin with a capital, fewer letters are capitals.
func changesCase(secret string) bool {
	isUpper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	changes, capitals := 0, 0
	for i := range len(secret) {
		if isUpper(secret[i]) {
			capitals++
		}
		if i > 0 && isUpper(secret[i]) != isUpper(secret[i-1]) {
			changes++
		}
	}
	return changes > len(secret)/4 && capitals > len(secret)/3
}

// leastWords is how many words make a passphrase: a hundred bits, as Diceware counts them.
const leastWords = 8

// isPassphrase reports whether a secret is made of that many words which dice may have chosen:
// hardly any of them comes twice, or is one that sentences and placeholders need.
func isPassphrase(secret string) bool {
	all := strings.FieldsFunc(strings.ToLower(secret), func(r rune) bool {
		return !unicode.IsLetter(r)
	})
	seen := make(map[string]bool)
	long, common := 0, 0
	for _, w := range all {
		if len(w) < 3 {
			continue
		}
		if slices.Contains(words, w) {
			common++
		}
		long++
		seen[w] = true
	}
	return long >= leastWords && len(seen) >= long-1 && common <= long/leastWords
}

// manySigns is how many different signs no words of a person have between them.
const manySigns = 7

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
	return wholeCommand.MatchString(s) || command.MatchString(s)
}

// wholeCommand is a command that is all of a secret. A random password may begin and end with a
// backtick, too, but has other characters in it than a command's name.
var wholeCommand = regexp.MustCompile("^(?s:\\$\\(\\s*[\\w./~].*\\)|`[\\w\\s./|<>=:\"'-]*`)$")

// reference is what some program or person should have replaced: all of a text. In brackets, only
// words are: a random password may begin and end with them, too.
var reference = regexp.MustCompile(`^\s*(\$\{[\s{]*[A-Za-z_].*\}|\{\{.*\}\}|<[\w\s.,:/'-]*>|\[[\w\s.,:/'-]*\]|` +
	`%\w*%|\$[A-Za-z_]\w*|\$env:\w+|` +
	`(op|vault|doppler|infisical|gopass|bw|keyring|secretref|awssm|awsssm|ssm|sm|gcp-?sm|azkv)://.*|` +
	`ref\+[a-z]+://.*|(bank-)?vault:[\w/-]+#.*|arn:aws[\w-]*:(secretsmanager|ssm|kms):.*|` +
	`@Microsoft\.KeyVault\(.*\)|projects/[^/]+/secrets/.*)\s*$|\{\{\s[\w.|\s"'()-]+\s\}\}`)

// IsReference reports whether a text is a placeholder, or a reference that another program should
// have replaced by a value, such as a vault or a template.
func IsReference(text string) bool { return reference.MatchString(text) }

// isEncrypted matches what SOPS, dotenvx and Ansible write into a file that everybody may have.
var isEncrypted = regexp.MustCompile(
	`(?s)^\s*(ENC\[|encrypted:|!vault\b|\$ANSIBLE_VAULT;|-----BEGIN (PGP MESSAGE|AGE ENCRYPTED)|` +
		`age-encryption\.org/)`)

// IsEncrypted reports whether another program has encrypted a text: SOPS, dotenvx, Ansible, PGP or
// age.
func IsEncrypted(text string) bool { return isEncrypted.MatchString(text) }

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
	"413f4428472b4b6250655368566d5970337336763979244226452948404d6351", // Spring and JWT
	"586e3272357538782f413f4428472b4b6250655368566b597033733676397924", // Spring and JWT
	"9a4f2c8d3b7a1e6f45c8a0b3f267d8b1d4e6f3c8a9d2b5f8e3a9c8b5f6v8a3d9", // Spring and JWT
	"123e4567e89b12d3a456426614174000",                                 // manuals, of a UUID
	"550e8400e29b41d4a716446655440000",                                 // manuals, of a UUID
	"f47ac10b58cc4372a5670e02b2c3d479",                                 // manuals, of a UUID
	"f81d4fae7dec11d0a76500a0c91e6bf6",                                 // RFC 4122
	"6ba7b8109dad11d180b400c04fd430c8",                                 // RFC 4122
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
	return consistsOfWords(s) || consistsOfWords(leet.Replace(strings.ToLower(secret)))
}

// consistsOfWords reports whether s is a placeholder: of the letters and digits of a secret, or of
// all its characters.
func consistsOfWords(s string) bool {
	return len(s) <= longestExample && marker.MatchString(s) && unknownLetters(s) <= someUnknown
}

// leet reads digits as the letters that they stand for in s3cr3t_k3y, and drops what separates.
var leet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t",
	"@", "a", "$", "s", "-", "", "_", "", " ", "", ".", "", "!", "")

const (
	longestExample = 200 // in letters and digits
	someUnknown    = 6   // letters that no word explains: the name of a product, a year
)

// marker matches what stands in the usual placeholders, and in few secrets of people.
var marker = regexp.MustCompile(`your|change|replace|insert|example|placeholder|sample|dummy|` +
	`todo|secretkey|keysecret|secrethere|keyhere|stringhere|mysecret|mysuper|supersecret|` +
	`topsecret|verysecret|notsosecret|thisisa|atleast|minimum|keyboardcat|tobemodified|shhhh|generate|` +
	`random|donotuse|dontuse|reallyvery|reallyreally|jwtsecret|tokensecret|insecure|unsafe|` +
	`chavesecreta|meusegredo|suachave|minhachave|troque|mudeisso|clavesecreta|tuclave|cambia|` +
	`substitua|substituir|coloque|insira|altere|reemplaza|reemplace|notasecret|opensslrand|` +
	`segredodojwt|clavemuy|chavemuito`)

// words are what placeholders are made of.
var words = strings.Fields(`
	a abc abcdef access altere admin an and any api app application aqui aleatoria aleatorio auth
	authentication b64 backend base64 be before bit bits byte bytes cambia cambiar cambie can cat
	change changed changeit changeme changethis changing char character characters chars chave
	clave cle clientes code coloque com complex con contrasena cookie copy criptografada de default
	demo deploy deployment desenvolvimento dev development do dont dummy edit em en encoded encryption enough ensure
	enter env environment es esta este eu example express fill for forte from generate generated gere
	has here hex hidden hmac hs256 hs384 hs512 hash in insecure insert insira is it its jsonwebtoken jwt
	keep key keyboard keys la larga least length less local localhost long longa longer me meu mi minha
	minimum min minimo more muda mude mudeisso must muito mysecret need needs never new node
	nodejs not nota o of on one only openssl or os our output own para passphrase password phrase placeholder
	please por prod produccion producao production private project public put rand random randomly real
	really reemplaza reemplazar reemplace refresh replace replaced replaceme replacethis sample se secret secreta secreto secrets secure
	security segredo segura seguro senha server session set seu shared shh should sign signature
	signed signing so some something startup store strong string strings string su sua
	substitua substituir sufficiently super supersecret sure symmetric test testing text that the then this tiene to
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
