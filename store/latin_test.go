package store

import (
	"testing"
	"unicode/utf8"
)

// TestLatinFoldsAsAllDo checks that the table yields what databases hold: for each character, and
// for each pair of those that may stand beside each other in a text that goes by the table.
func TestLatinFoldsAsAllDo(t *testing.T) {
	for _, c := range []struct {
		name      string
		fold, any func(string) string
		table     *latin
	}{
		{"Fold", Fold, foldAny, latinFolds()},
		{"EmailKey", EmailKey, emailKeyOfAny, latinEmailKeys()},
	} {
		for r := range rune(utf8.MaxRune + 1) {
			s := string(r)
			if _, ok := c.table.fold("a" + s); ok != (r < latinEnd) {
				t.Fatalf("%s: %U goes by the table: %t", c.name, r, ok)
			}
			if r < latinEnd && c.fold(s) != c.any(s) {
				t.Errorf("%s of %U is %q, want %q", c.name, r, c.fold(s), c.any(s))
			}
		}
		if _, ok := c.table.fold("é\xff"); ok {
			t.Errorf("%s: broken UTF-8 goes by the table", c.name)
		}
		for first := range rune(latinEnd) {
			row := ""
			for second := range rune(latinEnd) {
				row += string(first) + string(second)
			}
			if c.fold(row) != c.any(row) {
				t.Errorf("%s of the pairs of %U differs", c.name, first)
			}
		}
	}
}

func BenchmarkFold(b *testing.B) {
	const name = "José María Núñez Gutiérrez"
	for range 3 { // in turns, because a machine is never as quick twice
		for _, way := range []struct {
			name string
			fold func(string) string
		}{{"table", Fold}, {"any", foldAny}} {
			b.Run(way.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					way.fold(name)
				}
			})
		}
	}
}
