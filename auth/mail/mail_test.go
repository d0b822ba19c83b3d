package mail

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func kinds() []Kind {
	return []Kind{
		Reset, Invitation, Confirm, PasswordChanged, EmailChanged, NewNetwork,
		HalfLogin, MFAOn, MFAOff, MFATakenAway, RecoveryUsed, RecoveryRenewed, RoleChanged,
		DevicesCancelled, NewAdmin,
	}
}

// whole returns a message of a kind with everything that it may need.
func whole(kind Kind) Message {
	m := Message{
		Kind:      kind,
		To:        "ana@example.com",
		User:      "ana-123",
		ValidFor:  72 * time.Hour,
		At:        time.Date(2026, 11, 22, 15, 4, 5, 0, time.FixedZone("", -3*3600)),
		IP:        "2001:db8::1",
		UserAgent: "Firefox/128.0 (Linux)",
		Detail:    "the detail",
		By:        "bia",
	}
	if kind.fragment() != "" {
		m.Token = "t0ken.1_-"
	}
	return m
}

func TestWords(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			got := deliver(t, whole(kind))
			subject := got.header.Get("Subject")
			if subject == "" || len(subject) > 60 || strings.ContainsAny(subject, "<{") {
				t.Errorf("subject %q", subject)
			}
			const app, at = "https://api.example.com/app/", "22 November 2026, 18:04 UTC"
			want := map[Kind][]string{
				Reset:           {"ana-123", app + "#reset=t0ken.1_-\n", "72 hours", "once"},
				Invitation:      {"ana-123", app + "#invite=t0ken.1_-\n", "72 hours", "once"},
				Confirm:         {app + "#confirm=t0ken.1_-\n", "72 hours"},
				PasswordChanged: {"ana-123", at, app},
				EmailChanged:    {"ana-123", at, app},
				NewNetwork: {
					"ana-123", "Time: " + at + "\n", "Address: 2001:db8::1\n",
					"Program: Firefox/128.0 (Linux)\n", app,
				},
				HalfLogin: {
					"ana-123", "Time: " + at + "\n", "Address: 2001:db8::1\n",
					"Program: Firefox/128.0 (Linux)\n", app,
				},
				MFAOn:            {"ana-123", at},
				MFAOff:           {"ana-123", at, app},
				MFATakenAway:     {"ana-123", at, app},
				RecoveryUsed:     {"ana-123", at, "the detail", app},
				RecoveryRenewed:  {"ana-123", at, app},
				RoleChanged:      {"ana-123", at, "the detail"},
				DevicesCancelled: {"ana-123", at, app},
				NewAdmin:         {at, "\n\nthe detail\n\nMade by: bia\n", app},
			}[kind]
			want = append(want, "api.example.com", "\n\nIf ")
			for _, text := range want {
				if !strings.Contains(got.text, text) {
					t.Errorf("it does not say %q:\n%s", text, got.text)
				}
			}
			if strings.Contains(got.text, "<no value>") || strings.Contains(got.text, "unknown") {
				t.Errorf("something is missing:\n%s", got.text)
			}
			for line := range strings.Lines(got.text) {
				if len(line) > 90 {
					t.Errorf("a long line: %s", line)
				}
			}
			// A stranger may have it sent to anybody, so it must not contain what they chose.
			if kind == Confirm && strings.Contains(got.text, "ana") {
				t.Errorf("it names the account:\n%s", got.text)
			}
		})
	}
}

// TestHTML checks that the HTML has the words of the text, loads nothing, and leads only to the
// link.
func TestHTML(t *testing.T) {
	for _, kind := range kinds() {
		got := deliver(t, whole(kind))
		_, body, _ := strings.Cut(got.html, "<body>")
		words := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, "\n")
		words = strings.NewReplacer("&#34;", `"`, "&#43;", "+").Replace(words)
		if a, b := strings.Fields(words), strings.Fields(got.text); !slices.Equal(a, b) {
			t.Errorf("%s: the HTML says\n%q\nand the text\n%q", kind, a, b)
		}
		var links []string
		loads := regexp.MustCompile(`(?i)(?:href|src|url|action|style|on\w+)\s*=\s*"([^"]*)"`)
		for _, m := range loads.FindAllStringSubmatch(got.html, -1) {
			links = append(links, m[1])
		}
		want := map[Kind]string{
			Reset:      "https://api.example.com/app/#reset=t0ken.1_-",
			Invitation: "https://api.example.com/app/#invite=t0ken.1_-",
			Confirm:    "https://api.example.com/app/#confirm=t0ken.1_-",
		}[kind]
		if strings.Join(links, " ") != want {
			t.Errorf("%s: links %q, want %q", kind, links, want)
		}
		elements := strings.Fields("!DOCTYPE html head meta title body p a")
		for _, tag := range tags(got.html) {
			if !slices.Contains(elements, strings.TrimPrefix(tag, "/")) {
				t.Errorf("%s: an element %s", kind, tag)
			}
		}
	}
}

func TestMessagesThatCannotBeWritten(t *testing.T) {
	missing, needless := whole(Reset), whole(NewNetwork)
	missing.Token, needless.Token = "", "t"
	for _, m := range []Message{
		{Kind: "spam", To: "ana@example.com"}, {To: "ana@example.com"}, missing, needless,
	} {
		err := sender(t, "smtp://127.0.0.1:1").Send(t.Context(), m)
		if !errors.Is(err, ErrUndeliverable) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestLine(t *testing.T) {
	const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	for in, want := range map[string]string{
		firefox:                           firefox,
		"okhttp/4.9.1":                    "okhttp/4.9.1",
		"":                                "unknown",
		" \t\r\n\u2028":                   "unknown",
		"a\r\n\r\nb\x00\u202ec":           "a b c",
		"visit https://evil.example/x":    "visit https: //evil. example/x",
		"www.evil.example or e@evil.test": "www. evil. example or e@evil. test",
		"ação.рф":                         "ação. рф",
		"at 192.0.2.1/login":              "at 192.0.2. 1/login",
		"evil。com":                        "evil。 com",
		"at 192.0.2.1:8080/login":         "at 192.0.2. 1:8080/login",
		strings.Repeat("é", 201):          strings.Repeat("é", 200) + "…",
	} {
		if got := unlinked(line(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for in, want := range map[time.Duration]string{
		30 * time.Minute: "30 minutes",
		time.Hour:        "60 minutes",
		2 * time.Hour:    "2 hours",
		72 * time.Hour:   "72 hours",
	} {
		if got := span(in); got != want {
			t.Errorf("%s is %q, want %q", in, got, want)
		}
	}
}

// TestLog checks that without a server a developer finds the link in the log, and that no other log
// has anything of a mail.
func TestLog(t *testing.T) {
	for _, shown := range []bool{true, false} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		l := NewLog(log, &url.URL{Scheme: "http", Host: "127.0.0.1:3000"}, shown)
		for _, kind := range kinds() {
			out.Reset()
			if err := l.Send(context.Background(), whole(kind)); err != nil {
				t.Fatal(err)
			}
			got := out.String()
			if strings.Count(got, "\n") != 1 || !strings.Contains(got, "kind="+string(kind)+" ") &&
				!strings.Contains(got, "kind="+string(kind)+"\n") {
				t.Errorf("%s", got)
			}
			for _, private := range []string{
				"ana", "example", "127.0.0.1", "#", "2001", "Firefox",
			} {
				if !shown && strings.Contains(got, private) {
					t.Errorf("%s is in %s", private, got)
				}
			}
			whole := strings.Contains(got, "level=INFO") &&
				strings.Contains(got, "to=ana@example.com") &&
				strings.Contains(got, "If it was not you")
			if shown && !whole && kind != Invitation {
				t.Errorf("%s", got)
			}
			if link := `link="http://127.0.0.1:3000/app/#reset=t0ken.1_-"`; shown &&
				kind == Reset && !strings.Contains(got, link) {
				t.Errorf("%s does not hold %s", got, link)
			}
			if !shown && !strings.Contains(got, "level=WARN") {
				t.Errorf("%s", got)
			}
		}
		if err := l.Send(context.Background(), Message{Kind: "spam"}); (err != nil) != shown {
			t.Errorf("%v", err)
		}
	}
}
