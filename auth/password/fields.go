package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clientes/store"
)

// saltAndWant reads the last two fields of a hash.
func saltAndWant(
	salt string, readSalt decoder, want string, readWant decoder, most int,
) (s, w []byte, err error) {
	s, err = readSalt(salt)
	if err != nil || len(s) < 1 || len(s) > maxSalt {
		return nil, nil, malformedHash(fmt.Sprintf("The salt is not encoded as it should be, "+
			"or not of 1 to %d bytes.", maxSalt))
	}
	w, err = readWant(want)
	if err != nil || len(w) < minWant || len(w) > most {
		return nil, nil, malformedHash(fmt.Sprintf("What follows the salt is not encoded as it "+
			"should be, or not of %d to %d bytes.", minWant, most))
	}
	return s, w, nil
}

// decoder reads a field of a hash.
type decoder func(string) ([]byte, error)

func unpadded(field string) ([]byte, error) {
	return base64.RawStdEncoding.Strict().DecodeString(field)
}
func padded(field string) ([]byte, error) { return base64.StdEncoding.Strict().DecodeString(field) }

// dotted reads base64 without padding and with "." for "+", as passlib and OpenLDAP write it.
func dotted(field string) ([]byte, error) {
	return unpadded(strings.ReplaceAll(field, ".", "+"))
}

// anyBase64 reads base64 of either alphabet, padded or not: Firebase exports both.
func anyBase64(field string) ([]byte, error) {
	field = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(field, "="))
	return unpadded(field)
}

func asText(field string) ([]byte, error) { return []byte(field), nil }

// numbers reads "m=65536,t=3,p=4": each of the names once, in any order, since some write them
// alphabetically.
func numbers(field string, names ...string) ([]uint64, bool) {
	n := make([]uint64, len(names))
	parts := strings.Split(field, ",")
	for i, name := range names {
		at := slices.IndexFunc(parts, func(part string) bool {
			return strings.HasPrefix(part, name+"=")
		})
		if at < 0 {
			return nil, false
		}
		var ok bool
		if n[i], ok = number(parts[at][len(name)+1:]); !ok {
			return nil, false
		}
	}
	return n, len(parts) == len(names)
}

// number reads a whole number of at most 32 bits, written in the shortest way.
func number(field string) (uint64, bool) {
	n, err := strconv.ParseUint(field, 10, 32)
	return n, err == nil && field == strconv.FormatUint(n, 10)
}

// same compares in a time that does not depend on where the two differ.
func same(got, want []byte) bool { return subtle.ConstantTimeCompare(got, want) == 1 }

func malformedHash(message string) error { return hashFault("malformed_hash", message) }

func costlyHash(message string) error { return hashFault("costly_hash", message) }

func hashFault(code, message string) error {
	return store.Invalid("password_hash", code, message)
}
