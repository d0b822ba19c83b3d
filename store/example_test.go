package store_test

import (
	"errors"
	"fmt"

	"clientes/store"
)

func ExampleCliente_Validate() {
	c, err := store.Cliente{Name: "  Ana ", Email: "ana@example.com"}.Validate()
	fmt.Printf("%q %v\n", c.Name, err)

	_, err = store.Cliente{Email: "ana at example.com"}.Validate()
	fmt.Println(err)
	// Output:
	// "Ana" <nil>
	// name: A name is required.; email: This is not an email address: it has no @.
}

// An error of a store has a type where a caller can do something about it.
func ExampleInvalidError() {
	_, err := store.Cliente{Name: "Ana", Phone: "555\n123"}.Validate()

	var invalid *store.InvalidError
	if errors.As(err, &invalid) {
		for _, f := range invalid.Fields {
			fmt.Println(f.Field, f.Code)
		}
	}
	// Output:
	// phone invalid_characters
}

// Texts is the one table of a customer's texts. Code that must know all of them ranges over it.
func ExampleCliente_Texts() {
	c := store.Cliente{Name: "Ana", Email: "ana@example.com", Company: "Padaria Central"}
	for _, t := range c.Texts() {
		if *t.Value != "" {
			fmt.Printf("%s: %s (at most %d)\n", t.Name, *t.Value, t.Max)
		}
	}
	// Output:
	// name: Ana (at most 200)
	// email: ana@example.com (at most 254)
	// company: Padaria Central (at most 200)
}

func ExampleCliente_Matches() {
	c := store.Cliente{Name: "José Conceição", Phone: "+55 11 5555-0000"}
	for _, text := range []string{"conceicao", "JOSÉ C", "5555", "jo", "os", "ana"} {
		fmt.Println(text, c.Matches(text))
	}
	// Output:
	// conceicao true
	// JOSÉ C true
	// 5555 true
	// jo true
	// os false
	// ana false
}

func ExampleSortKey() {
	fmt.Println(store.SortKey("Ángela"), store.SortKey("ANGELA"))
	// Output:
	// angela angela
}

// A cursor is the position of the last row of a page.
func ExampleSort_Position() {
	last := store.Cliente{ID: 7, Name: "Ángela"}
	p := store.ByName.Position(last)
	fmt.Println(p.Name, p.ID)
	// Output:
	// angela 7
}

// An import collects the faults of its rows and reports them together.
func ExampleRowsError() {
	var faults store.RowsError
	faults.Add(2, store.TakenEmail())
	faults.Add(5, store.FieldError{Field: "name", Code: "required", Message: "A name is required."})
	fmt.Println(faults.Err())

	var none store.RowsError
	fmt.Println(none.Err())
	// Output:
	// row 2: email: Another record has this email. (2 faults in all)
	// <nil>
}

// Roles include each other: an editor may do what a viewer may.
func ExampleRole_Allows() {
	fmt.Println(store.Editor.Allows(store.Viewer), store.Editor.Allows(store.Admin))
	// Output:
	// true false
}
