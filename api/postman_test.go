package api

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"clientes/auth/authtest"
)

// servedCollection returns the collection that a server publishes.
func servedCollection(t *testing.T) (c postmanCollection, body []byte) {
	t.Helper()
	_, body = ask(t, staticServer(t), "GET", "/postman.json", nil)
	authtest.Must(t, json.Unmarshal(body, &c))
	return c, body
}

// requests returns the requests of a collection in the order of a run.
func (c postmanCollection) requests() []postmanItem {
	var list []postmanItem
	for _, folder := range c.Item {
		list = append(list, folder.Item...)
	}
	return list
}

func TestCollectionHasEachOperationOnce(t *testing.T) {
	documented := make(map[string]bool)
	for template, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			documented[method+" "+template] = true
		}
	}
	c, _ := servedCollection(t)
	parameter := regexp.MustCompile(`:([a-z]+)`)
	for _, r := range c.requests() {
		path := parameter.ReplaceAllString(strings.Join(r.Request.URL.Path, "/"), "{$1}")
		name := r.Request.Method + " /" + path
		if !documented[name] {
			t.Errorf("%s is in the collection twice, or not in the document", name)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is not in the collection", name)
	}
}

// The table of folders names nothing that is gone.
func TestFoldersNameOperations(t *testing.T) {
	documented := documentedOperations(document(t))
	for _, folder := range postmanFolders() {
		for _, r := range folder.requests {
			if documented[r.operation] == nil {
				t.Errorf("%s is not in the document", r.operation)
			}
		}
	}
}

func TestCollectionIsTheSameEachTime(t *testing.T) {
	_, first := servedCollection(t)
	_, second := servedCollection(t)
	if string(first) != string(second) {
		t.Error("two collections of one document differ")
	}
}

// Bruno translates only a few functions of Postman's scripts. The token is in auth alone: some
// programs send a header that is there twice twice.
func TestCollectionIsSimple(t *testing.T) {
	c, body := servedCollection(t)
	allowed := regexp.MustCompile(`\bpm\.(response\.json\(\)|collectionVariables\.(get|set)\()`)
	declared := make(map[string]bool)
	for _, v := range c.Variable {
		declared[v.Key] = true
		if v.Value != "" && !slices.Contains([]string{"baseUrl", "etag", "email"}, v.Key) {
			t.Errorf("the variable %s has a value", v.Key)
		}
	}
	if v := c.Variable[0]; v.Key != "baseUrl" || v.Value != "http://"+ownHost {
		t.Errorf("the server is %+v", v)
	}
	variable := regexp.MustCompile(`\{\{([^}]*)\}\}|ariables\.set\(\\"([^\\]*)`)
	for _, m := range variable.FindAllSubmatch(body, -1) {
		if name := string(m[1]) + string(m[2]); !declared[name] && name != "$guid" {
			t.Errorf("the variable %q is not declared", name)
		}
	}
	ids := make(map[string]bool)
	for _, r := range c.requests() {
		if r.ID == "" || ids[r.ID] || r.Name == "" {
			t.Errorf("a request has the id %q and the name %q", r.ID, r.Name)
		}
		ids[r.ID] = true
		for _, h := range r.Request.Header {
			if strings.EqualFold(h.Key, "x-access-token") || h.Key == "Authorization" {
				t.Errorf("%s has the header %s", r.ID, h.Key)
			}
		}
		for _, e := range r.Event {
			script := strings.Join(e.Script.Exec, "\n")
			if left := allowed.ReplaceAllString(script, ""); strings.Contains(left, "pm.") {
				t.Errorf("%s has a script that Bruno does not understand:\n%s", r.ID, script)
			}
		}
	}
	open := make(map[string]bool)
	for _, op := range documentedOperations(document(t)) {
		open[op.OperationID] = op.Security != nil && len(*op.Security) == 0
	}
	for _, r := range c.requests() {
		noauth := r.Request.Auth != nil && r.Request.Auth.Type == "noauth"
		if noauth != open[r.ID] {
			t.Errorf("%s is for anybody: %t, in the collection: %t", r.ID, open[r.ID], noauth)
		}
	}
}

// testdata/postman/schema.json is the one that Postman publishes.
func TestCollectionHasPostmansForm(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/postman/schema.json")
	authtest.Must(t, err)
	_, body := servedCollection(t)
	check := func(body []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		authtest.Must(t, err)
		return schema.Validate(value)
	}
	if err := check(body); err != nil {
		t.Error(err)
	}
	for from, to := range map[string]string{
		`"type":"noauth"`: `"type":"none"`, `"mode":"raw"`: `"mode":"text"`,
		`"schema":`: `"scheme":`, `"method":"GET"`: `"method":1`,
	} {
		if err := check(bytes.Replace(body, []byte(from), []byte(to), 1)); err == nil {
			t.Errorf("with %s, the collection still has the form", to)
		}
	}
}
