package password

import (
	"math"
	"strconv"
	"strings"
)

// guessBits returns the logarithm to base 2 of the number of guesses that find s, for somebody who
// knows how people choose passwords. As zxcvbn does, it takes s apart into words, dates, rows of
// keys, sequences and repetitions, in the way that needs the fewest. s is ASCII. The keys of known
// are further words in lower case, their values how well known each is: 1 for the best known.
//
// The model is that of the first zxcvbn (Wheeler, "zxcvbn: realistic password strength
// estimation"). No library is used: those that we found unpack their lists at the start of every
// process that links them, for 100 ms and 19 MB.
func guessBits(s string, known map[string]int) float64 {
	g := guesser{s: s, lower: strings.ToLower(s), known: known, bits: make([]float64, len(s)+1)}
	for i := range g.bits[1:] {
		g.bits[i+1] = math.Inf(1)
	}
	for _, k := range keyboards() {
		g.steps = append(g.steps, k.steps(g.lower))
	}
	letter := math.Log2(alphabet(s))
	for at := range len(s) {
		g.reach(at, at+1, letter)
		g.words(at)
		g.walks(at)
		g.sequence(at)
		g.repetitions(at)
		g.dates(at)
	}
	return g.bits[len(s)]
}

// guesser finds the cheapest way from the beginning of s to its end.
type guesser struct {
	s, lower string
	known    map[string]int
	steps    [][]step  // on each keyboard
	bits     []float64 // for each place in s: the least found so far
}

// reach notes that the characters from one place to another take that many bits.
func (g *guesser) reach(from, to int, bits float64) {
	g.bits[to] = min(g.bits[to], g.bits[from]+bits)
}

// alphabet returns how many characters there are of the kinds in s.
func alphabet(s string) float64 {
	var n [4]float64
	for i := range len(s) {
		switch c := s[i]; {
		case isLower(c):
			n[0] = 26
		case isUpper(c):
			n[1] = 26
		case isDigit(c):
			n[2] = 10
		default:
			n[3] = 33
		}
	}
	return n[0] + n[1] + n[2] + n[3]
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// words looks for words that begin there.
func (g *guesser) words(at int) {
	for end := at + 1; end <= len(g.s); end++ {
		if n, ok := g.known[g.lower[at:end]]; ok {
			g.reach(at, end, math.Log2(float64(n))+caseBits(g.s[at:end]))
		}
	}
	for _, list := range []wordList{passwordList, englishList} {
		for end, more := at+1, true; more && end <= len(g.s); end++ {
			var bits float64
			if bits, more = list.find(g.lower[at:end]); !math.IsInf(bits, 1) {
				g.reach(at, end, bits+caseBits(g.s[at:end]))
			}
		}
	}
}

// caseBits returns what capitals add to the bits of a word. The first, the last, and all in
// capitals are the usual ways.
func caseBits(word string) float64 {
	var upper, letters int
	for i := range len(word) {
		if isUpper(word[i]) {
			upper++
		}
		if isUpper(word[i]) || isLower(word[i]) {
			letters++
		}
	}
	switch {
	case upper == 0:
		return 0
	case upper == letters, upper == 1 && (isUpper(word[0]) || isUpper(word[len(word)-1])):
		return 1
	}
	return ways(letters, min(upper, letters-upper))
}

// ways returns the logarithm of the number of ways to choose up to k of n.
func ways(n, k int) float64 {
	sum, choose := 1.0, 1.0
	for i := 1; i <= k; i++ {
		choose *= float64(n-i+1) / float64(i)
		sum += choose
	}
	return math.Log2(sum)
}

// keyboard is where the keys are. On a keyboard of letters each row begins half a key further right
// than the row above, so that a key has two neighbors there. On one of numbers it has three.
type keyboard struct {
	rows    [4]string
	numbers bool
}

func keyboards() []keyboard {
	return []keyboard{
		{rows: [4]string{"1234567890-=", "qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./"}},
		{rows: [4]string{"1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm"}},
		{rows: [4]string{"1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"}},
		{rows: [4]string{"1234567890[]", "',.pyfgcrl/=", "aoeuidhtns-", ";qjkxbmwvz"}},
		{rows: [4]string{"789", "456", "123", "0"}, numbers: true},
	}
}

// step is the way from a key to one of its neighbors, in halves of a key and in rows. It is zero
// between others.
type step struct{ x, y int }

// steps returns for each character of s the step that leads to it.
func (k keyboard) steps(s string) []step {
	steps := make([]step, len(s))
	var last step
	for i := range len(s) {
		at, ok := k.place(s[i])
		if by := (step{at.x - last.x, at.y - last.y}); ok && k.neighbors(by) {
			steps[i] = by
		}
		if last = at; !ok {
			last = step{-9, -9}
		}
	}
	return steps
}

// place returns where the key of a character is.
func (k keyboard) place(c byte) (at step, ok bool) {
	if i := strings.IndexByte(shifted, c); i >= 0 {
		c = unshifted[i]
	}
	for y, keys := range k.rows {
		if i := strings.IndexByte(keys, c); i >= 0 {
			if k.numbers {
				return step{2 * i, y}, true
			}
			return step{2*i + y, y}, true
		}
	}
	return step{}, false
}

func (k keyboard) neighbors(by step) bool {
	x, y := max(by.x, -by.x), max(by.y, -by.y)
	if k.numbers {
		return x <= 2 && y <= 1 && x+y > 0
	}
	return x == 2 && y == 0 || x == 1 && y == 1
}

// walks looks for walks over keys: any of 47 keys to begin with, and at each turn any of its
// neighbors.
func (g *guesser) walks(at int) {
	for _, steps := range g.steps {
		turns, last := 0, step{}
		for end := at + 1; end < len(g.s) && steps[end] != (step{}); end++ {
			if steps[end] != last {
				turns, last = turns+1, steps[end]
			}
			if length := end + 1 - at; length > 2 {
				bits := math.Log2(47*float64(length)) + math.Log2(2*4.6)*float64(turns)
				g.reach(at, end+1, bits+shiftBits(g.s[at:end+1]))
			}
		}
	}
}

const (
	shifted   = "!@#$%^&*()_+{}|:\"<>?"
	unshifted = "1234567890-=[]\\;',./"
)

// shiftBits returns what the shift key adds to the bits of a walk.
func shiftBits(walk string) float64 {
	n := 0
	for i := range len(walk) {
		if isUpper(walk[i]) || strings.IndexByte(shifted, walk[i]) >= 0 {
			n++
		}
	}
	return ways(len(walk), min(n, len(walk)-n))
}

// sequence looks for a sequence that begins there, as in "cdefg", "97531" and "αβγδ".
func (g *guesser) sequence(at int) {
	kind := func(c byte) int {
		switch {
		case isLower(c):
			return 26
		case isUpper(c):
			return 27
		case isDigit(c):
			return 10
		case c < ' ': // stands for a letter of another script
			return 28
		}
		return 0
	}
	first := kind(g.s[at])
	for end := at + 1; end < len(g.s) && first != 0 && kind(g.s[end]) == first; end++ {
		step := int(g.s[at+1]) - int(g.s[at])
		if step == 0 || max(step, -step) > 3 || int(g.s[end])-int(g.s[end-1]) != step {
			return
		}
		if length := end + 1 - at; length > 2 {
			bits := math.Log2(float64(length))
			if strings.IndexByte("aA01", g.s[at]) < 0 {
				bits += math.Log2(float64(first))
			}
			if step != 1 {
				bits += 2
			}
			g.reach(at, end+1, bits)
		}
	}
}

// repetitions looks for what stands just before that place, and there again once or more.
func (g *guesser) repetitions(at int) {
	for length := 1; length <= at; length++ {
		for end := at + length; end <= len(g.s); end += length {
			if g.lower[end-length:end] != g.lower[at-length:at] {
				break
			}
			times := (end - at) / length
			g.reach(at, end, 2+math.Log2(float64(length*times)))
		}
	}
}

// dates looks for dates and years that begin there.
func (g *guesser) dates(at int) {
	for end := at + 4; isDigit(g.s[at]) && end <= min(at+10, len(g.s)); end++ {
		if !isDigit(g.s[end-1]) {
			continue
		}
		if bits, ok := dateBits(g.s[at:end]); ok {
			g.reach(at, end, bits)
		}
	}
}

// dateBits returns the bits of a date or year in any of the usual forms.
func dateBits(s string) (bits float64, ok bool) {
	const years, days = 150, 31 * 12
	parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(` -/\_.`, r) })
	switch {
	case len(parts) == 3 && len(strings.Join(parts, "")) == len(s)-2 && isDate(parts):
		return math.Log2(days*years) + 2, true
	case len(parts) != 1 || len(parts[0]) != len(s):
		return 0, false
	case len(s) == 4 && isYear(s):
		return math.Log2(years), true
	}
	for _, n := range [][3]int{
		{1, 2, 2}, {2, 1, 2}, {2, 2, 2}, {1, 1, 4}, {1, 2, 4}, {2, 1, 4}, {2, 2, 4}, {4, 2, 2},
	} {
		a, b := n[0], n[0]+n[1]
		if b+n[2] == len(s) && isDate([]string{s[:a], s[a:b], s[b:]}) {
			return math.Log2(days * years), true
		}
	}
	return 0, false
}

// isDate reports whether three numbers are day, month and year, with the year at either end.
func isDate(parts []string) bool {
	between := func(s string, most int) bool {
		n, err := strconv.ParseUint(s, 10, 16)
		return err == nil && 1 <= n && n <= uint64(most) && len(s) <= 2
	}
	dayMonth := func(a, b string) bool {
		return between(a, 31) && between(b, 12) || between(a, 12) && between(b, 31)
	}
	return isYear(parts[2]) && dayMonth(parts[0], parts[1]) ||
		isYear(parts[0]) && dayMonth(parts[1], parts[2])
}

// isYear reports whether s is a year of somebody's life, in two or four digits.
func isYear(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && (len(s) == 2 || len(s) == 4 && 1900 <= n && n < 2050)
}
