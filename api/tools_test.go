package api

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"clientes/auth/authtest"
	"clientes/store"
)

// oapiCodegen is pinned here, because it is no module of this program.
const oapiCodegen = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2"

// toolbox is a folder with the programs that read what the server publishes, and a server.
type toolbox struct {
	*fixture
	folder string
}

// run runs a program in the folder and returns what it printed. One of npm is named by its name.
func (b toolbox) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := b.output(t, b.folder, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (b toolbox) output(t *testing.T, folder, name string, args ...string) (string, error) {
	t.Helper()
	bin := filepath.Join(b.folder, "node_modules", ".bin", name)
	if _, err := os.Stat(bin); err == nil {
		name = bin
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "DO_NOT_TRACK=1", "REDOCLY_TELEMETRY=off",
		"REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// arguments returns those of the test programs: the server, a user and the password.
func (b toolbox) arguments() []string { return []string{b.url, "the-admin", testPassword} }

// wantsNothing fails the test if a run left a customer or a user behind.
func (b toolbox) wantsNothing(t *testing.T, before []string) {
	t.Helper()
	if after := b.names(t); !slices.Equal(after, before) {
		t.Errorf("the run left behind %q; there was %q", after, before)
	}
}

// names returns the names of all customers and users.
func (b toolbox) names(t *testing.T) (all []string) {
	t.Helper()
	token := b.login(store.Admin) // the last one may have expired
	for _, path := range []string{"/clientes", "/users"} {
		a := b.call("GET", path, "", "x-access-token", token)
		b.want(a, http.StatusOK, "")
		var records []struct {
			Name string `json:"name"`
			User string `json:"user"`
		}
		authtest.Must(t, json.Unmarshal([]byte(a.body), &records))
		for _, r := range records {
			all = append(all, r.Name+r.User)
		}
	}
	return all
}

// TestTools runs what people use on what the server publishes: linters, generators, and programs
// that send the requests of a collection. TEST_TOOLS names the folder that they are in. Those of
// npm are installed there unless it has them: 350 MB.
func TestTools(t *testing.T) {
	folder := os.Getenv("TEST_TOOLS")
	if folder == "" {
		t.Skip("TEST_TOOLS names no folder")
	}
	folder, err := filepath.Abs(folder)
	authtest.Must(t, err)
	b := toolbox{onSQLite(t, atItsAddress, func(c *Config) { c.RequireIfMatch = true }), folder}
	lock, _ := os.ReadFile(filepath.Join(folder, "package-lock.json")) // none is another one
	same, err := os.ReadFile("testdata/tools/package-lock.json")
	authtest.Must(t, err)
	b.copy(t, "testdata/tools", folder)
	if string(lock) != string(same) {
		b.run(t, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	}
	for _, name := range []string{"openapi.yaml", "openapi.json", "postman.json"} {
		a := b.call("GET", "/"+name, "")
		b.want(a, http.StatusOK, "")
		authtest.Must(t, os.WriteFile(filepath.Join(folder, name), []byte(a.body), 0o600))
	}
	// As quickstart has it.
	b.add(store.Cliente{Name: "Ana Souza", Email: "ana@example.com"})

	t.Run("redocly", func(t *testing.T) {
		out := b.run(t, "redocly", "lint", "--extends=recommended", "--format=json",
			"openapi.yaml")
		if !strings.Contains(out, `"warnings": 0`) || !strings.Contains(out, `"errors": 0`) {
			t.Error(out)
		}
	})
	t.Run("spectral", func(t *testing.T) {
		b.run(t, "spectral", "lint", "--fail-severity=hint", "-r", "spectral.yaml",
			"openapi.yaml")
	})
	t.Run("typescript", func(t *testing.T) {
		before := b.names(t)
		b.run(t, "openapi-typescript", "openapi.yaml", "-o", "schema.d.ts")
		b.run(t, "openapi-ts", "-i", "openapi.json", "-o", "heyapi", "-c", "@hey-api/client-fetch")
		b.run(t, "tsc", "-p", ".")
		types, err := filepath.Abs("testdata/client.ts")
		authtest.Must(t, err)
		b.run(t, "tsc", "--strict", "--noEmit", "--target", "es2022", "--module", "nodenext",
			"--lib", "es2023,dom,dom.iterable,dom.asynciterable", types)
		for _, program := range []string{"fetch.js", "heyapi.js"} {
			out := b.run(t, "node", append([]string{program}, b.arguments()...)...)
			if out != "done\n" {
				t.Errorf("%s printed %s", program, out)
			}
		}
		b.wantsNothing(t, before)
	})
	t.Run("oapi-codegen", func(t *testing.T) {
		before := b.names(t)
		b.run(t, "go", "run", oapiCodegen, "-package", "main", "-generate", "types,client",
			"-o", "oapi/client.gen.go", "openapi.json")
		out, err := b.output(t, filepath.Join(folder, "oapi"), "go",
			append([]string{"run", "."}, b.arguments()...)...)
		if err != nil || out != "done\n" {
			t.Errorf("%v: %s", err, out)
		}
		b.wantsNothing(t, before)
	})
	t.Run("newman", func(t *testing.T) {
		before := b.names(t)
		b.run(t, "newman", "run", "postman.json", "--env-var", "user=the-admin",
			"--env-var", "password="+testPassword, "--reporters", "json",
			"--reporter-json-export", "newman.json")
		b.wantsNothing(t, before)
		b.checkRun(t, b.newmanRun(t))

		out, err := b.output(t, b.folder, "newman", "run", "postman.json", "--folder", "Log in",
			"--env-var", "user=the-admin", "--env-var", "password=wrong")
		if err == nil || !strings.Contains(out, "Invalid Login!") {
			t.Errorf("a run with a wrong password: %v\n%s", err, out)
		}
	})
	t.Run("bruno", func(t *testing.T) {
		before := b.names(t)
		authtest.Must(t, os.RemoveAll(filepath.Join(folder, "bruno")))
		b.run(t, "node", "bruno.cjs", "postman.json", "bruno")
		out, err := b.output(t, filepath.Join(folder, "bruno"), "bru", "run", "-r",
			"--env-var", "user=the-admin", "--env-var", "password="+testPassword,
			"--reporter-json", "../bruno.json")
		if err != nil {
			t.Fatalf("bru run: %v\n%s", err, out)
		}
		b.wantsNothing(t, before)
		b.checkRun(t, b.brunoRun(t))
	})
}

// copy copies a folder over another.
func (b toolbox) copy(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{"", "oapi"} {
		entries, err := os.ReadDir(filepath.Join(from, name))
		authtest.Must(t, err)
		authtest.Must(t, os.MkdirAll(filepath.Join(to, name), 0o700))
		for _, e := range entries {
			if e.IsDir() {
				continue
			}
			text, err := os.ReadFile(filepath.Join(from, name, e.Name()))
			authtest.Must(t, err)
			authtest.Must(t, os.WriteFile(filepath.Join(to, name, e.Name()), text, 0o600))
		}
	}
}

// sent is a request of a run, and the status of its answer.
type sent struct {
	name   string
	status int
}

// checkRun fails the test unless a run has sent each request of the collection once, in its order,
// and each before the last folder has succeeded.
func (b toolbox) checkRun(t *testing.T, run []sent) {
	t.Helper()
	c, _ := servedCollection(t)
	byHand := len(c.Item[len(c.Item)-1].Item)
	requests := c.requests()
	if len(run) != len(requests) {
		t.Fatalf("%d of %d requests were sent: %v", len(run), len(requests), run)
	}
	for i, r := range run {
		// Bruno has no question mark in a name.
		if strings.TrimRight(r.name, "?-") != strings.TrimRight(requests[i].Name, "?") {
			t.Errorf("request %d is %q, not %q", i, r.name, requests[i].Name)
		}
		if i < len(run)-byHand && r.status/100 != 2 {
			t.Errorf("%s was answered with %d", r.name, r.status)
		}
	}
}

func (b toolbox) newmanRun(t *testing.T) (run []sent) {
	t.Helper()
	var report struct {
		Run struct {
			Failures   []any `json:"failures"`
			Executions []struct {
				Item     struct{ Name string }
				Response struct{ Code int }
			} `json:"executions"`
		} `json:"run"`
	}
	b.report(t, "newman.json", &report)
	if len(report.Run.Failures) > 0 {
		t.Errorf("newman is red: %v", report.Run.Failures)
	}
	for _, e := range report.Run.Executions {
		run = append(run, sent{e.Item.Name, e.Response.Code})
	}
	return run
}

func (b toolbox) brunoRun(t *testing.T) (run []sent) {
	t.Helper()
	var report []struct {
		Results []struct {
			Name     string
			Error    any
			Response struct{ Status int }
		} `json:"results"`
	}
	b.report(t, "bruno.json", &report)
	for _, r := range report[0].Results {
		if r.Error != nil {
			t.Errorf("%s: %v", r.Name, r.Error)
		}
		run = append(run, sent{r.Name, r.Response.Status})
	}
	return run
}

func (b toolbox) report(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.folder, name))
	authtest.Must(t, err)
	authtest.Must(t, json.Unmarshal(text, v, json.MatchCaseInsensitiveNames(true)))
}
