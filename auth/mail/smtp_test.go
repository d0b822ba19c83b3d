package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

func reset(to string) Message {
	return Message{Kind: Reset, To: to, User: "ana", Token: "t0ken.1_-", ValidFor: 30 * time.Minute}
}

func TestSend(t *testing.T) {
	tests := []struct {
		name     string
		office   *office
		withUser bool
	}{
		{"STARTTLS and PLAIN", &office{mechanisms: []string{"PLAIN"}}, true},
		{"STARTTLS and LOGIN", &office{mechanisms: []string{"LOGIN"}}, true},
		{"implicit TLS", &office{implicitTLS: true}, false},
		{"implicit TLS and PLAIN", &office{implicitTLS: true, mechanisms: []string{"PLAIN"}}, true},
		{"implicit TLS and LOGIN", &office{implicitTLS: true, mechanisms: []string{"LOGIN"}}, true},
		{"a relay on this machine", &office{noTLS: true}, false},
		{
			"a relay on this machine whose certificate nobody knows",
			&office{certificate: certificate(t, "192.0.2.1")},
			false,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.office.open(t)
			s := test.office.sender(t, test.withUser)
			if err := s.Send(t.Context(), reset("bruno@example.com")); err != nil {
				t.Fatal(err)
			}
			got := test.office.deliveries()
			want := delivery{
				helo: "example.com",
				from: "clientes@example.com",
				to:   "bruno@example.com",
				tls:  test.withUser || test.office.implicitTLS,
			}
			if test.withUser {
				want.user = user
			}
			if len(got) != 1 {
				t.Fatalf("%d mails", len(got))
			}
			text := got[0].text
			got[0].text = nil
			if !sameDelivery(got[0], want) {
				t.Errorf("got %+v, want %+v", got[0], want)
			}
			if !bytes.Contains(text, []byte("Subject: Choose a new password\r\n")) {
				t.Errorf("%s", text)
			}
		})
	}
}

func sameDelivery(a, b delivery) bool {
	return a.helo == b.helo && a.user == b.user && a.from == b.from && a.to == b.to &&
		a.tls == b.tls && a.utf8 == b.utf8
}

// parsed is a mail as a mail program sees it.
type parsed struct {
	header     netmail.Header
	text, html string
}

func parse(t *testing.T, raw []byte) parsed {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	p := parsed{header: m.Header}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []struct {
		kind string
		into *string
	}{{"text/plain; charset=UTF-8", &p.text}, {"text/html; charset=UTF-8", &p.html}} {
		part, err := parts.NextPart() // undoes quoted-printable
		if err != nil || part.Header.Get("Content-Type") != want.kind {
			t.Fatalf("%v, %v, want %s", part, err, want.kind)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		*want.into = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Fatalf("a third part, or %v", err)
	}
	return p
}

// deliver sends m by a relay on this machine and returns what arrived.
func deliver(t *testing.T, m Message) parsed {
	t.Helper()
	o := &office{noTLS: true}
	o.open(t)
	if err := o.sender(t, false).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return parse(t, o.deliveries()[0].text)
}

// wantHeaders are all headers of a mail: none describes this machine or the program.
var wantHeaders = []string{
	"Auto-Submitted",
	"Content-Type",
	"Date",
	"From",
	"Message-Id",
	"Mime-Version",
	"Subject",
	"To",
}

func TestHeaders(t *testing.T) {
	got := deliver(t, reset("bruno@example.com"))
	for name, want := range map[string]string{
		"From":           `=?utf-8?q?S=C3=A3o_Jo=C3=A3o?= <clientes@example.com>`,
		"To":             `<bruno@example.com>`,
		"Subject":        `Choose a new password`,
		"Date":           `Sun, 22 Nov 2026 18:00:00 +0000`,
		"Auto-Submitted": `auto-generated`,
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %s, want %s", name, got.header.Get(name), want)
		}
	}
	id := got.header.Get("Message-Id")
	if !regexp.MustCompile(`^<[A-Z2-7]{26}@example\.com>$`).MatchString(id) {
		t.Errorf("Message-ID %s", id)
	}
	if names := headerNames(got); !slices.Equal(names, wantHeaders) {
		t.Errorf("headers %q", names)
	}
}

func headerNames(p parsed) []string {
	var names []string
	for name := range p.header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestTextsOfUsersStayText checks that a text of a user's adds no header, no recipient, no
// paragraph and no link.
func TestTextsOfUsersStayText(t *testing.T) {
	for _, hostile := range []string{
		"x\r\nBcc: eve@example.com\r\n\r\n<b>hello</b>",
		"x\n\nhttps://api.example.com/app/#reset=stolen\n\n",
		"x\r\n.\r\nMAIL FROM:<eve@example.com>\r\n",
		`"><img src=//evil.example/a.png><script>alert(1)</script>`,
		"{{.Link}} {{html .}} &lt;b&gt;",
		"\u202egnp.exe \u2028 \x00 \x1b[31m \xff",
		strings.Repeat("é", 20_000),
	} {
		for _, m := range []Message{
			{
				Kind: NewNetwork, To: "ana@example.com",
				User: hostile, IP: hostile, UserAgent: hostile,
			},
			{Kind: Reset, To: "ana@example.com", User: hostile, Token: "t"},
			{Kind: Reset, To: "ana@example.com", User: "ana", Token: hostile},
			{Kind: Confirm, To: "ana@example.com", User: hostile, Token: "t"},
		} {
			plain := m
			plain.User, plain.IP, plain.UserAgent = "ana", "ip", "agent"
			if m.Token != "" {
				plain.Token = "t"
			}
			got, want := deliver(t, m), deliver(t, plain)
			if names := headerNames(got); !slices.Equal(names, wantHeaders) ||
				got.header.Get("Subject") != want.header.Get("Subject") {
				t.Errorf("%.40q: headers %q, subject %q", hostile, names, got.header.Get("Subject"))
			}
			if a, b := tags(got.html), tags(want.html); !slices.Equal(a, b) {
				t.Errorf("%.40q: tags %q, want %q", hostile, a, b)
			}
			if a, b := strings.Count(got.text, "\n\n"), strings.Count(want.text, "\n\n"); a != b {
				t.Errorf("%.40q: %d paragraphs, want %d:\n%s", hostile, a, b, got.text)
			}
			if strings.ContainsAny(got.text, "\x00\x1b\u202e\u2028\r") ||
				m.Token == "t" && len(got.text) > 2000 {
				t.Errorf("%.40q: %.2000q", hostile, got.text)
			}
		}
	}
}

// TestTheNameOfAProgramIsNoLink is for thieves of a password, who may choose any name for the
// program of a login.
func TestTheNameOfAProgramIsNoLink(t *testing.T) {
	m := whole(NewNetwork)
	m.UserAgent = "call https://evil.example/ or help@evil.example"
	const want = "\n\nProgram: call https: //evil. example/ or help@evil. example\n\n"
	if got := deliver(t, m); !strings.Contains(got.text, want) {
		t.Errorf("%s", got.text)
	}
}

// tags returns the names of the elements of a page, in their order.
func tags(html string) []string {
	var names []string
	for _, m := range regexp.MustCompile(`<([^\s>]+)`).FindAllStringSubmatch(html, -1) {
		names = append(names, m[1])
	}
	return names
}

func TestAddresses(t *testing.T) {
	const ascii, international = "bruno@example.com", "joão@exämple.com"
	tests := []struct {
		to       string
		able     bool   // whether the server takes SMTPUTF8
		want     string // the recipient; "" if it is undeliverable
		wantUTF8 bool
	}{
		{ascii, false, ascii, false},
		{ascii, true, ascii, false},
		{"ana@exämple.com", false, "ana@xn--exmple-cua.com", false},
		{"ana@exämple.com", true, "ana@xn--exmple-cua.com", false},
		{"ana@[192.0.2.1]", false, "ana@[192.0.2.1]", false},
		{international, true, "joão@xn--exmple-cua.com", true},
		{international, false, "", false},
		{"", true, "", false},
		{"bruno", true, "", false},
		{"bruno@", true, "", false},
		{"bruno@-ä.com", true, "", false},
		{"Bruno <bruno@example.com>", true, "", false},
		{"<bruno@example.com>", true, "", false},
		{"bruno@example.com, eve@example.com", true, "", false},
		{"bruno@example.com>\r\nRCPT TO:<eve@example.com", true, "", false},
		{"bruno@example.com\r\nBcc: eve@example.com", true, "", false},
		{"br\u0085uno@example.com", true, "", false},
		{`"bruno lima"@example.com`, true, "", false},
		{`"a>b"@example.com`, true, "", false},
	}
	for _, test := range tests {
		o := &office{noTLS: true, utf8: test.able}
		o.open(t)
		err := o.sender(t, false).Send(t.Context(), reset(test.to))
		got := o.deliveries()
		if test.want == "" {
			if !errors.Is(err, ErrUndeliverable) || len(got) != 0 {
				t.Errorf("%q: %v, %+v", test.to, err, got)
			}
			continue
		}
		if err != nil || len(got) != 1 || got[0].to != test.want || got[0].utf8 != test.wantUTF8 {
			t.Errorf("%q: %v, %+v", test.to, err, got)
			continue
		}
		if to := parse(t, got[0].text).header.Get("To"); to != "<"+test.want+">" {
			t.Errorf("%q: To: %s", test.to, to)
		}
	}
}

// TestRefusals tells what will never arrive from what may be fixed meanwhile.
func TestRefusals(t *testing.T) {
	reply := func(code int) func() error {
		return func() error { return &smtp.SMTPError{Code: code, Message: "because"} }
	}
	tests := []struct {
		name          string
		office        *office
		undeliverable bool
		want          string
	}{
		{"the recipient is unknown", &office{rcpt: reply(550)}, true, "550 .*because"},
		{"the recipient is busy", &office{rcpt: reply(450)}, false, "450 .*because"},
		{"the text is refused", &office{data: reply(554)}, true, "554 .*because"},
		{"the disk is full", &office{data: reply(452)}, false, "452 .*because"},
		{"it shuts down", &office{rcpt: reply(421)}, false, "421 .*because"},
		{"the sender is refused", &office{mail: reply(550)}, false, "550 .*because"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.office.mechanisms = []string{"PLAIN"}
			test.office.open(t)
			err := test.office.sender(t, true).Send(t.Context(), reset("bruno@example.com"))
			if errors.Is(err, ErrUndeliverable) != test.undeliverable ||
				!regexp.MustCompile(test.want).MatchString(err.Error()) ||
				strings.Contains(err.Error(), password) || len(test.office.deliveries()) != 0 {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestMailWithoutTLS sends to a server without TLS at an address that is not a loopback one, as
// Mailpit is in a network of containers. The P3 case.
func TestMailWithoutTLS(t *testing.T) {
	o := &office{noTLS: true}
	o.open(t)
	_, port, err := net.SplitHostPort(o.addr)
	if err != nil {
		t.Fatal(err)
	}
	for smtpURL, want := range map[string]string{
		"smtp://0.0.0.0:" + port:               "put ?tls=none behind it",
		"smtps://0.0.0.0:" + port:              "smtp:// in SMTP_URL is for STARTTLS",
		"smtp://u:p@127.0.0.1:" + port:         "behind it, without user and password",
		"smtp://0.0.0.0:" + port + "?tls=none": "",
	} {
		before := len(o.deliveries())
		err := sender(t, smtpURL).Send(t.Context(), reset("bruno@example.com"))
		sent := len(o.deliveries()) - before
		if want == "" && (err != nil || sent != 1) {
			t.Errorf("%s: %v, %d mails", smtpURL, err, sent)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want) || sent != 0) {
			t.Errorf("%s: %v, %d mails, want %q", smtpURL, err, sent, want)
		}
	}
}

// TestServersThatAreNotTrusted checks that nothing is sent to a server that may be the wrong one,
// and that no server gets the password in clear.
func TestServersThatAreNotTrusted(t *testing.T) {
	stranger := certificate(t, "127.0.0.1")
	elsewhere := certificate(t, "192.0.2.1")
	tests := []struct {
		name   string
		office *office
		trust  tls.Certificate
		want   string
	}{
		{"STARTTLS with an unknown certificate", &office{}, stranger, "SSL_CERT_FILE names a file"},
		{"TLS with an unknown certificate", &office{implicitTLS: true}, stranger,
			"SSL_CERT_FILE names a file"},
		{
			"STARTTLS with another's certificate",
			&office{certificate: elsewhere},
			elsewhere,
			"certificate is for another name",
		},
		{
			"TLS with another's certificate",
			&office{implicitTLS: true, certificate: elsewhere},
			elsewhere,
			"certificate is for another name",
		},
		{"no STARTTLS", &office{noTLS: true}, stranger, "does not offer STARTTLS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.office.mechanisms = []string{"PLAIN", "LOGIN"}
			test.office.open(t)
			s := test.office.sender(t, true)
			s.cfg.RootCAs = x509.NewCertPool()
			s.cfg.RootCAs.AddCert(test.trust.Leaf)
			err := s.Send(t.Context(), reset("bruno@example.com"))
			if err == nil || errors.Is(err, ErrUndeliverable) ||
				!strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			taken, refused := test.office.deliveries(), test.office.refused()
			if len(taken)+len(refused) > 0 {
				t.Errorf("it got %+v, %q", taken, refused)
			}
		})
	}
}

func TestAWrongPasswordIsNotUndeliverable(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		o := &office{mechanisms: []string{mechanism}}
		o.open(t)
		s := o.sender(t, true)
		s.cfg.Server.password = "wrong-password"
		err := s.Send(t.Context(), reset("bruno@example.com"))
		if err == nil || errors.Is(err, ErrUndeliverable) ||
			strings.Contains(err.Error(), "wrong-password") ||
			!strings.Contains(err.Error(), "refuses the user or the password in SMTP_URL") {
			t.Errorf("%v", err)
		}
		if got := o.refused(); !slices.Equal(got, []string{user + ":wrong-password"}) {
			t.Errorf("tried %q", got)
		}
	}
	o := &office{}
	o.open(t)
	if err := o.sender(t, true).
		Send(t.Context(), reset("bruno@example.com")); err == nil || len(o.deliveries()) > 0 {
		t.Errorf("a server that asks for no password gets mail that was to go with one: %v", err)
	}
}

func TestAServerThatIsAwayForAWhile(t *testing.T) {
	o := &office{mechanisms: []string{"PLAIN"}}
	o.open(t)
	s := o.sender(t, true)
	if err := s.Send(t.Context(), reset("1@example.com")); err != nil {
		t.Fatal(err)
	}
	o.server.Close()
	if err := s.Send(t.Context(), reset("2@example.com")); err == nil ||
		errors.Is(err, ErrUndeliverable) {
		t.Fatalf("sent to nobody: %v", err)
	}
	o.open(t)
	if err := s.Send(t.Context(), reset("2@example.com")); err != nil {
		t.Fatal(err)
	}
	if got := o.deliveries(); len(got) != 2 || got[1].to != "2@example.com" {
		t.Errorf("%+v", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	o := &office{mechanisms: []string{"PLAIN"}}
	o.open(t)
	s := o.sender(t, true)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := s.Send(t.Context(), reset("bruno@example.com")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	ids := make(map[string]bool)
	for _, d := range o.deliveries() {
		ids[parse(t, d.text).header.Get("Message-Id")] = true
	}
	if len(ids) != 8 {
		t.Errorf("%d different mails", len(ids))
	}
}

// TestTheContextEndsASending lets the server stop answering at every step.
func TestTheContextEndsASending(t *testing.T) {
	for _, at := range []string{"mail", "rcpt", "data"} {
		t.Run(at, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			hang := func() error {
				cancel()
				<-t.Context().Done() // until the test is over
				return nil
			}
			o := &office{}
			*map[string]*func() error{"mail": &o.mail, "rcpt": &o.rcpt, "data": &o.data}[at] = hang
			o.open(t)
			err := o.sender(t, false).Send(ctx, reset("bruno@example.com"))
			if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUndeliverable) {
				t.Errorf("%v", err)
			}
		})
	}
}

// scripted starts an SMTP server that sends one line after the other, each except the first after a
// line of the client's. Then it is silent. hungUp is closed when the client has hung up.
func scripted(t *testing.T, replies ...string) (addr string, hungUp <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	gone := make(chan struct{})
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer close(gone)
		defer conn.Close()
		lines := bufio.NewScanner(conn)
		for i, reply := range replies {
			if i > 0 && !lines.Scan() {
				return
			}
			inData := i > 0 && strings.HasPrefix(replies[i-1], "354")
			for inData && lines.Text() != "." && lines.Scan() {
			}
			_, _ = io.WriteString(conn, reply+"\r\n")
		}
		for lines.Scan() {
		}
	}()
	return listener.Addr().String(), gone
}

func TestTheTimeoutEndsASending(t *testing.T) {
	for name, replies := range map[string][]string{
		"silent from the start": nil,
		"silent after EHLO":     {"220 hello", "250 hello", "250 yes"},
		"silent after the text": {"220 hello", "250 hello", "250 yes", "250 yes", "354 go on"},
	} {
		for _, scheme := range []string{"smtp://", "smtps://"} {
			addr, hungUp := scripted(t, replies...)
			s := sender(t, scheme+addr)
			s.cfg.Timeout = time.Second
			err := s.Send(t.Context(), reset("bruno@example.com"))
			if err == nil {
				t.Fatalf("%s, %s: sent", name, scheme)
			}
			// The connection's deadline may come before the context's, and go-mail hides its error.
			timedOut := errors.Is(err, context.DeadlineExceeded) ||
				strings.Contains(err.Error(), "i/o timeout")
			// A client that expects TLS fails at once at a greeting in clear.
			if !timedOut && (scheme == "smtp://" || replies == nil) ||
				errors.Is(err, ErrUndeliverable) {
				t.Errorf("%s, %s: %v", name, scheme, err)
			}
			if scheme == "smtp://" &&
				strings.Contains(err.Error(), "begins with smtps://") != (replies == nil) {
				t.Errorf("%s, %s: %v", name, scheme, err)
			}
			<-hungUp
		}
	}
}

// TestTheConnectionIsClosed checks that no connection stays open, whatever goes wrong, and that a
// mail which the server has accepted counts as sent, whatever follows.
func TestTheConnectionIsClosed(t *testing.T) {
	accepted := []string{"220 hello", "250 hello", "250 yes", "250 yes", "354 go on", "250 taken"}
	for name, test := range map[string]struct {
		replies []string
		sent    bool
	}{
		"it does not want to talk":       {[]string{"554 go away"}, false},
		"it does not know EHLO nor HELO": {[]string{"220 hello", "502 what", "502 what"}, false},
		"it speaks something else":       {[]string{"+OK POP3 ready"}, false},
		"it refuses the sender": {
			[]string{"220 hello", "250 hello", "550 no", "250 reset", "221 bye"}, false,
		},
		"it refuses QUIT":                   {append(accepted[:6:6], "500 no"), true},
		"it says goodbye":                   {append(accepted[:6:6], "221 bye"), true},
		"it is silent when it has the mail": {accepted, true},
	} {
		addr, hungUp := scripted(t, test.replies...)
		s := sender(t, "smtp://"+addr)
		if name == "it is silent when it has the mail" {
			s.cfg.Timeout = time.Second
		}
		err := s.Send(t.Context(), reset("bruno@example.com"))
		if (err == nil) != test.sent || errors.Is(err, ErrUndeliverable) {
			t.Errorf("%s: %v", name, err)
		}
		<-hungUp
	}
}
