package config

import "testing"

func TestNearest(t *testing.T) {
	names := Names()
	for misspelt, want := range map[string]string{
		"PROT": "PORT", "port": "PORT", "SECRETS": "SECRET", "SECRET_PREV": "SECRET_FILE",
		"SESION_IDLE": "SESSION_IDLE",
		"TOKENTTL":    "TOKEN_TTL", "DATABASE": "DATABASE_URL", "TRUSTED_PROXY": "TRUSTED_PROXIES",
		"JWT_SECRET": "SECRET", "ROT_SECRET": "ROOT_SECRET", "ROOTSECRET": "ROOT_SECRET",
	} {
		if got := nearest(misspelt, names); got != want {
			t.Errorf("%s is near %s, want %s", misspelt, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"A", "", 1}, {"", "AB", 2}, {"PORT", "PORT", 0}, {"PROT", "PORT", 1},
		{"ORT", "PORT", 1},
		{"PORTS", "PORT", 1}, {"HORT", "PORT", 1}, {"KITTEN", "SITTING", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("from %q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
