package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"clientes/store"
)

const (
	// MaxAccess is the longest access token that is looked at, in bytes.
	MaxAccess = 4096

	// Leeway is how far apart the clocks of two machines may be.
	Leeway = 5 * time.Second

	// IssuedLeeway is how far ahead of ours the clock may be that issued something. It is longer,
	// because a replica whose clock is ahead must not log people out at the others.
	IssuedLeeway = time.Minute
)

// IssuerConfig is what an [Issuer] is made of. Every field is required, except CacheCounts.
type IssuerConfig struct {
	Keys     *Keyring
	Issuer   string        // the iss claim
	Audience string        // the aud claim
	TTL      time.Duration // how long an access token lives, whole seconds
	Now      func() time.Time

	CacheCounts *CacheCounts // counts look-ups in the token cache, unless it is nil
}

// Issuer mints and verifies access tokens. It is safe for concurrent use.
type Issuer struct {
	cfg    IssuerConfig
	parser *jwt.Parser
	cache  *Cache[string, Access]
}

// NewIssuer returns an Issuer with an empty token cache.
func NewIssuer(cfg IssuerConfig) *Issuer {
	return &Issuer{cfg: cfg, cache: NewCache[string, Access](), parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(),
		jwt.WithIssuer(cfg.Issuer),
		jwt.WithAudience(cfg.Audience),
		jwt.WithLeeway(Leeway),
		jwt.WithTimeFunc(cfg.Now),
	)}
}

// Validity is when an access token was issued and when it expires, in whole seconds of the
// process's own clock. Every other time of a session is one of the store's clock.
type Validity struct {
	IssuedAt, Expires time.Time
}

// For returns how long the token is valid.
func (v Validity) For() time.Duration { return v.Expires.Sub(v.IssuedAt) }

// Validity returns that of an access token that is minted now, for a session that ends after left.
func (i *Issuer) Validity(left time.Duration) Validity {
	now := i.cfg.Now()
	v := Validity{IssuedAt: now.Truncate(time.Second)}
	v.Expires = v.IssuedAt.Add(i.cfg.TTL)
	if end := now.Add(left); end.Before(v.Expires) {
		v.Expires = end.Truncate(time.Second)
	}
	return v
}

// Mint signs an access token for a session of u.
func (i *Issuer) Mint(u store.User, s store.Session, v Validity) (string, error) {
	c := &claims{
		ID: u.ID, Subject: strconv.FormatInt(u.ID, 10), Role: u.Role,
		SessionID: s.ID, TokenID: NewID(),
		Issuer: i.cfg.Issuer, Audience: i.cfg.Audience,
		IssuedAt: v.IssuedAt.Unix(), Expires: v.Expires.Unix(),
		AMR: strings.Fields(s.AMR),
	}
	if !s.CreatedAt.IsZero() {
		c.AuthTime = s.CreatedAt.Unix()
	}
	j := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	newest := i.cfg.Keys.access[0]
	j.Header["kid"] = newest.id
	token, err := j.SignedString(newest.secret)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// Access is what an access token says.
type Access struct {
	UserID    int64
	Role      store.Role
	SessionID string
	Session   SessionID // SessionID in binary
	TokenID   string    // the jti
	AuthTime  time.Time // when the session's login was made, the zero time if it does not say
	MFA       bool      // whether the session has used a second factor

	Expires   time.Time // exp and the leeway: when it is refused
	notBefore time.Time // iat and nbf, each less its leeway: the later of them
}

// Verify returns what an access token says. It refuses the token with [ErrInvalid] or
// [ErrExpired], and also returns what the token says if only its times are at fault. White space
// around the token is no part of it.
//
// A token from the cache costs a look-up instead of two MACs and two JSON documents
// (BenchmarkVerify: a hundred times less). Only time can change what was true of it then.
func (i *Issuer) Verify(token string) (Access, error) {
	token = store.Trim(token)
	a, ok := i.cache.Get(token)
	i.cfg.CacheCounts.Count(token, ok)
	if !ok {
		var err error
		if a, err = i.verifyNew(token); err != nil {
			return a, err
		}
		i.cache.Put(token, a)
	}
	switch now := i.cfg.Now(); {
	case !now.Before(a.Expires):
		return a, ErrExpired
	case now.Before(a.notBefore):
		return a, errNotYet()
	}
	return a, nil
}

// verifyNew is Verify for a token that is not in the cache.
func (i *Issuer) verifyNew(token string) (Access, error) {
	// The MAC comes first: nothing that a stranger wrote is decoded, and a forgery is cheap to
	// refuse.
	k, header, err := i.cfg.Keys.signer(token)
	if err != nil {
		return Access{}, err
	}
	if err := k.checkHeader(header); err != nil {
		return Access{}, err
	}
	var c claims
	signedWith := func(*jwt.Token) (any, error) { return k.secret, nil }
	_, err = i.parser.ParseWithClaims(token, &c, signedWith)
	switch {
	case err != nil && !onlyTimes(err):
		return Access{}, claimFault(err)
	case err != nil:
		err = ErrExpired
	}
	session, ok := ParseSessionID(c.SessionID)
	if !ok {
		return Access{}, invalid("The sid of the token is no session.")
	}
	a := Access{
		MFA:    slices.Contains(c.AMR, "mfa"),
		UserID: c.ID, Role: c.Role, SessionID: c.SessionID, Session: session, TokenID: c.TokenID,
		Expires:   time.Unix(c.Expires, 0).Add(Leeway),
		notBefore: time.Unix(c.IssuedAt, 0).Add(-IssuedLeeway),
	}
	if c.AuthTime != 0 {
		a.AuthTime = time.Unix(c.AuthTime, 0)
	}
	if nbf := time.Unix(c.NotBefore, 0).Add(-Leeway); nbf.After(a.notBefore) {
		a.notBefore = nbf
	}
	if i.cfg.Now().Before(a.notBefore) {
		err = errNotYet() // golang-jwt would allow iat no more than the other times
	}
	return a, err
}

func errNotYet() error {
	return invalid("The token is not valid yet: its iat or nbf is ahead of the clock of this server.")
}

// claimFault returns what golang-jwt found wrong with a token whose signature is good.
func claimFault(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return invalid("The iss of the token is not the ISSUER of this server.")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return invalid("The aud of the token is not the AUDIENCE of this server.")
	}
	return invalid("The claims of the token are not all there, once each and valid.")
}

// signer returns the key that signed an access token, and the token's header.
func (r *Keyring) signer(token string) (accessKey, []byte, error) {
	if len(token) > MaxAccess || !isTokenText(token) {
		return accessKey{}, nil, formFault(token)
	}
	text, encoded, _ := cutLast(token, ".")
	header, payload, ok := strings.Cut(text, ".")
	if !ok || strings.Contains(payload, ".") {
		return accessKey{}, nil, formFault(token)
	}
	for _, k := range r.access {
		if k.signed(text, encoded) {
			h, err := strictBase64.DecodeString(header)
			if err != nil {
				return accessKey{}, nil, invalid("The header of the token is not base64url.")
			}
			return k, h, nil
		}
	}
	return accessKey{}, nil, signatureFault(header, payload, encoded)
}

// signed reports whether mac is HMAC-SHA-256 of text under the secret itself, in base64url. A MAC
// has one encoding, so the two can be compared in it. To decode the given one would allocate.
func (k accessKey) signed(text, mac string) bool {
	if len(mac) != signatureSize {
		return false
	}
	var sum [sha256.Size]byte
	var ours, given [signatureSize]byte
	base64.RawURLEncoding.Encode(ours[:], k.macs.appendSum(sum[:0], text))
	copy(given[:], mac)
	return hmac.Equal(ours[:], given[:])
}

// checkHeader refuses what golang-jwt accepts: a name that comes twice, a critical extension
// (RFC 7515 section 4.1.11), the kid of another key, another typ (RFC 8725 section 3.11). Headers
// that point at keys mean nothing here (RFC 8725 section 3.10).
func (k accessKey) checkHeader(header []byte) error {
	var h struct {
		Alg  string         `json:"alg"`
		Typ  *string        `json:"typ"`
		Kid  jsontext.Value `json:"kid"`
		Crit jsontext.Value `json:"crit"`
	}
	if err := json.Unmarshal(header, &h); err != nil {
		return invalid("The header of the token is not one JSON object with every name once.")
	}
	switch {
	case h.Alg != jwt.SigningMethodHS256.Alg():
		return invalid("The alg of the token is not HS256.")
	case h.Crit != nil:
		return invalid("The header of the token has crit, which this server does not know.")
	case h.Typ != nil && !strings.EqualFold(*h.Typ, "JWT"):
		return invalid("The typ of the token is not JWT.")
	case h.Kid != nil && string(h.Kid) != strconv.Quote(k.id):
		return invalid("The kid of the token is not that of the secret that signed it.")
	}
	return nil
}

// onlyTimes reports whether exp and nbf are all that golang-jwt found wrong with a token.
func onlyTimes(err error) bool {
	for _, other := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid,
		jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return errors.Is(err, jwt.ErrTokenExpired) || errors.Is(err, jwt.ErrTokenNotValidYet)
}
