package postgres

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// schemes are how programs name the protocol in a URL: libpq, SQLAlchemy ("postgresql+psycopg2"),
// JDBC, dj-database-url, Doctrine and Ecto.
var schemes = regexp.MustCompile(
	`^(?i:(?:jdbc:|r2dbc:(?:pool:)?)?(?:postgres|postgresql|postgis|pgsql|psql|ecto)(?:\+\w+)?)://`)

// IsURL reports whether a URL is for this engine.
func IsURL(databaseURL string) bool { return schemes.MatchString(strings.TrimSpace(databaseURL)) }

// CheckURL returns what is wrong with a URL, or nil. The text continues a sentence that begins with
// the name of the URL, and repeats nothing that may be a password. For an option that nobody knows
// it is an [*UnknownOptionError].
func CheckURL(databaseURL string) error {
	_, err := parse(databaseURL)
	return err
}

// Warnings returns what is strange about a URL in which [CheckURL] finds no fault: the options of
// other programs that mean nothing here, or not the same. Each text is as of [CheckURL].
func Warnings(databaseURL string) []string {
	p, err := split(databaseURL)
	if err != nil {
		return nil
	}
	o, err := p.translate()
	if err != nil {
		return nil
	}
	return o.warnings
}

// UnverifiedHosts returns the hosts of a URL to which passwords and data may go over a network in
// clear text, or to whoever pretends to be the database. That is every host beyond this machine
// whose certificate is not verified: pgx's default is sslmode=prefer, which falls back to no TLS.
func UnverifiedHosts(databaseURL string) (hosts []string) {
	pool, err := parse(databaseURL)
	if err != nil {
		return nil
	}
	add := func(host string, c *tls.Config) {
		verified := c != nil && (!c.InsecureSkipVerify || c.VerifyPeerCertificate != nil)
		if !verified && !isLocal(host) && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	c := pool.ConnConfig.Config
	add(c.Host, c.TLSConfig)
	for _, fallback := range c.Fallbacks {
		add(fallback.Host, fallback.TLSConfig)
	}
	return hosts
}

// isLocal reports whether what is sent to a host stays on this machine.
func isLocal(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback() ||
		strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") // a socket of Unix
}

// MaskURL returns the URL as anybody may read it: with stars for its passwords, or "(hidden)" if it
// is not certain where they are.
func MaskURL(databaseURL string) string {
	p, err := split(databaseURL)
	if err != nil || CheckURL(databaseURL) != nil {
		return "(hidden)"
	}
	return p.masked()
}

// parse reads the URL. The driver gets one that is built anew, in which every password is encoded:
// its errors quote the URL.
func parse(databaseURL string) (*pgxpool.Config, error) {
	p, err := split(databaseURL)
	if err != nil {
		return nil, err
	}
	o, err := p.translate()
	if err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(p.forDriver(o))
	switch {
	case err == nil:
		return config, nil
	case o.values["sslcert"] != "" && o.values["sslkey"] == "":
		return nil, errors.New(
			"has sslcert without sslkey: the certificate of an authority is sslrootcert=FILE")
	}
	return nil, errors.New("is not a URL that PostgreSQL's driver takes: " + p.why(err))
}

// parts are the pieces of a URL. Those of the query are decoded, the others are not.
type parts struct {
	scheme         string // with the slashes
	user, password string // decoded
	rawUser        string
	hasUser        bool
	hasPassword    bool
	place          string // hosts, ports and database
	query          string // as it stands
	options        []option
}

// option is one of the query of a URL.
type option struct {
	name, value string
	after       bool // it stands behind a password, of which it may be a piece
}

// What is wrong with many URLs. None of the texts repeats a piece of one.
var (
	errForm = errors.New(
		"has to be of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS")
	errTwoAt = errors.New("has more than one @ before its options: write @ in the password as %40, " +
		"and / there as %2F; the same goes for the user name (user@server on Azure)")
	errSlash   = errors.New("has an @ behind a /: write / in the password as %2F, and @ as %40")
	errQueryAt = errors.New("has an @ in its options: in the password write @ as %40, / as %2F " +
		"and ? as %3F, and in an option write @ as %40")
	errControl = errors.New("has a line break or another control character in it: delete it")
	errPort    = errors.New("has an invalid port, which is no number from 1 to 65535: if it is a " +
		"piece of the password, write / there as %2F and ? as %3F")
	errBracket = errors.New("has a [ without its ] before the port: write an address of IPv6 as " +
		"[::1], and in the password [ as %5B and / as %2F")
	errAnd   = errors.New("has an & in the password among its options: write & there as %26")
	errMark  = errors.New("has options behind & or ; in the name of its database: they begin with ?")
	errTwice = errors.New("has the beginning of another URL in the place of its host: delete it")
	errBlank = errors.New("has a place for the password, and no password in it: put it there, " +
		"without the brackets")
	errHost = errors.New("has a space, a quote or a bracket in the name of its host, " +
		"which no host has")
)

// split takes a URL apart as libpq and the driver do: the first @ ends the password if no / comes
// before it. So a password may have : ? # [ in it, which other readers would take for the end. But
// with another @, or one behind a /, nobody can tell where the password ends.
func split(databaseURL string) (p parts, err error) {
	text := strings.TrimSpace(databaseURL) // echo and editors leave a newline there
	p.scheme = schemes.FindString(text)
	if p.scheme == "" {
		return parts{}, errForm
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return parts{}, errControl
	}
	rest := text[len(p.scheme):]
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		var password string
		p.rawUser, password, p.hasPassword = strings.Cut(rest[:i], ":")
		p.hasUser, rest = true, rest[i+1:]
		if p.user, err = decode(p.rawUser, "user name"); err != nil {
			return parts{}, err
		}
		if p.password, err = decode(password, "password"); err != nil {
			return parts{}, err
		}
	}
	if blank.MatchString(p.password) {
		return parts{}, errBlank
	}
	hasQuery := false
	p.place, p.query, hasQuery = strings.Cut(rest, "?")
	switch more := strings.Contains(p.place, "@"); {
	case more && p.hasUser:
		return parts{}, errTwoAt
	case more:
		return parts{}, errSlash
	}
	if err := checkPlace(p.place); err != nil {
		return parts{}, err
	}
	if hasQuery {
		p.options, err = p.readOptions()
	}
	return p, err
}

// blank is what Supabase, Neon and others write where the password belongs.
var blank = regexp.MustCompile(`^[\[<{][A-Za-z_ -]*(?i:password)[\]>}]$`)

var (
	brackets = regexp.MustCompile(`\[[^\[\]@/]+\]`)
	port     = regexp.MustCompile(`^(?:[1-9][0-9]{0,4})?$`)
	marked   = regexp.MustCompile(`[&;]\w+=`)
)

// checkPlace looks at hosts, ports and database.
func checkPlace(place string) error {
	if _, err := decode(place, "host or database"); err != nil {
		return err
	}
	hosts, database, _ := strings.Cut(place, "/")
	switch {
	case strings.Contains(place, "://"):
		return errTwice
	case marked.MatchString(database):
		return errMark
	}
	if strings.ContainsAny(hosts, " \"'`\\<>{}|^") {
		return errHost
	}
	hosts = brackets.ReplaceAllString(hosts, "ip") // an address of IPv6 has colons
	if strings.ContainsAny(hosts, "[]") {
		return errBracket
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if _, number, _ := strings.Cut(host, ":"); !port.MatchString(number) {
			return errPort
		}
	}
	return nil
}

// decode undoes the percent-encoding of a part of the URL. Unlike libpq it has a word for a % that
// was not encoded itself.
func decode(text, what string) (string, error) {
	plain, err := url.PathUnescape(text)
	if err != nil {
		return "", errors.New("has a % in its " + what + " that begins no code: write it as %25")
	}
	if strings.Contains(plain, "\x00") {
		return "", errors.New("has %00 in its " + what + ", which no database takes")
	}
	return plain, nil
}

// readOptions returns what stands behind the question mark. A value may have a = in it
// (options=endpoint=x), where libpq wants %3D: it cannot mean anything else.
func (p parts) readOptions() (all []option, err error) {
	after := false
	for pair := range strings.SplitSeq(p.query, "&") {
		if pair == "" {
			continue
		}
		name, value, isPair := strings.Cut(pair, "=")
		o := option{after: after}
		if !isPair && after {
			return nil, errAnd
		}
		if o.name, err = decode(name, "options"); err != nil {
			return nil, err
		}
		if o.value, err = decode(value, "options"); err != nil {
			return nil, err
		}
		all, after = append(all, o), after || isSecret(o.name)
	}
	// A password with ? in it, where the @ that ends it is taken for a piece of an option.
	if !p.hasUser && strings.Contains(p.place, ":") {
		for pair := range strings.SplitSeq(p.query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			known := name == "user" || name == "password"
			if strings.Contains(name, "@") || strings.Contains(value, "@") && !known {
				return nil, errQueryAt
			}
		}
	}
	return all, nil
}

// tellable reports whether the name of an option may be repeated: it looks like one, and cannot be
// a piece of a password that goes on up to another @.
func (p parts) tellable(name string) bool {
	return optionName.MatchString(name) && !strings.Contains(p.query, "@")
}

// isSecret reports whether the value of an option is a password.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "pass") || strings.Contains(name, "pwd")
}

var optionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.\-\[\]]{0,62}$`)

// forDriver returns the URL with these options, as the driver takes it.
func (p parts) forDriver(o *options) string {
	var b strings.Builder
	b.WriteString("postgres://")
	if p.hasUser {
		b.WriteString(escape(p.user))
		if p.hasPassword {
			b.WriteString(":" + escape(p.password))
		}
		b.WriteString("@")
	}
	hosts, database, hasDatabase := strings.Cut(p.place, "/")
	b.WriteString(hosts)
	if plain, err := url.PathUnescape(database); hasDatabase && err == nil {
		b.WriteString("/" + escape(plain))
	}
	for i, name := range o.names {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(escape(name) + "=" + escape(o.values[name]))
	}
	return b.String()
}

// escape encodes everything but what no reader of a URL can take for anything else.
func escape(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// why returns what the driver says of a URL of forDriver, without the URL.
func (p parts) why(err error) string {
	fault := (*pgconn.ParseConfigError)(nil)
	if strings.Contains(p.query, "@") || !errors.As(err, &fault) {
		return "the value of an option is not one that it takes"
	}
	_, why, _ := strings.Cut(fault.Error(), "`: ")
	for option, takes := range map[string]string{
		"sslmode is invalid": "it is disable, allow, prefer, require, verify-ca or verify-full",
		"default_query_exec_mode": "it is exec, simple_protocol, cache_statement, cache_describe or " +
			"describe_exec",
		"connect_timeout": "it is a number of seconds",
	} {
		if strings.Contains(why, option) {
			why += "; " + takes
		}
	}
	return why
}

// masked returns the URL with stars for its password and for the options that are one.
func (p parts) masked() string {
	masked := p.scheme
	if p.hasUser {
		masked += p.rawUser
		if p.hasPassword {
			masked += ":***"
		}
		masked += "@"
	}
	masked += p.place
	if p.query == "" {
		return masked
	}
	pairs := strings.Split(p.query, "&")
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.PathUnescape(name)
		if err != nil || isSecret(plain) {
			pairs[i] = name + "=***"
		}
	}
	return masked + "?" + strings.Join(pairs, "&")
}
