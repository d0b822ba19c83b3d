package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// KnownCharset reports whether files of that encoding can be read. The names are those of the
// WHATWG Encoding Standard, in any case. "" is what a byte order mark says, else UTF-8.
func KnownCharset(name string) bool {
	_, err := encodingOf(name)
	return err == nil
}

func encodingOf(name string) (encoding.Encoding, error) {
	if name == "" {
		return unicode.UTF8, nil
	}
	enc, err := htmlindex.Get(name)
	if err == nil && (enc == nil || enc == encoding.Replacement) { // which decodes nothing
		err = errors.New("the encoding is not supported")
	}
	return enc, err
}

func isUTF16(enc encoding.Encoding) bool {
	name, _ := htmlindex.Name(enc)
	return strings.HasPrefix(name, "utf-16")
}

// markOf returns the encoding that a byte order mark says, and the length of the mark.
func markOf(start []byte) (name string, length int) {
	for _, m := range [...]struct{ mark, name string }{
		{"\xff\xfe\x00\x00", "utf-32"}, // before UTF-16, whose mark it begins with
		{"\x00\x00\xfe\xff", "utf-32"},
		{"\xff\xfe", "utf-16le"},
		{"\xfe\xff", "utf-16be"},
		{bom, "utf-8"},
		{"\x84\x31\x95\x33", "gb18030"},
	} {
		if bytes.HasPrefix(start, []byte(m.mark)) {
			return m.name, len(m.mark)
		}
	}
	return "", 0
}

// wideOf returns the encoding of a text whose characters have two or four bytes each. ASCII has
// NULs in it then, all at odd or all at even places.
func wideOf(start []byte) string {
	if len(start) < 4 {
		return ""
	}
	switch [4]bool{start[0] == 0, start[1] == 0, start[2] == 0, start[3] == 0} {
	case [4]bool{false, true, true, true}, [4]bool{true, true, true, false}:
		return "utf-32"
	}
	var zeros [2]int
	for i, c := range start {
		if c == 0 {
			zeros[i%2]++
		}
	}
	many := func(n int) bool { return n >= 4 && n >= len(start)/16 || n >= len(start)/2 }
	switch {
	case zeros[0] == 0 && many(zeros[1]):
		return "utf-16le"
	case zeros[1] == 0 && many(zeros[0]):
		return "utf-16be"
	}
	return ""
}

// guessCharset returns the encoding that a text which is not UTF-8 probably has. Letters of the
// West stand among ASCII. Those of others stand in groups.
func guessCharset(b []byte) string {
	var high, alone, mac, below int
	ascii := func(i int) bool { return i < 0 || i >= len(b) || b[i] < utf8.RuneSelf }
	for i, c := range b {
		if ascii(i) {
			continue
		}
		high++
		if ascii(i-1) && ascii(i+1) {
			alone++
		}
		// In windows-1252 the dashes, the quotes and the euro sign are all that is common here.
		if c < 0xa0 && !strings.ContainsRune("\u0080\u0085\u0099", rune(c)) &&
			(c < 0x91 || c > 0x97) {
			mac++
		}
		if c < 0xc0 && c != 0xa8 && c != 0xb8 {
			below++
		}
	}
	decodes := func(enc encoding.Encoding) bool {
		text, err := enc.NewDecoder().Bytes(b)
		return err == nil && !bytes.Contains(text, []byte("\ufffd"))
	}
	switch {
	case 2*alone >= high && 2*mac > high:
		return "macintosh"
	case 2*alone >= high:
		return "windows-1252"
	case below == 0:
		return "windows-1251"
	case mac > 0 && decodes(japanese.ShiftJIS):
		return "shift_jis"
	case decodes(simplifiedchinese.GB18030):
		return "gb18030"
	}
	return "windows-1252"
}

// falseCharset reads a file whose sender names an encoding other than UTF-8. If it is UTF-8 after
// all, its end is a fault: "José" would become "JosÃ©". Some clients name latin1 for any file.
type falseCharset struct {
	from  io.Reader
	name  string
	least int    // how many characters of UTF-8 are too many for chance
	rest  []byte // the beginning of a character
	good  int    // characters of UTF-8 that are not ASCII
	bad   int    // bytes that are not UTF-8
}

// Read implements [io.Reader].
func (f *falseCharset) Read(p []byte) (int, error) {
	n, err := f.from.Read(p)
	f.look(p[:n])
	if err == io.EOF && n == 0 && f.good >= f.least && f.good > f.bad+len(f.rest) {
		what := "The file is UTF-8, and its sender says %s. Leave the charset out."
		if f.bad > 0 {
			what = "The file has several encodings: most of it is UTF-8, and not %s. " +
				"Save all of it as UTF-8."
		}
		err = fileFault("invalid_text", fmt.Sprintf(what, Excerpt(f.name)))
	}
	return n, err
}

func (f *falseCharset) look(b []byte) {
	if f.rest != nil {
		b = append(f.rest, b...)
		f.rest = nil
	}
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			b = b[1:]
			continue
		}
		if !utf8.FullRune(b) {
			f.rest = bytes.Clone(b)
			return
		}
		c, size := utf8.DecodeRune(b)
		if c == utf8.RuneError && size == 1 {
			f.bad++
		} else {
			f.good++
		}
		b = b[size:]
	}
}
