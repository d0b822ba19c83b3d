package postgrestest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// errNotInstalled means that there is no program to start a server from.
var errNotInstalled = errors.New("it is not installed")

// Cluster is a private Postgres server in a temporary folder, for tests that need to stop it. It listens on
// a Unix socket alone, so it takes no port and nobody else on the machine can connect.
type Cluster struct {
	URL string // a database in it, empty at first

	t        testing.TB // nil for the cluster that tests share
	server   *server
	binaries string   // the folder of initdb, pg_ctl and postgres
	folder   string   // holds everything, is gone in the end
	account  *account // who runs it
	lifeline *os.File // closing it, as the end of our process does, ends the cluster
	watchdog *exec.Cmd
}

// Start starts a cluster that is stopped and removed when t ends. Settings are lines of postgresql.conf. As
// a rule nothing is synced to the disk, and where there is room for it the cluster lives in memory. For a
// test of durability, or a benchmark, "fsync = on" puts it on the disk.
func Start(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := newCluster(settings...)
	if err != nil {
		stopTest(t, err)
	}
	c.t = t
	t.Cleanup(func() {
		c.lifeline.Close()
		if err := c.watchdog.Wait(); err != nil {
			t.Errorf("remove the cluster: %v", err)
		}
	})
	c.Start()
	return c
}

// Start starts the server after Stop or Kill and returns when it answers.
func (c *Cluster) Start() {
	c.t.Helper()
	if err := c.start(); err != nil {
		c.t.Fatal(err)
	}
}

// Stop stops the server as an administrator would: it ends all connections, writes everything to its files
// and returns when it is gone.
func (c *Cluster) Stop() {
	c.t.Helper()
	c.stop("fast")
}

// Kill stops the server as a crash would: connections break off, nothing more is written, and the next start
// recovers from the log. It returns when the server is gone.
func (c *Cluster) Kill() {
	c.t.Helper()
	c.stop("immediate")
}

// Database is the package's Database, in this cluster.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	return c.server.database(t, "template0")
}

// Migrated is the package's Migrated, in this cluster.
func (c *Cluster) Migrated(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	return c.server.copied(t, migrate)
}

func (c *Cluster) start() error {
	return c.run("pg_ctl", "-D", c.data(), "-l", c.log(), "-w", "-t", strconv.Itoa(int(patience.Seconds())), "start")
}

func (c *Cluster) stop(mode string) {
	c.t.Helper()
	if err := c.run("pg_ctl", "-D", c.data(), "-m", mode, "-w", "stop"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *Cluster) data() string { return filepath.Join(c.folder, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.folder, "log") }

// newCluster makes the files of a cluster, and the watchdog that removes them in the end.
func newCluster(settings ...string) (*Cluster, error) {
	binaries, err := findBinaries()
	if err != nil {
		return nil, err
	}
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	c := &Cluster{binaries: binaries, account: account}
	parents := []string{os.TempDir(), "/tmp", "/var/tmp"}
	if memory := memoryFolder(); memory != "" && !slices.Contains(settings, "fsync = on") {
		parents = slices.Insert(parents, 0, memory)
	}
	if c.folder, err = c.makeFolder(parents); err != nil {
		return nil, err
	}
	// It says everything, so that no PG… variable of the environment can lead elsewhere.
	base := url.URL{
		Scheme:   "postgres",
		User:     url.User("postgres"),
		Path:     "/postgres",
		RawQuery: url.Values{"host": {c.folder}, "port": {"5432"}, "sslmode": {"disable"}}.Encode(),
	}
	c.URL = base.String()
	c.server = &server{base: base, cluster: c}
	if err := c.watch(); err != nil {
		return nil, err
	}
	if err := c.init(settings); err != nil {
		c.lifeline.Close()
		return nil, err
	}
	return c, nil
}

// makeFolder makes the folder as the account that will run the server, which proves that it can be reached
// and removed by it: as root, the temporary folder of the environment may be root's alone.
func (c *Cluster) makeFolder(parents []string) (string, error) {
	var failed error
	for _, parent := range parents {
		// The name of a socket has room for about a hundred bytes, ours included.
		if len(parent) > 64 {
			continue
		}
		cmd := c.account.command(context.Background(), "mktemp", "-d", filepath.Join(parent, "clientes-postgres-XXXXXX"))
		cmd.Dir = "/"
		out, err := cmd.Output()
		if err == nil {
			return strings.TrimSpace(string(out)), nil
		}
		failed = cmp.Or(failed, err)
	}
	return "", fmt.Errorf("no folder for a Postgres cluster: %w", failed)
}

// watch starts the watchdog: a shell that outlives this process, however it ends, notices the end because
// its standard input does, and stops the server and removes the folder. The loop is for an initdb that was
// left behind half-way and may still be writing.
func (c *Cluster) watch() error {
	const script = `
		cat >/dev/null
		"$1/pg_ctl" -D "$2/data" -m immediate -w stop
		cd /
		for i in 1 2 3 4 5; do
			rm -rf "$2" && [ ! -e "$2" ] && exit 0
			sleep 1
		done
		exit 1`
	input, lifeline, err := os.Pipe()
	if err != nil {
		return err
	}
	defer input.Close()
	c.lifeline = lifeline
	c.watchdog = c.command(context.Background(), "sh", "-c", script, "watchdog", c.binaries, c.folder)
	c.watchdog.Stdin = input
	if err := c.watchdog.Start(); err != nil {
		os.RemoveAll(c.folder)
		return fmt.Errorf("start the watchdog of a Postgres cluster: %w", err)
	}
	return nil
}

// init makes the cluster's files. Its text is UTF-8 of no particular language; systems without that locale
// (older macOS) have English in UTF-8.
func (c *Cluster) init(settings []string) error {
	var err error
	for _, locale := range []string{"C.UTF-8", "en_US.UTF-8"} {
		err = c.run("initdb", "-D", c.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", locale, "--no-sync")
		if err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	settings = append([]string{
		"listen_addresses = ''",
		"unix_socket_directories = '" + strings.ReplaceAll(c.folder, "'", "''") + "'",
		"port = 5432",
		// As many as parallel tests may want, each with a pool of its own.
		"max_connections = 300",
		// A test's data need not outlive the power.
		"fsync = off",
		"full_page_writes = off",
		"max_wal_size = 128MB",
	}, settings...)
	conf, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = conf.WriteString("\n" + strings.Join(settings, "\n") + "\n")
	return errors.Join(err, conf.Close())
}

// run runs one of the cluster's programs to its end; an error shows what it and the server's log said.
func (c *Cluster) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := c.command(ctx, filepath.Join(c.binaries, program), args...).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(c.log())
		return fmt.Errorf("%s: %w\n%s\n%s", program, err, out, log)
	}
	return nil
}

// command makes a command that runs in the folder, as the server's account, without the PG… variables of
// the environment.
func (c *Cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := c.account.command(ctx, name, args...)
	cmd.Dir = c.folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	return cmd
}

// findBinaries gives the folder of the server's programs: the one in PATH, else the newest of the places
// where Debian, Red Hat, Homebrew and Postgres.app put them, mostly outside PATH.
func findBinaries() (string, error) {
	var folders []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the pattern is well-formed
		folders = append(folders, found...)
	}
	slices.SortStableFunc(folders, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	folders = append(filepath.SplitList(os.Getenv("PATH")), folders...)
	for _, folder := range folders {
		if hasBinaries(folder) {
			return folder, nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL server programs (initdb, pg_ctl, postgres) were found in PATH, "+
		"/usr/lib/postgresql or Homebrew's folders; install PostgreSQL or set TEST_DATABASE_URL: %w", errNotInstalled)
}

func hasBinaries(folder string) bool {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(folder, name)); err != nil {
			return false
		}
	}
	return true
}

// version reads the number in the name of a folder or of a version; one without (Homebrew's link to its
// default) counts as the newest.
func version(name string) float64 {
	digits := regexp.MustCompile(`[0-9]+(\.[0-9]+)?`).FindString(name)
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 1000
	}
	return v
}
