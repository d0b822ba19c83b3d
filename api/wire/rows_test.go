package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"clientes/api/wire/wiretest"
	"clientes/store"
)

// Little is read, and so held in memory, of a row that never ends.
func TestARowWithoutAnEndIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		format Format
		start  string
		rest   string
		row    int64
	}{
		{CSV, "name\nAna\n\"", "x", 2},
		{CSV, "name\nAna\n", "x", 2},
		{CSV, "name\nAna\n\"", "Bia\r\n", 2},
		{CSV, "name\nAna\n", "x,", 2},
		{CSV, "name\nAna\n", "\x00", 2},
		{CSV, "", "\x00", 0},
		{CSV, "", "x,", 0},
		{CSV, "\"", "\n", 0},
		{NDJSON, "{\"name\":\"Ana\"}\n", "{", 2},
		{NDJSON, "{\"name\":\"Ana\"}\n", " ", 2},
		{NDJSON, "", "\x00", 1},
	} {
		rest := &wiretest.Endless{Text: c.rest}
		file := io.MultiReader(strings.NewReader(c.start), rest)
		_, err := NewSpool(file, Reading{Format: c.format})
		var faults *store.RowsError
		if !errors.As(err, &faults) || faults.Count != 1 || faults.Rows[0].Row != c.row {
			t.Errorf("%s of %q and then %q: %v", c.format, c.start, c.rest, err)
		}
		if rest.N > maxRow+128<<10 {
			t.Errorf("%s of %q and then %q: read %d bytes", c.format, c.start, c.rest, rest.N)
		}
	}
}

// The error of the reader is returned, wherever it comes.
func TestAFileThatCannotBeRead(t *testing.T) {
	broken := errors.New("the line is cut")
	for format, file := range map[Format]string{
		CSV:    "\ufeffname,notes\r\n\"A \"\"B\"\"\",\"l1\nl2\"\r\n\r\nBia,\r\n",
		NDJSON: "\ufeff{\"name\":\"Ana\"}\r\n\n{\"name\":\"Bia\",\"notes\":\"x\"}\n",
	} {
		for cut := range len(file) {
			r := io.MultiReader(strings.NewReader(file[:cut]), iotest.ErrReader(broken))
			_, err := NewSpool(r, Reading{Format: format})
			if !errors.Is(err, broken) {
				t.Errorf("%s after %q: %v", format, file[:cut], err)
			}
		}
		s, err := NewSpool(iotest.OneByteReader(strings.NewReader(file)), Reading{Format: format})
		if err != nil || s.Len() != 2 {
			t.Fatalf("%s byte by byte: %v", format, err)
		}
		s.Close()
	}
}

// writeFile writes records as an export does.
func writeFile(f Format, list []store.Cliente) []byte {
	var b []byte
	if f == CSV {
		b = appendCSVHeader(b)
	}
	for _, c := range list {
		if f == CSV {
			b = appendCSV(b, &c)
		} else {
			b = appendNDJSON(b, &c)
		}
	}
	return b
}

// looksSpoiled reports whether a customer has a text that a CSV file has only from a spreadsheet.
func looksSpoiled(c store.Cliente) bool {
	for _, t := range c.Texts() {
		if t.Name != "email" && damageOf(*t.Value, false) != "" {
			return true
		}
	}
	return withoutTextMark(c.Phone) != c.Phone
}

// spooled returns what a spool holds.
func spooled(t interface{ Fatal(...any) }, s *Spool) (list []store.Cliente) {
	for c, err := range s.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// A spool returns what it read each time, whatever the text.
func TestASpoolReturnsWhatItRead(t *testing.T) {
	naughty := rapid.SampledFrom(wiretest.NaughtyTexts())
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 300, -1), naughty)
	rapid.Check(t, func(t *rapid.T) {
		var list []store.Cliente
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			c := store.Cliente{
				Name:    text.Draw(t, "name"),
				Phone:   text.Draw(t, "phone"),
				Company: text.Draw(t, "company"),
				Address: text.Draw(t, "address"),
				Notes:   text.Draw(t, "notes"),
			}
			if c, err := c.Validate(); err == nil {
				list = append(list, c)
			}
		}
		for _, f := range []Format{NDJSON, CSV} {
			if f == CSV {
				list = slices.DeleteFunc(list, looksSpoiled)
			}
			s, err := NewSpool(bytes.NewReader(writeFile(f, list)), Reading{Format: f})
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			if s.Len() != int64(len(list)) || !slices.Equal(spooled(t, s), list) ||
				!slices.Equal(spooled(t, s), list) {
				t.Errorf("%s: %+v became %+v", f, list, spooled(t, s))
			}
			for c, err := range s.Rows() { // some of them, and then all again
				if err != nil || c != list[0] {
					t.Errorf("%s: the first is %+v, %v", f, c, err)
				}
				break
			}
			if !slices.Equal(spooled(t, s), list) {
				t.Errorf("%s: after half of them came %+v", f, spooled(t, s))
			}
			s.Close()
		}
	})
}

// readAll returns the rows of a file that are valid, and "row:field:code" of each fault.
func readAll(t *testing.T, f Format, file []byte) (valid []store.Cliente, faults []string) {
	t.Helper()
	row, ended := 0, false
	for c, err := range Rows(bytes.NewReader(file), Reading{Format: f}, Clientes()) {
		row++
		var (
			invalid *store.InvalidError
			header  *store.RowsError
		)
		switch {
		case ended:
			t.Fatalf("rows follow a fault of the file: %q", file)
		case err == nil:
			if again, err := c.Validate(); err != nil || again != c {
				t.Errorf("%+v of %q is not valid: %v", c, file, err)
			}
			valid = append(valid, c)
		case c != store.Cliente{}:
			t.Errorf("row %d of %q is %+v and %v", row, file, c, err)
		case errors.As(err, &invalid) && len(invalid.Fields) > 0:
			for _, f := range invalid.Fields {
				faults = append(faults, fmt.Sprint(row, ":", f.Field, ":", f.Code))
			}
		case errors.As(err, &header) && header.Count > 0:
			faults = nil // those of the rows do not matter any more
			for _, f := range header.Rows {
				faults = append(faults, fmt.Sprint(f.Row, ":", f.Field, ":", f.Code))
			}
			ended = true
		default:
			t.Fatalf("row %d of %q: %v", row, file, err)
		}
	}
	return valid, faults
}

func TestGoodFiles(t *testing.T) {
	for format, files := range map[Format][]wiretest.GoodFile{
		CSV: wiretest.GoodCSV(), NDJSON: wiretest.GoodNDJSON(),
	} {
		for _, c := range files {
			valid, faults := readAll(t, format, []byte(c.File))
			if !slices.Equal(valid, c.Want) || faults != nil {
				t.Errorf("%s, %s: read as %+v, %q", format, c.Name, valid, faults)
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	for format, files := range map[Format][]wiretest.BadFile{
		CSV: wiretest.BadCSV(), NDJSON: wiretest.BadNDJSON(),
	} {
		for _, c := range files {
			_, faults := readAll(t, format, []byte(c.File))
			// Only a store knows which emails are taken.
			want := c.Faults
			if !strings.Contains(want, ":taken") && strings.Join(faults, " ") != want {
				t.Errorf("%s, %s: faults %q, want %q", format, c.Name, faults, want)
			}
		}
	}
}

// fuzzRows checks what Rows and NewSpool make of a file.
func fuzzRows(t *testing.T, f Format, file []byte) {
	valid, faults := readAll(t, f, file)
	s, err := NewSpool(bytes.NewReader(file), Reading{Format: f})
	rows := new(store.RowsError)
	if (faults != nil) != errors.As(err, &rows) || faults == nil && err != nil {
		t.Fatalf("the spool of %q: %v", file, err)
	}
	if err == nil {
		if !slices.Equal(spooled(t, s), valid) {
			t.Errorf("%q is spooled as %+v", file, spooled(t, s))
		}
		s.Close()
	}
	// What is valid is the same after it was written and read.
	if f == CSV {
		valid = slices.DeleteFunc(valid, looksSpoiled)
	}
	again, faults := readAll(t, f, writeFile(f, valid))
	if faults != nil || !slices.Equal(again, valid) {
		t.Errorf("%+v of %q was written and read as %+v, %q", valid, file, again, faults)
	}
}

// addFiles adds the short files. The long ones would take all the time of the fuzzer.
func addFiles(f *testing.F, good []wiretest.GoodFile, bad []wiretest.BadFile) {
	add := func(file string) {
		if len(file) < 1<<10 {
			f.Add([]byte(file))
		}
	}
	for _, c := range good {
		add(c.File)
	}
	for _, c := range bad {
		add(c.File)
	}
}

func FuzzReadCSV(f *testing.F) {
	addFiles(f, wiretest.GoodCSV(), wiretest.BadCSV())
	f.Fuzz(func(t *testing.T, file []byte) { fuzzRows(t, CSV, file) })
}

func FuzzReadNDJSON(f *testing.F) {
	addFiles(f, wiretest.GoodNDJSON(), wiretest.BadNDJSON())
	f.Fuzz(func(t *testing.T, file []byte) { fuzzRows(t, NDJSON, file) })
}
