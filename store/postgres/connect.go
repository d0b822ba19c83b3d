package postgres

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"clientes/store"
)

// connectError is engineError for a connection that could not be opened. Whatever the reason, the
// engine is unavailable. The text repeats user, database, host and port of the URL, and nothing
// else of it.
func connectError(ctx context.Context, err error) error {
	failed := (*pgconn.ConnectError)(nil)
	isConnect := errors.As(err, &failed)
	if ctx.Err() != nil && (!isConnect || !errors.Is(context.Cause(ctx), store.ErrUnavailable)) {
		return engineError(ctx, nil, err)
	}
	if !isConnect {
		return &store.EngineError{
			What: cannotReach, Detail: err.Error(), Cure: checkURL, Err: err,
		}
	}
	attempt := decisive(failed)
	what, cure := connectFault(failed.Config, attempt)
	detail := target(failed.Config)
	if said := (*pgconn.PgError)(nil); errors.As(attempt, &said) {
		detail += ": " + said.Error()
	}
	return &store.EngineError{What: what, Detail: detail, Cure: cure, Err: err}
}

// target names what a connection was to lead to.
func target(c *pgconn.Config) string {
	hosts := []string{address(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		if a := address(f.Host, f.Port); !slices.Contains(hosts, a) {
			hosts = append(hosts, a)
		}
	}
	return fmt.Sprintf("user=%s database=%s host=%s", c.User, cmp.Or(c.Database, c.User),
		strings.Join(hosts, ","))
}

func address(host string, port uint16) string {
	network, address := pgconn.NetworkAddress(host, port)
	if network == "unix" {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// decisive returns the error of the attempt that counts. pgx makes one for each host, and two for a
// host where TLS is wanted but not required, and its error lists them all. What the server itself
// says counts more than what happened on the way there.
func decisive(failed error) error {
	var all interface{ Unwrap() []error }
	if !errors.As(failed, &all) {
		return errors.Unwrap(failed)
	}
	return slices.MaxFunc(all.Unwrap(), func(a, b error) int {
		return cmp.Compare(weight(a), weight(b))
	})
}

// weight orders the errors of attempts by how much they say.
func weight(attempt error) int {
	_, notPostgres := protocolFault(attempt)
	switch {
	case errors.As(attempt, new(*pgconn.PgError)):
		return 6
	case notPostgres:
		return 5
	case isCertificate(attempt):
		return 4
	case isRefusedTLS(attempt):
		return 0
	case isTimeout(attempt):
		return 1
	case errors.As(attempt, new(net.Error)):
		return 2
	}
	return 3
}

const (
	cannotReach = "the server of the database cannot be reached"
	checkURL    = "check that the database runs and that the URL leads to it"
)

// connectFault returns why an attempt to connect failed, and what helps.
func connectFault(c *pgconn.Config, attempt error) (what, cure string) {
	var (
		pg      *pgconn.PgError
		dns     *net.DNSError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(attempt, &pg):
		return refusal(c, pg)
	case errors.As(attempt, &name):
		return fmt.Sprintf("the certificate of the database's server is not for the host %s", c.Host),
			"write the host in the URL as the certificate names it; sslmode=verify-ca checks " +
				"only who signed it"
	case errors.As(attempt, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of the database's server has expired",
			"renew it there, or set the clock of this machine"
	case isCertificate(attempt):
		return "the certificate of the database's server is not trusted",
			"name its authority with sslrootcert=FILE, and the host as the certificate does"
	case isRefusedTLS(attempt):
		return "the server of the database offers no TLS, which sslmode requires",
			"switch it on there (ssl = on); within one machine sslmode=disable is enough"
	case errors.Is(attempt, pgconn.ErrReadOnlyConnection),
		errors.Is(attempt, pgconn.ErrStandbyConnection):
		return "no host of the URL takes writes", "add the primary to the URL"
	case errors.As(attempt, &dns) && dns.IsNotFound:
		return fmt.Sprintf("there is no host named %s", dns.Name),
			"correct the host in the URL; in a container it is the name of the other service"
	case errors.As(attempt, &dns):
		return fmt.Sprintf("nobody answers which address the host %s has", dns.Name),
			"check the name server of this machine, and try again"
	case errors.Is(attempt, syscall.ECONNREFUSED):
		return cannotReach + ": nothing listens there",
			"in a container 127.0.0.1 is the container itself; " + checkURL
	case errors.Is(attempt, syscall.ENOENT):
		return cannotReach + ": there is no such socket", checkURL
	case errors.Is(attempt, syscall.EACCES), errors.Is(attempt, syscall.EPERM):
		return cannotReach + ": this user may not use the socket, or a firewall forbids it",
			"give the user the right, or connect to the server's host and port"
	case errors.Is(attempt, syscall.ENETUNREACH), errors.Is(attempt, syscall.EHOSTUNREACH):
		return cannotReach + ": no way leads to its network",
			"check the network; a host that has only an address of IPv6 needs a network with IPv6"
	case isTimeout(attempt):
		return cannotReach + ": it does not answer",
			"look for a firewall in between, or for another program at that port; " + checkURL
	case errors.Is(attempt, io.EOF), errors.Is(attempt, io.ErrUnexpectedEOF),
		errors.Is(attempt, syscall.ECONNRESET), errors.Is(attempt, syscall.EPIPE):
		return cannotReach + ": what listens there closed the connection",
			"its log may say why; if it is no PostgreSQL server, correct host and port in the URL"
	}
	if what, ok := protocolFault(attempt); ok {
		return what, "correct host and port in the URL"
	}
	return cannotReach + ": it does not do what the URL asks for",
		"check sslmode, sslcertmode, channel_binding, require_auth and target_session_attrs there"
}

// refusal returns what an error code of the server says of a connection that it refuses.
func refusal(c *pgconn.Config, said *pgconn.PgError) (what, cure string) {
	code := said.Code
	if code == codeProtocol {
		code = cmp.Or(poolerCode(said.Message), code)
	}
	switch code {
	case "28P01":
		if c.Password == "" {
			return fmt.Sprintf("the server wants the password of user %s, and there is none", c.User),
				"write it in the URL as USER:PASSWORD@HOST, or set PGPASSWORD"
		}
		cure := "correct them in the URL, where all but A-Z, a-z, 0-9 and - . _ ~ is percent-encoded"
		if said.Code == codeProtocol {
			cure += "; PgBouncer says the same of a database that it does not know"
		}
		return fmt.Sprintf("the password of user %s is wrong, or there is no such user", c.User), cure
	case "28000":
		return fmt.Sprintf("the server does not let user %s in", c.User),
			"make the user (CREATE ROLE … LOGIN), or add a line for it to the server's pg_hba.conf; " +
				"sslmode=require if the server says \"no encryption\""
	case "3D000":
		return fmt.Sprintf("there is no database named %s", cmp.Or(c.Database, c.User)),
			"make it with CREATE DATABASE, or correct the URL"
	case "42501":
		return fmt.Sprintf("user %s may not connect to the database", c.User),
			fmt.Sprintf("as its owner, GRANT CONNECT ON DATABASE %s TO %s, or delete role= in the URL",
				pgx.Identifier{cmp.Or(c.Database, c.User)}.Sanitize(),
				pgx.Identifier{c.User}.Sanitize())
	case "42704", "22023", "22P02", "55P02", "42602":
		return "the server does not take an option of the URL, or its value",
			"correct or delete the one that the server names"
	case codeProtocol:
		return "the server, or a pooler before it, does not take what the URL asks for",
			"delete the option that it names, and set it for the role where it is needed " +
				"(ALTER ROLE … SET, for search_path too); PgBouncer passes over what stands in " +
				"ignore_startup_parameters, as if it were not there"
	case "0A000":
		return "the server does not speak this version of the protocol",
			"PostgreSQL 14 or newer is needed"
	}
	if what, cure := faultOf(&pgconn.PgError{Code: code}); what != "" {
		return what, cure
	}
	return "the server refuses the connection",
		"it says why; Supabase's pooler wants postgres.PROJECT as the user"
}

// codeProtocol is the code of whatever PgBouncer up to 1.18 says, and of much that later ones say.
const codeProtocol = "08P01"

// codeNoServer and codeStatementMode stand for what only a pooler says.
const (
	codeNoServer      = "pooler: no server"
	codeStatementMode = "pooler: statement mode"
)

// poolerCodes are the beginnings of what PgBouncer says with codeProtocol, and the codes that a
// server has for it. See https://github.com/pgbouncer/pgbouncer/tree/master/src.
var poolerCodes = []struct{ begins, code string }{
	{"SASL authentication failed", "28P01"},
	{"password authentication failed", "28P01"},
	{"auth failed", "28P01"},
	{"no such user", "28P01"},
	{"login rejected", "28000"},
	{"no such database", "3D000"},
	{"no more connections allowed", "53300"},
	{"the database system is ", "57P03"},
	{"database does not allow connections", "57P03"},
	{"query_wait_timeout", codeNoServer},
	{"pgbouncer cannot connect to server", codeNoServer},
	{"server login", codeNoServer},
	{"server conn", codeNoServer},
	{"client_login_timeout", codeNoServer},
	{"bouncer config error", codeNoServer},
	{"transaction blocks not allowed", codeStatementMode},
	{"prepared statement did not exist", "26000"},
}

// poolerCode returns the code that a server has for a message of PgBouncer, or "".
func poolerCode(message string) string {
	for _, known := range poolerCodes {
		if strings.HasPrefix(message, known.begins) {
			return known.code
		}
	}
	return ""
}

func isTimeout(err error) bool {
	var timeout net.Error
	return pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func isCertificate(err error) bool {
	return errors.As(err, new(x509.HostnameError)) ||
		errors.As(err, new(x509.UnknownAuthorityError)) ||
		errors.As(err, new(x509.CertificateInvalidError)) ||
		errors.As(err, new(x509.SystemRootsError)) ||
		errors.As(err, new(*x509.UnhandledCriticalExtension))
}

// isRefusedTLS goes by the text: pgx has no type for it.
func isRefusedTLS(err error) bool {
	return strings.HasSuffix(err.Error(), "server refused TLS connection")
}

// httpLength is the length of a message that begins as the answer of a web server does: HTTP/1.1.
const httpLength = 'T'<<24 | 'T'<<16 | 'P'<<8 | '/'

// protocolFault reports whether an attempt met a server that does not speak PostgreSQL's protocol,
// and returns what that means. For some it goes by the text: pgx has no types for them.
func protocolFault(err error) (what string, ok bool) {
	var long *pgproto3.ExceededMaxBodyLenErr
	if errors.As(err, &long) && long.ActualBodyLen == httpLength-4 {
		return "what listens there is a web server and no PostgreSQL server", true
	}
	text := err.Error()
	for _, known := range []string{"unknown message type", "received unexpected message",
		"invalid message length", "first record does not look like a TLS handshake"} {
		if long != nil || strings.Contains(text, known) {
			return "what listens there is no PostgreSQL server", true
		}
	}
	return "", false
}
