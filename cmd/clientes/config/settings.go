package config

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"clientes/store"
)

// setting is what the tags of one field of [Config] say.
type setting struct {
	name, fallback     string
	file, text, secret bool
}

// names returns the variables that may hold the setting.
func (s setting) names() []string {
	if s.file {
		return []string{s.name, s.name + "_FILE"}
	}
	return []string{s.name}
}

// settings returns all settings, in the order in which they are shown.
func settings() []setting {
	var all []setting
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if name := f.Tag.Get("env"); name != "" {
			all = append(all, setting{
				name:     name,
				fallback: f.Tag.Get("envDefault"),
				file:     f.Tag.Get("file") == "yes",
				text:     f.Tag.Get("text") == "yes",
				secret:   f.Tag.Get("secret") == "yes",
			})
		}
	}
	return all
}

// Names returns every variable that [Load] reads, in the order of the settings.
func Names() []string {
	var names []string
	for _, s := range settings() {
		names = append(names, s.names()...)
	}
	return names
}

// faults holds the first fault of each setting, by name.
type faults map[string]string

func (f faults) add(name, format string, args ...any) {
	if _, ok := f[name]; !ok {
		f[name] = name + " " + fmt.Sprintf(format, args...)
	}
}

// none reports whether nothing is wrong with any of these settings, so that they can be compared.
func (f faults) none(names ...string) bool {
	for _, name := range names {
		if _, ok := f[name]; ok {
			return false
		}
	}
	return true
}

// resolve finds the text of every setting and where it came from.
func (c *Config) resolve(bad faults, environment, dotenv func(string) (string, bool)) {
	c.values, c.origins = make(map[string]string), make(map[string]string)
	places := []struct {
		name   string
		lookup func(string) (string, bool)
	}{{"environment", environment}, {".env", dotenv}}
	for _, s := range settings() {
		c.values[s.name], c.origins[s.name] = s.fallback, "default"
		for _, place := range places {
			value, found := place.lookup(s.name)
			if !s.secret {
				value = store.Trim(value)
			}
			path, foundFile := "", false
			if s.file {
				path, foundFile = place.lookup(s.name + "_FILE")
				path = store.Trim(path)
			}
			switch {
			case value != "" && path != "":
				bad.add(s.name, "and %s_FILE are both set in %s; keep one of them", s.name,
					place.name)
			case path != "":
				c.values[s.name], c.origins[s.name] = c.resolveFile(bad, s, path)
			case value != "":
				c.values[s.name], c.origins[s.name] = value, place.name
			}
			if !found && !foundFile {
				continue
			}
			behind, _ := dotenv(s.name)
			if value == "" && path == "" && place.name == "environment" && behind != "" {
				c.warn("the environment sets %s to nothing, which hides its value in .env: unset it there",
					s.name)
			}
			break
		}
	}
}

// resolveFile returns the value of a setting that stands in a file, and where it came from.
func (c *Config) resolveFile(bad faults, s setting, path string) (value, origin string) {
	name := s.name
	text, exposed, err := readFile(path)
	if plain, fault := decodeText(text); fault == nil && !s.secret {
		text = store.Trim(plain)
	}
	if err != nil {
		// Without the path, in which somebody may have put the value itself.
		bad.add(name, "cannot be read from the file that %s_FILE names: %v%s", name,
			withoutPath(err), whyNoPath(path))
		return DropNewline(text), "file"
	}
	value = DropNewline(text)
	if value == "" {
		bad.add(name, "is to come from %s, as %s_FILE says, but nothing is in there", path, name)
	}
	if why := exposed.fault(path); why != "" {
		bad.add(name, "is to come from %s, as %s_FILE says, which %s", path, name, why)
	}
	// Whoever puts secrets into containers leaves them readable by all, and owns them.
	if exposed.read && exposed.ours {
		c.warnOf(&c.exposed, "%s comes from %s, which other users of this machine can read: "+
			"`chmod 600` ends that", name, path)
	}
	return value, "file " + path
}

// whyNoPath returns what to do about a path of which only a shell or a browser would make another,
// or "".
func whyNoPath(path string) string {
	switch {
	case strings.HasPrefix(path, "~"):
		return "; nothing replaces its ~ here, write the whole path"
	case strings.HasPrefix(path, "file:"):
		return "; write the path alone, without file:"
	}
	return ""
}

// withoutPath returns the cause of an error that names the path of a file.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// maxFile is the most that is read of .env and of a file that holds a value, in bytes.
const maxFile = 1 << 20

// exposure is what other users of the machine can do with a file.
type exposure struct {
	written  bool
	replaced bool // they can write its folder
	read     bool
	ours     bool // the user of this process owns it
}

// fault returns why the file cannot be trusted and what to do, "" if it can. The text goes
// behind its name.
func (e exposure) fault(path string) string {
	switch {
	case e.written:
		return "can be written by other users of this machine, who could set any secret; " +
			"`chmod 600 " + path + "` ends that"
	case e.replaced:
		return "can be replaced by other users of this machine, because they can write its folder; " +
			"`chmod o-w` on the folder ends that"
	}
	return ""
}

// readFile returns the text of a file, and what others can do with it.
func readFile(path string) (string, exposure, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", exposure{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return string(b), exposureOf(path, f), err
}

// decodeText returns a text without its byte order mark, from UTF-8 or, as Windows writes it, from
// UTF-16. The error continues a sentence that begins with the name of the file.
func decodeText(s string) (string, error) {
	var order binary.ByteOrder
	switch {
	case strings.HasPrefix(s, "\xff\xfe"):
		order = binary.LittleEndian
	case strings.HasPrefix(s, "\xfe\xff"):
		order = binary.BigEndian
	case len(s) > 3 && (s[0] == 0 && s[2] == 0 || s[1] == 0 && s[3] == 0):
		return "", errors.New("is UTF-16 without a byte order mark; save it as UTF-8")
	case !utf8.ValidString(s):
		return "", errors.New("is not text in UTF-8; save it as that")
	default:
		return strings.TrimPrefix(s, "\ufeff"), nil
	}
	if len(s)%2 != 0 {
		return "", errors.New("is UTF-16 cut in the middle of a character; save it as UTF-8")
	}
	var units []uint16
	for b := []byte(s[2:]); len(b) > 0; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	text := string(utf16.Decode(units))
	if strings.ContainsRune(text, utf8.RuneError) {
		return "", errors.New("is not text in UTF-16; save it as UTF-8")
	}
	return text, nil
}

// DropNewline drops one line end at the end of a text: editors and echo leave one there.
func DropNewline(s string) string {
	s, cut := strings.CutSuffix(s, "\n")
	if cut {
		s = strings.TrimSuffix(s, "\r")
	}
	return s
}
