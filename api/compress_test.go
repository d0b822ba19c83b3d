package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"clientes/auth/authtest"
	"clientes/store"
)

// packed sends a request of an admin and returns the answer with its body as it came, and that body
// unpacked if it is compressed. Unlike the fixture's own client it decides itself what it accepts.
func (f *fixture) packed(
	method, path, body string, headers ...string,
) (resp *http.Response, came, unpacked string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path,
		strings.NewReader(body))
	authtest.Must(f.t, err)
	req.Header.Set("Content-Type", mediaJSON)
	req.Header.Set("x-access-token", f.tokens[store.Admin])
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	resp, err = transport.RoundTrip(req)
	authtest.Must(f.t, err)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	authtest.Must(f.t, err)
	if resp.Header.Get("Content-Encoding") != "gzip" || len(all) == 0 {
		return resp, string(all), string(all)
	}
	z, err := gzip.NewReader(bytes.NewReader(all))
	authtest.Must(f.t, err)
	text, err := io.ReadAll(z)
	authtest.Must(f.t, err)
	return resp, string(all), string(text)
}

func TestAnswersAreCompressed(t *testing.T) {
	f := onSQLite(t)
	for i := range 20 {
		f.add(store.Cliente{Name: fmt.Sprint("Ana ", i), Notes: strings.Repeat("note ", 20)})
	}
	f.add(store.Cliente{Name: "Bia"})
	for _, c := range []struct {
		path, accept string
		packed       bool
	}{
		{"/clientes", "gzip", true},
		{"/clientes", "gzip, deflate, br, zstd", true},
		{"/clientes", "br;q=1.0, GZIP;q=0.2", true},
		{"/clientes", "gzip;q=0", false},
		{"/clientes", "br", false},
		{"/clientes", "*", false},
		{"/clientes", "identity", false},
		{"/clientes", "", false},
		{"/clientes/21", "gzip", false}, // less than 1 KiB
		{"/clientes/export", "gzip", true},
		{"/clientes/99", "gzip", false},
		{"/openapi.json", "gzip", true},
		{"/docs/swagger-ui-bundle.js", "gzip", true},
		{"/docs/swagger-ui-bundle.js", "br", false},
		{"/docs/favicon-32x32.png", "gzip", false},
	} {
		plain, want, _ := f.packed("GET", c.path, "")
		resp, came, got := f.packed("GET", c.path, "", "Accept-Encoding", c.accept)
		is := resp.Header.Get("Content-Encoding") == "gzip"
		if is != c.packed || is && len(came)*2 > len(want) {
			t.Errorf("%s for %q: compressed %t, %d bytes of %d", c.path, c.accept, is, len(came),
				len(want))
		}
		if got != want && resp.StatusCode == 200 {
			t.Errorf("%s for %q: unpacked it is %.100s", c.path, c.accept, got)
		}
		if resp.Header.Get("ETag") != plain.Header.Get("ETag") ||
			!slices.Contains(resp.Header["Vary"], "Accept-Encoding") ||
			!slices.Contains(plain.Header["Vary"], "Accept-Encoding") {
			t.Errorf("%s for %q: the headers are %v, of the plain one %v", c.path, c.accept,
				resp.Header, plain.Header)
		}
		if c.path == "/clientes" && plain.ContentLength != int64(len(want)) {
			t.Errorf("the plain one has the length %d of %d", plain.ContentLength, len(want))
		}
	}
	tag, _, _ := f.packed("GET", "/openapi.json", "")
	for _, c := range [][]string{
		{"GET", "/clientes", "Range", "bytes=0-9"},
		{"GET", "/docs/swagger-ui.css", "Range", "bytes=0-9"},
		{"GET", "/openapi.json", "If-None-Match", tag.Header.Get("ETag")},
		{"DELETE", "/clientes/1", "x", "x"},
	} {
		resp, _, _ := f.packed(c[0], c[1], "", "Accept-Encoding", "gzip", c[2], c[3])
		if resp.Header.Get("Content-Encoding") != "" || resp.StatusCode >= 400 {
			t.Errorf("%v answered %d %v", c, resp.StatusCode, resp.Header)
		}
	}
	resp, came, _ := f.packed("HEAD", "/clientes", "", "Accept-Encoding", "gzip")
	if resp.StatusCode != 200 || came != "" {
		t.Errorf("HEAD answered %d %q", resp.StatusCode, came)
	}
	notes := strings.Repeat("note ", 300)
	resp, _, _ = f.packed("PATCH", "/clientes/2", `{"notes":"`+notes+`"}`,
		"Accept-Encoding", "gzip")
	if resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("ETag") != `"2"` {
		t.Errorf("PATCH answered %d %v", resp.StatusCode, resp.Header)
	}
}

// An answer with a token or another secret is not compressed, whatever its length.
func TestSecretsAreNotCompressed(t *testing.T) {
	secret := []string{"token", "refresh_token", "device", "secret", "recovery_codes", "key", "qr"}
	documented := make(map[string]bool)
	for name, op := range documentedOperations(document(t)) {
		method, path, _ := strings.Cut(name, " ")
		ok := op.Responses.Status(200)
		if ok == nil || method != http.MethodPost || ok.Value.Content.Get(mediaJSON) == nil {
			continue
		}
		schema := ok.Value.Content.Get(mediaJSON).Schema.Value
		for _, member := range secret {
			property := schema.Properties[member]
			// The token of a logout is null.
			if property != nil && !property.Value.Type.Is(openapi3.TypeNull) {
				documented[path] = true
			}
		}
	}
	if got := secretRoutes(); fmt.Sprint(got) != fmt.Sprint(documented) {
		t.Errorf("the routes with secrets are %v, those in the document %v", got, documented)
	}
	f := onSQLite(t)
	resp, came, _ := f.packed("POST", "/me/mfa", `{"current":"`+testPassword+`"}`,
		"Accept-Encoding", "gzip")
	if resp.StatusCode != 200 || len(came) < minCompressed ||
		resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("answered %d with %d bytes, %v", resp.StatusCode, len(came), resp.Header)
	}
}
