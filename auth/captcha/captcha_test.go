package captcha

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/auth/token"
)

const (
	testSecret  = "0123456789abcdef0123456789abcdef"
	otherSecret = "fedcba9876543210fedcba9876543210"
)

// noon is the time of the tests.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func issuer(t testing.TB, now func() time.Time, secret string, previous ...string) *Issuer {
	t.Helper()
	keys, err := token.NewKeyring(secret, previous...)
	authtest.Must(t, err)
	return NewIssuer(keys, now)
}

func solve(t testing.TB, challenge string) string {
	t.Helper()
	solution, err := Solve(challenge)
	authtest.Must(t, err)
	return solution
}

// wantRefused fails the test if a solution is accepted for the login of ana.
func wantRefused(t *testing.T, i *Issuer, what, solution string) {
	t.Helper()
	if _, ok := i.Check("login", "ana", solution); ok {
		t.Errorf("%s is accepted: %s", what, solution)
	}
}

func TestASolutionIsGoodForOneThing(t *testing.T) {
	c := authtest.StoppedAt(noon)
	i := issuer(t, c.Now, testSecret)
	challenge := i.Challenge("login", "ana", 1000)
	solution := solve(t, challenge)
	salt, ok := i.Check("login", "ana", solution)
	if !ok || salt != strings.Split(challenge, ".")[0] {
		t.Fatalf("%s is %q, %t", solution, salt, ok)
	}
	if other := i.Challenge("login", "ana", 1000); strings.HasPrefix(other, salt) {
		t.Errorf("the same salt twice: %s", other)
	}
	for _, other := range [][2]string{
		{"signup", "ana"}, {"forgot", "ana"}, {"", "ana"},
		{"login", "bia"}, {"login", ""}, {"login", "ana "}, {"logi", "nana"}, {"logina", "na"},
	} {
		if _, ok := i.Check(other[0], other[1], solution); ok {
			t.Errorf("it is good for %q", other)
		}
	}
	if _, ok := issuer(t, c.Now, otherSecret).Check("login", "ana", solution); ok {
		t.Error("it is good under another secret")
	}
	// While a secret is replaced, replicas accept each other's.
	replaced := issuer(t, c.Now, otherSecret, testSecret)
	if _, ok := replaced.Check("login", "ana", solution); !ok {
		t.Error("it is not good after the secret was replaced")
	}
	c.Advance(TTL - time.Second)
	if _, ok := i.Check("login", "ana", solution); !ok {
		t.Error("it expired too soon")
	}
	c.Advance(time.Second)
	wantRefused(t, i, "an expired one", solution)
	c.Advance(-24 * time.Hour)
	wantRefused(t, i, "one from a clock that was ahead", solution)
}

func TestWhatIsNoSolution(t *testing.T) {
	i := issuer(t, func() time.Time { return noon }, testSecret)
	challenge := i.Challenge("login", "ana", 1000)
	solution := solve(t, challenge)
	parts := strings.Split(solution, ".")
	n, err := strconv.Atoi(parts[5])
	authtest.Must(t, err)
	with := func(part int, text string) string {
		other := strings.Split(solution, ".")
		other[part] = text
		return strings.Join(other, ".")
	}
	later := solve(t, issuer(t, func() time.Time { return noon.Add(time.Hour) }, testSecret).
		Challenge("login", "ana", 1))
	// A character moves from the beginning of a part to the end of the part before it.
	splice := func(part int) string {
		other := strings.Split(solution, ".")
		other[part] += other[part+1][:1]
		other[part+1] = other[part+1][1:]
		return strings.Join(other, ".")
	}
	own := parts[0] + "." + digest(parts[0], 0) + ".1." + parts[3] + "." + parts[4] + ".0"
	for what, text := range map[string]string{
		"nothing":                    "",
		"the challenge":              challenge,
		"another number":             with(5, strconv.Itoa((n+1)%1000)),
		"a number below 0":           with(5, "-"+parts[5]),
		"a number with a zero":       with(5, "0"+parts[5]),
		"a number with a sign":       with(5, "+"+parts[5]),
		"a blank":                    solution + " ",
		"a part more":                solution + "." + parts[5],
		"a shorter max":              with(2, "10"),
		"a longer max":               with(2, "1000000"),
		"another salt":               with(0, newSalt()),
		"another digest":             with(1, digest(parts[0], 7)),
		"a digest in capitals":       with(1, strings.ToUpper(parts[1])),
		"a later end":                with(3, "1795349100"),
		"half a MAC":                 with(4, parts[4][:11]),
		"no MAC":                     with(4, ""),
		"a puzzle of one's own":      own,
		"a MAC of another puzzle":    with(4, strings.Split(later, ".")[4]),
		"one of an hour ahead":       later,
		"a megabyte":                 strings.Repeat(".", 1<<20),
		"a digit of salt as number":  parts[0][:31] + "." + strings.Join(parts[1:], "."),
		"numbers spliced":            splice(2),
		"salt and digest spliced":    splice(0),
		"digest and max spliced":     splice(1),
		"a text that is not ours":    "x.y.z",
		"a number beyond all others": with(5, "99999999999999999999"),
	} {
		wantRefused(t, i, what, text)
	}
	// What the server picks is below the maximum. A number that has the digest but is not below
	// would need no search, if somebody could lower the maximum.
	if n > 0 {
		wantRefused(t, i, "a number that is not below max", with(2, parts[5]))
	}
}

// TestWork checks that a puzzle has no more numbers than the caller was told, and that each of them
// occurs.
func TestWork(t *testing.T) {
	i := issuer(t, func() time.Time { return noon }, testSecret)
	seen := make(map[string]bool)
	for range 500 {
		solution := solve(t, i.Challenge("login", "ana", 10))
		seen[solution[strings.LastIndexByte(solution, '.'):]] = true
	}
	if len(seen) != 10 {
		t.Errorf("of 10 numbers %d occur: %v", len(seen), seen)
	}
	for numbers, want := range map[int64]string{
		-1: "1", 0: "1", 1: "1", MaxNumbers: "1000000", MaxNumbers + 1: "1000000",
	} {
		if got := strings.Split(i.Challenge("login", "ana", numbers), ".")[2]; got != want {
			t.Errorf("a challenge with %d numbers has %s", numbers, got)
		}
	}
}

// TestSolveIsBounded calls Solve with what no server of ours would send.
func TestSolveIsBounded(t *testing.T) {
	i := issuer(t, func() time.Time { return noon }, testSecret)
	parts := strings.Split(i.Challenge("login", "ana", 10), ".")
	for what, c := range map[string][]string{
		"no text":          {""},
		"four parts":       parts[:4],
		"too many numbers": {parts[0], parts[1], "1000001", parts[3], parts[4]},
		"no number":        {parts[0], digest(parts[0], 10), "10", parts[3], parts[4]},
		"no digest":        {parts[0], "x", "10", parts[3], parts[4]},
		"a solution":       append(parts[:5:5], "7"),
	} {
		if s, err := Solve(strings.Join(c, ".")); !errors.Is(err, ErrChallenge) {
			t.Errorf("%s: %q, %v", what, s, err)
		}
	}
}

// FuzzCheck looks for texts that make Check panic, or that it accepts although they are no solution
// that we know.
func FuzzCheck(f *testing.F) {
	i := issuer(f, func() time.Time { return noon }, testSecret)
	// The same puzzle in every process: fuzzing has several.
	p := puzzle{salt: "00", digest: digest("00", 7), max: 10, expires: noon.Add(TTL).Unix()}
	challenge := p.text() + "." + i.keys.MACs(token.Captcha, p.signed("login", "ana"))[0]
	solution := solve(f, challenge)
	for _, seed := range []string{solution, "", "......", solution + ".", "a.b.1.2.c.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, ok := i.Check("login", "ana", text); ok != (text == solution) {
			t.Errorf("%q is accepted: %t", text, ok)
		}
		if p, _, err := parse(text); err == nil && p.max > 1000 {
			return // the search would only take time
		}
		if s, err := Solve(text); err == nil && !strings.HasPrefix(s, text+".") {
			t.Errorf("%q is solved by %q", text, s)
		}
	})
}

// BenchmarkSolve reports what the largest puzzle costs a caller: half of its numbers on average.
func BenchmarkSolve(b *testing.B) {
	i := issuer(b, func() time.Time { return noon }, testSecret)
	for b.Loop() {
		solve(b, i.Challenge("login", "ana", MaxNumbers))
	}
}

// BenchmarkCheck reports what a bad solution costs the server: one whose digest is right, and only
// the MAC is not.
func BenchmarkCheck(b *testing.B) {
	i := issuer(b, func() time.Time { return noon }, testSecret)
	solution := solve(b, issuer(b, i.now, otherSecret).Challenge("login", "ana", 10))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := i.Check("login", "ana", solution); ok {
			b.Fatal("it is accepted")
		}
	}
}
