package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"clientes/api/wire"
	"clientes/store"
)

const (
	// examinedFor is how long the findings about the set-up are good for others who want them, so
	// that nobody can keep the database and the mail server busy with them.
	examinedFor = 10 * time.Second

	// examineTimeout bounds the checks of the set-up.
	examineTimeout = 20 * time.Second

	// clockSkew is how far two clocks may be apart before it is worth a warning. A token is good
	// for some seconds after its end.
	clockSkew = 5 * time.Second
)

// doctorView is what the server sees of a request, and what is wrong with it and the set-up.
type doctorView struct {
	Request  requestView    `json:"request"`
	Findings []wire.Finding `json:"findings"`
}

// requestView is a request as it reached the server.
type requestView struct {
	Address        string       `json:"address"` // failed logins are counted for it
	Peer           string       `json:"peer"`    // has connected: the client, or a proxy
	ForwardedFor   string       `json:"forwarded_for"`
	Believed       bool         `json:"believed"` // whether forwarded_for decides about address
	AddressTrusted bool         `json:"address_trusted"`
	ForwardedProto string       `json:"forwarded_proto"`
	Host           string       `json:"host"`
	Origin         string       `json:"origin"`
	PublicURL      string       `json:"public_url"`
	Headers        []string     `json:"headers"` // of those that clients depend on
	ServerTime     wire.Instant `json:"server_time"`
	StoreTime      wire.Instant `json:"store_time"`
}

// dependedOn are the headers that clients send and that a proxy must let through.
func dependedOn() []string {
	return []string{
		"authorization", "idempotency-key", "if-match", "if-none-match", "x-access-token",
	}
}

// doctorInput is a request to be examined.
type doctorInput struct {
	seen requestView
	date string   // of the caller's clock, if it sent one
	also []string // other headers with the address of the client, which the server does not read
}

func (in *doctorInput) decode(r *request) error {
	in.seen = requestView{
		Address:        r.exchange.ip,
		ForwardedFor:   shown(strings.Join(r.Header["X-Forwarded-For"], ", ")),
		ForwardedProto: shown(r.Header.Get("X-Forwarded-Proto")),
		Host:           shown(r.Host),
		Origin:         shown(r.Header.Get("Origin")),
		PublicURL:      r.server.cfg.PublicURL.String(),
		Headers:        []string{},
	}
	if conn := connectionOf(r.Request); conn.from.IsValid() {
		in.seen.Peer = conn.ip
		in.seen.Believed = in.seen.ForwardedFor != "" && r.server.trusts(conn.from.Addr())
	}
	in.seen.AddressTrusted = r.server.trusts(addressOf(in.seen.Address))
	for _, name := range dependedOn() {
		if r.Header.Get(name) != "" {
			in.seen.Headers = append(in.seen.Headers, name)
		}
	}
	for _, name := range []string{"X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP"} {
		if r.Header.Get(name) != "" {
			in.also = append(in.also, name)
		}
	}
	in.date = r.Header.Get("Date")
	return nil
}

// shown returns a header as JSON can have it: text, and not too long.
func shown(s string) string { return strings.ToValidUTF8(loggable(s), "\uFFFD") }

// trusts reports whether X-Forwarded-For of an address is believed.
func (s *Server) trusts(peer netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.TrustedProxies,
		func(p netip.Prefix) bool { return p.Contains(peer) })
}

// doctor answers what the server sees of this very request, and what is wrong with its set-up.
func (s *Server) doctor(ctx context.Context, in doctorInput) (doctorView, error) {
	now := s.cfg.Now()
	in.seen.ServerTime, in.seen.StoreTime = wire.Instant(now), wire.Instant(s.cfg.Store.Now())
	found := s.examineRequest(in, now)
	if s.cfg.Examine != nil {
		setup, err := s.examined.get(ctx, examinedFor, s.examineSetup)
		if err != nil {
			return doctorView{}, err
		}
		found = append(found, *setup...)
	}
	return doctorView{Request: in.seen, Findings: wire.Findings(found)}, nil
}

func (s *Server) examineSetup(ctx context.Context, found *[]store.Finding) {
	ctx, cancel := context.WithTimeout(ctx, examineTimeout)
	defer cancel()
	*found = s.cfg.Examine(ctx)
}

// examineRequest looks for what is wrong with the way that a request came.
func (s *Server) examineRequest(in doctorInput, now time.Time) []store.Finding {
	found := []store.Finding{
		s.examineAddress(in), examineHost(in.seen, s.cfg.PublicURL), s.examineOrigin(in.seen),
		examineClocks(in, now, s.cfg.Store.Now()),
	}
	if f, ok := examineScheme(in.seen, s.cfg.PublicURL); ok {
		found = append(found, f)
	}
	return found
}

func (s *Server) examineAddress(in doctorInput) store.Finding {
	const id = "request-address"
	seen := in.seen
	proxied := s.secure() && seen.Host == s.cfg.PublicURL.Host // the server itself has no TLS
	other := ""
	if in.also != nil {
		other = "; it sends " + strings.Join(in.also, " and ") + ", which the server does not read"
	}
	switch {
	case seen.ForwardedFor != "" && !seen.Believed:
		return store.Finding{
			ID: id, Level: store.LevelFail,
			Message: fmt.Sprintf("X-Forwarded-For came from %s, which is not trusted: if "+
				"that is a proxy, all its clients count as one address, and are slowed "+
				"together", seen.Peer),
			Cure: fmt.Sprintf("if %s is a proxy of yours, add it to TRUSTED_PROXIES; if not, "+
				"let nobody but the proxy reach the server", seen.Peer),
		}
	case seen.ForwardedFor == "" && (proxied || other != "" && s.trusts(addressOf(seen.Peer))):
		return store.Finding{
			ID: id, Level: store.LevelFail,
			Message: fmt.Sprintf("the proxy at %s sends no X-Forwarded-For: all its clients "+
				"count as one address, and are slowed together%s", seen.Peer, other),
			Cure: "let the proxy add it: in nginx, " +
				"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for",
		}
	case seen.Believed && seen.AddressTrusted && seen.Address != seen.Peer:
		return store.Finding{
			ID: id, Level: store.LevelWarn,
			Message: fmt.Sprintf("the proxy at %s names %s as the client, which "+
				"TRUSTED_PROXIES trusts too: whoever has such an address can forge another "+
				"one", seen.Peer, seen.Address),
			Cure: "if that is no proxy of yours, name the addresses of the proxies alone in " +
				"TRUSTED_PROXIES",
		}
	case seen.Believed && seen.Address == seen.Peer && s.trusts(lastOf(seen.ForwardedFor)):
		return store.Finding{
			ID: id, Level: store.LevelWarn,
			Message: fmt.Sprintf("the proxy at %s names %s as the client: either this client runs "+
				"on that machine, or another proxy before it hides all clients", seen.Peer,
				seen.Address),
			Cure: "look from a machine that is no proxy; if this stays, let each proxy add to " +
				"X-Forwarded-For instead of setting it ($proxy_add_x_forwarded_for in nginx)",
		}
	case seen.Believed && seen.Address == seen.Peer:
		return store.Finding{
			ID: id, Level: store.LevelFail,
			Message: fmt.Sprintf("X-Forwarded-For of the proxy at %s has no address that can "+
				"be read: all its clients count as one, unless this client runs on the same "+
				"machine", seen.Peer),
			Cure: "let the proxy write the addresses of its clients there, separated by commas; " +
				"look from another machine than the proxy's",
		}
	case seen.Believed && strings.Contains(seen.ForwardedFor, ",") &&
		addressOf(seen.Address) == lastOf(seen.ForwardedFor):
		f := store.Finding{
			ID: id, Level: store.LevelWarn,
			Message: fmt.Sprintf("X-Forwarded-For came with %q, and %s is taken for the client: if "+
				"that is a proxy, all its clients count as one address", seen.ForwardedFor,
				seen.Address),
			Cure: fmt.Sprintf("if %s is a proxy of yours, add it to TRUSTED_PROXIES; if not, this "+
				"client or its network has sent the header", seen.Address),
		}
		if a := addressOf(seen.Address); a.IsPrivate() || a.IsLoopback() {
			f.Level = store.LevelFail // no network of clients adds the header on the way
		}
		return f
	case seen.Believed:
		return store.Finding{
			ID: id, Level: store.LevelOK,
			Message: fmt.Sprintf("the proxy at %s is trusted, and names %s as the client",
				seen.Peer,
				seen.Address),
		}
	}
	return store.Finding{
		ID: id, Level: store.LevelOK,
		Message: fmt.Sprintf("the request came from %s, without X-Forwarded-For", seen.Peer),
	}
}

// lastOf returns the last address of X-Forwarded-For, which the peer has written.
func lastOf(forwarded string) netip.Addr {
	return addressOf(strings.TrimSpace(forwarded[strings.LastIndex(forwarded, ",")+1:]))
}

// addressOf returns the address in a text, the zero Addr if there is none.
func addressOf(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a
}

func examineHost(seen requestView, public *url.URL) store.Finding {
	const id = "request-host"
	if seen.Host == public.Host {
		return store.Finding{
			ID: id, Level: store.LevelOK, Message: "the request is for the host of PUBLIC_URL",
		}
	}
	return store.Finding{
		ID: id, Level: store.LevelWarn,
		Message: fmt.Sprintf("the request is for the host %q, but PUBLIC_URL is %s: it came "+
			"by another name, or the proxy changes Host", seen.Host, public),
		Cure: "set PUBLIC_URL to what browsers use, and let the proxy pass Host on: in nginx, " +
			"proxy_set_header Host $host",
	}
}

// examineScheme looks at how the client reached a trusted proxy, if the proxy says so.
func examineScheme(seen requestView, public *url.URL) (f store.Finding, said bool) {
	const id = "request-scheme"
	proto, _, _ := strings.Cut(seen.ForwardedProto, ",")
	proto = strings.ToLower(strings.TrimSpace(proto))
	switch {
	case !seen.Believed || proto == "":
		return f, false
	case proto == "http" && public.Scheme == "https":
		return store.Finding{
			ID: id, Level: store.LevelFail,
			Message: "the proxy says that the request reached it in plain http, with the token in it",
			Cure: "let the proxy that clients reach answer http with a redirect to https, and " +
				"nothing else; one behind it has to pass X-Forwarded-Proto on as it came",
		}, true
	case proto != public.Scheme:
		return store.Finding{
			ID: id, Level: store.LevelWarn,
			Message: fmt.Sprintf("the request reached the proxy over %q, but PUBLIC_URL is "+
				"%s: the cookies go without Secure", proto, public),
			Cure: "set PUBLIC_URL to the address with https://",
		}, true
	}
	return store.Finding{
		ID: id, Level: store.LevelOK, Message: "the request reached the proxy over " +
			public.Scheme,
	}, true
}

func (s *Server) examineOrigin(seen requestView) store.Finding {
	const id = "request-origin"
	switch {
	case seen.Origin == "":
		return store.Finding{
			ID: id, Level: store.LevelOK, Message: "the request comes from no page of " +
				"another origin",
		}
	case s.ownOrigin(http.Header{"Origin": {seen.Origin}}) == nil:
		return store.Finding{
			ID: id, Level: store.LevelOK,
			Message: fmt.Sprintf("pages of %q may use the API", seen.Origin),
		}
	}
	return store.Finding{
		ID: id, Level: store.LevelWarn,
		Message: fmt.Sprintf("the request comes from a page of %q, which is neither "+
			"PUBLIC_URL nor in CORS_ORIGINS: the cookie is refused from there", seen.Origin),
		Cure: "if people open the server at that address, set PUBLIC_URL to it; if it is " +
			"another page of yours, add it to CORS_ORIGINS",
	}
}

// examineClocks compares the clock of this machine with those of the store and the caller.
func examineClocks(in doctorInput, now, stored time.Time) store.Finding {
	const id = "request-clock"
	others := []struct {
		whose string
		at    time.Time
	}{{"the store", stored}}
	if date, err := http.ParseTime(in.date); err == nil {
		others = append(others, struct {
			whose string
			at    time.Time
		}{"the caller", date})
	}
	for _, other := range others {
		if apart := now.Sub(other.at); apart.Abs() > clockSkew {
			return store.Finding{
				ID: id, Level: store.LevelWarn,
				Message: fmt.Sprintf("the clocks of this server and of %s are %s apart: "+
					"tokens end too early or too late",
					other.whose, apart.Abs().Round(time.Second)),
				Cure: "let all machines follow one time (NTP)",
			}
		}
	}
	return store.Finding{
		ID: id, Level: store.LevelOK, Message: "the clocks of the server and the store agree",
	}
}
