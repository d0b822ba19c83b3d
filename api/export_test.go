package api

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"clientes/api/wire"
	"clientes/api/wire/wiretest"
	"clientes/auth/authtest"
	"clientes/store"
)

// exportBuffer is how many bytes wire.Export writes at once.
const exportBuffer = 64 << 10

// exported asks the server for an export in a format.
func (f *fixture) exported(format wire.Format, query string) answer {
	f.t.Helper()
	return f.as(store.Viewer, "GET", "/clientes/export"+query, "", "Accept", string(format))
}

func TestExport(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		header := wiretest.Header()
		if a := f.exported(wire.CSV, ""); a.status != 200 || a.body != header {
			t.Errorf("without customers it answered %d %q", a.status, a.body)
		}
		a := f.exported(wire.NDJSON, "")
		if a.status != 200 || a.body != "" || a.header.Get("Content-Type") != string(wire.NDJSON) {
			t.Errorf("without customers it answered %d %v %q", a.status, a.header, a.body)
		}
		made := wireTime(c.Now())
		f.add(store.Cliente{
			Name: "Ana", Email: "ana@example.com", Phone: "+55 11", Company: "=1+1",
			Address: "@SUM(A1)", Notes: "-1",
		})
		f.add(store.Cliente{
			Name: `A "B", C`, Phone: ` "`, Company: "a;b", Address: " lead",
			Notes: "l1\nl2\n\t\"x\"\n",
		})
		f.add(store.Cliente{Name: "José 😀"})
		c.Advance(time.Millisecond)
		f.want(f.as(store.Editor, "PATCH", "/clientes/3", `{"notes":"="}`), 200, "")
		f.want(f.as(store.Editor, "PATCH", "/clientes/1", `{"email":"ana@example.org"}`), 200, "")
		changed := wireTime(c.Now())

		a = f.exported(wire.CSV, "")
		line := func(id, version int, updated string, cells store.Cliente) string {
			return fmt.Sprintf("%d,%s,%d,%s,%s\r\n", id, wiretest.Cells(cells), version, made,
				updated)
		}
		want := header + line(1, 2, changed, store.Cliente{
			Name: "Ana", Email: "ana@example.org", Phone: "+55 11", Company: "=1+1",
			Address: "@SUM(A1)", Notes: "-1",
		}) + line(2, 1, made, store.Cliente{
			Name: `"A ""B"", C"`, Phone: `" """`, Company: "a;b", Address: " lead",
			Notes: `"l1` + "\nl2\n\t" + `""x""` + "\n\"",
		}) + line(3, 2, changed, store.Cliente{Name: "José 😀", Notes: "="})
		if a.body != want {
			t.Errorf("exported\n%q, want\n%q", a.body, want)
		}
		h := a.header
		if h.Get("Content-Type") != "text/csv; charset=utf-8; header=present" ||
			h.Get("Content-Disposition") != `attachment; filename="clientes.csv"` {
			t.Errorf("CSV comes with %v", h)
		}

		a = f.exported(wire.NDJSON, "")
		want = ""
		for id := range 3 {
			want += f.as(store.Viewer, "GET", clientePath(int64(id+1)), "").body + "\n"
		}
		if a.body != want {
			t.Errorf("exported\n%s, want\n%s", a.body, want)
		}
		h = a.header
		if h.Get("Content-Type") != "application/x-ndjson" ||
			h.Get("Content-Disposition") != `attachment; filename="clientes.ndjson"` {
			t.Errorf("NDJSON comes with %v", h)
		}
		for _, format := range []wire.Format{wire.CSV, wire.NDJSON} {
			get := f.exported(format, "")
			head := f.as(store.Viewer, "HEAD", "/clientes/export", "", "Accept", string(format))
			if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != "" ||
				head.header.Get("Content-Type") != get.header.Get("Content-Type") ||
				head.header.Get("Content-Disposition") != get.header.Get("Content-Disposition") {
				t.Errorf("HEAD answered %d %v", head.status, head.header)
			}
		}
		f.want(f.call("GET", "/clientes/export", ""), 401, "token_missing")
	})
}

// acceptCases are values of Accept, one a line, and the format that they prefer, "" for none.
func acceptCases() map[string]wire.Format {
	return map[string]wire.Format{
		"":                           wire.CSV,
		"*/*":                        wire.CSV,
		"text/*":                     wire.CSV,
		"application/*":              wire.NDJSON,
		"text/csv":                   wire.CSV,
		"Text/CSV":                   wire.CSV,
		"application/x-ndjson":       wire.NDJSON,
		"APPLICATION/X-NDJSON;Q=0.1": wire.NDJSON,
		"application/json":           "",
		"text/html":                  "",
		"application/ndjson":         "",
		"nonsense":                   "",
		"*":                          "",
		"text":                       "",
		"/csv":                       "",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": wire.CSV,

		"text/csv, application/x-ndjson":                wire.CSV,
		"application/x-ndjson, text/csv":                wire.CSV,
		"application/x-ndjson, text/csv;q=0.9":          wire.NDJSON,
		"application/x-ndjson;q=0.5, text/csv;q=0.4":    wire.NDJSON,
		"application/x-ndjson;q=0.001,text/csv;q=0.002": wire.CSV,
		"text/csv;q=0":                            "",
		"text/csv; q=0.000, application/json":     "",
		"*/*;q=0":                                 "",
		"text/csv;q=0, */*":                       wire.NDJSON,
		"*/*, text/csv;q=0":                       wire.NDJSON,
		"text/*;q=0, */*;q=0.1":                   wire.NDJSON,
		"text/*;q=0.9, text/csv;q=0.1, */*;q=0.5": wire.NDJSON,
		"application/x-ndjson;q=0, application/*, text/*;q=.1":    wire.CSV,
		"text/csv; header=present":                                wire.CSV,
		"text/csv;charset=utf-8;q=0.5,application/x-ndjson;q=0.6": wire.NDJSON,
		" ,, text/csv ,,": wire.CSV,

		// A quality that is no number counts as 0.
		"text/csv;q=NaN":                       "",
		"text/csv;q=-1":                        "",
		"text/csv;q=1.1":                       "",
		"text/csv;q=Inf":                       "",
		"text/csv;q=":                          "",
		"text/csv;q=x, application/x-ndjson":   wire.NDJSON,
		"text/csv;q=NaN, application/x-ndjson": wire.NDJSON,

		"text/html\napplication/x-ndjson":          wire.NDJSON,
		"text/csv;q=0.5\napplication/x-ndjson":     wire.NDJSON,
		"text/csv\napplication/x-ndjson;q=0.5\n*":  wire.CSV,
		"text/html\napplication/json;q=0.5,*/a;q1": "",
	}
}

func TestAcceptOfAnExport(t *testing.T) {
	f := onSQLite(t)
	f.add(store.Cliente{Name: "Ana"})
	for accept, want := range acceptCases() {
		for _, method := range []string{"GET", "HEAD"} {
			var headers []string
			for _, line := range strings.Split(accept, "\n") {
				headers = append(headers, "Accept", line)
			}
			a := f.as(store.Viewer, method, "/clientes/export", "", headers...)
			media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
			switch {
			case want != "" && (a.status != 200 || media != string(want)):
				t.Errorf("%s with Accept: %q answered %d %s", method, accept, a.status, media)
			case want == "" && (a.status != 406 || method == "GET" && a.code() != "not_acceptable"):
				t.Errorf("%s with Accept: %q answered %d %s", method, accept, a.status, a.body)
			}
		}
	}
	if f, ok := acceptedFormat([]string{""}); ok {
		t.Errorf("an Accept of nothing accepts %s", f)
	}
	f.want(f.as(store.Viewer, "GET", "/clientes/export?sort=x", "", "Accept", "text/html"),
		400, "invalid_parameter")
}

// Any Accept leads to one of the formats or to none, no matter how it is split into lines.
func FuzzAcceptedFormat(f *testing.F) {
	for accept := range acceptCases() {
		f.Add(strings.ReplaceAll(accept, "\n", ","))
	}
	f.Fuzz(func(t *testing.T, accept string) {
		format, ok := acceptedFormat([]string{accept})
		if ok != (format == wire.CSV || format == wire.NDJSON) || !ok && format != "" {
			t.Fatalf("%q accepts %q, %t", accept, format, ok)
		}
		if again, _ := acceptedFormat(strings.Split(accept, ",")); again != format {
			t.Errorf("%q accepts %q, and cut into lines %q", accept, format, again)
		}
		if again, _ := acceptedFormat([]string{"text/html;q=1", accept}); again != format {
			t.Errorf("%q accepts %q, and with text/html %q", accept, format, again)
		}
		for _, media := range []wire.Format{wire.CSV, wire.NDJSON} {
			q := acceptance([]string{accept}, string(media))
			if math.IsNaN(q) || q < 0 || q > 1 ||
				ok && q > acceptance([]string{accept}, string(format)) {
				t.Errorf("%q welcomes %s with %v, and %s is chosen", accept, media, q, format)
			}
		}
	})
}

func TestExportOfASelection(t *testing.T) {
	onEachClock(t, func(t *testing.T, f *fixture, c *authtest.Clock) {
		var since time.Time
		for i, name := range []string{
			"Zeta", "álvaro", "Ana", "ana maria", "Bia", "ÁNA", "_", "100%",
		} {
			if c.Advance(time.Millisecond); i == 4 {
				since = c.Now()
			}
			f.add(store.Cliente{Name: name, Email: fmt.Sprintf("e%d@example.com", i)})
		}
		for _, query := range []url.Values{
			{}, {"sort": {"name"}}, {"sort": {"-name"}}, {"sort": {"-id"}},
			{"sort": {"-created_at"}}, {"q": {"ana"}}, {"q": {"ANA"}, "sort": {"-name"}},
			{"q": {"%"}}, {"q": {"0%\""}}, {"email": {"E3@example.com"}},
			{"updated_since": {since.Format(time.RFC3339Nano)}},
			{
				"q": {"ana"}, "sort": {"updated_at"},
				"updated_since": {since.Format(time.RFC3339Nano)},
			},
			{"q": {"ana"}, "email": {"e3@example.com"}},
		} {
			var want string
			for _, id := range f.walk(query) {
				want += f.as(store.Viewer, "GET", clientePath(id), "").body + "\n"
			}
			got := f.exported(wire.NDJSON, "?"+query.Encode())
			if got.status != 200 || got.body != want {
				t.Errorf("%s exports\n%s, want\n%s", query.Encode(), got.body, want)
			}
			got = f.exported(wire.CSV, "?"+query.Encode())
			if lines := strings.Count(got.body, "\r\n"); lines != 1+strings.Count(want, "\n") {
				t.Errorf("%s exports %d lines of CSV", query.Encode(), lines)
			}
		}
	})
}

// An export streams thousands of rows.
func TestALargeExport(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		const rows = 2000
		file := new(strings.Builder)
		file.WriteString("name,email,notes\r\n")
		for i := range rows {
			notes := strings.Repeat("x", i%300)
			fmt.Fprintf(file, "customer %d,c%d@example.com,%s\r\n", i, i, notes)
		}
		a := f.imported(wire.CSV, file.String())
		if a.body != fmt.Sprintf(`{"imported":%d}`, rows) {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
		req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+"/clientes/export", nil)
		authtest.Must(t, err)
		req.Header.Set("x-access-token", f.tokens[store.Viewer])
		resp, err := http.DefaultTransport.RoundTrip(req)
		authtest.Must(t, err)
		if !slices.Equal(resp.TransferEncoding, []string{"chunked"}) || resp.ContentLength != -1 {
			t.Errorf("it came as %v with a length of %d", resp.TransferEncoding, resp.ContentLength)
		}
		a, err = f.read(resp)
		authtest.Must(t, err)
		records, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
		authtest.Must(t, err)
		if len(records) != 1+rows {
			t.Fatalf("exported %d rows", len(records)-1)
		}
		notes := slices.Index(records[0], "notes")
		for i, r := range records[1:] {
			name := fmt.Sprint("customer ", i)
			if r[0] != fmt.Sprint(i+1) || r[1] != name || len(r[notes]) != i%300 {
				t.Fatalf("row %d is %q", i+1, r)
			}
		}
		if !free(f.server.exports) {
			t.Error("a place is not free")
		}
	})
}

// stubExports is a store whose customers are made up during an export.
type stubExports struct {
	store.Store
	export func(ctx context.Context, each func(store.Cliente) error) error
}

func (s *stubExports) EachCliente(
	ctx context.Context, _ store.Selection, each func(store.Cliente) error,
) error {
	return s.export(ctx, each)
}

// stubExport makes export the function that every export calls.
func (f *fixture) stubExport(
	export func(ctx context.Context, each func(store.Cliente) error) error,
) {
	f.server.cfg.Store = &stubExports{f.store, export}
}

// bulky returns n customers of 10 kB each: with 7 of them, more than is sent at once.
func bulky(n int, each func(store.Cliente) error) error {
	for i := range n {
		notes := strings.Repeat("x", store.MaxNotes)
		err := each(store.Cliente{ID: int64(i + 1), Name: "Ana", Notes: notes, Version: 1})
		if err != nil {
			return err
		}
	}
	return nil
}

// endlessly returns customers until the caller refuses one.
func endlessly(each func(store.Cliente) error) error {
	for {
		if err := bulky(100, each); err != nil {
			return err
		}
	}
}

// startExport starts an export of the viewer and returns its answer, with the body unread.
func (f *fixture) startExport(id string) *http.Response {
	f.t.Helper()
	return f.startExportAs(store.Viewer, id)
}

func (f *fixture) startExportAs(role store.Role, id string) *http.Response {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), "GET", f.url+"/clientes/export", nil)
	authtest.Must(f.t, err)
	req.Header.Set("x-access-token", f.tokens[role])
	req.Header.Set("X-Request-Id", id)
	resp, err := http.DefaultTransport.RoundTrip(req)
	authtest.Must(f.t, err)
	f.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// The first rows of an export are sent before the last ones are read.
func TestAnExportIsSentOnItsWay(t *testing.T) {
	f := onSQLite(t)
	goOn := make(chan bool)
	f.stubExport(func(_ context.Context, each func(store.Cliente) error) error {
		if err := bulky(20, each); err != nil {
			return err
		}
		select {
		case <-goOn:
			return bulky(20, each)
		case <-time.After(authtest.Timeout):
			return errors.New("nothing of it has arrived")
		}
	})
	resp := f.startExport("x")
	_, err := io.ReadFull(resp.Body, make([]byte, 2*exportBuffer))
	authtest.Must(t, err)
	close(goOn)
	rest, err := io.ReadAll(resp.Body)
	if lines := strings.Count(string(rest), "\r\n"); err != nil || lines < 20 {
		t.Errorf("then came %d rows, %v", lines, err)
	}
}

// failingExports is a store that fails after some rows.
type failingExports struct {
	store.Store
	rows int
	fail func() error
}

func (s *failingExports) EachCliente(
	ctx context.Context, sel store.Selection, each func(store.Cliente) error,
) error {
	n := 0
	return s.Store.EachCliente(ctx, sel, func(c store.Cliente) error {
		if n++; n > s.rows {
			return s.fail()
		}
		return each(c)
	})
}

// Half an export does not look like a complete one. An export that fails before it begins is an
// error like any other.
func TestAnExportThatFails(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		away := fmt.Errorf("%w: %w", store.ErrUnavailable, errInside)
		failing := &failingExports{Store: f.store}
		f.server.cfg.Store = failing
		for range 30 {
			f.add(store.Cliente{Name: "Ana", Notes: strings.Repeat("x", store.MaxNotes)})
		}
		for _, c := range []struct {
			name string
			fail func() error
			code string
		}{
			{"fails", func() error { return errInside }, "internal"},
			{"is away", func() error { return away }, "store_unavailable"},
			{"panics", func() error { panic(errInside) }, "internal"},
		} {
			failing.fail = c.fail
			failing.rows = 3 // nothing was sent yet
			a := f.exported(wire.NDJSON, "")
			f.want(a, map[string]int{"internal": 500, "store_unavailable": 503}[c.code], c.code)
			if a.header.Get("Content-Disposition") != "" {
				t.Errorf("a store that %s: %v", c.name, a.header)
			}
			failing.rows = 20
			id := "late-" + c.code + c.name[:1]
			resp := f.startExport(id)
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) ||
				len(body) < exportBuffer || strings.Contains(string(body), "inside") {
				t.Errorf("a store that %s: answered %d, %d bytes, %v", c.name, resp.StatusCode,
					len(body), err)
			}
			line := f.logLine(id)
			if !strings.Contains(line, `"level":"ERROR"`) ||
				!strings.Contains(line, "internal.example") || !strings.Contains(line, c.code) {
				t.Errorf("a store that %s is logged as %s", c.name, line)
			}
			f.eventually("the place is free", func() bool { return free(f.server.exports) })
		}
		failing.rows = 1000
		if a := f.exported(wire.NDJSON, ""); a.status != 200 || strings.Count(a.body, "\n") != 30 {
			t.Errorf("in the end it answered %d with %d rows", a.status,
				strings.Count(a.body, "\n"))
		}
	})
}

func TestTooManyExportsAtOnce(t *testing.T) {
	f := onSQLite(t)
	began, goOn := make(chan bool), make(chan bool)
	f.stubExport(func(ctx context.Context, each func(store.Cliente) error) error {
		select {
		case began <- true:
		case <-goOn: // those that come after the test let go
		}
		<-goOn
		return bulky(1, each)
	})
	var under sync.WaitGroup
	for _, role := range []store.Role{store.Editor, store.Admin} {
		under.Go(func() {
			if a := f.as(role, "GET", "/clientes/export", ""); a.status != 200 {
				t.Errorf("answered %d %s", a.status, a.body)
			}
		})
	}
	for range maxTransfers {
		soon(t, began)
	}
	a := f.exported(wire.CSV, "")
	if f.want(a, 503, "overloaded"); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := f.as(store.Viewer, "HEAD", "/clientes/export", ""); a.status != 200 {
		t.Errorf("HEAD answered %d", a.status)
	}
	f.want(f.imported(wire.CSV, "name\nAna\n"), 200, "") // which has places of its own
	close(goOn)
	under.Wait()
	f.want(f.exported(wire.CSV, ""), 200, "")
	if !free(f.server.exports) {
		t.Error("a place is not free")
	}
}

// A client that hangs up ends the export, and the log has no error.
func TestWhoHangsUpInAnExport(t *testing.T) {
	f := onSQLite(t)
	ended := make(chan error, 1)
	f.stubExport(func(ctx context.Context, each func(store.Cliente) error) error {
		if _, limited := ctx.Deadline(); !limited {
			t.Error("who reads slowly enough holds the store for ever")
		}
		err := endlessly(each)
		ended <- err
		return err
	})
	resp := f.startExport("the-one")
	_, err := io.ReadFull(resp.Body, make([]byte, 3*exportBuffer))
	authtest.Must(t, err)
	resp.Body.Close()
	if err := soon(t, ended); err == nil {
		t.Error("somebody has taken it all")
	}
	f.eventually("the place is free", func() bool { return free(f.server.exports) })
	if line := f.logLine("the-one"); strings.Contains(line, `"level":"ERROR"`) {
		t.Errorf("it is logged as a fault of ours: %s", line)
	}
}

// A client that stops reading loses its place.
func TestWhoStopsReadingIsLetGo(t *testing.T) {
	f := onSQLite(t)
	ended := make(chan error, 1)
	f.stubExport(func(_ context.Context, each func(store.Cliente) error) error {
		err := endlessly(each)
		ended <- err
		return err
	})
	f.serveWith(func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.server.ServeHTTP(hasty{w, 0, stall - tinyTimeouts}, r)
		})
	})
	w := f.dial()
	w.begin(store.Viewer, "GET", "/clientes/export", []string{"X-Request-Id: the-one"}, "")
	var timeout interface{ Timeout() bool }
	if err := soon(t, ended); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("it ended with %v", err)
	}
	f.eventually("the place is free", func() bool { return free(f.server.exports) })
	if line := f.logLine("the-one"); strings.Contains(line, `"level":"ERROR"`) {
		t.Errorf("it is logged as a fault of ours: %s", line)
	}
}

// A client that reads slowly keeps nothing in the store from others.
func TestASlowReaderHoldsNoPlaceInTheStore(t *testing.T) {
	f := onSQLite(t)
	f.stubExport(func(_ context.Context, each func(store.Cliente) error) error {
		return bulky(5000, each) // more than the buffers between the two
	})
	var slow []*http.Response
	for _, role := range store.Roles() { // one more than may read the store at once
		slow = append(slow, f.startExportAs(role, "x"))
		f.eventually("the store is read", func() bool { return free(f.server.exports) })
	}
	for _, resp := range slow {
		body, err := io.ReadAll(resp.Body)
		if lines := strings.Count(string(body), "\r\n"); err != nil || lines != 5001 {
			t.Errorf("then came %d rows, %v", lines, err)
		}
	}
	f.eventually("the place is free", func() bool {
		return f.server.downloads.isEmpty()
	})
}

// A session that ends in the middle of an export ends the export, though all of it has been read.
func TestASessionEndsInTheMiddleOfAnExport(t *testing.T) {
	f := onSQLite(t)
	f.stubExport(func(_ context.Context, each func(store.Cliente) error) error {
		return bulky(5000, each)
	})
	resp := f.startExport("ended")
	_, err := io.ReadFull(resp.Body, make([]byte, exportBuffer))
	authtest.Must(t, err)
	f.want(f.as(store.Viewer, "POST", "/logout", ""), 200, "")
	_, err = io.Copy(io.Discard, resp.Body)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("it ended with %v", err)
	}
	if line := f.logLine("ended"); !strings.Contains(line, "token_revoked") {
		t.Errorf("it is logged as %s", line)
	}
}

// HTTP/1.0, which nginx speaks to servers, has no other end of an answer than that of the
// connection. Half an export must not end like a whole one there either.
func TestHalfAnExportOverHTTP10(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.stubExport(func(_ context.Context, each func(store.Cliente) error) error {
			if err := bulky(200, each); err != nil {
				return err
			}
			return errInside
		})
		w := f.dial()
		w.send("GET /clientes/export HTTP/1.0\r\n" +
			"x-access-token: " + f.tokens[store.Viewer] + "\r\n\r\n")
		if _, err := io.Copy(io.Discard, w); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// A store may take longer than the timeouts of the server, before the first row and between rows.
func TestAnExportMayTakeItsTime(t *testing.T) {
	f := onSQLite(t)
	var rounds int
	var fail error
	f.stubExport(func(ctx context.Context, each func(store.Cliente) error) error {
		for range rounds {
			select {
			case <-ctx.Done():
				t.Error("a deadline passed, and the client seems to have hung up")
			case <-time.After(3 * tinyTimeouts):
			}
			if fail != nil {
				return fail
			}
			if err := bulky(10, each); err != nil {
				t.Errorf("a deadline passed, and the client seems not to read: %v", err)
				return err
			}
		}
		return nil
	})
	f.serveWith(setTinyTimeouts)
	rounds = 4
	a := f.exported(wire.NDJSON, "")
	if a.status != 200 || strings.Count(a.body, "\n") != 10*rounds {
		t.Errorf("answered %d with %d rows", a.status, strings.Count(a.body, "\n"))
	}
	fail = store.ErrUnavailable
	f.want(f.exported(wire.NDJSON, ""), 503, "store_unavailable")
}

// An export of one engine, imported into the other, is exported there as the same.
func TestRoundTrip(t *testing.T) {
	for i, e := range engines() {
		t.Run("from "+e.Name, func(t *testing.T) {
			t.Parallel()
			want := wiretest.NaughtyClientes(t)
			from := newFixture(t, emptyStore(t, e))
			for _, c := range want {
				from.add(c)
			}
			for _, format := range []wire.Format{wire.CSV, wire.NDJSON} {
				to := newFixture(t, emptyStore(t, engines()[1-i]))
				first := from.exported(format, "")
				a := to.imported(format, first.body)
				if a.body != fmt.Sprintf(`{"imported":%d}`, len(want)) {
					t.Fatalf("%s: answered %d %.2000s", format, a.status, a.body)
				}
				second := to.exported(format, "")
				was, is := writable(t, format, first.body), writable(t, format, second.body)
				if len(was) != len(want) || len(is) != len(want) {
					t.Fatalf("%s: %d were exported, and then %d", format, len(was), len(is))
				}
				for i, c := range want {
					if !was[i].SameText(c) || !is[i].SameText(c) {
						t.Errorf("%s: %#v was exported as\n%#v, and then as\n%#v", format, c,
							was[i], is[i])
					}
				}
			}
		})
	}
}

// writable reads the writable columns of an export with the readers of other libraries.
func writable(t *testing.T, f wire.Format, export string) (list []store.Cliente) {
	t.Helper()
	if f == wire.NDJSON {
		for line := range strings.Lines(export) {
			var c store.Cliente
			unmarshalCliente(t, line, &c)
			list = append(list, c)
		}
		return list
	}
	records, err := csv.NewReader(strings.NewReader(export)).ReadAll()
	authtest.Must(t, err)
	for _, r := range records[1:] {
		var c store.Cliente
		for i, text := range c.Texts() {
			*text.Value = r[1+i]
		}
		list = append(list, c)
	}
	return list
}

// A cut that has begun is over before the handler returns: after that it might hit another request.
func TestNoCutOutlivesItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		going := make(chan struct{})
		stop := cutWith(ctx, func() { <-going })
		end()
		synctest.Wait()
		returned := false
		go func() {
			stop()
			returned = true
		}()
		synctest.Wait()
		if returned {
			t.Error("the handler returns while it is being cut")
		}
		close(going)
		synctest.Wait()
		if !returned {
			t.Error("the handler does not return")
		}
	})
	cut := false
	ctx, end := context.WithCancel(t.Context())
	cutWith(ctx, func() { cut = true })()
	end()
	if cut {
		t.Error("a handler that has returned is cut")
	}
}
