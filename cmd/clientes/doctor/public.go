package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/net/publicsuffix"

	"clientes/cmd/clientes/config"
	"clientes/store"
)

// publicURL compares PUBLIC_URL with where the server listens, and looks where it leads.
func publicURL(ctx context.Context, s Setup) []store.Finding {
	const id = "public-url-scheme"
	var r report
	c := s.Config
	public := s.public()
	inside := isLoopback(public.Hostname())
	const https = "put a proxy with TLS before the server, and set PUBLIC_URL to its " +
		"https:// address"
	switch hint := c.PublicURLHint(); {
	case hint != "":
		message, cure := parts(hint)
		r.warn(id, message, cure)
	case public.Scheme == "http" && !inside:
		r.fail(id, fmt.Sprintf("PUBLIC_URL is %s, plain http: whoever listens on the way has "+
			"passwords, tokens and the cookie, which goes without Secure", public), https)
	case inside && !c.IsLoopback():
		r.warn(id, fmt.Sprintf("PUBLIC_URL is %s, but HOST=%s lets other machines connect: "+
			"for them links in mail lead nowhere", public, c.Host),
			"set PUBLIC_URL to what browsers use, or HOST to 127.0.0.1")
	case inside && public.Scheme == "http" && c.Port != 0 && !hasPort(public, c.Port):
		r.warn(id, fmt.Sprintf("PUBLIC_URL is %s, but PORT is %d: links in mail lead to "+
			"something else", public, c.Port),
			fmt.Sprintf("give PUBLIC_URL the port %d, or leave it out", c.Port))
	}
	r.okUnless(id, "PUBLIC_URL is %s, and the server listens at %s", public, c.Address())
	if !inside {
		r = append(r, leadsHere(ctx, s, public)...)
	}
	return r
}

// public returns where browsers find the server.
func (s Setup) public() *url.URL {
	if s.Serving != nil {
		return s.Serving
	}
	return s.Config.PublicURLAt(nil)
}

func isLoopback(host string) bool {
	return config.IsLoopbackHost(host) || strings.HasSuffix(host, ".localhost")
}

// isInside reports whether the server is for this machine alone.
func (s Setup) isInside() bool {
	return isLoopback(s.public().Hostname()) && s.Config.IsLoopback()
}

func hasPort(u *url.URL, port uint16) bool {
	return cmp.Or(u.Port(), "80") == strconv.Itoa(int(port))
}

// leadsHere looks whether a server of clientes answers at PUBLIC_URL. A machine behind a router may
// not reach its own name, so this is no failure.
func leadsHere(ctx context.Context, s Setup, public *url.URL) []store.Finding {
	const id = "public-url-reach"
	var r report
	answer, err := ask(ctx, s.client(), public.String())
	switch {
	case err != nil:
		r.warn(id, unanswered("PUBLIC_URL, seen from here", err),
			cureOf(err, "check the name, its DNS and the proxy; from another machine "+
				"`clientes doctor "+public.String()+"` tells more"))
	case answer.location != "":
		r.warn(id, fmt.Sprintf("PUBLIC_URL leads to %s: a redirect loses the body and the token "+
			"of a request", answer.location),
			"set PUBLIC_URL to the address that it leads to, or let the proxy pass every path on")
	case !answer.ours && answer.isOfProxy():
		r.warn(id, fmt.Sprintf("the proxy at PUBLIC_URL reaches no server: status %d",
			answer.status), startIt)
	case !answer.ours:
		r.warn(id, fmt.Sprintf("what answers at PUBLIC_URL is no server of clientes: status %d",
			answer.status),
			"let the proxy there send all paths to this server, or correct PUBLIC_URL")
	case answer.status != http.StatusOK:
		r.warn(id, fmt.Sprintf("the server at PUBLIC_URL is not ready: %s", answer.message),
			"look at the findings about that, or into its log")
	default:
		r.ok(id, "PUBLIC_URL leads to a server of clientes, which is ready")
	}
	return r
}

// listener looks at what listens where this configuration would have the server listen.
func listener(ctx context.Context, s Setup) []store.Finding {
	const id = "listener"
	var r report
	c := s.Config
	if s.Serving != nil {
		r.ok(id, "this server has answered")
		return r
	}
	if hint := c.LoopbackHint(); hint != "" {
		message, cure := parts(hint)
		r.warn(id, message, cure)
	}
	if c.Port == 0 {
		r.ok(id, "PORT=0 takes any free port, so a running server was not looked for")
		return r
	}
	answer, err := ask(ctx, s.client(), config.LocalURL(c.Host, int(c.Port)))
	switch {
	case err != nil && isUnreached(err):
		r = append(r, bindable(ctx, c.Network(), c.Address())...)
	case err != nil:
		r.fail(id, fmt.Sprintf("what listens at %s does not answer as a server of clientes: %v",
			c.Address(), withoutURL(err)), "stop that program, or choose another PORT")
	case !answer.ours:
		r.fail(id, fmt.Sprintf("another program listens at %s", c.Address()),
			"stop that program, or choose another PORT")
	case answer.status != http.StatusOK:
		r.fail(id, fmt.Sprintf("the server at %s is not ready: %s", c.Address(), answer.message),
			"look at the other findings and into its log")
	default:
		r.ok(id, "the server at %s is ready", c.Address())
	}
	return r
}

// isUnreached reports whether a request failed before anybody could read it.
func isUnreached(err error) bool {
	var at *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &at) && at.Op == "dial"
}

// bindable looks whether a server could listen at an address where nobody answers. For that it
// listens there, for less than a millisecond.
func bindable(ctx context.Context, network, at string) []store.Finding {
	const id = "listener"
	var (
		r  report
		lc net.ListenConfig
	)
	l, err := lc.Listen(ctx, network, at)
	switch {
	case err == nil:
		_ = l.Close()
		r.ok(id, "no server runs at %s now", at)
	case errors.Is(err, syscall.EACCES):
		r.warn(id, fmt.Sprintf("this user may not listen at %s: ports below 1024 need a right", at),
			"choose another PORT; or give the server the right: AmbientCapabilities="+
				"CAP_NET_BIND_SERVICE in systemd")
	default:
		r.fail(id, fmt.Sprintf("no server can listen at %s: %v", at, err),
			"stop what listens there, or choose another PORT")
	}
	return r
}

// client returns a client that asks no proxy of the environment and follows no redirect.
func (s Setup) client() *http.Client { return newClient(s.RootCAs, s.Dial) }

func newClient(
	roots *x509.CertPool, dial func(ctx context.Context, network, address string) (net.Conn, error),
) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           dial,
			ExpectContinueTimeout: networkTimeout,
			DisableKeepAlives:     true,
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// answered is what a server says of itself at /readyz.
type answered struct {
	status   int
	ours     bool // it answers as clientes does
	message  string
	header   http.Header
	location string
	end      time.Time // of the certificate, the zero time without TLS
}

// isOfProxy reports whether a proxy has answered because it reaches no server.
func (a answered) isOfProxy() bool {
	return a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable ||
		a.status == http.StatusGatewayTimeout
}

const startIt = "start the server; if it runs, compare its HOST and PORT with where the " +
	"proxy sends requests"

// ask requests /readyz. A server of clientes repeats the id of the request in every answer.
func ask(ctx context.Context, client *http.Client, base string) (answered, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return answered{}, err
	}
	name := "doctor-" + rand.Text()
	req.Header.Set("X-Request-Id", name)
	resp, err := client.Do(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	var body struct {
		Status  string `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	err = json.UnmarshalRead(io.LimitReader(resp.Body, 1<<16), &body)
	var end time.Time
	if resp.TLS != nil {
		end = resp.TLS.PeerCertificates[0].NotAfter
	}
	return answered{
		status: resp.StatusCode, message: body.Message, header: resp.Header,
		location: resp.Header.Get("Location"), end: end,
		ours: err == nil && (body.Status == "ok" || body.Code != ""),
	}, nil
}

// withoutURL returns the cause of an error of a client, without the URL of the request.
func withoutURL(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// unanswered returns why nobody can be asked at a place.
func unanswered(place string, err error) string {
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) {
		return fmt.Sprintf("no client trusts the certificate at %s: %v", place, refused.Err)
	}
	return fmt.Sprintf("nobody answers at %s: %v", place, withoutURL(err))
}

// cureOf returns what to do about an error of a connection, or else what is given.
func cureOf(err error, other string) string {
	var (
		stranger x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		lookup   *net.DNSError
		noTLS    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &stranger):
		return "have the certificate signed by an authority that clients trust, and let the " +
			"proxy send the intermediate certificates too"
	case errors.As(err, &name):
		return "give the proxy a certificate for this name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate, and let the renewal run by itself"
	case errors.As(err, &lookup):
		return "make a DNS record for the name, or correct it"
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return "nothing speaks TLS at this port: correct the port or the proxy"
	}
	return other
}

// cookies looks at what browsers will do with the cookie of refresh tokens. It always has
// SameSite=Strict. Of PUBLIC_URL with http, which takes Secure from it, publicURL speaks.
func cookies(_ context.Context, s Setup) []store.Finding {
	const id = "cookies"
	var r report
	public := s.public()
	for _, origin := range s.Config.CORSOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "http" && public.Scheme == "https" {
			continue // see origins
		}
		if strings.HasPrefix(u.Scheme, "http") && siteOf(u) != siteOf(public) {
			r.warn(id, fmt.Sprintf("CORS_ORIGINS has %s, which is of another site than %s: "+
				"browsers never send the cookie from its pages (SameSite=Strict)", origin, public),
				"have these pages keep the refresh token themselves (a login without "+
					"\"cookie\"), or serve them from the site "+siteOf(public))
		}
	}
	r.okUnless(id, "the cookies are HttpOnly and SameSite=Strict, Secure is %t",
		public.Scheme == "https")
	return r
}

// siteOf returns the site of a URL as browsers see it: the scheme, and the domain that somebody has
// registered.
func siteOf(u *url.URL) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname())
	if err != nil {
		domain = u.Hostname() // an address, or a name without dots
	}
	return u.Scheme + "://" + domain
}

// origins looks at CORS_ORIGINS. What no browser would send is a fault of the setting.
func origins(_ context.Context, s Setup) []store.Finding {
	const id = "cors"
	var r report
	public := s.public()
	for _, origin := range s.Config.CORSOrigins {
		u, err := url.Parse(origin)
		if err != nil {
			continue // that would be a fault of the setting
		}
		switch inside := isLoopback(u.Hostname()); {
		case origin == public.String():
			r.warn(id, fmt.Sprintf("CORS_ORIGINS has %s, the server's own origin, which needs "+
				"no entry", origin), "take it away")
		case isLoopback(public.Hostname()):
		case inside && u.Scheme == "http":
			r.warn(id, fmt.Sprintf("CORS_ORIGINS has %s: any program on the machine of a "+
				"user may serve a page of this origin, and use the API with what they have "+
				"typed there", origin),
				"take it away where the server is more than a developer's")
		case u.Scheme == "http":
			r.warn(id, fmt.Sprintf("CORS_ORIGINS has %s, plain http: whoever is on the way "+
				"can change its pages and take the tokens from them", origin),
				"serve these pages over https, and name that origin")
		}
	}
	if len(s.Config.CORSOrigins) == 0 {
		r.ok(id, "no page of another origin may use the API")
	}
	r.okUnless(id, "the pages of %s may use the API",
		strings.Join(slices.Clone(s.Config.CORSOrigins), ", "))
	return r
}
