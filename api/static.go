package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"github.com/swaggest/swgui/v5/static"
)

//go:embed openapi.yaml docs client/client.js client/client.d.ts
var assets embed.FS

// docsPolicy allows the docs page its own files and its own server, and nothing else. The style
// sheet of Swagger UI has small pictures as data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
	"frame-ancestors 'none'"

// The media types of pages and of what they load.
const (
	mediaCSS  = "text/css; charset=utf-8"
	mediaHTML = "text/html; charset=utf-8"
	mediaJS   = "text/javascript; charset=utf-8"
)

// staticFile is a file that is the same for everybody until the next release.
type staticFile struct {
	path      string
	mediaType string
	policy    string         // the Content-Security-Policy of an HTML page, else empty
	content   func() content // reads at the first call: all files take longer than the whole start
}

type content struct {
	body []byte
	etag string
	gzip func() []byte // the body compressed, or nil where that is not worth it
}

func newContent(body []byte, mediaType string) content {
	sum := sha256.Sum256(body)
	return content{
		body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`,
		gzip: sync.OnceValue(func() []byte { return compressOnce(body, mediaType) }),
	}
}

// staticFiles returns the files that the server publishes: the OpenAPI document in both forms, the
// page to read and try it with what it loads, a collection for Postman, and the client of the API.
// The document has server as its address. An error names a file that the binary lacks.
func staticFiles(server string) ([]staticFile, error) {
	const png = "image/png"
	served := func(b []byte) ([]byte, error) { return withServer(b, server) }
	asJSON := func(b []byte) ([]byte, error) {
		b, err := served(b)
		if err != nil {
			return nil, err
		}
		return yamlToJSON(b)
	}
	collection := func(b []byte) ([]byte, error) {
		b, err := asJSON(b)
		if err != nil {
			return nil, err
		}
		return postman(b)
	}
	var list []staticFile
	for _, p := range []struct {
		path, mediaType, policy string
		from                    fs.FS
		file                    string
		unpack                  func([]byte) ([]byte, error)
	}{
		{"/openapi.yaml", "application/yaml", "", assets, "openapi.yaml", served},
		{"/openapi.json", "application/json", "", assets, "openapi.yaml", asJSON},
		{"/postman.json", "application/json", "", assets, "openapi.yaml", collection},
		{"/docs", mediaHTML, docsPolicy, assets, "docs/index.html", unchanged},
		{"/docs/page.css", mediaCSS, "", assets, "docs/page.css", unchanged},
		{"/docs/page.js", mediaJS, "", assets, "docs/page.js", unchanged},
		{"/docs/swagger-ui.css", mediaCSS, "", static.FS, "swagger-ui.css.gz", gunzip},
		{"/docs/swagger-ui-bundle.js", mediaJS, "", static.FS, "swagger-ui-bundle.js.gz", gunzip},
		{"/docs/favicon-16x16.png", png, "", static.FS, "favicon-16x16.png", unchanged},
		{"/docs/favicon-32x32.png", png, "", static.FS, "favicon-32x32.png", unchanged},
		{"/client.js", mediaJS, "", assets, "client/client.js", unchanged},
		{"/client.d.ts", "application/typescript", "", assets, "client/client.d.ts", unchanged},
	} {
		if _, err := fs.Stat(p.from, p.file); err != nil {
			return nil, fmt.Errorf("read what %s is made of: %w", p.path, err)
		}
		unpacked := sync.OnceValue(func() content {
			packed, err := fs.ReadFile(p.from, p.file)
			body, unpackErr := p.unpack(packed)
			if err := errors.Join(err, unpackErr); err != nil {
				// The input is part of the binary, so every test of the file sees this.
				panic(fmt.Errorf("unpack %s: %w", p.file, err))
			}
			c := newContent(body, p.mediaType)
			if strings.HasSuffix(p.file, ".gz") {
				c.gzip = func() []byte { return packed }
			}
			return c
		})
		list = append(list, staticFile{p.path, p.mediaType, p.policy, unpacked})
	}
	return list, nil
}

func unchanged(b []byte) ([]byte, error) { return b, nil }

// withServer returns openapi.yaml with another server. It edits the text, which keeps the comments
// and the order.
func withServer(b []byte, server string) ([]byte, error) {
	const line = "servers:\n  - url: "
	before, after, ok := bytes.Cut(b, []byte(line))
	if !ok {
		return nil, errors.New("openapi.yaml has no server")
	}
	_, rest, _ := bytes.Cut(after, []byte("\n"))
	url, err := yaml.Marshal(server) // with a line break
	return slices.Concat(before, []byte(line), url, rest), err
}

// yamlToJSON returns a document as JSON that ends with one newline, as every JSON answer does.
func yamlToJSON(b []byte) ([]byte, error) {
	j, err := yaml.YAMLToJSON(b)
	return append(bytes.TrimSpace(j), '\n'), err
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// ServeHTTP answers GET and HEAD. Caches may keep the file, but have to ask each time whether it is
// still the same, so that a new release is seen at once.
func (f staticFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := f.content()
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", c.etag)
	// With no-referrer, a form that a page posts would have no Origin.
	h.Set("Referrer-Policy", "same-origin")
	if f.policy != "" {
		// A 304 needs it too, because its headers replace those in the cache.
		h.Set("Content-Security-Policy", f.policy)
	}
	// A header that cannot be read names no version: the whole file is a good answer to it.
	if had, _ := parseTags(r.Header.Values("If-None-Match")); had.match(c.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.mediaType)
	if f.policy != "" {
		leaveOpener(h) // a 304 leaves it as it is
	}
	body := c.body
	if acceptsGzip(r) {
		if packed := c.gzip(); packed != nil {
			body = packed
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // an error means that the client hung up
}

// leaveOpener takes a page from the page of another origin that has opened it (OWASP ASVS 5.0,
// 3.4.8). That one could show its own login form in the same tab later.
func leaveOpener(h http.Header) { h.Set("Cross-Origin-Opener-Policy", "same-origin") }
