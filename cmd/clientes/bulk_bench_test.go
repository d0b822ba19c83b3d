package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"clientes/auth/authtest"
	"clientes/store"
	"clientes/store/postgres/postgrestest"
	"clientes/store/storetest"
)

// BenchmarkBulk measures import and export over HTTP. On Postgres psql's \copy is the measure: it
// fills the same tables, with the same indexes and history, from files that already hold what the
// server derives. It also writes the same columns out. Rounds of the two take turns, so that the
// ratios hold when the machine's speed drifts:
//
//	x-copy   rows a second, as a part of psql's (1 is as fast)
//	peak-MB  the most memory that the server and its hasher ever had (Linux only)
//
// A million rows take some minutes:
//
//	BENCH_ROWS=1000000 go test ./cmd/clientes -run '^$' -bench Bulk -benchtime 1x -timeout 1h
func BenchmarkBulk(b *testing.B) {
	rows := storetest.Rows(b)
	folder := b.TempDir()
	authtest.Must(b, os.Chmod(folder, 0o755))
	program := build(b, folder, ".")
	file := filepath.Join(folder, "clientes.csv")
	writeCSV(b, file, rows)

	b.Run("postgres", func(b *testing.B) {
		cluster := postgrestest.Start(b, "fsync = on", "full_page_writes = on",
			"shared_buffers = 2GB", "max_wal_size = 8GB")
		served, copied := cluster.Database(b), cluster.Database(b)
		writeCopies(b, folder, rows)
		s := startServer(b, program, served)
		migrate := exec.Command(program, "migrate")
		migrate.Env, migrate.Dir = append(os.Environ(), "DATABASE_URL="+copied), folder
		if out, err := migrate.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		empty := func(url string) {
			psql(b, url, "TRUNCATE clientes, cliente_history RESTART IDENTITY", "CHECKPOINT")
		}
		b.Run("import", func(b *testing.B) {
			var ours, theirs time.Duration
			for b.Loop() {
				empty(served)
				empty(copied)
				start := time.Now()
				s.upload(b, file)
				ours += time.Since(start)
				start = time.Now()
				psql(b, copied, "BEGIN",
					`\copy clientes (id, name, name_key, email, email_key, phone, company, address, notes, search, version, created_at, updated_at) FROM '`+folder+`/clientes.copy' (FORMAT csv, NULL '\N')`,
					`\copy cliente_history (cliente_id, version, action, user_id, user_name, at, name, email, phone, company, address, notes, created_at, updated_at) FROM '`+folder+`/history.copy' (FORMAT csv, NULL '\N')`,
					"COMMIT")
				theirs += time.Since(start)
			}
			reportBulk(b, s, rows, ours, theirs)
		})
		b.Run("export", func(b *testing.B) {
			var ours, theirs time.Duration
			for b.Loop() {
				start := time.Now()
				s.download(b, rows)
				ours += time.Since(start)
				start = time.Now()
				psql(b, served,
					`\copy (SELECT id, name, email, phone, company, address, notes, version, created_at, updated_at FROM clientes ORDER BY id) TO '/dev/null' (FORMAT csv)`)
				theirs += time.Since(start)
			}
			reportBulk(b, s, rows, ours, theirs)
		})
	})
	b.Run("sqlite", func(b *testing.B) {
		b.Run("import", func(b *testing.B) {
			var ours, longest time.Duration
			refused, kept := 0, 0
			var s *target
			for b.Loop() {
				s = startServer(b, program, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"))
				done := make(chan struct{})
				others := make(chan struct{})
				go func() { // others, who write meanwhile
					defer close(others)
					for i := 0; ; i++ {
						select {
						case <-done:
							return
						case <-time.After(20 * time.Millisecond):
						}
						start := time.Now()
						n := strconv.Itoa(1_000_000_000 + i)
						switch status := s.create(b, benchCliente(n)); status {
						case http.StatusCreated:
							kept++
						default:
							refused++
						}
						longest = max(longest, time.Since(start))
					}
				}()
				start := time.Now()
				s.upload(b, file)
				ours += time.Since(start)
				close(done)
				<-others
			}
			reportBulk(b, s, rows, ours, 0)
			b.ReportMetric(longest.Seconds(), "s-longest-wait")
			b.ReportMetric(float64(refused), "others-refused")
			b.ReportMetric(float64(kept), "others-kept")
		})
	})
}

func reportBulk(b *testing.B, s *target, rows int, ours, theirs time.Duration) {
	b.ReportMetric(float64(b.N*rows)/ours.Seconds(), "rows/s")
	if theirs > 0 {
		b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-copy")
	}
	if peak := peakMemory(b, s.pid); peak > 0 {
		b.ReportMetric(peak, "peak-MB")
	}
	b.ReportMetric(0, "ns/op")
}

// peakMemory returns the most memory that a process and its children ever had resident, each at its
// own time. It is in MB, and 0 where there is no /proc.
func peakMemory(tb testing.TB, pid int) float64 {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	peak := 0.0
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kB, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			peak = kB * 1024 / 1e6
		}
	}
	for _, child := range children(tb, pid) {
		peak += peakMemory(tb, child)
	}
	return peak
}

func psql(b *testing.B, url string, commands ...string) {
	b.Helper()
	args := []string{url, "-X", "-q", "-v", "ON_ERROR_STOP=1"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out, err := exec.Command("psql", args...).CombinedOutput(); err != nil {
		b.Fatalf("psql: %v: %s", err, out)
	}
}

func (to *target) ask(b *testing.B, method, path, media string, body io.Reader) *http.Response {
	b.Helper()
	req, err := http.NewRequest(method, "http://"+to.addr+path, body)
	authtest.Must(b, err)
	name, value, _ := strings.Cut(strings.TrimSpace(to.headers), ": ")
	req.Header.Set(name, value)
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := http.DefaultClient.Do(req)
	authtest.Must(b, err)
	return resp
}

func (to *target) upload(b *testing.B, path string) {
	b.Helper()
	file, err := os.Open(path)
	authtest.Must(b, err)
	defer file.Close()
	resp := to.ask(b, "POST", "/clientes/import", "text/csv", file)
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		b.Fatalf("import answered %d: %.500s", resp.StatusCode, answer)
	}
}

func (to *target) download(b *testing.B, rows int) {
	b.Helper()
	resp := to.ask(b, "GET", "/clientes/export", "", nil)
	defer resp.Body.Close()
	lines, buf := 0, make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buf)
		lines += bytes.Count(buf[:n], []byte("\r")) // which no text has
		if err == io.EOF {
			break
		}
		authtest.Must(b, err)
	}
	if resp.StatusCode != http.StatusOK || lines != rows+1 {
		b.Fatalf("export answered %d, %d lines", resp.StatusCode, lines)
	}
}

func (to *target) create(b *testing.B, body string) int {
	resp := to.ask(b, "POST", "/clientes", "application/json", strings.NewReader(body))
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

// writeFile writes a CSV file of the generated customers.
func writeFile(b *testing.B, path string, rows int, header []string,
	record func(id int, c store.Cliente) []string) {
	b.Helper()
	file, err := os.Create(path)
	authtest.Must(b, err)
	buf := bufio.NewWriter(file)
	w := csv.NewWriter(buf)
	if header != nil {
		_ = w.Write(header)
	}
	id := 0
	for c := range storetest.Customers(0, rows) {
		id++
		_ = w.Write(record(id, c))
	}
	w.Flush()
	for _, err := range []error{w.Error(), buf.Flush(), file.Close()} {
		authtest.Must(b, err)
	}
}

func writeCSV(b *testing.B, path string, rows int) {
	writeFile(b, path, rows, []string{"name", "email", "phone", "company", "address", "notes"},
		func(_ int, c store.Cliente) []string {
			return []string{c.Name, c.Email, c.Phone, c.Company, c.Address, c.Notes}
		})
}

// writeCopies writes the rows that the server makes of the same customers. No text in the files
// means NULL: by default an empty one would.
func writeCopies(b *testing.B, folder string, rows int) {
	at := time.Now().UTC().Format("2006-01-02 15:04:05.000Z07:00")
	writeFile(b, filepath.Join(folder, "clientes.copy"), rows, nil,
		func(id int, c store.Cliente) []string {
			return []string{strconv.Itoa(id), c.Name, store.SortKey(c.Name), c.Email,
				store.EmailKey(c.Email), c.Phone, c.Company, c.Address,
				c.Notes, c.SearchText(), "1", at, at}
		})
	writeFile(b, filepath.Join(folder, "history.copy"), rows, nil,
		func(id int, c store.Cliente) []string {
			return []string{strconv.Itoa(id), "1", "created", "1", "bench", at, c.Name, c.Email,
				c.Phone, c.Company, c.Address, c.Notes, at, at}
		})
}
