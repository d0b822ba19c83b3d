package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/scanner"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	// maxColumns is how wide a line may be, with tabs of tabColumns.
	maxColumns = 100
	tabColumns = 4

	// wideLiteral is how wide a string literal is that stays whole on a line that is too wide. In
	// pieces nobody would find it by its text.
	wideLiteral = 60

	// maxSentence is how many words a sentence of a comment may have. The aim is 25: beyond this
	// limit nobody reads it in one go.
	maxSentence = 35

	// lastOldMigration is the newest migration that was published before these rules. A published
	// file is never edited.
	lastOldMigration = 14
)

// phrase is what comments or messages do not say, and what they say instead.
type phrase struct {
	pattern  *regexp.Regexp
	instead  string
	messages bool // it is not for messages either
}

// phrases are the words that readers stumbled over, most of them used in a sense of our own.
var phrases = []phrase{
	everywhere(`can\s+not`, `"cannot"`),
	everywhere(`(?:contract|design|style)\.md`,
		"the rule itself: this page is not in the repository"),
	inComments(`gives?\s+back|given\s+back|gave\s+back`, `"returns"`),
	inComments(`gives|gave`, `"returns", or what is done`),
	inComments(`(?:say|tell)s?\s+whether`, `"reports whether"`),
	inComments(`keeps?\s+the\s+promises?`, `"implements [store.X]"`),
	inComments(`(?:is|are|was|were|be)\s+asked\s+for`, "who requests, reads or wants it"),
	inComments(`(?:for|of|by|with|from|to)\s+who`, `"whoever", "whom", or the person`),
}

func inComments(words, instead string) phrase {
	return phrase{regexp.MustCompile(`(?i)\b(?:` + words + `)\b`), instead, false}
}

func everywhere(words, instead string) phrase {
	p := inComments(words, instead)
	p.messages = true
	return p
}

// allowed are uses of a phrase that mean something else.
var allowed = regexp.MustCompile(`(?i)\b(?:gives|gave) (?:up|way|rise)\b`)

// fault is one place that is against the rules.
type fault struct {
	file string
	line int
	what string
}

func (f fault) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.what) }

// TestWords counts what can be counted of the rules for comments and messages: phrases, columns and
// the length of sentences. Each package is a subtest, so -run TestWords/store/sqlite holds one of
// them. The counts of all stand in the log of TestWords.
func TestWords(t *testing.T) {
	byPackage := make(map[string][]fault)
	files := 0
	eachSource(t, func(name string, src []byte) {
		files++
		dir := path.Dir(name)
		byPackage[dir] = append(byPackage[dir], wordFaults(name, src)...)
	})
	if files < 20 {
		t.Errorf("only %d files were looked at", files)
	}
	for _, dir := range slices.Sorted(maps.Keys(byPackage)) {
		faults := byPackage[dir]
		t.Run(dir, func(t *testing.T) {
			for _, f := range faults {
				t.Error(f)
			}
		})
		if len(faults) > 0 {
			t.Logf("%4d in %s", len(faults), dir)
		}
	}
}

// wordFaults returns what a file says against the rules, in the order of its lines.
func wordFaults(name string, src []byte) []fault {
	if path.Ext(name) == ".sql" && isOldMigration(name) {
		return nil
	}
	f := wordsOf(name, src)
	if mustNameThem(name) {
		f.comments, f.messages = nil, nil
	}
	var faults []fault
	add := func(line int, format string, args ...any) {
		faults = append(faults, fault{name, line, fmt.Sprintf(format, args...)})
	}
	for _, c := range f.comments {
		for _, p := range phrases {
			for _, m := range matches(p.pattern, c.text) {
				add(c.lineOf(m[0]), "a comment says %q; write %s", c.text[m[0]:m[1]], p.instead)
			}
		}
		for _, s := range c.sentences() {
			if words := len(strings.Fields(s.text)); words > maxSentence {
				add(s.line, "a sentence of %d words (%.40s…); make two of it, %d is the limit",
					words, strings.Join(strings.Fields(s.text), " "), maxSentence)
			}
		}
	}
	for _, m := range f.messages {
		for _, p := range phrases {
			if !p.messages {
				continue
			}
			for _, at := range matches(p.pattern, m.text) {
				add(m.lineOf(at[0]), "a message says %q; write %s", m.text[at[0]:at[1]], p.instead)
			}
		}
	}
	for i, line := range strings.Split(string(src), "\n") {
		if n := columns(line); n > maxColumns && !f.mayBeWide(i+1, line) {
			add(i+1, "a line of %d columns; break it, %d is the limit", n, maxColumns)
		}
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.line, b.line) })
	return faults
}

// mustNameThem reports whether a file is a test of the words and pages that are against the rules.
// Only its columns count.
func mustNameThem(name string) bool {
	return name == "cmd/clientes/words_test.go" || name == "cmd/clientes/pages_test.go"
}

func matches(pattern *regexp.Regexp, text string) (found [][]int) {
	for _, m := range pattern.FindAllStringIndex(text, -1) {
		if at := allowed.FindStringIndex(text[m[0]:]); at == nil || at[0] > 0 {
			found = append(found, m)
		}
	}
	return found
}

func isOldMigration(name string) bool {
	var number int
	_, err := fmt.Sscanf(path.Base(name), "%05d_", &number)
	return err == nil && number <= lastOldMigration
}

// columns is how wide a line is.
func columns(line string) int {
	n := 0
	for _, r := range line {
		if r == '\t' {
			n += tabColumns - n%tabColumns
			continue
		}
		n++
	}
	return n
}

// fileWords is what a file says.
type fileWords struct {
	comments []passage        // neighbouring lines are one, without their signs
	messages []passage        // the string literals, as they are written
	raw      map[int]bool     // the lines that begin within a raw string, and those that open one
	literals map[int][]string // by the line that they stand on
}

// passage is a text, and the line of the file on which it begins. Its lines are those of the file.
type passage struct {
	line int
	text string
}

func (p passage) lineOf(offset int) int { return p.line + strings.Count(p.text[:offset], "\n") }

// wordsOf takes a file apart.
func wordsOf(name string, src []byte) fileWords {
	if path.Ext(name) == ".sql" {
		return readSQL(src)
	}
	return readGo(src)
}

// mayBeWide reports whether a line cannot well be broken: it is a line of a raw string, or has a
// string literal of wideLiteral columns, or a word such as a URL that is as wide as a line.
func (f fileWords) mayBeWide(number int, line string) bool {
	if f.raw[number] {
		return true
	}
	for _, l := range f.literals[number] {
		if columns(l) >= wideLiteral {
			return true
		}
	}
	indent := columns(line[:len(line)-len(strings.TrimLeft(line, "\t "))])
	return slices.ContainsFunc(strings.Fields(line), func(word string) bool {
		return indent+columns(word) > maxColumns-tabColumns
	})
}

func readGo(src []byte) fileWords {
	f := fileWords{raw: make(map[int]bool), literals: make(map[int][]string)}
	fset := token.NewFileSet()
	file := fset.AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, scanner.ScanComments)
	last := -1 // the line on which the last passage of comments ends
	for {
		pos, tok, text := s.Scan()
		line := file.Line(pos)
		switch tok {
		case token.EOF:
			return f
		case token.COMMENT:
			if strings.HasPrefix(text, "//go:") {
				last = -1
				continue
			}
			if ownLine := isFirst(src, file.Offset(pos)); ownLine && line == last+1 {
				c := &f.comments[len(f.comments)-1]
				c.text += "\n" + plainComment(text)
			} else {
				f.comments = append(f.comments, passage{line, plainComment(text)})
			}
			last = line + strings.Count(text, "\n")
			if !isFirst(src, file.Offset(pos)) {
				last = -1 // a comment behind code is a passage of its own
			}
		case token.STRING:
			f.messages = append(f.messages, passage{line, text})
			f.literals[line] = append(f.literals[line], text)
			if n := strings.Count(text, "\n"); n > 0 {
				for i := range n + 1 {
					f.raw[line+i] = true
				}
			}
		}
	}
}

// isFirst reports whether nothing but white space stands before the offset on its line.
func isFirst(src []byte, offset int) bool {
	start := bytes.LastIndexByte(src[:offset], '\n') + 1
	return len(bytes.TrimSpace(src[start:offset])) == 0
}

// plainComment returns the text of a comment without its signs.
func plainComment(text string) string {
	if rest, ok := strings.CutPrefix(text, "//"); ok {
		return rest
	}
	return strings.TrimSuffix(strings.TrimPrefix(text, "/*"), "*/")
}

// readSQL takes a file of SQL apart: its comments are lines that begin with --.
func readSQL(src []byte) fileWords {
	var f fileWords
	within := false
	for i, line := range strings.Split(string(src), "\n") {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "--")
		switch {
		case !ok:
		case within:
			c := &f.comments[len(f.comments)-1]
			c.text += "\n" + text
		default:
			f.comments = append(f.comments, passage{i + 1, text})
		}
		within = ok
	}
	return f
}

// sentenceEnd is what ends a sentence: its full stop, or what is like a list, a table or code.
var sentenceEnd = regexp.MustCompile(`[.?!][)"]*(?:\s|$)|\n\s*\n|\n\t|\n\s*(?:[-*]|\d+\.) |\n   +`)

// sentences splits a comment.
func (p passage) sentences() (all []passage) {
	from := 0
	for _, m := range append(sentenceEnd.FindAllStringIndex(p.text, -1),
		[]int{len(p.text), len(p.text)}) {
		text := p.text[from:m[1]]
		skipped := len(text) - len(strings.TrimLeft(text, " \t\n"))
		all = append(all, passage{p.lineOf(from + skipped), text})
		from = m[1]
	}
	return all
}

func TestWordsThatAreAgainstTheRulesAreSeen(t *testing.T) {
	wide := strings.Repeat("x", maxColumns)
	text := strings.Repeat("word ", 2*maxSentence)
	long := strings.Repeat("word word word word word\n// ", maxSentence/5)
	for _, test := range []struct {
		name string
		src  string
		want string // "" if all is well
	}{
		{"a.go", "package a\n\n// f gives a number.\n",
			`a.go:3: a comment says "gives"; write "returns"`},
		{"a.go", "package a\n\n// The number is given\n// back as it is.\n",
			`a.go:3: a comment says "given\n back"`},
		{"a.go", "package a\n\n// One.\n// It says\n// whether.\n",
			`a.go:4: a comment says "says\n whether"`},
		{"a.go", "package a\n\n// f gives up at once, given a reason to give.\n", ""},
		{"a.go", "package a\n\nvar a = `x gives y`\n", ""},
		{"a.go", "package a\n\nvar a = \"it can not be read\"\n",
			`a.go:3: a message says "can not"; write "cannot"`},
		{"a.go", "package a\n\nvar a = `a\nit can not`\n", `a.go:4: a message says "can not"`},
		{"a.go", "package a\n\n// It cannot be read.\n", ""},
		{"a.go", "package a\n\n// A message for who asks.\n", `write "whoever"`},
		{"a.go", "package a\n\n// For whoever asks.\n", ""},
		{"a.go", "package a\n\n// The store is asked for it.\n", "a.go:3: a comment says"},
		{"a.go", "package a\n\n// See design.md.\n", "this page is not in the repository"},
		{"a.go", "package a\n\n// It keeps the promises of store.\n", "implements"},
		{"a.go", "package a\n\n// " + long + "word.\n", "a.go:3: a sentence of 36 words"},
		{"a.go", "package a\n\n// One.\n// " + long + "word.\n", "a.go:4: a sentence of 36 words"},
		{"a.go", "package a\n\n// " + strings.TrimSuffix(long, "\n// ") + ". Word.\n", ""},
		{"a.go", "package a\n\n// " + long + "\n//\n//\tword word\n", ""},
		{"a.go", "package a\n\n// " + strings.Repeat("words ", 17) + "\n",
			"a.go:3: a line of 105 columns"},
		{"a.go", "package a\n\nvar a = f(" + wide[:40] + ", " + wide[:60] + ")\n",
			"a.go:3: a line of 113 columns"},
		{"a.go", "package a\n\n\t\t\t\tf(" + wide[:50] + ", " + wide[:40] + ")\n",
			"a.go:3: a line of 111 columns"},
		{"a.go", "package a\n\nvar a = \"" + text[:95] + "\"\n", ""},
		{"a.go", "package a\n\nvar a = f(" + wide[:50] + ", \"" + text[:50] + "\")\n",
			"a.go:3: a line of"},
		{"a.go", "package a\n\n// https://example.com/" + wide + "\n", ""},
		{"a.go", "package a\n\nvar a = `\n" + text + "`\n", ""},
		{"00015_a.sql", "-- It gives\n-- much.\nSELECT 1;\n",
			`00015_a.sql:1: a comment says "gives"`},
		{"00015_a.sql", "SELECT '" + text + "';\n", "00015_a.sql:1: a line of"},
		{"00001_a.sql", "-- It gives much.\n", ""},
	} {
		var all []string
		for _, f := range wordFaults(test.name, []byte(test.src)) {
			all = append(all, f.String())
		}
		got := strings.Join(all, "\n")
		if test.want == "" && got != "" ||
			!strings.Contains(got, strings.ReplaceAll(test.want, "\n", `\n`)) {
			t.Errorf("in %q it finds %q, want %q", test.src, got, test.want)
		}
	}
}
