package config

import (
	"fmt"
	"regexp"

	"clientes/auth/mail"
	"clientes/store/postgres"
	"clientes/store/sqlite"
)

// What a [Row] has in the place of a value.
const (
	Hidden = "(hidden)"
	None   = "(none)"
)

// Row is a setting to be shown, without what must stay secret.
type Row struct {
	Name  string
	Value string // [Hidden] or masked if it is secret, [None] if it is empty
	From  string // "environment", ".env", "file PATH" or "default"
}

// Rows returns all settings, in the order of [Config]. It works on a configuration with faults too.
func (c Config) Rows() []Row {
	var rows []Row
	for _, s := range settings() {
		rows = append(rows, Row{Name: s.name, Value: c.shown(s), From: c.origins[s.name]})
	}
	return rows
}

// shown returns the value of a setting without what must be hidden.
func (c Config) shown(s setting) string {
	value := c.values[s.name]
	switch {
	case value == "" && s.name == "LOG_FORMAT":
		return "text on a terminal, else json"
	case value == "" && s.name == "PUBLIC_URL" && !mayHavePassword(c.Host):
		return c.PublicURLAt(nil).String()
	case value == "":
		return None
	case s.secret:
		return Hidden
	case s.name == "DATABASE_URL":
		return maskDatabaseURL(value)
	case s.name == "SMTP_URL" && c.SMTP == (mail.Server{}):
		return Hidden // it could not be read
	case s.name == "SMTP_URL":
		return c.SMTP.String()
	case mayHavePassword(value):
		return Hidden // it belongs to another setting
	}
	return value
}

func maskDatabaseURL(databaseURL string) string {
	switch {
	case sqlite.IsURL(databaseURL):
		return sqlite.MaskURL(databaseURL)
	case postgres.IsURL(databaseURL):
		return postgres.MaskURL(databaseURL)
	}
	return Hidden
}

// quoted returns part of a value as a fault may repeat it: cut if it is long. If the value may have
// a password in it, which belongs to another setting, it returns nothing of it.
func quoted(part, value string) string {
	if mayHavePassword(value) {
		return "something with a password"
	}
	return fmt.Sprintf("%.60q", part)
}

// passwordForms are what a password comes in: user:password@, and the password= of libpq.
var passwordForms = regexp.MustCompile(`(?is):.*@|pass\w*\s*=`)

func mayHavePassword(value string) bool { return passwordForms.MatchString(value) }
