package auth_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"clientes/auth"
	"clientes/auth/password"
	"clientes/store"
	"clientes/store/sqlite"
)

// open returns an Auth over a new database, and a function that removes it.
func open(ctx context.Context) (*auth.Auth, func(), error) {
	folder, err := os.MkdirTemp("", "auth")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { os.RemoveAll(folder) }
	url := "sqlite:" + filepath.Join(folder, "example.db")
	if err := sqlite.Migrate(ctx, url); err != nil {
		return nil, remove, err
	}
	st, err := sqlite.Open(ctx, url, store.Options{})
	if err != nil {
		return nil, remove, err
	}
	a, err := auth.New(auth.Config{
		Store:        st,
		Gate:         password.NewGate(password.Local{}, 1, 10),
		Secret:       "a secret of thirty-two bytes or more",
		Issuer:       "clientes",
		Audience:     "clientes",
		TokenTTL:     5 * time.Minute,
		SessionIdle:  30 * time.Minute,
		SessionMax:   24 * time.Hour,
		RefreshGrace: 30 * time.Second,
		Now:          time.Now,
		Log:          slog.New(slog.DiscardHandler),
	})
	return a, func() { st.Close(); remove() }, err
}

func Example() {
	ctx := context.Background()
	a, remove, err := open(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
	// A server also runs a.Run and a.SendMail in the background.

	ana := store.User{Name: "ana", Role: store.Editor}
	if _, err := a.AddUser(ctx, ana, "correct horse battery"); err != nil {
		fmt.Println(err)
		return
	}
	_, err = a.Login(ctx, auth.LoginRequest{User: "ana", Password: "incorrect horse"})
	fmt.Println("a wrong password:", err)

	grant, err := a.Login(ctx, auth.LoginRequest{User: "Ana", Password: "correct horse battery"})
	if err != nil {
		fmt.Println(err)
		return
	}
	caller, err := a.Authenticate(ctx, grant.Token)
	fmt.Println("the token is an", caller.Role, err)

	if err := a.Logout(ctx, grant.Token); err != nil {
		fmt.Println(err)
	}
	_, err = a.Authenticate(ctx, grant.Token)
	fmt.Println("revoked:", errors.Is(err, auth.ErrTokenRevoked))
	// Output:
	// a wrong password: wrong user or password
	// the token is an editor <nil>
	// revoked: true
}

func ExampleAuth_Refresh() {
	ctx := context.Background()
	a, remove, err := open(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
	ana := store.User{Name: "ana", Role: store.Viewer}
	if _, err := a.AddUser(ctx, ana, "correct horse battery"); err != nil {
		fmt.Println(err)
		return
	}
	login := auth.LoginRequest{User: "ana", Password: "correct horse battery"}
	first, err := a.Login(ctx, login)
	fmt.Println("login", err)
	second, err := a.Refresh(ctx, first.RefreshToken)
	fmt.Println("refresh", err)
	_, err = a.Refresh(ctx, second.RefreshToken)
	fmt.Println("refresh again", err)

	// Somebody has a copy of the first token. Whoever it is, the session ends for both.
	_, err = a.Refresh(ctx, first.RefreshToken)
	fmt.Println("reused:", errors.Is(err, auth.ErrRefreshReused))
	_, err = a.Authenticate(ctx, second.Token)
	fmt.Println("revoked:", errors.Is(err, auth.ErrTokenRevoked))
	// Output:
	// login <nil>
	// refresh <nil>
	// refresh again <nil>
	// reused: true
	// revoked: true
}
