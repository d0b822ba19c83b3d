package token

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"

	"clientes/store"
)

const (
	// maxID is the largest integer that every JSON reader keeps exactly (RFC 8259 section 6).
	maxID = 1<<53 - 1

	// maxTime is the end of the year 9999 in Unix seconds. Beyond it, time.Unix may overflow into
	// the past.
	maxTime = 253402300799
)

// claims is the payload of an access token. All are required except nbf, which we never write, and
// auth_time and amr, which programs before migration 18 did not write.
type claims struct {
	ID        int64      `json:"id"`
	Subject   string     `json:"sub"` // the id as text
	Role      store.Role `json:"role"`
	SessionID string     `json:"sid"`
	TokenID   string     `json:"jti"`
	Issuer    string     `json:"iss"`
	Audience  string     `json:"aud"`
	IssuedAt  int64      `json:"iat"`
	Expires   int64      `json:"exp"`
	NotBefore int64      `json:"nbf,omitempty"`
	AuthTime  int64      `json:"auth_time,omitempty"` // of the session's login
	AMR       []string   `json:"amr,omitempty"`       // by what it was made (RFC 8176)
}

// UnmarshalJSON reads a payload strictly: every claim must be there, of its own type, under its
// exact name, once.
func (c *claims) UnmarshalJSON(b []byte) error {
	var in struct {
		ID        *int64           `json:"id"`
		Subject   *string          `json:"sub"`
		Role      *store.Role      `json:"role"`
		SessionID *string          `json:"sid"`
		TokenID   *string          `json:"jti"`
		Issuer    *string          `json:"iss"`
		Audience  *string          `json:"aud"`
		IssuedAt  *int64           `json:"iat"`
		Expires   *int64           `json:"exp"`
		NotBefore int64            `json:"nbf"`
		AuthTime  option[int64]    `json:"auth_time"`
		AMR       option[[]string] `json:"amr"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.ID == nil || in.Subject == nil || in.Role == nil || in.SessionID == nil ||
		in.TokenID == nil || in.Issuer == nil || in.Audience == nil || in.IssuedAt == nil ||
		in.Expires == nil {
		return errors.New("a claim is missing")
	}
	*c = claims{
		ID: *in.ID, Subject: *in.Subject, Role: *in.Role, SessionID: *in.SessionID,
		TokenID: *in.TokenID, Issuer: *in.Issuer, Audience: *in.Audience, IssuedAt: *in.IssuedAt,
		Expires: *in.Expires, NotBefore: in.NotBefore,
		AuthTime: in.AuthTime.value, AMR: in.AMR.value,
	}
	return c.check()
}

// option is a claim that may be absent, but not null.
type option[T any] struct{ value T }

// UnmarshalJSON implements [json.Unmarshaler].
func (o *option[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return errors.New("a claim is null")
	}
	return json.Unmarshal(b, &o.value)
}

// check reports a claim whose value no token of ours has.
func (c *claims) check() error {
	switch {
	case c.ID < 1 || c.ID > maxID || c.Subject != strconv.FormatInt(c.ID, 10):
		return errors.New("id and sub differ")
	case c.IssuedAt < 0 || c.IssuedAt > maxTime || c.Expires > maxTime ||
		c.NotBefore < 0 || c.NotBefore > maxTime || c.AuthTime < 0 || c.AuthTime > maxTime:
		return errors.New("a time is beyond the calendar")
	case !c.Role.Valid():
		return errors.New("no such role")
	case slices.Contains(c.AMR, ""): // null is read as ""
		return errors.New("an amr is empty")
	case c.TokenID == "":
		return errors.New("the jti is empty")
	}
	return nil
}

// golang-jwt's validator calls these methods to check exp, iat, nbf, iss and aud.

func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires), nil }
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt), nil }
func (c *claims) GetNotBefore() (*jwt.NumericDate, error)      { return date(c.NotBefore), nil }
func (c *claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *claims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}

func date(seconds int64) *jwt.NumericDate { return jwt.NewNumericDate(time.Unix(seconds, 0)) }
