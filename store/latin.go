package store

import (
	"strings"
	"sync"
)

// latinEnd is behind the last character of Latin Extended-A. Names in most languages of Europe and
// America have no others.
const latinEnd = 0x180

// latin is what one character folds to, for each below latinEnd. A text of these alone is folded by
// a look at this table, without the five passes of the general way, which take some twenty times as
// long (BenchmarkFold). The databases keep what came out of that, so the table is made by it.
type latin [latinEnd]string

var (
	latinFolds     = sync.OnceValue(func() *latin { return latinOf(foldAny) })
	latinEmailKeys = sync.OnceValue(func() *latin { return latinOf(emailKeyOfAny) })
)

// latinOf makes a table. That may be done one character by one: none below latinEnd is a mark that
// joins another one.
func latinOf(fold func(string) string) *latin {
	var table latin
	for r := range table {
		table[r] = fold(string(rune(r)))
	}
	return &table
}

// fold returns the folded text, or false if the text has other characters.
func (l *latin) fold(s string) (string, bool) {
	var folded strings.Builder
	folded.Grow(len(s))
	for _, r := range s {
		if r >= latinEnd { // also that for broken UTF-8
			return "", false
		}
		folded.WriteString(l[r])
	}
	return folded.String(), true
}
