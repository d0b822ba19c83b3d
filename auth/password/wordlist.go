package password

import (
	_ "embed" // for the lists
	"math"
	"sort"
)

// passwordList has the passwords that leaks show most often. Leaks are the same everywhere, so it
// also has those of other languages and keyboards. englishList has English words, first names and
// last names. Both come from zxcvbn-ts, see words/LICENSE.
//
//go:generate go run ./testdata/words
var (
	//go:embed words/passwords.list
	passwordList wordList
	//go:embed words/english.list
	englishList wordList
)

// wordList is a sorted list of words in lower case, of 1 to 31 characters of ASCII, with how often
// each is used. It is searched as it lies in the program. So it costs nothing at the start, and of
// its pages only those come into memory that are read.
//
// It begins with the number of blocks, and where each block begins, as big-endian numbers of 32
// bits. A block has up to 32 words. A word is a byte and the characters that it does not share with
// the word before it. The byte has how many it shares (four bits; none at the beginning of a block)
// and the logarithm of its rank (four bits). The last character has its highest bit set.
type wordList string

const maxShared = 15

// find returns the logarithm to base 2 of the word's rank, or infinity if the list does not have
// the word, and whether longer words may begin with it.
func (l wordList) find(word string) (bits float64, more bool) {
	none := math.Inf(1)
	after := sort.Search(l.number(0), func(block int) bool {
		return l.compare(l.number(1+block), word) > 0
	})
	if after == 0 {
		return none, true
	}
	at, end := l.number(after), len(l)
	if after < l.number(0) {
		end = l.number(1 + after)
	}
	for same := 0; at < end; { // same is how many characters word and the one before share
		shared, level := int(l[at]>>4), l[at]&15
		at++
		switch {
		case shared == maxShared && same > shared: // it may share more
			same = shared
		case shared < same: // it and all that follow are greater
			return none, false
		case shared > same: // like the one before, it is less in the character after same
			at = l.endOf(at)
			continue
		}
		for last := false; !last; at++ {
			var c byte
			c, last = l[at]&0x7f, l[at] >= 0x80
			switch {
			case same == len(word):
				return none, true
			case c > word[same]:
				return none, false
			case c < word[same]:
				at, last = l.endOf(at)-1, true
			default:
				if same++; last && same == len(word) {
					return float64(level) + 0.5, true
				}
			}
		}
	}
	return none, true
}

// has reports whether the list has a word.
func (l wordList) has(word string) bool {
	bits, _ := l.find(word)
	return !math.IsInf(bits, 1)
}

// endOf returns where the word ends whose characters stand there.
func (l wordList) endOf(at int) int {
	for l[at] < 0x80 {
		at++
	}
	return at + 1
}

// number returns a number of the index.
func (l wordList) number(i int) int {
	i *= 4
	return int(l[i])<<24 | int(l[i+1])<<16 | int(l[i+2])<<8 | int(l[i+3])
}

// compare compares the first word of the block that begins there with a word.
func (l wordList) compare(at int, word string) int {
	for i := 0; ; i++ {
		at++
		c := l[at] & 0x7f
		switch {
		case i == len(word) || c > word[i]:
			return 1
		case c < word[i]:
			return -1
		case l[at] >= 0x80:
			return i + 1 - len(word)
		}
	}
}
