package api

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

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

// removeAtTheEnd has a shell remove a folder when the tests have ended, in whatever way. A test that
// runs out of time or is killed cleans nothing up itself.
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

// do does something in the tab.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	authtest.Must(b.t, chromedp.Do(b.ctx, steps...))
}

// open opens a path of the server.
func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// eval returns the value of an expression in the page as text, awaited if it is a promise.
func (b *tab) eval(expression string) string {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		"(async () => String(await ("+expression+")))()", chromedp.EvalAwaitPromise))
	authtest.Must(b.t, err)
	return value
}

// until waits until an expression in the page is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	authtest.Eventually(b.t, expression, func() bool {
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && is // there is no page while another one loads
	})
}

// sees waits until the page shows a text.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body?.innerText.includes(%q)", text))
}

// fill types a text into an input in place of what is there, key by key.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(chromedp.CSS(selector)))
	b.eval(fmt.Sprintf("document.querySelector(%q).select()", selector))
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// click clicks on an element by its selector.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// press presses keys one after the other.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}

// speaks sets the languages that the browser prefers.
func (b *tab) speaks(languages string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetUserAgentOverride,
		emulation.SetUserAgentOverrideParams{
			UserAgent: b.eval("navigator.userAgent"), AcceptLanguage: languages,
		})
	authtest.Must(b.t, err)
}

// login logs in as the user of a role by the page, and waits for the console.
func (b *tab) login(role store.Role) {
	b.t.Helper()
	b.open("/login")
	b.fill("#user", "the-"+string(role))
	b.fill("#password", testPassword)
	b.click("button.main")
	b.until(`location.pathname === "/app/" && document.querySelector("main h1")`)
}

// path returns where the tab is.
func (b *tab) path() string {
	b.t.Helper()
	return b.eval("location.pathname + location.search + location.hash")
}

func TestALoginByTheForm(t *testing.T) {
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	b.login(store.Admin)
	if got := b.path(); !strings.HasPrefix(got, "/app/") {
		t.Errorf("the login leads to %s", got)
	}
}
