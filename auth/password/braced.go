package password

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// parseBraced reads "{kind}…", as Spring Security's DelegatingPasswordEncoder and LDAP write it, or
// the JSON of Keycloak.
func parseBraced(text string) (passwordHash, error) {
	if isJSON(text) {
		return parseKeycloak(text)
	}
	kind, rest, ok := strings.Cut(strings.TrimPrefix(text, "{"), "}")
	if !ok {
		return nil, unknownHash(text)
	}
	// LDAP writes the kind in any case, and Spring adds "@" and the release that chose the cost.
	kind, release, _ := strings.Cut(strings.ToLower(kind), "@")
	switch kind {
	case "bcrypt", "crypt", "blf-crypt":
		if isBcrypt(rest) {
			return parseBcrypt(rest)
		}
	case "argon2", "argon2i", "argon2id":
		if strings.HasPrefix(rest, "$argon2i$") || strings.HasPrefix(rest, "$argon2id$") {
			return parseArgon2(rest)
		}
	case "scrypt":
		return parseSpringScrypt(rest)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		if strings.Contains(rest, "$") { // OpenLDAP, passlib
			return parsePBKDF2("$" + kind + "$" + rest)
		}
		return parseSpringPBKDF2(release, rest)
	}
	return nil, unknownHash(text)
}

// parseSpringScrypt reads "$e0801$salt$hash". The first field has the logarithm of N, r and p, a
// byte each, in hex.
func parseSpringScrypt(text string) (passwordHash, error) {
	fields := strings.Split(text, "$")
	var params uint64
	err := strconv.ErrSyntax
	if len(fields) == 4 && fields[0] == "" {
		params, err = strconv.ParseUint(fields[1], 16, 32)
	}
	if err != nil {
		return nil, malformedHash("A hash of Spring's scrypt has parameters, salt and hash, " +
			"as in {scrypt}$e0801$salt$hash.")
	}
	h, err := newScrypt(1<<min(params>>16, 40), params>>8&255, params&255)
	if err == nil {
		h.salt, h.want, err = saltAndWant(fields[2], padded, fields[3], padded, maxWant)
	}
	return h, err
}

// parseSpringPBKDF2 reads salt and hash in hex. Digest, iterations and the length of the salt are
// those that Spring Security had in a release: version 5.8, or the ones before. An application may
// have others, or a secret: the length shows some of that.
func parseSpringPBKDF2(release, text string) (passwordHash, error) {
	digest, iterations, saltLen := "sha1", uint64(185_000), 8
	if release == "springsecurity_v5_8" {
		digest, iterations, saltLen = "sha256", 310_000, 16
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != saltLen+32 {
		return nil, malformedHash(fmt.Sprintf("A hash of Spring's PBKDF2 has %d hex digits of "+
			"salt and 64 of hash; one with other parameters cannot be verified.", 2*saltLen))
	}
	h, err := newPBKDF2(digest, iterations)
	h.salt, h.want = b[:saltLen], b[saltLen:]
	return h, err
}

// isJSON reports whether text can only be JSON: no kind of hash begins with a quote.
func isJSON(text string) bool {
	object, ok := strings.CutPrefix(text, "{")
	return ok && strings.HasPrefix(strings.TrimLeft(object, " \t\r\n"), `"`)
}

// parseKeycloak reads the JSON of a credential of Keycloak: the two members of a realm's export,
// either as they are there (JSON within a string) or as JSON. Other members are ignored.
func parseKeycloak(text string) (passwordHash, error) {
	malformed := func() error {
		return malformedHash("A credential of Keycloak is a JSON object of the type password with " +
			"credentialData and secretData, as in the export of a realm.")
	}
	var credential struct {
		Type           string          `json:"type"`
		CredentialData json.RawMessage `json:"credentialData"`
		SecretData     json.RawMessage `json:"secretData"`
	}
	var cost struct {
		Iterations uint64              `json:"hashIterations"`
		Algorithm  string              `json:"algorithm"`
		Parameters map[string][]string `json:"additionalParameters"`
	}
	var secret struct{ Value, Salt string }
	err := json.Unmarshal([]byte(text), &credential)
	if err != nil || credential.Type != "" && credential.Type != "password" ||
		unmarshalNested(credential.CredentialData, &cost) != nil ||
		unmarshalNested(credential.SecretData, &secret) != nil {
		return nil, malformed()
	}
	phc := func(base64Text string) string { return strings.TrimRight(base64Text, "=") }
	salt, want := phc(secret.Salt), phc(secret.Value)
	switch cost.Algorithm {
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		digest := cmp.Or(strings.TrimPrefix(cost.Algorithm[len("pbkdf2"):], "-"), "sha1")
		return parsePBKDF2(
			fmt.Sprintf("$pbkdf2-%s$i=%d$%s$%s", digest, cost.Iterations, salt, want))
	case "argon2":
		param := func(name string) string { return strings.Join(cost.Parameters[name], ",") }
		if param("version") != "1.3" || param("type") != "id" && param("type") != "i" {
			return nil, unknownHash("$argon2d$")
		}
		return parseArgon2(fmt.Sprintf("$argon2%s$v=19$m=%s,t=%d,p=%s$%s$%s", param("type"),
			param("memory"), cost.Iterations, param("parallelism"), salt, want))
	}
	return nil, malformed()
}

// unmarshalNested reads a JSON object, or a string that holds one.
func unmarshalNested(data json.RawMessage, into any) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = json.RawMessage(text)
	}
	return json.Unmarshal(data, into)
}
