package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"clientes/auth/mail"
	"clientes/auth/token"
	"clientes/store/postgres"
	"clientes/store/sqlite"
)

const makeSecret = "`openssl rand -hex 32` makes a good one"

// check looks for values that can be read but not used.
func (c *Config) check(bad faults) {
	c.checkSecrets(bad)
	c.checkTimes(bad)
	if !validHost(c.Host) {
		bad.add("HOST", "is %s, but has to be an address such as 127.0.0.1 or :: or a host name, "+
			"without a port", quoted(c.Host, c.Host))
	}
	if err := CheckDatabaseURL(c.DatabaseURL); err != nil {
		bad.add("DATABASE_URL", "%v", err)
	} else if postgres.IsURL(c.DatabaseURL) {
		for _, w := range postgres.Warnings(c.DatabaseURL) {
			c.warn("DATABASE_URL %s", w)
		}
	}
	if c.PublicURL != "" && !validOrigin(strings.TrimSuffix(c.PublicURL, "/")) {
		bad.add("PUBLIC_URL", "is %s, but has to be as browsers write it, without a path: "+
			"https://api.example.com", quoted(c.PublicURL, c.PublicURL))
	}
	if c.SMTP != (mail.Server{}) && c.MailFrom.Address == "" {
		bad.add("MAIL_FROM", "is missing; SMTP_URL needs it: "+
			"clientes@example.com or Clientes <clientes@example.com>")
	}
	for i, origin := range c.CORSOrigins {
		c.CORSOrigins[i] = strings.TrimSpace(origin)
		if !validOrigin(c.CORSOrigins[i]) {
			bad.add("CORS_ORIGINS", "has %s in it, but has to be origins as browsers write them, "+
				"separated by commas: https://app.example.com",
				quoted(origin, c.values["CORS_ORIGINS"]))
		}
	}
	for name, value := range map[string]string{"ISSUER": c.Issuer, "AUDIENCE": c.Audience} {
		if !validClaim(value) {
			bad.add(name, "has to be at most 255 bytes of UTF-8 without control characters")
		}
	}
	switch c.Signup {
	case "closed", "open":
	default:
		bad.add("SIGNUP", "is %s, but has to be closed or open", quoted(c.Signup, c.Signup))
	}
	switch c.RequireMFA {
	case "none", "admin", "all":
	default:
		bad.add("REQUIRE_MFA", "is %s, but has to be none, admin or all",
			quoted(c.RequireMFA, c.RequireMFA))
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		bad.add("LOG_LEVEL", "is %s, but has to be debug, info, warn or error",
			quoted(c.LogLevel, c.LogLevel))
	}
	switch c.LogFormat {
	case "", "text", "json":
	default:
		bad.add("LOG_FORMAT", "is %s, but has to be text or json", quoted(c.LogFormat, c.LogFormat))
	}
}

func (c *Config) checkSecrets(bad faults) {
	c.checkSecret(bad, "SECRET", c.Secret)
	c.checkPrevious(bad, "SECRET_PREVIOUS", c.SecretPrevious)
	c.checkSecret(bad, "ROOT_SECRET", c.RootSecret)
	c.checkPrevious(bad, "ROOT_SECRET_PREVIOUS", c.RootSecretPrevious)
	switch {
	case c.RootSecret == "":
	case c.RootSecret == c.Secret:
		bad.add("ROOT_SECRET", "is the same as SECRET, but has to be one that nobody else has; %s",
			makeSecret)
	case slices.Contains(c.SecretPrevious, c.RootSecret):
		c.warn("SECRET_PREVIOUS has ROOT_SECRET in it: drop it there as soon as no replica signs " +
			"tokens with it")
	case c.Secret != "" && slices.Contains(c.RootSecretPrevious, c.Secret):
		c.warn("ROOT_SECRET_PREVIOUS has SECRET in it, so that a leak of SECRET still lets " +
			"strangers in: give `clientes rekey`, and drop it after SESSION_MAX")
	}
}

// checkSecret looks at a secret that signs. Those that only verify may be public, with a warning:
// the way out of such a secret is to replace it.
func (c *Config) checkSecret(bad faults, name, secret string) {
	if secret == "" {
		return
	}
	if err := token.CheckSecret(secret); err != nil {
		bad.add(name, "cannot be used: %v; %s", err, makeSecret)
		return
	}
	c.warnOfSpace(name, secret)
	switch why, public := token.Weakness(secret); {
	case public:
		bad.add(name, "cannot be used: it %s; %s", why, makeSecret)
	case why != "":
		c.warn("%s %s: whoever has one token can guess it, on their own machine; %s, and "+
			"cmd/clientes/SECRETS.md says how to replace it", name, why, makeSecret)
	}
}

func (c *Config) checkPrevious(bad faults, name string, secrets []string) {
	for i, s := range secrets {
		if err := token.CheckSecret(s); err != nil {
			bad.add(name, "cannot be used, its secret number %d: %v; commas separate them", i+1, err)
		} else if why, _ := token.Weakness(s); why != "" {
			c.warn("%s: its secret number %d %s, and whoever guesses it makes what is still good; "+
				"drop it soon, cmd/clientes/SECRETS.md says when", name, i+1, why)
		}
		c.warnOfSpace(name, s)
	}
}

func (c *Config) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// warnOfSpace warns of white space that somebody may have left around a secret: it counts.
func (c *Config) warnOfSpace(name, secret string) {
	if strings.TrimSpace(secret) != secret {
		c.warn("%s: a secret begins or ends with white space, which is part of it", name)
	}
}

// leastTokenTTL is the least value of TOKEN_TTL.
const leastTokenTTL = 10 * time.Second

func (c *Config) checkTimes(bad faults) {
	least := leastTokenTTL // what the others are compared with, if TOKEN_TTL is at fault
	if bad.none("TOKEN_TTL") {
		switch {
		case c.TokenTTL < leastTokenTTL || c.TokenTTL > time.Hour:
			bad.add("TOKEN_TTL", "is %s, but has to be from 10s to 1h", c.TokenTTL)
		case c.TokenTTL%time.Second != 0:
			// RFC 7519 would allow a fraction in exp, but many readers of tokens do not.
			bad.add("TOKEN_TTL", "is %s, but has to be of whole seconds", c.TokenTTL)
		default:
			least = c.TokenTTL
		}
	}
	for name, span := range map[string]time.Duration{
		"SESSION_IDLE": c.SessionIdle, "SESSION_MAX": c.SessionMax,
	} {
		if bad.none(name) && span < least {
			bad.add(name, "is %s, but has to be TOKEN_TTL (%s) or more", span, least)
		}
	}
	if bad.none("SESSION_IDLE", "SESSION_MAX") && c.SessionIdle > c.SessionMax {
		bad.add("SESSION_IDLE", "is %s, but has to be SESSION_MAX (%s) or less",
			c.SessionIdle, c.SessionMax)
	}
	if c.RefreshGrace < 0 || c.RefreshGrace > 5*time.Minute {
		bad.add("REFRESH_GRACE", "is %s, but has to be from 0s to 5m", c.RefreshGrace)
	}
	if c.ShutdownDelay < 0 {
		bad.add("SHUTDOWN_DELAY", "is %s, but has to be 0s or more", c.ShutdownDelay)
	}
	if c.ShutdownTimeout < 0 {
		bad.add("SHUTDOWN_TIMEOUT", "is %s, but has to be 0s or more", c.ShutdownTimeout)
	}
}

// CheckDatabaseURL returns what is wrong with the URL of a database, or nil. The text continues a
// sentence that begins with the name of the URL, and repeats nothing that may be a password.
func CheckDatabaseURL(databaseURL string) error {
	switch {
	case sqlite.IsURL(databaseURL):
		return sqlite.CheckURL(databaseURL)
	case postgres.IsURL(databaseURL):
		return withNearest(postgres.CheckURL(databaseURL))
	}
	return errors.New("has to begin with sqlite: or postgres://, for example sqlite:clientes.db" +
		whyNoURL(databaseURL))
}

// withNearest adds to an error about an unknown option the name that may have been meant.
func withNearest(err error) error {
	var unknown *postgres.UnknownOptionError
	if !errors.As(err, &unknown) || unknown.Name == "" {
		return err
	}
	near := nearest(unknown.Name, unknown.Known)
	return fmt.Errorf("%w; the nearest known name is %s", err, near)
}

// whyNoURL returns what to do about what people take for the URL of a database, or "".
func whyNoURL(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	switch {
	case strings.HasPrefix(s, "psql "):
		return "; leave out the command psql and its quotes"
	case strings.HasPrefix(s, `"`), strings.HasPrefix(s, "'"):
		return "; leave out the quotes around it"
	case strings.HasPrefix(s, "database_url="):
		return "; leave out its own name"
	case strings.HasPrefix(s, "prisma"):
		return "; a URL of Prisma's own service leads to no database: take the one for direct connections"
	case strings.Contains(s, "host=") || strings.Contains(s, "server="):
		return "; write a list of names and values as postgres://USER:PASSWORD@HOST:PORT/DATABASE"
	}
	return ""
}

// validHost reports whether s can be listened on: an IP address, or what looks like a name.
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
		return !letter && r != '.' && r != '-' && r != '_'
	})
}

// validClaim reports whether s can be a claim of every token. A token has to stay far below the
// size that the server accepts.
func validClaim(s string) bool {
	return len(s) <= 255 && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// validOrigin reports whether s is an origin exactly as a browser writes it: in lower case, without
// a path, and without the port that the scheme has anyway.
func validOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Host, "*") {
		return false
	}
	usualPort, ok := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return ok && s == u.Scheme+"://"+strings.ToLower(u.Host) &&
		u.Port() != usualPort && !strings.HasSuffix(u.Host, ":")
}
