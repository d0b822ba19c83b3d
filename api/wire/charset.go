package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"clientes/store"
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

// text is a file as UTF-8.
type text struct {
	window
	charset string // what it was decoded from; "" if it was UTF-8 as it came
	how     Reading
	secret  bool // whether no message may repeat a part of it
	high    bool // whether a row before had a character that is not ASCII
}

// openText returns the text of a file. If the file is no text, its window has the fault.
func openText(from io.Reader, how Reading, secret bool) text {
	t := text{how: how, secret: secret}
	t.window.from, t.window.err = t.decoded(from)
	return t
}

// decoded returns the reader of the text, or a fault of the file.
func (t *text) decoded(from io.Reader) (io.Reader, error) {
	raw := bufio.NewReaderSize(from, readChunk)
	start, err := raw.Peek(4096)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if what := kindOf(start); what != "" {
		return nil, fileFault("malformed", fmt.Sprintf("The file is %s.", what))
	}
	enc, err := encodingOf(t.how.Charset)
	if err != nil {
		return nil, fileFault("invalid_text", fmt.Sprintf(
			"There is no encoding %q; windows-1252 is one.", Excerpt(t.how.Charset)))
	}
	name, mark := markOf(start)
	switch {
	case name == "utf-32":
		return nil, fileFault("invalid_text", "The file is UTF-32. "+t.advice(""))
	case name != "":
		// A byte order mark wins over what the sender says, as in browsers.
		_, _ = raw.Discard(mark)
		enc, _ = htmlindex.Get(name)
	default:
		name = strings.ToLower(strings.TrimSpace(t.how.Charset))
		wide := wideOf(start)
		switch said := isUTF16(enc); {
		case wide == "" && said && len(start) >= 4:
			return nil, fileFault("invalid_text", "The file is not UTF-16. "+t.advice(""))
		case wide == "utf-16be" && said && name == "utf-16":
			enc, _ = htmlindex.Get(wide) // the name alone leaves the order of the bytes open
		case wide != "" && !said:
			return nil, fileFault("invalid_text", fmt.Sprintf(
				"The file is %s without a byte order mark. %s", strings.ToUpper(wide),
				t.advice(wide)))
		}
	}
	if enc == unicode.UTF8 {
		return raw, nil
	}
	t.charset = name
	least := 4 // in an encoding with several bytes a character, few may be UTF-8 by chance
	if _, ok := enc.(*charmap.Charmap); ok {
		least = 1
	}
	if !isUTF16(enc) {
		return transform.NewReader(&falseCharset{from: raw, name: name, least: least},
			enc.NewDecoder()), nil
	}
	return transform.NewReader(raw, enc.NewDecoder()), nil
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

// fileFault returns a [*store.RowsError] for the file as a whole.
func fileFault(code, message string) error {
	var faults store.RowsError
	faults.Add(0, store.FieldError{Code: code, Message: message})
	return faults.Err()
}

// advice says what the sender of a file in a wrong encoding can do.
func (t *text) advice(charset string) string {
	save := `Save it as UTF-8`
	if t.how.Format == CSV {
		save = `Save it as "CSV UTF-8"`
	}
	if charset == "" || !KnownCharset(charset) {
		return save + "."
	}
	return fmt.Sprintf("%s, or name its encoding: charset=%s in Content-Type, "+
		"--charset %s on the command line.", save, charset, charset)
}

// checkRow returns a fault of the file if the first n bytes of the window are not text.
func (t *text) checkRow(n, line int) error {
	row := t.buf[t.start : t.start+n]
	switch {
	case t.charset != "" && bytes.Contains(row, []byte("\ufffd")):
		// This is what the decoder makes of bytes that mean nothing.
		return fileFault("invalid_text", fmt.Sprintf(
			"Line %d has bytes that are no text in %s. %s", line, t.charset, t.advice("")))
	case t.charset == "" && !utf8.Valid(row):
		return t.notUTF8(row, line)
	}
	t.high = t.high || !isASCII(row)
	return nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// notUTF8 returns the fault of a file that has a row which is not UTF-8.
func (t *text) notUTF8(row []byte, line int) error {
	if bytes.ContainsFunc(row, func(c rune) bool {
		return c < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1a", c)
	}) {
		return fileFault("invalid_text", fmt.Sprintf(
			"The file is not text: line %d has bytes that no text has. %s",
			line, t.advice("")))
	}
	switch i := bytes.IndexByte(row, 0xed); {
	case i >= 0 && i+3 < len(row) && row[i+1] >= 0xa0 && row[i+1] < 0xb0 && row[i+3] == 0xed:
		// The halves of a surrogate pair, as if each were a character.
		return fileFault("invalid_text", fmt.Sprintf("The file is CESU-8, an old UTF-8 of Oracle "+
			"and MySQL, at line %d. %s", line, t.advice("")))
	case t.high:
		return fileFault("invalid_text", fmt.Sprintf("The file has several encodings: "+
			"it is UTF-8, and line %d is not. %s", line, t.advice("")))
	}
	charset := guessCharset(row)
	message := fmt.Sprintf("The file is not UTF-8, at line %d. %s", line, t.advice(charset))
	if !t.secret {
		enc, _ := encodingOf(charset)
		text, _ := enc.NewDecoder().Bytes(row)
		message += fmt.Sprintf(" In %s the line has %q; if that is wrong, it is another encoding.",
			charset, Excerpt(firstHigh(string(text))))
	}
	return fileFault("invalid_text", message)
}

// firstHigh returns the cell of a row around its first character that is not ASCII.
func firstHigh(row string) string {
	const separators = ",;\t\"\r\n:{}"
	high := strings.IndexFunc(row, func(c rune) bool { return c >= utf8.RuneSelf })
	from := 1 + strings.LastIndexAny(row[:max(0, high)], separators)
	cell := row[from:]
	if end := strings.IndexAny(cell, separators); end >= 0 {
		cell = cell[:end]
	}
	return strings.TrimSpace(cell)
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

// kindOf returns what a file is that is neither CSV nor JSON, and what its sender can do. It
// returns "" if it does not know.
func kindOf(start []byte) string {
	const (
		save   = `; save it as "CSV UTF-8" and import that`
		unpack = "; unpack it and import what is in it"
	)
	if bytes.HasPrefix(start, []byte("PK\x03\x04")) {
		for _, z := range [...]struct{ has, is string }{
			{"[Content_Types].xml", "a workbook of Excel (.xlsx)" + save},
			{"_rels/.rels", "a workbook of Excel (.xlsx)" + save},
			{"xl/", "a workbook of Excel (.xlsx)" + save},
			{"vnd.oasis.opendocument", "an OpenDocument spreadsheet (.ods)" + save},
			{"Index/", "a spreadsheet of Numbers" + save},
			{"Index.zip", "a spreadsheet of Numbers" + save},
		} {
			if bytes.Contains(start, []byte(z.has)) {
				return z.is
			}
		}
		return "a ZIP archive" + unpack
	}
	for _, m := range [...]struct{ mark, is string }{
		{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of an old Excel (.xls)" + save},
		{"\x1f\x8b", "packed by gzip; unpack it, or send it with Content-Encoding: gzip"},
		{"BZh", "packed by bzip2" + unpack},
		{"\xfd7zXZ\x00", "packed by xz" + unpack},
		{"\x28\xb5\x2f\xfd", "packed by zstd" + unpack},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive" + unpack},
		{"Rar!\x1a\x07", "a RAR archive" + unpack},
		{"%PDF-", "a PDF document; export CSV from the program that made it"},
		{"SQLite format 3\x00", "an SQLite database; export its table as CSV"},
		{"PAR1", "a Parquet file; convert it to CSV"},
		{"\x89PNG\r\n\x1a\n", "a picture"},
		{"\xff\xd8\xff", "a picture"},
		{"GIF8", "a picture"},
	} {
		if bytes.HasPrefix(start, []byte(m.mark)) {
			return m.is
		}
	}
	return ""
}

// textKindOf is kindOf for what can be told by its text.
func textKindOf(start []byte) string {
	start = bytes.ToLower(bytes.TrimLeft(start[:min(len(start), 256)], bom+" \t\r\n"))
	for _, m := range [...]struct{ mark, is string }{
		{"<!doctype html", "a web page; the download may have needed a login"},
		{"<html", "a web page, which some programs name .xls; save it as CSV"},
		{"<table", "a web page, which some programs name .xls; save it as CSV"},
		{"<?xml", "XML; save it as CSV"},
		{"<", "XML or HTML; save it as CSV"},
		{`{\rtf`, "a document of a word processor (.rtf); save it as CSV"},
		{"begin:vcard", "a vCard file; export the contacts as CSV"},
		{"mime-version:", "a mail or a web archive; save it as CSV"},
		{"insert into ", "SQL; export the table as CSV"},
		{"create table ", "SQL; export the table as CSV"},
		{"-- mysql dump", "SQL; export the table as CSV"},
		{"--\n-- postgresql", "SQL; export the table as CSV"},
	} {
		if bytes.HasPrefix(start, []byte(m.mark)) {
			return m.is
		}
	}
	return ""
}
