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
	"sync"
	"testing"
)

// errNotInstalled means that the programs of a server are absent.
var errNotInstalled = errors.New("it is not installed")

// Cluster is a private Postgres server in a temporary folder, which a test may stop and start. It
// listens only on a Unix socket there, so it needs no free port.
type Cluster struct {
	URL string // a database in it, empty at first

	t        testing.TB // nil for the cluster that tests share
	server   *server
	binaries string   // the folder of initdb, pg_ctl and postgres
	folder   string   // holds all files; the watchdog removes it
	account  *account // runs the server
	lifeline *os.File // the cluster ends when it is closed, at the latest with this process
	watchdog *exec.Cmd
}

// Start starts a cluster that is stopped and removed when t ends. Settings are lines of
// postgresql.conf.
//
// By default nothing is synced to the disk, and the cluster is in memory if there is room. For a
// test of durability or a benchmark, the setting "fsync = on" puts it on the disk.
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

// Stop stops the server as an administrator would: the server ends all connections and writes
// everything to its files. Stop returns when the server is gone.
func (c *Cluster) Stop() {
	c.t.Helper()
	c.stop("fast")
}

// Kill stops the server as a crash would: connections break, nothing more is written, and the next
// start recovers from the log. Kill returns when the server is gone.
func (c *Cluster) Kill() {
	c.t.Helper()
	c.stop("immediate")
}

// Database is [Database] in this cluster.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	return c.server.database(t, "template0")
}

// Migrated is [Migrated] in this cluster.
func (c *Cluster) Migrated(t testing.TB,
	migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	return c.server.copied(t, migrate)
}

func (c *Cluster) start() error {
	seconds := strconv.Itoa(int(timeout.Seconds()))
	return c.run("pg_ctl", "-D", c.data(), "-l", c.log(), "-w", "-t", seconds, "start")
}

func (c *Cluster) stop(mode string) {
	c.t.Helper()
	if err := c.run("pg_ctl", "-D", c.data(), "-m", mode, "-w", "stop"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *Cluster) data() string { return filepath.Join(c.folder, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.folder, "log") }

// newCluster creates the files of a cluster, and starts the watchdog that will remove them. It does
// not start the server.
func newCluster(settings ...string) (*Cluster, error) {
	from, err := initialised()
	if err != nil {
		return nil, err
	}
	c, err := newFolder(slices.Contains(settings, "fsync = on"))
	if err != nil {
		return nil, err
	}
	if err := c.init(from, settings); err != nil {
		c.lifeline.Close()
		return nil, err
	}
	return c, nil
}

// initialised returns the files that initdb makes, without a server. Every cluster begins as a copy
// of them, because a copy takes far less time than initdb.
var initialised = sync.OnceValues(func() (*Cluster, error) {
	c, err := newFolder(false)
	if err != nil {
		return nil, err
	}
	if err := c.initdb(); err != nil {
		c.lifeline.Close()
		return nil, err
	}
	return c, nil
})

// newFolder creates the folder of a cluster, on the disk or else in memory if there is room, and
// starts the watchdog that will remove it.
func newFolder(onDisk bool) (*Cluster, error) {
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
	if memory := memoryFolder(); memory != "" && !onDisk {
		parents = slices.Insert(parents, 0, memory)
	}
	if c.folder, err = c.makeFolder(parents); err != nil {
		return nil, err
	}
	// The URL sets every part, so no PG… variable of the environment can change where it leads.
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
	return c, nil
}

// makeFolder creates the folder of the cluster in the first of the parents where it can. It does so
// as the account that will run the server, because that account must be able to use and remove it.
// If we are root, TMPDIR may be a folder that only root can enter.
func (c *Cluster) makeFolder(parents []string) (string, error) {
	var failed error
	for _, parent := range parents {
		// The path of a socket has about a hundred bytes at most, our part included.
		if len(parent) > 64 {
			continue
		}
		template := filepath.Join(parent, "clientes-postgres-XXXXXX")
		cmd := c.account.command(context.Background(), "mktemp", "-d", template)
		cmd.Dir = "/"
		out, err := cmd.Output()
		if err == nil {
			return strings.TrimSpace(string(out)), nil
		}
		failed = cmp.Or(failed, err)
	}
	return "", fmt.Errorf("no folder for a Postgres cluster: %w", failed)
}

// watch starts the watchdog, a shell that outlives this process. When this process ends, however it
// does, the standard input of the shell ends. Then it stops the server and removes the folder. It
// tries more than once, because an initdb that lost its parent may still write files.
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
	c.watchdog = c.command(context.Background(),
		"sh", "-c", script, "watchdog", c.binaries, c.folder)
	c.watchdog.Stdin = input
	if err := c.watchdog.Start(); err != nil {
		os.RemoveAll(c.folder)
		return fmt.Errorf("start the watchdog of a Postgres cluster: %w", err)
	}
	return nil
}

// initdb creates the files of a cluster. Its encoding is UTF-8. Its locale is C.UTF-8, or an
// English one on systems without that (older macOS).
func (c *Cluster) initdb() error {
	var err error
	for _, locale := range []string{"C.UTF-8", "en_US.UTF-8"} {
		err = c.run("initdb", "-D", c.data(), "-U", "postgres", "-A", "trust",
			"-E", "UTF8", "--locale", locale, "--no-sync")
		if err == nil {
			break
		}
	}
	return err
}

// init copies the files of another cluster, and adds the settings.
func (c *Cluster) init(from *Cluster, settings []string) error {
	copied := c.command(context.Background(), "cp", "-R", from.data(), c.data())
	if out, err := copied.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the files of a cluster: %w\n%s", err, out)
	}
	settings = append([]string{
		"listen_addresses = ''",
		"unix_socket_directories = '" + strings.ReplaceAll(c.folder, "'", "''") + "'",
		"port = 5432",
		// Enough for many parallel tests, each with a pool of its own.
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

// run runs one of the cluster's programs to its end. An error holds the program's output and the
// server's log.
func (c *Cluster) run(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	out, err := c.command(ctx, filepath.Join(c.binaries, program), args...).CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(c.log())
		return fmt.Errorf("%s: %w\n%s\n%s", program, err, out, log)
	}
	return nil
}

// command returns a command that runs in the folder, as the account of the server, and without the
// PG… variables of the environment.
func (c *Cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := c.account.command(ctx, name, args...)
	cmd.Dir = c.folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	return cmd
}

// findBinaries returns the folder of the server's programs. It prefers a folder in PATH, and then
// the newest version where Debian, Red Hat, Homebrew and Postgres.app put them.
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
	slices.SortStableFunc(folders, func(a, b string) int {
		return cmp.Compare(version(b), version(a))
	})
	folders = append(filepath.SplitList(os.Getenv("PATH")), folders...)
	for _, folder := range folders {
		if hasBinaries(folder) {
			return folder, nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL server programs (initdb, pg_ctl, postgres) were found "+
		"in PATH, /usr/lib/postgresql or Homebrew's folders; "+
		"install PostgreSQL or set TEST_DATABASE_URL: %w", errNotInstalled)
}

func hasBinaries(folder string) bool {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(folder, name)); err != nil {
			return false
		}
	}
	return true
}

// version returns the first number in the name of a folder or of a version. A name without a
// number, such as Homebrew's link to its default version, counts as the newest.
func version(name string) float64 {
	digits := regexp.MustCompile(`[0-9]+(\.[0-9]+)?`).FindString(name)
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 1000
	}
	return v
}
