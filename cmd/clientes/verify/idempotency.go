package verify

import (
	"context"
	"fmt"
	"net/http"
)

func idempotencyChecks() []check {
	return []check{
		{"idempotency-replay", customers,
			"The same Idempotency-Key with the same body makes one record and repeats its answer.",
			tryIdempotencyReplay},
		{"idempotency-mismatch", customers,
			"An Idempotency-Key that stood for another body is refused.",
			tryIdempotencyMismatch},
		{"idempotency-race", customers,
			"Fifty creations at once with one Idempotency-Key make one record.",
			tryIdempotencyRace},
	}
}

func withKey(key string) http.Header { return http.Header{"Idempotency-Key": {key}} }

func tryIdempotencyReplay(ctx context.Context, v *verifier) (string, error) {
	body := v.named("replay")
	again := request{
		method: "POST", path: "/clientes", body: body, header: withKey(v.tag + " replay"),
	}
	first, err := v.wantAsAdmin(ctx, http.StatusCreated, again)
	if err != nil {
		return "", err
	}
	c, err := clienteIn(first)
	if err != nil {
		return "", err
	}
	if first.header.Get("Idempotency-Replayed") != "" {
		return "", broken("the first answer has Idempotency-Replayed")
	}
	if _, err := v.patchCliente(ctx, c.ID, texts{"notes": "changed since"}); err != nil {
		return "", err
	}
	second, err := v.asAdmin(ctx, again)
	switch {
	case err != nil:
		return "", err
	case second.status != http.StatusCreated || string(second.body) != string(first.body):
		return "", broken("the second answer is %v, and not the first one again", second)
	case second.header.Get("Idempotency-Replayed") != "true":
		return "", broken("the second answer has no Idempotency-Replayed: true")
	case second.header.Get("Location") != first.header.Get("Location"):
		return "", broken("the second answer has another Location")
	}
	if err := v.wantFound(ctx, body["name"], 1, "two requests had one key"); err != nil {
		return "", err
	}
	return "the second request got the first answer again, and one record exists", nil
}

func tryIdempotencyMismatch(ctx context.Context, v *verifier) (string, error) {
	r := request{
		method: "POST", path: "/clientes", body: v.named("mismatch"),
		header: withKey(v.tag + " mismatch"),
	}
	if _, err := v.wantAsAdmin(ctx, http.StatusCreated, r); err != nil {
		return "", err
	}
	r.body = v.named("other than before")
	a, err := v.asAdmin(ctx, r)
	switch {
	case err != nil:
		return "", err
	case !a.is(http.StatusUnprocessableEntity, "idempotency_mismatch"):
		return "", broken("the key came with another body, and the answer is %v", a)
	}
	return "422 idempotency_mismatch",
		v.wantFound(ctx, v.named("other than before")["name"], 0, "the second body was refused")
}

func tryIdempotencyRace(ctx context.Context, v *verifier) (string, error) {
	const n = 50
	body := v.named("race")
	answers, err := v.together(ctx, n, func(int) request {
		return request{
			method: "POST", path: "/clientes", body: body, header: withKey(v.tag + " race"),
		}
	})
	if err != nil {
		return "", err
	}
	firsts, later := 0, 0
	ids := make(map[int64]bool)
	for _, a := range answers {
		if a.is(http.StatusConflict, "idempotency_in_progress") {
			later++
			continue
		}
		if a.status != http.StatusCreated {
			return "", broken("one of %d requests at once got %v", n, a)
		}
		c, err := clienteIn(a)
		if err != nil {
			return "", err
		}
		ids[c.ID] = true
		if a.header.Get("Idempotency-Replayed") == "" {
			firsts++
		}
	}
	if len(ids) != 1 || firsts != 1 {
		return "", broken("%d requests at once got %d different records; %d of the answers say "+
			"that they are no repetition", n, len(ids), firsts)
	}
	if err := v.wantFound(ctx, body["name"], 1, "all requests had one key"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d requests at once got one record, %d of them had to ask again", n,
		later), nil
}
