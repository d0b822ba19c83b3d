package mail

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

func TestParseServer(t *testing.T) {
	const example = "mail.example.com"
	tests := []struct {
		url   string
		want  Server
		shown string
	}{
		{"smtp://" + example, Server{host: example, port: 587}, "smtp://" + example + ":587"},
		{
			"smtps://" + example + "/", Server{host: example, port: 465, implicitTLS: true},
			"smtps://" + example + ":465",
		},
		{"SMTP://" + example + ":25", Server{host: example, port: 25}, "smtp://" + example + ":25"},
		{"smtp://" + example + ":", Server{host: example, port: 587}, "smtp://" + example + ":587"},
		{
			"smtps://[::1]:2465", Server{host: "::1", port: 2465, implicitTLS: true},
			"smtps://[::1]:2465",
		},
		{
			"smtp://u:hunter2@192.0.2.1",
			Server{host: "192.0.2.1", port: 587, user: "u", password: "hunter2"},
			"smtp://***:***@192.0.2.1:587",
		},
		{
			"smtps://ana%40example.com:p%40%2F%3A%3F%23%25%20%C3%A9@h",
			Server{
				host: "h", port: 465, user: "ana@example.com", password: "p@/:?#% é",
				implicitTLS: true,
			},
			"smtps://***:***@h:465",
		},
		{ // the P3 case
			"smtp://mailpit:1025?tls=none", Server{host: "mailpit", port: 1025, clear: true},
			"smtp://mailpit:1025?tls=none",
		},
		{
			"smtp://[2001:db8::1]/?tls=none", Server{host: "2001:db8::1", port: 587, clear: true},
			"smtp://[2001:db8::1]:587?tls=none",
		},
		{
			"smtp://localhost:1025?tls=none", Server{host: "localhost", port: 1025, clear: true},
			"smtp://localhost:1025?tls=none",
		},
		{
			"smtp://apikey:SG.x_y-z@smtp.sendgrid.net:2525",
			Server{host: "smtp.sendgrid.net", port: 2525, user: "apikey", password: "SG.x_y-z"},
			"smtp://***:***@smtp.sendgrid.net:2525",
		},
		{
			"smtp://ana@gmail.com:hunter2@smtp.gmail.com",
			Server{host: "smtp.gmail.com", port: 587, user: "ana@gmail.com", password: "hunter2"},
			"smtp://***:***@smtp.gmail.com:587",
		},
	}
	for _, password := range []string{"a+b", "a:b", "a@b"} { // accepted unencoded
		tests = append(tests, struct {
			url   string
			want  Server
			shown string
		}{
			"smtp://u:" + password + "@h",
			Server{host: "h", port: 587, user: "u", password: password},
			"smtp://***:***@h:587",
		})
	}
	for _, test := range tests {
		got, err := ParseServer(test.url)
		if err != nil || got != test.want || got.String() != test.shown {
			t.Errorf("%s: %#v, shown as %s; %v", test.url, got, got, err)
		}
	}
}

func TestParseServerRefuses(t *testing.T) {
	const (
		scheme = "it has to begin with smtp:// or smtps://"
		parts  = "percent-encoded"
		host   = "its host has to be"
		port   = "its port has to be"
		pair   = "user and password go together"
		ctrl   = "no control character"
		clear  = "no password goes without TLS"
	)
	tests := []struct{ url, want string }{
		{"", scheme},
		{"smtp:", scheme},
		{"smtp://", scheme},
		{"smtp:/h", scheme},
		{"smtp:u:hunter2@h", scheme},
		{"u:hunter2@h", scheme},
		{"//u:hunter2@h", scheme},
		{"https://u:hunter2@h", scheme},
		{" smtp://u:hunter2@h", scheme},
		{"smtp://u:hunter2@h/inbox", parts},
		{"smtp://u:hunter2@h?tls=no", parts},
		{"smtp://u:hunter2@h?", parts},
		{"smtp://u:hunter2@h#", parts},
		{"smtp://u:hunter2/x@h", parts},
		{"smtp://u:25/hunter2@h", parts},
		{"smtp://u:?hunter2@h", parts},
		{"smtp://u:#hunter2@h", parts},
		{"smtp://u:12#hunter2@h", parts},
		{"smtp://u:hunter2%@h", parts},
		{"smtp://u:hunter2%zz@h", parts},
		{"smtp://u:hunter2 @h", parts},
		{"smtp://u:hunter2\n@h", parts},
		{"smtp://u:hunter2@h:smtp", parts},
		{"smtp://u:hunter2@h:0", port},
		{"smtp://u:hunter2@h:65536", port},
		{"smtp://u:hunter2@", host},
		{"smtp://u:hunter2@:25", host},
		{"smtp://u:hunter2@::1", host},
		{"smtp://u:hunter2@2001:db8::1", host},
		{"smtp://u:hunter2@exämple.com", host},
		{"smtp://hunter2@h", pair},
		{"smtp://u:@h", pair},
		{"smtp://:hunter2@h", pair},
		{"smtp://@h", pair},
		{"smtp://u:hunter2%00@h", ctrl},
		{"smtp://u%0d%0a:hunter2@h", ctrl},
		{"smtp://h:465", "port 465 is for TLS from the first byte: write smtps://"},
		{"smtp://u:hunter2@h:465", "port 465 is for TLS from the first byte: write smtps://"},
		{"smtp://h:465?tls=none", "port 465 is for TLS from the first byte: write smtps://"},
		{"smtps://u:hunter2@h:587", "port 587 is for STARTTLS: write smtp://"},
		{"smtps://h:25", "port 25 is for STARTTLS: write smtp://"},
		{"smtps://h?tls=none", "contradict each other"},
		{"smtp://u:hunter2@h?tls=none", clear},
		{"smtp://u:hunter2@localhost:1025?tls=none", clear},
		{"smtp://h?tls=None", parts},
		{"smtp://h?tls=none&x=1", parts},
		{"smtp://h?x=1?tls=none", parts},
		{"smtp://h?secure=false", parts},
		{"smtp://ana@gmail.com:hunter2", parts + ": @ is %40"},
		{"smtp://ana@gmail.com", pair},
		{"smtp://u:abcd hunter2 ijkl@h", parts},
		{"smtp+tls://u:hunter2@h", scheme},
	}
	for _, test := range tests {
		got, err := ParseServer(test.url)
		if err == nil || !strings.Contains(err.Error(), test.want) || got != (Server{}) {
			t.Errorf("%q: %#v, %v, want %q", test.url, got, err, test.want)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the password is in %q", test.url, err)
		}
	}
}

// TestMayBeClear checks that mail leaves this machine only with TLS, and that a password always
// needs it.
func TestMayBeClear(t *testing.T) {
	for smtpURL, want := range map[string]bool{
		"smtp://localhost":           true,
		"smtp://LOCALHOST:1025":      true,
		"smtp://127.0.0.1":           true,
		"smtp://127.1.2.3":           true,
		"smtp://[::1]":               true,
		"smtp://u:p@localhost":       false,
		"smtp://u:p@127.0.0.1":       false,
		"smtp://192.168.0.1":         false,
		"smtp://0.0.0.0":             false,
		"smtp://localhost.evil.com":  false,
		"smtp://mail.example.com:25": false,
		"smtp://u:p@192.0.2.1":       false,
		"smtp://mailpit:1025":        false,
		"smtp://mailpit?tls=none":    true,
		"smtp://localhost?tls=none":  true,
	} {
		s, err := ParseServer(smtpURL)
		if err != nil || s.mayBeClear() != want {
			t.Errorf("%s: %t, %v", smtpURL, s.mayBeClear(), err)
		}
	}
}

func TestParseFrom(t *testing.T) {
	for in, want := range map[string]string{
		"clientes@example.com":                `<clientes@example.com>`,
		"Clientes <clientes@example.com>":     `"Clientes" <clientes@example.com>`,
		`"Clientes, Ltd." <c@example.com>`:    `"Clientes, Ltd." <c@example.com>`,
		"São João <c@example.com>":            `=?utf-8?q?S=C3=A3o_Jo=C3=A3o?= <c@example.com>`,
		"=?utf-8?q?a=0Ab?= <c@example.com>":   `=?utf-8?q?a=0Ab?= <c@example.com>`,
		"<c@exämple.com>":                     `<c@xn--exmple-cua.com>`,
		"root@localhost":                      `<root@localhost>`,
		"joão@example.com":                    "",
		"clientes":                            "",
		"":                                    "",
		"a@example.com, b@example.com":        "",
		"a@example.com\r\nBcc: b@example.com": "",
		`"a b"@example.com`:                   "",
		"c@-ä.com":                            "",
	} {
		got, err := ParseFrom(in)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %s, %v, want %s", in, &got, err, want)
		}
	}
}

// FuzzParseServer looks for a URL that panics, whose password gets into its text or an error, or
// that means something else when it is written as it was understood.
func FuzzParseServer(f *testing.F) {
	const secret = "hunter2"
	for _, seed := range [][2]string{
		{"smtp://u:", "@mail.example.com:587"}, {"smtps://", ":p@[::1]"},
		{"smtp://u:%40", "%zz@h"}, {"smtp://u:", "/@h"}, {"smtp://u:1/", "@h"}, {"smtp:", ""},
		{"", "://h"}, {"smtp://u:p@h:", "?#"}, {"smtp://u:\x00", "@é"},
		{"smtp://", "?tls=none"}, {"smtp://u:", "@h:465"}, {"smtp://u@h:", "@h:25?tls=none"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		s, err := ParseServer(before + secret + after)
		if err != nil {
			if strings.Contains(err.Error(), secret) || s != (Server{}) {
				t.Fatalf("%v, %#v", err, s)
			}
			return
		}
		inHost := strings.Contains(strings.ToLower(s.host), secret)
		if strings.Contains(s.String(), secret) && !inHost {
			t.Fatalf("shown as %s", s)
		}
		u := url.URL{Scheme: "smtp", Host: s.address()}
		if s.implicitTLS {
			u.Scheme = "smtps"
		}
		if s.user != "" {
			u.User = url.UserPassword(s.user, s.password)
		}
		if s.clear {
			u.RawQuery = strings.TrimPrefix(withoutTLS, "?")
		}
		again, err := ParseServer(u.String())
		if err != nil || again != s {
			t.Fatalf("%#v became %#v by %s: %v", s, again, &u, err)
		}
		if _, _, err := net.SplitHostPort(s.address()); err != nil {
			t.Fatal(err)
		}
	})
}
