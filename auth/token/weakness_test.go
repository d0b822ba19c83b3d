package token

import (
	"strings"
	"testing"
)

func TestWeakness(t *testing.T) {
	const (
		pem = "-----BEGIN RSA PRIVATE KEY-----"
		der = "MIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu"
	)
	tests := []struct{ name, secret, want string }{
		{"D6 thirty-two a", strings.Repeat("a", 32), "public"},
		{"NUL", strings.Repeat("\x00", 32), "public"},
		{"x", strings.Repeat("x", 64), "public"},
		{"two", strings.Repeat("ab", 16), "public"},
		{"three, cut", strings.Repeat("abc", 11)[:32], "public"},
		{"a word", strings.Repeat("changeme", 4), "public"},
		{"a word, cut", "mysecretmysecretmysecretmysecretm", "public"},
		{"a word and digits", strings.Repeat("secret12", 4), "public"},
		{"digits", strings.Repeat("0123456789", 4), "public"},
		{"digits from 1", "12345678901234567890123456789012", "public"},
		{"a placeholder", strings.Repeat("CHANGE_ME", 4), "public"},
		{"repeated only by half", strings.Repeat("7c1e9b04f3a85d26", 2), "weak"},
		{"sixteen digits", testSecret, "weak"},

		{"D1 a command", "$(head -c 32 /dev/urandom | base64)", "public"},
		{"D2 backticks", "`openssl rand -hex 32 | tr -d x`", "public"},
		{"a command within", "prefix-$(openssl rand -hex 32)-suffix", "public"},
		{"backticks within", "prefix-`openssl rand -hex 32`", "public"},
		{"a password with $(", "q$(Vx)8Lw2kP0z'mT5rJ7nB4cH6yD9sG3fQa", ""},
		{"a reference", "${JWT_SECRET_FROM_THE_ENVIRONMENT}", "public"},
		{"a reference of Kubernetes", "$(JWT_SECRET_FROM_THE_ENVIRONMENT)", "public"},
		{"a reference of Helm", "{{ .Values.clientes.secret | quote }}", "public"},
		{"a reference of Windows", "%CLIENTES_SECRET_OF_THE_PRODUCTION%", "public"},
		{"a placeholder in angles", "<put the output of openssl here, please>", "public"},
		{"one line of PEM", pem, "public"},
		{"a public key", "-----BEGIN PUBLIC KEY-----\n" + der, "public"},
		{"a certificate", "-----BEGIN CERTIFICATE-----\n" + der, "public"},
		{"a key of ssh", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx3 ana@host", "public"},

		{"jwt.io", "a-string-secret-at-least-256-bits-long", "public"},
		{"jwt.io before", "your-256-bit-secret-your-256-bit", "public"},
		{"jwt.io, 512", "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
			"public"},
		{"a tutorial", "your_jwt_secret_key_here_change_me", "public"},
		{"production", "your_super_secret_jwt_key_change_this_in_production", "public"},
		{"thirty-two", "change-me-to-something-at-least-32-characters", "public"},
		{"capitals", "CHANGE_THIS_SECRET_IN_PRODUCTION!", "public"},
		{"mysecretkey", "mysecretkeymysecretkey1234567890", "public"},
		{"Supabase", "super-secret-jwt-token-with-at-least-32-characters-long", "public"},
		{"PostgREST", "reallyreallyreallyreallyverysafe_", "public"},
		{"Symfony", "ThisTokenIsNotSoSecretChangeIt_2024", "public"},
		{"FastAPI", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "public"},
		{"Spring", "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970", "public"},
		{"Django", "django-insecure-n2@k9=v$w0!4xqz7&b1m^h3t8", "public"},
		{"in Portuguese", "troque-esta-chave-secreta-em-producao", "public"},
		{"in Spanish", "cambia-esta-clave-secreta-por-otra", "public"},
		{"with the name of a product", "change-me-acme-super-secret-jwt-key", "public"},
		{"a placeholder and a random text", "your-secret-7c1e9b04f3a85d2660ba7e4f91d3c852", ""},

		{"letters and digits in order", "0123456789abcdefghijklmnopqrstuv", "weak"},
		{"and back", "zyxwvutsrqponmlkjihgfedcba987654", "weak"},
		{"a phrase", "correct horse battery staple 42 times", "weak"},
		{"a phrase of one's own", "a-long-secret-for-our-production-server", "weak"},

		{"hex", "7c1e9b04f3a85d2660ba7e4f91d3c852", ""},
		{"hex and a newline", "7c1e9b04f3a85d2660ba7e4f91d3c852\n", ""},
		{"base64", "Zk3+Qe1/9mVtYw0sBx7LrA==JpC5uHfD2nGoXi8T", ""},
		{"rand.Text, though too short", "VQ3KZP2MXA7T4OEH6DWRNB5GYL", ""},
		{"a UUID", "3f2b8c1e-95d7-4a60-b1c3-7e8f90a2d4b6", ""},
		{"a private key, which has spaces", pem + "\n" + der, "weak"},
	}
	for _, test := range tests {
		why, public := Weakness(test.secret)
		got := ""
		switch {
		case public:
			got = "public"
		case why != "":
			got = "weak"
		}
		if got != test.want {
			t.Errorf("%s: got %q (it %s), want %q", test.name, got, why, test.want)
		}
	}
}
