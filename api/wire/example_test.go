package wire_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"clientes/api/wire"
	"clientes/store"
)

// Rows reads a file row by row, and goes on after a row that is at fault.
func ExampleRows() {
	file := "Email;Name\r\n" +
		"ana@example.com;  Ana\r\n" +
		"bia;Bia\r\n"
	how := wire.Reading{Format: wire.CSV}
	for c, err := range wire.Rows(strings.NewReader(file), how, wire.Clientes()) {
		var invalid *store.InvalidError
		switch {
		case errors.As(err, &invalid):
			fmt.Println("at fault:", invalid)
		case err != nil:
			fmt.Println("nothing after this can be read:", err)
		default:
			fmt.Println(c.Name, c.Email)
		}
	}
	// Output:
	// Ana ana@example.com
	// at fault: email: This is not an email address: it has no @.
}

// A merge patch changes what it names, and null makes a text empty.
func ExampleClienteBody_Patch() {
	var body wire.ClienteBody
	err := wire.Unmarshal("body", []byte(`{"phone": null, "notes": "Prefers email."}`), &body)
	if err != nil {
		fmt.Println(err)
	}
	patch, err := body.Patch()
	if err != nil {
		fmt.Println(err)
	}
	c := patch.Apply(store.Cliente{Name: "Ana", Phone: "+55 11 99999-0000"})
	fmt.Printf("%s, phone %q, %s\n", c.Name, c.Phone, c.Notes)
	// Output:
	// Ana, phone "", Prefers email.
}

// Export writes what an import reads. Other tests go by Texts; this one pins names and order.
func ExampleExport() {
	from := customers{{ID: 1, Name: "Ana", Notes: `says "hi"`, Version: 1}}
	err := wire.Export(context.Background(), from, store.Selection{}, os.Stdout, wire.NDJSON, nil)
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"id":1,"name":"Ana","email":"","phone":"","company":"","address":"","notes":"says \"hi\"","version":1,"created_at":"0001-01-01T00:00:00.000Z","updated_at":"0001-01-01T00:00:00.000Z"}
}

// customers stand in for a store.
type customers []store.Cliente

func (list customers) EachCliente(
	_ context.Context, _ store.Selection, each func(store.Cliente) error,
) error {
	for _, c := range list {
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}
