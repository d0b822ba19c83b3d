package password

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"
)

// Denylist is a file of passwords that nobody may choose. It is one of two kinds, which its first
// line shows.
//
//   - Words, one a line: the names of the house and its products, say. They are compared as the
//     list in the program is. Within a longer password they are worth no more than the user's name.
//   - Hashes, as Have I Been Pwned publishes them: lines of HASH:COUNT. HASH is the SHA-1 of a
//     password in hex, and they are ordered. They are searched on disk: the file may have any size.
//
// The file is read while the Denylist is open: another version of it has to be another file that
// takes its name. A Denylist is safe for concurrent use.
type Denylist struct {
	words  []string // folded
	folded map[string]bool

	hashes *os.File // nil if the file has words
	size   int64    // of hashes
}

const (
	maxWordsFile = 1 << 20 // bytes: each new password is compared with all of it
	maxHashLine  = 64      // bytes of HASH:COUNT and the end of the line
	hexLen       = 2 * sha1.Size
)

// OpenDenylist opens a file. The caller has to close the list. The error says what is wrong with
// the file and what belongs into it.
func OpenDenylist(path string) (*Denylist, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	d, err := readDenylist(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	if d.hashes == nil {
		return d, f.Close()
	}
	return d, nil
}

// Close closes the file.
func (d *Denylist) Close() error {
	if d.hashes == nil {
		return nil
	}
	return d.hashes.Close()
}

func readDenylist(f *os.File) (*Denylist, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is no regular file")
	}
	head := make([]byte, min(info.Size(), maxWordsFile+1))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	first, _, _ := bytes.Cut(head, []byte("\n"))
	hash, _, _ := strings.Cut(strings.TrimRight(string(first), "\r"), ":")
	_, notHex := hex.DecodeString(hash)
	switch {
	case notHex == nil && len(hash) == 32:
		return nil, errors.New("has hashes of 32 digits, such as NTLM's; " +
			"Have I Been Pwned also has SHA-1's, of 40 digits, and those are read")
	case notHex == nil && len(hash) == hexLen:
		d := &Denylist{hashes: f, size: info.Size()}
		return d, d.checkOrder()
	case len(head) > maxWordsFile:
		return nil, fmt.Errorf("has words, and more than %d bytes of them; "+
			"a longer list has to be of hashes in their order", maxWordsFile)
	case !utf8.Valid(head), bytes.IndexByte(head, 0) >= 0:
		return nil, errors.New("is not of UTF-8")
	}
	d := &Denylist{folded: make(map[string]bool)}
	isEnd := func(r rune) bool { return r == '\n' || r == '\r' }
	for _, line := range strings.FieldsFunc(strings.TrimPrefix(string(head), "\ufeff"), isEnd) {
		if _, ok := lineHash([]byte(line)); ok {
			return nil, errors.New("has hashes, but begins with something else; " +
				"its first line has to be one of them, without a byte order mark before it")
		}
		if word := strings.ToLower(plainLetters(strings.TrimSpace(line))); word != "" {
			d.words = append(d.words, word)
			d.folded[word] = true
		}
	}
	if len(d.words) == 0 {
		return nil, errors.New("is empty; it has words, one a line, " +
			"or hashes as Have I Been Pwned publishes them")
	}
	return d, nil
}

// checkOrder looks at the first and last hashes and at some between: the whole file may take
// minutes to read. One that is not ordered is noticed at once, and so is one that was cut off
// within a line.
func (d *Denylist) checkOrder() error {
	const samples, neighbors = 256, 8
	last, checked := "", int64(-1)
	for i := range int64(samples) {
		at := d.size / samples * i
		looks := neighbors
		if i == samples-1 {
			at = max(0, d.size-neighbors*maxHashLine)
			looks = math.MaxInt // until the end
		}
		at = max(at, checked)
		for range looks {
			hash, start, next, err := d.lineAfter(at - 1)
			switch {
			case err != nil:
				return err
			case hash == "":
				return nil
			case start > checked && hash <= last:
				return fmt.Errorf("the line at byte %d is not in the order of the hashes; "+
					"Have I Been Pwned has such a file, or `LC_ALL=C sort` makes one", start)
			case start > checked:
				last, checked = hash, start
			}
			at = next
		}
	}
	return nil
}

// lineAfter returns the hash of the first line that begins after a place, where it begins, and
// where the next one does. The hash is empty if no line begins there.
func (d *Denylist) lineAfter(place int64) (hash string, start, next int64, err error) {
	place = max(place, -1)
	b := make([]byte, 2*maxHashLine+1)
	n, err := d.hashes.ReadAt(b, max(place, 0))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, 0, err
	}
	b, start = b[:n], max(place, 0)
	if place >= 0 {
		_, rest, found := bytes.Cut(b, []byte("\n"))
		if !found && n > maxHashLine {
			return "", 0, 0, badLine(start)
		}
		start += int64(len(b) - len(rest))
		if b = rest; !found {
			return "", 0, 0, nil
		}
	}
	if len(b) == 0 {
		return "", 0, 0, nil
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	hash, ok := lineHash(line)
	if !ok {
		return "", 0, 0, badLine(start)
	}
	return hash, start, start + int64(len(line)) + 1, nil
}

func badLine(at int64) error {
	return fmt.Errorf("the line at byte %d is not HASH:COUNT with a SHA-1 hash in hex", at)
}

// lineHash returns the hash of a line, in upper case.
func lineHash(line []byte) (hash string, ok bool) {
	text, count, counted := strings.Cut(strings.TrimSuffix(string(line), "\r"), ":")
	_, err := hex.DecodeString(text)
	if counted && (count == "" || strings.Trim(count, "0123456789") != "") {
		err = errors.New("no count")
	}
	return strings.ToUpper(text), err == nil && len(text) == hexLen && len(line) <= maxHashLine
}

// check returns a *[store.InvalidError] if the list has the password.
func (d *Denylist) check(password string) error {
	switch found, err := d.hasHash(password); {
	case err != nil:
		return fmt.Errorf("look for the password in the list of leaked ones: %w", err)
	case found:
		return leaked()
	}
	plain := plainLetters(password)
	has := func(word string) bool { return d.folded[word] }
	for _, form := range append(forms(plain, password), plain) {
		if isIn(form, has) {
			return tooGuessable()
		}
	}
	return nil
}

// hasHash reports whether the file has the hash of the password.
func (d *Denylist) hasHash(password string) (bool, error) {
	if d.hashes == nil {
		return false, nil
	}
	sum := sha1.Sum([]byte(password))
	want := strings.ToUpper(hex.EncodeToString(sum[:]))
	for from, to := int64(-1), d.size; from < to; { // it begins after from, and not after to
		middle := from + (to-from)/2
		switch hash, start, _, err := d.lineAfter(middle); {
		case err != nil:
			return false, err
		case hash == want:
			return true, nil
		case hash == "" || hash > want:
			to = middle
		default:
			from = start
		}
	}
	return false, nil
}
