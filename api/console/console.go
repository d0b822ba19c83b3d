// Package console has the pages for people: the login page and the console behind it. They are
// plain HTML, CSS and ES modules without a build step. What is in this folder is what a browser
// runs.
//
// The pages are a client like any other. They use the public API through client.js, keep the access
// token in memory, and know nothing that the API does not tell every client.
package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
)

//go:embed *.html *.css *.js *.json
var files embed.FS

// Settings is what the pages know of their server.
type Settings struct {
	Origins    []string // the server's own; a page of another origin cannot use the cookie
	SignupOpen bool
}

// Page returns an HTML page for the given settings and data of its own. It returns an error if
// there is no such page.
func Page(name string, settings Settings, data any) ([]byte, error) {
	page, err := template.ParseFS(files, name)
	if err != nil {
		return nil, fmt.Errorf("read the page %s: %w", name, err)
	}
	var b bytes.Buffer
	err = page.Execute(&b, struct {
		Settings
		Data any
	}{settings, data})
	return b.Bytes(), err
}

// Files returns the style sheet, the modules and the dictionaries: all that the pages load, by the
// name under /app/.
func Files() fs.FS { return files }
