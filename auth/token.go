package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"clientes/store"
)

const (
	// MaxToken is the longest access token that is looked at, in bytes.
	MaxToken = 4096

	// leeway is how far apart the clocks of two machines may be.
	leeway = 5 * time.Second

	// maxID is the largest integer that every JSON reader keeps exactly (RFC 8259 section 6).
	maxID = 1<<53 - 1

	// maxTime is the end of the year 9999 in Unix seconds. Beyond, time.Unix may overflow into the past.
	maxTime = 253402300799
)

// tokens mints and verifies access tokens.
type tokens struct {
	keys     []key // the first signs
	issuer   string
	audience string
	now      func() time.Time
	parser   *jwt.Parser
	seen     *seenTokens
}

func newTokens(secret string, previous []string, issuer, audience string, now func() time.Time) (*tokens, error) {
	t := &tokens{issuer: issuer, audience: audience, now: now, seen: newSeenTokens()}
	for _, s := range append([]string{secret}, previous...) {
		k, err := newKey(s)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		t.keys = append(t.keys, k)
	}
	t.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithLeeway(leeway),
		jwt.WithTimeFunc(now),
	)
	return t, nil
}

// expiry is the exp of an access token for a session that has just been used: ttl later, but not beyond the
// session's end. It is a whole second.
func (t *tokens) expiry(s store.Session, ttl time.Duration) time.Time {
	exp := s.LastUsedAt.Truncate(time.Second).Add(ttl)
	if s.ExpiresAt.Before(exp) {
		return s.ExpiresAt.Truncate(time.Second)
	}
	return exp
}

// mint signs an access token for a session of u that has just been used.
func (t *tokens) mint(u store.User, s store.Session, ttl time.Duration) (string, error) {
	j := jwt.NewWithClaims(jwt.SigningMethodHS256, &claims{
		ID: u.ID, Subject: strconv.FormatInt(u.ID, 10), Role: u.Role,
		SessionID: s.ID, TokenID: randomID(),
		Issuer: t.issuer, Audience: t.audience,
		IssuedAt: s.LastUsedAt.Unix(), Expires: t.expiry(s, ttl).Unix(),
	})
	j.Header["kid"] = t.keys[0].id
	token, err := j.SignedString(t.keys[0].secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// verified is what a token that we signed says.
type verified struct {
	caller    Caller
	session   sessionID
	expires   time.Time // exp and the leeway
	notBefore time.Time // the later of iat and nbf, less the leeway
}

// verify says what a token says: all of section 3 of the contract but the end of its session. It gives
// ErrTokenInvalid or ErrTokenExpired; together with what the token said, if only its times are at fault.
//
// A token seen before costs a look-up instead of two MACs and two JSON documents (BenchmarkVerify: a hundred times
// less). What was true of it then can change in one way only: time.
func (t *tokens) verify(token string) (verified, error) {
	v, ok := t.seen.get(token)
	if !ok {
		var err error
		if v, err = t.verifyNew(token); err != nil {
			return v, err
		}
		t.seen.put(token, v)
	}
	switch now := t.now(); {
	case !now.Before(v.expires):
		return v, ErrTokenExpired
	case now.Before(v.notBefore):
		return v, ErrTokenInvalid
	}
	return v, nil
}

func (t *tokens) verifyNew(token string) (verified, error) {
	// The MAC comes first: nothing that a stranger wrote is decoded, and forging is cheap to refuse.
	k, header, err := t.signer(token)
	if err != nil {
		return verified{}, err
	}
	if err := k.checkHeader(header); err != nil {
		return verified{}, err
	}
	var c claims
	_, err = t.parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return k.secret, nil })
	switch {
	case err == nil:
	case !onlyTimes(err):
		return verified{}, ErrTokenInvalid
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued), errors.Is(err, jwt.ErrTokenNotValidYet):
		err = ErrTokenInvalid
	default:
		err = ErrTokenExpired
	}
	session, ok := parseSessionID(c.SessionID)
	if !ok {
		return verified{}, ErrTokenInvalid
	}
	return verified{
		caller:    Caller{UserID: c.ID, Role: c.Role, SessionID: c.SessionID, TokenID: c.TokenID},
		session:   session,
		expires:   time.Unix(c.Expires, 0).Add(leeway),
		notBefore: time.Unix(max(c.IssuedAt, c.NotBefore), 0).Add(-leeway),
	}, err
}

// signer gives the key that the token was signed with, and the token's header.
func (t *tokens) signer(token string) (key, []byte, error) {
	if len(token) > MaxToken || !isTokenText(token) {
		return key{}, nil, ErrTokenInvalid
	}
	text, sig, ok := cutLast(token, ".")
	header, payload, ok2 := strings.Cut(text, ".")
	if !ok || !ok2 || strings.Contains(payload, ".") {
		return key{}, nil, ErrTokenInvalid
	}
	mac, err := strictBase64.DecodeString(sig)
	if err != nil {
		return key{}, nil, ErrTokenInvalid
	}
	for _, k := range t.keys {
		if k.signed(text, mac) {
			h, err := strictBase64.DecodeString(header)
			if err != nil {
				return key{}, nil, ErrTokenInvalid
			}
			return k, h, nil
		}
	}
	return key{}, nil, ErrTokenInvalid
}

// strictBase64 refuses set bits beyond the last byte. It still skips line breaks, which isTokenText does not
// let pass.
var strictBase64 = base64.RawURLEncoding.Strict()

// isTokenText says whether s has nothing but base64url and dots in it.
func isTokenText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// checkHeader refuses what golang-jwt lets pass: a name given twice, a critical extension (RFC 7515 section
// 4.1.11), a kid of another key, another typ (RFC 8725 section 3.11). Headers that point at keys mean
// nothing here (RFC 8725 section 3.10).
func (k key) checkHeader(header []byte) error {
	var h struct {
		Alg  string         `json:"alg"`
		Typ  *string        `json:"typ"`
		Kid  jsontext.Value `json:"kid"`
		Crit jsontext.Value `json:"crit"`
	}
	if err := json.Unmarshal(header, &h); err != nil {
		return ErrTokenInvalid
	}
	if h.Alg != jwt.SigningMethodHS256.Alg() || h.Crit != nil || h.Typ != nil && !strings.EqualFold(*h.Typ, "JWT") {
		return ErrTokenInvalid
	}
	if h.Kid != nil && string(h.Kid) != strconv.Quote(k.id) {
		return ErrTokenInvalid
	}
	return nil
}

// onlyTimes says whether exp, iat and nbf are all that golang-jwt found wrong with a token.
func onlyTimes(err error) bool {
	for _, other := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid,
		jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return errors.Is(err, jwt.ErrTokenExpired) || errors.Is(err, jwt.ErrTokenUsedBeforeIssued) || errors.Is(err, jwt.ErrTokenNotValidYet)
}

// claims is the payload of an access token: the table in section 3 of the contract.
type claims struct {
	ID        int64      `json:"id"`
	Subject   string     `json:"sub"`
	Role      store.Role `json:"role"`
	SessionID string     `json:"sid"`
	TokenID   string     `json:"jti"`
	Issuer    string     `json:"iss"`
	Audience  string     `json:"aud"`
	IssuedAt  int64      `json:"iat"`
	Expires   int64      `json:"exp"`
	NotBefore int64      `json:"nbf,omitempty"`
}

// UnmarshalJSON reads a payload strictly: every claim there, of its own type, under its exact name, once.
func (c *claims) UnmarshalJSON(b []byte) error {
	var in struct {
		ID        *int64      `json:"id"`
		Subject   *string     `json:"sub"`
		Role      *store.Role `json:"role"`
		SessionID *string     `json:"sid"`
		TokenID   *string     `json:"jti"`
		Issuer    *string     `json:"iss"`
		Audience  *string     `json:"aud"`
		IssuedAt  *int64      `json:"iat"`
		Expires   *int64      `json:"exp"`
		NotBefore int64       `json:"nbf"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.ID == nil || in.Subject == nil || in.Role == nil || in.SessionID == nil || in.TokenID == nil ||
		in.Issuer == nil || in.Audience == nil || in.IssuedAt == nil || in.Expires == nil {
		return errors.New("a claim is missing")
	}
	*c = claims{
		ID: *in.ID, Subject: *in.Subject, Role: *in.Role, SessionID: *in.SessionID, TokenID: *in.TokenID,
		Issuer: *in.Issuer, Audience: *in.Audience, IssuedAt: *in.IssuedAt, Expires: *in.Expires,
		NotBefore: in.NotBefore,
	}
	switch {
	case c.ID < 1 || c.ID > maxID || c.Subject != strconv.FormatInt(c.ID, 10):
		return errors.New("id and sub differ")
	case c.IssuedAt < 0 || c.IssuedAt > maxTime || c.Expires > maxTime || c.NotBefore < 0 || c.NotBefore > maxTime:
		return errors.New("a time is beyond the calendar")
	case !c.Role.Valid():
		return errors.New("no such role")
	case c.TokenID == "":
		return errors.New("the jti is empty")
	}
	return nil
}

// The methods that golang-jwt's validator asks for its checks of exp, iat, nbf, iss and aud.

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.Expires), nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return numericDate(c.IssuedAt), nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return numericDate(c.NotBefore), nil }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }

func numericDate(seconds int64) *jwt.NumericDate { return jwt.NewNumericDate(time.Unix(seconds, 0)) }

// sessionID is the 128 bits that a session is known by.
type sessionID [16]byte

func parseSessionID(s string) (id sessionID, ok bool) {
	if base64.RawURLEncoding.DecodedLen(len(s)) != len(id) {
		return id, false
	}
	n, err := strictBase64.Decode(id[:], []byte(s))
	return id, err == nil && n == len(id)
}

// ValidSessionID says whether a session could have this id.
func ValidSessionID(id string) bool {
	_, ok := parseSessionID(id)
	return ok
}

// randomID gives 128 random bits in base64url.
func randomID() string {
	var b sessionID
	rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Inspection is what a token says of itself, with nothing checked.
type Inspection struct {
	Header string // JSON
	Claims string // JSON
}

// Inspect decodes a token for a person to read. It checks no signature: whether the token is good is
// Authenticate's to say.
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
