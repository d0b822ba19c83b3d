package wire

import (
	"bytes"
)

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

// BeginsAsJSON reports whether a text begins as a JSON object or array, which may have faults. No
// form does, and no usual heading of a CSV file.
func BeginsAsJSON(start []byte) bool {
	start = bytes.TrimLeft(bytes.TrimPrefix(start, []byte(bom)), " \t\r\n")
	return len(start) > 0 && (start[0] == '{' || start[0] == '[')
}

// looksLikeJSON reports whether a file is JSON and not CSV, whose first heading may begin with a
// bracket, too.
func looksLikeJSON(start []byte) bool {
	if len(start) < 2 || start[0] != '{' && start[0] != '[' {
		return false
	}
	rest := bytes.TrimLeft(start[1:], " \t\r\n")
	return len(rest) > 0 && bytes.IndexByte([]byte(`"{}[]`), rest[0]) >= 0
}
