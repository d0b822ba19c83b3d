package wire

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"clientes/store"
)

// heading returns the form in which the names of columns are compared: without case, white space
// and characters that nobody sees.
func heading(cell string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if store.Trim(string(r)) == "" {
			return -1
		}
		return r
	}, cell))
}

// Columns reads what somebody says the columns of a CSV file are: their names from the left,
// separated by commas. Columns with an empty name are passed over. The error is for that person.
func (n Noun[T]) Columns(text string) ([]string, error) {
	members := n.members(new(T))
	names := strings.Split(text, ",")
	for i, cell := range names {
		name := heading(cell)
		is := func(m textMember) bool { return m.name == name }
		switch {
		case slices.ContainsFunc(members, is):
			names[i] = name
		case name == "" || name == safeColumn || slices.Contains(n.ignored, name):
			names[i] = ""
		case strings.ContainsAny(cell, ";|\t"):
			return nil, fmt.Errorf("there is no column %q; separate the columns by commas, "+
				"also for a file with other separators", Excerpt(cell))
		default:
			return nil, fmt.Errorf("there is no column %q; the columns are %s, "+
				"and an empty one is passed over", Excerpt(cell), columnNames(members))
		}
	}
	for _, name := range n.required {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("none of the columns is %q, which is required", name)
		}
	}
	return names, nil
}

func columnNames(members []textMember) string {
	var names []string
	for _, m := range members {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

// listed is how many names of columns a message repeats.
const listed = 10

// unknownColumns returns the fault of a first line with names that are not known, and says what to
// do. Where the first line was forgotten, the names are the cells of a row.
func (n *Noun[T]) unknownColumns(
	first []string, unknown []int, members []textMember,
) store.FieldError {
	fault := store.FieldError{Code: "unknown_member"}
	known := columnNames(members)
	if n.secret {
		fault.Message = fmt.Sprintf("%s of the first line is none of %s. Rename the others or take "+
			"them out, or say what each column is, from the left, with columns=%s,,%s (an empty "+
			"one is passed over).",
			columnList(unknown), known, n.required[0], members[len(members)-1].name)
		return fault
	}
	var cells []string
	for _, i := range unknown[:min(len(unknown), listed)] {
		cells = append(cells, fmt.Sprintf("%q", Excerpt(first[i])))
	}
	list := strings.Join(cells, ", ")
	if more := len(unknown) - listed; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	if len(unknown) == 1 {
		fault.Field = Excerpt(first[unknown[0]])
	}
	if len(first) == 1 && strings.ContainsAny(first[0], ",;|\t") {
		fault.Message = fmt.Sprintf("The first line is one column, %s. Separate the columns by "+
			"commas, semicolons or tabs, and put no quotes around the whole line.", list)
		return fault
	}
	paste, ofHeadings := suggestion(first)
	if paste == "" {
		paste = "name,,email"
	}
	if !ofHeadings && len(unknown) == len(first) {
		fault.Message = fmt.Sprintf("The first line names no columns: it has %s. The columns are %s. "+
			"Let it name them, or say what each column is, from the left, with columns=%s "+
			"(an empty one is passed over). If the line is data, say so with header=absent in "+
			"Content-Type (--no-header in the command).", list, known, paste)
		return fault
	}
	what := "is no column"
	if len(unknown) > 1 {
		what = "are no columns"
	}
	fault.Message = fmt.Sprintf("%s %s. The columns are %s. Rename the others or take them out, or "+
		"say what each column is, from the left, with columns=%s (an empty one is passed over).", list, what, known, paste)
	return fault
}

// columnList returns "Column 2", or "Each of columns 2, 4".
func columnList(indexes []int) string {
	var numbers []string
	for _, i := range indexes[:min(len(indexes), MaxFieldErrors)] {
		numbers = append(numbers, fmt.Sprint(i+1))
	}
	if len(numbers) == 1 {
		return "Column " + numbers[0]
	}
	return "Each of columns " + strings.Join(numbers, ", ")
}

// suggestion returns what the columns of a file with such a first line probably are, as
// [Noun.Columns] reads it, and whether the line has names of columns. It is "" if no column holds
// the names.
func suggestion(first []string) (paste string, ofHeadings bool) {
	names := make([]string, len(first))
	for i, cell := range first {
		names[i] = meaningOf(heading(cell))
		ofHeadings = ofHeadings || names[i] != ""
	}
	if !ofHeadings {
		for i, cell := range first {
			names[i] = likelyName(cell)
		}
	}
	for _, text := range store.TextNames() {
		// The text's own name counts alone. Else parts of names and addresses are joined, and the
		// first of the others counts.
		var own, all []int
		for i, name := range names {
			if name == text {
				all = append(all, i)
				if heading(first[i]) == text {
					own = append(own, i)
				}
			}
		}
		keep := all
		if len(own) > 0 {
			keep = own[:1]
		} else if !ofHeadings || text != "name" && text != "address" {
			keep = all[:min(len(all), 1)]
		}
		for _, i := range all {
			if !slices.Contains(keep, i) {
				names[i] = ""
			}
		}
	}
	if !slices.Contains(names, "name") {
		return "", ofHeadings
	}
	return strings.TrimRight(strings.Join(names, ","), ","), ofHeadings
}

// likelyName returns the name of the column that a cell of a row is probably in, "" for none.
func likelyName(cell string) string {
	cell = store.Trim(cell)
	digits := 0
	for _, r := range cell {
		if unicode.IsDigit(r) {
			digits++
		} else if !strings.ContainsRune("+-()./ '", r) {
			digits = -len(cell)
		}
	}
	user, host, ok := strings.Cut(cell, "@")
	switch {
	case ok && user != "" && strings.Contains(host, ".") && !strings.Contains(cell, " "):
		return "email"
	case digits >= 7:
		return "phone"
	case digits < 0:
		return "name"
	}
	return ""
}

// meaningOf returns the text that a heading probably stands for, "" if nobody knows.
func meaningOf(heading string) string {
	letters := lettersOnly(heading)
	for _, text := range store.TextNames() {
		if letters == text || slices.Contains(otherNames[text], letters) {
			return text
		}
	}
	return ""
}
