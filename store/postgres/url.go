package postgres

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// IsURL reports whether a URL is for this engine. Both schemes are in the manual of libpq.
func IsURL(databaseURL string) bool {
	return strings.HasPrefix(databaseURL, "postgres://") ||
		strings.HasPrefix(databaseURL, "postgresql://")
}

// CheckURL returns what is wrong with a URL, or nil. The text continues a sentence that begins with
// the name of the URL, and repeats nothing that may be a password.
func CheckURL(databaseURL string) error {
	_, err := parse(databaseURL)
	return err
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
	masked, ok := withoutPassword(databaseURL)
	if !ok || CheckURL(databaseURL) != nil {
		return "(hidden)"
	}
	return masked
}

// parse reads the URL. The driver's errors quote it, and in a malformed one they cannot tell where
// the password ends. So the driver is asked again without it, and only that error is returned.
func parse(databaseURL string) (*pgxpool.Config, error) {
	if !IsURL(databaseURL) {
		return nil, errors.New(
			"has to be of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE?OPTIONS")
	}
	if !isAmbiguous(databaseURL) {
		config, err := pgxpool.ParseConfig(databaseURL)
		if err == nil {
			return config, nil
		}
	}
	if masked, ok := withoutPassword(databaseURL); ok {
		_, err := pgxpool.ParseConfig(masked)
		if fault := (*pgconn.ParseConfigError)(nil); errors.As(err, &fault) {
			_, why, _ := strings.Cut(fault.Error(), "`: ")
			return nil, errors.New("is not a URL that PostgreSQL's driver takes: " + why)
		}
	}
	return nil, errors.New("is not a URL that PostgreSQL's driver takes: " +
		"in user name and password all but A-Z, a-z, 0-9 and - . _ ~ has to be percent-encoded")
}

// isAmbiguous reports whether an unescaped password may reach beyond its place. The driver would
// take "postgres://user:12/34@host" for a connection to the host "user" at port 12. It would also
// take a # as part of a password, where other readers end the URL.
func isAmbiguous(databaseURL string) bool {
	user, rest := splitUser(databaseURL)
	beforeOptions, _, _ := strings.Cut(rest, "?")
	return strings.Contains(user, "#") || strings.Contains(beforeOptions, "@")
}

// splitUser returns the user and password of a URL, and what follows the @ behind them. It cuts as
// the driver and libpq do, which take several hosts and a ? in a password: the first @ ends the
// password if no / comes before it.
func splitUser(databaseURL string) (user, rest string) {
	_, rest, _ = strings.Cut(databaseURL, "://")
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		return rest[:i], rest[i+1:]
	}
	return "", rest
}

// withoutPassword returns the URL with stars for its password and for the options that are one. It
// reports whether these are surely all. An @ that is left over should have been percent-encoded: it
// may belong to the password.
func withoutPassword(databaseURL string) (masked string, ok bool) {
	scheme, _, _ := strings.Cut(databaseURL, "://")
	masked = scheme + "://"
	user, rest := splitUser(databaseURL)
	if strings.Contains(rest, "@") {
		return "", false
	}
	if name, _, hasPassword := strings.Cut(user, ":"); hasPassword {
		masked += name + ":***@"
	} else if user != "" {
		masked += user + "@"
	}
	beforeOptions, query, hasOptions := strings.Cut(rest, "?")
	masked += beforeOptions
	if !hasOptions {
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
