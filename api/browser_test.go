package api

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"clientes/auth/authtest"
	"clientes/store"
)

// chromium is the one browser of all tests. Each test has a profile of its own in it.
var chromium = sync.OnceValues(startChromium)

func startChromium() (context.Context, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		return nil, err
	}
	if err := removeAtTheEnd(profile); err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.UserDataDir(profile), chromedp.Env("TMPDIR="+profile),
		chromedp.NoSandbox, // which it demands of root
		chromedp.Flag("lang", "en-US"))
	ctx, _ := chromedp.NewExecAllocator(context.Background(), options...) // it ends with the tests
	ctx, _ = chromedp.NewContext(ctx)
	return ctx, chromedp.Do(ctx)
}

// removeAtTheEnd has a shell remove a folder when the tests have ended, in whatever way. Those that
// run out of time or are killed clean nothing up themselves.
func removeAtTheEnd(dir string) error {
	cmd := exec.Command("sh", "-c",
		`trap "" INT TERM HUP; cat; until rm -rf "$0"; do sleep 1; done`, dir)
	if _, err := cmd.StdinPipe(); err != nil { // it is closed when this process ends
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // or the pipe would be closed as garbage
	return nil
}

// tab is a tab of a browser at a server. Tabs of one profile share their cookies.
type tab struct {
	t       testing.TB
	ctx     context.Context
	url     string
	profile context.Context

	mu     sync.Mutex
	faults []string // that the browser told of: scripts that failed, reports of a policy
}

// browser opens a tab of a new profile at the server of f. The test fails if the browser has
// something to complain of. It is skipped where there is no Chromium, unless CI is set.
func (f *fixture) browser() *tab {
	f.t.Helper()
	root, err := chromium()
	if err != nil {
		if os.Getenv("CI") != "" {
			f.t.Fatalf("no Chromium: %v", err)
		}
		f.t.Skipf("no Chromium (apt-get install chromium): %v", err)
	}
	profile, cancel := chromedp.NewContext(root, chromedp.WithNewBrowserContext())
	f.t.Cleanup(cancel)
	return newTab(f.t, profile, profile, f.url)
}

// another opens one more tab of the same profile.
func (b *tab) another() *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.profile)
	b.t.Cleanup(cancel)
	return newTab(b.t, ctx, b.profile, b.url)
}

func newTab(t testing.TB, ctx, profile context.Context, url string) *tab {
	t.Helper()
	b := &tab{t: t, ctx: ctx, profile: profile, url: url}
	authtest.Must(t, chromedp.Do(ctx))
	authtest.Must(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.fault("a script failed: %s", describe(e.ExceptionDetails))
		case *log.EventEntryAdded:
			// A refusal of the API is logged as an error of the network; it is none of the page.
			if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
				b.fault("%s: %s", e.Entry.Source, e.Entry.Text)
			}
		}
	}))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range b.faults {
			t.Error(f)
		}
	})
	return b
}

func describe(e *runtime.ExceptionDetails) string {
	if e.Exception != nil && e.Exception.Description != "" {
		return e.Exception.Description
	}
	return e.Text
}

func (b *tab) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// step does something that may wait for the page. If the tests run out of time it ends this one,
// and tells what it waited for and what the page is.
func (b *tab) step(what string, do func(context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithDeadline(b.ctx, authtest.Deadline(b.t))
	defer cancel()
	if err := do(ctx); err != nil {
		ctx, cancel := context.WithTimeout(b.ctx, time.Second)
		defer cancel()
		page, _ := chromedp.Run(ctx, chromedp.Evaluate[string](
			"location.href + ` ` + document.body?.innerText"))
		b.t.Fatalf("%s: %v; the page is %q", what, err, page)
	}
}

// do does something in the tab.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.doAs("do", steps...)
}

func (b *tab) doAs(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.step(what, func(ctx context.Context) error { return chromedp.Do(ctx, steps...) })
}

// must sends the browser a command for a tab.
func must[P, R any](b *tab, command cdp.Command[P, R], params P) {
	b.t.Helper()
	b.step(fmt.Sprintf("%+v", params), func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, command, params)
		return err
	})
}

// open opens a path of the server.
func (b *tab) open(path string) {
	b.t.Helper()
	b.doAs("open "+path, chromedp.Navigate(b.url+path))
}

// eval returns the value of an expression in the page as text, awaited if it is a promise.
func (b *tab) eval(expression string) (value string) {
	b.t.Helper()
	b.step(expression, func(ctx context.Context) (err error) {
		value, err = chromedp.Run(ctx, chromedp.Evaluate[string](
			"(async () => String(await ("+expression+")))()", chromedp.EvalAwaitPromise))
		return err
	})
	return value
}

// wantPage fails the test unless an expression in the page has a value.
func (b *tab) wantPage(expression, want string) {
	b.t.Helper()
	if got := b.eval(expression); got != want {
		b.t.Errorf("%s is %q, want %q", expression, got, want)
	}
}

// until waits until an expression in the page is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	b.step("until "+expression, func(ctx context.Context) error {
		for ctx.Err() == nil {
			is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
			if err == nil && is { // there is no page while another one loads
				return nil
			}
			time.Sleep(5 * time.Millisecond)
		}
		return ctx.Err()
	})
}

// sees waits until the page shows a text.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body?.innerText.includes(%q)", text))
}

// at waits until the tab is at a path.
func (b *tab) at(path string) {
	b.t.Helper()
	b.until(fmt.Sprintf("location.pathname + location.search + location.hash === %q", path))
}

// atConsole waits until the console shows a place, with what it asks the server for.
func (b *tab) atConsole() {
	b.t.Helper()
	b.until(`location.pathname === "/app/" && document.querySelector("main h1") &&
		!document.querySelector("main [aria-busy]")`)
}

// fill types a text into an input in place of what is there, key by key.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	// Not chromedp's own wait, which hangs where another page takes the place of this one.
	b.until(fmt.Sprintf("document.querySelector(%q)?.checkVisibility()", selector))
	b.eval(fmt.Sprintf("document.querySelector(%q).select()", selector))
	b.onNode("fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// onNode does something with an element, once more if the page has put another one in its place.
func (b *tab) onNode(what string, step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.step(what, func(ctx context.Context) error {
		for {
			err := chromedp.Do(ctx, step)
			if err == nil || !strings.Contains(err.Error(), "Could not find node with given id") {
				return err
			}
		}
	})
}

// fillForm fills fields of a form: a name, a text, a name, …
func (b *tab) fillForm(fields ...string) {
	b.t.Helper()
	for i := 0; i < len(fields); i += 2 {
		b.fill("form [name="+fields[i]+"]", fields[i+1])
	}
}

// submit fills fields of a form, and sends it by a key.
func (b *tab) submit(fields ...string) {
	b.t.Helper()
	b.fillForm(fields...)
	b.press(kb.Enter)
}

// pick chooses an option of a select.
func (b *tab) pick(selector, value string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelector(%q)", selector))
	b.eval(fmt.Sprintf(`(e => {
		e.value = %q;
		e.dispatchEvent(new Event("change", { bubbles: true }));
	})(document.querySelector(%q))`, value, selector))
}

// choose chooses a file on the page.
func (b *tab) choose(name, content string) {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), name)
	authtest.Must(b.t, os.WriteFile(path, []byte(content), 0o600))
	b.choosePath(path)
}

func (b *tab) choosePath(path string) {
	b.t.Helper()
	const input = "input[type=file]"
	b.doAs("choose "+path, chromedp.SetUploadFiles(chromedp.CSS(input), []string{path}))
}

// click clicks on an element by its selector.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.onNode("click on "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// press presses keys one after the other.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}

// ctrlEnter sends a form from wherever the focus is in it.
func (b *tab) ctrlEnter() {
	b.t.Helper()
	b.do(chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(kb.ModifierCtrl)))
}

// later lets time pass for the page alone.
func (b *tab) later(d time.Duration) {
	b.t.Helper()
	b.eval(fmt.Sprintf(`(() => {
		const now = Date.now;
		Date.now = () => now() + %d;
		document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
	})()`, d.Milliseconds()))
}

// speaks sets the languages that the browser prefers.
func (b *tab) speaks(languages string) {
	b.t.Helper()
	must(b, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
		UserAgent: b.eval("navigator.userAgent"), AcceptLanguage: languages,
	})
}

// The sizes of a window: that of a desk, the narrowest that pages must fit into, and that of a desk
// at 400 % (WCAG 2.2, 1.4.10).
var (
	deskSize   = [2]int64{1280, 1024}
	phoneSize  = [2]int64{320, 640}
	zoomedSize = [2]int64{320, 256}
)

// resize sets the size of the page, in CSS pixels.
func (b *tab) resize(size [2]int64) {
	b.t.Helper()
	must(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: size[0], Height: size[1], DeviceScaleFactor: 1,
	})
}

// scheme makes the page "light" or "dark".
func (b *tab) scheme(name string) {
	b.t.Helper()
	must(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: name},
			{Name: "prefers-reduced-motion", Value: "reduce"},
		},
	})
}

// login logs in as the user of a role by the page, and waits for the console.
func (b *tab) login(role store.Role) {
	b.t.Helper()
	b.open("/login")
	b.fill("#user", "the-"+string(role))
	b.fill("#password", testPassword)
	b.click("button.main")
	b.atConsole()
}
