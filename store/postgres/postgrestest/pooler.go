package postgrestest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Pooler starts PgBouncer in transaction mode before the cluster, with size connections to each
// database. It runs until t ends. The function through returns the URL of a database that leads
// through it. Settings are lines of pgbouncer.ini that count more than the usual ones.
func (c *Cluster) Pooler(t testing.TB, size int,
	settings ...string) (through func(url string) string) {
	t.Helper()
	program, err := findPooler()
	if err != nil {
		stopTest(t, err)
	}
	config, err := c.configurePooler(size, settings)
	if err != nil {
		t.Fatal(err)
	}
	log := c.startPooler(t, program, config)
	through = func(text string) string {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("port", "6432")
		u.RawQuery = q.Encode()
		return u.String()
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		conn, err := Connect(t.Context(), through(c.URL))
		if err == nil {
			conn.Close(t.Context())
			return through
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(log)
			t.Fatalf("PgBouncer: %v\n%s", err, said)
		}
	}
}

// configurePooler writes the files that PgBouncer reads, and returns the path of the main one.
func (c *Cluster) configurePooler(size int, settings []string) (config string, err error) {
	config = filepath.Join(c.folder, "pgbouncer.ini")
	users := filepath.Join(c.folder, "users")
	err = os.WriteFile(config, fmt.Appendf(nil, `
		[databases]
		* = host=%[1]s port=5432
		[pgbouncer]
		listen_addr =
		listen_port = 6432
		unix_socket_dir = %[1]s
		pidfile = %[1]s/pgbouncer.pid
		auth_type = trust
		auth_file = %[2]s
		pool_mode = transaction
		default_pool_size = %[3]d
		max_client_conn = 1000
		listen_backlog = 1000
		%[4]s
		`, c.folder, users, size, strings.Join(settings, "\n")), 0o644)
	if err == nil {
		err = os.WriteFile(users, []byte("\"postgres\" \"\"\n\"app\" \"\"\n"), 0o644)
	}
	return config, err
}

// startPooler runs PgBouncer until t ends, and returns the path of its log.
func (c *Cluster) startPooler(t testing.TB, program, config string) string {
	t.Helper()
	// The shell ends PgBouncer when its own standard input ends: with the test, or with this
	// process.
	const script = `"$1" "$2" & cat >/dev/null; kill "$!"; wait "$!"`
	cmd := c.command(context.Background(), "sh", "-c", script, "pooler", program, config)
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(c.folder, "pgbouncer.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lifeline.Close()
		cmd.Wait() // its error is of no interest: PgBouncer was killed
	})
	return log.Name()
}

// findPooler returns the path of PgBouncer, which Debian keeps outside the PATH of ordinary users.
func findPooler() (string, error) {
	for _, name := range []string{
		"pgbouncer",
		"/usr/sbin/pgbouncer",
		"/opt/homebrew/bin/pgbouncer",
	} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("PgBouncer was not found in PATH or /usr/sbin: %w", errNotInstalled)
}
