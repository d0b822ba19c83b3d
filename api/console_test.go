package api

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/go-json-experiment/json"

	"clientes/api/console"
	"clientes/auth/authtest"
	"clientes/store"
)

// TestConsoleBudget holds what the console is to 150 KiB: its pages, style sheet and modules,
// unpacked. It holds all that a browser loads for it, with the longest dictionary and client.js, to
// what that is today.
func TestConsoleBudget(t *testing.T) {
	const own, loaded = 150 << 10, 200 << 10
	sizes := make(map[string]int64) // by the end of the name
	var dictionary int64
	entries, err := fs.ReadDir(console.Files(), ".")
	authtest.Must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		authtest.Must(t, err)
		kind := filepath.Ext(e.Name())
		sizes[kind] += info.Size()
		if kind == ".json" {
			dictionary = max(dictionary, info.Size())
		}
	}
	client, err := fs.Stat(assets, "client/client.js")
	authtest.Must(t, err)
	var size int64
	for kind, n := range sizes {
		if kind != ".json" {
			size += n
		}
	}
	t.Logf("bytes: %v, a dictionary %d, client.js %d", sizes, dictionary, client.Size())
	if size > own {
		t.Errorf("the console has %d bytes, more than %d", size, own)
	}
	if size += dictionary + client.Size(); size > loaded {
		t.Errorf("with a dictionary and client.js it has %d bytes, more than %d", size, loaded)
	}
}

// TestPreloads holds the page of the console to what its first place loads: the modules are
// fetched together, not one after the other. Each page has an icon of its own.
func TestPreloads(t *testing.T) {
	f := onSQLite(t)
	for _, page := range []string{"app.html", "login.html"} {
		text, err := fs.ReadFile(console.Files(), page)
		authtest.Must(t, err)
		icon := regexp.MustCompile(`<link rel="icon" href="([^"]+)"`).FindSubmatch(text)
		if icon == nil {
			t.Fatalf("%s has no icon", page)
		}
		if got := f.call("GET", string(icon[1]), ""); got.status != 200 ||
			got.header.Get("Content-Type") != "image/svg+xml" {
			t.Errorf("the icon of %s: %d %v", page, got.status, got.header)
		}
	}
	page, err := fs.ReadFile(console.Files(), "app.html")
	authtest.Must(t, err)
	imports := regexp.MustCompile(`(?m)^import .* from "\./([a-z]+\.js)";$`)
	seen := map[string]bool{"app.js": true, "customers.js": true}
	for todo := slices.Collect(maps.Keys(seen)); len(todo) > 0; todo = todo[1:] {
		if !bytes.Contains(page, []byte(`="/app/`+todo[0]+`"`)) {
			t.Errorf("app.html does not preload %s", todo[0])
		}
		text, err := fs.ReadFile(console.Files(), todo[0])
		authtest.Must(t, err)
		for _, m := range imports.FindAllSubmatch(text, -1) {
			if name := string(m[1]); !seen[name] {
				seen[name] = true
				todo = append(todo, name)
			}
		}
	}
	if len(seen) < 8 {
		t.Errorf("seen are %v", seen)
	}
}

// TestDictionaries holds each dictionary to the labels of the pages and the codes of the errors: no
// text is missing, and none is unused. A text has the same values in every language.
func TestDictionaries(t *testing.T) {
	used := make(map[string]string) // where each key is used
	pages := console.Files()
	names, err := fs.Glob(pages, "*.*")
	authtest.Must(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(pages, name)
		authtest.Must(t, err)
		switch filepath.Ext(name) {
		case ".js":
			for _, m := range regexp.MustCompile(`\bt\(\s*"([^"]+)"`).FindAllSubmatch(text, -1) {
				used[string(m[1])] = name
			}
			computed := regexp.MustCompile("\\bt\\(\\s*[^\"\\s)]").FindAll(text, -1)
			if name != "words.js" && computed != nil {
				t.Errorf("%s has keys of words that are no literals: %q", name, computed)
			}
		case ".html":
			for _, m := range regexp.MustCompile(`{{t "([^"]+)"}}`).FindAllSubmatch(text, -1) {
				used[string(m[1])] = name
			}
		}
	}
	text, err := os.ReadFile("console/console.go") // the server writes the login page
	authtest.Must(t, err)
	for _, m := range regexp.MustCompile(`\.words\["([^"]+)"\]`).FindAllSubmatch(text, -1) {
		used[string(m[1])] = "console.go"
	}
	ended := regexp.MustCompile(`^(token_\w+|refresh_invalid)$`) // as words.js has it
	for _, code := range errorCodes(t) {
		used["code."+ended.ReplaceAllString(code, "logged_out")] = "an error"
	}
	for _, code := range faultCodes(t) {
		used["fault."+code] = "a fault of a field"
	}
	for _, kind := range store.EventKinds() {
		used["audit.event."+string(kind)] = "an event"
	}

	languages := []string{"en", "pt-BR", "es"}
	values := make(map[string]string) // of the English text
	for _, language := range languages {
		text, err := fs.ReadFile(pages, language+".json")
		authtest.Must(t, err)
		var words map[string]string
		authtest.Must(t, json.Unmarshal(text, &words))
		for _, key := range slices.Sorted(maps.Keys(used)) {
			if strings.TrimSpace(words[key]) == "" {
				t.Errorf("%s.json has no %q, for %s", language, key, used[key])
			}
		}
		for _, key := range slices.Sorted(maps.Keys(words)) {
			if used[key] == "" {
				t.Errorf("%s.json has %q, which nobody uses", language, key)
			}
			in := regexp.MustCompile(`{\w+}`).FindAllString(words[key], -1)
			slices.Sort(in)
			if language == "en" {
				values[key] = strings.Join(in, " ")
			} else if got := strings.Join(in, " "); got != values[key] {
				t.Errorf("%s.json has %q in %q, en.json %q", language, got, key, values[key])
			}
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if lines = lines[1 : len(lines)-1]; !slices.IsSorted(keysOf(lines)) {
			t.Errorf("%s.json is not sorted", language)
		}
	}
}

// keysOf returns the keys of a dictionary's lines.
func keysOf(lines []string) []string {
	keys := make([]string, len(lines))
	for i, line := range lines {
		keys[i], _, _ = strings.Cut(line, ":")
	}
	return keys
}

// errorCodes returns the codes of all errors that a page may have to show.
func errorCodes(t *testing.T) []string {
	t.Helper()
	codes := []string{"internal"}
	for _, r := range replies {
		codes = append(codes, r.code)
	}
	// Those of client.js itself, in the source or in its documentation.
	for name, own := range map[string]string{
		"client/client.js":   `code: "([a-z_]+)"`,
		"client/client.d.ts": `(?:code is the server's, or|with the code) "([a-z_]+)"`,
	} {
		text, err := assets.ReadFile(name)
		authtest.Must(t, err)
		text = bytes.ReplaceAll(text, []byte("`"), nil)
		for _, m := range regexp.MustCompile(own).FindAllSubmatch(text, -1) {
			codes = append(codes, string(m[1]))
		}
	}
	return codes
}

// faultCodes returns the codes of all faults of single fields, as the source has them.
func faultCodes(t *testing.T) []string {
	t.Helper()
	const code = `"([a-z_]+)"`
	made := regexp.MustCompile(
		`(?:FieldError\{[^}]*\bCode:\s*` +
			`|fault\.Code\s*=\s*` +
			`|store\.Invalid\([^,()]*,\s*` +
			`|\bv\.add\([^,()]*,\s*` +
			`|\.about\([^,()]*,\s*` +
			`|fileFault\(` +
			`|hashFault\()` + code)
	var codes []string
	for _, folder := range []string{".", "wire", "../auth", "../store"} {
		err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(path) != ".go" ||
				strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range made.FindAllSubmatch(text, -1) {
				codes = append(codes, string(m[1]))
			}
			return err
		})
		authtest.Must(t, err)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// typing puts a form into the page that shows its first typed text again when it was sent.
const typing = `(async () => {
	const { form, h, put } = await import("/app/dom.js");
	const { api } = await import("/app/session.js");
	const main = document.querySelector("main");
	put(main, h("h1", null, "A form"), form({
		fields: [{ name: "name", label: "Name" }], submit: "Save",
	}, async (values) => {
		await api.clientes.create(values);
		put(main, h("h1", null, "Saved"));
	}));
	main.dirty = () => Boolean(main.querySelector("form"));
})()`

// Not beside others: the page has to be looked at within the minute and a half of the warning.
func TestTheEndOfASession(t *testing.T) {
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	b.login(store.Editor)
	b.eval(typing)
	b.fill("main [name=name]", "Ana")

	// One key answers the warning.
	b.later(28*time.Minute + 30*time.Second)
	b.until(`document.querySelector("[role=alertdialog] .clock")`)
	b.checkPage("the warning")
	b.press(kb.Enter)
	b.until(`!document.querySelector("dialog")`)

	// It says so if the session cannot be prolonged.
	b.later(28*time.Minute + 30*time.Second)
	b.until(`document.querySelector("[role=alertdialog] .clock")`)
	b.eval(`(() => {
		const { fetch, Date: { now } } = window;
		const end = now() + 80_000;
		window.fetch = async (path, options) => {
			const answer = await fetch(path, options);
			if (path !== "/refresh") return answer;
			return Response.json({ ...await answer.json(), refresh_expires_in: Math.round((end - Date.now()) / 1000) });
		};
	})()`)
	b.press(kb.Enter)
	b.sees("longest time")
	b.press(kb.Enter)
	b.until(`!document.querySelector("dialog")`)

	// The end hides what is there, and a login brings it back.
	b.later(30 * time.Minute)
	b.until(`document.querySelector("dialog [name=password]")`)
	text := b.eval(`document.body.innerText + document.title`)
	if strings.Contains(text, "A form") {
		t.Errorf("after the end the page shows %q", text)
	}
	b.checkPage("the end")
	b.fill("dialog [name=password]", "wrong")
	b.press(kb.Enter)
	b.until(`document.querySelector("dialog .notice")`)
	b.press(kb.Escape)
	b.fill("dialog [name=password]", testPassword)
	b.press(kb.Enter)
	b.sees("A form")
	b.wantPage(`document.querySelector("main [name=name]").value`, "Ana")

	// What failed because the server had ended the session can be sent again.
	b.eval(`(() => {
		const { fetch } = window;
		const ended = new Promise((done) => { window.ended = done; });
		window.fetch = async (path, options) => {
			if (options.method === "POST" && path === "/clientes") await ended;
			return fetch(path, options);
		};
	})()`)
	b.click("main button.main")
	authtest.Must(t, f.auth.LogoutEverywhere(t.Context(), f.users[store.Editor].ID))
	b.eval("ended()")
	b.fill("dialog [name=password]", testPassword)
	b.press(kb.Enter)
	b.until(`document.querySelector("main .notice")`)
	b.click("main button.main")
	b.sees("Saved")
	if a := f.as(store.Viewer, "GET", "/clientes", ""); !strings.Contains(a.body, `"Ana"`) {
		t.Errorf("saved is %s", a.body)
	}

	// Another user begins afresh.
	b.eval(typing)
	b.fill("main [name=name]", "Secret")
	b.later(30 * time.Minute)
	b.fill("dialog [name=user]", "the-viewer")
	b.fill("dialog [name=password]", testPassword)
	b.press(kb.Enter)
	b.sees("the-viewer")
	if text = b.eval(`document.body.innerHTML`); strings.Contains(text, "Secret") {
		t.Errorf("another user sees %q", text)
	}
}

func TestLogoutInTheBrowser(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	b.login(store.Viewer)
	other := b.another()
	other.open("/app/#/account")
	other.until(`document.querySelector("main h1")`)
	b.click(`.places [href="#/account"]`)
	b.until(`location.hash === "#/account"`)

	b.click(".me button")
	b.at("/login")
	other.at("/login")

	// Back shows nothing of it.
	b.eval("setTimeout(() => history.back())")
	b.until(`location.pathname === "/login" && document.querySelector("form")`)

	// A cookie of a session that has ended is taken away. No page that is open vouches for the
	// session, or learns of its end first.
	other.do(chromedp.Navigate("about:blank"))
	b.login(store.Viewer)
	b.do(chromedp.Navigate("about:blank"))
	authtest.Must(t, f.auth.LogoutEverywhere(t.Context(), f.users[store.Viewer].ID))
	b.open("/app/")
	b.at("/login")
	cookies, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{})
	authtest.Must(t, err)
	for _, c := range cookies.Cookies {
		if c.Name == refreshCookieName {
			t.Error("the cookie of a dead session is still there")
		}
	}
}

func TestLanguagesOfTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	b.speaks("de,pt-PT;q=0.9,en;q=0.8")
	b.login(store.Admin)
	b.sees("Usuários")
	faults := b.eval(`(async () => {
		const { api } = await import("/app/session.js");
		const { faultMessage } = await import("/app/words.js");
		try {
			await api.clientes.create({ name: "a".repeat(201), company: "Uma\nloja" });
		} catch (error) {
			return error.errors.map(faultMessage).join(" ");
		}
	})()`)
	if !strings.Contains(faults, "máximo 200 c") || !strings.Contains(faults, "posição 4 ") {
		t.Errorf("the faults are told as %q", faults)
	}
	for _, name := range []string{"account", "users", "audit", "customers"} {
		b.click(`.places [href="#/` + name + `"]`)
		b.until(fmt.Sprintf(`document.querySelector(".places [aria-current]").hash === "#/%s"`, name))
		b.until(`document.activeElement === document.querySelector("main h1")`)
		title := b.eval(`document.querySelector("[aria-current]").textContent + " · clientes"`)
		if got := b.eval(`document.title`); got != title {
			t.Errorf("the title of %s is %q", name, got)
		}
	}

	// A choice stays over a logout, which clears what the browser has of us.
	b.pick(".me select", "es")
	b.until(`document.documentElement.lang === "es" && document.querySelector(".me button")`)
	b.sees("Usuarios")
	b.click(".me button")
	b.at("/login")
	b.until(`document.querySelector(".links select")`)
	b.wantPage(`document.documentElement.lang`, "es")
	b.pick(".links select", "en")
	b.until(`document.documentElement.lang === "en" && document.querySelector(".links select")`)
	b.login(store.Viewer)
	b.sees("Log out")
	shown := b.eval(`document.querySelector(".places").innerText`)
	if strings.Contains(shown, "Users") {
		t.Errorf("a viewer is shown %q", shown)
	}
}

func TestAConsoleAtAnotherAddress(t *testing.T) {
	t.Parallel()
	f := onSQLite(t) // its PUBLIC_URL is another one
	b := f.browser()
	b.open("/login")
	b.eval(`document.cookie = "clientes_refresh=x"`)
	b.open("/app/")
	b.sees("PUBLIC_URL=" + f.url)
	b.sees("http://" + ownHost)
	b.until(`document.querySelector("main h1")`) // the console is there, not only its notice
	b.checkPage("another address")
}

// TestEveryPlace looks at every place of the console in every language, as the other tests do at
// what is theirs in one.
func TestEveryPlace(t *testing.T) {
	if !long() {
		t.Skip("TEST_LONG is not set")
	}
	f := onSQLite(t, atItsAddress)
	f.add(store.Cliente{Name: "<img src=x onerror=alert(1)>", Email: "ana@example.com"})
	b := f.browser()
	b.login(store.Admin)
	stranger := f.browser()
	for _, language := range []string{"en", "pt-BR", "es"} {
		b.eval(fmt.Sprintf(`localStorage.setItem("clientes_language", %q)`, language))
		stranger.speaks(language)
		stranger.open("/login")
		stranger.until(fmt.Sprintf("document.documentElement.lang === %q", language))
		stranger.checkPage("login in " + language)
		for _, place := range []string{
			"customers", "customers/1", "customers/new", "import", "account",
			"account/second-factor", "keys", "users", "audit",
		} {
			b.do(chromedp.Navigate("about:blank")) // so that the next one is a new page
			b.open("/app/#/" + place)
			b.until(`document.querySelector("main h1")`)
			b.checkPage(place + " in " + language)
		}
	}
}
