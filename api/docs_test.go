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
	f := onSQLite(t)
	b := f.browser()
	b.do(chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile))
	b.open("/docs")
	b.sees("the server's own address is http://" + ownHost)
	b.fill("#login [name=user]", "the-viewer")
	b.fill("#login [name=password]", "wrong")
	b.click("#login button")
	b.sees("Invalid Login!")
	b.fill("#login [name=password]", testPassword)
	b.click("#login button")
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
	if wide := b.eval("document.documentElement.scrollWidth"); wide != "320" {
		t.Errorf("the page is %s pixels wide", wide)
	}
	small := `[...document.querySelectorAll("input, select, textarea")].filter((e) =>
		e.offsetParent && parseFloat(getComputedStyle(e).fontSize) < 16).map((e) => e.outerHTML)`
	if got := b.eval(small); got != "" {
		t.Errorf("phones zoom into %s", got)
	}
	b.click("#logout")
	b.until(`!document.querySelector("#login").hidden`)

	// The page wants a code only from whoever has a second factor.
	_, recovery := f.enrol(f.tokens[store.Editor])
	b.fill("#login [name=user]", "the-editor")
	b.fill("#login [name=password]", testPassword)
	b.click("#login button")
	b.sees("Enter a code")
	b.fill("#login [name=code]", recovery[0])
	b.click("#login button")
	b.sees("Logged in as the-editor (editor).")
}
