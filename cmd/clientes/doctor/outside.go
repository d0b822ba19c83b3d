package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/store"
)

// Target is the server that [ExamineURL] looks at. Only URL and Now are required.
type Target struct {
	URL *url.URL // http or https and a host, nothing more
	Now func() time.Time

	// User, Password and Code are of an admin. Without them the server says nothing of the address
	// that it sees.
	User, Password, Code string

	// Setup adds what the server finds in its own set-up.
	Setup bool

	// RootCAs may vouch for the server, nil for those that this machine trusts.
	RootCAs *x509.CertPool

	// Dial connects, nil for a usual connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// visit is an examination from outside.
type visit struct {
	Target
	client *http.Client
	base   string
	bearer string // the header for a token: one that reaches the server, see tokens
	report
}

// ExamineURL looks at a server from outside, as its clients do. It leaves nothing behind but the
// entries that its login and its requests make in the log and the audit.
func ExamineURL(ctx context.Context, t Target) []store.Finding {
	ctx, cancel := context.WithTimeout(ctx, 6*networkTimeout)
	defer cancel()
	v := &visit{Target: t, client: newClient(t.RootCAs, t.Dial), base: t.URL.String(),
		bearer: "x-access-token"}
	if v.reach(ctx) {
		v.plain(ctx)
		v.documents(ctx)
		v.tokens(ctx)
		v.body(ctx)
		v.cookies(ctx)
		v.private(ctx)
		v.asAdmin(ctx)
	}
	return printable(v.report)
}

// reach reports whether a server of clientes answers. A redirect from http to https of the same
// host is followed, as clients follow it.
func (v *visit) reach(ctx context.Context) bool {
	const id = "url"
	answer, err := ask(ctx, v.client, v.base)
	if err == nil && v.URL.Scheme == "http" && answer.location != "" {
		to, parseErr := url.Parse(answer.location)
		if parseErr == nil && to.Scheme == "https" && to.Hostname() == v.URL.Hostname() {
			v.ok("url-redirect", "%s leads to https", v.base)
			v.URL = &url.URL{Scheme: "https", Host: to.Host}
			v.base = v.URL.String()
			answer, err = ask(ctx, v.client, v.base)
		}
	}
	switch {
	case err != nil:
		v.fail(id, unanswered(v.base, err), cureOf(err,
			"check that the proxy and the server run, and that no firewall is in between"))
		return false
	case answer.location != "":
		v.fail("url-redirect", fmt.Sprintf("%s/readyz leads to %s: a redirect loses the body "+
			"and the token of a request", v.base, answer.location),
			"give clients the address that it leads to, or let the proxy pass every path on")
		return false
	case !answer.ours:
		if answer.isOfProxy() {
			v.fail(id, fmt.Sprintf("the proxy at %s reaches no server, status %d",
				v.base, answer.status), startIt)
			return false
		}
		v.fail(id, fmt.Sprintf("what answers at %s is no server of clientes, status %d",
			v.base, answer.status), "let the proxy send all paths to the server")
		return false
	}
	v.ok(id, "a server of clientes answers at %s", v.base)
	if answer.status == http.StatusOK {
		v.ok("url-ready", "it is ready")
	} else {
		v.fail("url-ready", "it is not ready: "+answer.message, "look into its log")
	}
	v.clock(answer.header.Get("Date"))
	if answer.end.IsZero() {
		if !isLoopback(v.URL.Hostname()) {
			v.fail("url-tls", v.base+" is plain http: whoever listens on the way has passwords "+
				"and tokens", "put a proxy with TLS before the server")
		}
		return true
	}
	v.report = append(v.report, certificate("url-tls", v.URL.Hostname(), answer.end, v.Now())...)
	if answer.header.Get("Strict-Transport-Security") == "" {
		v.warn("url-hsts", "no answer has Strict-Transport-Security: a browser that is led "+
			"to http:// sends its first request in clear",
			"set PUBLIC_URL to the https:// address, and let the proxy keep the header")
	} else {
		v.ok("url-hsts", "browsers will use https alone")
	}
	return true
}

func (v *visit) clock(date string) {
	const id = "url-clock"
	at, err := http.ParseTime(date)
	switch apart := v.Now().Sub(at); {
	case err != nil:
		v.warn(id, "no answer has a Date, which clients may compare with the end of a token",
			"let the proxy keep that header")
	case apart.Abs() > skew:
		v.warn(id, fmt.Sprintf("the clock there is %s from the one here: tokens end too early "+
			"or too late", apart.Abs().Round(time.Second)),
			"let all machines follow one time (NTP)")
	default:
		v.ok(id, "the clock there and the one here agree")
	}
}

// skew is how far two clocks may be apart: a Date has whole seconds, and an answer takes its time.
const skew = 5 * time.Second

// plain looks whether http is answered beside https, with anything but a redirect.
func (v *visit) plain(ctx context.Context) {
	const id = "url-http"
	if v.URL.Scheme != "https" || v.URL.Port() != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	answer, err := ask(ctx, v.client, "http://"+v.URL.Host)
	switch {
	case err != nil:
		v.ok(id, "nothing answers plain http")
	case strings.HasPrefix(answer.location, "https://"):
		v.ok(id, "plain http leads to https")
	default:
		v.fail(id, fmt.Sprintf("http://%s is answered without a redirect to https, with "+
			"status %d: passwords and tokens may go in clear", v.URL.Host, answer.status),
			"let the proxy answer port 80 with a redirect and nothing else: in nginx, "+
				"return 308 https://$host$request_uri")
	}
}

// documents compares the address that the server publishes with this one, and looks whether entity
// tags come through.
func (v *visit) documents(ctx context.Context) {
	const id = "url-public"
	resp, body, err := v.get(ctx, "GET", "/openapi.json", nil)
	var document struct {
		Info    struct{ Version string }
		Servers []struct{ URL string }
	}
	if err == nil {
		err = json.Unmarshal(body, &document, json.MatchCaseInsensitiveNames(true))
	}
	if err != nil || len(document.Servers) == 0 {
		v.fail(id, fmt.Sprintf("/openapi.json cannot be read: %v", err),
			"let the proxy send all paths to the server, unchanged")
		return
	}
	public := document.Servers[0].URL
	switch secure := strings.HasPrefix(public, "https://"); {
	case public == v.base:
		v.ok(id, "%s is its PUBLIC_URL, and its API has the version %s",
			v.base, document.Info.Version)
	case v.URL.Scheme == "https" && !secure:
		v.fail(id, fmt.Sprintf("its PUBLIC_URL is %s: the cookies go without Secure, and "+
			"pages of %s are refused the cookie", public, v.base), "set PUBLIC_URL="+v.base)
	default:
		v.warn(id, fmt.Sprintf("its PUBLIC_URL is %s: links in mail lead there, and pages of "+
			"%s are refused the cookie", public, v.base),
			"if people use this address, set PUBLIC_URL="+v.base)
	}
	v.tags(ctx, resp.Header.Get("ETag"))
}

// tags looks whether entity tags come through as they are: a weak one is good for no If-Match.
func (v *visit) tags(ctx context.Context, tag string) {
	const id = "url-etag"
	cure := "let the proxy pass ETag and If-None-Match on as they are, and leave compressing " +
		"to the server"
	if tag == "" || strings.HasPrefix(tag, "W/") {
		v.fail(id, fmt.Sprintf("the ETag of answers is lost or made weak (%q): no client can "+
			"write with If-Match", tag), cure)
		return
	}
	resp, _, err := v.get(ctx, "GET", "/openapi.json", http.Header{"If-None-Match": {tag}})
	if err != nil || resp.StatusCode != http.StatusNotModified {
		v.warn(id, "If-None-Match does not reach the server", cure)
		return
	}
	v.ok(id, "entity tags come through as they are")
}

// tokens looks whether both headers with an access token reach the server: it calls one that is
// none by its name, and says that there is no token where the header was lost.
func (v *visit) tokens(ctx context.Context) {
	const id = "url-token"
	var lost []string
	for _, name := range []string{"x-access-token", "Authorization"} {
		resp, body, err := v.get(ctx, "GET", "/me", http.Header{name: {"Bearer doctor"}})
		if err != nil || resp.StatusCode != 401 || codeOf(body) != "token_invalid" {
			lost = append(lost, name)
		} else {
			v.bearer = name
		}
	}
	if lost != nil {
		v.fail(id, "a token in "+strings.Join(lost, " or ")+" does not reach the server",
			"let the proxy pass these headers on, and have no login of its own")
		return
	}
	v.ok(id, "a token reaches the server in x-access-token and in Authorization")
}

func codeOf(body []byte) string {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(body, &problem) // no JSON has no code
	return problem.Code
}

// largest is the size of the largest file that the server takes for an import, in bytes.
const largest = 256 * mib

// errTaken ends a request whose body somebody wants to read.
var errTaken = errors.New("the body is wanted")

// never is a body that is not sent. Its first byte would be read after the answer 100 Continue.
type never struct{}

func (never) Read([]byte) (int, error) { return 0, errTaken }

// body looks whether a proxy refuses an import because of its size. It announces one, without a
// token, and sends nothing of it.
func (v *visit) body(ctx context.Context) {
	const id = "url-body"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.base+"/clientes/import", never{})
	if err != nil {
		return // the URL is as good as before
	}
	req.ContentLength = largest
	req.Header.Set("Expect", "100-continue")
	req.Header.Set("Content-Type", "text/csv")
	resp, err := v.client.Do(req)
	if errors.Is(err, errTaken) {
		v.ok(id, "a body of 256 MiB is let through")
		return
	}
	if err != nil {
		v.warn(id, fmt.Sprintf("a request that announces a body of 256 MiB gets no answer: %v",
			withoutURL(err)), "let the proxy pass on bodies of that size")
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if codeOf(text) == "token_missing" {
		v.ok(id, "a body of 256 MiB is let through")
		return
	}
	v.fail(id, fmt.Sprintf("the proxy refuses a body of 256 MiB, the largest import, with "+
		"status %d", resp.StatusCode), "raise its limit: in nginx, client_max_body_size 256m")
}

// cookies looks whether a page of this origin may use the cookies, and how they come through. The
// logout of a session that is none clears the cookie.
func (v *visit) cookies(ctx context.Context) {
	const id = "url-cookies"
	resp, body, err := v.get(ctx, "POST", "/logout", http.Header{
		"Origin": {v.base}, "Cookie": {"clientes_refresh=doctor; __Host-clientes_refresh=doctor"},
	})
	switch {
	case err != nil:
		v.fail(id, fmt.Sprintf("a logout gets no answer: %v", withoutURL(err)),
			"look into the server's log")
		return
	case codeOf(body) == "cross_origin":
		v.fail(id, "a page of "+v.base+" is refused the cookie: nobody can log in at /login there",
			"set PUBLIC_URL="+v.base+", and let the proxy pass Origin on")
		return
	}
	at := slices.IndexFunc(resp.Cookies(), func(c *http.Cookie) bool {
		return strings.HasSuffix(c.Name, "clientes_refresh")
	})
	if at < 0 {
		v.fail(id, "the cookie is lost on the way", "let the proxy pass Cookie and Set-Cookie on")
		return
	}
	c := resp.Cookies()[at]
	plain := v.URL.Scheme == "http"
	var lacks []string
	for what, has := range map[string]bool{
		"HttpOnly":           c.HttpOnly,
		"SameSite=Strict":    c.SameSite == http.SameSiteStrictMode,
		"Path=/":             c.Path == "/",
		"Secure":             plain || c.Secure,
		"the prefix __Host-": plain || strings.HasPrefix(c.Name, "__Host-"),
		"no Domain":          c.Domain == "",
	} {
		if !has {
			lacks = append(lacks, what)
		}
	}
	if lacks != nil {
		slices.Sort(lacks)
		v.fail(id, "the cookie comes without "+strings.Join(lacks, ", "),
			"set PUBLIC_URL="+v.base+", and let the proxy leave Set-Cookie as it is")
		return
	}
	v.ok(id, "a page of %s may use the cookies, and they come as they were sent", v.base)
}

// private looks whether strangers reach what METRICS_ADDR serves.
func (v *visit) private(ctx context.Context) {
	const id = "url-metrics"
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		resp, _, err := v.get(ctx, "GET", path, nil)
		if err == nil && resp.StatusCode == http.StatusOK {
			v.fail(id, "everybody can read "+v.base+path,
				"let the proxy send nothing to METRICS_ADDR")
			return
		}
	}
	v.ok(id, "strangers reach neither metrics nor profiles")
}

func (v *visit) get(
	ctx context.Context, method, path string, h http.Header,
) (*http.Response, []byte, error) {
	return v.send(ctx, method, path, h, nil)
}

// send returns an answer and its body, of which it reads four megabytes at most.
func (v *visit) send(
	ctx context.Context, method, path string, h http.Header, body []byte,
) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*networkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, v.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for name, values := range h {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4*mib))
	return resp, text, err
}
