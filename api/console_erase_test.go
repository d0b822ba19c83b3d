package api

import (
	"errors"
	"testing"

	"clientes/auth/authtest"
	"clientes/store"
)

func TestEraseInTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	f.add(store.Cliente{Name: "Ana"})
	b.login(store.Admin)
	b.open("/app/#/customers/1")
	b.sees("All that is stored")
	const erase = ".record form .actions button:last-child"
	b.click(erase)
	b.fillForm("id", "2", "reason", "request 4711")
	b.click("dialog button.danger")
	b.until(`document.querySelector("dialog [aria-invalid=true]")?.name === "id"`)
	b.fillForm("id", "1")
	b.click("dialog button.danger")
	b.until(`location.hash.startsWith("#/customers") && !document.querySelector(".record")`)
	_, err := f.store.Cliente(t.Context(), 1)
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the customer: %v", err)
	}
	changes, err := f.store.ClienteHistory(t.Context(), 1, 0, 10)
	authtest.Must(t, err)
	if len(changes) != 2 || changes[0].Action != store.Erased || !changes[1].Erased {
		t.Errorf("the history is %+v", changes)
	}
	b.open("/app/#/customers/1")
	b.sees("No such customer")
}
