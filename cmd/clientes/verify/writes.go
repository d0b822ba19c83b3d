package verify

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
)

// writeChecks are the promises about what a write of a customer does.
func writeChecks() []check {
	return []check{
		{"record-written", customers,
			"A PUT replaces all texts, a PATCH those that it has, and the answer says what there is now.",
			tryRecordWritten},
		{"record-valid", customers,
			"A text beyond its rules is refused with its field, all faults at once.",
			tryRecordValid},
		{"idempotency-scope", customers,
			"An Idempotency-Key is its user's own, and a request that failed does not use it up.",
			tryIdempotencyScope},
	}
}

// isTag reports whether the ETag of an answer is that of a version, also as proxies write it.
func isTag(a answer, version int64) bool {
	tag := strings.TrimPrefix(a.header.Get("Etag"), "W/")
	return strings.TrimSuffix(strings.Trim(tag, `"`), "-gzip") == decimal(version)
}

// instantForm is the form of every time.
var instantForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

func tryRecordWritten(ctx context.Context, v *verifier) (string, error) {
	sent := v.oddTexts("written")
	sent["email"] = v.email("written")
	padded := maps.Clone(sent)
	padded["name"], padded["email"] = "  "+sent["name"]+"\t", " "+sent["email"]+" "
	a, err := v.wantAsAdmin(ctx, http.StatusCreated,
		request{method: "POST", path: "/clientes", body: padded})
	if err != nil {
		return "", err
	}
	made, err := clienteIn(a)
	if err != nil {
		return "", err
	}
	switch {
	case !leadsTo(a, made.path()):
		return "", broken("the Location of a new customer is %q", a.header.Get("Location"))
	case !isTag(a, 1) || made.Version != 1:
		return "", broken("a new customer has version %d and the ETag %s", made.Version,
			a.header.Get("Etag"))
	case !instantForm.MatchString(made.CreatedAt) || made.UpdatedAt != made.CreatedAt:
		return "", broken("a new customer was created at %q and updated at %q", made.CreatedAt,
			made.UpdatedAt)
	case made.differs(sent) != "":
		return "", broken("the %s of a new customer is not what was sent", made.differs(sent))
	}
	a, err = v.asAdmin(ctx, request{method: "GET", path: made.path() + "?nosuch=1"})
	if err == nil && !a.is(http.StatusBadRequest, "invalid_parameter") {
		err = broken("a GET of a customer with an unknown parameter is answered %v", a)
	}
	if err != nil {
		return "", err
	}
	now := made
	for _, step := range []struct {
		what, method, media string
		body                map[string]any
		change              func(*cliente)
	}{
		{"a PATCH of one text", "PATCH", "application/merge-patch+json",
			map[string]any{"phone": "1"}, func(c *cliente) { c.Phone = "1" }},
		{"a PATCH with null", "PATCH", "application/json",
			map[string]any{"company": nil, "email": nil},
			func(c *cliente) { c.Company, c.Email = "", "" }},
		{"a PUT of the name alone", "PUT", "application/json",
			map[string]any{"name": v.tag + " written again"},
			func(c *cliente) { *c = cliente{Name: v.tag + " written again"} }},
	} {
		a, err := v.wantAsAdmin(ctx, http.StatusOK, request{
			method: step.method, path: made.path(), body: step.body,
			header: http.Header{"If-Match": anyVersion, "Content-Type": {step.media}},
		})
		if err != nil {
			return "", err
		}
		got, err := clienteIn(a)
		if err != nil {
			return "", err
		}
		want := now
		step.change(&want)
		want.ID, want.Version, want.CreatedAt = now.ID, now.Version+1, now.CreatedAt
		want.UpdatedAt = got.UpdatedAt
		if got != want || got.UpdatedAt < now.UpdatedAt || !isTag(a, want.Version) {
			return "", broken("%s of version %d made version %d, created at %s and updated at %s, "+
				"with the ETag %s, or other texts than it should", step.what, now.Version,
				got.Version, got.CreatedAt, got.UpdatedAt, a.header.Get("Etag"))
		}
		if read, err := v.readCliente(ctx, made.ID); err != nil || read != got {
			return "", broken("after %s a GET has another record than its answer had", step.what)
		}
		now = got
	}
	if err := v.deleteCliente(ctx, made.ID); err != nil {
		return "", err
	}
	for _, r := range []request{
		{method: "GET"}, {method: "PUT", body: v.named("gone")},
		{method: "PATCH", body: v.named("gone")}, {method: "DELETE"},
	} {
		r.path, r.header = made.path(), http.Header{"If-Match": anyVersion}
		if a, err = v.asAdmin(ctx, r); err != nil {
			return "", err
		}
		if !a.is(http.StatusNotFound, "not_found") {
			return "", broken("%s of a customer that was deleted is answered %v", r.method, a)
		}
	}
	return "a POST, two PATCHes, a PUT and a DELETE did what they say", nil
}

// faults are the fields at fault in a 422.
func (a answer) faults() (fields []string) {
	var refusal struct {
		Errors []struct {
			Field   string `json:"field"`
			Message string `json:"message"`
			Code    string `json:"code"`
		} `json:"errors"`
	}
	if a.into(&refusal) != nil {
		return nil
	}
	for _, f := range refusal.Errors {
		if f.Message != "" && f.Code != "" {
			fields = append(fields, f.Field)
		}
	}
	return fields
}

func tryRecordValid(ctx context.Context, v *verifier) (string, error) {
	long := func(n int) string { return strings.Repeat("é", n) }
	most := texts{
		"name": v.tag + long(200-len(v.tag)), "phone": strings.Repeat("5", 40),
		"company": long(200), "address": long(500), "notes": long(10_000),
	}
	c, err := v.createCliente(ctx, most)
	if err != nil {
		return "", fmt.Errorf("texts of the greatest length: %w", err)
	}
	bad := []struct {
		fields string
		body   map[string]any
	}{
		{"name", map[string]any{"name": ""}},
		{"name", map[string]any{"name": " \t"}},
		{"name", map[string]any{"name": long(201)}},
		{"name", map[string]any{"name": v.tag + "\u0007"}},
		{"email", map[string]any{"email": "no address"}},
		{"email", map[string]any{"email": strings.Repeat("e", 250) + "@example.invalid"}},
		{"phone", map[string]any{"phone": strings.Repeat("5", 41)}},
		{"company", map[string]any{"company": long(201)}},
		{"company", map[string]any{"company": "two\nlines"}},
		{"address", map[string]any{"address": long(501)}},
		{"notes", map[string]any{"notes": long(10_001)}},
		{"role", map[string]any{"role": "admin"}},
		{"name email phone company address notes", map[string]any{
			"name": "", "email": "@", "phone": long(41), "company": long(201), "address": long(501),
			"notes": long(10_001),
		}},
	}
	for _, b := range bad {
		create := map[string]any{"name": v.tag + " valid"}
		maps.Copy(create, b.body)
		for _, r := range []request{
			{method: "POST", path: "/clientes", body: create},
			{method: "PUT", path: c.path(), body: create},
			{method: "PATCH", path: c.path(), body: b.body},
		} {
			if r.method != "POST" {
				r.header = http.Header{"If-Match": anyVersion}
			}
			a, err := v.asAdmin(ctx, r)
			if err != nil {
				return "", err
			}
			if got := strings.Join(a.faults(), " "); got != b.fields ||
				!a.is(http.StatusUnprocessableEntity, "validation_failed") {
				return "", broken("%s with faults in %s is answered %v with errors for %q",
					r.method, b.fields, a, got)
			}
		}
	}
	a, err := v.asAdmin(ctx, request{
		method: "POST", path: "/clientes", body: map[string]any{"notes": v.tag},
	})
	if err == nil && strings.Join(a.faults(), " ") != "name" {
		err = broken("a POST without a name is answered %v", a)
	}
	return fmt.Sprintf("%d bodies by POST, PUT and PATCH, each 422 with its fields", len(bad)), err
}

func tryIdempotencyScope(ctx context.Context, v *verifier) (string, error) {
	editor, err := v.shared(ctx, "editor")
	if err != nil {
		return "", err
	}
	r := request{
		method: "POST", path: "/clientes", body: v.named("scope"),
		header: withKey(v.tag + " scope"),
	}
	a, err := v.wantAsAdmin(ctx, http.StatusCreated, r)
	if err != nil {
		return "", err
	}
	first, err := clienteIn(a)
	if err != nil {
		return "", err
	}
	r.token = editor.token
	if a, err = v.do(ctx, r); err != nil {
		return "", err
	}
	if other, err := clienteIn(a); err != nil || a.status != http.StatusCreated ||
		other.ID == first.ID || a.header.Get("Idempotency-Replayed") != "" {
		return "", broken("the key of one user, sent by another one, is answered %v", a)
	}
	taken := v.named("scope taken")
	taken["email"] = v.email("scope")
	owner, err := v.createCliente(ctx, taken)
	if err != nil {
		return "", err
	}
	key := withKey(v.tag + " failed")
	again := request{method: "POST", path: "/clientes", body: taken, header: key}
	if _, err := v.wantAsAdmin(ctx, http.StatusConflict, again); err != nil {
		return "", err
	}
	if err := v.deleteCliente(ctx, owner.ID); err != nil {
		return "", err
	}
	if a, err = v.asAdmin(ctx, again); err != nil {
		return "", err
	}
	if a.status != http.StatusCreated || a.header.Get("Idempotency-Replayed") != "" {
		return "", broken("a request that had failed was sent again, and is answered %v", a)
	}
	for what, bad := range map[string]string{
		"a key of 256 characters": strings.Repeat("k", 256), "a key beyond ASCII": "é",
	} {
		a, err := v.asAdmin(ctx, request{
			method: "POST", path: "/clientes", body: v.named("scope bad"), header: withKey(bad),
		})
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusBadRequest, "invalid_parameter") {
			return "", broken("%s is answered %v", what, a)
		}
	}
	return "two users had one key, a failure was tried again, and two bad keys got 400", nil
}
