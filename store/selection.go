package store

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Selection says which customers to read, and in what order.
type Selection struct {
	Filter
	Sort       Sort // "" is ByID
	Descending bool
}

// Filter says which customers to read. The zero Filter lets all of them through.
type Filter struct {
	// Text is what [Cliente.Matches] looks for; "" matches every record.
	Text string

	// Email is compared without regard to case; "" matches every record.
	Email string

	// UpdatedSince lets through the records that changed then or later. The zero time matches every
	// record.
	UpdatedSince time.Time
}

// Since returns UpdatedSince as the engines compare it: rounded up to the next millisecond, because
// the instants that they keep were cut to one.
func (f Filter) Since() time.Time {
	since := Instant(f.UpdatedSince)
	if since.Before(f.UpdatedSince) {
		since = since.Add(time.Millisecond)
	}
	return since
}

// Sort is what customers are ordered by. Customers that are equal in it are ordered by id, in the
// same direction.
type Sort string

// The orders in which customers can be listed.
const (
	ByID      Sort = "id"
	ByName    Sort = "name" // by SortKey
	ByCreated Sort = "created_at"
	ByUpdated Sort = "updated_at"
)

// Sorts returns every [Sort].
func Sorts() []Sort { return []Sort{ByID, ByName, ByCreated, ByUpdated} }

// Position is a place in an order: right behind the record with these values. The zero Position is
// before all records.
type Position struct {
	Name string    // the SortKey of its name, if the order is ByName
	At   time.Time // its instant, if the order is ByCreated or ByUpdated
	ID   int64
}

// Position returns the position of a record in the order.
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

// MaxSortKey is the longest SortKey, in bytes. An index entry of Postgres has room for 2704.
const MaxSortKey = 2048

// SortKey returns what a name is ordered by, byte by byte: its folded form. The form is cut at
// [MaxSortKey], because some rare characters fold to a whole word each.
func SortKey(name string) string { return cutSortKey(Fold(name)) }

func cutSortKey(key string) string {
	if len(key) <= MaxSortKey {
		return key
	}
	end := MaxSortKey
	for !utf8.RuneStart(key[end]) {
		end--
	}
	return key[:end]
}

// Fold returns the form of a text in which case and accents make no difference: compatibility
// decomposition (NFKD), without accents, case folded. Accents are the marks that belong to no
// script (Unicode's Inherited). What Thai or Devanagari write above and below a letter are vowels,
// and stay. Fold runs in Go, because each engine would fold differently.
func Fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	if folded, ok := latinFolds().fold(s); ok {
		return folded
	}
	return foldAny(s)
}

// foldAny is Fold for any text.
func foldAny(s string) string {
	// Folding can yield characters that decompose once more. ToLower undoes what Fold does to
	// Cherokee: it swaps the two cases there.
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
func (c Cliente) SearchText() string { return c.searchText(Fold(c.Name)) }

// Keys returns what the engines store beside a record: the [SortKey] of its name, the [EmailKey] of
// its email, and its search text. The name is folded once for both.
func (c Cliente) Keys() (sortKey, emailKey, searchText string) {
	name := Fold(c.Name)
	return cutSortKey(name), EmailKey(c.Email), c.searchText(name)
}

// searchText is SearchText for a name that was folded.
func (c Cliente) searchText(name string) string {
	begin, other := make([]byte, 0, c.Size()+len(beginField)*ClienteTexts), []byte(nil)
	for _, t := range c.Texts() {
		switch {
		case t.Value == &c.Name:
			begin = append(append(begin, beginField...), name...)
		case t.searched == fromBeginning:
			begin = append(append(begin, beginField...), Fold(*t.Value)...)
		case t.searched == anywhere:
			other = append(append(other, otherField...), Fold(*t.Value)...)
		}
	}
	return string(append(begin, other...))
}

// Needle returns what a [Cliente.SearchText] must contain to match the filter's Text. It returns ""
// if every record matches.
func (f Filter) Needle() string {
	text := Fold(f.Text)
	if n := utf8.RuneCountInString(text); 0 < n && n < 3 {
		return beginField + text
	}
	return text
}

// Matches reports whether a record has the text in its name, email, phone or company, without
// regard to case or accents. A text of one or two characters must be the beginning of its name,
// email or company.
func (c Cliente) Matches(text string) bool {
	return strings.Contains(c.SearchText(), Filter{Text: text}.Needle())
}
