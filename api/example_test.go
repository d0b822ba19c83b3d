package api_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/api"
	"clientes/auth"
	"clientes/auth/password"
	"clientes/store"
	"clientes/store/sqlite"
)

// A server needs a store and an [auth.Auth] over the same store. Here an editor logs in and creates
// a customer, as any client would.
func Example() {
	ctx := context.Background()

	// The store: one file, with the tables of this release.
	folder, err := os.MkdirTemp("", "clientes-example-")
	check(err)
	defer os.RemoveAll(folder)
	database := "sqlite:" + filepath.Join(folder, "clientes.db")
	check(sqlite.Migrate(ctx, database))
	st, err := sqlite.Open(ctx, database, store.Options{})
	check(err)
	defer st.Close()

	// A user to log in with, as `clientes user add` makes one.
	const secret = "staple battery horse"
	_, err = auth.NewAccounts(st).Add(ctx, store.User{Name: "bia", Role: store.Editor}, secret)
	check(err)

	quiet := slog.New(slog.DiscardHandler)
	a, err := auth.New(auth.Config{
		Store:        st,
		Gate:         password.NewGate(password.Local{}, 2, 64),
		Secret:       strings.Repeat("a secret of 32 bytes or more ", 2),
		Issuer:       "clientes",
		Audience:     "clientes",
		TokenTTL:     5 * time.Minute,
		SessionIdle:  30 * time.Minute,
		SessionMax:   30 * 24 * time.Hour,
		RefreshGrace: 30 * time.Second,
		Now:          time.Now,
		Log:          quiet,
	})
	check(err)

	handler, err := api.New(api.Config{
		Store:     st,
		Auth:      a,
		Log:       quiet,
		Now:       time.Now,
		PublicURL: &url.URL{Scheme: "http", Host: "localhost:3000"},
	})
	check(err)
	server := httptest.NewServer(handler)
	defer server.Close()

	// A client logs in and sends the token along.
	var login struct {
		Token string `json:"token"`
	}
	_, body := post(server.URL+"/login", "", `{"user": "bia", "password": "`+secret+`"}`)
	check(json.Unmarshal(body, &login))

	status, body := post(server.URL+"/clientes", login.Token,
		`{"name": "Ana", "email": "ana@example.com"}`)
	var made struct {
		ID      int64  `json:"id"`
		Name    string `json:"name"`
		Version int    `json:"version"`
	}
	check(json.Unmarshal(body, &made))
	fmt.Println(status, made.ID, made.Name, made.Version)

	// Every fault of a body is listed at once.
	status, body = post(server.URL+"/clientes", login.Token, `{"email": "ana", "nome": "Ana"}`)
	var refused struct {
		Code   string `json:"code"`
		Errors []struct {
			Field string `json:"field"`
			Code  string `json:"code"`
		} `json:"errors"`
	}
	check(json.Unmarshal(body, &refused))
	fmt.Println(status, refused.Code, refused.Errors)

	// Output:
	// 201 1 Ana 1
	// 422 validation_failed [{nome unknown_member} {name required} {email invalid_email}]
}

// post sends a JSON body and returns the answer.
func post(url, token, body string) (status int, answer []byte) {
	req, err := http.NewRequest("POST", url, strings.NewReader(body))
	check(err)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	check(err)
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	check(err)
	return resp.StatusCode, answer
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
