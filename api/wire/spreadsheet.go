package wire

import (
	"regexp"
	"slices"
	"strings"

	"clientes/store"
)

// safeColumn is the name of the last column of a [SpreadsheetCSV]. Its cells are empty. By the name
// an import knows that the apostrophes before the texts are not part of them.
const safeColumn = "spreadsheet_safe"

// spreadsheetSafe puts an apostrophe before each text that a spreadsheet would run as a formula
// (OWASP, CSV Injection), and before those that would look the same after it. The customer is then
// no longer what is stored.
func spreadsheetSafe(c *store.Cliente) {
	for _, t := range c.Texts() {
		if runs(*t.Value) {
			*t.Value = "'" + *t.Value
		}
	}
}

// withoutApostrophe undoes spreadsheetSafe.
func withoutApostrophe(s string) string {
	if strings.HasPrefix(s, "'") && runs(s) {
		return s[1:]
	}
	return s
}

// runs reports whether a spreadsheet runs a text as a formula, or would without the apostrophes
// before it.
func runs(s string) bool {
	s = strings.TrimLeft(s, "'")
	return s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0]))
}

var phoneAfterMark = regexp.MustCompile(`^'+[+(0-9]`)

// withoutTextMark drops the apostrophe that some programs, Shopify for one, put before a phone so
// that a spreadsheet takes it for a text. No phone begins with one.
func withoutTextMark(phone string) string {
	if strings.HasPrefix(phone, "'") && phoneAfterMark.MatchString(phone) {
		return strings.TrimLeft(phone, "'")
	}
	return phone
}

// sheetErrors are what spreadsheets write where they could not compute a value: in English,
// Portuguese, Spanish, French and German.
var sheetErrors = []string{
	"#NAME?", "#REF!", "#VALUE!", "#N/A", "#DIV/0!", "#NUM!", "#NULL!", "#ERROR!", "#SPILL!",
	"#CALC!", "#NOME?", "#VALOR!", "#N/D", "#NÚM!", "#NULO!", "#¿NOMBRE?", "#¡REF!", "#¡VALOR!",
	"#¡DIV/0!", "#¡NUM!", "#¡NULO!", "#NOM?", "#VALEUR!", "#NOMBRE!", "#NUL!", "#BEZUG!", "#WERT!",
	"#NV", "#ZAHL!",
}

// damageOf returns what another program has plainly done to a cell, as a sentence that says what to
// do. It is "" if the cell may be what somebody wrote. In a file of our own, `\N` is.
func damageOf(cell string, own bool) string {
	if cell == "" || !strings.ContainsRune(`#='\`, rune(cell[0])) {
		return ""
	}
	trimmed := strings.TrimSpace(cell)
	switch {
	case slices.Contains(sheetErrors, trimmed) ||
		len(trimmed) >= 3 && strings.Trim(trimmed, "#") == "":
		return "A spreadsheet has put " + trimmed + " in the place of the text; " +
			"correct the cell there, and export again."
	case trimmed == `\N` && !own:
		return `A database has put \N in the place of a text that it does not have; ` +
			"empty the cell."
	case strings.HasPrefix(cell, `="`) && len(trimmed) > 3 && strings.HasSuffix(trimmed, `"`):
		return `The text is a spreadsheet's formula (="…"); leave only what is in its quotes.`
	case len(cell) > 1 && cell[0] == '\'' && runs(cell):
		return "The text begins with an apostrophe that keeps a spreadsheet from running it; " +
			"take the apostrophe away."
	}
	return ""
}
