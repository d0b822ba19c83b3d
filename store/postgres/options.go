package postgres

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path"
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

// meaning is what an option of another program means here. Its name is as in the URL. All options
// of the driver are set by then.
type meaning func(o *options, name, value string)

// foreign are the options of other programs that have a counterpart here, in lower case and with _
// for -.
var foreign = map[string]meaning{
	// Names for what the driver calls otherwise.
	"applicationname":           ours("application_name"),
	"connection_limit":          ours("pool_max_conns"), // Prisma
	"connection_timeout":        ours("connect_timeout"),
	"connectiontimeoutmillis":   milliseconds("connect_timeout"), // node-postgres
	"connecttimeout":            ours("connect_timeout"),         // JDBC
	"currentschema":             ours("search_path"),             // JDBC
	"fallback_application_name": ours("application_name"),        // libpq
	"hostaddr":                  hostAddress,                     // libpq
	"logintimeout":              ours("connect_timeout"),         // JDBC
	"max":                       ours("pool_max_conns"),          // node-postgres
	"max_connections":           ours("pool_max_conns"),
	"maximumpoolsize":           ours("pool_max_conns"),
	"min":                       ours("pool_min_conns"),
	"min_messages":              ours("client_min_messages"), // Rails
	"pool":                      ours("pool_max_conns"),      // Rails
	"pool_size":                 ours("pool_max_conns"),      // SQLAlchemy, Ecto
	"schema":                    schema,                      // Prisma
	"schema_search_path":        ours("search_path"),         // Rails
	"ssl_ca":                    ours("sslrootcert"),         // sqlx
	"ssl_cert":                  ours("sslcert"),             // sqlx
	"ssl_key":                   ours("sslkey"),              // sqlx
	"ssl_mode":                  ours("sslmode"),             // sqlx
	"ssl_root_cert":             ours("sslrootcert"),         // sqlx
	"sslca":                     ours("sslrootcert"),
	"statement_limit":           ours("statement_cache_capacity"), // Rails
	"targetservertype":          targetServerType,                 // JDBC
	"timeout":                   ours("connect_timeout"),          // asyncpg
	"unix_sock":                 unixSocket,                       // pg8000
	"unix_socket":               unixSocket,
	"username":                  ours("user"),

	// No named prepared statements, as a pooler in transaction mode needs it.
	"binary_parameters":             onMeansExec,        // lib/pq
	"pgbouncer":                     onMeansExec,        // Prisma
	"prefer_simple_protocol":        onMeansExec,        // pgx 4
	"preferquerymode":               preferQueryMode,    // JDBC
	"prepare":                       offMeansExec,       // Postgres.js
	"prepare_threshold":             offMeansExec,       // psycopg
	"prepared_statement_cache_size": statementCacheSize, // SQLAlchemy
	"prepared_statements":           offMeansExec,       // Rails
	"preparethreshold":              offMeansExec,       // JDBC
	"statement_cache_size":          statementCacheSize, // asyncpg, Prisma

	// TLS.
	"gssencmode":               gssEncMode, // libpq
	"requiressl":               requireSSL, // libpq
	"ssl":                      ssl,
	"ssl_min_protocol_version": tlsVersion, // libpq
	"sslaccept":                sslAccept,  // Prisma
	"sslfactory":               sslFactory, // JDBC

	// Text is UTF-8, and nothing else.
	"charset":         encoding, // Doctrine
	"client_encoding": encoding, // libpq
	"encoding":        encoding, // Rails

	"replication": replication,
}

// skipped are the options of other programs that have none, with what holds instead.
var skipped = map[string]string{
	"adapter":                        nothing,
	"advisory_locks":                 nothing,
	"allowencodingchanges":           "text is always UTF-8",
	"allowexitonidle":                nothing,
	"assumeminserverversion":         version,
	"async_fallback":                 nothing,
	"autoreconnect":                  reconnect,
	"autosave":                       nothing,
	"binarytransfer":                 nothing,
	"checkout_timeout":               oneWait,
	"command_timeout":                limits,
	"conn_health_checks":             checked,
	"conn_max_age":                   lifetime,
	"datestyle":                      "dates are read in one form only",
	"defaultrowfetchsize":            nothing,
	"disable_prepared_binary_result": nothing,
	"gssdelegation":                  nothing,
	"gsslib":                         nothing,
	"hostrecheckseconds":             inOrder,
	"idle_timeout":                   idle,
	"idletimeoutmillis":              idle,
	"insert_returning":               nothing,
	"keepalive":                      keepalive,
	"keepaliveinitialdelaymillis":    keepalive,
	"keepalives":                     keepalive,
	"keepalives_count":               keepalive,
	"keepalives_idle":                keepalive,
	"keepalives_interval":            keepalive,
	"krb5_keytab":                    nothing,
	"load_balance_hosts":             inOrder,
	"loadbalancehosts":               inOrder,
	"loggerlevel":                    "LOG_LEVEL says what is logged",
	"logunclosedconnections":         nothing,
	"max_connection_lifetime":        lifetime,
	"max_idle_connection_lifetime":   idle,
	"max_lifetime":                   lifetime,
	"max_overflow":                   "pool_max_conns is all that there are",
	"pool_pre_ping":                  checked,
	"pool_recycle":                   lifetime,
	"pool_timeout":                   oneWait,
	"prepared_statement_name_func":   "a pooler is recognised without it",
	"preparedstatementcachequeries":  cache,
	"preparedstatementcachesizemib":  cache,
	"query_timeout":                  limits,
	"querytimeout":                   limits,
	"queue_interval":                 oneWait,
	"queue_target":                   oneWait,
	"read_timeout":                   limits,
	"readonly":                       "the server needs to write",
	"reaping_frequency":              idle,
	"reconnect":                      reconnect,
	"rewritebatchedinserts":          nothing,
	"server_version":                 version,
	"serverversion":                  version,
	"socket_timeout":                 limits,
	"sockettimeout":                  limits,
	"ssl_max_protocol_version":       "the newest version of TLS that both know is used",
	"sslcompression":                 "TLS never compresses",
	"sslcrl":                         revoked,
	"sslcrldir":                      revoked,
	"sslhostnameverifier":            "sslmode=verify-full checks the host's name",
	"sslidentity":                    "sslcert=FILE and sslkey=FILE name a certificate in PEM",
	"sslinline":                      "sslcert, sslkey and sslrootcert name files",
	"sslkeylogfile":                  "the keys of connections are never written down",
	"stringtype":                     nothing,
	"supa":                           nothing,
	"tcp_user_timeout":               "a server that is silent for five seconds is given up",
	"tcpkeepalive":                   keepalive,
	"trace_notices":                  nothing,
	"uselibpqcompat":                 "sslmode always means what it means to libpq",
	"variables":                      "write each setting of the server as an option",
	"workaround":                     nothing,
}

const (
	cache     = "statement_cache_capacity=N is the number of statements"
	checked   = "connections are always checked"
	inOrder   = "hosts are tried in their order"
	lifetime  = "pool_max_conn_lifetime=1h is what ends a connection"
	nothing   = "it has no counterpart here"
	reconnect = "a lost connection is always replaced"
	revoked   = "no list of revoked certificates is read"
	version   = "the server tells its version"
	oneWait   = "a call waits five seconds at most for a connection"
	limits    = "statement_timeout=MILLISECONDS limits a statement"
	idle      = "pool_max_conn_idle_time=30m closes idle connections"
	keepalive = "the system's keepalive is always on"
)

func ours(name string) meaning {
	return func(o *options, from, value string) { o.take(from, name, value) }
}

// skip passes over an option. The warning ends in what holds instead.
func (o *options) skip(name, instead string) {
	o.warn("has the option %s, which is passed over: %s", name, instead)
}

func hostAddress(o *options, name, value string) {
	if o.values["host"] != "" || o.hasHost {
		o.fault("has %s beside a host: write the address as the host", name)
		return
	}
	o.set("host", value)
}

// unixSocket is the path of a socket of Unix. The driver wants its folder.
func unixSocket(o *options, name, value string) {
	if folder, file := path.Split(value); strings.HasPrefix(file, ".s.PGSQL.") {
		value = strings.TrimSuffix(folder, "/")
	}
	o.take(name, "host", value)
}

func replication(o *options, name, _ string) {
	o.fault("has the option %s, which is for copies of a server: leave it out", name)
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

// ssl is true, false or a mode. True means sslmode=require to libpq and to the driver. Some
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
		plain := strings.ReplaceAll(name, "-", "_")
		mean, isForeign := foreign[plain]
		instead, isSkipped := skipped[plain]
		_, isServers := slices.BinarySearch(settings, name)
		switch {
		case isForeign:
			others = append(others, later{opt, mean})
		case isSkipped && p.tellable(opt.name):
			o.skip(opt.name, instead)
		case isSkipped:
			o.skip("of another program", instead)
		case slices.Contains(driverOptions, name):
			if name == "dbname" {
				name = "database"
			}
			o.set(name, opt.value)
		case isServers:
			o.set(name, opt.value)
		case opt.after || !p.tellable(opt.name):
			return nil, &UnknownOptionError{}
		case strings.HasPrefix(name, "x-"): // of golang-migrate
			o.skip(opt.name, nothing)
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
	if mode := o.values["sslmode"]; mode != "" { // VERIFY_FULL of sqlx
		o.set("sslmode", strings.ReplaceAll(strings.ToLower(mode), "_", "-"))
	}
	o.noVerify()
	return o, errors.Join(o.faults[:min(1, len(o.faults))]...)
}

// knownOptions returns the names that a misspelt one may have been meant for.
func knownOptions(settings []string) []string {
	return slices.Concat(driverOptions, slices.Sorted(maps.Keys(foreign)),
		slices.Sorted(maps.Keys(skipped)), settings)
}
