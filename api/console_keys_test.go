package api

import (
	"strings"
	"testing"

	"clientes/store"
)

// Somebody makes a key, sees it once, and ends it. An admin sees the keys of all.
func TestKeysInTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	f.makeKey(store.Viewer, "")
	b := f.browser()
	b.login(store.Editor)
	b.open("/app/#/account")
	b.click(`main a[href="#/keys"]`)
	b.sees("A program uses a key instead of your password.")
	if n := b.eval(`document.querySelectorAll("tbody tr").length`); n != "0" {
		t.Errorf("an editor sees %s keys of others", n)
	}
	b.click("#key-new")
	if has := b.eval(`Boolean(document.querySelector("[name=users], option[value=admin]"))`); has != "false" {
		t.Error("an editor is offered what admins may do")
	}
	b.submit("name", "Shop", "current", "wrong")
	b.until(`document.querySelector("dialog [name=current][aria-invalid]")`)
	b.submit("current", testPassword)
	b.until(`document.querySelector("dialog .key")`)
	b.checkPage("a new key")
	key := b.eval(`document.querySelector("dialog .key").textContent`)
	f.wantToken(key, 200, "")
	f.want(f.call("POST", "/clientes", `{"name":"x"}`, "x-access-token", key), 403, "forbidden")
	b.click("dialog button.main")
	b.until(`document.querySelectorAll("tbody tr").length === 1`)
	if page := b.eval("document.documentElement.outerHTML"); strings.Contains(page, key) {
		t.Error("the key is still on the page")
	}
	b.checkPage("the keys")
	b.click("tbody button")
	b.sees("End Shop")
	b.click("dialog button.main")
	b.until(`!document.querySelector("tbody tr, dialog")`)
	f.wantToken(key, 401, "token_revoked")

	boss := f.browser()
	boss.login(store.Admin)
	boss.open("/app/#/keys")
	boss.sees("the-viewer")
}
