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

		{"Spring, by words", "586E3272357538782F413F4428472B4B6250655368566B597033733676397924", "public"},
		{"the UUID of manuals", "123e4567-e89b-12d3-a456-426614174000", "public"},
		{"the UUID of RFC 4122", "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6", "public"},
		{"digits for letters", "s3cr3t_k3y_f0r_jwt_t0k3n_s1gn1ng_2024", "public"},
		{"digits for letters, too", "my-sup3r-s3cr3t-k3y-chang3-m3-in-pr0d", "public"},
		{"in Portuguese, too", "substitua-por-um-segredo-forte-aqui", "public"},
		{"in Spanish, too", "reemplazar-con-una-clave-segura-123", "public"},
		{"a command in words", "REPLACE_WITH_OUTPUT_OF_openssl_rand_hex_32", "public"},
		{"a secret of SOPS", "ENC[AES256_GCM:data:5bJDh9r9RvzsQ==:iv:AAAA]", "public"},
		{"a secret of dotenvx", "encrypted:BDqDBibm4wsYqMpCjTQ6BsDHmMadg9K3dAt+Z9HPMf", "public"},
		{"a secret of Ansible", "!vault | $ANSIBLE_VAULT;1.1;AES256;66386439653236", "public"},
		{"a reference of 1Password", "op://Production/clientes/key-of-the-server", "public"},
		{"a reference of vals", "ref+vault://kv/clientes#/jwt-signing-key", "public"},
		{"a reference of Bank-Vaults", "vault:kv/data/clientes#signing-key-of-jwt", "public"},
		{"a reference of Azure",
			"@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s/)", "public"},
		{"a reference of AWS", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-Xy12Zw",
			"public"},
		{"a reference of Google", "projects/acme/secrets/signing-key/versions/latest", "public"},
		{"a template within", "prefix-{{ vault_clientes_signing_key }}", "public"},
		{"bytes", "\x8f\xc1 \xa2\xfe\xd5k\x91\xe0w\xb3\xaa\xf9\xc4q\x88\xd2\xeeR\x95\xbd\xf0\xa7\xc9\xe3j\x9c\xd8\xb6\xf2\x81\xcd", ""},
		{"signs alone in braces", "${)*-@~->%=;(*{)>{}_=}}&}/)@!#}{%$+(^;)}", ""},
		{"signs alone in brackets", "$()*-@~->%=;(*{)>{}_=}}&}/)@!#}{%$+(^;))", ""},
		{"a password in backticks", "`Vx)8Lw2kP0z&mT5rJ7nB4cH6yD9sG3fQ`", ""},
		{"a password in brackets", "[Vx)8Lw2kP0z&mT5rJ7nB4cH6yD9sG3fQ]", ""},
		{"a password in angles", "<Vx)8Lw2kP0z&mT5rJ7nB4cH6yD9sG3fQ>", ""},

		{"rows of a keyboard", "qwertyuiopasdfghjklzxcvbnm123456", "weak"},
		{"columns of a keyboard", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9", "weak"},
		{"a word and a sign", "PasswordPasswordPasswordPassword1!", "weak"},
		{"a time", "2026-11-29T11:02:47.000Z2026-11-29", "weak"},
		{"a URL", "https://vault.example.com/v1/secret/42", "weak"},
		{"a sentence", "my dog ate the homework and then slept in the garden", "weak"},
		{"eight words of Diceware",
			"purgatory-judgingly-ungraded-monogram-impaired-conceal-parting-unissued", ""},
		{"eight words and spaces",
			"purgatory judgingly ungraded monogram impaired conceal parting unissued", ""},
		{"eight words, one of them twice",
			"judiciary sputter clubbing badge amber flip hastily badge", ""},
		{"seven words",
			"purgatory-judgingly-ungraded-monogram-impaired-conceal-parting", "weak"},
		{"base64 without a digit", "NFZJSc_zCKiNJWSyZvRZVZJEE_MkEbCFUnkIPEPr_Yw", ""},
		{"letters", "vlOuLmcxpNcXZUoclnVAHofNNYNGFOvKhUyyogWmQtfd", ""},
		{"words in camel case", "AllOurCustomersAreHappyWithUsBecauseWeCare", "weak"},
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
