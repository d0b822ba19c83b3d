package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

func recordChecks() []check {
	return []check{
		{"if-match", customers,
			"If-Match protects a record that has moved on, also with what proxies make of an ETag.",
			tryIfMatch},
		{"if-match-race", customers,
			"Of twenty writers at once with the same If-Match, exactly one wins.",
			tryIfMatchRace},
		{"patch-unchanged", customers,
			"A PATCH or PUT that changes nothing leaves version and history alone.",
			tryPatchUnchanged},
		{"history-complete", customers,
			"The history has every change, in order, with who made it, also after a delete.",
			tryHistoryComplete},
		{"history-restore", customers,
			"A restore makes the text of a version the record's again, also after a delete.",
			tryHistoryRestore},
		{"erase", customers,
			"An erasure leaves no text of a record, and no version can be restored.",
			tryErase},
		{"email-unique", customers,
			"A customer's email is unique without regard to case.",
			tryEmailUnique},
		{"text-kept", customers,
			"Text is stored and answered as it came.",
			tryTextKept},
		{"paging-complete", customers,
			"A walk through the pages sees every record exactly once while others write.",
			tryPagingComplete},
	}
}

// cliente is a customer as the server answers it.
type cliente struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	Phone     string `json:"phone"`
	Company   string `json:"company"`
	Address   string `json:"address"`
	Notes     string `json:"notes"`
	Version   int64  `json:"version"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

func (c cliente) path() string { return "/clientes/" + strconv.FormatInt(c.ID, 10) }

// sameText reports whether two customers have the same writable texts.
func (c cliente) sameText(d cliente) bool {
	return c.Name == d.Name && c.Email == d.Email && c.Phone == d.Phone &&
		c.Company == d.Company && c.Address == d.Address && c.Notes == d.Notes
}

// texts are the writable members of a customer.
type texts map[string]string

// named returns the texts of a customer whose name shows that the run made it.
func (v *verifier) named(what string) texts { return texts{"name": v.tag + " " + what} }

// email returns an address that no other customer has.
func (v *verifier) email(what string) string { return v.tag + "." + what + "@example.invalid" }

// anyVersion is for writes to a server with REQUIRE_IF_MATCH.
var anyVersion = []string{"*"}

// createCliente makes a customer as the admin.
func (v *verifier) createCliente(ctx context.Context, t texts) (cliente, error) {
	a, err := v.wantAsAdmin(ctx, http.StatusCreated,
		request{method: "POST", path: "/clientes", body: t})
	if err != nil {
		return cliente{}, err
	}
	return clienteIn(a)
}

func clienteIn(a answer) (c cliente, err error) {
	if err := a.into(&c); err != nil {
		return c, err
	}
	if c.ID == 0 {
		return c, broken("the answer %v has a customer without an id", a)
	}
	return c, nil
}

// readCliente reads a customer as the admin.
func (v *verifier) readCliente(ctx context.Context, id int64) (cliente, error) {
	a, err := v.wantAsAdmin(ctx, http.StatusOK,
		request{method: "GET", path: cliente{ID: id}.path()})
	if err != nil {
		return cliente{}, err
	}
	return clienteIn(a)
}

// patchCliente changes a customer as the admin, whatever its version.
func (v *verifier) patchCliente(ctx context.Context, id int64, t texts) (cliente, error) {
	a, err := v.wantAsAdmin(ctx, http.StatusOK, request{
		method: "PATCH", path: cliente{ID: id}.path(), body: t,
		header: http.Header{"If-Match": anyVersion},
	})
	if err != nil {
		return cliente{}, err
	}
	return clienteIn(a)
}

func (v *verifier) deleteCliente(ctx context.Context, id int64) error {
	_, err := v.wantAsAdmin(ctx, http.StatusNoContent, request{
		method: "DELETE", path: cliente{ID: id}.path(),
		header: http.Header{"If-Match": anyVersion},
	})
	return err
}

// search lists the customers that have a text, at most a thousand.
func (v *verifier) search(ctx context.Context, text string) (found []cliente, err error) {
	a, err := v.wantAsAdmin(ctx, http.StatusOK, request{
		method: "GET", path: "/clientes?limit=1000&q=" + url.QueryEscape(text),
	})
	if err != nil {
		return nil, err
	}
	return found, a.into(&found)
}

// wantFound returns an error unless that many customers have a text.
func (v *verifier) wantFound(ctx context.Context, text string, n int, why string) error {
	found, err := v.search(ctx, text)
	if err == nil && len(found) != n {
		err = broken("%s, but the list has %d customers of that name, not %d", why, len(found), n)
	}
	return err
}

// together sends n requests at once as the admin, to the servers in turn.
func (v *verifier) together(
	ctx context.Context, n int, each func(i int) request,
) ([]answer, error) {
	servers, token := v.servers(), v.admin.token
	answers, errs := make([]answer, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			r := each(i)
			r.token, r.server = token, servers[i%len(servers)]
			answers[i], errs[i] = v.do(ctx, r)
		})
	}
	group.Wait()
	return answers, errors.Join(errs...)
}

func tryIfMatch(ctx context.Context, v *verifier) (string, error) {
	c, err := v.createCliente(ctx, v.named("if-match"))
	if err != nil {
		return "", err
	}
	a, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "GET", path: c.path()})
	if err != nil {
		return "", err
	}
	if !isTag(a, 1) {
		return "", broken("the ETag of a new record is %q", a.header.Get("Etag"))
	}
	a, err = v.asAdmin(ctx, request{
		method: "GET", path: c.path(), header: http.Header{"If-None-Match": {`"1"`}},
	})
	if err != nil {
		return "", err
	}
	if a.status != http.StatusNotModified || len(a.body) > 0 {
		return "", broken("GET with If-None-Match of the present version is answered %v", a)
	}
	patch := func(tag, notes string) request {
		return request{
			method: "PATCH", path: c.path(), body: texts{"notes": notes},
			header: http.Header{"If-Match": {tag}},
		}
	}
	// Each of these names the present version, so each of them counts it up.
	for i, form := range []string{`"%d"`, `W/"%d"`, `"%d-gzip"`, `"%d-br"`, `"9", "%d"`} {
		tag := fmt.Sprintf(form, i+1)
		a, err := v.asAdmin(ctx, patch(tag, tag))
		if err != nil {
			return "", err
		}
		if a.status != http.StatusOK || !isTag(a, int64(i)+2) {
			return "", broken("PATCH with If-Match: %s of version %d is answered %v with ETag %s",
				tag, i+1, a, a.header.Get("Etag"))
		}
	}
	put := patch(`"1"`, "")
	put.method, put.body = "PUT", v.named("if-match too late")
	remove := patch(`"1"`, "")
	remove.method, remove.body = "DELETE", nil
	for _, r := range []request{
		patch(`"1"`, "too late"), patch(`"1-gzip"`, "too late"), put, remove,
	} {
		a, err := v.asAdmin(ctx, r)
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusPreconditionFailed, "version_mismatch") {
			return "", broken("%s with If-Match of version 1 is answered %v, though the record is "+
				"at 6", r.method, a)
		}
	}
	if a, err = v.asAdmin(ctx, patch("1", "no quotes")); err != nil {
		return "", err
	}
	if !a.is(http.StatusBadRequest, "invalid_parameter") {
		return "", broken("If-Match: 1 without quotes is answered %v", a)
	}
	now, err := v.readCliente(ctx, c.ID)
	if err != nil {
		return "", err
	}
	if now.Version != 6 || now.Name != c.Name {
		return "", broken("writes that were refused have changed the record to version %d",
			now.Version)
	}
	return "five forms of the present ETag were taken, and four writes of an old one got 412", nil
}

func tryIfMatchRace(ctx context.Context, v *verifier) (string, error) {
	const writers, rounds = 20, 3
	c, err := v.createCliente(ctx, v.named("if-match race"))
	if err != nil {
		return "", err
	}
	for round := range rounds {
		answers, err := v.together(ctx, writers, func(i int) request {
			return request{
				method: "PATCH", path: c.path(),
				body:   texts{"notes": fmt.Sprintf("round %d, writer %d", round, i)},
				header: http.Header{"If-Match": {fmt.Sprintf(`"%d"`, round+1)}},
			}
		})
		if err != nil {
			return "", err
		}
		won := 0
		for _, a := range answers {
			switch {
			case a.status == http.StatusOK:
				won++
			case !a.is(http.StatusPreconditionFailed, "version_mismatch"):
				return "", broken("one of %d writers at once got %v", writers, a)
			}
		}
		if won != 1 {
			return "", broken("%d of %d writers at once with one If-Match have won", won, writers)
		}
	}
	now, err := v.readCliente(ctx, c.ID)
	if err == nil && now.Version != rounds+1 {
		err = broken("after %d rounds the record is at version %d", rounds, now.Version)
	}
	return fmt.Sprintf("one of %d writers won in each of %d rounds", writers, rounds), err
}

func tryPatchUnchanged(ctx context.Context, v *verifier) (string, error) {
	c, err := v.createCliente(ctx, v.named("unchanged"))
	if err != nil {
		return "", err
	}
	for _, r := range []request{
		{method: "PATCH", body: texts{"name": c.Name}},
		{method: "PATCH", body: texts{}},
		{method: "PUT", body: c},
	} {
		r.path, r.header = c.path(), http.Header{"If-Match": anyVersion}
		a, err := v.wantAsAdmin(ctx, http.StatusOK, r)
		if err != nil {
			return "", err
		}
		now, err := clienteIn(a)
		if err != nil {
			return "", err
		}
		if now != c {
			return "", broken("a %s that changes nothing made version %d of it, updated at %s",
				r.method, now.Version, now.UpdatedAt)
		}
	}
	changes, err := v.history(ctx, c, 100)
	if err == nil && len(changes) != 1 {
		err = broken("the history has %d changes, though nothing but the creation happened",
			len(changes))
	}
	return "two PATCHes and what GET gave, sent back by PUT, left the record at version 1", err
}

func tryEmailUnique(ctx context.Context, v *verifier) (string, error) {
	mail := v.email("unique")
	one := v.named("unique")
	one["email"] = mail
	first, err := v.createCliente(ctx, one)
	if err != nil {
		return "", err
	}
	two := v.named("not unique")
	other, err := v.createCliente(ctx, two) // an empty email belongs to anybody
	if err != nil {
		return "", err
	}
	two["email"] = strings.ToUpper(mail)
	for _, r := range []request{
		{method: "POST", path: "/clientes", body: two},
		{method: "PATCH", path: other.path(), body: texts{"email": strings.ToUpper(mail)}},
	} {
		if r.method == "PATCH" {
			r.header = http.Header{"If-Match": anyVersion}
		}
		a, err := v.asAdmin(ctx, r)
		if err != nil {
			return "", err
		}
		if !a.is(http.StatusConflict, "conflict") || !strings.Contains(string(a.body), `"email"`) {
			return "", broken("%s with an email that another customer has in small letters is "+
				"answered %v", r.method, a)
		}
	}
	found, err := v.byEmail(ctx, strings.ToUpper(mail))
	if err != nil {
		return "", err
	}
	if len(found) != 1 || found[0].ID != first.ID || found[0].Email != mail {
		return "", broken("the search for the email in capital letters found %d customers",
			len(found))
	}
	if err := v.deleteCliente(ctx, first.ID); err != nil {
		return "", err
	}
	if _, err := v.createCliente(ctx, two); err != nil {
		return "", err
	}
	return "the same email in capital letters is 409 conflict until its customer is deleted", nil
}

func (v *verifier) byEmail(ctx context.Context, email string) (found []cliente, err error) {
	a, err := v.wantAsAdmin(ctx, http.StatusOK, request{
		method: "GET", path: "/clientes?email=" + url.QueryEscape(email),
	})
	if err != nil {
		return nil, err
	}
	return found, a.into(&found)
}

// oddTexts are texts that a careless program changes.
func (v *verifier) oddTexts(what string) texts {
	return texts{
		"name":    v.tag + " " + what + ` <b>Zoë</b> & "Ana" 👩‍👩‍👧`,
		"phone":   "+55 (11) 99999-0000",
		"company": `=HYPERLINK("http://example.com";"x")`,
		"address": "Rua A, 1\nSão Paulo; \"SP\"",
		"notes":   "  '; DROP TABLE clientes; --\n\t%s {{x}} \\n \\u0041 \u2028 \u0301\n\n",
	}
}

func (c cliente) texts() texts {
	return texts{
		"name": c.Name, "email": c.Email, "phone": c.Phone, "company": c.Company,
		"address": c.Address, "notes": c.Notes,
	}
}

// differs returns the name of the first text that a customer has otherwise than it was sent, "" if
// there is none.
func (c cliente) differs(sent texts) string {
	has := c.texts()
	for _, name := range []string{"name", "email", "phone", "company", "address", "notes"} {
		if has[name] != sent[name] {
			return name
		}
	}
	return ""
}

func tryTextKept(ctx context.Context, v *verifier) (string, error) {
	sent := v.oddTexts("odd")
	made, err := v.createCliente(ctx, sent)
	if err != nil {
		return "", err
	}
	read, err := v.readCliente(ctx, made.ID)
	if err != nil {
		return "", err
	}
	for _, c := range []cliente{made, read} {
		if name := c.differs(sent); name != "" {
			return "", broken("the %s was sent as %q and came back as %q", name, sent[name],
				c.texts()[name])
		}
	}
	// These alone are changed, as is promised: the form of Unicode, and the ends of lines.
	c, err := v.patchCliente(ctx, made.ID, texts{"company": "Cafe\u0301", "notes": "a\r\nb\rc"})
	if err != nil {
		return "", err
	}
	if c.Company != "Caf\u00e9" || c.Notes != "a\nb\nc" {
		return "", broken("NFD and CRLF came back as %q and %q, not as NFC and LF", c.Company,
			c.Notes)
	}
	return "markup, formulas, quotes, white space and characters beyond ASCII came back as " +
		"sent", nil
}
