package api

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/storetest"
)

// watchRows runs before the scripts of a page. It notes when the table of customers was painted
// after its rows have changed, and when a key went down: since both the page was opened, in
// milliseconds.
const watchRows = `
	window.painted = [];
	window.pressed = 0;
	addEventListener("keydown", (event) => (pressed = event.timeStamp), true);
	new MutationObserver((changes) => {
		if (!changes.some((c) => c.target.matches?.("main tbody") || c.target.querySelector?.("main tbody tr"))) return;
		if (!document.querySelector("main tbody tr")) return;
		requestAnimationFrame(() => {
			const done = new MessageChannel(); // its message comes after the frame
			done.port1.onmessage = () => painted.push(performance.now());
			done.port2.postMessage(0);
		});
	}).observe(document, { childList: true, subtree: true });`

// traffic counts what a tab receives, by the address of each request.
type traffic struct {
	mu    sync.Mutex
	urls  map[network.RequestID]string
	bytes map[string]float64 // with the headers
}

func (b *tab) traffic() *traffic {
	n := &traffic{urls: make(map[network.RequestID]string), bytes: make(map[string]float64)}
	authtest.Must(b.t, chromedp.Listen(b.ctx, func(event any) {
		n.mu.Lock()
		defer n.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			n.urls[e.RequestID] = e.Request.URL
			n.bytes[e.Request.URL] += 0
		case *network.EventLoadingFinished:
			n.bytes[n.urls[e.RequestID]] += e.EncodedDataLength
		}
	}))
	must(b, network.Enable, network.EnableParams{})
	return n
}

// BenchmarkConsole opens the console at 10,000 customers, with nothing in the browser's cache and
// then with all, and searches key by key. It reports the requests and the bytes until the first
// rows, and the time from a key press until its rows are painted, in milliseconds. Run it by hand,
// with -benchtime=1x.
func BenchmarkConsole(b *testing.B) {
	const customers, keys = 10_000, 200
	for _, e := range engines() {
		b.Run(e.Name, func(b *testing.B) {
			f := newFixture(b, emptyStore(b, e), atItsAddress)
			storetest.Fill(b, f.store, customers)
			tab := f.browser()
			tab.login(store.Editor)
			for b.Loop() {
				for _, cache := range []string{"cold", "warm"} {
					requests, bytes, ms := tab.openRows(cache == "cold")
					b.ReportMetric(float64(requests), cache+"-requests")
					b.ReportMetric(bytes/1024, cache+"-KiB")
					b.ReportMetric(ms, cache+"-ms")
				}
				times := tab.typeKeys(keys)
				b.ReportMetric(times[len(times)/2], "key-p50-ms")
				b.ReportMetric(times[len(times)*99/100], "key-p99-ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// openRows opens the console in a new tab. It returns the requests and bytes until the first rows
// were painted, and when that was.
func (b *tab) openRows(cold bool) (requests int, bytes, ms float64) {
	b.t.Helper()
	b.open("/healthz") // a page without anything
	if cold {
		must(b, network.ClearBrowserCache, cdp.Empty{})
	}
	fresh := b.another()
	n := fresh.traffic()
	must(fresh, cdppage.AddScriptToEvaluateOnNewDocument,
		cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: watchRows})
	fresh.open("/app/")
	fresh.until("window.painted?.length")
	var seen struct {
		At   float64
		URLs []string
	}
	authtest.Must(b.t, json.Unmarshal([]byte(fresh.eval(`JSON.stringify({
		At: painted[0],
		URLs: [location.href.split("#")[0], ...performance.getEntriesByType("resource")
			.filter((e) => e.startTime < painted[0]).map((e) => e.name)],
	})`)), &seen))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, url := range seen.URLs {
		b.t.Logf("%8.0f bytes of %s", n.bytes[url], strings.TrimPrefix(url, b.url))
		bytes += n.bytes[url]
	}
	b.t.Logf("the first rows after %.0f ms", seen.At)
	return len(seen.URLs), bytes, seen.At
}

// typeKeys searches for names key by key, waits each time until the rows are painted, and returns
// how long that took for n keys, the shortest first.
func (b *tab) typeKeys(n int) (times []float64) {
	b.t.Helper()
	fresh := b.another()
	must(fresh, cdppage.AddScriptToEvaluateOnNewDocument,
		cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: watchRows})
	fresh.open("/app/")
	fresh.until("window.painted?.length")
	fresh.eval(`document.querySelector("main input[type=search]").focus()`)
	for len(times) < n {
		// Names of which each beginning finds somebody: two letters find beginnings only.
		for _, name := range []string{
			"sergio", "padaria", "oficina", "marcia", "helena", "natalia", "c77",
		} {
			fresh.eval(`document.querySelector("main input[type=search]").select()`)
			for _, key := range name {
				if len(times) == n {
					break
				}
				fresh.eval("painted.length = 0")
				fresh.do(chromedp.KeyEvent(string(key)))
				fresh.until("painted.length")
				var ms float64
				authtest.Must(b.t, json.Unmarshal([]byte(fresh.eval("painted[0] - pressed")), &ms))
				times = append(times, ms)
			}
		}
	}
	slices.Sort(times)
	return times
}
