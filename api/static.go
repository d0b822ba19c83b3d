package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/swaggest/swgui/v5/static"
)

//go:embed openapi.yaml docs
var assets embed.FS

// docsPolicy lets the docs page load its own files and ask its own server, and nothing else. The data
// images are small pictures inside Swagger UI's style sheet.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// staticFile is a file that is the same for everybody until the next release.
type staticFile struct {
	path      string
	mediaType string
	policy    string         // the Content-Security-Policy of an HTML page, else empty
	content   func() content // made when first asked for, because unpacking takes longer than all of the start
}

type content struct {
	body []byte
	etag string
}

// staticFiles returns every static document that the server publishes: the OpenAPI document in both forms, the page
// to read and try it, and the files of that page. The error names a file that the binary lacks.
func staticFiles() ([]staticFile, error) {
	const (
		css  = "text/css; charset=utf-8"
		html = "text/html; charset=utf-8"
		js   = "text/javascript; charset=utf-8"
		png  = "image/png"
	)
	var list []staticFile
	for _, p := range []struct {
		path, mediaType, policy string
		from                    fs.FS
		file                    string
		unpack                  func([]byte) ([]byte, error)
	}{
		{"/openapi.yaml", "application/yaml", "", assets, "openapi.yaml", asItIs},
		{"/openapi.json", "application/json", "", assets, "openapi.yaml", yaml.YAMLToJSON},
		{"/docs", html, docsPolicy, assets, "docs/index.html", asItIs},
		{"/docs/page.css", css, "", assets, "docs/page.css", asItIs},
		{"/docs/page.js", js, "", assets, "docs/page.js", asItIs},
		{"/docs/swagger-ui.css", css, "", static.FS, "swagger-ui.css.gz", gunzip},
		{"/docs/swagger-ui-bundle.js", js, "", static.FS, "swagger-ui-bundle.js.gz", gunzip},
		{"/docs/favicon-16x16.png", png, "", static.FS, "favicon-16x16.png", asItIs},
		{"/docs/favicon-32x32.png", png, "", static.FS, "favicon-32x32.png", asItIs},
	} {
		packed, err := fs.ReadFile(p.from, p.file)
		if err != nil {
			return nil, fmt.Errorf("read what %s is made of: %w", p.path, err)
		}
		list = append(list, staticFile{p.path, p.mediaType, p.policy, sync.OnceValue(func() content {
			body, err := p.unpack(packed)
			if err != nil {
				// The input is part of the binary: a fault of the build, which every test of the page sees.
				panic(fmt.Errorf("unpack %s: %w", p.file, err))
			}
			sum := sha256.Sum256(body)
			return content{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}
		})})
	}
	return list, nil
}

func asItIs(b []byte) ([]byte, error) { return b, nil }

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// ServeHTTP answers GET and HEAD. The page may be kept by whoever likes, but is asked for again each time,
// so that a new release is seen at once.
func (f staticFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := f.content()
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", c.etag)
	h.Set("Referrer-Policy", "no-referrer")
	if matchesWeakly(r.Header.Values("If-None-Match"), c.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if f.policy != "" {
		h.Set("Content-Security-Policy", f.policy)
	}
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(c.body)))
	w.WriteHeader(http.StatusOK)
	// Whether the client still listens is the connection's business: there is nobody left to tell.
	_, _ = w.Write(c.body)
}
