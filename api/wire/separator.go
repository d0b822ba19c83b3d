package wire

import (
	"bytes"
	"slices"
	"strings"
)

// sepLine returns the separator that a first line `sep=;` names for Excel, and the length of that
// line. It may be in quotes, and have empty cells after it where a program took it for a row. It
// returns 0, 0 if the line is something else.
func sepLine(start []byte) (comma byte, length int) {
	end := bytes.IndexAny(start, "\r\n")
	if end < 0 {
		return 0, 0
	}
	length = end + 1
	if start[end] == '\r' && length < len(start) && start[length] == '\n' {
		length++
	}
	line := strings.TrimSpace(strings.ToLower(string(start[:end])))
	if rest, ok := strings.CutPrefix(line, `"`); ok {
		if line, rest, ok = strings.Cut(rest, `"`); !ok || strings.Trim(rest, ",;\t| ") != "" {
			return 0, 0
		}
	}
	value, ok := strings.CutPrefix(line, "sep=")
	switch {
	case !ok && strings.ToLower(string(start[:end])) == "sep=\t":
		return '\t', length
	case !ok:
		return 0, 0
	case value == "" && bytes.ContainsRune(start[:end], '\t'), strings.Trim(value, ",;") == `\t`:
		return '\t', length
	case value == "":
		return 0, 0
	}
	comma = value[0]
	if strings.IndexByte(",;|:^~!#$%&*+/", comma) < 0 || strings.Trim(value[1:], ",;\t| ") != "" {
		return 0, 0
	}
	return comma, length
}

// separator returns the separator of a file that begins with the heading: the one that was named,
// if the heading has it, else the comma, semicolon or tab that the heading has outside quotes. If
// it has several, that counts which the rows have as often as the heading. It returns 0 if the rows
// do not settle it.
func separator(start []byte, named byte) byte {
	candidates := []byte(",;\t")
	if named != 0 && !slices.Contains(candidates, named) {
		return named
	}
	rows := counts(start, candidates)
	best, most, tie := -1, -1, false
	for i := range candidates {
		n := rows[0][i]
		if n == 0 {
			continue
		}
		if candidates[i] == named {
			return named
		}
		alike := 0
		for _, row := range rows[1:] {
			if row[i] == n {
				alike++
			}
		}
		score := alike*maxCells + n
		tie = score == most || tie && score < most
		if score > most {
			best, most = i, score
		}
	}
	switch {
	case tie:
		return 0
	case best >= 0:
		return candidates[best]
	case named != 0:
		return named
	}
	return ','
}

// counts returns how often each of the first rows has each candidate outside quotes. The first row
// is there even if it has no end.
func counts(start, candidates []byte) (rows [][3]int) {
	const enough = 20
	var row [3]int
	quoted, fresh, empty := false, true, true // fresh: a quote here opens
	for _, c := range start {
		switch {
		case c == '"' && (quoted || fresh):
			quoted, fresh, empty = !quoted, true, false // a second quote opens it again
			continue
		case quoted:
			continue
		case c == '\n' || c == '\r':
			if !empty {
				rows = append(rows, row)
			}
			if len(rows) == enough {
				return rows
			}
			row, fresh, empty = [3]int{}, true, true
			continue
		}
		empty = false
		i := bytes.IndexByte(candidates, c)
		if i >= 0 {
			row[i]++
		}
		fresh = i >= 0 || c == ' ' && fresh
	}
	if len(rows) == 0 {
		rows = append(rows, row)
	}
	return rows
}
