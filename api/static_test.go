package api

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"

	"clientes/auth/authtest"
)

// ask sends a request to a server, checks the answer against openapi.yaml and returns it.
func ask(
	t *testing.T, server *httptest.Server, method, path string, header http.Header,
) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, server.URL+path, nil)
	authtest.Must(t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := server.Client().Do(req)
	authtest.Must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	authtest.Must(t, err)
	validateResponse(t, req, resp, body)
	return resp, body
}

func staticServer(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(bareServer(t))
	t.Cleanup(server.Close)
	return server
}

func TestStaticFiles(t *testing.T) {
	server := staticServer(t)
	list, err := staticFiles("http://" + ownHost)
	authtest.Must(t, err)
	for _, p := range list {
		t.Run(p.path, func(t *testing.T) {
			resp, body := ask(t, server, "GET", p.path, nil)
			if resp.StatusCode != http.StatusOK || len(body) == 0 {
				t.Fatalf("the answer is %d, %d bytes", resp.StatusCode, len(body))
			}
			if got := resp.Header.Get("Content-Type"); got != p.mediaType {
				t.Errorf("the media type is %q, not %q", got, p.mediaType)
			}
			if strings.HasPrefix(p.mediaType, "text/html") != (p.policy != "") {
				t.Errorf("the policy is %q", p.policy)
			}
			want := cmp.Or(p.policy, noPage)
			if got := resp.Header.Get("Content-Security-Policy"); got != want {
				t.Errorf("the policy is %q, not %q", got, want)
			}

			head, _ := ask(t, server, "HEAD", p.path, nil)
			if head.StatusCode != http.StatusOK || head.ContentLength != int64(len(body)) {
				t.Errorf("HEAD answers %d, length %d", head.StatusCode, head.ContentLength)
			}

			tag := resp.Header.Get("Etag")
			for value, status := range map[string]int{
				tag:                   http.StatusNotModified,
				`"another", W/` + tag: http.StatusNotModified,
				`"another"`:           http.StatusOK,
			} {
				resp, _ := ask(t, server, "GET", p.path, http.Header{"If-None-Match": {value}})
				if resp.StatusCode != status {
					t.Errorf("If-None-Match: %s is answered with %d, not %d", value,
						resp.StatusCode, status)
				}
			}
		})
	}
}

// Another spelling of a path is no file.
func TestStaticFilesHaveNoSecondAddress(t *testing.T) {
	server := staticServer(t)
	for _, path := range []string{
		"/docs/", "/docs/index.html", "/docs/swagger-ui.css.gz", "/docs/../openapi.yaml",
		"/docs/%2e%2e/openapi.yaml", "/docs/swagger-ui.js",
		"/openapi.yml", "/openapi.yaml/", "/Docs", "//docs",
	} {
		if resp, _ := ask(t, server, "GET", path, nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s is answered with %d", path, resp.StatusCode)
		}
	}
}

// Generated clients go to the server that published the document.
func TestDocumentHasItsServer(t *testing.T) {
	server := staticServer(t)
	_, asJSON := ask(t, server, "GET", "/openapi.json", nil)
	var published struct {
		Servers []struct {
			URL string `json:"url"`
		} `json:"servers"`
	}
	authtest.Must(t, json.Unmarshal(asJSON, &published))
	if s := published.Servers; len(s) != 1 || s[0].URL != "http://"+ownHost {
		t.Errorf("the servers are %+v", s)
	}
}

// The JSON has the same content as the YAML, in the same order.
func TestDocumentInBothForms(t *testing.T) {
	server := staticServer(t)
	_, asYAML := ask(t, server, "GET", "/openapi.yaml", nil)
	_, asJSON := ask(t, server, "GET", "/openapi.json", nil)

	var fromYAML, fromJSON any
	authtest.Must(t, yaml.Unmarshal(asYAML, &fromYAML))
	authtest.Must(t, json.Unmarshal(asJSON, &fromJSON)) // refuses a name given twice
	// Both go through JSON once more, because the two libraries read numbers as different types.
	again, err := json.Marshal(fromYAML)
	authtest.Must(t, err)
	fromYAML = nil
	authtest.Must(t, json.Unmarshal(again, &fromYAML))
	if !reflect.DeepEqual(fromYAML, fromJSON) {
		t.Error("the two forms differ")
	}

	var ordered struct {
		Paths jsontext.Value `json:"paths"`
	}
	authtest.Must(t, json.Unmarshal(asJSON, &ordered))
	var inYAML, inJSON []string
	for _, m := range regexp.MustCompile(`(?m)^  (/\S*):$`).FindAllSubmatch(asYAML, -1) {
		inYAML = append(inYAML, string(m[1]))
	}
	dec := jsontext.NewDecoder(bytes.NewReader(ordered.Paths))
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		authtest.Must(t, err)
		if token.Kind() == '"' {
			inJSON = append(inJSON, token.String())
			if err := dec.SkipValue(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(inYAML) == 0 || !reflect.DeepEqual(inYAML, inJSON) {
		t.Errorf("the paths are %q in YAML and %q in JSON", inYAML, inJSON)
	}
}

// A browser would refuse to run what the policy forbids, and the page would stay empty.
func TestDocsPageKeepsItsPolicy(t *testing.T) {
	server := staticServer(t)
	resp, html := ask(t, server, "GET", "/docs", nil)
	policy := resp.Header.Get("Content-Security-Policy")
	for _, forbidden := range []string{"unsafe-", "http:", "https:", "*", "blob:"} {
		if strings.Contains(policy, forbidden) {
			t.Errorf("the policy allows %s", forbidden)
		}
	}
	for _, needed := range []string{
		"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'",
	} {
		if !strings.Contains(policy, needed) {
			t.Errorf("the policy lacks %s", needed)
		}
	}
	inline := regexp.MustCompile(
		`(?i)<style|<script(?:\s+[^>]*)?>\s*[^<\s]|\s(style|on[a-z]+)\s*=|javascript:`)
	if found := inline.Find(html); found != nil {
		t.Errorf("the page has %q in it, which the policy forbids", found)
	}
	refs := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(html, -1)
	if len(refs) < 4 {
		t.Errorf("the page loads %d files only", len(refs))
	}
	for _, ref := range refs {
		path := "/" + string(ref[1]) // relative to /docs
		if resp, _ := ask(t, server, "GET", path, nil); resp.StatusCode != http.StatusOK {
			t.Errorf("the page needs %s, which is answered with %d", ref[1], resp.StatusCode)
		}
	}
}
