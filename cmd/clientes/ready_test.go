//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
)

// machine is a running server whose database a test puts out of order.
type machine struct {
	*server
	url string
}

// wantFault sees that the server is ready, that it is not while the fault lasts, and that it is
// again. The log has to have the sentence for the operator, and the answer must not.
func (m machine) wantFault(t *testing.T, check, sentence string, fault, end func()) {
	t.Helper()
	m.wantReady(t)
	fault()
	m.wantReadyz(t, 503, check+`":"failed"`)
	authtest.Eventually(t, "the log says "+sentence, func() bool {
		return strings.Contains(m.stderr.String(), sentence)
	})
	end()
	m.wantReady(t)
}

// serveOn starts a server.
func serveOn(t *testing.T, url string) machine {
	t.Helper()
	s := launch(t, []string{"DATABASE_URL=" + url, "SECRET=" + goodSecret}, "serve")
	return machine{s, url}
}

// onSQLite starts a server on a new file in the folder.
func onSQLite(t *testing.T, folder string) machine {
	t.Helper()
	url := "sqlite:" + filepath.Join(folder, "clientes.db")
	return serveOn(t, url)
}

func (m machine) path() string { return strings.TrimPrefix(m.url, "sqlite:") }

// create makes a customer, past the server.
func (m machine) create(t *testing.T, c store.Cliente) error {
	t.Helper()
	st, err := engineOf(m.url).open(t.Context(), m.url, store.Options{})
	authtest.Must(t, err)
	defer st.Close()
	_, err = st.CreateCliente(t.Context(), 0, c)
	return err
}

func TestReadyMeansThatSQLiteCanWrite(t *testing.T) {
	t.Parallel()
	t.Run("another process keeps the file locked", func(t *testing.T) {
		t.Parallel()
		m := onSQLite(t, t.TempDir())
		conn, err := sqlite.OpenConn(m.path(), sqlite.OpenReadWrite)
		authtest.Must(t, err)
		defer conn.Close()
		m.wantFault(t, "store", "another process keeps the file locked (SQLITE_BUSY)",
			func() { authtest.Must(t, sqlitex.ExecuteTransient(conn, "BEGIN IMMEDIATE", nil)) },
			func() { authtest.Must(t, sqlitex.ExecuteTransient(conn, "COMMIT", nil)) })
	})
	t.Run("the disk is full", func(t *testing.T) {
		t.Parallel()
		folder := smallDisk(t)
		m := onSQLite(t, folder)
		ballast := filepath.Join(folder, "ballast")
		m.wantFault(t, "store", "the disk is full (SQLITE_FULL); make room on it",
			func() { fill(t, ballast) },
			func() { authtest.Must(t, os.Remove(ballast)) })
	})
	t.Run("the file was moved", func(t *testing.T) {
		t.Parallel()
		m := onSQLite(t, t.TempDir())
		m.wantFault(t, "store", "is no longer the file that was opened",
			func() { authtest.Must(t, os.Rename(m.path(), m.path()+".moved")) },
			func() { authtest.Must(t, os.Rename(m.path()+".moved", m.path())) })
	})
	t.Run("the file may not be written", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		url := "sqlite:" + filepath.Join(folder, "clientes.db")
		authtest.Must(t, engineOf(url).migrate(t.Context(), url, func(store.MigrationProgress) {}))
		authtest.Must(t, os.Chmod(filepath.Join(folder, "clientes.db"), 0o444))
		if os.Getuid() == 0 {
			t.Skip("root may write everything; TestAFileThatMayNotBeWritten mounts a folder")
		}
		m := serveOn(t, url)
		m.wantReadyz(t, 503, `store":"failed"`)
		authtest.Must(t, os.Chmod(m.path(), 0o600))
		m.wantReady(t)
	})
	t.Run("pages are damaged", func(t *testing.T) {
		t.Parallel()
		m := onSQLite(t, t.TempDir())
		m.wantReady(t)
		authtest.Must(t, m.create(t, store.Cliente{Name: "Ana"}))
		authtest.Must(t, sqliteCheckpoint(m.path()))
		intact, err := os.ReadFile(m.path())
		authtest.Must(t, err)
		spoilt := bytes.Clone(intact)
		for i := 4096; i < len(spoilt); i++ { // all pages but the first
			spoilt[i] = 0xa5
		}
		overwrite(t, m.path(), spoilt)
		// Pages that the server has read before are in its memory. Somebody meets another one.
		authtest.Eventually(t, "a call meets a damaged page", func() bool {
			resp, err := http.Post(m.server.url("/login"), "application/json",
				strings.NewReader(`{"user": "nobody", "password": "x y z"}`))
			authtest.Must(t, err)
			resp.Body.Close()
			return strings.Contains(m.stderr.String(), "SQLITE_CORRUPT")
		})
		m.wantReadyz(t, 503, `store":"failed"`)
		if log := m.stderr.String(); !strings.Contains(log, "the file is damaged (SQLITE_CORRUPT") {
			t.Errorf("the log says %s", log)
		}
		// What was damaged once stays so until somebody has looked after it.
		overwrite(t, m.path(), intact)
		m.wantReadyz(t, 503, `store":"failed"`)
		m.signal(t)
		m.wait()
		overwrite(t, m.path(), intact)
		for _, beside := range []string{"-wal", "-shm"} {
			os.Remove(m.path() + beside)
		}
		serveOn(t, m.url).wantReady(t)
	})
}

// overwrite changes a file in its place.
func overwrite(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	authtest.Must(t, err)
	_, err = f.WriteAt(b, 0)
	authtest.Must(t, err)
	authtest.Must(t, f.Close())
}

func sqliteCheckpoint(path string) error {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer conn.Close()
	return sqlitex.ExecuteTransient(conn, "PRAGMA wal_checkpoint(TRUNCATE)", nil)
}

// smallDisk returns a folder on a disk of its own that a test can fill.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	folder, err := os.MkdirTemp("", "clientes-disk-") // which other users may enter
	authtest.Must(t, err)
	t.Cleanup(func() { os.Remove(folder) })
	authtest.Must(t, os.Chmod(folder, 0o755))
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=48m,mode=777", "tmpfs", folder).
		CombinedOutput()
	if err != nil {
		t.Skipf("cannot mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", folder).Run() })
	return folder
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	authtest.Must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func TestReadyMeansThatPostgresCanWrite(t *testing.T) {
	t.Parallel()
	admin := func(t *testing.T, url string, statements ...string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), url)
		authtest.Must(t, err)
		defer conn.Close(t.Context())
		for _, sql := range statements {
			_, err := conn.Exec(t.Context(), sql)
			authtest.Must(t, err)
		}
	}
	t.Run("read-only by default", func(t *testing.T) {
		t.Parallel()
		c := postgrestest.Start(t)
		set := func(to string) {
			admin(t, c.URL, "ALTER SYSTEM SET default_transaction_read_only = "+to,
				"SELECT pg_reload_conf()")
		}
		serveOn(t, c.URL).wantFault(t, "store", "the database is read-only (ERROR: cannot execute",
			func() { set("on") },
			func() {
				admin(t, c.URL, "SET default_transaction_read_only = off",
					"ALTER SYSTEM SET default_transaction_read_only = off",
					"SELECT pg_reload_conf()")
			})
	})
	t.Run("a standby", func(t *testing.T) {
		t.Parallel()
		c := postgrestest.Start(t)
		data := dataOf(t, c.URL)
		serveOn(t, c.URL).wantFault(t, "store", "the database is read-only (ERROR: cannot execute",
			func() {
				c.Stop()
				authtest.Must(t, os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o666))
				authtest.Must(t, os.Chmod(filepath.Join(data, "standby.signal"), 0o666))
				c.Start()
			},
			func() { admin(t, c.URL, "SELECT pg_promote()") })
	})
	t.Run("a right is revoked", func(t *testing.T) {
		t.Parallel()
		c := postgrestest.Start(t)
		admin(t, c.URL, "CREATE ROLE app LOGIN", "GRANT CREATE ON SCHEMA public TO app")
		url := strings.Replace(c.URL, "postgres://postgres@", "postgres://app@", 1)
		serveOn(t, url).wantFault(t, "store", "the user of the database lacks a right",
			func() { admin(t, c.URL, "REVOKE UPDATE ON probe FROM app") },
			func() { admin(t, c.URL, "GRANT UPDATE ON probe TO app") })
	})
	t.Run("the disk is full", func(t *testing.T) {
		t.Parallel()
		folder := smallDisk(t)
		c := postgrestest.Start(t)
		admin(t, c.URL, fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'",
			space(t, folder, dataOf(t, c.URL))),
			"CREATE DATABASE small TABLESPACE small")
		m := serveOn(t, strings.Replace(c.URL, "/postgres?", "/small?", 1))
		add := command(t, []string{"DATABASE_URL=" + m.url}, "user", "add", "ana",
			"--role", "editor", "--password-stdin")
		add.Stdin = strings.NewReader(goodPassword)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		token := m.token(t)
		ballast := filepath.Join(folder, "ballast")
		m.wantFault(t, "store", "the server's disk is full (ERROR: ",
			func() {
				fill(t, ballast)
				// A small write finds its place. It takes a large one to meet the end of the disk.
				m.meetTheEnd(t, token)
			},
			func() { authtest.Must(t, os.Remove(ballast)) })
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		c := postgrestest.Start(t)
		serveOn(t, c.URL).wantFault(t, "store", "the server of the database cannot be reached",
			c.Stop, c.Start)
	})
	t.Run("customers are locked, which the checks do not wait for", func(t *testing.T) {
		t.Parallel()
		c := postgrestest.Start(t)
		m := serveOn(t, c.URL)
		m.wantReady(t)
		conn, err := pgx.Connect(t.Context(), c.URL)
		authtest.Must(t, err)
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), "BEGIN; LOCK TABLE clientes, cliente_history")
		authtest.Must(t, err)
		m.wantReady(t)
	})
}

// dataOf returns the folder of a Postgres server's files.
func dataOf(t *testing.T, url string) (folder string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	authtest.Must(t, err)
	defer conn.Close(t.Context())
	authtest.Must(t, conn.QueryRow(t.Context(), "SHOW data_directory").Scan(&folder))
	return folder
}

// space returns a folder for a tablespace, which has to belong to the account of the server.
func space(t *testing.T, folder, data string) string {
	t.Helper()
	space := filepath.Join(folder, "space")
	authtest.Must(t, os.Mkdir(space, 0o700))
	is, err := os.Stat(data)
	authtest.Must(t, err)
	owner := is.Sys().(*syscall.Stat_t)
	authtest.Must(t, os.Chown(space, int(owner.Uid), int(owner.Gid)))
	return space
}

// token returns a token of ana's.
func (m machine) token(t *testing.T) string {
	t.Helper()
	resp, err := http.Post(m.server.url("/login"), "application/json",
		strings.NewReader(`{"user": "ana", "password": "`+goodPassword+`"}`))
	authtest.Must(t, err)
	defer resp.Body.Close()
	var login struct {
		Token string `json:"token"`
	}
	authtest.Must(t, json.UnmarshalRead(resp.Body, &login))
	if login.Token == "" {
		t.Fatalf("a login has status %d", resp.StatusCode)
	}
	return login.Token
}

// meetTheEnd makes large customers until one of them finds no room.
func (m machine) meetTheEnd(t *testing.T, token string) {
	t.Helper()
	authtest.Eventually(t, "a customer finds no room", func() bool {
		body := fmt.Sprintf(`{"name": "x", "notes": "%s"}`, strings.Repeat(rand.Text(), 380))
		req, err := http.NewRequestWithContext(t.Context(), "POST", m.server.url("/clientes"),
			strings.NewReader(body))
		authtest.Must(t, err)
		req.Header.Set("x-access-token", token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		authtest.Must(t, err)
		resp.Body.Close()
		if resp.StatusCode != 201 && resp.StatusCode != 503 {
			t.Fatalf("a customer is answered with %d", resp.StatusCode)
		}
		return resp.StatusCode == 503
	})
}

// TestReadyMeansThatPasswordsCanBeHashed stops the process that hashes, and lets it go on.
func TestReadyMeansThatPasswordsCanBeHashed(t *testing.T) {
	t.Parallel()
	m := onSQLite(t, t.TempDir())
	hasher := children(t, m.cmd.Process.Pid)[0]
	m.wantFault(t, "hasher", "no answer of the process that hashes passwords",
		func() { authtest.Must(t, syscall.Kill(hasher, syscall.SIGSTOP)) },
		func() { authtest.Must(t, syscall.Kill(hasher, syscall.SIGCONT)) })
}
