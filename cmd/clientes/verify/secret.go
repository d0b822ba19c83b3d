package verify

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// secretSigns returns nil if the secret that verify was given has signed these tokens of the
// server. It decides that here, before anything is signed with the secret: a server that lies would
// put its own words into a token, and have them signed.
func (v *verifier) secretSigns(tokens ...string) error {
	if v.cfg.Secret == "" {
		return notTried("the server's SECRET is not known here; run it in the server's folder")
	}
	for _, token := range tokens {
		header, payload, _ := parts(token)
		same := signed(header, payload, v.cfg.Secret, sha256.New)
		if !hmac.Equal([]byte(same), []byte(token)) {
			return notTried("SECRET of this folder is not the one that the server signs with")
		}
	}
	return nil
}

// proofs is how many tokens a server has to tell apart.
const proofs = 32

// SharesSecret returns an error unless every server of a Config knows its Secret. A caller who
// makes an admin must know that first: another program at the URL would get the admin's password,
// and could use it at the true server.
//
// A server that knows the secret can tell which tokens it has signed. It has to for some that
// nobody can use, because they have no claims. Chance decides which of them the secret signs. A
// program that passes everything on to the true server gets through.
func SharesSecret(ctx context.Context, cfg Config) error {
	v, err := newVerifier(cfg)
	if err != nil {
		return err
	}
	defer v.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, maxCheck)
	defer cancel()
	for _, server := range v.servers() {
		if err := v.sharesSecret(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) sharesSecret(ctx context.Context, server string) error {
	var coins [proofs]byte
	rand.Read(coins[:])          // never fails, see crypto/rand
	answers := map[bool]string{} // by whether the secret has signed the token
	for _, coin := range coins {
		good, key := coin&1 == 0, newPassword()
		if good {
			key = v.cfg.Secret
		}
		header := encode(`{"alg":"HS256","typ":"JWT"}`)
		payload := claims{"nonce": rand.Text()}.encoded() // or one would see which come twice
		a, err := v.ask(ctx, server, signed(header, payload, key, sha256.New))
		if err != nil {
			return err
		}
		text := a.String() + a.header.Get("WWW-Authenticate")
		if before, ok := answers[good]; ok && before != text || a.status != 401 {
			return errOtherSecret(server)
		}
		answers[good] = text
	}
	if answers[true] == answers[false] {
		return errOtherSecret(server)
	}
	return nil
}

func errOtherSecret(server string) error {
	return fmt.Errorf("the server at %s does not know SECRET of this folder, or does not check "+
		"what it has signed; change to its folder, or give --user NAME", server)
}
