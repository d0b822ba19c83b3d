// Command words makes the lists of words in auth/password/words from those of zxcvbn-ts, which it
// takes from npm. Call it with `go generate ./auth/password`.
package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// list is one file, made of the JSON files of one npm package.
type list struct {
	file, npm string
	sources   []string // each a list of words, the most used first
}

func lists() []list {
	return []list{
		{"passwords.list", "@zxcvbn-ts/language-common@4.1.3", []string{"passwords.json"}},
		{
			"english.list", "@zxcvbn-ts/language-en@4.1.1",
			[]string{"commonWords.json", "wikipedia.json", "firstnames.json", "lastnames.json"},
		},
	}
}

func main() {
	log.SetFlags(0)
	for _, l := range lists() {
		if err := l.make(); err != nil {
			log.Fatalf("make %s: %v", l.file, err)
		}
	}
}

func (l list) make() error {
	files, err := download(l.npm)
	if err != nil {
		return err
	}
	ranks := make(map[string]int)
	for _, source := range l.sources {
		var words []string
		if err := json.Unmarshal(files["package/src/"+source], &words); err != nil {
			return fmt.Errorf("read %s of %s: %w", source, l.npm, err)
		}
		for i, word := range words {
			word = plain(word)
			if rank, ok := ranks[word]; useful(word, i+1) && (!ok || i+1 < rank) {
				ranks[word] = i + 1
			}
		}
	}
	packed := pack(ranks)
	fmt.Printf("%s: %d words, %d bytes\n", l.file, len(ranks), len(packed))
	return os.WriteFile(filepath.Join("words", l.file), packed, 0o644)
}

// plain folds a word as the package folds a password.
func plain(word string) string {
	return strings.Map(func(r rune) rune {
		if 0x0300 <= r && r <= 0x036f {
			return -1
		}
		return r
	}, norm.NFKD.String(strings.ToLower(word)))
}

// useful reports whether a word is one that fewer guesses find than its letters do. The format has
// only ASCII, and no word longer than 31.
func useful(word string, rank int) bool {
	beyond := func(r rune) bool { return r <= ' ' || r > '~' }
	return word != "" && len(word) <= 31 && !strings.ContainsFunc(word, beyond) &&
		math.Log2(float64(rank)) < math.Log2(26)*float64(len(word))
}

// pack writes words in the format of the package's wordList.
func pack(ranks map[string]int) []byte {
	const blockLen = 32
	var index, records []byte
	previous := ""
	words := slices.Sorted(maps.Keys(ranks))
	blocks := (len(words) + blockLen - 1) / blockLen
	for i, word := range words {
		if i%blockLen == 0 {
			index = binary.BigEndian.AppendUint32(index, uint32(4+4*blocks+len(records)))
			previous = ""
		}
		shared := 0
		for shared < min(15, len(previous)) && previous[shared] == word[shared] {
			shared++
		}
		level := min(15, int(math.Log2(float64(ranks[word]))))
		records = append(records, byte(shared<<4|level))
		records = append(records, word[shared:]...)
		records[len(records)-1] |= 0x80
		previous = word
	}
	packed := binary.BigEndian.AppendUint32(nil, uint32(blocks))
	return slices.Concat(packed, index, records)
}

// download returns the files of an npm package by name.
func download(npm string) (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "words")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("npm", "pack", "--silent", npm)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("npm pack %s: %w", npm, err)
	}
	f, err := os.Open(filepath.Join(dir, path.Base(strings.TrimSpace(string(out)))))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		b, readErr := io.ReadAll(archive)
		if err := cmp.Or(err, readErr); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", npm, err)
		}
		files[header.Name] = b
	}
}
