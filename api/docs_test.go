package api

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"clientes/store"
)

// On a phone of 320 pixels: log in at /docs, try a request, and log out. The server has another
// address in PUBLIC_URL, of which the page tells.
func TestDocsLogIn(t *testing.T) {
	t.Parallel()
	f := onSQLite(t)
	b := f.browser()
	b.do(chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile))
	b.open("/docs")
	b.sees("the server's own address is http://" + ownHost)
	b.submit("user", "the-viewer", "password", "wrong")
	b.sees("Invalid Login!")
	b.submit("password", testPassword)
	b.sees("Logged in as the-viewer (viewer).")

	const list = "#operations-clientes-listClientes "
	b.click(list + ".opblock-summary-control")
	b.click(list + ".try-out__btn")
	b.click(list + ".execute")
	b.until(fmt.Sprintf("document.querySelector(%q)", list+".live-responses-table"))
	status := list + ".live-responses-table .response-col_status"
	got := b.eval(fmt.Sprintf("document.querySelectorAll(%q)[1].innerText.trim()", status))
	if got != "200" {
		t.Errorf("the list is answered with %s", got)
	}
	b.wantPage("document.documentElement.scrollWidth", "320")
	small := `[...document.querySelectorAll("input, select, textarea")].filter((e) =>
		e.offsetParent && parseFloat(getComputedStyle(e).fontSize) < 16).map((e) => e.outerHTML)`
	if got := b.eval(small); got != "" {
		t.Errorf("phones zoom into %s", got)
	}
	b.click("#logout")
	b.until(`!document.querySelector("#login").hidden`)

	// The page wants a code only from whoever has a second factor.
	_, recovery := f.enrol(f.tokens[store.Editor])
	b.submit("user", "the-editor", "password", testPassword)
	b.sees("Enter a code")
	b.submit("code", recovery[0])
	b.sees("Logged in as the-editor (editor).")
}
