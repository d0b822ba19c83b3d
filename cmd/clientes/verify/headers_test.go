package verify

import "testing"

func TestARequestIDSaysNothingOfTheInside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, id, want string }{
		{`{"message":"Not found","request_id":"pGx3-panic"}`, "pGx3-panic", ""},
		{`{"message":"pgx: no rows","request_id":"abc"}`, "abc", "pgx"},
		{`{"message":"panic"}`, "", "panic"},
	} {
		if got := string(insideOf([]byte(c.body), c.id)); got != c.want {
			t.Errorf("of %s: got %q, want %q", c.body, got, c.want)
		}
	}
}
