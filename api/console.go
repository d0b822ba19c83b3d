package api

import (
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"clientes/api/console"
)

// consolePolicy allows the pages for people their own files and their own server, and nothing else.
// With Trusted Types, no text can become markup or a script.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors 'none'"

// consoleRoutes returns the routes of the login page, the console, and what these load.
func (s *Server) consoleRoutes() ([]route, error) {
	// The first visitor waits until the pages are read, and the start does not (BenchmarkStart).
	pages := sync.OnceValues(func() (*console.Pages, error) {
		return console.New(console.Settings{
			Origins: ownOrigins(s.cfg.PublicURL), SignupOpen: s.cfg.SignupOpen,
			Remember: s.cfg.Auth.CanRemember(),
		})
	})
	files, err := consoleFiles()
	if err != nil {
		return nil, err
	}
	return []route{
		{"GET", "/login", anybody, noKey, []string{"fail", "code", "wait", "error"},
			s.loginPage(pages)},
		{"GET", "/app", anybody, noKey, nil, func(c *gin.Context) { s.seeOther(c, "/app/") }},
		{"GET", "/app/", anybody, noKey, nil, func(c *gin.Context) {
			c.Writer.Header().Add("Vary", "Cookie")
			if s.cookieTokens(c.Request) == nil {
				s.seeOther(c, "/login")
				return
			}
			p, err := pages()
			if err != nil {
				s.fail(c, err)
				return
			}
			s.page(c, p.App())
		}},
		{"GET", "/app/:file", anybody, noKey, nil, func(c *gin.Context) {
			file, ok := files[c.Param("file")]
			if !ok {
				s.fail(c, errNoRoute)
				return
			}
			file.ServeHTTP(c.Writer, c.Request)
		}},
	}, nil
}

// consoleFiles returns what the pages load, by its name.
func consoleFiles() (map[string]staticFile, error) {
	mediaTypes := map[string]string{
		".css":  mediaCSS,
		".js":   mediaJS,
		".json": "application/json; charset=utf-8",
		".svg":  "image/svg+xml",
	}
	list := make(map[string]staticFile)
	entries, err := fs.ReadDir(console.Files(), ".")
	if err != nil {
		return nil, fmt.Errorf("read the files of the console: %w", err)
	}
	for _, e := range entries {
		mediaType := mediaTypes[path.Ext(e.Name())]
		if mediaType == "" {
			continue // a page
		}
		read := sync.OnceValue(func() content {
			body, err := fs.ReadFile(console.Files(), e.Name())
			if err != nil {
				panic(err) // it was in the list of the binary's files
			}
			return newContent(body, mediaType)
		})
		list[e.Name()] = staticFile{"/app/" + e.Name(), mediaType, "", read}
	}
	return list, nil
}

// loginPage answers with the login page, which tells what the query says about the login before.
func (s *Server) loginPage(pages func() (*console.Pages, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		p, err := pages()
		if err != nil {
			s.fail(c, err)
			return
		}
		fault, err := loginFaultOf(s.request(c))
		if err != nil {
			s.fail(c, err)
			return
		}
		languages := strings.Join(c.Request.Header["Accept-Language"], ",")
		body, err := p.Login(languages, fault)
		if err != nil {
			s.fail(c, err)
			return
		}
		c.Writer.Header().Add("Vary", "Accept-Language")
		s.page(c, body)
	}
}

// loginFaultOf reads what [loginFault] has written. Codes of errors are not checked: those of
// another version are no fault of the person who sees the page.
func loginFaultOf(r *request) (f console.Fault, err error) {
	for name, value := range map[string]*bool{"fail": &f.Fail, "code": &f.MFA} {
		switch given, ok := r.query(name); {
		case given == "true":
			*value = true
		case ok:
			return f, invalidParameter("The parameter %q is true or absent.", name)
		}
	}
	if given, ok := r.query("wait"); ok {
		const most = 24 * 60 * 60 // seconds
		if f.Wait, err = strconv.Atoi(given); err != nil || f.Wait < 1 || f.Wait > most {
			return f, invalidParameter("The parameter \"wait\" is a number of seconds.")
		}
	}
	f.Code, _ = r.query("error")
	return f, nil
}

// seeOther leads a browser to another page of ours. The fragment of the address goes along, and
// with it the token of a link in a mail.
func (s *Server) seeOther(c *gin.Context, to string) {
	h := c.Writer.Header()
	s.closeIfDraining(h)
	h.Set("Location", to)
	c.Writer.WriteHeader(http.StatusSeeOther)
	c.Writer.WriteHeaderNow()
}

// page answers with a page for people. It is never kept: Back shows nothing after a logout.
func (s *Server) page(c *gin.Context, body []byte) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", consolePolicy)
	leaveOpener(h)
	h.Set("Referrer-Policy", "same-origin")
	c.Data(http.StatusOK, mediaHTML, body)
}
