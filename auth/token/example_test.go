package token_test

import (
	"fmt"
	"time"

	"clientes/auth/token"
	"clientes/store"
)

const secret = "a secret of thirty-two bytes or more"

func ExampleKeyring_Sign() {
	keys, err := token.NewKeyring(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	// The link works only as long as the user's generation of links is 3.
	link := keys.Sign(token.Link, "reset.7.1795350600", "3")

	text, ok := keys.Verify(token.Link, link, "3")
	fmt.Println(text, ok)
	_, ok = keys.Verify(token.Link, link, "4")
	fmt.Println("after it was used:", ok)
	_, ok = keys.Verify(token.Refresh, link)
	fmt.Println("as a refresh token:", ok)
	// Output:
	// reset.7.1795350600 true
	// after it was used: false
	// as a refresh token: false
}

func ExampleKeyring_Open() {
	old, _ := token.NewKeyring("the old secret of thirty-two bytes or more")
	sealed := old.Seal([]byte("a secret of user 7"), "user 7")

	// After a rotation the old secret still opens what it sealed.
	rotated, _ := token.NewKeyring(secret, "the old secret of thirty-two bytes or more")
	text, newest, err := rotated.Open(sealed, "user 7")
	fmt.Printf("%s, newest: %t, %v\n", text, newest, err)
	_, _, err = rotated.Open(sealed, "user 8")
	fmt.Println(err)
	// Output:
	// a secret of user 7, newest: false, <nil>
	// the text was sealed under none of the secrets
}

func ExampleIssuer() {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	keys, _ := token.NewKeyring(secret)
	issuer := token.NewIssuer(token.IssuerConfig{
		Keys: keys, Issuer: "clientes", Audience: "clientes", TTL: 5 * time.Minute,
		Now: func() time.Time { return now },
	})
	user := store.User{ID: 7, Role: store.Editor}
	session := store.Session{ID: token.NewID(), CreatedAt: now, AMR: "pwd"}
	minted, _ := issuer.Mint(user, session, issuer.Validity(time.Hour))

	access, err := issuer.Verify(minted)
	fmt.Println(access.UserID, access.Role, err)
	now = now.Add(6 * time.Minute)
	_, err = issuer.Verify(minted)
	fmt.Println(err)
	// Output:
	// 7 editor <nil>
	// the token has expired
}
