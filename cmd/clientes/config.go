package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"clientes/auth/mail"
	"clientes/auth/token"
)

// config is every setting. Its tags are the one list of their names and defaults: env names the variable,
// file:"yes" says that NAME_FILE may name a file with the value, text:"yes" that any text is a value, so that
// nothing notices a changed one later, and secret:"yes" that the value is never shown.
type config struct {
	Secret          string          `env:"SECRET" file:"yes" text:"yes" secret:"yes"`
	SecretPrevious  []string        `env:"SECRET_PREVIOUS" file:"yes" text:"yes" secret:"yes"`
	Host            string          `env:"HOST" envDefault:"127.0.0.1"`
	Port            uint16          `env:"PORT" envDefault:"3000"`
	DatabaseURL     string          `env:"DATABASE_URL" envDefault:"sqlite:clientes.db" file:"yes" text:"yes"`
	TokenTTL        time.Duration   `env:"TOKEN_TTL" envDefault:"300s"`
	SessionIdle     time.Duration   `env:"SESSION_IDLE" envDefault:"30m"`
	SessionMax      time.Duration   `env:"SESSION_MAX" envDefault:"720h"`
	Issuer          string          `env:"ISSUER" envDefault:"clientes" text:"yes"`
	Audience        string          `env:"AUDIENCE" envDefault:"clientes" text:"yes"`
	RefreshGrace    time.Duration   `env:"REFRESH_GRACE" envDefault:"30s"`
	Signup          string          `env:"SIGNUP" envDefault:"closed"`
	PublicURL       string          `env:"PUBLIC_URL"` // "": http:// and where it listens
	SMTP            mail.Server     `env:"SMTP_URL" file:"yes" text:"yes"`
	MailFrom        netmail.Address `env:"MAIL_FROM" text:"yes"`
	CORSOrigins     []string        `env:"CORS_ORIGINS"`
	TrustedProxies  []netip.Prefix  `env:"TRUSTED_PROXIES"`
	RequireIfMatch  bool            `env:"REQUIRE_IF_MATCH" envDefault:"false"`
	LogLevel        string          `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat       string          `env:"LOG_FORMAT"` // "": text on a terminal, else json
	ShutdownDelay   time.Duration   `env:"SHUTDOWN_DELAY" envDefault:"0s"`
	ShutdownTimeout time.Duration   `env:"SHUTDOWN_TIMEOUT" envDefault:"20s"`

	values   map[string]string // by name, as they were given
	origins  map[string]string // by name: where the value came from
	warnings []string          // what is strange but does no harm
}

// setting is what the tags of one field of config say.
type setting struct {
	name, fallback     string
	file, text, secret bool
}

// names are the variables that may hold the setting.
func (s setting) names() []string {
	if s.file {
		return []string{s.name, s.name + "_FILE"}
	}
	return []string{s.name}
}

// settings are all settings, in the order in which they are shown.
func settings() []setting {
	var all []setting
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config]()) {
		if name := f.Tag.Get("env"); name != "" {
			all = append(all, setting{
				name:     name,
				fallback: f.Tag.Get("envDefault"),
				file:     f.Tag.Get("file") == "yes",
				text:     f.Tag.Get("text") == "yes",
				secret:   f.Tag.Get("secret") == "yes",
			})
		}
	}
	return all
}

// configError lists everything that is wrong with the configuration.
type configError struct {
	faults []string
}

func (e *configError) Error() string {
	return "the configuration has to be corrected:\n  " + strings.Join(e.faults, "\n  ")
}

// faults collects what is wrong, the first fault of each setting.
type faults map[string]string

func (f faults) add(name, format string, args ...any) {
	if _, ok := f[name]; !ok {
		f[name] = name + " " + fmt.Sprintf(format, args...)
	}
}

// none says whether nothing is wrong with any of these settings, so that they can be compared.
func (f faults) none(names ...string) bool {
	for _, name := range names {
		if _, ok := f[name]; ok {
			return false
		}
	}
	return true
}

// quoted is a value, or a part of one, as a fault may repeat it: not all of what is long, and nothing of what may have a
// password in it, which belongs to another setting.
func quoted(part, value string) string {
	if mayHavePassword(value) {
		return "something with a password"
	}
	return fmt.Sprintf("%.60q", part)
}

// passwordForms are what a password comes in: user:password@, and the password= of libpq.
var passwordForms = regexp.MustCompile(`(?is):.*@|pass\w*\s*=`)

func mayHavePassword(value string) bool { return passwordForms.MatchString(value) }

const makeSecret = "`openssl rand -hex 32` makes a good one"

// maxFile is the most that is read of .env and of a file that holds a value, in bytes.
const maxFile = 1 << 20

// loadConfig reads the configuration from the environment, from .env in the working folder, and from the
// files that these name. With a *configError it still gives what it could read. The names in required must
// have a value.
//
// The environment wins over .env, and SECRET and SECRET_FILE are one setting in this: if the environment has
// either of them, .env is not asked for the other. Both in one place is a fault. A name that the environment
// sets to nothing hides the one in .env too, as with any reader of such files, and leaves the default.
func loadConfig(lookupEnv func(string) (string, bool), required ...string) (config, error) {
	var c config
	bad := make(faults)
	dotenv, dotenvFaults := c.readDotenv()
	c.resolve(bad, lookupEnv, func(name string) (string, bool) {
		value, ok := dotenv[name]
		return value, ok
	})
	c.parse(bad)
	c.check(bad)
	for _, name := range required {
		// A .env that can not be read may well set it.
		if c.values[name] == "" && len(dotenvFaults) == 0 {
			bad.add(name, "is missing; %s, to be set in the environment or in .env", makeSecret)
		}
	}
	all := dotenvFaults
	for _, s := range settings() {
		if fault, ok := bad[s.name]; ok {
			all = append(all, fault)
		}
	}
	if len(all) > 0 {
		return c, &configError{all}
	}
	return c, nil
}

func (c *config) readDotenv() (values map[string]string, faults []string) {
	text, err := readFile(".env")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, []string{fmt.Sprintf(".env can not be read: %v", err)}
	}
	values, faults, c.warnings = parseDotenv(text, settings())
	return values, faults
}

// resolve finds the text of every setting and where it came from.
func (c *config) resolve(bad faults, environment, dotenv func(string) (string, bool)) {
	c.values, c.origins = make(map[string]string), make(map[string]string)
	places := []struct {
		name   string
		lookup func(string) (string, bool)
	}{{"environment", environment}, {".env", dotenv}}
	for _, s := range settings() {
		c.values[s.name], c.origins[s.name] = s.fallback, "default"
		for _, place := range places {
			value, found := place.lookup(s.name)
			path, foundFile := "", false
			if s.file {
				path, foundFile = place.lookup(s.name + "_FILE")
			}
			switch {
			case value != "" && path != "":
				bad.add(s.name, "and %s_FILE are both set in %s; keep one of them", s.name, place.name)
			case path != "":
				text, err := readFile(path)
				text = dropNewline(text)
				switch {
				case err != nil:
					// Without the path, in which somebody may have put the value itself.
					bad.add(s.name, "can not be read from the file that %s_FILE names: %v", s.name, withoutPath(err))
				case text == "":
					bad.add(s.name, "is to come from %s, as %s_FILE says, but nothing is in there", path, s.name)
				}
				c.values[s.name], c.origins[s.name] = text, "file"
				if err == nil {
					c.origins[s.name] += " " + path
				}
			case value != "":
				c.values[s.name], c.origins[s.name] = value, place.name
			}
			if found || foundFile {
				break
			}
		}
	}
}

// withoutPath is the cause of an error that names the path of a file.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// parse makes the fields of the texts.
func (c *config) parse(bad faults) {
	err := env.ParseWithOptions(c, env.Options{
		Environment: c.values,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[bool]():            parseBool,
			reflect.TypeFor[uint16]():          parsePort,
			reflect.TypeFor[time.Duration]():   parseDuration,
			reflect.TypeFor[[]netip.Prefix]():  parsePrefixes,
			reflect.TypeFor[mail.Server]():     parseServer,
			reflect.TypeFor[netmail.Address](): parseFrom,
		},
	})
	var all env.AggregateError
	if !errors.As(err, &all) {
		return
	}
	for _, err := range all.Errors {
		var parse env.ParseError
		if errors.As(err, &parse) {
			f, _ := reflect.TypeFor[config]().FieldByName(parse.Name)
			bad.add(f.Tag.Get("env"), "%v", parse.Err)
		}
	}
}

func parseBool(s string) (any, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return nil, fmt.Errorf("is %s, but has to be true or false", quoted(s, s))
	}
	return b, nil
}

func parsePort(s string) (any, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("is %s, but has to be a number from 0 (any free port) to 65535", quoted(s, s))
	}
	return uint16(n), nil
}

func parseDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, fmt.Errorf("is %s, but has to be a time with its unit, such as 90s, 30m or 1h30m", quoted(s, s))
	}
	return d, nil
}

func parsePrefixes(s string) (any, error) {
	var prefixes []netip.Prefix
	for part := range strings.SplitSeq(s, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("has %s in it, but every part has to be a CIDR such as 10.0.0.0/8 or 192.0.2.7/32", quoted(part, s))
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}

func parseServer(s string) (any, error) {
	server, err := mail.ParseServer(s)
	if err != nil {
		return nil, fmt.Errorf("can not be used: %w", err)
	}
	return server, nil
}

func parseFrom(s string) (any, error) {
	from, err := mail.ParseFrom(s)
	if err != nil {
		return nil, fmt.Errorf("is %s, but %w", quoted(s, s), err)
	}
	return from, nil
}

// check looks for values that can be read but not used.
func (c *config) check(bad faults) {
	if c.Secret != "" {
		if err := token.CheckSecret(c.Secret); err != nil {
			bad.add("SECRET", "can not be used: %v; %s", err, makeSecret)
		}
		c.warnOfSpace("SECRET", c.Secret)
	}
	for i, s := range c.SecretPrevious {
		if err := token.CheckSecret(s); err != nil {
			bad.add("SECRET_PREVIOUS", "can not be used, its secret number %d: %v; commas separate them", i+1, err)
		}
		c.warnOfSpace("SECRET_PREVIOUS", s)
	}
	if !validHost(c.Host) {
		bad.add("HOST", "is %s, but has to be an address such as 127.0.0.1 or :: or a host name, without a port", quoted(c.Host, c.Host))
	}
	if why := databaseFault(c.DatabaseURL); why != "" {
		bad.add("DATABASE_URL", "%s", why)
	}
	if bad.none("TOKEN_TTL") {
		switch {
		case c.TokenTTL < 10*time.Second || c.TokenTTL > time.Hour:
			bad.add("TOKEN_TTL", "is %s, but has to be from 10s to 1h", c.TokenTTL)
		case c.TokenTTL%time.Second != 0:
			// RFC 7519 would allow a fraction in exp, but many readers of tokens do not.
			bad.add("TOKEN_TTL", "is %s, but has to be of whole seconds", c.TokenTTL)
		}
	}
	if bad.none("TOKEN_TTL", "SESSION_IDLE") && c.SessionIdle < c.TokenTTL {
		bad.add("SESSION_IDLE", "is %s, but has to be TOKEN_TTL (%s) or more", c.SessionIdle, c.TokenTTL)
	}
	if bad.none("TOKEN_TTL", "SESSION_MAX") && c.SessionMax < c.TokenTTL {
		bad.add("SESSION_MAX", "is %s, but has to be TOKEN_TTL (%s) or more", c.SessionMax, c.TokenTTL)
	}
	if bad.none("SESSION_IDLE", "SESSION_MAX") && c.SessionIdle > c.SessionMax {
		bad.add("SESSION_IDLE", "is %s, but has to be SESSION_MAX (%s) or less", c.SessionIdle, c.SessionMax)
	}
	if c.RefreshGrace < 0 || c.RefreshGrace > 5*time.Minute {
		bad.add("REFRESH_GRACE", "is %s, but has to be from 0s to 5m", c.RefreshGrace)
	}
	switch c.Signup {
	case "closed", "open":
	default:
		bad.add("SIGNUP", "is %s, but has to be closed or open", quoted(c.Signup, c.Signup))
	}
	if c.PublicURL != "" && !validOrigin(strings.TrimSuffix(c.PublicURL, "/")) {
		bad.add("PUBLIC_URL", "is %s, but has to be as browsers write it, without a path: https://api.example.com", quoted(c.PublicURL, c.PublicURL))
	}
	if c.SMTP != (mail.Server{}) && c.MailFrom.Address == "" {
		bad.add("MAIL_FROM", "is missing; SMTP_URL needs it: clientes@example.com or Clientes <clientes@example.com>")
	}
	for i, origin := range c.CORSOrigins {
		c.CORSOrigins[i] = strings.TrimSpace(origin)
		if !validOrigin(c.CORSOrigins[i]) {
			bad.add("CORS_ORIGINS", "has %s in it, but has to be origins as browsers write them, separated by commas: "+
				"https://app.example.com", quoted(origin, c.values["CORS_ORIGINS"]))
		}
	}
	for name, value := range map[string]string{"ISSUER": c.Issuer, "AUDIENCE": c.Audience} {
		if !validClaim(value) {
			bad.add(name, "has to be at most 255 bytes of UTF-8 without control characters")
		}
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		bad.add("LOG_LEVEL", "is %s, but has to be debug, info, warn or error", quoted(c.LogLevel, c.LogLevel))
	}
	switch c.LogFormat {
	case "", "text", "json":
	default:
		bad.add("LOG_FORMAT", "is %s, but has to be text or json", quoted(c.LogFormat, c.LogFormat))
	}
	if c.ShutdownDelay < 0 {
		bad.add("SHUTDOWN_DELAY", "is %s, but has to be 0s or more", c.ShutdownDelay)
	}
	if c.ShutdownTimeout < 0 {
		bad.add("SHUTDOWN_TIMEOUT", "is %s, but has to be 0s or more", c.ShutdownTimeout)
	}
}

// warnOfSpace warns of white space that somebody may have left around a secret: it counts.
func (c *config) warnOfSpace(name, secret string) {
	if strings.TrimSpace(secret) != secret {
		c.warnings = append(c.warnings, fmt.Sprintf("%s: a secret begins or ends with white space, which is part of it", name))
	}
}

// validHost says whether s can be listened on: an IP address, or what looks like a name.
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	})
}

// validClaim says whether s can be a claim of every token: a token has to stay far below auth.MaxToken.
func validClaim(s string) bool {
	return len(s) <= 255 && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// validOrigin says whether s is an origin exactly as a browser writes it: in lower case, without a path, and without
// the port that the scheme has anyway.
func validOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(u.Host, "*") {
		return false
	}
	usual := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return s == u.Scheme+"://"+strings.ToLower(u.Host) && u.Port() != usual && !strings.HasSuffix(u.Host, ":")
}

// publicURL is where browsers find a server that listens on addr.
func (c config) publicURL(addr net.Addr) *url.URL {
	if u, err := url.Parse(strings.TrimSuffix(c.PublicURL, "/")); err == nil && c.PublicURL != "" {
		return u
	}
	host := c.address()
	if a, ok := addr.(*net.TCPAddr); ok {
		host = net.JoinHostPort(c.Host, strconv.Itoa(a.Port)) // the one that PORT=0 took
	}
	return &url.URL{Scheme: "http", Host: strings.TrimSuffix(strings.ToLower(host), ":80")} // as browsers write it
}

// loopback says whether only this machine can reach the server.
func (c config) loopback() bool {
	ip, err := netip.ParseAddr(c.Host)
	return c.Host == "localhost" || err == nil && ip.IsLoopback()
}

// address is where the server listens, or with port 0 would.
func (c config) address() string {
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// shown gives the value of a setting as it may be read by anybody.
func (c config) shown(s setting) string {
	value := c.values[s.name]
	switch {
	case value == "":
		return "(none)"
	case s.secret:
		return "(hidden)"
	case s.name == "DATABASE_URL":
		return shownDatabaseURL(value)
	case s.name == "SMTP_URL" && c.SMTP == (mail.Server{}):
		return "(hidden)" // it could not be read
	case s.name == "SMTP_URL":
		return c.SMTP.String()
	case mayHavePassword(value):
		return "(hidden)" // it belongs to another setting
	}
	return value
}

const (
	sqliteScheme   = "sqlite:"
	postgresScheme = "postgres://"
	// postgresqlScheme is the same; both are in the manual of libpq.
	postgresqlScheme = "postgresql://"
)

func isPostgres(databaseURL string) bool {
	return strings.HasPrefix(databaseURL, postgresScheme) || strings.HasPrefix(databaseURL, postgresqlScheme)
}

// databaseFault says what is wrong with a database's URL, "" if nothing is. It repeats nothing that might be
// a password.
func databaseFault(databaseURL string) string {
	path, ok := strings.CutPrefix(databaseURL, sqliteScheme)
	switch {
	case isPostgres(databaseURL):
		return postgresFault(databaseURL)
	case !ok:
		return "has to begin with sqlite: or postgres://, for example sqlite:clientes.db"
	case strings.HasPrefix(path, "//"):
		return "has // after sqlite:, which not every reader takes alike; " +
			"write sqlite:clientes.db or sqlite:/var/lib/clientes.db"
	case path == "" || path == ":memory:" || strings.ContainsAny(path, "?\x00"):
		return "has to name a file after sqlite:, and nothing else, for example sqlite:clientes.db"
	}
	return ""
}

// postgresFault says why the driver refuses a URL, "" if it does not. The driver's own words quote the URL,
// and it can not tell where the password ends in one that is malformed; so it is asked again without it.
func postgresFault(databaseURL string) string {
	if _, err := pgxpool.ParseConfig(databaseURL); err == nil {
		return ""
	}
	if masked, ok := withoutPassword(databaseURL); ok {
		_, err := pgxpool.ParseConfig(masked)
		var parse *pgconn.ParseConfigError
		if errors.As(err, &parse) {
			_, why, _ := strings.Cut(parse.Error(), "`: ")
			return "is not a URL that PostgreSQL's driver takes: " + why
		}
	}
	return "is not a URL that PostgreSQL's driver takes: " +
		"in user name and password all but A-Z, a-z, 0-9 and - . _ ~ has to be percent-encoded"
}

// shownDatabaseURL gives the URL as it may be read by anybody.
func shownDatabaseURL(databaseURL string) string {
	if isPostgres(databaseURL) {
		if masked, ok := withoutPassword(databaseURL); ok && postgresFault(databaseURL) == "" {
			return masked
		}
		return "(hidden)"
	}
	if !strings.HasPrefix(databaseURL, sqliteScheme) || strings.Contains(databaseURL, "@") || mayHavePassword(databaseURL) {
		return "(hidden)" // it names something else
	}
	return databaseURL
}

// withoutPassword gives a postgres URL with stars for its password and for the options that are one, and
// says whether that is surely all of it. It cuts as the driver and libpq do, which take several hosts and a
// ? in a password: the first @ ends the user and the password if no / comes before it. With an @ left over
// something has not been percent-encoded, and it might be the password.
func withoutPassword(databaseURL string) (masked string, ok bool) {
	scheme, rest, _ := strings.Cut(databaseURL, "://")
	masked = scheme + "://"
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		user, _, has := strings.Cut(rest[:i], ":")
		if has {
			user += ":***"
		}
		masked, rest = masked+user+"@", rest[i+1:]
	}
	if strings.Contains(rest, "@") {
		return "", false
	}
	place, query, asks := strings.Cut(rest, "?")
	masked += place
	if !asks {
		return masked, true
	}
	options := strings.Split(query, "&")
	for i, option := range options {
		key, _, _ := strings.Cut(option, "=")
		plain, err := url.QueryUnescape(key)
		if err != nil || strings.Contains(strings.ToLower(plain), "pass") {
			options[i] = key + "=***"
		}
	}
	return masked + "?" + strings.Join(options, "&"), true
}

// readFile gives the text of a file that has a sensible size.
func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return string(b), err
}

// dropNewline drops one line end at the end of a text: editors and echo leave one there.
func dropNewline(s string) string {
	s, cut := strings.CutSuffix(s, "\n")
	if cut {
		s = strings.TrimSuffix(s, "\r")
	}
	return s
}
