package api

import (
	"errors"
	"fmt"
	"testing"

	"clientes/auth/authtest"
	"clientes/store"
)

func TestEraseInTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	f.add(store.Cliente{Name: "Ana"})
	editor := f.tokens[store.Editor]
	f.want(f.call("PATCH", "/clientes/1", `{"phone":"1"}`, "x-access-token", editor), 200, "")
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
	if len(changes) != 3 || changes[0].Action != store.Erased || !changes[1].Erased {
		t.Errorf("the history is %+v", changes)
	}
	b.open("/app/#/customers/1")
	b.sees("No such customer")
	b.sees("the-admin erased the text")
	b.sees("the-editor changed text that is erased")
	b.checkPage("the history of an erased customer")
}

// An admin deletes a user, and has a number take the place of the name in the history.
func TestErasedUserInTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	editor := f.users[store.Editor].ID
	f.want(f.call("POST", "/clientes", `{"name":"Ana"}`, "x-access-token", f.tokens[store.Editor]),
		201, "")
	b := f.browser()
	b.login(store.Admin)
	b.open(fmt.Sprintf("/app/#/users/%d", editor))
	b.click("main button.danger:not([id])")
	b.pick(`dialog select[name="erase"]`, "true")
	b.click("dialog button.main")
	b.until(`location.hash === "#/users"`)
	changes, err := f.store.ClienteHistory(t.Context(), 1, 0, 10)
	authtest.Must(t, err)
	if len(changes) != 1 || changes[0].User != store.ErasedUserName(editor) {
		t.Errorf("the history is %+v", changes)
	}
	b.open("/app/#/customers/1")
	b.sees(store.ErasedUserName(editor) + " added this customer")
}
