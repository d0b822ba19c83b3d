package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// writeFolded writes lines for people. A terminal would break long ones within words, so there they
// are broken between words, and what follows a break is indented. A file or pipe gets whole lines.
func writeFolded(w io.Writer, text string, indent int) error {
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width >= indent+40 {
			text = fold(text, width, indent)
		}
	}
	_, err := io.WriteString(w, text)
	return err
}

// fold breaks lines longer than width. A word that has no room in a line stays whole.
func fold(text string, width, indent int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		column, spaces := 0, ""
		for word := range strings.SplitAfterSeq(line, " ") {
			letters := strings.TrimRight(word, " ")
			length := utf8.RuneCountInString(strings.TrimSuffix(letters, "\n"))
			if column > indent && column+len(spaces)+length > width {
				spaces, column = "\n"+strings.Repeat(" ", indent), 0
			}
			b.WriteString(spaces + letters)
			column += len(strings.TrimPrefix(spaces, "\n")) + length
			spaces = word[len(letters):]
		}
	}
	return b.String()
}
