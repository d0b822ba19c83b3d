package api

import (
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/gin-gonic/gin"

	"clientes/api/console"
)

// consolePolicy allows the pages for people their own files and their own server, and nothing else.
// With Trusted Types, no text can become markup or a script.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// consoleRoutes returns the routes of the login page, the console, and what these load.
func (s *Server) consoleRoutes() ([]route, error) {
	settings := console.Settings{
		Origins: ownOrigins(s.cfg.PublicURL), SignupOpen: s.cfg.SignupOpen,
	}
	files := console.Files()
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("read the files of the console: %w", err)
	}
	var routes []route
	for _, e := range entries {
		if path.Ext(e.Name()) == ".html" {
			continue
		}
		body, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, fmt.Errorf("read the files of the console: %w", err)
		}
		f := staticFile{
			"/app/" + e.Name(), mime.TypeByExtension(path.Ext(e.Name())), "",
			func() content { return newContent(body) },
		}
		routes = append(routes, route{"GET", f.path, anybody, nil, gin.WrapH(f)})
	}
	login, err := console.Page("login.html", settings, nil)
	if err != nil {
		return nil, err
	}
	app, err := console.Page("app.html", settings, nil)
	if err != nil {
		return nil, err
	}
	return append(routes,
		route{"GET", "/login", anybody, []string{"fail", "code"}, func(c *gin.Context) {
			s.page(c, login)
		}},
		route{"GET", "/app/", anybody, nil, func(c *gin.Context) {
			if s.cookieTokens(c.Request) == nil {
				c.Redirect(http.StatusSeeOther, "/login")
				return
			}
			s.page(c, app)
		}},
	), nil
}

// page answers with a page for people. It is never kept: Back shows nothing after a logout.
func (s *Server) page(c *gin.Context, body []byte) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", consolePolicy)
	h.Set("Referrer-Policy", "same-origin")
	c.Data(http.StatusOK, "text/html; charset=utf-8", body)
}
