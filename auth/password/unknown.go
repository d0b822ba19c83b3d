package password

import (
	"regexp"
	"strings"
)

// insteadOfHash says what becomes of a user whose hash is not taken.
const insteadOfHash = " Leave password_hash empty: the user comes without a password, and sets " +
	"one by a link (POST /password/forgot)."

// refusedKinds are the hashes of other programs that are not taken, in lower case.
var refusedKinds = []struct {
	pattern *regexp.Regexp
	message string
}{
	{regexp.MustCompile(`^\{(noop|plain|clear|cleartext|plaintext)\}|^plain\$`),
		"This is a password itself, not its hash."},
	{regexp.MustCompile(`^\{crypt\}\$[56]\$|^\$[56]\$|^\{sha(256|512)-crypt\}`),
		"Hashes of crypt(3) with SHA-2 are not taken."},
	{regexp.MustCompile(`^\{crypt\}\$(y|gy|7)\$|^\$(y|gy|7)\$`),
		"Hashes of yescrypt are not taken."},
	{regexp.MustCompile(`^\{crypt\}|^\$(1|apr1|md5)\$|^\{md5-crypt\}|^_[./0-9A-Za-z]{19}$`),
		"Hashes of crypt(3) with DES or MD5 are not taken: they are quickly guessed."},
	{regexp.MustCompile(`\$argon2d`),
		"Argon2d and Argon2 before version 1.3 cannot be verified; only Argon2i and Argon2id can."},
	{regexp.MustCompile(`^\$2x?\$`),
		"Hashes of bcrypt of the versions 2 and 2x come from faulty programs."},
	{regexp.MustCompile(`^(\*[0-9a-f]{40}|[0-9a-f]{16})$|^\$a\$00`),
		"Hashes of MySQL's own users are not taken."},
	{regexp.MustCompile(`^md5[0-9a-f]{32}$|^scram-sha-`),
		"Hashes of Postgres's own users are not taken."},
	{regexp.MustCompile(
		`^([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$`),
		"MD5 and SHA digests in hex are not taken: they are quickly guessed."},
	{regexp.MustCompile(`^\{(md[45]|smd5|s?sha[0-9]*|sha-[0-9]+|ldap|ssha[0-9]*)(\.[a-z0-9]+)?\}`),
		"MD5 and SHA digests, also with a salt, are not taken: they are quickly guessed."},
	{regexp.MustCompile(`^(unsalted_)?(md5|sha1|sha256|sha512|crypt)\$`),
		"MD5 and SHA digests, also with a salt, are not taken: they are quickly guessed."},
}

// unknownHash refuses a hash that is of no kind that is taken. It says which kind it looks like,
// and what to do instead.
func unknownHash(text string) error {
	if cure := cureOf(text); cure != "" {
		return hashFault("unknown_hash", cure)
	}
	if text != "" && IsAbsent(text) {
		return hashFault("unknown_hash", "This stands for no password."+insteadOfHash)
	}
	if strings.HasPrefix(text, "!") {
		return hashFault("unknown_hash", "The ! before a hash means that the user is locked. "+
			"Remove the ! to let the user log in, or leave the row out.")
	}
	lower := strings.ToLower(text)
	for _, k := range refusedKinds {
		if k.pattern.MatchString(lower) {
			return hashFault("unknown_hash", k.message+insteadOfHash)
		}
	}
	return hashFault("unknown_hash", "The hash is of no kind that is taken: bcrypt ($2a$, $2b$, "+
		"$2y$); Argon2i, Argon2id, scrypt and PBKDF2 with SHA-1, SHA-256 or SHA-512; in the forms "+
		"of PHC, passlib, Django, Werkzeug, Spring Security, WordPress, ASP.NET Identity, "+
		"Keycloak, Firebase and passport-local-mongoose. cmd/clientes/README.md shows each."+
		insteadOfHash)
}

// cureOf returns what to do about a hash that a shell, a file or a program has dressed up, "" for
// any other text.
func cureOf(text string) string {
	bare := strings.TrimLeft(text, "b='\"`")
	switch {
	case bare != text && strings.ContainsAny(text[:len(text)-len(bare)], "'\"`"):
		return "Leave out the quotation marks around the hash."
	case strings.HasPrefix(text, `\$`):
		return "Leave out the backslash before each $ of the hash."
	case strings.HasPrefix(text, "$$"):
		return "Each $ of the hash is there twice, as a file of Docker Compose needs it. Write it once."
	case strings.HasPrefix(strings.ToLower(text), "%24"):
		return "The hash is encoded as in a URL. Write $ for %24, and decode the rest, too."
	}
	return ""
}
