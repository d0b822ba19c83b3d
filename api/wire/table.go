package wire

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"clientes/store"
)

// table is what a CSV file says of its columns, and what its rows have shown of them.
type table struct {
	columns []column
	named   int   // how many columns [Reading.Columns] has, up to its last name
	widest  int   // the cells of the longest row
	rows    int64 // how many rows there were
	marked  bool  // whether the file was written for a spreadsheet; see [SpreadsheetCSV]
	own     bool  // whether this program has exported the file
	comma   byte  // separates the cells
	said    bool  // whether the sender said what the columns are
	whole   bool  // whether that has to be every column
}

// column is a column of a CSV file.
type column struct {
	name     string  // of the text that it holds; "" if it is passed over
	text     *string // where its cells go; nil if it is passed over
	joined   bool    // whether another column goes to the same text
	nameless bool    // whether the first line has no name for it
	usedBy   int64   // the first row that has something in it, if it is nameless
}

// csvRows reads a CSV file. Rows with nothing in them are no rows and are not counted.
func (n *Noun[T]) csvRows(from io.Reader, how Reading) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var row T
		in := newCSVReader(from, how, n.secret)
		t, record, err := n.table(in, how, &row)
		for ; err == nil; record, err = in.next() {
			if isBlank(record) {
				continue
			}
			row = *new(T)
			if !yield(n.fromRecord(record, &row, t)) {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			err = t.faults()
		}
		if err != nil {
			yield(*new(T), err)
		}
	}
}

// headRows is how many rows may belong to a heading of several lines.
const headRows = 10

// isRuler reports whether a record is the line that some programs draw below a heading.
func isRuler(record []string) bool {
	dashes := 0
	for _, cell := range record {
		cell = store.Trim(cell)
		if cell == "" || strings.Trim(cell, "-=") != "" {
			return false
		}
		dashes += len(cell)
	}
	return dashes > 2
}

// isBlank reports whether nothing can be seen in a record.
func isBlank(record []string) bool {
	for _, cell := range record {
		if store.Trim(cell) != "" {
			return false
		}
	}
	return true
}

// fromRecord reads a record of a CSV file into the row that the columns are in. Cells that are
// missing at the end are empty, because spreadsheets leave them out.
func (n *Noun[T]) fromRecord(record []string, row *T, t *table) (T, error) {
	t.rows++
	t.widest = max(t.widest, len(record))
	if fault := t.misfit(record); fault != nil {
		return *new(T), fault
	}
	if t.rows <= headRows && (t.said && t.headings(record) > 1 || isRuler(record)) {
		return *new(T), store.Invalid("", "wrong_columns",
			"The row names columns or is a line of dashes. "+
				"Take it out, and what stands before the names of the columns.")
	}
	var faults store.InvalidError
	for i := range min(len(record), len(t.columns)) {
		cell, c := record[i], &t.columns[i]
		switch {
		case c.text == nil:
			if c.nameless && c.usedBy == 0 && store.Trim(cell) != "" {
				c.usedBy = t.rows
			}
			continue
		case t.marked:
			cell = withoutApostrophe(cell)
		case !n.secret && c.name == "phone":
			cell = withoutTextMark(cell)
		}
		mayBeDamaged := c.name != "email" && !n.secret && !t.marked
		if message := damageOf(cell, t.own); mayBeDamaged && message != "" {
			faults.Fields = append(faults.Fields, store.FieldError{
				Field: c.name, Code: "spreadsheet", Message: message,
			})
		}
		if c.joined {
			if cell = store.Trim(cell); cell == "" {
				continue
			}
			if *c.text != "" {
				cell = *c.text + " " + cell
			}
		}
		*c.text = cell
	}
	var damage error
	if faults.Fields != nil {
		damage = &faults
	}
	checked, err := n.checked(*row, damage)
	if err != nil {
		t.explainEmail(err)
	}
	return checked, err
}

// misfit returns what is wrong with the number of cells of a record, or nil.
func (t *table) misfit(record []string) error {
	width := len(t.columns)
	switch {
	case len(record) > width && !isBlank(record[width:]) && t.whole:
		return store.Invalid("", "wrong_columns", fmt.Sprintf(
			"The row has %d cells, and columns names %d. A text with %s in it has to be in double "+
				"quotes. A column to pass over needs a comma in columns, also at its end.",
			len(record), width, separatorName(t.comma)))
	case len(record) > width && !isBlank(record[width:]):
		return store.Invalid("", "wrong_columns", fmt.Sprintf(
			"The row has %d cells, and the file %s. A text with %s in it has to be in double "+
				"quotes.", len(record), columnsText(width), separatorName(t.comma)))
	case len(record) > 1 || width == 1:
		return nil
	case strings.Count(record[0], string(t.comma)) == width-1:
		return store.Invalid("", "wrong_columns",
			"The row is one text in double quotes; take away the quotes around the whole row.")
	}
	for _, other := range []byte(",;\t") {
		cells := strings.Split(record[0], string(other))
		if other == t.comma || len(cells) == 1 {
			continue
		}
		// A missing end of the row is no fault, and a name may have a semicolon.
		if len(cells) == width || slices.ContainsFunc(cells, func(cell string) bool {
			name := likelyName(cell)
			return name == "email" || name == "phone"
		}) {
			return store.Invalid("", "wrong_columns", fmt.Sprintf(
				"The row has %s between its cells, and the first line %s. Separate all cells by "+
					"one of them.", separatorName(other), separatorName(t.comma)))
		}
	}
	return nil
}

func columnsText(n int) string {
	if n == 1 {
		return "1 column"
	}
	return fmt.Sprintf("%d columns", n)
}

// separatorName returns what a message calls the character between cells.
func separatorName(comma byte) string {
	switch comma {
	case ',':
		return "a comma"
	case ';':
		return "a semicolon"
	case '\t':
		return "a tab"
	}
	return fmt.Sprintf("%q", comma)
}

// explainEmail adds to the fault of an email what to do with two in one cell.
func (t *table) explainEmail(err error) {
	var invalid *store.InvalidError
	if !errors.As(err, &invalid) {
		return
	}
	for _, c := range t.columns {
		if c.name != "email" || strings.Count(*c.text, "@") < 2 {
			continue
		}
		for i := range invalid.Fields {
			if f := &invalid.Fields[i]; f.Field == "email" {
				f.Message = "There is more than one email address; leave one, " +
					"and move the others to the notes."
			}
		}
		return
	}
}

// faults returns what is wrong with the columns of a file that was read to its end, or nil.
func (t *table) faults() error {
	var faults store.RowsError
	if t.rows > 0 && t.named > t.widest {
		faults.Add(0, store.FieldError{Field: "columns", Code: "wrong_columns",
			Message: fmt.Sprintf("The file has %s, and columns names %d. Are its cells separated "+
				"by commas, semicolons or tabs?", columnsText(t.widest), t.named)})
	}
	for i, c := range t.columns {
		if c.usedBy != 0 {
			faults.Add(0, store.FieldError{Code: "unknown_member", Message: fmt.Sprintf(
				"Column %d has no name in the first line, and row %d has something in it; "+
					"name the column, or empty it.", i+1, c.usedBy)})
		}
	}
	return faults.Err()
}

// table reads the first line of a CSV file. If that is the first row, table returns it too, else
// nil. What is wrong with the columns is a [*store.RowsError].
func (n *Noun[T]) table(in *csvReader, how Reading, row *T) (*table, []string, error) {
	first, err := in.next()
	for err == nil && isBlank(first) {
		first, err = in.next()
	}
	var malformed *store.InvalidError
	switch {
	case errors.Is(err, io.EOF):
		var faults store.RowsError
		faults.Add(0, store.FieldError{Field: n.required[0], Code: "required",
			Message: "The file is empty: its first line has to name the columns."})
		return nil, nil, &faults
	case errors.As(err, &malformed):
		return nil, nil, fileFault("malformed",
			"The first line does not name the columns of a CSV file.")
	case err != nil:
		return nil, nil, err
	case slices.ContainsFunc(first, func(s string) bool { return !utf8.ValidString(s) }):
		return nil, nil, fileFault("invalid_text", "The file is not UTF-8.")
	case inApostrophes(first):
		return nil, nil, fileFault("malformed",
			"The cells stand in single quotes ('); put double quotes (\") around them.")
	}
	width := max(len(first), len(how.Columns))
	if how.HeaderAbsent {
		width = len(how.Columns) // what nobody names would be lost: it may be the end of a text
	}
	t := &table{
		columns: make([]column, width), widest: len(first), comma: in.comma,
		said: how.Columns != nil, whole: how.HeaderAbsent,
	}
	members := n.members(row)
	if how.Columns != nil {
		err = n.fromColumns(t, first, how, members)
	} else {
		err = n.fromHeadings(t, first, members)
	}
	if err != nil || how.HeaderAbsent {
		return t, first, err
	}
	names := make([]string, len(first))
	for i, cell := range first {
		names[i] = heading(cell)
	}
	t.marked = slices.Contains(names, safeColumn)
	isMissing := func(name string) bool { return !slices.Contains(names, name) }
	t.own = len(n.ignored) > 0 && !slices.ContainsFunc(n.ignored, isMissing)
	return t, nil, nil
}

// inApostrophes reports whether every cell that has something has apostrophes around it.
func inApostrophes(record []string) bool {
	for _, cell := range record {
		cell = store.Trim(cell)
		if cell != "" && (len(cell) < 2 || cell[0] != '\'' || cell[len(cell)-1] != '\'') {
			return false
		}
	}
	return true // the record is not blank
}

// fromColumns fills a table with the columns that the sender names.
func (n *Noun[T]) fromColumns(
	t *table, first []string, how Reading, members []textMember,
) error {
	count := make(map[string]int)
	for _, name := range how.Columns {
		count[name]++
	}
	for i, name := range how.Columns {
		m := slices.IndexFunc(members, func(m textMember) bool { return m.name == name })
		if m < 0 {
			continue // it is passed over
		}
		t.columns[i] = column{name: name, text: members[m].text, joined: count[name] > 1}
		t.named = i + 1
	}
	switch {
	case how.HeaderAbsent && t.headings(first) > 0:
		return fileFault("wrong_columns",
			"The first line names columns, and is said to be data. "+
				"Leave out header=absent (--no-header in the command), or that line.")
	case !how.HeaderAbsent && t.isData(first):
		return fileFault("wrong_columns",
			"The first line is data, and not the names of columns. "+
				"Say so with header=absent in Content-Type (--no-header in the command).")
	}
	return nil
}

// headings returns how many names of columns that the sender names a line has in their columns. It
// returns 0 if it has something else there, too.
func (t *table) headings(line []string) (n int) {
	for i, cell := range line[:min(len(line), len(t.columns))] {
		c := &t.columns[i]
		if cell = heading(cell); c.name == "" || cell == "" {
			continue
		}
		if cell != c.name && meaningOf(cell) != c.name {
			return 0
		}
		n++
	}
	return n
}

// isData reports whether a first line has an email or a phone where the sender names one.
func (t *table) isData(first []string) bool {
	for i, cell := range first {
		name := t.columns[i].name
		if (name == "email" || name == "phone") && name == likelyName(cell) {
			return true
		}
	}
	return false
}

// fromHeadings fills a table with the columns that the first line names, in any order.
func (n *Noun[T]) fromHeadings(t *table, first []string, members []textMember) error {
	var (
		faults  store.RowsError
		unknown []int
	)
	seen := make(map[string]int)
	for i, cell := range first {
		name := heading(cell)
		m := slices.IndexFunc(members, func(m textMember) bool { return m.name == name })
		before, twice := seen[name]
		switch {
		case name == "":
			t.columns[i].nameless = true
			continue
		case m < 0 && name != safeColumn && !slices.Contains(n.ignored, name):
			unknown = append(unknown, i)
		case twice:
			faults.Add(0, store.FieldError{Field: name, Code: "duplicate", Message: fmt.Sprintf(
				"Columns %d and %d have this name; keep one.", before+1, i+1)})
		case m >= 0:
			t.columns[i] = column{name: name, text: members[m].text}
		}
		seen[name] = i
	}
	if unknown != nil {
		faults.Add(0, n.unknownColumns(first, unknown, members))
		return &faults
	}
	for _, name := range n.required {
		if _, ok := seen[name]; !ok {
			faults.Add(0, store.FieldError{Field: name, Code: "required", Message: n.missing})
		}
	}
	return faults.Err()
}
