package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/api/wire"
	"clientes/auth/authtest"
	"clientes/store"
)

type examinedRow struct {
	Request struct {
		Address        string   `json:"address"`
		Peer           string   `json:"peer"`
		ForwardedFor   string   `json:"forwarded_for"`
		Believed       bool     `json:"believed"`
		AddressTrusted bool     `json:"address_trusted"`
		Host           string   `json:"host"`
		Headers        []string `json:"headers"`
	} `json:"request"`
	Findings []wire.Finding `json:"findings"`
}

func (f *fixture) examine(headers ...string) (got examinedRow) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.url+"/doctor", nil)
	authtest.Must(f.t, err)
	req.Header.Set("x-access-token", f.tokens[store.Admin])
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	req.Host = req.Header.Get("Host")
	resp, err := http.DefaultClient.Do(req)
	authtest.Must(f.t, err)
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		f.t.Fatalf("status %d", resp.StatusCode)
	}
	authtest.Must(f.t, json.UnmarshalRead(resp.Body, &got))
	return got
}

// of returns the finding of a check.
func (e examinedRow) of(id string) wire.Finding {
	for _, f := range e.Findings {
		if f.ID == id {
			return f
		}
	}
	return wire.Finding{}
}

// httpTime returns a time as headers have it, from now.
func httpTime(ahead time.Duration) string {
	return time.Now().Add(ahead).UTC().Format(http.TimeFormat)
}

// TestDoctorSeesTheRequest checks what admins learn about the way of their request.
func TestDoctorSeesTheRequest(t *testing.T) {
	t.Parallel()
	trusts := func(network string) func(*Config) {
		return func(cfg *Config) {
			cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(network)}
		}
	}
	const far = "203.0.113.7"
	plain := onSQLite(t)
	trusting := onSQLite(t, trusts("127.0.0.0/8"))
	credulous := onSQLite(t, trusts("0.0.0.0/0"))
	secure := onSQLite(t, trusts("127.0.0.0/8"), overHTTPS)
	tests := []struct {
		name     string
		server   *fixture
		headers  []string
		address  string
		believed bool
		id       string
		level    store.Level
		want     string
	}{
		{"direct", plain, nil, "127.0.0.1", false, "request-address", store.LevelOK,
			"without X-Forwarded-For"},
		{"not trusted", plain, []string{"X-Forwarded-For", far}, "127.0.0.1", false,
			"request-address", store.LevelFail, "add it to TRUSTED_PROXIES"},
		{"trusted", trusting, []string{"X-Forwarded-For", far}, far, true,
			"request-address", store.LevelOK, "names 203.0.113.7 as the client"},
		{"trusted, with a port", trusting,
			[]string{"X-Forwarded-For", far + ":1234"}, far, true,
			"request-address", store.LevelOK, "names 203.0.113.7 as the client"},
		{"trusted, of IPv6", trusting,
			[]string{"X-Forwarded-For", "[2001:db8::1]:80"}, "2001:db8::1", true,
			"request-address", store.LevelOK, "names 2001:db8::1 as the client"},
		{"no address", trusting,
			[]string{"X-Forwarded-For", "unknown"}, "127.0.0.1", true,
			"request-address", store.LevelFail, "no address that can be read"},
		{"a client on the machine of the proxy", trusting,
			[]string{"X-Forwarded-For", "127.0.0.1"}, "127.0.0.1", true,
			"request-address", store.LevelWarn, "look from a machine that is no proxy"},
		{"a second proxy that is not trusted", trusting,
			[]string{"X-Forwarded-For", far + ", 10.9.9.9"}, "10.9.9.9", true,
			"request-address", store.LevelFail, "add it to TRUSTED_PROXIES"},
		{"a client that sends the header", trusting,
			[]string{"X-Forwarded-For", "192.0.2.1, " + far}, far, true,
			"request-address", store.LevelWarn, "has sent the header"},
		{"a client that is trusted", credulous,
			[]string{"X-Forwarded-For", far}, far, true,
			"request-address", store.LevelWarn, "trusts too"},
		{"a proxy without the header", secure,
			[]string{"Host", ownHost}, "127.0.0.1", false,
			"request-address", store.LevelFail, "sends no X-Forwarded-For"},
		{"a proxy with another header", trusting,
			[]string{"X-Real-IP", far}, "127.0.0.1", false,
			"request-address", store.LevelFail, "X-Real-IP, which the server does not read"},
		{"another host", plain, []string{"Host", "other.test"}, "127.0.0.1", false,
			"request-host", store.LevelWarn, `"other.test"`},
		{"its host", plain, []string{"Host", ownHost}, "127.0.0.1", false,
			"request-host", store.LevelOK, ""},
		{"plain http", secure,
			[]string{"X-Forwarded-For", far, "X-Forwarded-Proto", "http"}, far, true,
			"request-scheme", store.LevelFail, "plain http"},
		{"https", secure,
			[]string{"X-Forwarded-For", far, "X-Forwarded-Proto", "https"}, far, true,
			"request-scheme", store.LevelOK, ""},
		{"https, unknown to PUBLIC_URL", trusting,
			[]string{"X-Forwarded-For", far, "X-Forwarded-Proto", "https"}, far, true,
			"request-scheme", store.LevelWarn, "without Secure"},
		{"another origin", plain, []string{"Origin", "https://other.test"}, "127.0.0.1", false,
			"request-origin", store.LevelWarn, "CORS_ORIGINS"},
		{"its origin", plain, []string{"Origin", "http://" + ownHost}, "127.0.0.1", false,
			"request-origin", store.LevelOK, ownHost},
		{"another time", plain, []string{"Date", httpTime(time.Hour)}, "127.0.0.1", false,
			"request-clock", store.LevelWarn, "of the caller are "},
		{"the same time", plain, []string{"Date", httpTime(0)},
			"127.0.0.1", false, "request-clock", store.LevelOK, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.server.examine(test.headers...)
			r, found := got.Request, got.of(test.id)
			if r.Address != test.address || r.Believed != test.believed || r.Peer != "127.0.0.1" {
				t.Errorf("the request is %+v", r)
			}
			said := found.Message + found.Cure
			if found.Level != test.level || !strings.Contains(said, test.want) ||
				(found.Cure == "") != (test.level == store.LevelOK) {
				t.Errorf("%+v", found)
			}
		})
	}
	t.Run("headers", func(t *testing.T) {
		got := plain.examine("If-Match", `"1"`, "Idempotency-Key", "x")
		if want := "idempotency-key if-match " +
			"x-access-token"; strings.Join(got.Request.Headers, " ") != want {
			t.Errorf("headers %q, want %s", got.Request.Headers, want)
		}
	})
	t.Run("the clock of the store", func(t *testing.T) {
		t.Parallel()
		f := onSQLite(t, func(cfg *Config) {
			cfg.Now = authtest.StoppedAt(time.Now().Add(time.Minute)).Now
		})
		if got := f.examine().of("request-clock"); got.Level != store.LevelWarn {
			t.Errorf("%+v", got)
		}
	})
}

// TestDoctorIsForAdmins checks that nobody else learns anything.
func TestDoctorIsForAdmins(t *testing.T) {
	t.Parallel()
	f := onSQLite(t)
	f.want(f.call("GET", "/doctor", ""), 401, "token_missing")
	f.want(f.as(store.Editor, "GET", "/doctor", ""), 403, "forbidden")
	f.want(f.as(store.Admin, "GET", "/doctor?x=1", ""), 400, "invalid_parameter")
}

// TestDoctorExaminesTheSetupOnce checks that all who ask at once share one examination, that its
// findings are good for a while, and that it survives the caller who began it.
func TestDoctorExaminesTheSetupOnce(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	begun, release := make(chan context.Context, 10), make(chan struct{})
	f := onSQLite(t, func(cfg *Config) {
		cfg.Examine = func(ctx context.Context) []store.Finding {
			runs.Add(1)
			begun <- ctx
			<-release
			if ctx.Err() != nil {
				return nil
			}
			return []store.Finding{{ID: "setup", Level: store.LevelOK, Message: "well"}}
		}
	})
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", f.url+"/doctor", nil)
	authtest.Must(t, err)
	req.Header.Set("x-access-token", f.tokens[store.Admin])
	first := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		first <- err
	}()
	running := <-begun
	hangUp()
	if err := <-first; err == nil {
		t.Error("the caller who hung up got an answer")
	}
	if deadline, ok := running.Deadline(); !ok || time.Until(deadline) > examineTimeout {
		t.Errorf("the examination may last until %v", deadline)
	}
	all := make(chan examinedRow, 5)
	for range cap(all) {
		go func() { all <- f.examine() }()
	}
	close(release)
	for range cap(all) {
		got := <-all
		if got.of("setup").Message != "well" || got.Findings[0].ID != "request-address" {
			t.Errorf("%+v", got)
		}
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("%d runs", n)
	}
	f.server.examined.mu.Lock()
	f.server.examined.latest.begun = time.Now().Add(-examinedFor - time.Second)
	f.server.examined.mu.Unlock()
	f.examine()
	if n := runs.Load(); n != 2 {
		t.Errorf("%d runs after the first is old", n)
	}
}

// Headers that are no text are shown all the same, and the address is judged.
func TestDoctorShowsHeadersThatAreNoText(t *testing.T) {
	t.Parallel()
	f := onSQLite(t)
	for _, value := range []string{"\xff\xfe", "a\xc3(", strings.Repeat("é", 200) + "e"} {
		got := f.examine("X-Forwarded-For", value, "Origin", value, "X-Forwarded-Proto", value)
		if got.Request.ForwardedFor == "" || got.of("request-address").Level != store.LevelFail {
			t.Errorf("%q: %+v", value, got)
		}
	}
}
