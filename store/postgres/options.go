package postgres

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// UnknownOptionError is about an option of a URL that neither the driver nor the server knows.
type UnknownOptionError struct {
	Name  string   // "" if it may be a piece of a password
	Known []string // all names that could be meant
}

func (e *UnknownOptionError) Error() string {
	if e.Name == "" {
		return "has an option that nobody knows: in the password write ? as %3F, & as %26 and @ as %40"
	}
	return "has the option " + e.Name + ", which nobody knows"
}

// serverSettings are the settings of a server that a connection may set, one a line: those of
// version 15 (pg_settings), and those that later and earlier ones have.
//
//go:embed settings.txt
var serverSettings string

// driverOptions are the options of pgx and its pool.
var driverOptions = []string{
	"channel_binding", "connect_timeout", "database", "dbname", "default_query_exec_mode",
	"description_cache_capacity", "host", "krbspn", "krbsrvname", "max_protocol_version",
	"min_protocol_version", "options", "passfile", "password", "pool_health_check_period",
	"pool_max_conn_idle_time", "pool_max_conn_lifetime", "pool_max_conn_lifetime_jitter",
	"pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_ping_timeout", "port",
	"require_auth", "service", "servicefile", "sslcert", "sslcertmode", "sslkey", "sslmode",
	"sslnegotiation", "sslpassword", "sslrootcert", "sslsni", "statement_cache_capacity",
	"target_session_attrs", "user",
}

// options are those of a URL in the words of the driver.
type options struct {
	names      []string // in the order of the URL
	values     map[string]string
	hasHost    bool // before the options
	untellable bool // see parts.tellable
	faults     []error
	warnings   []string
}

// set sets an option of the driver. The last one of a name wins, as with libpq.
func (o *options) set(name, value string) {
	if _, ok := o.values[name]; !ok {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

// take sets an option of the driver for one of another program, unless the URL sets it too.
func (o *options) take(name, is, value string) {
	if o.values[is] != "" {
		o.warn("has the option %s, which is passed over: %s is there too", name, is)
		return
	}
	o.set(is, value)
	if o.untellable {
		value = "…"
	}
	o.warn("has the option %s, which is taken as %s=%s", name, is, value)
}

func (o *options) warn(format string, args ...any) {
	o.warnings = append(o.warnings, fmt.Sprintf(format, args...))
}

func (o *options) fault(format string, args ...any) {
	o.faults = append(o.faults, fmt.Errorf(format, args...))
}

// meaning is what an option of another program means here. It is called with the name as it stands
// in the URL, after all options of the driver are set.
type meaning func(o *options, name, value string)

// foreign are the options of other programs, in lower case and with _ for -: libpq's own that pgx
// lacks, Prisma (P), node-postgres (N), JDBC (J), SQLAlchemy and asyncpg (S), Rails (R), Django (D),
// lib/pq (Q), sqlx (X), Doctrine (O) and Ecto (E).
var foreign = map[string]meaning{
	// Names for what the driver calls otherwise.
	"schema":                    schema, // P
	"currentschema":             ours("search_path"),
	"schema_search_path":        ours("search_path"),              // R
	"fallback_application_name": ours("application_name"),         // libpq
	"applicationname":           ours("application_name"),         // J
	"connection_limit":          ours("pool_max_conns"),           // P
	"pool":                      ours("pool_max_conns"),           // R
	"pool_size":                 ours("pool_max_conns"),           // S, E
	"max":                       ours("pool_max_conns"),           // N
	"max_connections":           ours("pool_max_conns"),           // X
	"maximumpoolsize":           ours("pool_max_conns"),           // J
	"min":                       ours("pool_min_conns"),           // N
	"connecttimeout":            ours("connect_timeout"),          // J
	"logintimeout":              ours("connect_timeout"),          // J
	"timeout":                   ours("connect_timeout"),          // S
	"connection_timeout":        ours("connect_timeout"),          // N
	"username":                  ours("user"),                     // R
	"statement_limit":           ours("statement_cache_capacity"), // R
	"sslca":                     ours("sslrootcert"),              // X
	"ssl_ca":                    ours("sslrootcert"),              // X
	"ssl_root_cert":             ours("sslrootcert"),              // X
	"ssl_mode":                  ours("sslmode"),                  // X
	"ssl_cert":                  ours("sslcert"),                  // X
	"ssl_key":                   ours("sslkey"),                   // X
	"min_messages":              ours("client_min_messages"),      // R
	"targetservertype":          targetServerType,                 // J
	"connectiontimeoutmillis":   milliseconds("connect_timeout"),  // N

	// No named prepared statements, as a pooler in transaction mode needs it.
	"pgbouncer":                     onMeansExec,                               // P
	"binary_parameters":             onMeansExec,                               // Q
	"prefer_simple_protocol":        onMeansExec,                               // pgx 4
	"prepared_statements":           offMeansExec,                              // R
	"preparethreshold":              offMeansExec,                              // J
	"prepare_threshold":             offMeansExec,                              // S
	"prepare":                       offMeansExec,                              // N, E
	"statement_cache_size":          statementCacheSize,                        // P, S
	"prepared_statement_cache_size": statementCacheSize,                        // S
	"prepared_statement_name_func":  skip("a pooler is recognised without it"), // S
	"preferquerymode":               preferQueryMode,                           // J

	// TLS.
	"ssl":           ssl,
	"sslaccept":     sslAccept, // P
	"sslfactory":    sslFactory,
	"requiressl":    requireSSL,
	"gssencmode":    gssEncMode,
	"sslidentity":   skip("name the client's certificate with sslcert=FILE and sslkey=FILE in PEM"),
	"sslcrl":        skip("no list of revoked certificates is read"),
	"sslcrldir":     skip("no list of revoked certificates is read"),
	"sslinline":     skip("certificates come from files: sslcert, sslkey, sslrootcert"), // Q
	"sslkeylogfile": skip("the keys of connections are never written down"),

	"ssl_min_protocol_version": tlsVersion,
	"ssl_max_protocol_version": skip("the newest version of TLS that both know is used"),
	"sslhostnameverifier":      skip("sslmode=verify-full checks the host's name"), // J

	// Text is UTF-8, and nothing else.
	"client_encoding":      encoding,
	"encoding":             encoding, // R
	"charset":              encoding, // O
	"allowencodingchanges": skip("text is always UTF-8"),

	"hostaddr": func(o *options, _, value string) {
		if o.values["host"] != "" || o.hasHost {
			o.fault("has hostaddr beside a host: write the address as the host")
			return
		}
		o.set("host", value)
	},
	"replication": func(o *options, name, _ string) {
		o.fault("has the option %s, which is for copies of a server: leave it out", name)
	},

	// Those that mean nothing here.
	"pool_timeout":                 skip(oneWait), // P
	"checkout_timeout":             skip(oneWait), // R
	"queue_target":                 skip(oneWait), // E
	"queue_interval":               skip(oneWait), // E
	"socket_timeout":               skip(limits),  // P
	"sockettimeout":                skip(limits),  // J
	"command_timeout":              skip(limits),  // S
	"query_timeout":                skip(limits),  // N
	"querytimeout":                 skip(limits),  // J
	"read_timeout":                 skip(limits),
	"max_idle_connection_lifetime": skip(idle), // P
	"max_connection_lifetime":      skip("pool_max_conn_lifetime=1h is what ends a connection"),
	"idletimeoutmillis":            skip(idle), // N
	"idle_timeout":                 skip(idle), // R, N
	"max_lifetime":                 skip("pool_max_conn_lifetime=1h is what ends a connection"),
	"reaping_frequency":            skip(idle),                                                  // R
	"conn_max_age":                 skip("pool_max_conn_lifetime=1h is what ends a connection"), // D
	"conn_health_checks":           skip("connections are always checked"),                      // D

	"keepalives":                     skip(keepalive),
	"keepalives_idle":                skip(keepalive),
	"keepalives_interval":            skip(keepalive),
	"keepalives_count":               skip(keepalive),
	"keepalive":                      skip(keepalive), // N
	"keepaliveinitialdelaymillis":    skip(keepalive),
	"tcpkeepalive":                   skip(keepalive), // J
	"tcp_user_timeout":               skip("a server that is silent for five seconds is given up"),
	"uselibpqcompat":                 skip("sslmode always means what it means to libpq"), // N
	"load_balance_hosts":             skip("hosts are tried in their order"),
	"loadbalancehosts":               skip("hosts are tried in their order"), // J
	"hostrecheckseconds":             skip("hosts are tried in their order"), // J
	"sslcompression":                 skip("TLS never compresses"),
	"gsslib":                         skip(nothing),
	"gssdelegation":                  skip(nothing),
	"krb5_keytab":                    skip(nothing),
	"reconnect":                      skip("a lost connection is always replaced"), // R
	"autoreconnect":                  skip("a lost connection is always replaced"),
	"adapter":                        skip(nothing),                                               // R
	"advisory_locks":                 skip(nothing),                                               // R
	"variables":                      skip("write each setting of the server as an option"),       // R
	"insert_returning":               skip(nothing),                                               // R
	"async_fallback":                 skip(nothing),                                               // S
	"pool_recycle":                   skip("pool_max_conn_lifetime=1h is what ends a connection"), // S
	"pool_pre_ping":                  skip("connections are always checked"),                      // S
	"max_overflow":                   skip("pool_max_conns is all that there are"),                // S
	"serverversion":                  skip("the server tells its version"),                        // O
	"server_version":                 skip("the server tells its version"),                        // O
	"assumeminserverversion":         skip("the server tells its version"),                        // J
	"disable_prepared_binary_result": skip(nothing),                                               // Q
	"rewritebatchedinserts":          skip(nothing),                                               // J
	"stringtype":                     skip(nothing),                                               // J
	"binarytransfer":                 skip(nothing),                                               // J
	"autosave":                       skip(nothing),                                               // J
	"defaultrowfetchsize":            skip(nothing),                                               // J
	"preparedstatementcachequeries":  skip("statement_cache_capacity=N is the number of statements"),
	"preparedstatementcachesizemib":  skip("statement_cache_capacity=N is the number of statements"),
	"loggerlevel":                    skip("LOG_LEVEL says what is logged"), // J
	"logunclosedconnections":         skip(nothing),                         // J
	"readonly":                       skip("the server needs to write"),     // J
	"supa":                           skip(nothing),                         // Supabase for Vercel
	"workaround":                     skip(nothing),                         // Supabase for Vercel
	"allowexitonidle":                skip(nothing),                         // N
	"trace_notices":                  skip(nothing),
}

// What stands in the warnings of [skip].
const (
	nothing   = "it has no counterpart here"
	oneWait   = "a call waits five seconds at most for a connection"
	limits    = "statement_timeout=MILLISECONDS limits a statement"
	idle      = "pool_max_conn_idle_time=30m closes idle connections"
	keepalive = "the system's keepalive is always on"
)

func ours(name string) meaning {
	return func(o *options, from, value string) { o.take(from, name, value) }
}

// skip returns the meaning of an option that is passed over with a warning, which ends in what
// holds instead.
func skip(instead string) meaning {
	return func(o *options, name, _ string) {
		o.warn("has the option %s, which is passed over: %s", name, instead)
	}
}

// milliseconds is as for an option of ours that is in seconds.
func milliseconds(name string) meaning {
	return func(o *options, from, value string) {
		n := 0
		if _, err := fmt.Sscanf(value, "%d", &n); err != nil || n < 0 {
			o.fault("has a time that is no number of milliseconds, where %s=SECONDS is meant", name)
			return
		}
		o.take(from, name, fmt.Sprint((n+999)/1000))
	}
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_$]*$`)

// schema is Prisma's: one name, exactly as it stands.
func schema(o *options, name, value string) {
	if value != "" && !plainName.MatchString(value) {
		value = `"` + strings.ReplaceAll(value, `"`, `""`) + `"`
	}
	o.take(name, "search_path", value)
}

func isOn(value string) bool {
	switch strings.ToLower(value) {
	case "1", "true", "yes", "on", "t", "y":
		return true
	}
	return false
}

func isOff(value string) bool {
	switch strings.ToLower(value) {
	case "0", "false", "no", "off", "f", "n", "none", "disable":
		return true
	}
	return false
}

func onMeansExec(o *options, name, value string) {
	if isOn(value) {
		o.take(name, "default_query_exec_mode", "exec")
	}
}

func offMeansExec(o *options, name, value string) {
	if isOff(value) {
		o.take(name, "default_query_exec_mode", "exec")
	}
}

// statementCacheSize is the number of prepared statements that a connection keeps.
func statementCacheSize(o *options, name, value string) {
	if isOff(value) {
		offMeansExec(o, name, value)
		return
	}
	o.take(name, "statement_cache_capacity", value)
}

func preferQueryMode(o *options, name, value string) {
	if value == "simple" {
		o.take(name, "default_query_exec_mode", "simple_protocol")
	}
}

// targetServerType is JDBC's target_session_attrs.
func targetServerType(o *options, name, value string) {
	switch strings.ToLower(value) {
	case "primary", "master":
		o.take(name, "target_session_attrs", "primary")
	case "any", "preferprimary":
	default:
		o.fault("has the option %s for servers that cannot be written to: write primary", name)
	}
}

// ssl is true, false or a mode. True means sslmode=require to libpq and to the driver, although some
// programs verify the certificate then.
func ssl(o *options, name, value string) {
	given := o.values["sslmode"]
	switch {
	case isOn(value) && given == "":
		o.set("sslmode", "require")
		o.warn("has the option %s, which means sslmode=require as with libpq: the connection is "+
			"encrypted, but nobody checks whose server it is; sslmode=verify-full does", name)
	case isOn(value) && (given == "disable" || given == "allow"):
		o.warn("has the option %s beside sslmode=%s, which counts: the connection need not be "+
			"encrypted", name, given)
	case isOn(value), given != "":
	case isOff(value):
		o.set("sslmode", "disable")
	default:
		o.set("sslmode", value)
	}
}

// sslAccept is Prisma's. Its sslcert is the authority's certificate, which libpq calls sslrootcert.
func sslAccept(o *options, name, value string) {
	authority := o.values["sslcert"]
	if authority != "" && o.values["sslkey"] == "" {
		o.set("sslcert", "")
	} else {
		authority = ""
	}
	switch {
	case value == "strict" && o.values["sslmode"] == "disable":
		o.warn("has the option %s beside sslmode=disable, which counts: nothing is encrypted", name)
	case value == "strict":
		o.set("sslmode", "verify-full")
		if authority != "" {
			o.take("sslcert", "sslrootcert", authority)
		}
	case value == "accept_invalid_certs":
		o.warn("has the option %s=accept_invalid_certs: nobody checks whose server it is; "+
			"sslmode=verify-full does", name)
	default:
		o.fault("has the option %s, which is strict or accept_invalid_certs", name)
	}
}

// sslFactory is JDBC's.
func sslFactory(o *options, name, value string) {
	if strings.HasSuffix(value, ".NonValidatingFactory") {
		o.take(name, "sslmode", "no-verify")
		return
	}
	o.warn("has the option %s, which is passed over: sslmode and sslrootcert say what is checked",
		name)
}

// requireSSL is what libpq had before sslmode.
func requireSSL(o *options, name, value string) {
	if value == "1" {
		o.take(name, "sslmode", "require")
	}
}

func gssEncMode(o *options, name, value string) {
	if value == "require" {
		o.fault("has the option %s=require, which the driver cannot do: encrypt with "+
			"sslmode=verify-full", name)
		return
	}
	o.warn("has the option %s, which is passed over: only TLS encrypts a connection", name)
}

func tlsVersion(o *options, name, value string) {
	if value == "TLSv1.3" {
		o.fault("has the option %s=TLSv1.3, which the driver cannot do: set it on the server", name)
		return
	}
	o.warn("has the option %s, which is passed over: TLS 1.2 is the oldest that is used", name)
}

// encoding refuses what would alter text.
func encoding(o *options, name, value string) {
	switch strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(value)) {
	case "", "auto":
	case "utf8", "utf8mb4", "unicode":
		o.set("client_encoding", "UTF8")
	default:
		o.fault("has the option %s, but text is always UTF-8: leave it out", name)
	}
}

// noVerify is node-postgres's sslmode=no-verify: encrypted, and not checked even if there is a
// certificate of an authority.
func (o *options) noVerify() {
	if o.values["sslmode"] != "no-verify" {
		return
	}
	o.set("sslmode", "require")
	o.set("sslrootcert", "")
	o.warn("has sslmode=no-verify: the connection is encrypted, but nobody checks whose server it " +
		"is; sslmode=verify-full does")
}

// settingOption is how sqlx writes a setting of the server.
var settingOption = regexp.MustCompile(`^options\[([\w.]+)\]$`)

// translate returns the options in the words of the driver. First those that it knows, whatever
// their place, for these count most.
func (p parts) translate() (*options, error) {
	o := &options{values: make(map[string]string)}
	o.untellable = strings.Contains(p.query, "@")
	o.hasHost = p.place != "" && p.place[0] != '/'
	settings := strings.Fields(serverSettings)
	type later struct {
		option
		mean meaning
	}
	var others []later
	for _, opt := range p.options {
		name := strings.ToLower(opt.name)
		if m := settingOption.FindStringSubmatch(name); m != nil {
			name = m[1]
		}
		mean, isForeign := foreign[strings.ReplaceAll(name, "-", "_")]
		_, isServers := slices.BinarySearch(settings, name)
		switch {
		case isForeign:
			others = append(others, later{opt, mean})
		case slices.Contains(driverOptions, name):
			if name == "dbname" {
				name = "database"
			}
			o.set(name, opt.value)
		case isServers:
			o.set(name, opt.value)
		case !p.tellable(opt.name):
			return nil, &UnknownOptionError{}
		case strings.HasPrefix(name, "x-"): // of golang-migrate
			skip(nothing)(o, opt.name, "")
		case strings.Contains(name, "."): // a setting of an extension
			o.set(opt.name, opt.value)
		default:
			return nil, &UnknownOptionError{Name: opt.name, Known: knownOptions(settings)}
		}
	}
	for _, l := range others {
		if !p.tellable(l.name) {
			l.name = "of another program"
		}
		l.mean(o, l.name, l.value)
	}
	o.noVerify()
	return o, errors.Join(o.faults[:min(1, len(o.faults))]...)
}

// knownOptions returns the names that a misspelt one may have been meant for.
func knownOptions(settings []string) []string {
	return slices.Concat(driverOptions, slices.Sorted(maps.Keys(foreign)), settings)
}
