package password

import (
	"cmp"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// all returns every word of a list, read from beginning to end.
func (l wordList) all() (words []string) {
	word := ""
	for at := l.number(1); at < len(l); {
		word = word[:l[at]>>4]
		for at++; ; at++ {
			if word += string(rune(l[at] & 0x7f)); l[at] >= 0x80 {
				break
			}
		}
		at++
		words = append(words, word)
	}
	return words
}

func TestEveryWordIsFoundAndNoOther(t *testing.T) {
	for name, test := range map[string]struct {
		list  wordList
		words int
	}{
		"passwords": {passwordList, 49_203},
		"english":   {englishList, 148_483},
	} {
		words := test.list.all()
		if len(words) != test.words || !slices.IsSorted(words) {
			t.Fatalf("%s: %d words, sorted: %t", name, len(words), slices.IsSorted(words))
		}
		for _, word := range words {
			if bits, more := test.list.find(word); bits < 0 || bits > 16 || !more {
				t.Errorf("%s: %q: %v, %t", name, word, bits, more)
			}
			// One of its neighbors in any order of characters.
			for _, other := range []string{
				word[:len(word)-1], word + "\x01", word + "~", word + "\x7f",
				word[:len(word)-1] + string(rune(word[len(word)-1]+1)),
				word[:len(word)-1] + string(rune(word[len(word)-1]-1)),
			} {
				i, want := slices.BinarySearch(words, other)
				if test.list.has(other) != want {
					t.Errorf("%s: %q is found: %t", name, other, !want)
				}
				longer := i < len(words) && strings.HasPrefix(words[i], other)
				if _, more := test.list.find(other); longer && !more {
					t.Errorf("%s: nothing is said to begin with %q", name, other)
				}
			}
		}
	}
	for _, odd := range []string{"", "\x00", "\xff", "password\xff", "пароль"} {
		if passwordList.has(odd) {
			t.Errorf("%q is found", odd)
		}
	}
	first, _ := passwordList.find("123456")
	common, _ := passwordList.find("qwertyuiop")
	rare, _ := passwordList.find("krokodil")
	if first > common || common > rare {
		t.Errorf("ranks of 123456, qwertyuiop and krokodil: %v, %v, %v", first, common, rare)
	}
}

func BenchmarkLookUp(b *testing.B) {
	words := slices.Concat(passwordList.all(), englishList.all())
	slices.SortFunc(words, func(a, b string) int { // in no order
		return cmp.Compare(crc32.ChecksumIEEE([]byte(a)), crc32.ChecksumIEEE([]byte(b)))
	})
	b.ReportMetric(float64(len(passwordList)+len(englishList)), "bytes")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		passwordList.find(words[i%len(words)])
		i++
	}
}
