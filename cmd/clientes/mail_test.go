package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clientes/auth/authtest"
	"clientes/auth/password"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

// mailServer is where the mail of a server arrives.
type mailServer struct {
	*authtest.MailServer
	roots string // the file with its certificate
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	m := &mailServer{authtest.NewMailServer(t), filepath.Join(t.TempDir(), "roots.pem")}
	authtest.Must(t, os.WriteFile(m.roots, m.Certificate(), 0o600))
	return m
}

// environ returns the settings of a server that sends its mail here.
func (m *mailServer) environ() []string {
	return []string{"SMTP_URL=" + m.URL(), "MAIL_FROM=clientes@example.com",
		"SSL_CERT_FILE=" + m.roots}
}

// wait waits for n mails and returns them.
func (m *mailServer) wait(t *testing.T, n int) (mails []string) {
	t.Helper()
	authtest.Eventually(t, fmt.Sprintf("there are %d mails", n), func() bool {
		mails = m.Mails()
		return len(mails) >= n
	})
	return mails
}

// post sends JSON and returns the status.
func (s *server) post(t *testing.T, path, body string) int {
	t.Helper()
	resp, err := http.Post(s.url(path), "application/json", strings.NewReader(body))
	authtest.Must(t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

// The server sends what a command left in the queue, and what a request puts there.
func TestServeSendsMail(t *testing.T) {
	t.Parallel()
	settings := settingsOfOwn(t)
	vars := varsOf(settings)
	m := newMailServer(t)
	call(t, vars, goodPassword, "user", "add", "ana", "--email", "ana@example.com",
		"--password-stdin").want(t, 0, "", "")
	call(t, vars, "another "+goodPassword, "user", "passwd", "ana", "--password-stdin").
		want(t, 0, "", "")
	settings = append(settings, "PUBLIC_URL=https://api.example.com")
	s := launch(t, append(settings, m.environ()...), "serve")
	m.wait(t, 1)
	if status := s.post(t, "/password/forgot", `{"user":"ana"}`); status != 202 {
		t.Errorf("status %d", status)
	}
	mails := strings.Join(m.wait(t, 2), "\n")
	if strings.Count(mails, "To: ana@example.com\n") != 2 ||
		!strings.Contains(mails, "Subject: Your password was changed") {
		t.Errorf("%s", mails)
	}
	token := regexp.MustCompile(`https://api\.example\.com/app/#reset=3D([A-Za-z0-9._-]+)`).
		FindStringSubmatch(mails)
	if token == nil {
		t.Fatalf("no link in %s", mails)
	}
	const newPassword = "yet another " + goodPassword
	reset := `{"token":"` + token[1] + `","password":"` + newPassword + `"}`
	for _, want := range []int{200, 422} {
		if status := s.post(t, "/password/reset", reset); status != want {
			t.Errorf("status %d, want %d", status, want)
		}
	}
	login := `{"user":"ana","password":"` + newPassword + `"}`
	if status := s.post(t, "/login", login); status != 200 {
		t.Errorf("status %d", status)
	}
	m.wait(t, 3) // it was changed again
	s.signal(t)
	status, log := s.wait(), s.stderr.String()
	if status != 0 || strings.Contains(log, "letmein") || strings.Contains(log, token[1]) {
		t.Errorf("status %d, log %s", status, log)
	}
}

// Without a mail server, mail goes to the log, but only if no other machine can reach the server.
// If strangers may sign up, who could then get no mail, the log has a warning.
func TestServeWithoutAMailServer(t *testing.T) {
	const (
		warning = "SIGNUP is open, but SMTP_URL is not set"
		link    = "/app/#reset="
		notSent = "a mail was not sent: SMTP_URL is not set"
		later   = "a mail could not be sent; trying again later"
	)
	others := children(t, os.Getpid())
	t.Run("all at once", func(t *testing.T) {
		for name, test := range map[string]withoutMail{
			"loopback": {
				says: []string{link}, saysNone: []string{warning, notSent},
			},
			"loopback, open": {
				vars: map[string]string{"SIGNUP": "open"},
				says: []string{warning, link}, saysNone: []string{notSent},
			},
			"everywhere": {
				vars: map[string]string{"HOST": "0.0.0.0"},
				says: []string{notSent}, saysNone: []string{warning, link, "ana@"},
			},
			"everywhere, open": {
				vars: map[string]string{"SIGNUP": "open", "HOST": "0.0.0.0"},
				says: []string{warning, notSent}, saysNone: []string{link, "ana@"},
			},
			"open, with a server": {
				vars: map[string]string{
					"SIGNUP": "open", "SMTP_URL": "smtp://127.0.0.1:1",
					"MAIL_FROM": "c@example.com",
				},
				says: []string{later}, saysNone: []string{warning, link, "ana@"},
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test.run(t)
			})
		}
	})
	if left := children(t, os.Getpid()); len(left) > len(others) {
		t.Errorf("a server has left a process: %v, before them %v", left, others)
	}
}

// withoutMail is a server without a mail server that it can reach.
type withoutMail struct {
	vars           map[string]string
	says, saysNone []string // in its log
}

func (c withoutMail) run(t *testing.T) {
	t.Helper()
	vars := varsOf(append(settingsOfOwn(t), "PORT=0"))
	call(t, vars, goodPassword, "user", "add", "ana", "--email", "ana@example.com",
		"--password-stdin").want(t, 0, "", "")
	maps.Copy(vars, c.vars)
	settings, err := config.Load(environment(vars), "SECRET")
	authtest.Must(t, err)
	_, st, err := openMigrated(t.Context(), settings.DatabaseURL, tellTo(t.Output()),
		store.Options{})
	authtest.Must(t, err)
	defer st.Close()
	listener, err := listen(t.Context(), settings)
	authtest.Must(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	authtest.Must(t, err)
	out := new(authtest.Log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log := slog.New(slog.NewTextHandler(out, nil))
	hashing, err := password.StartProcess(hashPasswords, log)
	authtest.Must(t, err)
	defer hashing.Close()
	go func() { ended <- serve(ctx, settings, st, hashing, listener, nil, log) }()
	s := &server{addr: "127.0.0.1:" + port}
	if status := s.post(t, "/password/forgot", `{"user":"ana"}`); status != 202 {
		t.Errorf("status %d", status)
	}
	want := 403
	if c.vars["SIGNUP"] == "open" {
		want = 201
	}
	signup := `{"user":"bia","password":"` + goodPassword + `"}`
	if status := s.post(t, "/signup", signup); status != want {
		t.Errorf("status %d of a sign-up, want %d", status, want)
	}
	for _, text := range c.says {
		authtest.Eventually(t, "it says "+text, func() bool {
			return strings.Contains(out.String(), text)
		})
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, text := range c.saysNone {
		if strings.Contains(out.String(), text) {
			t.Errorf("it says %q:\n%s", text, out.String())
		}
	}
}
