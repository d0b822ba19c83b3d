package api

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// postmanFolder is a folder of the collection. Its requests run in this order.
type postmanFolder struct {
	name        string
	description string
	requests    []postmanRequest
	others      bool // it also gets what no folder names
}

// postmanRequest is what the OpenAPI document does not say of a request.
type postmanRequest struct {
	operation string // "GET /clientes/{id}"
	body      string // if it is empty: the example of a body that is required, else none
	mediaType string // of the body, application/json if it is empty
	accept    string
	keep      string            // a script that runs after the answer
	query     map[string]string // the query parameters that are sent
	deleted   bool              // the record is gone, and so If-Match names none
}

// The scripts use only pm.response.json and pm.collectionVariables, which Bruno understands too.
// A refusal leaves the variables as they are. That of a login makes a run red and says why.
const (
	keepLogin = `const answer = pm.response.json();
if (!answer.token) {
	const faults = [answer].concat(answer.errors || []);
	throw new Error(faults.map((fault) => fault.message).join(" "));
}
pm.collectionVariables.set("token", answer.token);
pm.collectionVariables.set("refreshToken", answer.refresh_token);
pm.collectionVariables.set("device", answer.device);`
	keepTokens = `const answer = pm.response.json();
if (answer.token) {
	pm.collectionVariables.set("token", answer.token);
	pm.collectionVariables.set("refreshToken", answer.refresh_token);
}`
	keepCliente = `const answer = pm.response.json();
if (answer.version) {
	pm.collectionVariables.set("clienteId", String(answer.id));
	pm.collectionVariables.set("etag", '"' + answer.version + '"');
}`
	keepUser = `const answer = pm.response.json();
if (answer.id) {
	pm.collectionVariables.set("userId", String(answer.id));
}`
	keepOwnSession = `const answer = pm.response.json();
const own = Array.isArray(answer) && answer.find((session) => session.current);
if (own) {
	pm.collectionVariables.set("sessionId", own.id);
}`
)

// postmanFolders returns the folders in the order of the tour in README.md. A run from the first
// request to the last leaves nothing behind: it erases the customer and the user that it created.
// What comes after the logout is refused in a run.
func postmanFolders() []postmanFolder {
	return []postmanFolder{
		{name: "Log in",
			description: "Fill in the variables user and password of the collection first.",
			requests: []postmanRequest{
				{
					operation: "POST /login", keep: keepLogin,
					body: `{"user": "{{user}}", "password": "{{password}}", "code": "{{code}}", ` +
						`"device": "{{device}}"}`,
				},
			}},
		{name: "Customers",
			description: "A write has the entity tag of the last answer in If-Match.",
			requests: []postmanRequest{
				{operation: "GET /clientes"},
				{operation: "POST /clientes", keep: keepCliente},
				{operation: "GET /clientes/{id}", keep: keepCliente},
				{operation: "PATCH /clientes/{id}", keep: keepCliente},
				{operation: "PUT /clientes/{id}", keep: keepCliente},
				{operation: "GET /clientes/{id}/history"},
				{
					operation: "POST /clientes/{id}/restore", keep: keepCliente,
					body: `{"version": 2}`, // that of PATCH: the first is as PUT left it
				},
				{operation: "DELETE /clientes/{id}"},
				{operation: "GET /clientes/{id}/everything"},
				{operation: "POST /clientes/{id}/erase", deleted: true},
				{
					operation: "POST /clientes/import", mediaType: "text/csv",
					query: map[string]string{"dry_run": "true"},
				},
				{operation: "GET /clientes/export", accept: "text/csv"},
				{
					operation: "GET /clientes/changes", accept: mediaJSON,
					query: map[string]string{"since": "0"},
				},
			}},
		{name: "Stay logged in", description: "The token is good for five minutes.",
			requests: []postmanRequest{
				{
					operation: "POST /refresh", keep: keepTokens,
					body: `{"refresh_token": "{{refreshToken}}"}`,
				},
			}},
		{name: "Your account", requests: []postmanRequest{
			{operation: "GET /me"},
			{operation: "DELETE /me/devices"},
		}},
		{name: "Users and audit",
			description: "For admins. It creates a user and deletes it. A change of a user needs " +
				"a login of the last five minutes.",
			requests: []postmanRequest{
				{operation: "GET /users"},
				{
					operation: "POST /users", keep: keepUser,
					body: `{"user": "postman-{{clienteId}}", "role": "viewer", ` +
						`"password": "{{$guid}}"}`,
				},
				{operation: "GET /users/{id}"},
				{operation: "PATCH /users/{id}", body: `{"role": "editor"}`},
				{operation: "DELETE /users/{id}/sessions"},
				{operation: "DELETE /users/{id}/mfa"},
				{operation: "DELETE /users/{id}"},
				{operation: "GET /audit"},
				{operation: "GET /doctor"},
			}},
		{name: "The server", description: "Without a token.", others: true,
			requests: []postmanRequest{
				{operation: "GET /"},
				{operation: "GET /healthz"},
				{operation: "GET /readyz"},
			}},
		{name: "Log out",
			description: "The first request keeps the id of this session. The second one ends it.",
			requests: []postmanRequest{
				{operation: "GET /sessions", keep: keepOwnSession},
				{operation: "DELETE /sessions/{id}"},
				{operation: "POST /logout"},
			}},
		{name: "By hand (mail, password, second factor)",
			description: "Fill in the variables email, mailToken (the text after the = in the link " +
				"of a mail), code (of the app), newUser and newPassword. Log in for those that " +
				"need a token.",
			requests: []postmanRequest{
				{
					operation: "POST /signup",
					body: `{"user": "{{newUser}}", "password": "{{newPassword}}", ` +
						`"email": "{{email}}"}`,
				},
				{operation: "POST /email/confirm", body: `{"token": "{{mailToken}}"}`},
				{operation: "POST /password/forgot", body: `{"email": "{{email}}"}`},
				{
					operation: "POST /password/reset",
					body:      `{"token": "{{mailToken}}", "password": "{{newPassword}}"}`,
				},
				{
					operation: "PATCH /me",
					body: `{"email": "{{email}}", "current": "{{password}}", ` +
						`"code": "{{code}}"}`,
				},
				{
					operation: "POST /password",
					body: `{"current": "{{password}}", "code": "{{code}}", ` +
						`"password": "{{newPassword}}"}`,
				},
				{operation: "POST /me/mfa", body: `{"current": "{{password}}"}`},
				{operation: "POST /me/mfa/confirm", body: `{"code": "{{code}}"}`},
				{
					operation: "POST /me/mfa/recovery",
					body:      `{"current": "{{password}}", "code": "{{code}}"}`,
				},
				{
					operation: "DELETE /me/mfa",
					body:      `{"current": "{{password}}", "code": "{{code}}"}`,
				},
			}},
	}
}

// postmanVariables returns the variables of the collection. None holds a secret. An entity tag of
// "*" is that of any version.
func postmanVariables(server string) []postmanPair {
	return []postmanPair{
		{Key: "baseUrl", Value: server, Type: "string"},
		{Key: "user", Type: "string"},
		{Key: "password", Type: "string"},
		{Key: "code", Type: "string"},
		{Key: "token", Type: "string"},
		{Key: "refreshToken", Type: "string"},
		{Key: "device", Type: "string"},
		{Key: "clienteId", Type: "string"},
		{Key: "etag", Value: "*", Type: "string"},
		{Key: "userId", Type: "string"},
		{Key: "sessionId", Type: "string"},
		{Key: "email", Value: "abc@example.com", Type: "string"},
		{Key: "mailToken", Type: "string"},
		{Key: "newUser", Type: "string"},
		{Key: "newPassword", Type: "string"},
	}
}

// The parts of a collection of version 2.1, as
// https://schema.getpostman.com/json/collection/v2.1.0/collection.json describes them.
type (
	postmanCollection struct {
		Info     postmanInfo   `json:"info"`
		Auth     postmanAuth   `json:"auth"`
		Variable []postmanPair `json:"variable"`
		Item     []postmanItem `json:"item"`
	}
	postmanInfo struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Schema      string `json:"schema"`
	}
	// postmanItem is a folder, which has items, or a request.
	postmanItem struct {
		ID          string         `json:"id,omitempty"`
		Name        string         `json:"name"`
		Description string         `json:"description,omitempty"`
		Item        []postmanItem  `json:"item,omitempty"`
		Event       []postmanEvent `json:"event,omitempty"`
		Request     *postmanSend   `json:"request,omitempty"`
	}
	postmanEvent struct {
		Listen string `json:"listen"`
		Script struct {
			Type string   `json:"type"`
			Exec []string `json:"exec"`
		} `json:"script"`
	}
	postmanSend struct {
		Method      string        `json:"method"`
		Description string        `json:"description,omitempty"`
		Auth        *postmanAuth  `json:"auth,omitempty"`
		Header      []postmanPair `json:"header"`
		Body        *postmanBody  `json:"body,omitempty"`
		URL         postmanURL    `json:"url"`
	}
	postmanAuth struct {
		Type   string        `json:"type"`
		APIKey []postmanPair `json:"apikey,omitempty"`
	}
	postmanBody struct {
		Mode    string `json:"mode"`
		Raw     string `json:"raw"`
		Options struct {
			Raw struct {
				Language string `json:"language"`
			} `json:"raw"`
		} `json:"options"`
	}
	postmanURL struct {
		Raw      string        `json:"raw"`
		Host     []string      `json:"host"`
		Path     []string      `json:"path"`
		Query    []postmanPair `json:"query,omitempty"`
		Variable []postmanPair `json:"variable,omitempty"`
	}
	postmanPair struct {
		Key         string `json:"key"`
		Value       string `json:"value"`
		Type        string `json:"type,omitempty"`
		Description string `json:"description,omitempty"`
		Disabled    bool   `json:"disabled,omitzero"`
	}
)

// The parts of openapi.yaml that a collection is made of.
type (
	apiDocument struct {
		Info struct {
			Title   string `json:"title"`
			Summary string `json:"summary"`
		} `json:"info"`
		Servers []struct {
			URL string `json:"url"`
		} `json:"servers"`
		Paths      map[string]apiPath `json:"paths"`
		Components struct {
			Parameters map[string]apiParameter `json:"parameters"`
			Schemas    map[string]apiSchema    `json:"schemas"`
		} `json:"components"`
	}
	apiPath struct {
		Parameters []apiParameter          `json:"parameters"`
		Operations map[string]apiOperation `json:",embed"` // by method
	}
	apiOperation struct {
		ID          string         `json:"operationId"`
		Summary     string         `json:"summary"`
		Description string         `json:"description"`
		Parameters  []apiParameter `json:"parameters"`
		// Security is empty on routes for anybody.
		Security    *[]jsontext.Value `json:"security"`
		RequestBody struct {
			Required bool `json:"required"`
			Content  map[string]struct {
				Example jsontext.Value `json:"example"`
				Schema  apiSchema      `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
	}
	apiParameter struct {
		Ref         string         `json:"$ref"`
		Name        string         `json:"name"`
		In          string         `json:"in"`
		Description string         `json:"description"`
		Example     jsontext.Value `json:"example"`
		Schema      apiSchema      `json:"schema"`
	}
	apiSchema struct {
		Ref      string           `json:"$ref"`
		Default  jsontext.Value   `json:"default"`
		Enum     []jsontext.Value `json:"enum"`
		Examples []jsontext.Value `json:"examples"`
	}
)

// operation returns the operation of a name like "GET /clientes/{id}", with the parameters of its
// path before its own.
func (d *apiDocument) operation(name string) (apiOperation, bool) {
	method, path, _ := strings.Cut(name, " ")
	item := d.Paths[path]
	op, ok := item.Operations[strings.ToLower(method)]
	op.Parameters = slices.Concat(item.Parameters, op.Parameters)
	for i, p := range op.Parameters {
		if component, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
			op.Parameters[i] = d.Components.Parameters[component]
		}
	}
	return op, ok
}

// resolve returns a schema, or the one that it refers to.
func (d *apiDocument) resolve(s apiSchema) apiSchema {
	if component, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[component]
	}
	return s
}

// names returns the names of all operations, sorted.
func (d *apiDocument) names() []string {
	var list []string
	for path, item := range d.Paths {
		for method := range maps.Keys(item.Operations) {
			list = append(list, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(list)
	return list
}

// postman returns a Postman collection that is made of the OpenAPI document as JSON. Its requests
// go to the first server of the document. The same document always makes the same bytes.
func postman(document []byte) ([]byte, error) {
	var d apiDocument
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	if len(d.Servers) == 0 {
		return nil, fmt.Errorf("the document has no server")
	}
	c := postmanCollection{
		Info: postmanInfo{
			Name: d.Info.Title,
			Description: d.Info.Summary + "\n\nFill in the variables user and password of this " +
				"collection, and send the first request. It keeps the token for the others.",
			Schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
		},
		Auth: postmanAuth{"apikey", []postmanPair{
			{Key: "key", Value: "x-access-token", Type: "string"},
			{Key: "value", Value: "{{token}}", Type: "string"},
			{Key: "in", Value: "header", Type: "string"},
		}},
		Variable: postmanVariables(d.Servers[0].URL),
	}
	for _, folder := range complete(postmanFolders(), d.names()) {
		item := postmanItem{Name: folder.name, Description: folder.description}
		for _, r := range folder.requests {
			if op, ok := d.operation(r.operation); ok {
				item.Item = append(item.Item, d.request(r, op))
			}
		}
		c.Item = append(c.Item, item)
	}
	b, err := json.Marshal(c)
	return append(b, '\n'), err
}

// complete adds the operations that no folder names to the one for others.
func complete(folders []postmanFolder, operations []string) []postmanFolder {
	named := make(map[string]bool)
	for _, f := range folders {
		for _, r := range f.requests {
			named[r.operation] = true
		}
	}
	others := slices.IndexFunc(folders, func(f postmanFolder) bool { return f.others })
	for _, name := range operations {
		if !named[name] {
			r := postmanRequest{operation: name}
			folders[others].requests = append(folders[others].requests, r)
		}
	}
	return folders
}

// request returns one request of the collection.
func (d *apiDocument) request(r postmanRequest, op apiOperation) postmanItem {
	method, path, _ := strings.Cut(r.operation, " ")
	send := &postmanSend{
		Method: method, Description: op.Description, Header: []postmanPair{},
		URL: d.url(path, r, op),
	}
	if op.Security != nil && len(*op.Security) == 0 {
		send.Auth = &postmanAuth{Type: "noauth"}
	}
	if r.accept != "" {
		send.Header = append(send.Header, postmanPair{Key: "Accept", Value: r.accept})
	}
	for _, p := range op.Parameters {
		// No other header: some programs send those that are switched off.
		if p.Name == "If-Match" && !r.deleted {
			send.Header = append(send.Header, postmanPair{
				Key: p.Name, Value: "{{etag}}", Description: p.Description,
			})
		}
	}
	mediaType := cmp.Or(r.mediaType, mediaJSON)
	if body := cmp.Or(r.body, d.example(op, mediaType)); body != "" {
		send.Header = append(send.Header, postmanPair{Key: "Content-Type", Value: mediaType})
		send.Body = &postmanBody{Mode: "raw", Raw: body}
		send.Body.Options.Raw.Language = "text"
		if mediaType == mediaJSON {
			send.Body.Options.Raw.Language = "json"
		}
	}
	item := postmanItem{ID: op.ID, Name: op.Summary, Request: send}
	if r.keep != "" {
		e := postmanEvent{Listen: "test"}
		e.Script.Type = "text/javascript"
		e.Script.Exec = strings.Split(r.keep, "\n")
		item.Event = []postmanEvent{e}
	}
	return item
}

// url returns the address of a request. Only the query parameters of r are switched on.
func (d *apiDocument) url(path string, r postmanRequest, op apiOperation) postmanURL {
	u := postmanURL{Raw: "{{baseUrl}}", Host: []string{"{{baseUrl}}"}}
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			segment = ":" + strings.TrimSuffix(name, "}")
		}
		u.Path = append(u.Path, segment)
	}
	u.Raw += "/" + strings.Join(u.Path, "/")
	var sent []string
	for _, p := range op.Parameters {
		switch p.In {
		case "path":
			u.Variable = append(u.Variable, postmanPair{
				Key: p.Name, Value: d.pathValue(path, p), Description: p.Description,
			})
		case "query":
			value, on := r.query[p.Name]
			if on {
				sent = append(sent, p.Name+"="+value)
			} else {
				value = d.value(p)
			}
			u.Query = append(u.Query, postmanPair{
				Key: p.Name, Value: value, Description: p.Description, Disabled: !on,
			})
		}
	}
	if sent != nil {
		u.Raw += "?" + strings.Join(sent, "&")
	}
	return u
}

// pathValue returns the variable that holds the value of a path parameter.
func (d *apiDocument) pathValue(path string, p apiParameter) string {
	switch {
	case p.Name != "id":
		return d.value(p)
	case strings.HasPrefix(path, "/users/"):
		return "{{userId}}"
	case strings.HasPrefix(path, "/sessions/"):
		return "{{sessionId}}"
	}
	return "{{clienteId}}"
}

// value returns what a parameter may be: its example, its default, or the first of its values.
func (d *apiDocument) value(p apiParameter) string {
	schema := d.resolve(p.Schema)
	own := []jsontext.Value{p.Example, schema.Default}
	for _, v := range slices.Concat(own, schema.Enum, schema.Examples) {
		if v != nil {
			return textOf(v)
		}
	}
	return ""
}

// example returns the first example of a body, "" for one that is not required.
func (d *apiDocument) example(op apiOperation, mediaType string) string {
	if !op.RequestBody.Required {
		return ""
	}
	media := op.RequestBody.Content[mediaType]
	own := []jsontext.Value{media.Example}
	for _, v := range slices.Concat(own, d.resolve(media.Schema).Examples) {
		if v != nil {
			return textOf(v)
		}
	}
	return ""
}

// textOf returns a text without its quotes, and other JSON with a member on each line.
func textOf(v jsontext.Value) string {
	if v.Kind() == '"' {
		return stringOf(v)
	}
	v = v.Clone()
	_ = v.Indent(jsontext.WithIndent("  ")) // it is valid, or Unmarshal had refused it
	return string(v)
}
