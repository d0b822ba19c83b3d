// Command oapi uses the client that oapi-codegen writes: oapi SERVER USER PASSWORD.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	server, user, password := os.Args[1], os.Args[2], os.Args[3]
	c, err := NewClientWithResponses(server)
	must(err)

	session, err := c.LoginWithResponse(ctx, nil, LoginInput{User: &user, Password: password})
	must(err)
	if session.JSON200 == nil {
		log.Fatal(session.Status())
	}
	auth := func(_ context.Context, r *http.Request) error {
		r.Header.Set("x-access-token", session.JSON200.Token)
		return nil
	}
	created, err := c.CreateClienteWithResponse(ctx, nil, ClienteInput{Name: "Ian"}, auth)
	must(err)
	if created.JSON201 == nil {
		log.Fatal(created.Status())
	}
	q := "ian"
	page, err := c.ListClientesWithResponse(ctx, &ListClientesParams{Q: &q}, auth)
	must(err)
	if page.JSON200 == nil || len(*page.JSON200) != 1 {
		log.Fatal(page.Status())
	}
	tag := fmt.Sprintf("%q", fmt.Sprint(created.JSON201.Version))
	gone, err := c.DeleteClienteWithResponse(ctx, created.JSON201.Id,
		&DeleteClienteParams{IfMatch: &tag}, auth)
	must(err)
	if gone.StatusCode() != http.StatusNoContent {
		log.Fatal(gone.Status())
	}
	_, err = c.LogoutWithResponse(ctx, nil, LogoutInput{}, auth)
	must(err)
	fmt.Println("done")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
