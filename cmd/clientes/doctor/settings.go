package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"clientes/cmd/clientes/config"
	"clientes/store"
)

// settings turns the faults and warnings of the configuration into findings. Their id is the name
// of the setting, or env-file for .env itself.
func settings(_ context.Context, s Setup) []store.Finding {
	var r report
	var faults *config.Error
	switch {
	case errors.As(s.Err, &faults):
		for _, fault := range faults.Faults {
			message, cure := parts(fault)
			r.fail(settingOf(fault), message, cure)
		}
	case s.Err != nil:
		r.fail("configuration", s.Err.Error(), "Correct that, and run `clientes config`.")
	}
	others := slices.Concat(s.Config.WeakSecrets(), s.Config.ExposedSecrets()) // see secrets, files
	for _, warning := range s.Config.Warnings() {
		if !slices.Contains(others, warning) {
			message, cure := parts(warning)
			r.warn(settingOf(warning), message, cure)
		}
	}
	set, all := 0, s.Config.Rows()
	for _, row := range all {
		if row.From != "default" {
			set++
		}
	}
	r.okUnless("configuration", "%d of %d settings set, the others left to their "+
		"defaults, none with a fault", set, len(all))
	return r
}

// unusable reports whether one of these settings has a fault.
func (s Setup) unusable(names ...string) bool {
	var faults *config.Error
	return errors.As(s.Err, &faults) && faults.IsAbout(names...)
}

// settingOf returns the id of what a fault or warning of the configuration is about.
func settingOf(text string) string {
	if strings.HasPrefix(text, ".env") {
		return "env-file"
	}
	for word := range strings.FieldsFuncSeq(text, isNoName) {
		if slices.Contains(config.Names(), word) {
			return idOf(word)
		}
	}
	return "configuration"
}

// idOf returns the id of the findings about a setting: its name in lower case, with hyphens.
func idOf(setting string) string {
	return strings.ToLower(strings.ReplaceAll(setting, "_", "-"))
}

func isNoName(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') }

// parts returns what a sentence of the configuration says is wrong, and what to do about it.
func parts(text string) (message, cure string) {
	if message, cure, ok := strings.Cut(text, "; "); ok {
		return message, cure
	}
	if message, is, ok := strings.Cut(text, ", which is taken as "); ok {
		return message + ", which another program knows", "write " + is + " instead"
	}
	if message, why, ok := strings.Cut(text, ", which is passed over: "); ok {
		return message + ", which is passed over", "take it out of DATABASE_URL: " + why
	}
	if strings.Contains(text, "driver takes: ") {
		return text, "correct what it names"
	}
	for _, sign := range []string{", but has to ", ", but it has to ", ": it has to "} {
		if message, cure, ok := strings.Cut(text, sign); ok {
			return message, "it has to " + cure
		}
	}
	if name, cure, ok := strings.Cut(text, " has to "); ok {
		return name + " cannot be used as it stands", "it has to " + cure
	}
	if message, cure, ok := strings.Cut(text, ": "); ok && !strings.HasPrefix(text, ".env line") {
		return message, cure
	}
	return text, "correct it: .env.example says what each setting takes"
}

// secrets looks at what signs and seals.
func secrets(_ context.Context, s Setup) []store.Finding {
	var r report
	c := s.Config
	for _, warning := range c.WeakSecrets() {
		message, cure := parts(warning)
		r.fail("secret-strength", message, cure)
	}
	switch {
	case c.Secret == "":
		return r // a fault of the setting
	case c.RootSecret == "":
		r.okUnless("secret-strength", "SECRET has %d bytes and is hard to guess; ROOT_SECRET "+
			"is derived from it", len(c.Secret))
	default:
		r.okUnless("secret-strength", "SECRET has %d bytes and ROOT_SECRET %d, and both are "+
			"hard to guess", len(c.Secret), len(c.RootSecret))
	}
	for _, previous := range []struct {
		name, of, now string
		secrets       []string
	}{
		{"SECRET_PREVIOUS", "SECRET", c.Secret, c.SecretPrevious},
		{"ROOT_SECRET_PREVIOUS", "ROOT_SECRET", c.RootSecret, c.RootSecretPrevious},
	} {
		switch n := len(previous.secrets); {
		case n == 0:
		case slices.Contains(previous.secrets, previous.now):
			r.warn("earlier-secrets", fmt.Sprintf("%s has %s itself in it: nothing has been "+
				"replaced", previous.name, previous.of), "make a new "+previous.of+
				" (`openssl rand -hex 32`), or take "+previous.name+" away")
		default:
			r.warn("earlier-secrets",
				fmt.Sprintf("%s is still set, with %d in it: what is signed with those is good",
					previous.name, n),
				fmt.Sprintf("take it away %.0fh after the replacement, when no session from "+
					"before it lives any more; cmd/clientes/SECRETS.md has the steps",
					c.SessionMax.Hours()))
		}
	}
	if len(c.SecretPrevious)+len(c.RootSecretPrevious) == 0 {
		r.ok("earlier-secrets", "no earlier secret is good any more")
	}
	return r
}
