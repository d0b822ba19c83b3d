package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/api/wire"
	"clientes/auth/authtest"
	"clientes/cmd/clientes/doctor"
	"clientes/store"
)

const proxiedHost = "api.example.test"

// proxies is one nginx with many servers, each on ports of its own, so that a test of many faults
// starts one program.
type proxies struct {
	folder string
	config strings.Builder
	roots  *x509.CertPool
	held   []net.Listener // on the ports of the sites, so that no two have one, until nginx starts
}

// site is one server of nginx: what answers at https://api.example.test, and at http://.
type site struct{ tls, plain string }

func newProxies(t *testing.T) *proxies {
	t.Helper()
	return &proxies{folder: t.TempDir(), roots: x509.NewCertPool()}
}

// free returns an address on which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// certify writes a self-signed certificate, which is trusted if known, and returns the lines of
// nginx for it.
func (p *proxies) certify(t *testing.T, name string, from, to time.Time, known bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	authtest.Must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: from, NotAfter: to,
		DNSNames: []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	authtest.Must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	authtest.Must(t, err)
	file := filepath.Join(p.folder, rand.Text())
	authtest.Must(t, os.WriteFile(file+".pem",
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	authtest.Must(t, os.WriteFile(file+".key",
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if known {
		leaf, err := x509.ParseCertificate(der)
		authtest.Must(t, err)
		p.roots.AddCert(leaf)
	}
	return fmt.Sprintf("ssl_certificate %[1]s.pem; ssl_certificate_key %[1]s.key;\n", file)
}

// add adds a site with these lines behind TLS, and others without it.
func (p *proxies) add(t *testing.T, tls, plain string) site {
	t.Helper()
	s := site{p.hold(t), p.hold(t)}
	fmt.Fprintf(&p.config, "server { listen %s ssl;\n%s\n}\nserver { listen %s;\n%s\n}\n",
		s.tls, tls, s.plain, plain)
	return s
}

// hold returns an address on which nobody else listens before [proxies.start].
func (p *proxies) hold(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	authtest.Must(t, err)
	p.held = append(p.held, l)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// start runs nginx until the test ends.
func (p *proxies) start(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this test needs nginx")
		}
		t.Skip("this test needs nginx")
	}
	text := "daemon off; worker_processes 1; error_log stderr crit; pid " + p.folder + "/pid;\n" +
		"events {}\nhttp { access_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, p.folder, kind)
	}
	file := filepath.Join(p.folder, "nginx.conf")
	authtest.Must(t, os.WriteFile(file, []byte(text+p.config.String()+"}\n"), 0o600))
	if os.Geteuid() == 0 { // the worker is another user then
		authtest.Must(t, os.Chmod(p.folder, 0o755))
	}
	cmd := exec.Command(program, "-p", p.folder, "-c", file, "-e", "stderr")
	var said record
	cmd.Stderr = &said
	for _, l := range p.held {
		l.Close()
	}
	authtest.Must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	authtest.Eventually(t, "nginx listens", func() bool {
		_, err := os.Stat(p.folder + "/pid")
		if err != nil && said.String() != "" {
			t.Fatal(said.String())
		}
		return err == nil
	})
}

// look examines a site from outside, as a client with another address than nginx.
func (p *proxies) look(t *testing.T, s site, scheme string, at time.Time) []store.Finding {
	t.Helper()
	ports := map[string]string{proxiedHost + ":443": s.tls, proxiedHost + ":80": s.plain}
	return doctor.ExamineURL(t.Context(), doctor.Target{
		URL: &url.URL{Scheme: scheme, Host: proxiedHost}, Now: func() time.Time { return at },
		User: "ana", Password: goodPassword, RootCAs: p.roots,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}}
			return d.DialContext(ctx, network, ports[address])
		},
	})
}

// wantFinding fails the test unless the check has a finding of this level, with this text.
func wantFinding(t *testing.T, found []store.Finding, id string, level store.Level, text string) {
	t.Helper()
	for _, f := range found {
		if f.ID == id && f.Level == level && strings.Contains(f.Message+". "+f.Cure, text) {
			if (f.Cure == "") != (level == store.LevelOK) {
				t.Errorf("%s is %s with the cure %q", id, level, f.Cure)
			}
			return
		}
	}
	t.Errorf("%s is not %s with %q: %q", id, level, text, about(found, id))
}

// about returns the findings of a check, or all that are bad.
func about(found []store.Finding, id string) (some []store.Finding) {
	for _, f := range found {
		if f.ID == id || id == "" && f.Level != store.LevelOK {
			some = append(some, f)
		}
	}
	if some == nil && id != "" {
		return about(found, "")
	}
	return some
}

// serveBehind starts servers with the admin ana, each with its settings and its own database.
func serveBehind(t *testing.T, settings ...[]string) []*server {
	t.Helper()
	secretIn(t)
	call(t, nil, goodPassword, "user", "add", "ana", "--role", "admin", "--password-stdin").
		want(t, 0, "", "")
	database, err := os.ReadFile("clientes.db")
	authtest.Must(t, err)
	servers := make([]*server, len(settings))
	for i, environ := range settings {
		file := fmt.Sprintf("%d.db", i)
		authtest.Must(t, os.WriteFile(file, database, 0o600))
		servers[i] = begin(t, append(environ, "DATABASE_URL=sqlite:"+file), "serve")
	}
	for _, s := range servers {
		s.wantListening(t)
		s.wantReady(t)
	}
	return servers
}

// TestDoctorThroughNginx looks at real servers through a real proxy: each fault, and the sound
// set-up, which is what the cure of each fault leads to. Most of the faults are for TEST_LONG.
func TestDoctorThroughNginx(t *testing.T) {
	const public, trusted = "PUBLIC_URL=https://" + proxiedHost, "TRUSTED_PROXIES=127.0.0.1"
	settings := [][]string{{public, trusted}, {public}}
	if long() {
		settings = append(settings,
			[]string{public, "TRUSTED_PROXIES=0.0.0.0/0"}, []string{trusted})
	}
	servers := serveBehind(t, settings...)
	sound, untrusted, tooTrusted, plain := servers[0], servers[1], servers[0], servers[0]
	if long() {
		tooTrusted, plain = servers[2], servers[3]
	}

	p := newProxies(t)
	now := time.Now()
	hour, month := now.Add(-time.Hour), now.Add(30*24*time.Hour)
	good := p.certify(t, proxiedHost, hour, month, true)
	const (
		body   = "client_max_body_size 256m;\n"
		host   = "proxy_set_header Host $host;\n"
		proto  = "proxy_set_header X-Forwarded-Proto $scheme;\n"
		adds   = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n"
		all    = body + host + proto + adds
		leads  = "return 308 https://$host$request_uri;"
		closed = "return 444;"
	)
	to := func(s *server, lines string) string {
		return "location / {" + lines + "proxy_pass http://" + s.addr + ";}\n"
	}
	tests := []struct {
		name       string
		tls, plain string
		scheme     string
		at         time.Time
		id         string
		level      store.Level
		want       string
	}{
		{"not trusted", good + to(untrusted, all), leads, "https", now,
			"request-address", store.LevelFail, "add it to TRUSTED_PROXIES"},
		{"no header", good + to(sound, body+host+proto), leads, "https", now,
			"request-address", store.LevelFail, "sends no X-Forwarded-For"},
		{"only X-Real-IP",
			good + to(sound, body+host+"proxy_set_header X-Real-IP $remote_addr;"),
			leads, "https", now,
			"request-address", store.LevelFail, "X-Real-IP, which the server does not read"},
		{"an unreadable header", good + to(sound, body+host+
			"proxy_set_header X-Forwarded-For unknown;"), leads, "https", now,
			"request-address", store.LevelFail, "no address that can be read"},
		{"a second proxy is not trusted", good + to(sound, body+host+proto+
			`proxy_set_header X-Forwarded-For "$remote_addr, 10.9.9.9";`), leads, "https", now,
			"request-address", store.LevelFail, "add it to TRUSTED_PROXIES"},
		{"a second proxy writes its own scheme", good + to(sound, body+host+adds+
			"proxy_set_header X-Forwarded-Proto http;"), leads, "https", now,
			"request-scheme", store.LevelWarn, "pass it on as it came"},
		{"a forged header is passed on", good + to(sound, body+host+proto+
			"proxy_set_header X-Forwarded-For $http_x_forwarded_for;"), leads, "https", now,
			"url-address", store.LevelFail, "took 192.0.2.66 for the address of this client"},
		{"everybody is trusted", good + to(tooTrusted, all), leads, "https", now,
			"url-address", store.LevelFail, "believed a forged X-Forwarded-For"},
		{"clients are trusted", good + to(tooTrusted, all), leads, "https", now,
			"request-address", store.LevelWarn, "which TRUSTED_PROXIES trusts too"},
		{"another Host", good + to(sound, body+proto+adds), leads, "https", now,
			"request-host", store.LevelWarn, "proxy_set_header Host $host"},
		{"no TLS", good + to(sound, all), to(sound, all), "http", now,
			"url-tls", store.LevelFail, "plain http"},
		{"http beside https", good + to(sound, all), to(sound, all), "https", now,
			"url-http", store.LevelFail, "without a redirect"},
		{"PUBLIC_URL is http", good + to(plain, all), leads, "https", now,
			"url-public", store.LevelFail, "set PUBLIC_URL=https://" + proxiedHost},
		{"PUBLIC_URL is http: the scheme", good + to(plain, all), leads, "https", now,
			"request-scheme", store.LevelWarn, "go without Secure"},
		{"PUBLIC_URL is http: the cookie", good + to(plain, all), leads, "https", now,
			"url-cookies", store.LevelFail, "is refused the cookie"},
		{"PUBLIC_URL is http: HSTS", good + to(plain, all), leads, "https", now,
			"url-hsts", store.LevelWarn, "Strict-Transport-Security"},
		{"HSTS is hidden",
			good + to(sound, all+"proxy_hide_header Strict-Transport-Security;"), leads,
			"https", now, "url-hsts", store.LevelWarn, "keep the header"},
		{"a small limit of bodies", good + to(sound, host+proto+adds), leads, "https", now,
			"url-body", store.LevelFail, "client_max_body_size 256m"},
		{"no x-access-token", good + to(sound, all+`proxy_set_header x-access-token "";`), leads,
			"https", now, "url-token", store.LevelFail, "a token in x-access-token does not"},
		{"no x-access-token, and the login", good +
			to(sound, all+`proxy_set_header x-access-token "";`), leads, "https", now,
			"url-address", store.LevelOK, "does not believe"},
		{"no Authorization", good + to(sound, all+`proxy_set_header Authorization "";`), leads,
			"https", now, "url-token", store.LevelFail, "a token in Authorization does not"},
		{"no ETag", good + to(sound, all+"proxy_hide_header ETag;"), leads, "https", now,
			"url-etag", store.LevelFail, "no client can write with If-Match"},
		{"a weak ETag", good + "gzip on; gzip_types application/json;" +
			to(sound, all+`proxy_set_header Accept-Encoding "";`), leads, "https", now,
			"url-etag", store.LevelFail, "leave compressing to the server"},
		{"no If-None-Match", good + to(sound, all+`proxy_set_header If-None-Match "";`), leads,
			"https", now, "url-etag", store.LevelWarn, "If-None-Match does not reach"},
		{"no If-Match and Idempotency-Key", good + to(sound, all+
			`proxy_set_header If-Match ""; proxy_set_header Idempotency-Key "";`), leads, "https", now,
			"url-headers", store.LevelFail, "Idempotency-Key, If-Match did not reach the server"},
		{"no cookies", good + to(sound, all+`proxy_hide_header Set-Cookie;`), leads, "https", now,
			"url-cookies", store.LevelFail, "lost on the way"},
		{"cookies without flags", good + to(sound, all+
			"proxy_cookie_flags ~ nosecure nohttponly nosamesite; proxy_cookie_path / /api;"),
			leads, "https", now,
			"url-cookies", store.LevelFail, "without HttpOnly, Path=/, SameSite=Strict, Secure"},
		{"public metrics",
			good + "location /metrics { return 200 metrics; }" + to(sound, all), leads,
			"https", now, "url-metrics", store.LevelFail, "/metrics"},
		{"no server",
			good + "location / { proxy_pass http://" + free(t) + "; }", leads, "https", now,
			"url", store.LevelFail, "status 502. start the server"},
		{"another program", good + "location / { return 200 hello; }", leads, "https", now,
			"url", store.LevelFail, "no server of clientes"},
		{"a redirect", good + "location / { return 302 https://www.example.test$request_uri; }", leads,
			"https", now, "url-redirect", store.LevelFail, "loses the body"},
		{"a closed door", good + closed, closed, "https", now,
			"url", store.LevelFail, "nobody answers"},
		{"an expired certificate", p.certify(t, proxiedHost, hour.Add(-time.Hour), hour, true) +
			to(sound, all), leads, "https", now, "url", store.LevelFail, "renew the certificate"},
		{"a certificate of another name", p.certify(t, "www.example.test", hour, month, true) +
			to(sound, all), leads, "https", now,
			"url", store.LevelFail, "no client trusts the certificate"},
		{"a certificate of nobody", p.certify(t, proxiedHost, hour, month, false) + to(sound, all),
			leads, "https", now, "url", store.LevelFail, "signed by an authority"},
		{"a certificate that ends soon",
			p.certify(t, proxiedHost, hour, now.Add(100*time.Hour), true) + to(sound, all),
			leads, "https", now, "url-tls", store.LevelWarn, "in 4 days"},
		{"another time", good + to(sound, all), leads, "https", now.Add(time.Minute),
			"url-clock", store.LevelWarn, "NTP"},

		{"http leads to https", good + to(sound, all), leads, "http", now,
			"url-redirect", store.LevelOK, "leads to https"},
	}
	well := p.add(t, good+to(sound, all), leads)
	sites := make([]site, len(tests))
	for i, test := range tests {
		sites[i] = p.add(t, test.tls, test.plain)
	}
	p.start(t)
	always := []string{"not trusted", "a forged header is passed on"}

	cured := p.look(t, well, "https", now)
	if bad := about(cured, ""); bad != nil {
		t.Errorf("the sound set-up has the findings %q", bad)
	}
	seen := make(map[string]bool)
	for i, test := range tests {
		if !long() && !slices.Contains(always, test.name) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			wantFinding(t, p.look(t, sites[i], test.scheme, test.at),
				test.id, test.level, test.want)
		})
		if !seen[test.id] && test.id != "url-redirect" {
			wantFinding(t, cured, test.id, store.LevelOK, "")
		}
		seen[test.id] = true
	}
	for _, f := range cured {
		if long() && strings.HasPrefix(f.ID, "url") && !seen[f.ID] && f.ID != "url-ready" {
			t.Errorf("no fault makes %s find anything", f.ID)
		}
	}
}

// TestDoctorCommand shows what the command prints and what it leaves behind.
func TestDoctorCommand(t *testing.T) {
	t.Run("nothing is there", func(t *testing.T) {
		inFolder(t, nil)
		got := call(t, map[string]string{}, "", "doctor")
		got.want(t, 1, "not where a server runs", "something has to be corrected")
		if strings.Contains(got.stdout, "clientes migrate") {
			t.Errorf("it would have a database made here: %s", got.stdout)
		}
		call(t, map[string]string{"SECRET": goodSecret}, "", "doctor") // 1 setting, in good grammar
		var found []wire.Finding
		wantJSON(t, call(t, nil, "", "doctor", "--json"), 1, &found)
		if files, err := os.ReadDir("."); err != nil || len(files) > 0 {
			t.Errorf("it made %v, %v", files, err)
		}
		authtest.Must(t, os.WriteFile(".env", []byte("LOG_LEVEL=info\n"), 0o600))
		call(t, map[string]string{}, "", "doctor").want(t, 1, "fail  secret",
			"something has to be corrected")
	})
	t.Run("a running server", func(t *testing.T) {
		s := serveBehind(t, nil)[0]
		got := call(t, nil, goodPassword, "doctor", "--json", "--user", "ana", "--password-stdin",
			"http://"+s.addr)
		var found []struct{ ID, Level, Message, Cure string }
		authtest.Must(t, json.Unmarshal([]byte(got.stdout), &found,
			json.RejectUnknownMembers(true), json.MatchCaseInsensitiveNames(true)))
		if got.status != 0 || len(found) < 25 {
			t.Errorf("status %d, %d findings: %s%s", got.status, len(found), got.stdout, got.stderr)
		}
		for _, f := range found {
			if f.Level == "fail" {
				t.Errorf("%q", f)
			}
		}
		got = call(t, nil, "wrong", "doctor", "--user", "ana", "--password-stdin", "http://"+s.addr)
		got.want(t, 1, "invalid_login", "something has to be corrected")
		call(t, nil, "", "doctor", "http://"+s.addr).want(t, 0, "give --user NAME of an admin", "")
	})
	t.Run("wrong usage", func(t *testing.T) {
		inFolder(t, nil)
		for _, args := range []string{
			"doctor a b", "doctor example.com", "doctor https://example.com/api", "doctor ftp://a",
			"doctor https://a:b@example.com", "doctor --user ana",
		} {
			if got := call(t, nil, "", strings.Fields(args)...); got.status != 2 {
				t.Errorf("%s: status %d %s", args, got.status, got.stderr)
			}
		}
	})
}
