package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"clientes/auth/mail"
	"clientes/auth/token"
	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/sqlite"
)

const makeSecret = "`openssl rand -hex 32` makes a good one"

// check looks for values that can be read but not used.
func (c *Config) check(bad faults) {
	c.checkSecrets(bad)
	c.checkTimes(bad)
	c.checkHost(bad)
	c.checkMetricsAddr(bad)
	if err := CheckDatabaseURL(c.DatabaseURL); err != nil {
		bad.add("DATABASE_URL", "%v", err)
	} else if postgres.IsURL(c.DatabaseURL) {
		for _, w := range postgres.Warnings(c.DatabaseURL) {
			c.warn("DATABASE_URL %s", w)
		}
	}
	if c.PublicURL != "" {
		origin := strings.TrimSuffix(c.PublicURL, "/")
		meant := browserOrigin(origin)
		if !isWeb(meant) {
			meant = ""
		}
		if meant == "" || meant != origin {
			bad.add("PUBLIC_URL", "is %s, but has to be as browsers write it, without a path: %s",
				quoted(c.PublicURL, c.PublicURL), example(meant, "https://api.example.com"))
		}
	}
	if c.SMTP != (mail.Server{}) && c.MailFrom.Address == "" {
		bad.add("MAIL_FROM", "is missing; SMTP_URL needs it: "+
			"clientes@example.com or Clientes <clientes@example.com>")
	}
	c.checkOrigins(bad)
	c.checkProxies(bad)
	for name, value := range map[string]string{"ISSUER": c.Issuer, "AUDIENCE": c.Audience} {
		if !validClaim(value) {
			bad.add(name, "has to be at most 255 bytes of UTF-8 without control characters")
		}
	}
	for _, choice := range []struct {
		name  string
		value *string
		words []string
	}{
		{"SIGNUP", &c.Signup, []string{"closed", "open"}},
		{"REQUIRE_MFA", &c.RequireMFA, []string{"none", "admin", "all"}},
		{"CONSOLE", &c.Console, []string{"on", "off"}},
		{"LOG_LEVEL", &c.LogLevel, []string{"debug", "info", "warn", "error"}},
		{"LOG_FORMAT", &c.LogFormat, []string{"text", "json"}},
	} {
		value := *choice.value
		*choice.value = strings.ToLower(value)
		if value != "" && !slices.Contains(choice.words, *choice.value) {
			last := len(choice.words) - 1
			bad.add(choice.name, "is %s, but has to be %s or %s", quoted(value, value),
				strings.Join(choice.words[:last], ", "), choice.words[last])
		}
	}
}

// unreplaced is what a program that reads variables would have replaced.
var unreplaced = regexp.MustCompile(
	"\\$\\{[A-Za-z_][^}]*\\}|\\$\\([A-Z_][A-Z0-9_]*\\)|^\\$\\(.*\\)$|^`.*`$")

// checkForms looks for what other programs leave around a value that any text can be, or in it.
// Secrets have rules of their own.
func (c *Config) checkForms(bad faults) {
	for _, s := range settings() {
		value, from := c.values[s.name], c.origins[s.name]
		switch {
		case s.secret || from == "default" || value == "":
		case token.IsEncrypted(value):
			bad.add(s.name, "is what another program has encrypted, such as SOPS or dotenvx: start "+
				"clientes by that program, or write the value itself")
		case s.text && slices.Contains([]string{"undefined", "null", "[object Object]"}, value):
			bad.add(s.name, "is %s, which a program writes that has no value: leave the setting out, "+
				"or give it one", value)
		case s.text && strings.ContainsRune("=>", rune(value[0])):
			bad.add(s.name, "begins with a second sign: write NAME=value")
		case strings.HasPrefix(value, s.name+"="):
			bad.add(s.name, "begins with its own name and a sign; write only what comes behind them")
		case isQuoted(value) && (s.name == "ISSUER" || s.name == "AUDIENCE"):
			c.warn("%s begins and ends with a quote, which is part of it", s.name)
		case isQuoted(value):
			bad.add(s.name, "begins and ends with a quote, which is part of it, as "+
				"`docker run --env-file` makes it; write the value without quotes")
		case from != ".env" && unreplaced.MatchString(value), // .env has faults of its own
			isReference(value) && (from != ".env" || value[0] != '$'):
			bad.add(s.name, "has a reference or a command in it, which nobody has replaced: "+
				"write its value there")
		}
	}
}

// isReference reports whether a value other than an address of IPv6 is a reference of a vault, or a
// placeholder.
func isReference(value string) bool {
	return value[0] != '[' && token.IsReference(value) || passwordOfManual.MatchString(value)
}

// passwordOfManual is what a URL has before somebody writes the password there.
var passwordOfManual = regexp.MustCompile(`(?i):[<[{]+[a-z _-]*password[a-z _-]*[>\]}]+@`)

// quotes are what people and programs put around a value.
const (
	quotes      = "'\"" + typographic
	typographic = "“”„‘’‚«»"
)

// isQuoted reports whether a text begins and ends with a quote.
func isQuoted(s string) bool {
	first, size := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	return len(s) > size &&
		strings.ContainsRune(quotes, first) && strings.ContainsRune(quotes, last)
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
	c.warnOfDecoration(name, secret)
	switch why, public := token.Weakness(undecorated(name, secret)); {
	case public:
		bad.add(name, "cannot be used: it %s; %s", why, makeSecret)
	case why != "":
		c.warnOf(&c.weak, "%s %s: whoever has one token can guess it, on their own machine; "+
			"%s, and cmd/clientes/SECRETS.md says how to replace it", name, why, makeSecret)
	}
}

func (c *Config) checkPrevious(bad faults, name string, secrets []string) {
	for i, s := range secrets {
		if err := token.CheckSecret(s); err != nil {
			bad.add(name, "cannot be used, its secret number %d: %v; commas separate them", i+1, err)
		} else if why, _ := token.Weakness(undecorated(name, s)); why != "" {
			c.warnOf(&c.weak, "%s: its secret number %d %s, and whoever guesses it makes what is "+
				"still good; drop it soon, cmd/clientes/SECRETS.md says when", name, i+1, why)
		}
		c.warnOfDecoration(name, s)
	}
}

func (c *Config) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// warnOf is warn for one of the lists of warnings that let somebody in.
func (c *Config) warnOf(list *[]string, format string, args ...any) {
	c.warn(format, args...)
	*list = append(*list, c.warnings[len(c.warnings)-1])
}

// warnOfDecoration warns of what somebody may have left around a secret: it counts, and another
// program that reads the same file may not count it.
func (c *Config) warnOfDecoration(name, secret string) {
	inner := strings.TrimSpace(strings.TrimPrefix(secret, "\ufeff"))
	switch {
	case strings.HasPrefix(secret, "\ufeff"):
		c.warn("%s: a secret begins with a byte order mark, which is part of it: save its file as "+
			"UTF-8 without one", name)
	case strings.HasPrefix(secret, "\xff\xfe"), strings.HasPrefix(secret, "\xfe\xff"):
		c.warn("%s: a secret is text in UTF-16, whose byte order mark and NUL bytes are part of it: "+
			"save its file as UTF-8", name)
	case store.Trim(secret) != secret:
		c.warn("%s: a secret begins or ends with white space, which is part of it", name)
	}
	if ownName(name).MatchString(inner) {
		c.warn("%s: a secret begins with the name of a setting and a sign, which are part of it: "+
			"its file holds the value alone", name)
	}
	if isQuoted(strings.TrimSpace(ownName(name).ReplaceAllString(inner, ""))) {
		c.warn("%s: a secret begins and ends with a quote, which is part of it", name)
	}
	if strings.HasPrefix(inner, "=") {
		c.warn("%s: a secret begins with a sign (=), which is part of it", name)
	}
	if strings.HasPrefix(inner, "{") && strings.HasSuffix(inner, "}") {
		c.warn("%s: a secret begins and ends with a brace, as JSON does, and all of that is part of it",
			name)
	}
	if strings.ContainsAny(inner, "\r\n") {
		c.warn("%s: a secret has several lines, and all of them are part of it", name)
	}
}

// ownName matches the name of a secret before it, as in a .env file.
func ownName(name string) *regexp.Regexp {
	name = strings.TrimSuffix(name, "_PREVIOUS")
	return regexp.MustCompile(`^(export\s+)?` + name + `(_PREVIOUS)?\s*=\s*`)
}

// undecorated returns a secret without what [Config.warnOfDecoration] warns of: that makes nothing
// harder to guess.
func undecorated(name, secret string) string {
	s := ownName(name).ReplaceAllString(store.Trim(secret), "")
	if isQuoted(s) {
		s = strings.Trim(s, quotes)
	}
	if s == "" {
		return secret
	}
	return s
}

// leastTokenTTL is the least value of TOKEN_TTL.
const leastTokenTTL = 10 * time.Second

// Events are kept for a week at least: whoever covers tracks must not only wait for the weekend to
// be over. Ten years are longer than any law asks for addresses.
const (
	leastAuditKeep = 7 * 24 * time.Hour
	mostAuditKeep  = 10 * 365 * 24 * time.Hour
)

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
	if bad.none("REMEMBER_IDLE") && c.RememberIdle != 0 && c.RememberIdle < least {
		bad.add("REMEMBER_IDLE", "is %s, but has to be TOKEN_TTL (%s) or more, "+
			"or 0 if no login is to be remembered", c.RememberIdle, least)
	}
	for name, span := range map[string]*time.Duration{
		"SESSION_IDLE": &c.SessionIdle, "REMEMBER_IDLE": &c.RememberIdle,
	} {
		switch {
		case !bad.none(name, "SESSION_MAX") || *span <= c.SessionMax:
		case c.origins[name] == "default":
			*span = c.SessionMax
			c.values[name] = c.SessionMax.String()
		default:
			bad.add(name, "is %s, but has to be SESSION_MAX (%s) or less", *span, c.SessionMax)
		}
	}
	if c.RefreshGrace < 0 || c.RefreshGrace > 5*time.Minute {
		bad.add("REFRESH_GRACE", "is %s, but has to be from 0s to 5m", c.RefreshGrace)
	}
	if bad.none("AUDIT_KEEP") && (c.AuditKeep < leastAuditKeep || c.AuditKeep > mostAuditKeep) {
		bad.add("AUDIT_KEEP", "is %s, but has to be from 168h to 87600h", c.AuditKeep)
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

// validClaim reports whether s can be a claim of every token. A token has to stay far below the
// size that the server accepts.
func validClaim(s string) bool {
	return len(s) <= 255 && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
