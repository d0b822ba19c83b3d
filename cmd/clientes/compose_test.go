package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"clientes/auth/authtest"
	"clientes/cmd/clientes/config"
	"clientes/store/postgres/postgrestest"
)

// composed is what the tests read of a service in compose.yaml.
type composed struct {
	Build       string            `yaml:"build"`
	Image       string            `yaml:"image"`
	User        string            `yaml:"user"`
	Environment map[string]string `yaml:"environment"`
	Secrets     []string          `yaml:"secrets"`
	Volumes     []string          `yaml:"volumes"`
	ReadOnly    bool              `yaml:"read_only"`
	CapAdd      []string          `yaml:"cap_add"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
}

// compose returns the services and secrets of compose.yaml.
func compose(t *testing.T) (services map[string]composed, secrets map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "compose.yaml"))
	authtest.Must(t, err)
	var all struct {
		Services map[string]composed `yaml:"services"`
		Secrets  map[string]any      `yaml:"secrets"`
	}
	authtest.Must(t, yaml.Unmarshal(text, &all))
	return all.Services, all.Secrets
}

func TestComposePassesEverySettingOn(t *testing.T) {
	services, secrets := compose(t)
	given := services["api"].Environment
	for _, name := range config.Names() {
		base, isFile := strings.CutSuffix(name, "_FILE")
		switch value, ok := given[name]; {
		case isFile && ok:
			secret, found := strings.CutPrefix(value, "/run/secrets/")
			if !found || secrets[secret] == nil ||
				!slices.Contains(services["api"].Secrets, secret) {
				t.Errorf("%s is %q, which is no secret of the api", name, value)
			}
			if _, both := given[base]; both {
				t.Errorf("%s is set, and %s too", name, base)
			}
		case isFile, name == "HOST", name == "PORT": // the image and what is published have these
		case ok && value != fmt.Sprintf("${%s:-}", name):
			t.Errorf("%s is %q", name, value)
		case !ok && given[name+"_FILE"] == "":
			t.Errorf("%s cannot be set", name)
		}
	}
	for name := range given {
		if !slices.Contains(config.Names(), name) {
			t.Errorf("%s is no setting", name)
		}
	}
}

func TestComposeGivesNoRights(t *testing.T) {
	services, secrets := compose(t)
	if len(services) != 2 {
		t.Fatalf("%d services", len(services))
	}
	for name, s := range services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.CapAdd != nil ||
			!slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may do too much: %+v", name, s)
		}
		// Major and minor: a tag that moves further than to fixes would change what runs.
		if _, tag, _ := strings.Cut(s.Image, ":"); s.Build == "" && !strings.Contains(tag, ".") {
			t.Errorf("the image of %s is not pinned: %q", name, s.Image)
		}
		for variable, value := range s.Environment {
			if strings.HasSuffix(variable, "PASSWORD") || strings.Contains(value, "://") {
				t.Errorf("%s: %s holds a secret", name, variable)
			}
		}
		for _, secret := range s.Secrets {
			if secrets[secret] == nil {
				t.Errorf("%s: the secret %s is not there", name, secret)
			}
		}
	}
	if s := services["postgres"]; s.User == "" || strings.HasPrefix(s.User, "0") {
		t.Errorf("Postgres begins as root")
	}
}

// TestComposeMakesARoleForTheAPI runs compose.sql as a superuser on a new server, as the image of
// Postgres does.
func TestComposeMakesARoleForTheAPI(t *testing.T) {
	psql := postgresTool(t, "psql")
	cluster := postgrestest.Start(t)
	run := func(url string, args ...string) string {
		t.Helper()
		cmd := exec.Command(psql, append([]string{"-X", "-At", "-d", url}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("psql %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	file := filepath.Join(t.TempDir(), "password")
	authtest.Must(t, os.WriteFile(file, []byte("a'b \"c\n"), 0o600))
	t.Setenv("CLIENTES_PASSWORD_FILE", file)
	run(cluster.URL, "-f", filepath.Join("..", "..", "store", "postgres", "compose.sql"))

	const flags = "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, " +
		"rolbypassrls, rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'clientes'"
	if got := run(cluster.URL, "-c", flags); got != "t|f|f|f|f|f|t" {
		t.Errorf("the role is %s", got)
	}
	url := strings.NewReplacer("//postgres@", "//clientes@", "/postgres?", "/clientes?").
		Replace(cluster.URL)
	if url == cluster.URL {
		t.Fatalf("the URL is %s", url)
	}
	inFolder(t, nil)
	call(t, at(url), "", "migrate").want(t, 0, "the database has all ", "")
	call(t, at(url), goodPassword, "user", "add", "ana", "--password-stdin").want(t, 0, "", "")
	if got := run(url, "-c", "SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'"); got == "" {
		t.Error("the role could not make pg_trgm")
	}
	others := exec.Command(psql, "-X", "-d", strings.Replace(url, "/clientes?", "/postgres?", 1),
		"-c", "SELECT 1")
	if out, err := others.CombinedOutput(); err == nil {
		t.Errorf("the role may connect to another database: %s", out)
	}
}
