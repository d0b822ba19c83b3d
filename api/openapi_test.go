package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-json-experiment/json"

	"clientes/api/wire"
	"clientes/api/wire/wiretest"
	"clientes/auth"
	"clientes/auth/authtest"
	"clientes/store"
)

// loadDocument reads openapi.yaml once for all tests. None of them changes it.
var loadDocument = sync.OnceValues(func() (*openapi3.T, error) {
	b, err := assets.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	// To the validator, a file is one text.
	for _, f := range []wire.Format{wire.CSV, wire.NDJSON, mediaEvents} {
		openapi3filter.RegisterBodyDecoder(string(f), openapi3filter.PlainBodyDecoder)
	}
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		return nil, err
	}
	return doc, doc.WalkSchemas(plainSchema)
})

// plainSchema makes a schema one that the library checks without compiling it anew for each answer,
// which it does for OpenAPI 3.1 and which takes longer than all else in the tests here. A constant
// becomes the one value of an enum. Other keywords that need the compiler are refused.
func plainSchema(pointer string, ref *openapi3.SchemaRef) error {
	s := ref.Value
	if s.Const != nil {
		s.Enum = []any{s.Const}
	}
	if len(s.PrefixItems) > 0 || s.Contains != nil || s.PropertyNames != nil ||
		len(s.PatternProperties) > 0 || len(s.DependentSchemas) > 0 ||
		len(s.DependentRequired) > 0 ||
		s.UnevaluatedItems.Has != nil || s.UnevaluatedItems.Schema != nil ||
		s.UnevaluatedProperties.Has != nil || s.UnevaluatedProperties.Schema != nil ||
		s.If != nil || s.Then != nil || s.Else != nil || len(s.Defs) > 0 || s.ContentSchema != nil {
		return fmt.Errorf("the schema at %s has keywords that the tests would not check", pointer)
	}
	return nil
}

func document(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := loadDocument()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return doc
}

// bareServer returns a Server that has routes, and nothing behind them.
func bareServer(t *testing.T) *Server {
	t.Helper()
	s, err := New(Config{
		Store: brokenStore{}, Auth: new(auth.Auth), Log: slog.New(slog.DiscardHandler),
		Now: time.Now, PublicURL: &url.URL{Scheme: "http", Host: ownHost}, Console: true,
	})
	authtest.Must(t, err)
	return s
}

// validateResponse fails the test unless the answer is one that openapi.yaml promises for the
// request: its status, each of its headers, its media type and its body. Paths and methods that the
// document does not have must be answered as its description says. The body is what was read from
// resp.
func validateResponse(t testing.TB, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	if err := checkResponse(document(t), req, resp, body); err != nil {
		t.Errorf("%s %s answered %d, which openapi.yaml does not allow: %v\n%v\n%.2000s",
			req.Method, req.URL, resp.StatusCode, err, resp.Header, body)
	}
}

func checkResponse(doc *openapi3.T, req *http.Request, resp *http.Response, body []byte) error {
	want, allow, err := promised(doc, req, resp.StatusCode)
	if err != nil {
		return err
	}
	errs := []error{
		checkHeaders(want, allow, req, resp.Header),
		checkRequestID(resp.Header, body),
	}
	bodyless := req.Method == http.MethodHead || len(want.Content) == 0
	if bodyless && len(body) > 0 {
		errs = append(errs, errors.New("there is a body where none may be"))
	}
	// The library ignores answers to HEAD and 304s, so it gets the answer as a 200 to a GET of an
	// operation that promises just this. The document is no more than its version, see plainSchema.
	ok := openapi3.WithStatus(http.StatusOK, &openapi3.ResponseRef{Value: want})
	operation := &openapi3.Operation{Responses: openapi3.NewResponses(ok)}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: &http.Request{Method: http.MethodGet},
			Route:   &routers.Route{Spec: new(openapi3.T), Operation: operation},
		},
		Status: http.StatusOK,
		Header: resp.Header,
		Body:   io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{
			IncludeResponseStatus: true,
			ExcludeResponseBody:   bodyless,
			MultiError:            true,
		},
	}
	errs = append(errs, openapi3filter.ValidateResponse(context.Background(), input))
	return errors.Join(errs...)
}

// promised returns the response that the document has for a request and status, and the methods of
// its path.
func promised(
	doc *openapi3.T, req *http.Request, status int,
) (want *openapi3.Response, allow []string, err error) {
	item := pathItem(doc, req.URL.EscapedPath())
	if path, ok := tutorialPath(req.URL.EscapedPath()); ok && item == nil {
		if strings.Count(path, "/") == 1 || doc.Paths.Value(path) == nil {
			item = pathItem(doc, path)
		}
	}
	component := func(name string, only int) (*openapi3.Response, []string, error) {
		if status != only {
			return nil, nil, fmt.Errorf("the status is not %d", only)
		}
		return doc.Components.Responses[name].Value, allow, nil
	}
	if item == nil {
		return component("NotFound", http.StatusNotFound)
	}
	operations := item.Operations()
	allow = append(slices.Collect(maps.Keys(operations)), http.MethodOptions)
	if operations[http.MethodGet] != nil {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	operation := operations[method]
	switch {
	case method == http.MethodOptions:
		return component("Options", http.StatusNoContent)
	case operation == nil:
		return component("MethodNotAllowed", http.StatusMethodNotAllowed)
	}
	ref := operation.Responses.Status(status)
	if ref == nil {
		return nil, nil, errors.New("the status is not documented")
	}
	return ref.Value, allow, nil
}

// pathItem returns what the document has for an escaped path, or nil. Linters refuse a path with a
// slash at its end, so the document describes the console at the path that leads there.
func pathItem(doc *openapi3.T, escaped string) *openapi3.PathItem {
	if escaped == "/app/" {
		escaped = "/app"
	}
	for _, template := range doc.Paths.InMatchingOrder() { // the literal ones first
		item := doc.Paths.Value(template)
		for _, path := range expand(template, item) {
			if pathPattern(path).MatchString(escaped) {
				return item
			}
		}
	}
	return nil
}

var placeholder = regexp.MustCompile(`\\\{[a-z]+\\\}`)

// pathPatterns are what pathPattern has returned, by template.
var pathPatterns sync.Map

func pathPattern(template string) *regexp.Regexp {
	if known, ok := pathPatterns.Load(template); ok {
		return known.(*regexp.Regexp)
	}
	pattern := placeholder.ReplaceAllString(regexp.QuoteMeta(template), "[^/]+")
	compiled := regexp.MustCompile("^" + pattern + "$")
	pathPatterns.Store(template, compiled)
	return compiled
}

// expand returns one path for each value of a path parameter with an enum, and other paths as they
// are.
func expand(template string, item *openapi3.PathItem) []string {
	for _, p := range item.Parameters {
		if p.Value.In == "path" && len(p.Value.Schema.Value.Enum) > 0 {
			var paths []string
			for _, v := range p.Value.Schema.Value.Enum {
				path := strings.Replace(template, "{"+p.Value.Name+"}", v.(string), 1)
				paths = append(paths, path)
			}
			return paths
		}
	}
	return []string{template}
}

// checkHeaders refuses headers that the document does not promise. The library checks the others.
func checkHeaders(want *openapi3.Response, allow []string, req *http.Request, h http.Header) error {
	var errs []error
	// net/http adds some for the connection, and the description of the document promises some for
	// every answer.
	known := []string{
		"Content-Type", "Content-Length", "Date", "Connection", "X-Content-Type-Options",
		"Content-Security-Policy", "Strict-Transport-Security",
	}
	for name := range want.Headers {
		known = append(known, http.CanonicalHeaderKey(name))
	}
	for name, values := range h {
		// The headers of CORS depend on the configuration.
		cors := name == "Vary" || strings.HasPrefix(name, "Access-Control-")
		if !slices.Contains(known, name) && !cors {
			errs = append(errs, fmt.Errorf("the header %s is not documented", name))
		}
		// A list may have a line for each part (RFC 9110 section 5.3).
		if len(values) != 1 && name != "Set-Cookie" && name != "Vary" {
			errs = append(errs, fmt.Errorf("the header %s is there %d times", name, len(values)))
		}
	}
	if h.Get("X-Content-Type-Options") != "nosniff" {
		errs = append(errs, errors.New("X-Content-Type-Options is not nosniff"))
	}
	policy := h.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; ") ||
		!strings.HasSuffix(policy, "; frame-ancestors 'none'") {
		errs = append(errs, fmt.Errorf("Content-Security-Policy is %q", policy))
	}
	if len(want.Content) == 0 && h.Get("Content-Type") != "" {
		errs = append(errs, errors.New("there is a Content-Type without a body"))
	}
	if want.Headers["Allow"] != nil {
		given := strings.Split(h.Get("Allow"), ", ")
		slices.Sort(given)
		if !slices.Equal(given, allow) {
			errs = append(errs, fmt.Errorf("Allow is %q, the document has %q", given, allow))
		}
	}
	if id := req.Header.Get("X-Request-Id"); isRequestID(id) && h.Get("X-Request-Id") != id {
		errs = append(errs, errors.New("X-Request-Id is not the caller's own"))
	}
	return errors.Join(errs...)
}

// checkRequestID compares the request_id of an error with the header.
func checkRequestID(h http.Header, body []byte) error {
	var e struct {
		RequestID string `json:"request_id"`
	}
	_ = json.Unmarshal(body, &e) // what is no JSON object has no request_id
	if e.RequestID != "" && e.RequestID != h.Get("X-Request-Id") {
		return errors.New("the request_id of the body is not that of the header")
	}
	return nil
}

// sample is a possible answer, for the test of the check itself.
type sample struct {
	method, path string
	status       int
	header       http.Header
	body         string
}

func goodRecord() string {
	return `{"id":1,` + wiretest.Members(store.Cliente{Name: "Ana"}) + `,"version":1,` +
		`"created_at":"2026-11-22T18:00:00.000Z","updated_at":"2026-11-22T18:00:00.000Z"}`
}

func goodAnswer() *sample {
	return &sample{"GET", "/clientes/1", 200, http.Header{
		"X-Request-Id":           {"r1"},
		"X-Content-Type-Options": {"nosniff"},
		"Cache-Control":          {"no-store"},
		"Etag":                   {`"1"`},
		"Content-Type":           {"application/json; charset=utf-8"},
		"Date":                   {"Sun, 22 Nov 2026 18:00:00 GMT"},

		"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'"},
	}, goodRecord()}
}

func goodHead() *sample {
	a := goodAnswer()
	a.method, a.body = "HEAD", ""
	return a
}

func goodNotModified() *sample {
	a := goodAnswer()
	a.status, a.body = 304, ""
	a.header.Del("Content-Type")
	return a
}

func goodOptions() *sample {
	a := goodNotModified()
	a.method, a.status = "OPTIONS", 204
	a.header.Del("Etag")
	a.header.Set("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT")
	return a
}

func goodError(status int, code, header, value string) *sample {
	a := goodAnswer()
	a.header.Del("Etag")
	a.header.Set(header, value)
	a.status, a.body = status, `{"message":"No.","code":"`+code+`","request_id":"r1"}`
	return a
}

func goodNotFound() *sample { return goodError(404, "not_found", "Cache-Control", "no-store") }

func goodUnavailable() *sample { return goodError(503, "overloaded", "Retry-After", "1") }

func goodUnauthorized() *sample {
	a := goodError(401, "token_missing", "WWW-Authenticate", `Bearer realm="clientes"`)
	a.body = `{"auth":false,` + a.body[1:]
	return a
}

func goodMethodNotAllowed() *sample {
	a := goodError(405, "method_not_allowed", "Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT")
	a.method = "POST"
	return a
}

func goodUnknownPath() *sample {
	a := goodNotFound()
	a.path = "/clientes//"
	return a
}

// A check that accepts everything would be worse than none.
func TestValidateResponseRefuses(t *testing.T) {
	doc := document(t)
	check := func(a *sample) error {
		req := &http.Request{
			Method: a.method, URL: &url.URL{Path: a.path},
			Header: http.Header{"X-Request-Id": {"r1"}},
		}
		resp := &http.Response{StatusCode: a.status, Header: a.header}
		return checkResponse(doc, req, resp, []byte(a.body))
	}
	set := func(name, value string) func(*sample) {
		return func(a *sample) { a.header.Set(name, value) }
	}
	drop := func(name string) func(*sample) { return func(a *sample) { a.header.Del(name) } }
	body := func(text string) func(*sample) { return func(a *sample) { a.body = text } }
	edit := func(from, to string) func(*sample) {
		return func(a *sample) { a.body = strings.Replace(a.body, from, to, 1) }
	}
	status := func(n int) func(*sample) { return func(a *sample) { a.status = n } }
	for _, c := range []struct {
		name  string
		good  func() *sample
		spoil func(*sample)
	}{
		{"a status that is not documented", goodAnswer, status(202)},
		{"a header that is not documented", goodAnswer, set("Server", "clientes")},
		{"a header twice", goodAnswer, func(a *sample) { a.header.Add("Etag", `"1"`) }},
		{"a header missing", goodAnswer, drop("Etag")},
		{"a header of another form", goodAnswer, set("Etag", "1")},
		{"a header of another value", goodAnswer, set("Cache-Control", "no-cache")},
		{"no nosniff", goodAnswer, drop("X-Content-Type-Options")},
		{"no request id", goodAnswer, drop("X-Request-Id")},
		{"another request id", goodAnswer, set("X-Request-Id", "r2")},
		{"another media type", goodAnswer, set("Content-Type", "text/plain")},
		{"no media type", goodAnswer, drop("Content-Type")},
		{"a body that is no JSON", goodAnswer, body("<p>")},
		{"no body", goodAnswer, body("")},
		{"a member that is not documented", goodAnswer, edit(`{`, `{"x":1,`)},
		{"a member missing", goodAnswer, edit(`"phone":"",`, ``)},
		{"a member of another type", goodAnswer, edit(`"phone":""`, `"phone":null`)},
		{"a time without milliseconds", goodAnswer, edit(".000Z", "Z")},
		{"a time that is none", goodAnswer, edit("-22T", "-32T")},
		{"an id beyond 2^53", goodAnswer, edit(`"id":1`, `"id":9007199254740992`)},
		{"a text that is too long", goodAnswer, edit(`Ana`, strings.Repeat("a", store.MaxName+1))},
		{"a code of another status", goodNotFound, edit("not_found", "forbidden")},
		{"auth where it does not belong", goodNotFound, edit(`{`, `{"auth":false,`)},
		{"another request_id", goodNotFound, edit(`"r1"`, `"r2"`)},
		{"an unknown path that is found", goodUnknownPath,
			func(a *sample) { *a = *goodAnswer(); a.path = "/x" }},
		{"an unknown path with another error", goodUnknownPath, status(405)},
		{"503 without Retry-After", goodUnavailable, drop("Retry-After")},
		{"401 without WWW-Authenticate", goodUnauthorized, drop("WWW-Authenticate")},
		{"401 without auth", goodUnauthorized, edit(`"auth":false,`, ``)},
		{"405 without Allow", goodMethodNotAllowed, drop("Allow")},
		{"405 with too few methods", goodMethodNotAllowed,
			set("Allow", "GET, HEAD, OPTIONS, PATCH, PUT")},
		{"405 as 404", goodMethodNotAllowed,
			func(a *sample) { *a = *goodNotFound(); a.method = "POST" }},
		{"OPTIONS with a body", goodOptions, body("{}")},
		{"OPTIONS with too few methods", goodOptions,
			set("Allow", "GET, HEAD, OPTIONS, PATCH, PUT")},
		{"HEAD with a body", goodHead, body(goodRecord())},
		{"HEAD without a header of GET", goodHead, drop("Etag")},
		{"304 without ETag", goodNotModified, drop("Etag")},
		{"304 with a body", goodNotModified, body(goodRecord())},
		{"304 with a media type", goodNotModified, set("Content-Type", "application/json")},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := c.good()
			if err := check(a); err != nil {
				t.Fatalf("the good answer is refused: %v", err)
			}
			c.spoil(a)
			if check(a) == nil {
				t.Error("the bad answer is not refused")
			}
		})
	}
}

func TestDocumentIsValid(t *testing.T) {
	doc := document(t)
	err := doc.Validate(t.Context(),
		openapi3.EnableMultiError(), openapi3.EnableSchemaFormatValidation(),
		openapi3.AllowExtraSiblingFields("pathItems")) // of OpenAPI 3.1, which it does not know
	if err != nil {
		t.Error(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("the document is OpenAPI %s, not 3.1", doc.OpenAPI)
	}
}

// When the library validates the document it checks the examples of parameters, bodies and
// responses. This test checks those of headers and schemas.
func TestExamplesAreValid(t *testing.T) {
	doc := document(t)
	seen := 0
	check := func(where string, schema *openapi3.Schema, example any) {
		seen++
		if err := schema.VisitJSON(example, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	headers := func(where string, h openapi3.Headers) {
		for name, ref := range h {
			if ref.Value.Example != nil {
				check(where+", header "+name, ref.Value.Schema.Value, ref.Value.Example)
			}
		}
	}
	for name, ref := range doc.Components.Schemas {
		for i, example := range ref.Value.Examples {
			check(fmt.Sprintf("schema %s, example %d", name, i), ref.Value, example)
		}
	}
	headers("components", doc.Components.Headers)
	for name, ref := range doc.Components.Responses {
		headers("response "+name, ref.Value.Headers)
	}
	for name, op := range documentedOperations(doc) {
		for status, ref := range op.Responses.Map() {
			headers(name+" "+status, ref.Value.Headers)
		}
	}
	if seen == 0 {
		t.Error("no example was found")
	}
}

// Readers and generators learn most from an example: each body of each operation has one, its own
// or that of its schema. Pages and pictures have no schema, and none.
func TestEveryBodyHasAnExample(t *testing.T) {
	check := func(where string, content openapi3.Content) {
		for mediaType, m := range content {
			if m.Schema == nil || m.Example != nil || len(m.Examples) > 0 {
				continue
			}
			if len(m.Schema.Value.Examples) == 0 {
				t.Errorf("%s has no example of %s", where, mediaType)
			}
		}
	}
	for name, op := range documentedOperations(document(t)) {
		if op.RequestBody != nil {
			check(name, op.RequestBody.Value.Content)
		}
		for status, ref := range op.Responses.Map() {
			check(name+" "+status, ref.Value.Content)
		}
	}
}

// documentedOperations returns every operation by its method and path, "GET /clientes/{id}".
func documentedOperations(doc *openapi3.T) map[string]*openapi3.Operation {
	all := make(map[string]*openapi3.Operation)
	for template, item := range doc.Paths.Map() {
		for _, path := range expand(template, item) {
			for method, op := range item.Operations() {
				all[method+" "+path] = op
			}
		}
	}
	return all
}

var ginParameter = regexp.MustCompile(`:([a-z]+)`)

// documentedName returns the name that the document has for a route of the router.
func documentedName(method, path string) string {
	if path == "/app/" {
		path = "/app" // see pathItem
	}
	return method + " " + ginParameter.ReplaceAllString(path, "{$1}")
}

func TestRoutesAndDocumentAgree(t *testing.T) {
	documented := documentedOperations(document(t))
	routed := make(map[string]bool)
	for _, r := range bareServer(t).engine.Routes() {
		routed[documentedName(r.Method, r.Path)] = true
	}
	for name := range routed {
		method, path, _ := strings.Cut(name, " ")
		switch method {
		case http.MethodHead: // wherever GET is, says the description
			if !routed["GET "+path] {
				t.Errorf("%s is routed, but GET is not", name)
			}
		case http.MethodOptions: // everywhere
		default:
			if documented[name] == nil {
				t.Errorf("%s is routed, but not documented", name)
			}
		}
	}
	for name := range documented {
		method, path, _ := strings.Cut(name, " ")
		if !routed[name] {
			t.Errorf("%s is documented, but not routed", name)
		}
		if method == http.MethodGet && !routed["HEAD "+path] {
			t.Errorf("%s is routed, but HEAD is not", name)
		}
		if !routed["OPTIONS "+path] {
			t.Errorf("%s is routed, but OPTIONS is not", name)
		}
	}
}

// For each route, the document has the same access and query parameters as the table of routes.
func TestAccessAndParametersAgree(t *testing.T) {
	doc := document(t)
	table := make(map[string]route)
	s := bareServer(t)
	pages, err := s.consoleRoutes()
	authtest.Must(t, err)
	for _, r := range append(s.routes(), pages...) {
		table[documentedName(r.method, r.path)] = r
	}
	if !slices.EqualFunc(doc.Security, []string{"accessToken", "bearer"}, isScheme) {
		t.Errorf("by default the document asks for %v", doc.Security)
	}
	for name, op := range documentedOperations(doc) {
		r, ok := table[name]
		if !ok {
			r.may = anybody // a static page
		}
		role := cmp.Or(op.Extensions["x-role"], any(string(anybody)))
		if op.Extensions["x-without-mfa"] == true && role == string(viewers) {
			role = string(unfinished)
		}
		if role != string(r.may) {
			t.Errorf("%s is for %s, by the document for %v", name, r.may, role)
		}
		if scope := cmp.Or(op.Extensions["x-scope"], any("")); scope != string(r.scope) {
			t.Errorf("%s takes keys with the scope %q, by the document %v", name, r.scope, scope)
		}
		open := op.Security != nil && !mustAuthenticate(*op.Security)
		if open != (r.may == anybody) {
			t.Errorf("%s is for %s, by the document's security it needs no token: %t", name, r.may,
				open)
		}
		var query []string
		for _, p := range op.Parameters {
			if p.Value.In == "query" {
				query = append(query, p.Value.Name)
			}
		}
		slices.Sort(query)
		if takes := slices.Sorted(slices.Values(r.query)); !slices.Equal(takes, query) {
			t.Errorf("%s takes the parameters %q, by the document %q", name, takes, query)
		}
	}
}

func isScheme(r openapi3.SecurityRequirement, name string) bool {
	_, ok := r[name]
	return ok && len(r) == 1
}

// mustAuthenticate reports whether every alternative requires something.
func mustAuthenticate(alternatives openapi3.SecurityRequirements) bool {
	nothing := func(r openapi3.SecurityRequirement) bool { return len(r) == 0 }
	return len(alternatives) > 0 && !slices.ContainsFunc(alternatives, nothing)
}

// The document has the codes of the table of errors for each status, no more and no less.
func TestCodesAgree(t *testing.T) {
	doc := document(t)
	documented := make(map[string]bool)
	collect := func(status string, r *openapi3.Response) {
		if body := r.Content["application/json"]; body != nil {
			for _, code := range codes(body.Schema) {
				documented[status+" "+code] = true
			}
		}
	}
	for _, op := range documentedOperations(doc) {
		for status, ref := range op.Responses.Map() {
			collect(status, ref.Value)
		}
	}
	collect(strconv.Itoa(http.StatusMethodNotAllowed),
		doc.Components.Responses["MethodNotAllowed"].Value)

	coded := make(map[string]bool)
	status, p := problemFor(errors.New("any other"))
	coded[fmt.Sprint(status, " ", p.Code)] = true
	for _, line := range replies {
		coded[fmt.Sprint(line.status, " ", line.code)] = true
	}
	for code := range coded {
		if !documented[code] {
			t.Errorf("%s is answered, but not documented", code)
		}
	}
	for code := range documented {
		if !coded[code] {
			t.Errorf("%s is documented, but never answered", code)
		}
	}
}

// codes returns the values that a schema allows for the member "code".
func codes(schema *openapi3.SchemaRef) []string {
	var list []string
	if code := schema.Value.Properties["code"]; code != nil {
		for _, v := range code.Value.Enum {
			list = append(list, v.(string))
		}
	}
	for _, part := range slices.Concat(schema.Value.AllOf, schema.Value.OneOf) {
		list = append(list, codes(part)...)
	}
	return list
}
