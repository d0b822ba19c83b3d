package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"clientes/auth/authtest"
	"clientes/store"
)

const (
	saveButton = ".record form button.main"
	firstRow   = `document.querySelector("tbody a")?.textContent`
	rowCount   = `document.querySelectorAll("tbody tr").length`
	shownCount = `document.querySelector(".foot [role=status]").textContent`
)

// cliente returns a customer as the API has it.
func (f *fixture) cliente(id int64) (c store.Cliente) {
	f.t.Helper()
	a := f.as(store.Viewer, "GET", clientePath(id), "")
	f.want(a, 200, "")
	unmarshalCliente(f.t, a.body, &c)
	return c
}

// What others change shows without a reload. The focus and what is typed stay where they are.
func TestChangesOfOthersInTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	ana, bia := f.add(store.Cliente{Name: "Ana"}), f.add(store.Cliente{Name: "Bia"})
	b := f.browser()
	b.login(store.Viewer)
	b.until(rowCount + ` === 2`)
	f.eventually("the page follows", func() bool { return f.server.listeners.occupied() == 1 })
	// A change between the reading of the rows and the beginning of the stream must not be missed.
	b.wantPage(`(() => {
		const find = (path) => performance.getEntriesByType("resource").find(
			(e) => new URL(e.name).pathname === path);
		return find("/clientes/changes").responseEnd <= find("/clientes").startTime;
	})()`, "true")
	b.do(chromedp.Evaluate[chromedp.Void](
		`document.querySelector("tbody a").focus();undefined`))
	b.do(chromedp.Evaluate[chromedp.Void](
		`document.querySelector("input[type=search]").dataset.same = "yes";undefined`))
	f.rename(ana.ID, "Eva")
	b.until(firstRow + ` === "Eva"`)
	b.wantPage(`document.activeElement.textContent`, "Eva")
	b.wantPage(`document.querySelector("input[type=search]").dataset.same`, "yes")
	f.add(store.Cliente{Name: "Cid"})
	b.until(`document.querySelector(".foot button")?.textContent === "Show new customers (1)"`)
	b.wantPage(rowCount, "2")
	b.checkPage("customers with news")
	authtest.Must(t, f.store.DeleteCliente(t.Context(), 0, bia.ID,
		func(store.Cliente) error { return nil }))
	b.until(rowCount + ` === 1`)
	b.click(".foot [role=status] button")
	b.until(rowCount + ` === 2 && ` + shownCount + ` === "2 customers"`)
	b.wantPage(`document.querySelector(".foot [role=status] button")`, "null")
	// Another place and back: only one stream is open.
	for range 3 {
		b.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#/account"` + ";undefined"))
		b.until(`!document.querySelector("tbody")`)
		b.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#/customers"` + ";undefined"))
		b.until(rowCount + ` === 2`)
	}
	f.eventually("one follows", func() bool { return f.server.listeners.occupied() == 1 })
}

// People find, sort and page customers, with and without a mouse.
func TestCustomersOfTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	b.login(store.Editor)
	b.sees("No customers yet")
	for i := range 59 {
		f.add(store.Cliente{
			Name: fmt.Sprintf("Kunde %02d", i), Email: fmt.Sprintf("k%d@example.com", i),
			Address: map[int]string{31: `a;, "b"`}[i],
		})
	}
	script := f.add(store.Cliente{
		Name: "<img src=x onerror=alert(1)>", Company: strings.Repeat("Padaria ", 20),
	})
	f.add(store.Cliente{Name: "שלום עולם", Phone: "+55 11 99999-0000"})
	f.add(store.Cliente{Name: "Zoë Ångström", Company: "Café São João"})

	b.do(chromedp.Reload())
	b.until(rowCount + ` === 50 && ` + shownCount + ` === "1–50 of 62"`)
	b.wantPage(firstRow, script.Name)
	b.wantPage(`document.querySelector("tbody a").title`, script.Name)
	b.wantPage(`document.querySelectorAll("tbody img").length`, "0")
	b.checkPage("customers")

	// Next and back again. The focus does not fall out of a button that is disabled.
	b.click(".pager button:last-child")
	b.until(shownCount + ` === "51–62 of 62"`)
	b.wantPage(`document.activeElement.textContent`, "Previous")
	b.wantPage(`document.querySelector("tbody span[title='+55 11 99999-0000']").dir`, "auto")
	b.press(kb.Enter)
	b.until(shownCount + ` === "1–50 of 62"`)

	// The newest change first, and then the oldest.
	b.click("th[data-sort=updated_at] button")
	b.until(firstRow + ` === "Zoë Ångström"`)
	b.wantPage(`document.querySelector("th[aria-sort]").ariaSort + location.hash`,
		"descending#/customers?sort=-updated_at")
	b.click("th[data-sort=updated_at] button")
	b.until(firstRow + ` === "Kunde 00"`)
	b.click("th[data-sort=name] button")
	b.until(firstRow + ` === "` + script.Name + `"`)

	// A search by keys alone. A row can be opened before the last answer, and one that comes late
	// is passed over.
	b.eval(`(() => { const send = fetch; globalThis.release = {};
		globalThis.fetch = async (url, options) => {
			const [, q] = /q=(k|cafe%20sao)&/.exec(url) ?? [];
			if (!q || release[q[0]]) return send(url, options);
			const response = await send(url, { ...options, signal: undefined });
			await new Promise((done) => (release[q[0]] = done));
			return response;
		}; })()`)
	must(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{
		Type: kb.KeyDown, Key: "/", Code: "Slash", Text: "/",
	})
	b.press("k")
	b.until(`release.k`) // a request that is aborted before it is sent has no answer
	b.press(kb.Backspace, "cafe sa")
	b.until(rowCount + ` === 1 && ` + firstRow + ` === "Zoë Ångström"`)
	b.press("o", kb.ArrowDown, kb.Enter)
	b.until(`document.querySelector(".record [name=company]")?.value === "Café São João"`)
	const typed = `document.querySelector(".search").value + location.hash`
	b.wantPage(typed, "cafe sao#/customers/62?q=cafe+sao")
	b.until(`release.c`)
	b.eval(`release.c()`)
	b.until(`!document.querySelector("[aria-busy]") && ` + shownCount + ` === "1 customer"`)
	b.eval(`release.k()`)
	b.eval(`fetch("/healthz").then((answer) => answer.text())`) // takes longer than what is here
	b.wantPage(rowCount, "1")
	b.wantPage(typed, "cafe sao#/customers/62?q=cafe+sao")
	b.checkPage("a record")
	b.press(kb.Tab)
	b.press(kb.Tab)
	b.press("!")
	b.ctrlEnter()
	b.sees("Saved.")
	b.until(firstRow + ` === "!"`)
	if c := f.cliente(62); c.Name != "!" || c.Company != "Café São João" || c.Version != 2 {
		t.Errorf("by keys alone: %+v", c)
	}
	b.press(kb.Escape)
	b.until(`!document.querySelector(".record") && document.activeElement.textContent === "!"`)

	// Nothing found; and the network is gone.
	b.fill(".search", "xyz")
	b.sees("Nothing matches “xyz”")
	b.click(".state button")
	b.until(rowCount + ` === 50`)
	b.eval(`(globalThis.whole = fetch,
		globalThis.fetch = () => Promise.reject(new TypeError("no network")), 0)`)
	b.fill(".search", "kunde 3")
	b.sees("The server cannot be reached")
	b.eval(`globalThis.fetch = whole, 0`)
	b.wantPage(`document.querySelector(".search").value`, "kunde 3")
	b.click(".state button")
	b.until(shownCount + ` === "10 customers"`)

	// What was found goes to a file, as it comes or, in a browser that cannot do that, by a link.
	const exportButton = ".bar button:nth-of-type(2)"
	b.eval(`(globalThis.showSaveFilePicker = async ({ suggestedName: name }) => ({ name,
		createWritable: () => new WritableStream({ write(part) { saved += new TextDecoder().decode(part); } }),
	}), globalThis.saved = "")`)
	b.click(exportButton)
	b.sees("The file will hold the customers that “kunde 3” finds (10).")
	b.checkPage("export")
	b.click("dialog .main")
	b.sees("customers.csv is saved.")
	got := b.eval("saved")
	if !strings.HasPrefix(got, `"id","name",`) || strings.Count(got, "Kunde 3") != 10 {
		t.Errorf("exported: %s", got)
	}
	b.eval(`(delete globalThis.showSaveFilePicker,
		URL.createObjectURL = (blob) => (globalThis.blob = blob, "blob:"),
		HTMLAnchorElement.prototype.click = function () { globalThis.link = this.download; }, 0)`)
	b.speaks("pt-BR") // whose spreadsheets have semicolons
	b.click(exportButton)
	b.press(kb.Enter)
	b.until(`globalThis.link === "customers.csv"`)
	got = b.eval(`blob.arrayBuffer().then((bytes) =>
		new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes))`)
	if !strings.HasPrefix(got, "\ufeff\"id\";\"name\";") ||
		strings.Count(got, `;;"a;, ""b""";`) != 1 || strings.Count(got, "\"\r\n\"") != 10 {
		t.Errorf("exported: %q", got)
	}
	b.speaks("en-US")
	b.until(`!document.querySelector("dialog")`)
	b.click(exportButton)
	b.press(kb.Escape) // nobody has typed
	b.until(`!document.querySelector("dialog")`)
	b.click(exportButton)
	b.click("dialog label:nth-of-type(2)")
	b.press(kb.Enter)
	b.until(`globalThis.link === "customers.ndjson"`)
	if got := b.eval("blob.text()"); strings.Count(got, `"name":"Kunde 3`) != 10 {
		t.Errorf("exported: %s", got)
	}

	// Where the table is two columns wide, a choice stands in for the headings.
	b.resize(phoneSize)
	b.pick(".order", "-name")
	b.until(firstRow + ` === "Kunde 39"`)
	b.wantPage(`document.querySelector("thead").checkVisibility()`, "false")
	b.click(`tbody a`)
	b.until(`document.querySelector(".record form") && !document.querySelector(".list").checkVisibility()`)
}

// A record is made, changed, deleted and brought back.
func TestRecordOfTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	b.login(store.Editor)
	b.until(`document.querySelector(".state button.main")`)
	f.add(store.Cliente{Name: "Bruno", Email: "bruno@example.com"})
	b.click(".state button.main")
	b.fillForm("name", "Ana", "email", "ana@", "notes", "Pays by the month.")
	b.click(saveButton)
	b.until(`document.activeElement.name === "email" && document.activeElement.ariaInvalid === "true"`)
	b.fillForm("email", "bruno@example.com")
	b.click(saveButton)
	b.until(`document.querySelector(".record .fault a")?.hash === "#/customers/1"`)
	b.fillForm("email", "ana@example.com")
	b.click(saveButton)
	b.sees("Ana was added.")
	b.until(`location.hash === "#/customers/2" && ` + rowCount + ` === 2`)
	if c := f.cliente(2); c.Email != "ana@example.com" || c.Notes != "Pays by the month." {
		t.Errorf("made: %+v", c)
	}
	b.wantPage(`document.querySelector(".record [name=notes]").value`, "Pays by the month.")

	// What was typed is not lost without a question.
	b.fillForm("phone", "+1 555")
	b.press(kb.Escape)
	b.sees("Discard what you typed?")
	b.press(kb.Escape)
	b.wantPage(`document.querySelector(".record [name=phone]").value + location.hash`, "+1 555#/customers/2")
	const closes = `dispatchEvent(new Event("beforeunload", { cancelable: true }))`
	b.wantPage(closes, "false")
	b.click(saveButton)
	b.sees("the-editor changed phone")
	b.wantPage(closes, "true")
	b.wantPage(`document.querySelector(".past ins").textContent`, "+1 555")

	// An old text comes back as a new version.
	b.click(".past li:last-child button")
	b.sees("The old text is back.")
	b.wantPage(`document.querySelector(".record [name=phone]").value`, "")
	if c := f.cliente(2); c.Phone != "" || c.Version != 3 {
		t.Errorf("brought back: %+v", c)
	}
	b.click(".toast button")
	b.until(`document.querySelector(".record [name=phone]").value === "+1 555"`)

	b.click(".record .danger")
	b.sees("Delete Ana?")
	b.click("dialog .main")
	b.sees("Ana was deleted.")
	f.want(f.as(store.Viewer, "GET", "/clientes/2", ""), 404, "not_found")
	b.click(".toast button")
	b.sees("Ana is back.")
	b.until(rowCount + ` === 2`)
	if c := f.cliente(2); c.Email != "ana@example.com" {
		t.Errorf("undone: %+v", c)
	}

	// A deleted record is at its address, with its way back.
	f.want(f.as(store.Admin, "DELETE", "/clientes/2", ""), 204, "")
	b.open("/app/#/customers/2")
	b.sees("Deleted by the-admin")
	b.checkPage("a deleted record")
	b.click(".record .actions .main")
	b.until(`document.querySelector(".record [name=email]")?.value === "ana@example.com"`)
	f.cliente(2)

	// Who only reads is offered nothing else.
	v := f.browser()
	v.login(store.Viewer)
	v.open("/app/#/customers/2")
	v.sees("the-editor added this customer")
	v.wantPage(`[...document.querySelectorAll("main button:not(th button)")].filter((b) => b.checkVisibility())
		.map((b) => b.ariaLabel ?? b.textContent).join()`, "Export,Close")
	v.wantPage(`document.querySelectorAll(".record input").length`, "0")
	v.checkPage("a record that is read")
}

// Two people write one record. Nothing of either is lost.
func TestTwoPeopleAtOneRecord(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	f.add(store.Cliente{Name: "Ana", Phone: "1", Address: "Rua 1"})
	one, two := f.browser(), f.browser()
	for b, role := range map[*tab]store.Role{one: store.Editor, two: store.Admin} {
		b.login(role)
		b.open("/app/#/customers/1")
		b.until(`document.querySelector(".record [name=phone]")?.value === "1"`)
	}

	// Different fields go together by themselves, and the second one is told.
	one.fillForm("phone", "2")
	one.click(saveButton)
	one.sees("Saved.")
	two.fillForm("notes", "Calls on Mondays.")
	two.click(saveButton)
	two.sees("Phone (by the-editor)")
	two.wantPage(`document.querySelector(".record [name=phone]").value`, "2")
	if c := f.cliente(1); c.Phone != "2" || c.Notes != "Calls on Mondays." {
		t.Errorf("different fields: %+v", c)
	}

	// The same field is shown as before, theirs and mine; mine is kept, by keys alone.
	two.fillForm("company", "Two")
	two.click(saveButton)
	two.until(`document.querySelector(".past")?.textContent.includes("company")`)
	one.fillForm("company", "One", "address", "Rua 2")
	one.ctrlEnter()
	one.sees("the-admin changed this customer while you were writing")
	one.wantPage(`[...document.querySelectorAll(".both dd")].map((d) => d.firstChild.textContent).join()`,
		"(empty),Two,One")
	one.wantPage(`document.activeElement.textContent`, "Take the-admin’s")
	one.checkPage("a conflict")
	one.press(kb.Tab)
	one.press(kb.Enter)
	one.until(`!document.querySelector(".both")`)
	if c := f.cliente(1); c.Company != "One" || c.Address != "Rua 2" ||
		c.Notes != "Calls on Mondays." {
		t.Errorf("mine: %+v", c)
	}
	past := f.as(store.Viewer, "GET", "/clientes/1/history", "").body
	if !strings.Contains(past, `"company":"Two"`) {
		t.Error("theirs is not in the history")
	}

	// Theirs is taken: the rest of mine is saved.
	two.fillForm("company", "Three", "phone", "3")
	two.click(saveButton)
	two.sees("the-editor changed this customer while you were writing")
	two.ctrlEnter() // which waits for the choice
	two.click(".both fieldset button:first-child")
	two.until(`!document.querySelector(".both")`)
	two.wantPage(`document.querySelector(".record [name=company]").value`, "One")
	past = f.as(store.Viewer, "GET", "/clientes/1/history", "").body
	if strings.Contains(past, `"company":"Three"`) {
		t.Error("mine was written before the choice")
	}
	if c := f.cliente(1); c.Company != "One" || c.Phone != "3" || c.Address != "Rua 2" {
		t.Errorf("theirs: %+v", c)
	}
	f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"notes":"N"}`), 200, "")
	two.fillForm("notes", "M")
	two.click(saveButton)
	two.until(`document.querySelector(".both button")`)
	two.press(kb.Enter)
	two.until(`!document.querySelector(".both") && document.activeElement.textContent === "Ana"`)
	two.sees("Nothing to save.")

	// Deleted meanwhile: it comes back with what was typed.
	f.want(f.as(store.Admin, "DELETE", "/clientes/1", ""), 204, "")
	one.fillForm("name", "Ana Souza")
	one.click(saveButton)
	one.sees("the-admin deleted this customer while you were writing.")
	one.click(".both button")
	one.sees("Phone (by the-admin)") // which the other one wrote before
	if c := f.cliente(1); c.Name != "Ana Souza" || c.Phone != "3" || c.Company != "One" {
		t.Errorf("deleted meanwhile: %+v", c)
	}
}
