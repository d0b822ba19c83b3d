package store

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Selection says which customers, and in what order.
type Selection struct {
	Filter
	Sort       Sort // "" is ByID
	Descending bool
}

// Filter says which customers; the zero Filter is all of them.
type Filter struct {
	// Text is what Cliente.Matches looks for, "" for anything.
	Text string

	// Email is the address, without regard to case, "" for any.
	Email string

	// UpdatedSince lets through what was changed then or later, the zero time whenever.
	UpdatedSince time.Time
}

// Since gives UpdatedSince as the engines compare it: up to the next millisecond, for what they keep was cut to one.
func (f Filter) Since() time.Time {
	since := Instant(f.UpdatedSince)
	if since.Before(f.UpdatedSince) {
		since = since.Add(time.Millisecond)
	}
	return since
}

// Sort is what customers are ordered by. Those that are alike in it are ordered by their id, in the same direction.
type Sort string

// What customers can be ordered by.
const (
	ByID      Sort = "id"
	ByName    Sort = "name" // by SortKey
	ByCreated Sort = "created_at"
	ByUpdated Sort = "updated_at"
)

// Sorts are all of them.
func Sorts() []Sort { return []Sort{ByID, ByName, ByCreated, ByUpdated} }

// Position is a place in an order: right behind the record that has these. The zero Position is before all records.
type Position struct {
	Name string    // the SortKey of its name, if the order is ByName
	At   time.Time // its instant, if the order is ByCreated or ByUpdated
	ID   int64
}

// Position gives the place of a record in the order.
func (s Sort) Position(c Cliente) Position {
	p := Position{ID: c.ID}
	switch s {
	case ByName:
		p.Name = SortKey(c.Name)
	case ByCreated:
		p.At = c.CreatedAt
	case ByUpdated:
		p.At = c.UpdatedAt
	}
	return p
}

// MaxSortKey is the longest SortKey in bytes. An index of Postgres has room for 2704 in an entry.
const MaxSortKey = 2048

// SortKey is what a name is ordered by, byte by byte: its folded form. The beginning has to do for a name of rare
// characters that become a whole word each when they are folded.
func SortKey(name string) string {
	key := Fold(name)
	if len(key) <= MaxSortKey {
		return key
	}
	end := MaxSortKey
	for !utf8.RuneStart(key[end]) {
		end--
	}
	return key[:end]
}

// Fold gives the form of a text in which case and accents make no difference: compatibility decomposition (NFKD), no
// accents, case folded. Accents are the marks that no script has for itself (Unicode's Inherited); what Thai or Devanagari
// write above and below a letter are vowels, and stay. It is done here, once for both engines, which would each do it
// differently.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	// Folding can yield what decomposes once more. ToLower mends what Fold does to Cherokee, whose two cases it exchanges.
	s = norm.NFKD.String(strings.ToLower(cases.Fold().String(norm.NFKD.String(s))))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) && unicode.Is(unicode.Inherited, r) {
			return -1
		}
		return r
	}, s)
}

// How [Cliente.Matches] looks at a text.
const (
	unsearched    = iota
	fromBeginning // a search text of one or two characters matches the beginning of the text
	anywhere      // one or two characters match nothing
)

// Separators of the texts in a search text: characters that no searched text holds. The longer one
// makes three characters even of a one-character beginning, and three are what the indexes of both
// engines need (trigrams).
const (
	beginField = "\n\n"
	otherField = "\t"
)

// SearchText returns the one text in which the engines look for a [Filter.Needle]. It holds all
// texts that [Cliente.Matches] looks at. The engines store it, so it must not change its form
// without a migration.
func (c Cliente) SearchText() string {
	var begin, other string
	for _, t := range c.Texts() {
		switch t.searched {
		case fromBeginning:
			begin += beginField + Fold(*t.Value)
		case anywhere:
			other += otherField + Fold(*t.Value)
		}
	}
	return begin + other
}

// Needle gives what a SearchText must contain for the filter's Text to match, "" if every one does.
func (f Filter) Needle() string {
	text := Fold(f.Text)
	if n := utf8.RuneCountInString(text); 0 < n && n < 3 {
		return beginField + text
	}
	return text
}

// Matches says whether a record has the text in its name, email, phone or company, without regard to case or accents;
// a text of one or two characters, whether its name, email or company begins with it.
func (c Cliente) Matches(text string) bool {
	return strings.Contains(c.SearchText(), Filter{Text: text}.Needle())
}
