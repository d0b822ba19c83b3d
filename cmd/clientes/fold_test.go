package main

import "testing"

func TestFold(t *testing.T) {
	for _, test := range []struct {
		text          string
		width, indent int
		want          string
	}{
		{"", 10, 2, ""},
		{"short\nshort too\n", 10, 2, "short\nshort too\n"},
		{"ok  one two three four\n", 10, 4, "ok  one\n    two\n    three\n    four\n"},
		{"ok  one two three four", 11, 4, "ok  one two\n    three\n    four"},
		{"ok  ção é má\n", 10, 4, "ok  ção é\n    má\n"},
		{"ok  http://127.0.0.1:3000 answers\n", 10, 4, "ok  http://127.0.0.1:3000\n    answers\n"},
		{"    a b c d e f g\n", 11, 4, "    a b c d\n    e f g\n"},
	} {
		if got := fold(test.text, test.width, test.indent); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}
