// Package config turns the environment into the settings of a program.
//
// A value comes from the environment, from .env in the working folder, from a file that one of
// these names, or from the default. [Load] reports all faults at once, so that nobody has to
// correct them one by one. Nothing is changed in silence: a value that a reader of .env would alter
// is a fault, and a name that nobody knows is a warning. No fault, warning or [Row] holds a
// password.
//
// [Load] opens nothing but these files. [Config.CheckStart] tries what else a server needs. The
// package does not know what a command does with a setting.
package config

import (
	"net"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"clientes/auth/mail"
)

// Config is every setting. Its tags are the one list of their names and defaults:
//
//   - env names the variable.
//   - file:"yes" lets NAME_FILE name a file with the value.
//   - text:"yes" says that any text is a value, so that nothing would notice an altered one later.
//   - secret:"yes" says that the value is never shown.
type Config struct {
	Secret         string   `env:"SECRET" file:"yes" text:"yes" secret:"yes"`
	SecretPrevious []string `env:"SECRET_PREVIOUS" file:"yes" text:"yes" secret:"yes"`

	RootSecret         string   `env:"ROOT_SECRET" file:"yes" text:"yes" secret:"yes"`
	RootSecretPrevious []string `env:"ROOT_SECRET_PREVIOUS" file:"yes" text:"yes" secret:"yes"`

	Host            string          `env:"HOST" envDefault:"127.0.0.1"`
	Port            uint16          `env:"PORT" envDefault:"3000"`
	DatabaseURL     string          `env:"DATABASE_URL" envDefault:"sqlite:clientes.db" file:"yes" text:"yes"`
	TokenTTL        time.Duration   `env:"TOKEN_TTL" envDefault:"300s"`
	SessionIdle     time.Duration   `env:"SESSION_IDLE" envDefault:"30m"`
	RememberIdle    time.Duration   `env:"REMEMBER_IDLE" envDefault:"336h"`
	SessionMax      time.Duration   `env:"SESSION_MAX" envDefault:"720h"`
	Issuer          string          `env:"ISSUER" envDefault:"clientes" text:"yes"`
	Audience        string          `env:"AUDIENCE" envDefault:"clientes" text:"yes"`
	RefreshGrace    time.Duration   `env:"REFRESH_GRACE" envDefault:"30s"`
	AuditKeep       time.Duration   `env:"AUDIT_KEEP" envDefault:"8760h"`
	Signup          string          `env:"SIGNUP" envDefault:"closed"`
	RequireMFA      string          `env:"REQUIRE_MFA" envDefault:"none"`
	PasswordMin     uint8           `env:"PASSWORD_MIN" envDefault:"8"`
	PasswordDenied  string          `env:"PASSWORD_DENYLIST" text:"yes"`
	PublicURL       string          `env:"PUBLIC_URL"` // "": http:// and where it listens
	SMTP            mail.Server     `env:"SMTP_URL" file:"yes" text:"yes"`
	MailFrom        netmail.Address `env:"MAIL_FROM" text:"yes"`
	CORSOrigins     []string        `env:"CORS_ORIGINS"`
	TrustedProxies  []netip.Prefix  `env:"TRUSTED_PROXIES"`
	RequireIfMatch  bool            `env:"REQUIRE_IF_MATCH" envDefault:"false"`
	Console         string          `env:"CONSOLE" envDefault:"on"`
	MetricsAddr     string          `env:"METRICS_ADDR"` // "": no metrics
	LogLevel        string          `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat       string          `env:"LOG_FORMAT"` // "": text on a terminal, else json
	ShutdownDelay   time.Duration   `env:"SHUTDOWN_DELAY" envDefault:"0s"`
	ShutdownTimeout time.Duration   `env:"SHUTDOWN_TIMEOUT" envDefault:"20s"`

	dotenv   bool              // whether there is a .env
	values   map[string]string // by name, as they were given
	origins  map[string]string // by name: where the value came from
	warnings []string
	weak     []string // those of the warnings that are about secrets which can be guessed
	exposed  []string // those about files with secrets that others can read
}

// Error lists everything that is wrong with a configuration.
type Error struct {
	Faults []string // one sentence each, which begins with the name of the setting or the file
}

func (e *Error) Error() string {
	return "the configuration has to be corrected:\n  " + strings.Join(e.Faults, "\n  ")
}

// IsAbout reports whether one of these settings has a fault.
func (e *Error) IsAbout(settings ...string) bool {
	return slices.ContainsFunc(e.Faults, func(fault string) bool {
		name, _, _ := strings.Cut(fault, " ")
		return slices.Contains(settings, name)
	})
}

// Load reads the configuration from the environment, from .env in the working folder, and from the
// files that these name. The settings in required must have a value. Beside an [*Error] it returns
// what it could read.
//
// The environment wins over .env, and SECRET and SECRET_FILE are one setting in this: if the
// environment sets either of them, .env counts for neither. Both in one place is a fault. A name
// that the environment sets to nothing hides the one in .env too, as with other readers of such
// files, and leaves the default.
func Load(lookupEnv func(string) (string, bool), required ...string) (Config, error) {
	var c Config
	bad := make(faults)
	dotenv, dotenvFaults := c.readDotenv(lookupEnv)
	c.resolve(bad, lookupEnv, func(name string) (string, bool) {
		value, ok := dotenv[name]
		return value, ok
	})
	c.checkForms(bad) // before what they lead to
	c.parse(bad)
	c.check(bad)
	for _, name := range required {
		// A .env that cannot be read may well set it.
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
		return c, &Error{Faults: all}
	}
	return c, nil
}

// Warnings returns what is strange about the configuration but stops no start.
func (c Config) Warnings() []string { return c.warnings }

// IsUnset reports whether nobody has set anything: there is no .env, and all settings are defaults.
// HOST and PORT do not count, since shells and platforms set them.
func (c Config) IsUnset() bool {
	for name, origin := range c.origins {
		if origin != "default" && name != "HOST" && name != "PORT" {
			return false
		}
	}
	return !c.dotenv
}

// WeakSecrets returns those of the warnings that are about secrets which can be guessed.
func (c Config) WeakSecrets() []string { return c.weak }

// ExposedSecrets returns those of the warnings that are about secrets which other users of the
// machine can read.
func (c Config) ExposedSecrets() []string { return c.exposed }

// PublicURLAt returns the URL at which browsers find a server that listens on addr, which may be
// nil before it does.
func (c Config) PublicURLAt(addr net.Addr) *url.URL {
	if u, err := url.Parse(strings.TrimSuffix(c.PublicURL, "/")); err == nil && c.PublicURL != "" {
		return u
	}
	name, port := c.Host, int(c.Port)
	if c.listensEverywhere() {
		name = "localhost" // a browser of this machine finds it there
	}
	if a, ok := addr.(*net.TCPAddr); ok {
		port = a.Port // the one that PORT=0 took
	}
	host := net.JoinHostPort(name, strconv.Itoa(port))
	// In lower case and without the usual port, as browsers write it.
	return &url.URL{Scheme: "http", Host: strings.TrimSuffix(strings.ToLower(host), ":80")}
}

// IsLoopback reports whether only this machine can reach the server.
func (c Config) IsLoopback() bool { return IsLoopbackHost(c.Host) }

// Network returns the network of [Config.Address], as package net names it.
func (c Config) Network() string { return network(c.Host) }

// MetricsNetwork returns the network of METRICS_ADDR.
func (c Config) MetricsNetwork() string {
	host, _, _ := net.SplitHostPort(c.MetricsAddr)
	return network(host)
}

// network returns where to listen for a host. On "tcp", 0.0.0.0 would be all addresses of IPv6 too.
func network(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return "tcp4"
	}
	return "tcp"
}

// Address returns where the server listens, as HOST:PORT. The port may be 0.
func (c Config) Address() string {
	return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}
