package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Inspection is what an access token says of itself, with nothing verified.
type Inspection struct {
	Header string // JSON
	Claims string // JSON
}

// Inspect decodes an access token for a person to read. It verifies no signature: whether the
// token is good is for [Issuer.Verify] to decide.
func Inspect(token string) (Inspection, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Inspection{}, errors.New("a token has three parts with dots between them")
	}
	var out [2]string
	for i := range out {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return Inspection{}, fmt.Errorf("part %d is not base64url", i+1)
		}
		v := jsontext.Value(b)
		if err := v.Indent(); err != nil {
			return Inspection{}, fmt.Errorf("part %d is not JSON", i+1)
		}
		out[i] = string(v)
	}
	return Inspection{Header: out[0], Claims: out[1]}, nil
}
