package verify

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// The vector is the first of RFC 6238, appendix B, cut to six digits.
func TestOneTimePassword(t *testing.T) {
	if got := oneTimePassword([]byte("12345678901234567890"), time.Unix(59, 0)); got != "287082" {
		t.Errorf("got %s", got)
	}
}

func TestMayFail(t *testing.T) {
	for within, want := range map[time.Duration]int{
		0: 5, 999 * time.Millisecond: 5, time.Second: 6, 2 * time.Second: 6, 3 * time.Second: 7,
		7 * time.Second: 8,
	} {
		if got := mayFail(within); got != want {
			t.Errorf("within %v may fail %d, want %d", within, got, want)
		}
	}
}

// Times differ if one kind is almost always slower, and by far.
func TestTimesDiffer(t *testing.T) {
	slow, fast := [pairs]int{50, 51, 52, 53, 54, 55}, [pairs]int{1, 1, 2, 2, 3, 3}
	for name, c := range map[string]struct {
		known, unknown [pairs]int // in milliseconds
		want           bool
	}{
		"a hash that is left out": {slow, fast, true},
		"the other way round":     {fast, slow, true},
		"one that had to wait":    {slow, [pairs]int{1, 1, 2, 2, 3, 53}, false},
		"the same":                {slow, slow, false},
		"a little slower":         {[pairs]int{60, 61, 62, 63, 64, 65}, slow, false},
		"both very fast":          {[pairs]int{4, 4, 4, 4, 4, 4}, fast, false},
	} {
		var all []pair
		for i := range pairs {
			var p pair
			p.known.took = time.Duration(c.known[i]) * time.Millisecond
			p.unknown.took = time.Duration(c.unknown[i]) * time.Millisecond
			all = append(all, p)
		}
		if got := timesOf(all).differ(); got != c.want {
			t.Errorf("%s: differ is %t", name, got)
		}
	}
}

// The last character of a MAC of 32 bytes has two bits that no byte holds.
func TestLoose(t *testing.T) {
	const signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	if got := loose(signature); got == signature || got[:42] != signature[:42] || got[42] != 'B' {
		t.Errorf("got %s", got)
	}
}

func TestReports(t *testing.T) {
	r := Report{
		Started: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), Took: 1234 * time.Millisecond,
		URL: "http://127.0.0.1:3000", Replicas: []string{"http://127.0.0.1:3001"},
		Server: "clientes 1.0.0", Requests: 7, Left: []string{"the user verify-x (503)"},
		Results: []Result{
			{Promise{"a", conventions, "It is so."}, Passed, "it was so", time.Second},
			{Promise{"b", sessions, "It ends."}, Failed, "got <b> | more", 0},
			{Promise{"c", sessions, "It begins."}, NotTried, "nobody was there", 0},
		},
	}
	if r.Err() == nil || r.Count(Failed) != 1 {
		t.Errorf("got %v, with %d failed", r.Err(), r.Count(Failed))
	}
	for name, c := range map[string]struct {
		write func(Report, io.Writer) error
		want  []string
	}{
		"text": {Report.WriteText, []string{
			"Server   http://127.0.0.1:3000 (clientes 1.0.0)\n", "Replica  http://127.0.0.1:3001\n",
			"Date     2026-11-29T12:00:00Z\n",
			"Result   1 passed, 1 failed, 1 not tried, in 1.2s with 7 requests\n",
			"\n4. Sessions\n  failed    b: It ends.\n            got <b> | more\n",
			"\nNot removed: the user verify-x (503)\n",
		}},
		"markdown": {Report.WriteMarkdown, []string{
			"- Date: 2026-11-29T12:00:00Z\n", "\n## 4. Sessions\n",
			"| `b` | It ends. | **failed** | got &lt;b> \\| more |\n",
			"| `c` | It begins. | not tried | nobody was there |\n",
			"\n## Not removed\n\n- the user verify-x (503)\n",
		}},
		"JSON": {Report.WriteJSON, []string{
			`"started": "2026-11-29T12:00:00Z"`, `"failed": 1`, `"id": "b"`,
			`"outcome": "not tried"`, `"left": [`,
		}},
	} {
		var b strings.Builder
		if err := c.write(r, &b); err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s lacks %q: %s", name, want, b.String())
			}
		}
	}
}

// A check that fails, cannot be tried or gets no answer is never one that passed.
func TestOutcomes(t *testing.T) {
	v, err := newVerifier(Config{URL: "http://127.0.0.1:3000/", Secret: "a very secret text"})
	if err != nil {
		t.Fatal(err)
	}
	v.admin = &session{expires: time.Now().Add(time.Hour)}
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{nil, Passed},
		{broken("it was otherwise"), Failed},
		{errors.New("no answer"), Failed},
		{notTried("it was not there"), NotTried},
		{&refusedError{answer{status: 500}}, Failed},
		{&refusedError{answer{status: 429}}, NotTried},
	} {
		try := func(context.Context, *verifier) (string, error) {
			return "a very secret text was seen", c.err
		}
		r := v.try(t.Context(), check{id: "x", try: try})
		if r.Outcome != c.want {
			t.Errorf("%v is %s, want %s", c.err, r.Outcome, c.want)
		}
		if strings.Contains(r.Evidence, "very secret") {
			t.Errorf("the evidence has a secret: %s", r.Evidence)
		}
	}
}

// The ids of the checks are theirs alone, and each promise is a sentence.
func TestChecks(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range Promises() {
		if seen[p.ID] || p.ID == "" || !strings.HasSuffix(p.Sentence, ".") || p.Section == "" {
			t.Errorf("%+v", p)
		}
		seen[p.ID] = true
	}
}
