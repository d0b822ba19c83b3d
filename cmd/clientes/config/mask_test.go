package config

import (
	"fmt"
	"strings"
	"testing"
)

// The rules are tested beside each engine.
func TestThePasswordOfADatabaseIsNotShown(t *testing.T) {
	for url, want := range map[string]string{
		"sqlite:clientes.db":           "sqlite:clientes.db",
		"postgres://u:hunter2@h/d":     "postgres://u:***@h/d",
		"sqlite:u:hunter2@h/d":         "(hidden)",
		"mysql://u:hunter2@h/d":        "(hidden)",
		"postgres//u:hunter2@h/d":      "(hidden)",
		"host=h user=u password=hunt2": "(hidden)",
	} {
		if got := maskDatabaseURL(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
		if err := CheckDatabaseURL(url); err != nil && strings.Contains(err.Error(), "hunt") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// The password of the mail server is neither shown nor repeated, nor is the user, which some
// services have as a secret.
func TestThePasswordOfAMailServerIsNotShown(t *testing.T) {
	inFolder(t, nil)
	for smtpURL, shown := range map[string]string{
		"smtp://localhost:1025":           "smtp://localhost:1025",
		"smtps://hunter2:hunter2@h":       "smtps://***:***@h:465",
		"smtp://u:hunter2%40@h:25/":       "smtp://***:***@h:25",
		"smtp://u:hunt@er2@h":             "smtp://***:***@h:587",
		"smtp://u:hunter2/x@h":            "(hidden)",
		"smtp://u:12/hunter2@h":           "(hidden)",
		"smtp://u:hunter2@h:port":         "(hidden)",
		"smtp://u:hunter2%zz@h":           "(hidden)",
		"smtp://u:hunter2\x00@h":          "(hidden)",
		"smtp//u:hunter2@h":               "(hidden)",
		"https://u:hunter2@h":             "(hidden)",
		"smtp://hunter2@mail.example.com": "(hidden)",
	} {
		vars := map[string]string{"SMTP_URL": smtpURL, "MAIL_FROM": "c@example.com"}
		c, err := Load(environment(vars))
		if got := c.shown(setting{name: "SMTP_URL"}); got != shown {
			t.Errorf("%s is shown as %s, want %s", smtpURL, got, shown)
		}
		said := fmt.Sprint(err)
		leaked := strings.Contains(said, "hunt") || strings.Contains(said, "er2")
		if (err != nil) != (shown == "(hidden)") || leaked {
			t.Errorf("%s: %v", smtpURL, err)
		}
		text := fmt.Sprintf("%v %+v %s", c.SMTP, c.SMTP, c.SMTP)
		if strings.Contains(text, "hunt") {
			t.Errorf("%s is printed as %s", smtpURL, text)
		}
	}
}

// A password that was given to the wrong setting is neither shown nor repeated.
func TestAPasswordInTheWrongSettingIsNotShown(t *testing.T) {
	inFolder(t, nil)
	for _, s := range settings() {
		for _, name := range s.names() {
			for _, value := range []string{
				"postgres://u:hunter2@h/d", "postgres://h/d?password=hunter2",
				"host=h Password = hunter2", "postgres://u:hunter2,x@h/d",
				"u:hunter2@h:587", "postgres//u:hunter2@h/d", "smtp:/u:hunter2@h",
			} {
				c, err := Load(environment(map[string]string{name: value}))
				said := fmt.Sprint(c.Rows(), c.Warnings(), err)
				if strings.Contains(said, "hunter2") {
					t.Errorf("%s=%s: it says\n%s", name, value, said)
				}
			}
		}
	}
}
