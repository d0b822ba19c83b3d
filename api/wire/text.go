package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"clientes/store"
)

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

// fileFault returns a [*store.RowsError] for the file as a whole.
func fileFault(code, message string) error {
	var faults store.RowsError
	faults.Add(0, store.FieldError{Code: code, Message: message})
	return faults.Err()
}
