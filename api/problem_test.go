package api

import (
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth"
	"clientes/auth/authtest"
)

// Every reply, and what errors may add to it.
func TestProblemsAreThoseOfTheEncoder(t *testing.T) {
	var problems []problem
	for _, line := range replies {
		problems = append(problems, problem{Message: line.message, Code: line.code})
	}
	row, none := int64(7), int64(0)
	for _, s := range []string{
		"", "é…", `"quoted" \`, "\n\t\r\b\f\x00\x1f\x7f", "<b>&'/", "\u2028\u2029\U0001f600",
	} {
		problems = append(problems,
			problem{Message: s, Code: s, RequestID: s, Challenge: s},
			problem{Errors: []fieldError{{Field: s, Message: s, Code: s}}},
			problem{Errors: []fieldError{
				{Row: &row, Field: s}, {Row: &none, Code: s}, {Message: s},
			}})
	}
	problems = append(problems, problem{Errors: []fieldError{}}, problem{ErrorCount: 7},
		problem{ErrorCount: -1, Checks: &checks{Store: checkOK, Hasher: checkFailed}})
	for _, p := range problems {
		for _, p.Auth = range []*bool{nil, new(bool), new(true)} {
			got, err := p.appendJSON([]byte("before"))
			authtest.Must(t, err)
			want, err := json.Marshal(p)
			authtest.Must(t, err)
			if string(got) != "before"+string(want) {
				t.Errorf("a problem is written as\n%s\nwant\n%s", got, want)
			}
		}
	}
}

// BenchmarkProblem compares appendJSON with reflection, for the refusal of a forged token.
func BenchmarkProblem(b *testing.B) {
	_, p := problemFor(auth.ErrTokenInvalid)
	p.RequestID = "Zk3c0x9Xq1nVbW5T"
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 512)
		for b.Loop() {
			_, err := p.appendJSON(buf)
			authtest.Must(b, err)
		}
	})
	b.Run("by reflection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := json.Marshal(p)
			authtest.Must(b, err)
		}
	})
}
