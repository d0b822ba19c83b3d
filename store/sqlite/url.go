package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

const scheme = "sqlite:"

// IsURL reports whether a URL is for this engine.
func IsURL(databaseURL string) bool { return strings.HasPrefix(databaseURL, scheme) }

// CheckURL returns what is wrong with a URL, or nil. The text continues a sentence that begins with
// the name of the URL, and repeats nothing of it.
func CheckURL(databaseURL string) error {
	path, ok := strings.CutPrefix(databaseURL, scheme)
	switch {
	case !ok:
		return errors.New("has to be of the form sqlite:PATH")
	case strings.HasPrefix(path, "//"):
		// Whoever writes sqlite://clientes.db means a file beside the program, not one in the root.
		return errors.New("has // after sqlite:, which not every reader takes alike; " +
			"write sqlite:clientes.db or sqlite:/var/lib/clientes.db")
	case strings.HasPrefix(path, "~"):
		return errors.New("begins with ~, which only a shell replaces by your home folder; " +
			"write the whole path, for example sqlite:/home/ana/clientes.db")
	case strings.HasPrefix(path, "$"), strings.HasPrefix(path, "%"):
		return errors.New("begins with a reference, which only a shell replaces; write the whole " +
			"path, for example sqlite:/home/ana/clientes.db")
	case strings.TrimSpace(path) != path || strings.ContainsAny(path, `"`):
		return errors.New("has white space around the name of its file, or quotes in it: delete them")
	case path == "" || path == ":memory:" || strings.ContainsAny(path, "?\x00"):
		// What is in memory would be lost with its connection, of which a store has several.
		return errors.New("has to name a file after sqlite:, and nothing else, " +
			"for example sqlite:clientes.db")
	}
	return nil
}

// MaskURL returns the URL as anybody may read it: all of it, since this engine has no passwords, or
// "(hidden)" if it looks like the URL of something that has one.
func MaskURL(databaseURL string) string {
	if !IsURL(databaseURL) || looksSecret.MatchString(databaseURL) {
		return "(hidden)"
	}
	return databaseURL
}

// looksSecret matches what stands around a password: user:password@host, or libpq's password=.
var looksSecret = regexp.MustCompile(`(?i)@|(?:pass\w*|pwd|key|token|secret)\s*=`)

// pathOf returns the absolute path that the URL names, so that SQLite sees neither "file:" nor a
// folder that changes later.
func pathOf(databaseURL string) (string, error) {
	if err := CheckURL(databaseURL); err != nil {
		return "", fmt.Errorf("the URL of an embedded database %w", err)
	}
	path, err := filepath.Abs(strings.TrimPrefix(databaseURL, scheme))
	if err != nil {
		return "", err
	}
	// SQLite puts its other files beside the file that a link leads to.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	return path, nil
}
