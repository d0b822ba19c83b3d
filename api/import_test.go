package api

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/semaphore"

	"clientes/api/wire"
	"clientes/api/wire/wiretest"
	"clientes/auth/authtest"
	"clientes/store"
)

// imported imports a file.
func (f *fixture) imported(format wire.Format, file string) answer {
	f.t.Helper()
	return f.as(store.Editor, "POST", "/clientes/import", file, "Content-Type", string(format))
}

// rowFaults returns "row:field:code" of each entry of errors, and the number of all faults.
func rowFaults(a answer) (faults string, count int64) {
	var p problem
	_ = json.Unmarshal([]byte(a.body), &p)
	var s []string
	for _, e := range p.Errors {
		row := "?"
		if e.Row != nil {
			row = fmt.Sprint(*e.Row)
		}
		s = append(s, row+":"+e.Field+":"+e.Code)
	}
	return strings.Join(s, " "), p.ErrorCount
}

func TestImport(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for format, files := range map[wire.Format][]wiretest.GoodFile{
			wire.CSV: wiretest.GoodCSV(), wire.NDJSON: wiretest.GoodNDJSON(),
		} {
			for _, c := range files {
				before := len(f.all())
				a := f.imported(format, c.File)
				want := fmt.Sprintf(`{"imported":%d}`, len(c.Want))
				if a.status != 200 || a.body != want {
					t.Errorf("%s, %s: answered %d %s", format, c.Name, a.status, a.body)
					continue
				}
				added := f.all()[before:]
				if !slices.EqualFunc(added, c.Want, store.Cliente.SameText) {
					t.Errorf("%s, %s: led to %+v", format, c.Name, added)
				}
				for _, c := range added {
					path := clientePath(c.ID)
					h := f.history(path + "/history")
					if len(h) != 1 || h[0].Action != "created" || h[0].User != "the-editor" ||
						string(h[0].Record) != clienteJSON(c) || c.Version != 1 {
						t.Errorf("%s has the history %+v", path, h)
					}
				}
			}
		}
	})
}

func TestImportOfBadFiles(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.add(store.Cliente{Name: "Ana", Email: "taken@example.com"})
		for format, files := range map[wire.Format][]wiretest.BadFile{
			wire.CSV: wiretest.BadCSV(), wire.NDJSON: wiretest.BadNDJSON(),
		} {
			for _, c := range files {
				a := f.imported(format, c.File)
				f.want(a, 422, "validation_failed")
				faults, count := rowFaults(a)
				if faults != c.Faults || count != int64(strings.Count(c.Faults, " ")+1) {
					t.Errorf("%s, %s: %d faults %q, want %q", format, c.Name, count, faults,
						c.Faults)
				}
			}
		}
		if all := f.all(); len(all) != 1 {
			t.Errorf("there are %d records", len(all))
		}
		// No refused file has taken the email.
		f.want(f.imported(wire.CSV, "name,email\nBia,free@example.com\n"), 200, "")
	})
}

// The first hundred faults are listed and all are counted, no matter who finds them.
func TestTheFirstHundredFaults(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for name, c := range map[string]struct {
			format wire.Format
			file   string
			each   string // what is said of a row
			first  int    // the row that it begins with
			count  int64
		}{
			"CSV": {
				wire.CSV,
				"name,email\n" + strings.Repeat("Ana,\n", 5) + strings.Repeat(",x\n", 151),
				"name:required email:invalid_email", 6, 302,
			},
			"NDJSON": {wire.NDJSON, strings.Repeat("{}\n", 120), "name:required", 1, 120},
			"emails": {
				wire.CSV, "name,email\n" + strings.Repeat("Ana,ana@example.com\n", 160),
				"email:taken", 2, 159,
			},
			"the most": {
				wire.NDJSON, strings.Repeat("{}\n", store.MaxRowErrors),
				"name:required", 1, store.MaxRowErrors,
			},
		} {
			var want []string
			for row := c.first; len(want) < store.MaxRowErrors; row++ {
				for _, s := range strings.Fields(c.each) {
					want = append(want, fmt.Sprint(row, ":", s))
				}
			}
			a := f.imported(c.format, c.file)
			f.want(a, 422, "validation_failed")
			faults, count := rowFaults(a)
			if faults != strings.Join(want, " ") || count != c.count {
				t.Errorf("%s: %d faults: %s", name, count, faults)
			}
		}
		if all := f.all(); len(all) != 0 {
			t.Errorf("there are %d records", len(all))
		}
	})
}

func TestImportOnTheWire(t *testing.T) {
	f := onSQLite(t)
	const file = "name\nAna\n"
	for media, status := range map[string]int{
		"text/csv": 200, "Text/CSV": 200, "text/csv;charset=utf-8": 200,
		`text/csv; charset="UTF-8"; header=present`: 200,
		"application/csv": 200, "application/vnd.ms-excel": 200, "text/tab-separated-values": 200,
		"": 415, "text/plain": 415, "application/json": 422,
		"multipart/form-data; boundary=x": 415, "application/x-www-form-urlencoded": 415,
		"text/csv; header=maybe": 415, "application/x-ndjson; header=absent": 415,
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": 415,
		"text/csv;;": 200, "text": 415, "*/*": 415,
		"text/csv, text/csv": 415,
	} {
		a := f.as(store.Editor, "POST", "/clientes/import", file, "Content-Type", media)
		if a.status != status {
			t.Errorf("%q answered %d %s", media, a.status, a.body)
		}
	}
	f.want(f.as(store.Editor, "POST", "/clientes/import", `{"name":"Ana"}`,
		"Content-Type", "APPLICATION/X-NDJSON; charset=utf-8"),
		200, "")
	for encoding, status := range map[string]int{
		"identity": 200, "gzip": 400, "br": 415, "identity, gzip": 415,
	} {
		a := f.as(store.Editor, "POST", "/clientes/import", file,
			"Content-Type", "text/csv", "Content-Encoding", encoding)
		if a.status != status {
			t.Errorf("Content-Encoding: %s answered %d %s", encoding, a.status, a.body)
		}
	}
	f.want(f.as(store.Admin, "POST", "/clientes/import", file, "Content-Type", "text/csv"), 200, "")
	f.want(f.as(store.Viewer, "POST", "/clientes/import", file, "Content-Type", "text/csv"),
		403, "forbidden")
	f.want(f.call("POST", "/clientes/import", file, "Content-Type", "text/csv"),
		401, "token_missing")
}

// Import and export are no customers, although the pattern of another route covers their paths.
func TestMethodsOfImportAndExport(t *testing.T) {
	f := onSQLite(t)
	for path, allow := range map[string][]string{
		"/clientes/import": {"OPTIONS", "POST"},
		"/clientes/export": {"GET", "HEAD", "OPTIONS"},
	} {
		for _, method := range []string{
			"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "OPTIONS",
		} {
			if slices.Contains(allow, method) && method != "OPTIONS" {
				continue
			}
			body := ""
			if method[0] == 'P' {
				body = `{"name":"Ana"}`
			}
			// Also for users who may not call them, and with a precondition.
			for _, a := range []answer{
				f.as(store.Admin, method, path, body), f.call(method, path, body),
				f.as(store.Viewer, method, path, body, "If-Match", "*"),
			} {
				switch got := sortedList(a.header.Get("Allow")); {
				case got != strings.Join(allow, ", "):
					t.Errorf("%s %s: Allow: %q", method, path, got)
				case method == "OPTIONS" && a.status != 204, method != "OPTIONS" && a.status != 405:
					t.Errorf("%s %s answered %d", method, path, a.status)
				case method != "OPTIONS" && method != "HEAD":
					f.want(a, 405, "method_not_allowed")
				}
			}
		}
		// Another spelling is another path.
		for _, other := range []string{
			path + "/", path + "/history", strings.ReplaceAll(path, "port", "%70ort"),
			strings.ToUpper(path),
		} {
			f.want(f.as(store.Admin, "GET", other, ""), 404, "not_found")
		}
	}
	if all := f.all(); len(all) != 0 {
		t.Errorf("there are %d records", len(all))
	}
}

// One byte too many is refused, announced or not, and no file is held in memory.
func TestAnImportThatIsTooLarge(t *testing.T) {
	f := onSQLite(t)
	w := f.dial()
	w.beginCSV(maxImport+1, "")
	f.want(w.answer(), 413, "body_too_large") // nothing of it was sent
	w = f.dial()
	w.beginImport(store.Editor, fmt.Sprint("Content-Length: ", maxImport)) // just what may be
	authtest.Must(t, w.Close())
	f.eventually("the import is given up", f.server.imports.isEmpty)

	// The length of a body in chunks is not known before. Blank lines take the least time to read.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	blanks := &wiretest.Endless{Text: strings.Repeat(" ", 32<<10-1) + "\n"}
	req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/clientes/import",
		io.LimitReader(blanks, maxImport+1))
	authtest.Must(t, err)
	req.Header.Set("Content-Type", string(wire.NDJSON))
	req.Header.Set("x-access-token", f.tokens[store.Editor])
	resp, err := http.DefaultTransport.RoundTrip(req)
	authtest.Must(t, err)
	a, err := f.read(resp)
	authtest.Must(t, err)
	f.want(a, 413, "body_too_large")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > maxImport/8 {
		t.Errorf("%d bytes were allocated on its way", grown)
	}

	// A client that sends everything before it reads gets the answer, too.
	w = f.dial()
	const more = 64 << 20 // than any socket holds
	w.beginCSV(more, "")
	_, err = io.CopyN(w, &wiretest.Endless{Text: "\x00"}, more)
	authtest.Must(t, err)
	a = w.answer()
	if faults, _ := rowFaults(a); a.status != 422 || faults != "0::malformed" {
		t.Errorf("answered %d %s", a.status, a.body)
	}
	f.want(f.imported(wire.CSV, "name\nAna\n"), 200, "")
}

// free reports whether all places for exports are free.
func free(places *semaphore.Weighted) bool {
	if !places.TryAcquire(maxTransfers) {
		return false
	}
	places.Release(maxTransfers)
	return true
}

// isEmpty reports whether nobody has a place.
func (r *room) isEmpty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken == 0 && len(r.by) == 0
}

// anotherEditor returns a token of a new user.
func (f *fixture) anotherEditor() string {
	f.t.Helper()
	_, err := f.store.CreateUser(f.t.Context(),
		store.User{Name: "the-another", Role: store.Editor, PasswordHash: testHash})
	authtest.Must(f.t, err)
	return f.login("another")
}

// beginCSV begins an import of a CSV file of this size.
func (w *rawConn) beginCSV(size int, file string, headers ...string) {
	w.f.t.Helper()
	headers = append(headers, "Content-Type: text/csv", fmt.Sprint("Content-Length: ", size))
	w.begin(store.Editor, "POST", "/clientes/import", headers, file)
}

// beginImport sends the head of an import and waits until the server has accepted it.
func (w *rawConn) beginImport(role store.Role, headers ...string) {
	w.f.t.Helper()
	w.begin(role, "POST", "/clientes/import",
		append(headers, "Content-Type: text/csv", "Expect: 100-continue"), "")
	resp, err := http.ReadResponse(w.in, nil)
	authtest.Must(w.f.t, err)
	if resp.StatusCode != http.StatusContinue {
		w.f.t.Fatalf("answered %s", resp.Status)
	}
}

func TestTooManyImportsAtOnce(t *testing.T) {
	f := onSQLite(t)
	const file = "name,email\nAna,"
	var under []*rawConn
	f.tokens["another"] = f.anotherEditor()
	for _, role := range []store.Role{store.Admin, "another"} {
		w := f.dial()
		w.beginImport(role, "Content-Length: 30")
		w.send(file)
		under = append(under, w)
	}
	a := f.imported(wire.CSV, file)
	if f.want(a, 503, "overloaded"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	// Exports have places of their own.
	f.want(f.as(store.Viewer, "GET", "/clientes/export", ""), 200, "")
	f.want(f.as(store.Editor, "POST", "/clientes", `{"name":"Bia"}`), 201, "")
	for i, w := range under {
		w.send(fmt.Sprintf("%d@example.com\n\n", i))
		f.want(w.answer(), 200, "")
	}
	f.want(f.imported(wire.CSV, file), 200, "")
	if all := f.all(); len(all) != maxTransfers+2 {
		t.Errorf("there are %d records", len(all))
	}
}

// An import leaves no temporary file, neither in the folder nor open.
func TestAnImportLeavesNoFile(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.Name, func(t *testing.T) {
			st := emptyStore(t, e) // which has temporary files of its own
			folder := t.TempDir()
			t.Setenv("TMPDIR", folder)
			f := newFixture(t, st)
			const name = "clientes-import-"
			held := func() (n int) {
				links, err := filepath.Glob("/proc/self/fd/*")
				authtest.Must(t, err)
				for _, link := range links {
					to, _ := os.Readlink(link)
					if strings.Contains(to, filepath.Join(folder, name)) {
						n++
					}
				}
				return n
			}
			w := f.dial()
			w.beginImport(store.Editor, "Content-Length: 1000000")
			w.send("name,email\n" + strings.Repeat("Ana,\n", 50_000))
			if runtime.GOOS == "linux" {
				f.eventually("the file is there", func() bool { return held() == 1 })
			}
			left, err := os.ReadDir(folder)
			if err != nil || runtime.GOOS != "windows" && len(left) != 0 {
				t.Errorf("it has a name: %v, %v", left, err)
			}
			authtest.Must(t, w.Close()) // the client hangs up half-way
			f.eventually("the place is free", func() bool { return f.server.imports.isEmpty() })
			if n := held(); n != 0 {
				t.Errorf("%d files are still held", n)
			}
			f.want(f.imported(wire.CSV, "name\nAna\n"), 200, "")
			f.want(f.imported(wire.CSV, "name\n\"\n"), 422, "validation_failed")
			f.want(f.imported(wire.CSV, "name,email\nAna,a@example.com\nBia,a@example.com\n"),
				422, "validation_failed")
			left, err = os.ReadDir(folder)
			if n := held(); n != 0 || err != nil || len(left) != 0 || !f.server.imports.isEmpty() {
				t.Errorf("%d files are held, left: %v, %v", n, left, err)
			}
			if all := f.all(); len(all) != 1 {
				t.Errorf("there are %d records", len(all))
			}
		})
	}
}

// watchedImports is a store that calls before for each row of an import.
type watchedImports struct {
	store.Store
	before func(ctx context.Context, row int)
}

func (s *watchedImports) ImportClientes(
	ctx context.Context, by int64, rows iter.Seq2[store.Cliente, error],
) (int64, error) {
	return s.Store.ImportClientes(ctx, by, func(yield func(store.Cliente, error) bool) {
		row := 0
		for c, err := range rows {
			row++
			if s.before(ctx, row); !yield(c, err) {
				return
			}
		}
	})
}

// If the client hangs up while rows are stored, none is kept.
func TestWhoHangsUpWhileRowsAreKept(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		hangUp := make(chan bool)
		watch := func(ctx context.Context, row int) {
			if row == 3 {
				hangUp <- true
				<-ctx.Done()
			}
		}
		f.server.cfg.Store = &watchedImports{f.store, watch}
		w := f.dial()
		file := "name\n" + strings.Repeat("Ana\n", 5)
		w.beginCSV(len(file), file, "X-Request-Id: the-one")
		soon(t, hangUp)
		authtest.Must(t, w.Close())
		f.eventually("the place is free", func() bool { return f.server.imports.isEmpty() })
		if all := f.all(); len(all) != 0 {
			t.Errorf("there are %d records", len(all))
		}
		if line := f.logLine("the-one"); strings.Contains(line, `"level":"ERROR"`) {
			t.Errorf("it is logged as a fault of ours: %s", line)
		}
	})
}

// hasty makes each deadline that a handler sets for its connection earlier by a duration.
type hasty struct {
	http.ResponseWriter
	read, write time.Duration
}

func (h hasty) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func (h hasty) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		t = t.Add(-h.read)
	}
	return http.NewResponseController(h.ResponseWriter).SetReadDeadline(t)
}

func (h hasty) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		t = t.Add(-h.write)
	}
	return http.NewResponseController(h.ResponseWriter).SetWriteDeadline(t)
}

// serveWith makes another http.Server answer the requests of the fixture.
func (f *fixture) serveWith(change func(*http.Server)) {
	f.t.Helper()
	other := httptest.NewUnstartedServer(f.server)
	change(other.Config)
	other.Start()
	f.t.Cleanup(other.Close)
	f.url = other.URL
}

// tinyTimeouts pass long before a request is done.
const tinyTimeouts = 50 * time.Millisecond

func setTinyTimeouts(s *http.Server) {
	s.ReadHeaderTimeout, s.IdleTimeout = time.Minute, time.Minute
	s.ReadTimeout, s.WriteTimeout = tinyTimeouts, tinyTimeouts
}

// A file may take longer to arrive than the timeouts of the server.
func TestASlowSenderIsHeardOut(t *testing.T) {
	f := onSQLite(t)
	f.serveWith(setTinyTimeouts)
	for _, c := range []struct {
		name, file string
		status     int
		code       string
	}{
		{"a good file", "name\nAna\nBia\n", 200, ""},
		{"a bad file", "name\n\nA\tna\n", 422, "validation_failed"},
		{"an email that is taken", "name,email\nAna,a@b\nBia,a@b\n", 422, "validation_failed"},
	} {
		w := f.dial()
		w.beginCSV(len(c.file), "")
		for i := range len(c.file) {
			if i%7 == 0 {
				time.Sleep(tinyTimeouts) // the longer, the surer
			}
			w.send(c.file[i : i+1])
		}
		f.want(w.answer(), c.status, c.code)
	}
	// A file that breaks off is answered, too.
	w := f.dial()
	w.begin(store.Editor, "POST", "/clientes/import",
		[]string{"Content-Type: text/csv", "Transfer-Encoding: chunked"}, "")
	time.Sleep(2 * tinyTimeouts)
	w.send("5\r\nname\n\r\nz\r\n")
	f.want(w.answer(), 400, "malformed_body")
	if all := f.all(); len(all) != 2 {
		t.Errorf("there are %d records", len(all))
	}
}

// A store may take longer than the timeouts of the server, and longer than a sender may stall.
func TestAStoreMayTakeItsTime(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const silence = 200 * time.Millisecond
		wait := func(ctx context.Context, row int) {
			if row > 1 {
				return
			}
			select {
			case <-ctx.Done():
				t.Error("a deadline passed, and the client seems to have hung up")
			case <-time.After(2 * silence):
			}
		}
		f.server.cfg.Store = &watchedImports{f.store, wait}
		f.serveWith(func(s *http.Server) {
			setTinyTimeouts(s)
			s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f.server.ServeHTTP(hasty{w, stall - silence, 0}, r)
			})
		})
		file := "name\n" + strings.Repeat("Ana\n", 5) // all of it comes with the head
		w := f.dial()
		for round := range 2 { // on one connection, which is as good as before
			w.beginCSV(len(file), file)
			a := w.answer()
			if f.want(a, 200, ""); a.body != `{"imported":5}` || len(f.all()) != 5*(round+1) {
				t.Errorf("answered %s, and there are %d", a.body, len(f.all()))
			}
		}
	})
}

// A client that stops sending loses its place.
func TestASilentSenderIsLetGo(t *testing.T) {
	f := onSQLite(t)
	f.serveWith(func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.server.ServeHTTP(hasty{w, stall - tinyTimeouts, 0}, r)
		})
	})
	for _, sent := range []string{"", "name", "name\nAna\n", "name\n\"An", "name\n,\n"} {
		w := f.dial()
		w.beginCSV(1000, sent)
		a := w.answer()
		f.want(a, 400, "malformed_body")
		if !a.last || !f.server.imports.isEmpty() {
			t.Errorf("after %q the connection stays: %t, the place is free: %t", sent, !a.last,
				f.server.imports.isEmpty())
		}
	}
	if all := f.all(); len(all) != 0 {
		t.Errorf("there are %d records", len(all))
	}
}

// deadlines is a connection that remembers its deadlines.
type deadlines struct {
	http.ResponseWriter
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }

// Each step of a transfer has a new deadline, and an upload has an end.
func TestDeadlinesOfTransfers(t *testing.T) {
	c := authtest.StoppedAt(time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC))
	conn := &deadlines{ResponseWriter: httptest.NewRecorder()}
	up := &upload{
		ctx: t.Context(), from: &wiretest.Endless{Text: "x"},
		connection: http.NewResponseController(conn),
		pace:       newPace(c.Now), end: c.Now().Add(maxUpload),
	}
	down := &download{
		ctx: t.Context(), to: conn, connection: http.NewResponseController(conn),
		pace: newPace(c.Now), media: string(wire.CSV),
	}
	for passed := time.Duration(0); passed < maxUpload+2*stall; passed += 10 * time.Second {
		_, err := up.Read(make([]byte, 1))
		authtest.Must(t, err)
		_, err = down.Write([]byte("x"))
		authtest.Must(t, err)
		want := c.Now().Add(stall)
		if !conn.write.Equal(want) {
			t.Errorf("after %s it may be written until %s", passed, conn.write)
		}
		if passed > maxUpload-stall {
			want = up.end
		}
		if !conn.read.Equal(want) {
			t.Errorf("after %s it may be read until %s", passed, conn.read)
		}
		c.Advance(10 * time.Second)
	}
}

// A session that ends while a body arrives writes nothing.
func TestASessionEndsWhileABodyArrives(t *testing.T) {
	f := onSQLite(t)
	body := `{"name":"Ana"}`
	record := f.dial()
	record.begin(store.Editor, "POST", "/clientes", []string{"Content-Type: application/json",
		fmt.Sprint("Content-Length: ", len(body))}, body[:5])
	file := "name\nAna\n"
	upload := f.dial()
	upload.beginCSV(len(file), file[:5])
	f.want(f.as(store.Editor, "POST", "/logout", ""), 200, "")
	record.send(body[5:])
	f.want(record.answer(), 401, "token_revoked")
	upload.send(file[5:])
	f.want(upload.answer(), 401, "token_revoked")
	if all := f.all(); len(all) != 0 {
		t.Errorf("there are %d records", len(all))
	}
}

// endsSession is a store in which the caller's session ends while the rows of an import are kept.
type endsSession struct {
	store.Store
	end func()
}

func (s *endsSession) ImportClientes(ctx context.Context, by int64,
	rows iter.Seq2[store.Cliente, error]) (int64, error) {
	return s.Store.ImportClientes(ctx, by, func(yield func(store.Cliente, error) bool) {
		s.end()
		rows(yield)
	})
}

func TestASessionEndsWhileRowsAreKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, emptyStore(t, authtest.Postgres())) // which writes beside an import
	f.server.cfg.Store = &endsSession{f.store, func() {
		f.want(f.as(store.Editor, "POST", "/logout", ""), 200, "")
	}}
	f.want(f.imported(wire.CSV, "name\nAna\n"), 401, "token_revoked")
	if all := f.all(); len(all) != 0 {
		t.Errorf("there are %d records", len(all))
	}
}
