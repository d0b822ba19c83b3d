// Package console has the pages for people: the login page and the console behind it. They are
// plain HTML, CSS and ES modules without a build step. What is in this folder is what a browser
// runs.
//
// The pages are a client like any other. They use the public API through client.js, keep the access
// token in memory, and know nothing that the API does not tell every client. The login page alone
// works without its script, so the server writes it in the language of the browser.
package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/language"
)

//go:embed *.html *.css *.js *.json *.svg
var files embed.FS

// Settings is what the pages know of their server.
type Settings struct {
	Origins    []string // the server's own; a page of another origin cannot use the cookie
	SignupOpen bool
	Remember   bool // a login may last longer than others
}

// Fault is what the login page tells about the login before, which was refused.
type Fault struct {
	Fail bool   // user, password or code was wrong, unless Wait or Code says more
	MFA  bool   // the user has a second factor
	Wait int    // in seconds: when the next try counts
	Code string // of another error of the API
}

// Pages has the pages of one server.
type Pages struct {
	settings Settings
	app      []byte
	logins   []login // by the index of the matcher
	matcher  language.Matcher
}

// login is the login page in one language.
type login struct {
	language string
	words    map[string]string
	page     *template.Template
}

// New returns the pages for the given settings.
func New(settings Settings) (*Pages, error) {
	p := &Pages{settings: settings}
	var tags []language.Tag
	for _, name := range []string{"en", "pt-BR", "es"} { // the first is for everybody else
		l, err := newLogin(name)
		if err != nil {
			return nil, err
		}
		p.logins = append(p.logins, l)
		tags = append(tags, language.Make(name))
	}
	p.matcher = language.NewMatcher(tags)
	page, err := template.ParseFS(files, "app.html")
	if err != nil {
		return nil, fmt.Errorf("read the page of the console: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, settings); err != nil {
		return nil, fmt.Errorf("write the page of the console: %w", err)
	}
	p.app = b.Bytes()
	return p, nil
}

func newLogin(name string) (login, error) {
	l := login{language: name}
	words, err := files.ReadFile(name + ".json")
	if err != nil {
		return l, fmt.Errorf("read a dictionary: %w", err)
	}
	if err := json.Unmarshal(words, &l.words); err != nil {
		return l, fmt.Errorf("read the dictionary %s.json: %w", name, err)
	}
	l.page, err = template.New("login.html").Funcs(template.FuncMap{"t": l.word}).
		ParseFS(files, "login.html")
	if err != nil {
		return l, fmt.Errorf("read the login page: %w", err)
	}
	return l, nil
}

// word returns the text of a key. A key that no dictionary has is an error, so that a test sees it.
func (l login) word(key string) (string, error) {
	if word := l.words[key]; word != "" {
		return word, nil
	}
	return "", fmt.Errorf("the dictionary %s.json has no %s", l.language, key)
}

// App returns the page of the console, which is the same for everybody.
func (p *Pages) App() []byte { return p.app }

// Login returns the login page in the language of an Accept-Language header that it has, else in
// English.
func (p *Pages) Login(acceptLanguage string, fault Fault) ([]byte, error) {
	_, i := language.MatchStrings(p.matcher, acceptLanguage)
	l := p.logins[i]
	var b bytes.Buffer
	err := l.page.Execute(&b, struct {
		Settings
		Fault
		Language, Notice string
	}{p.settings, fault, l.language, l.notice(fault)})
	return b.Bytes(), err
}

// notice returns what to tell about a fault, "" if there is none.
func (l login) notice(f Fault) string {
	switch {
	case f.Wait > 0:
		return strings.ReplaceAll(l.words["login.wait"], "{wait}", strconv.Itoa(f.Wait))
	case f.Code == "validation_failed":
		return l.words["login.missing"]
	case f.Code == "overloaded", f.Code == "store_unavailable":
		return l.words["login.busy"]
	case f.Code == "cross_origin":
		return l.words["login.other_origin"]
	case f.Code != "":
		return l.words["login.trouble"]
	case f.MFA && f.Fail:
		return l.words["code.mfa_invalid"]
	case f.MFA:
		return l.words["login.mfa"]
	case f.Fail:
		return l.words["login.fail"]
	}
	return ""
}

// Files returns the style sheet, the icon, the modules and the dictionaries: all that the pages
// load, by the name under /app/.
func Files() fs.FS { return files }
