package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"clientes/store"
	"clientes/store/sqlite"
)

// A program migrates its database, opens it, and then uses it through the interfaces of package
// store.
func Example() {
	folder, err := os.MkdirTemp("", "clientes")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	ctx := context.Background()
	url := "sqlite:" + filepath.Join(folder, "clientes.db")

	// Migrate creates the file. Without it, Open returns store.ErrSchema.
	if err := sqlite.Migrate(ctx, url); err != nil {
		log.Fatal(err)
	}
	var st store.Store
	if st, err = sqlite.Open(ctx, url, store.Options{}); err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	// The store keeps what it is given, so validate it first.
	c, err := store.Cliente{Name: "Ana", Email: "ana@example.com"}.Validate()
	if err != nil {
		log.Fatal(err)
	}
	const commandLine = 0 // nobody who logged in
	if c, err = st.CreateCliente(ctx, commandLine, c); err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.ID, c.Name, c.Version)

	// An update is a function, so that it is atomic. The store may call it again.
	c, err = st.UpdateCliente(ctx, commandLine, c.ID, func(c store.Cliente) (store.Cliente, error) {
		c.Company = "Padaria Central"
		return c, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.ID, c.Company, c.Version)

	// Errors that a caller can act on have a name or a type.
	same := store.Cliente{Name: "Bia", Email: "ANA@example.com"}
	_, err = st.CreateCliente(ctx, commandLine, same)
	var conflict *store.ConflictError
	fmt.Println(errors.As(err, &conflict), err)

	// A page begins after a position. The zero position is before all records.
	search := store.Selection{Filter: store.Filter{Text: "padaria"}, Sort: store.ByName}
	page, err := st.Clientes(ctx, search, store.Position{}, 20)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range page {
		fmt.Println(c.Name, c.Email)
	}
	// Output:
	// 1 Ana 1
	// 1 Padaria Central 2
	// true another record has this email
	// Ana ana@example.com
}
