package wire

import (
	"encoding/csv"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"

	"clientes/store"
)

// encoded returns a text in an encoding.
func encoded(t testing.TB, charset, text string) string {
	t.Helper()
	enc, err := htmlindex.Get(charset)
	if err != nil {
		t.Fatal(err)
	}
	s, err := enc.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cellsOf returns the rows of a CSV file, and the message of its fault. That of the file as a whole
// begins with "0: ".
func cellsOf(t testing.TB, file, charset string, secret bool) (rows [][]string, fault string) {
	t.Helper()
	in := newCSVReader(strings.NewReader(file), Reading{Format: CSV, Charset: charset}, secret)
	for {
		record, err := in.next()
		if err == io.EOF {
			return rows, ""
		}
		if err != nil {
			return rows, message(t, err)
		}
		rows = append(rows, slices.Clone(record))
	}
}

func message(t testing.TB, err error) string {
	t.Helper()
	var (
		row  *store.InvalidError
		file *store.RowsError
	)
	switch {
	case errors.As(err, &row) && len(row.Fields) == 1:
		return row.Fields[0].Message
	case errors.As(err, &file) && file.Count == 1 && file.Rows[0].Row == 0:
		return "0: " + file.Rows[0].Message
	}
	t.Fatal(err)
	return ""
}

// Files as programs write them, by the letters and numbers of the issue where they stand there.
func TestDialects(t *testing.T) {
	const bomLE, bomBE = "\xff\xfe", "\xfe\xff"
	jose := [][]string{{"name", "email"}, {"José", "j1@example.com"}}
	ada := [][]string{{"name", "email"}, {"Ada", "a@example.com"}}
	notes := [][]string{{"name", "notes"}, {"Ada", "x, y"}}
	for _, c := range []struct {
		name, file, charset string
		want                [][]string
	}{
		{"H01 Unicode text of Excel",
			bomLE + encoded(t, "utf-16le", "name\temail\r\nJosé\tj1@example.com\r\n"), "", jose},
		{"H01 UTF-16 with the high byte first",
			bomBE + encoded(t, "utf-16be", "name,email\r\nJosé,j1@example.com\r\n"), "", jose},
		{"H01 UTF-16 without a mark", encoded(t, "utf-16le", "name;email\nJosé;j1@example.com\n"),
			"UTF-16LE", jose},
		{"H01 UTF-16 of either order", encoded(t, "utf-16be", "name;email\nJosé;j1@example.com\n"),
			"utf-16", jose},
		{"H01 a mark wins over the charset",
			bomLE + encoded(t, "utf-16le", "name\temail\r\nJosé\tj1@example.com\r\n"), "utf-8",
			jose},
		{"H01 a mark of UTF-8 wins", "\ufeffname,email\r\nJosé,j1@example.com\r\n", "windows-1252",
			jose},
		{"H01 surrogates", bomLE + encoded(t, "utf-16le", "name,email\n😀,\n"), "",
			[][]string{{"name", "email"}, {"😀", ""}}},

		{"H02 windows-1252", "name,email\r\nJos\xe9,j1@example.com\r\n", "windows-1252", jose},
		{"H02 latin1 is windows-1252", "name,notes\n\x93x, y\x94,\x80\n", "ISO-8859-1",
			[][]string{{"name", "notes"}, {"“x", " y”", "€"}}},
		{"H02 macintosh", "name,email\rJos\x8e,j1@example.com\r", "macintosh", jose},
		{"H02 ibm866", encoded(t, "ibm866", "name;email\nАнна;\n"), "ibm866",
			[][]string{{"name", "email"}, {"Анна", ""}}},
		{"H02 windows-1251", encoded(t, "windows-1251", "name;email\nАнна;\n"), "cp1251",
			[][]string{{"name", "email"}, {"Анна", ""}}},
		{"H02 shift_jis, whose letters have bytes of ASCII",
			encoded(t, "shift_jis", "name,email\nソース表,\n"), "Shift_JIS",
			[][]string{{"name", "email"}, {"ソース表", ""}}},
		{"H02 gb18030", encoded(t, "gb18030", "name,email\n谢谢,\n"), "gb2312",
			[][]string{{"name", "email"}, {"谢谢", ""}}},
		{"H02 euc-kr", encoded(t, "euc-kr", "name,email\n한국어,\n"), "euc-kr",
			[][]string{{"name", "email"}, {"한국어", ""}}},
		{"H02 ASCII whatever it is called", "name,email\nAda,a@example.com\n", "macintosh", ada},

		{"H04 sep line", "sep=;\r\nname;email\r\nAda;a@example.com\r\n", "", ada},
		{"H04 in UTF-16", bomLE + encoded(t, "utf-16le",
			"sep=;\r\nname;email\r\nAda;a@example.com\r\n"),
			"", ada},
		{"H04 after a mark", "\ufeffsep=;\r\nname;email\r\nAda;a@example.com\r\n", "", ada},
		{"H04 between marks", "\ufeffsep=;\r\n\ufeffname;email\r\nAda;a@example.com\r\n", "", ada},
		{"H04 in capitals", "SEP=;\nname;email\nAda;a@example.com\n", "", ada},
		{"H04 with commas in the heading", "sep=;\nname;\"notes, all\";x,y\nAda;1,5;2,5\n", "",
			[][]string{{"name", "notes, all", "x,y"}, {"Ada", "1,5", "2,5"}}},
		{"H04 pipe", "sep=|\nname|email\nAda|a@example.com\n", "", ada},
		{"H04 tab", "sep=\t\r\nname\temail\r\nAda\ta@example.com\r\n", "", ada},
		{"H04 tab as an escape", "sep=\\t\r\nname\temail\r\nAda\ta@example.com\r\n", "", ada},
		{"H04 ending in CR", "sep=;\rname;email\rAda;a@example.com\r", "", ada},
		{"H04 another separator than it says", "sep=;\nname,email\nAda,a@example.com\n", "", ada},
		{"H04 one column", "sep=;\nname\nAda, B\n", "", [][]string{{"name"}, {"Ada, B"}}},
		{"H04 blank lines around", "\r\nsep=;\r\n\r\nname;email\r\nAda;a@example.com\r\n", "", ada},
		{"H05 sep line in quotes", "\"sep=,\"\r\nname,email\r\nAda,a@example.com\r\n", "", ada},
		{"H05 and empty cells after it", "\"sep=;\",,\nname;email\nAda;a@example.com\n", "", ada},
		{"H05 as a row that was saved again", "sep=,,,,\nname,email\nAda,a@example.com\n", "", ada},
		{"H05 semicolons after it", "sep=;;;\nname;email\nAda;a@example.com\n", "", ada},

		{"H06 tabs", "name\temail\nAda\ta@example.com\n", "", ada},
		{"H06 semicolons", "name;email\nAda;a@example.com\n", "", ada},
		{"H06 a quoted heading has a comma", "\"name, all\";email\nAda;x\n", "",
			[][]string{{"name, all", "email"}, {"Ada", "x"}}},
		{"H06 a quoted heading has quotes and a separator", "\"a \"\"b\"\", c\"\temail\nAda\tx\n",
			"",
			[][]string{{`a "b", c`, "email"}, {"Ada", "x"}}},
		{"H06 the rows settle what a heading leaves open", "name;notes, all\nAda;1\nBob;2\n", "",
			[][]string{{"name", "notes, all"}, {"Ada", "1"}, {"Bob", "2"}}},
		{"H06 a line says what the rows leave open", "sep=;\nAna;Rua B, 2\nBia;Rua C, 3\n", "",
			[][]string{{"Ana", "Rua B, 2"}, {"Bia", "Rua C, 3"}}},
		{"H06 semicolons in cells alone", "name,email\nA;B;C,x;y\n", "",
			[][]string{{"name", "email"}, {"A;B;C", "x;y"}}},
		{"H06 empty cells between tabs", "name\t\temail\n\tx\t\n", "",
			[][]string{{"name", "", "email"}, {"", "x", ""}}},
		{"H06 a long heading", strings.Repeat("a column;", 2000) + "email\n" +
			strings.Repeat(";", 2000) + "x\n", "",
			[][]string{append(slices.Repeat([]string{"a column"}, 2000), "email"),
				append(make([]string, 2000), "x")}},

		{"H14 CR alone", "name,email\rAda,a@example.com\r", "", ada},
		{"H14 without the last one", "name,email\rAda,a@example.com", "", ada},
		{"H14 with quotes and lines in them", "name,notes\r\"Ada\",\"x\ry\"\rBob,\"z\"\r", "",
			[][]string{{"name", "notes"}, {"Ada", "x\ry"}, {"Bob", "z"}}},
		{"H14 CR, then LF", "name,email\rAda,a@example.com\nBob,\r\nEva,\r", "",
			append(ada[:2:2], []string{"Bob", ""}, []string{"Eva", ""})},
		{"H14 LF, then CRLF", "name,email\nAda,a@example.com\r\n", "", ada},
		{"H14 CR CR LF", "name,email\r\r\nAda,a@example.com\r\r\n", "", ada},
		{"H14 CR CR LF after LF", "name,email\nAda,a@example.com\r\r\n", "", ada},
		{"H14 blank lines", "\r\n\n\rname,email\r\n\r\n\nAda,a@example.com\n\n\r\n", "", ada},
		{"no last line end", "name,email\r\nAda,a@example.com", "", ada},

		{"H15 Ctrl-Z", "name,email\r\nAda,a@example.com\r\n\x1a", "", ada},
		{"H15 Ctrl-Z without a line end", "name,email\r\nAda,a@example.com\x1a", "", ada},
		{"H15 Ctrl-Z after a quote", "name,email\r\nAda,\"a@example.com\"\x1a", "", ada},
		{"H15 Ctrl-Z up to a block's end",
			"name,email\r\nAda,a@example.com\r\n" + strings.Repeat("\x1a", 128), "", ada},
		{"H15 Ctrl-Z and a line end", "name,email\r\nAda,a@example.com\r\n\x1a\r\n", "", ada},
		{"H15 NULs", "name,email\nAda,a@example.com\n" + strings.Repeat("\x00", 5000), "", ada},
		{"H15 in UTF-16", bomLE + encoded(t, "utf-16le", "name,email\r\nAda,a@example.com\r\n\x1a"),
			"",
			ada},
		{"H15 Ctrl-Z within a file is text", "name,email\nA\x1ada,\n\x1a,x\n", "",
			[][]string{{"name", "email"}, {"A\x1ada", ""}, {"\x1a", "x"}}},

		{"H21 space before quotes", "name, notes\n\"Ada\", \"x, y\"\n", "",
			[][]string{{"name", " notes"}, {"Ada", "x, y"}}},
		{"H21 space after quotes", "name,notes\n\"Ada\" , \"x, y\" \r\n", "", notes},
		{"H21 tabs around quotes", "name,notes\n\t\"Ada\"\t,\t\"x, y\"\n", "", notes},
		{"H21 between tabs", "name\tnotes\n \"Ada\" \t \"x, y\"\n", "", notes},
		{"H21 a mark before quotes", "\ufeffname,notes\n\ufeff\"Ada\",\"x, y\"\n", "", notes},
		{"H21 spaces without quotes stay", "name,notes\n Ada , x \n", "",
			[][]string{{"name", "notes"}, {" Ada ", " x "}}},
		{"H21 spaces in quotes stay", "name,notes\n\" Ada \", \" \"\n", "",
			[][]string{{"name", "notes"}, {" Ada ", " "}}},

		{"quotes in quotes", "name,notes\n\"\"\"Ada\"\"\",\"\"\"\"\n", "",
			[][]string{{"name", "notes"}, {`"Ada"`, `"`}}},
		{"lines in quotes", "name,notes\n\"A\n\r\n\rB\",\n", "",
			[][]string{{"name", "notes"}, {"A\n\r\n\rB", ""}}},
		{"an inch", "name,notes\n12\" pipe,3\" x 4\"\n", "",
			[][]string{{"name", "notes"}, {`12" pipe`, `3" x 4"`}}},
		{"quotes within a cell", "name,notes\nthe \"big\" one,=\"0011\"\n", "",
			[][]string{{"name", "notes"}, {`the "big" one`, `="0011"`}}},
		{"backslashes are text", "name,notes\n\"C:\\\",\\\nC:\\,\"\\\"\n", "",
			[][]string{{"name", "notes"}, {`C:\`, `\`}, {`C:\`, `\`}}},

		{"H25 two marks", "\ufeff\ufeffname,email\r\nAda,a@example.com\r\n", "", ada},
		{"H25 two marks and a quote", "\ufeff\ufeff\"name\",\"email\"\nAda,a@example.com\n", "",
			ada},
		{"H25 two marks of UTF-16", bomLE + bomLE + encoded(t, "utf-16le",
			"name,email\r\nAda,a@example.com\r\n"), "", ada},
		{"H25 three marks", "\ufeff\ufeff\ufeffname,email\nAda,a@example.com\n", "", ada},
		{"H25 two files joined",
			"\ufeffname,email\nAda,a@example.com\n\ufeffName, email\nBob,\n", "",
			append(ada[:2:2], []string{"Bob", ""})},
		{"H25 two files joined without a mark", "name,phone\nAda,1\nName , phone\nBob,2\n", "",
			[][]string{{"name", "phone"}, {"Ada", "1"}, {"Bob", "2"}}},
		{"H25 three pages of one column", "name\nAda\nNAME\nBob\nname\n", "",
			[][]string{{"name"}, {"Ada"}, {"Bob"}}},
		{"H25 a heading after empty cells, twice", ",\nname,phone\nAda,1\nname,phone\nBob,2\n", "",
			[][]string{{"", ""}, {"name", "phone"}, {"Ada", "1"}, {"Bob", "2"}}},
		{"H25 one cell as a heading is text", "name,phone\nAda,phone\nphone,2\n", "",
			[][]string{{"name", "phone"}, {"Ada", "phone"}, {"phone", "2"}}},
		{"inches after other marks", "name,notes\n12½\" pipe,5'10\"x3\"\n", "",
			[][]string{{"name", "notes"}, {"12½\" pipe", "5'10\"x3\""}}},
		{"H02 a few letters that are UTF-8 by chance", "name,email\n\xc4\xa3\xc4\xa3,\n", "gbk",
			[][]string{{"name", "email"}, {"模模", ""}}},
		{"H25 a file joined that has no heading",
			"\ufeffname,email\nAda,a@example.com\n\ufeffBob,\n", "",
			append(ada[:2:2], []string{"Bob", ""})},
		{"H25 a mark at the end", "name,email\nAda,a@example.com\n\ufeff", "", ada},
		{"H25 a mark within a cell is text", "name,email\nA\ufeffda,x\ufeff\n", "",
			[][]string{{"name", "email"}, {"A\ufeffda", "x\ufeff"}}},
	} {
		rows, fault := cellsOf(t, c.file, c.charset, false)
		if fault != "" || !reflect.DeepEqual(rows, c.want) {
			t.Errorf("%s: %.200q, %s", c.name, rows, fault)
		}
	}
}

// What cannot be read is told once, with what to do.
func TestFilesThatAreNoCSV(t *testing.T) {
	many := strings.Repeat("Ada,a@example.com\n", 90_000)
	for _, c := range []struct{ name, file, charset, want string }{
		{"H02 windows-1252", "name,email\r\nJos\xe9 0,j0@example.com\r\nJos\xe9 1,\r\n", "",
			`0: The file is not UTF-8, at line 2. Save it as "CSV UTF-8", or name its encoding: ` +
				`charset=windows-1252 in Content-Type, --charset windows-1252 ` +
				`on the command line. ` +
				`In windows-1252 the line has "José 0"; if that is wrong, it is another encoding.`},
		{"H02 late in the file", "name,email\n" + many + "O\x92Brien,\n", "",
			`at line 90002. * --charset windows-1252 * "O’Brien"`},
		{"H02 in a file with UTF-8 before", "name\nJosé\nJos\xe9\n", "",
			"0: The file has several encodings: it is UTF-8, and line 3 is not."},
		{"H02 surrogates in UTF-8", "name\n\xed\xa0\xbd\xed\xb8\x80\n", "",
			"0: The file is CESU-8, an old UTF-8 of Oracle and MySQL, at line 2. Save it"},
		{"H02 in the heading", "name,endere\xe7o\n", "", `--charset windows-1252 * "endereço"`},
		{"H02 in a row that is no CSV either", "name,email\nJos\xe9,x\n\"a\"b\n", "",
			"not UTF-8, at line 2"},
		{"H02 in a cell whose quote is not closed", "name,email\n\"Jos\xe9,x\n\n", "",
			"not UTF-8, at line 2"},
		{"H02 the charset is UTF-8", "name\nJos\xe9\n", "utf-8", "--charset windows-1252"},
		{"H02 of a Mac", "name,email\rJos\x8e,\rJo\x8bo,\r", "", `--charset macintosh * "José"`},
		{"H02 Russian", encoded(t, "windows-1251", "name\nАнна Каренина\n"), "",
			`--charset windows-1251 * "Анна Каренина"`},
		{"H02 Japanese", encoded(t, "shift_jis", "name\n日本語のソース\n"), "",
			`--charset shift_jis * "日本語のソース"`},
		{"H02 Chinese", encoded(t, "gb18030", "name\n谢谢中国\n"), "", `--charset gb18030 * "谢谢中国"`},
		{"H02 UTF-8 after all", "name\nJosé\n", "iso-8859-1",
			"0: The file is UTF-8, and its sender says iso-8859-1. Leave the charset out."},
		{"H02 UTF-8 after all, cut at a buffer's end", "name\n" + strings.Repeat("é", 40_000) +
			"\n",
			"latin1", "The file is UTF-8"},
		{"H02 another encoding than it says", "name\nJos\xe9\n", "shift_jis",
			"0: Line 2 has bytes that are no text in shift_jis."},
		{"H02 a byte that windows-1252 does not have", "name\nJos\xe9 \x81\n", "windows-1252",
			"Line 2 has bytes that are no text in windows-1252."},
		{"H02 no such encoding", "name\n", "klingon", `There is no encoding "klingon"`},
		{"H02 an encoding that is not supported", "name\n", "iso-2022-kr", "There is no encoding"},

		{"H01 UTF-16 without a mark", encoded(t, "utf-16le", "name,email\n"), "",
			"0: The file is UTF-16LE without a byte order mark. * --charset utf-16le"},
		{"H01 of the other order", encoded(t, "utf-16be", "имя,email\nАнна,x\n"), "",
			"UTF-16BE without a byte order mark"},
		{"H01 not UTF-16", "name,email\nAda,\n", "utf-16", "0: The file is not UTF-16."},
		{"H01 UTF-16 cut off", "\xff\xfen\x00a\x00m\x00e\x00\n\x00A", "", "no text in utf-16le"},
		{"H01 half of a character", "\xff\xfe" + encoded(t, "utf-16le", "name\nx") +
			"\x3d\xd8\n\x00", "",
			"no text in utf-16le"},
		{"UTF-32", "\xff\xfe\x00\x00n\x00\x00\x00", "",
			`0: The file is UTF-32. Save it as "CSV UTF-8".`},
		{"UTF-32 of the other order", "\x00\x00\xfe\xff\x00\x00\x00n", "", "The file is UTF-32."},
		{"UTF-32 without a mark", "n\x00\x00\x00a\x00\x00\x00", "", "The file is UTF-32"},

		{"xlsx", "PK\x03\x04\x14\x00\x06\x00\b\x00\x00\x00!\x00[Content_Types].xml", "",
			`0: The file is a workbook of Excel (.xlsx); save it as "CSV UTF-8" and import that.`},
		{"xlsx with a charset", "PK\x03\x04\x14\x00[Content_Types].xml", "windows-1252",
			"workbook of Excel"},
		{"xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00\x00", "", "workbook of an old Excel (.xls)"},
		{"ods", "PK\x03\x04\x14\x00mimetypeapplication/vnd.oasis.opendocument.spreadsheetPK", "",
			"(.ods)"},
		{"numbers", "PK\x03\x04\x14\x00Index/Document.iwa", "", "Numbers"},
		{"zip", "PK\x03\x04\x14\x00clientes.csv", "", "ZIP archive; unpack it"},
		{"gzip", "\x1f\x8b\b\x00", "", "packed by gzip; unpack it"},
		{"PDF", "%PDF-1.7\n", "", "PDF document"},
		{"a picture", "\xff\xd8\xff\xe0\x00\x10JFIF", "", "a picture"},
		{"a web page", "\n<!DOCTYPE html>\n<html>", "", "a web page"},
		{"a table of HTML", "<table><tr><td>name", "", "a web page"},
		{"XML", "\ufeff<?xml version=\"1.0\"?>", "", "XML"},
		{"a web page in UTF-16", "\xff\xfe" + encoded(t, "utf-16le", "<html>"), "", "a web page"},
		{"vCard", "BEGIN:VCARD\nVERSION:3.0\n", "", "vCard"},
		{"JSON", "{\"name\":\"Ada\"}\n", "", "0: The file is JSON, not CSV. * --format ndjson"},
		{"JSON array", "[\n  {\"name\":\"Ada\"}]\n", "", "The file is JSON, not CSV."},
		{"something with NULs", "\x7fELF\x02\x01\x01\x00\x00\xff\x00", "", "The file is not text"},

		{"H06 semicolons or commas", "Ana;Rua B, 2\nBia;Rua C, 3\n", "",
			"0: Commas, semicolons or tabs may separate the cells: * sep=;"},
		{"H06 tabs or commas in one row", "Ana\tRua B, 2\n", "",
			"0: Commas, semicolons or tabs may"},
		{"a quote that is not closed", "name,email\nAda,\n\"Bob,b\nEva,e\n", "",
			"The row is not CSV, at line 3: the quote that opens there is never closed; "},
		{"a quote that another one closes", "name,email\n\"Bob,b\n\"Eva\",e\n", "",
			"at line 3: text follows the closing quote of a cell whose quote opens at line 2;"},
		{"a quote too many", "name\n\"A\"\"\n", "",
			"at line 2: the quote that opens there is never closed"},
		{"text after quotes", "name,email\n\"Ada\" B,x\n", "", "text follows the closing quote"},
		{"MySQL's quotes", "name,notes\n\"Ada \\\"B\\\" C\",\"x\"\n", "",
			`a quote in a cell is written "", and a backslash is text`},
		{"MySQL's quote at the end", "name,notes\n\"Ada \\\", x\",\"y\"\n", "",
			"a cell ends in a backslash, and another has a quote alone"},
		{"a quoted part with a separator", "name,notes\nAda,says \"a, b\"\n", "",
			"a quote opens within a cell; put the whole cell in quotes"},
		{"a quoted part of a formula", "name,notes\nAda,=\"a,b\"\n", "",
			"a quote opens within a cell"},
		{"H14 CR within a file of LF", "name,email\nAda,x\rBob,y\n", "",
			"at line 2: a carriage return stands alone outside quotes; end all lines alike"},
		{"H14 and within a file of CRLF", "name,email\r\nAda,x\rBob,y\r\n", "",
			"a carriage return stands alone"},
		{"a quoted part after a space that does not break",
			"name,notes,phone\n\u00a0\"Silva, Ana\",x\n", "", "a quote opens within a cell"},
		{"a quoted part after another mark", "name,notes,phone\n>\"Silva, Ana\",x\n", "",
			"a quote opens within a cell"},
		{"H02 UTF-8 named gbk", "name\n张三\n李四\n", "gbk",
			"The file is UTF-8, and its sender says gbk"},
		{"H02 UTF-8 named shift_jis", "name\nソース表\n", "shift_jis", "Leave the charset out."},
		{"H02 UTF-8 named big5", "name\nÁéíóú\n", "big5", "big5"},
		{"H02 most of it UTF-8", "name\nJosé\nJoão\nJos\xe9\n", "windows-1252",
			"The file has several encodings: most of it is UTF-8, and not windows-1252."},
		{"H25 a heading in another order", "name,phone\nAda,x\nphone,name\ny,Bob\n", "",
			"Another file begins at line 3, with other columns"},
		{"H25 a heading of fewer", "name,phone,notes\nAda,x,\nName,Notes\nBob,y\n", "",
			"Another file begins at line 3"},
		{"H25 another file with other columns", "name,email\nAda,x\n\ufeffemail,name\ny,Bob\n", "",
			"Another file begins at line 3, with other columns"},
		{"too many cells", "name\n" + strings.Repeat(",", maxCells) + "\n", "",
			"more than 16384 cells, at line 2"},
		{"a row that is too long in UTF-16",
			"\xff\xfe" + encoded(t, "utf-16le", "name\n"+strings.Repeat("日", maxRow/3+2)+"\n"), "",
			"The row has more than 1048576 bytes, from line 2 on"},
		{"a quote that makes a row too long", "name\n\"Ada\n" + strings.Repeat("Bob\n", maxRow/4),
			"",
			"the quote that opens at line 2 may have no end"},
		{"too long between tabs", "name\temail\n\t" + strings.Repeat("x", maxRow+1), "",
			"more than 1048576 bytes"},
		{"too long with CR alone", "name\rAda\r" + strings.Repeat("x", maxRow+1) + "\r", "",
			"more than 1048576 bytes"},
	} {
		_, fault := cellsOf(t, c.file, c.charset, false)
		rest := fault
		for _, part := range strings.Split(c.want, " * ") {
			i := strings.Index(rest, part)
			if i < 0 {
				t.Errorf("%s: %q lacks %q", c.name, fault, part)
				break
			}
			rest = rest[i+len(part):]
		}
		_, secret := cellsOf(t, c.file, c.charset, true)
		for _, cell := range []string{"José", "Bob", "Ada", "Brien", "Анна", "谢", "日本"} {
			if strings.Contains(secret, cell) {
				t.Errorf("%s: %q repeats a cell that may be secret", c.name, secret)
			}
		}
	}
}

// A row has the same limit in every dialect.
func TestTheLongestRow(t *testing.T) {
	cell := strings.Repeat("x", maxRow-2)
	for _, sep := range []string{",", ";", "\t"} {
		for _, end := range []string{"\n", "\r\n", "\r"} {
			file := "a" + sep + "b" + end + cell + sep + "y" + end + "z" + sep + end
			rows, fault := cellsOf(t, file, "", false)
			if fault != "" || len(rows) != 3 || rows[1][0] != cell || rows[2][0] != "z" {
				t.Errorf("%q, %q: %d rows, %s", sep, end, len(rows), fault)
			}
			file = strings.Replace(file, "xx", "xxx", 1)
			if rows, fault = cellsOf(t, file, "", false); len(rows) != 1 ||
				!strings.Contains(fault, "more than 1048576 bytes") {
				t.Errorf("%q, %q: a byte more is read as %d rows, %s", sep, end, len(rows), fault)
			}
		}
	}
}

// A dialect does not depend on how many bytes come at once.
func TestADialectByteByByte(t *testing.T) {
	for _, file := range []string{
		"\ufeff\ufeffsep=;\r\n\"name\" ; notes\r\n\"A\"\"B\" ;" +
			"12\" x\r\r\n\ufeffname;notes\r\nC; \"y\r\nz\"\x1a\x1a",
		"name\rA\r\"b\rc\"\r\x00\x00",
	} {
		want, fault := cellsOf(t, file, "", false)
		if fault != "" {
			t.Fatal(fault)
		}
		in := newCSVReader(iotest.OneByteReader(strings.NewReader(file)), Reading{Format: CSV},
			false)
		var rows [][]string
		for {
			record, err := in.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, slices.Clone(record))
		}
		if !reflect.DeepEqual(rows, want) {
			t.Errorf("%q is %q, byte by byte %q", file, want, rows)
		}
	}
}

// Without headings, a row that two joined files have is a row twice.
func TestJoinedFilesWithoutHeadings(t *testing.T) {
	how := Reading{Format: CSV, Columns: []string{"name", "company"}, HeaderAbsent: true}
	var names []string
	file := "\ufeffAda,x\nBob,y\n\ufeffAda,x\nx,Ada\n"
	for c, err := range Rows(strings.NewReader(file), how, Clientes()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.Name)
	}
	if want := []string{"Ada", "Bob", "Ada", "x"}; !slices.Equal(names, want) {
		t.Errorf("the names are %q, want %q", names, want)
	}
}

// What looks like padding and is none is looked through once, not for each line.
func TestPaddingThatIsNone(t *testing.T) {
	file := "name\n" + strings.Repeat("\x1a\n", maxRow/2-10) + "Ada\n"
	rows, fault := cellsOf(t, file, "", false)
	if fault != "" || len(rows) != maxRow/2-8 || rows[len(rows)-1][0] != "Ada" {
		t.Errorf("%d rows, %s", len(rows), fault)
	}
}

func TestKnownCharset(t *testing.T) {
	for name, want := range map[string]bool{
		"": true, "utf-8": true, "UTF8": true, "Windows-1252": true, "latin1": true, "utf-16": true,
		"shift_jis": true, "gb18030": true, "macintosh": true, "ibm866": true, "cp1251": true,
		"utf-32": false, "utf-7": false, "iso-2022-kr": false, "replacement": false,
		"klingon": false,
		"utf-8;":  false, "\x00": false,
	} {
		if KnownCharset(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
	for _, enc := range charmap.All {
		if name, err := htmlindex.Name(enc); err == nil && !KnownCharset(name) {
			t.Errorf("%s is not known", name)
		}
	}
}

// FuzzCells checks that a file is read as encoding/csv reads it, or is refused. Nothing is taken
// for something else. What was read is the same after it was written.
func FuzzCells(f *testing.F) {
	for _, file := range []string{
		"name,email\nAda,a@example.com\n", "sep=;\r\nname;email\r\nA;b\r\n", "\"sep=,\"\na,b\n",
		"name\temail\nA\tb\n", "name,email\rAda,x\rBob,y\r", "name,email\r\nA,b\r\n\x1a",
		"a,b\n1,2\x00\x00",
		"name, email\n\"A\", \"x, y\" \n", "\ufeff\ufeffa,b\n1,2\n\ufeffa,b\n3,4\n",
		"a\n12\" pipe\n",
		"a,b\nsays \"x, y\",z\n", "a,b\n\"x\\\"y\",z\n", "a\n\"x\n", "a\n\"x\"y\n",
		"a,b;c\n1;2,3\n",
		"a\r\r\nb\r\r\n", "a\nb\rc\n", "\xff\xfea\x00\n\x00b\x00", "\xfe\xff\x00a\x00\n",
		"a\nJos\xe9\n",
		"a\x00,\x00b\x00\n\x00", "PK\x03\x04", "{\"a\":1}", "<html>", "\n\n a \n \"\" \n\"\"\"\"\n",
		",,\n,,\n",
	} {
		f.Add(file, "")
		f.Add(file, "windows-1252")
	}
	f.Add("a\n\x83\x5c\n", "shift_jis")
	f.Add("a\x00\n\x00", "utf-16")
	f.Fuzz(func(t *testing.T, file, charset string) {
		rows, fault := cellsOf(t, file, charset, false)
		size := 0
		for _, row := range rows {
			for _, cell := range row {
				size += len(cell)
			}
		}
		if size > 3*len(file) {
			t.Errorf("%q became %d bytes", file, size)
		}
		if fault != "" {
			return
		}
		if charset == "" && plain(file) {
			in := newCSVReader(strings.NewReader(file), Reading{Format: CSV}, false)
			_, _ = in.next()
			theirs := csv.NewReader(strings.NewReader(file))
			theirs.Comma, theirs.FieldsPerRecord = rune(in.comma), -1
			want, err := theirs.ReadAll()
			want = withHeadingOnce(want)
			if err == nil && len(want)+len(rows) > 0 && !reflect.DeepEqual(unixEnds(rows), want) {
				t.Errorf("%q is %q, by encoding/csv %q", file, rows, want)
			}
		}
		if len(rows) == 0 {
			return
		}
		var b []byte
		b = append(b, "first of us,last of us\r\n"...) // settles separator and line ends
		for _, row := range rows {
			for i, cell := range row {
				if i > 0 {
					b = append(b, ',')
				}
				if cell == "" && len(row) == 1 {
					b = append(b, `""`...) // or it would be a blank line
				}
				b = quotedCSV(b, cell)
			}
			b = append(b, "\r\n"...)
		}
		again, fault := cellsOf(t, string(b), "", false)
		if fault != "" || !reflect.DeepEqual(again[1:], rows) {
			t.Errorf("%q is %q, and was written and read as %q, %s", file, rows, again, fault)
		}
	})
}

// withHeadingOnce drops the rows that are the heading again.
func withHeadingOnce(rows [][]string) (kept [][]string) {
	var names []string
	for _, row := range rows {
		switch {
		case names == nil && !isBlank(row):
			names = namesOf(row)
		case names != nil && slices.Equal(namesOf(row), names):
			continue
		}
		kept = append(kept, row)
	}
	return kept
}

// quotedCSV writes a cell as an export does. An export begins each row with a number, so that no
// byte order mark and no Ctrl-Z can begin one. Here they need quotes.
func quotedCSV(b []byte, cell string) []byte {
	if strings.ContainsAny(cell, "\ufeff\x00\x1a") || strings.HasPrefix(cell, " ") ||
		strings.HasPrefix(cell, "\t") {
		return append(append(append(b, '"'), strings.ReplaceAll(cell, `"`, `""`)...), '"')
	}
	return appendCell(b, cell)
}

// plain reports whether a file has nothing that encoding/csv takes for a part of a cell, and we do
// not: line "sep=", byte order mark, Ctrl-Z, NUL, or CR alone.
func plain(file string) bool {
	mark, _ := markOf([]byte(file))
	return mark == "" && !strings.Contains(strings.ToLower(file), "sep=") &&
		!strings.ContainsAny(file, "\x00\x1a\ufeff") &&
		!strings.Contains(strings.ReplaceAll(file, "\r\n", "\n"), "\r")
}

func unixEnds(rows [][]string) [][]string {
	for _, row := range rows {
		for i := range row {
			row[i] = strings.ReplaceAll(row[i], "\r\n", "\n")
		}
	}
	return rows
}
