package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// request is one request. The zero value of a member leaves it out.
type request struct {
	method string
	path   string // with its query
	server string // the base of a replica, "" for the server itself
	token  string // goes into x-access-token
	header http.Header
	body   any // a string or []byte as it is, anything else as JSON
}

// answer is what came back, whatever its status.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration // from the first byte sent until the last one received
}

// errTooManyRequests ends a run that sends more than it should.
var errTooManyRequests = errors.New("the run has used up its requests")

// do sends a request. A refusal is an answer, and an error means that there was none. It notes the
// customers and users that the request makes, for clean.
func (v *verifier) do(ctx context.Context, r request) (answer, error) {
	body, media, err := r.encoded()
	if err != nil {
		return answer{}, err
	}
	base := v.base
	if r.server != "" {
		base = r.server
	}
	ctx, cancel := context.WithTimeout(ctx, maxRequest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, base+r.path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", "clientes verify")
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	if r.token != "" {
		req.Header.Set("x-access-token", r.token)
	}
	for name, values := range r.header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if v.requests.Add(1) > maxRequests && !v.cleaning.Load() {
		return answer{}, errTooManyRequests
	}
	began := time.Now()
	resp, err := v.client.Do(req)
	if err != nil {
		return answer{}, r.failed(err)
	}
	defer resp.Body.Close()
	got, err := drain(resp.Body)
	if err != nil {
		return answer{}, r.failed(err)
	}
	a := answer{resp.StatusCode, resp.Header, got, time.Since(began)}
	v.noteMade(r, a)
	return a, nil
}

// failed returns the error of a request that got no answer. Its query may hold a secret.
func (r request) failed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("%v got no answer: %w", r, err)
}

// String returns the method and the path, without a query.
func (r request) String() string {
	path, _, _ := strings.Cut(r.path, "?")
	return r.method + " " + path
}

// encoded returns the body and its media type.
func (r request) encoded() (body []byte, media string, err error) {
	switch b := r.body.(type) {
	case nil:
		return nil, "", nil
	case []byte:
		return b, "application/json", nil
	case string:
		return []byte(b), "application/json", nil
	}
	body, err = json.Marshal(r.body)
	return body, "application/json", err
}

// into decodes the JSON of an answer.
func (a answer) into(out any) error {
	if err := json.Unmarshal(a.body, out, jsontext.AllowDuplicateNames(false)); err != nil {
		return fmt.Errorf("the answer %d is not the JSON that it should be: %w", a.status, err)
	}
	return nil
}

// member returns a text of the JSON object of an answer, "" if it has none of that name.
func (a answer) member(name string) string {
	var members map[string]any
	if json.Unmarshal(a.body, &members) != nil {
		return ""
	}
	text, _ := members[name].(string)
	return text
}

// code returns the code of a refusal, "" if there is none.
func (a answer) code() string { return a.member("code") }

// is reports whether the answer is that refusal.
func (a answer) is(status int, code string) bool { return a.status == status && a.code() == code }

// byProxy reports whether a proxy before the server has refused a request by itself. Proxies name
// themselves, and every answer of clientes has a request id.
func (a answer) byProxy() bool {
	return a.status >= 400 && a.status < 500 && a.named() && a.header.Get("X-Request-Id") == ""
}

// named reports whether the answer has come through a proxy that names itself.
func (a answer) named() bool { return a.header.Get("Server") != "" || a.header.Get("Via") != "" }

func (a answer) String() string {
	if code := a.code(); code != "" {
		return fmt.Sprintf("%d %s", a.status, code)
	}
	return fmt.Sprint(a.status)
}

// refusedError is an answer that a check needed otherwise to go on.
type refusedError struct{ answer }

func (e *refusedError) Error() string { return "the server answered " + e.answer.String() }

// want sends a request whose answer must have that status. Another one is a *refusedError.
func (v *verifier) want(ctx context.Context, status int, r request) (answer, error) {
	a, err := v.do(ctx, r)
	return a, wanted(status, r, a, err)
}

// asAdmin sends a request with the admin's token, a new one if the old one is not good any more. It
// is safe for concurrent use.
func (v *verifier) asAdmin(ctx context.Context, r request) (answer, error) {
	v.adminMu.Lock()
	admin := v.admin
	v.adminMu.Unlock()
	r.token = admin.token
	a, err := v.do(ctx, r)
	if err != nil || a.status != http.StatusUnauthorized {
		return a, err
	}
	v.adminMu.Lock()
	defer v.adminMu.Unlock()
	if v.admin == admin { // nobody else has renewed it meanwhile
		s, err := v.refresh(ctx, admin)
		if err != nil {
			s, err = v.login(ctx, admin.user)
		}
		if err != nil {
			return a, nil // the refusal says more
		}
		v.admin = s
	}
	r.token = v.admin.token
	return v.do(ctx, r)
}

// wantAsAdmin is want with the admin's token.
func (v *verifier) wantAsAdmin(ctx context.Context, status int, r request) (answer, error) {
	a, err := v.asAdmin(ctx, r)
	return a, wanted(status, r, a, err)
}

// wanted returns err, or a *refusedError if the answer to r has another status.
func wanted(status int, r request, a answer, err error) error {
	if err == nil && a.status != status {
		return fmt.Errorf("%v: %w", r, &refusedError{a})
	}
	return err
}

// together calls functions, so many at once, and returns the first error in their order.
func together(atOnce int, calls ...func() error) error {
	for _, err := range all(atOnce, calls...) {
		if err != nil {
			return err
		}
	}
	return nil
}

// all is together for whoever wants every error.
func all(atOnce int, calls ...func() error) []error {
	errs := make([]error, len(calls))
	room := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i, call := range calls {
		room <- struct{}{}
		running.Go(func() {
			defer func() { <-room }()
			errs[i] = recovered(call)
		})
	}
	running.Wait()
	return errs
}

// recovered calls a function, and returns a panic as an error. An answer that no check expects must
// not end the run, which has to remove what it made.
func recovered(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = broken("the server's answers have another form than they should: %v", p)
		}
	}()
	return call()
}
