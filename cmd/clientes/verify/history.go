package verify

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// change is a step of a history.
type change struct {
	Version int64   `json:"version"`
	Action  string  `json:"action"`
	UserID  int64   `json:"user_id"`
	User    string  `json:"user"`
	At      string  `json:"at"`
	Record  cliente `json:"record"`
}

// history reads all of a history in pages of that size.
func (v *verifier) history(ctx context.Context, c cliente, limit int) (all []change, err error) {
	path := fmt.Sprintf("%s/history?limit=%d", c.path(), limit)
	for pages := 0; path != ""; pages++ {
		if pages > 100 {
			return nil, broken("the history of a record with a few changes has over %d pages",
				pages)
		}
		a, err := v.wantAsAdmin(ctx, http.StatusOK, request{method: "GET", path: path})
		if err != nil {
			return nil, err
		}
		var page []change
		if err := a.into(&page); err != nil {
			return nil, err
		}
		all = append(all, page...)
		if path, err = nextPage(a); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// nextPage returns the path of the next page of a list, "" on the last one.
func nextPage(a answer) (path string, err error) {
	link := a.header.Get("Link")
	if link == "" {
		return "", nil
	}
	path, ok := strings.CutSuffix(link, `>; rel="next"`)
	path, ok2 := strings.CutPrefix(path, "<")
	if !ok || !ok2 || !strings.HasPrefix(path, "/") {
		return "", broken("the Link of a page is %q", link)
	}
	return path, nil
}

// actions returns the steps of a history as text, the newest first.
func actions(changes []change) string {
	var steps []string
	for _, c := range changes {
		steps = append(steps, fmt.Sprintf("%d %s", c.Version, c.Action))
	}
	return strings.Join(steps, ", ")
}

func tryHistoryComplete(ctx context.Context, v *verifier) (string, error) {
	editor, err := v.shared(ctx, "editor")
	if err != nil {
		return "", err
	}
	a, err := v.want(ctx, http.StatusCreated, request{
		method: "POST", path: "/clientes", token: editor.token, body: v.named("history"),
	})
	if err != nil {
		return "", err
	}
	created, err := clienteIn(a)
	if err != nil {
		return "", err
	}
	patched, err := v.patchCliente(ctx, created.ID, texts{"phone": "+55 11 99999-0000"})
	if err != nil {
		return "", err
	}
	a, err = v.want(ctx, http.StatusOK, request{
		method: "PUT", path: created.path(), token: editor.token, body: v.named("history again"),
		header: http.Header{"If-Match": anyVersion},
	})
	if err != nil {
		return "", err
	}
	replaced, err := clienteIn(a)
	if err != nil {
		return "", err
	}
	if err := v.deleteCliente(ctx, created.ID); err != nil {
		return "", err
	}
	if a, err = v.asAdmin(ctx, request{method: "GET", path: created.path()}); err != nil {
		return "", err
	}
	if !a.is(http.StatusNotFound, "not_found") {
		return "", broken("a record that was deleted is answered %v", a)
	}
	changes, err := v.history(ctx, created, 3)
	if err != nil {
		return "", err
	}
	const want = "4 deleted, 3 updated, 2 updated, 1 created"
	if got := actions(changes); got != want {
		return "", broken("the history is %q, not %q", got, want)
	}
	admin, records := v.admin.user.name, []cliente{replaced, replaced, patched, created}
	for i, by := range []string{admin, editor.user.name, admin, editor.user.name} {
		switch c := changes[i]; {
		case !strings.EqualFold(c.User, by):
			return "", broken("the history says that version %d was made by %q, not by %q",
				c.Version, c.User, by)
		case by == editor.user.name && c.UserID != editor.user.id || c.UserID == 0:
			return "", broken("the history says that version %d was made by the user %d, not %d",
				c.Version, c.UserID, editor.user.id)
		case c.Record != records[i]:
			return "", broken("the history has another record at version %d than the answer had",
				c.Version)
		case i > 0 && c.At > changes[i-1].At:
			return "", broken("version %d is said to be of %s, after the one that followed it, "+
				"of %s", c.Version, c.At, changes[i-1].At)
		}
	}
	return want + ", each with its user and its record", nil
}

func tryHistoryRestore(ctx context.Context, v *verifier) (string, error) {
	first := v.named("restore")
	first["email"] = v.email("restore")
	c, err := v.createCliente(ctx, first)
	if err != nil {
		return "", err
	}
	second, err := v.patchCliente(ctx, c.ID, texts{"notes": "the second text"})
	if err != nil {
		return "", err
	}
	third := texts{"notes": "the third text", "email": ""}
	if _, err = v.patchCliente(ctx, c.ID, third); err != nil {
		return "", err
	}
	restore := func(version, status int) (cliente, error) {
		r := request{
			method: "POST", path: c.path() + "/restore", body: map[string]int{"version": version},
		}
		a, err := v.asAdmin(ctx, r)
		switch {
		case err != nil:
			return cliente{}, err
		case a.is(http.StatusPreconditionRequired, "precondition_required"):
			r.header = http.Header{"If-Match": anyVersion}
			if a, err = v.asAdmin(ctx, r); err != nil {
				return cliente{}, err
			}
		}
		if a.status != status {
			return cliente{}, broken("a restore of version %d is answered %v, not %d", version, a,
				status)
		}
		if status != http.StatusOK {
			return cliente{}, nil
		}
		return clienteIn(a)
	}
	back, err := restore(2, http.StatusOK)
	if err != nil {
		return "", err
	}
	if back.Version != 4 || !back.sameText(second) {
		return "", broken("version 2 came back as version %d with the notes %q", back.Version,
			back.Notes)
	}
	if err := v.deleteCliente(ctx, c.ID); err != nil {
		return "", err
	}
	other := v.named("restore's rival")
	other["email"] = first["email"]
	rival, err := v.createCliente(ctx, other)
	if err != nil {
		return "", err
	}
	if _, err := restore(2, http.StatusConflict); err != nil {
		return "", err
	}
	if err := v.deleteCliente(ctx, rival.ID); err != nil {
		return "", err
	}
	if _, err := restore(77, http.StatusNotFound); err != nil {
		return "", err
	}
	if back, err = restore(2, http.StatusOK); err != nil {
		return "", err
	}
	if back.ID != c.ID || back.Version != 6 || back.CreatedAt != c.CreatedAt ||
		!back.sameText(second) {
		return "", broken("after a delete, version 2 came back as %d, version %d, created at %s",
			back.ID, back.Version, back.CreatedAt)
	}
	changes, err := v.history(ctx, c, 100)
	if err != nil {
		return "", err
	}
	const want = "6 restored, 5 deleted, 4 restored, 3 updated, 2 updated, 1 created"
	if got := actions(changes); got != want {
		return "", broken("the history is %q, not %q", got, want)
	}
	return "version 2 came back twice, the second time after a delete; a taken email was 409", nil
}

func tryErase(ctx context.Context, v *verifier) (string, error) {
	text := v.named("erase")
	c, err := v.createCliente(ctx, text)
	if err != nil {
		return "", err
	}
	if _, err := v.patchCliente(ctx, c.ID, texts{"notes": "to be erased"}); err != nil {
		return "", err
	}
	if err := v.deleteCliente(ctx, c.ID); err != nil {
		return "", err
	}
	for range 2 {
		_, err := v.wantAsAdmin(ctx, http.StatusNoContent, request{
			method: "POST", path: c.path() + "/erase",
			body: map[string]string{"reason": "clientes verify"},
		})
		if err != nil {
			return "", err
		}
	}
	for version := 1; version <= 4; version++ {
		_, err := v.wantAsAdmin(ctx, http.StatusNotFound, request{
			method: "POST", path: c.path() + "/restore", body: map[string]int{"version": version},
		})
		if err != nil {
			return "", err
		}
	}
	changes, err := v.history(ctx, c, 100)
	if err != nil {
		return "", err
	}
	const want = "4 erased, 3 deleted, 2 updated, 1 created"
	if got := actions(changes); got != want {
		return "", broken("the history is %q, not %q", got, want)
	}
	for _, change := range changes {
		if change.Record != (cliente{}) {
			return "", broken("the history has a record at version %d", change.Version)
		}
	}
	a, err := v.wantAsAdmin(ctx, http.StatusOK,
		request{method: "GET", path: c.path() + "/everything"})
	if err != nil {
		return "", err
	}
	if strings.Contains(string(a.body), text["name"]) {
		return "", broken("what is kept of an erased record has its name")
	}
	return want + ", without a record; no version came back", nil
}
