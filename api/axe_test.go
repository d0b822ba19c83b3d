package api

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/chromedp/chromedp"
)

// axeScript is axe-core, which finds what keeps people with a disability out of a page.
var axeScript = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "axe")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", "axe", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return "", err
		}
	}
	install := exec.Command("npm", "ci",
		"--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	script, err := os.ReadFile(filepath.Join(folder, "node_modules", "axe-core", "axe.min.js"))
	return string(script), err
})

// long reports whether the tests should look at every page in every way, which takes minutes.
func long() bool { return os.Getenv("TEST_LONG") != "" }

// checkPage fails the test if axe finds something on the page as it stands, or if the page scrolls
// sideways on a narrow window. Long tests look at it with axe in the dark and in every size, too.
func (b *tab) checkPage(name string) {
	b.t.Helper()
	if long() {
		b.scheme("dark")
		b.axe(name + ", dark")
		b.scheme("light")
	}
	b.axe(name + ", light")
	for _, size := range [][2]int64{phoneSize, zoomedSize} {
		b.resize(size)
		if got := b.eval(overflowing); got != "" {
			b.t.Errorf("%s scrolls sideways at %d pixels: %s", name, size[0], got)
		}
		if long() {
			b.axe(fmt.Sprintf("%s, %d x %d", name, size[0], size[1]))
		}
	}
	b.resize(deskSize)
}

// overflowing names elements that stand out of a page or a dialog to the right.
const overflowing = `(() => {
	const boxes = [document.documentElement, ...document.querySelectorAll("dialog[open]")];
	return boxes.filter((box) => box.scrollWidth > box.clientWidth).map((box) => {
		const edge = box.getBoundingClientRect().left + box.clientWidth;
		const out = [...box.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > edge + 0.5);
		return box.scrollWidth + " > " + box.clientWidth + ": " +
			out.slice(0, 5).map((e) => e.outerHTML.slice(0, 120)).join("\n");
	}).join("\n");
})()`

// axe fails the test if axe finds something. Where it is missing, the test only says so.
func (b *tab) axe(name string) {
	b.t.Helper()
	script, err := axeScript()
	if err != nil {
		if os.Getenv("CI") != "" {
			b.t.Fatalf("no axe-core: %v", err)
		}
		b.t.Logf("%s is not checked by axe-core: %v", name, err)
		return
	}
	b.do(chromedp.Evaluate[chromedp.Void](script + "\n;undefined"))
	const options = `{ rules: { "target-size": { enabled: true } }, resultTypes: ["violations"] }`
	found := b.eval(`axe.run(document, ` + options + `).then((r) => r.violations.map((v) =>
		v.id + ": " + v.help + v.nodes.slice(0, 5).map((n) =>
			"\n\t" + n.html.slice(0, 200) + "\n\t\t" + n.failureSummary.replaceAll("\n", " ")).join("")).join("\n"))`)
	if found != "" {
		b.t.Errorf("%s: %s", name, found)
	}
}
