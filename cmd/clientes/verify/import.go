package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

func importChecks() []check {
	return []check{
		{"import-all-or-none", customers,
			"An import keeps all rows or none, and a dry run keeps nothing.",
			tryImportAllOrNone},
		{"import-csv", customers,
			"CSV is imported as programs write it, and a fault has the number of its row.",
			tryImportCSV},
		{"export-equal", customers,
			"An export has every record as it was put in, as CSV and as NDJSON.",
			tryExportEqual},
		{"strict-json", conventions,
			"JSON with names twice, unknown members, wrong types or anything after it is refused.",
			tryStrictJSON},
		{"body-limits", conventions,
			"A body beyond its limit is refused without reading all of it.",
			tryBodyLimits},
	}
}

const (
	mediaCSV    = "text/csv"
	mediaNDJSON = "application/x-ndjson"
)

// importFile imports a file as the admin.
func (v *verifier) importFile(ctx context.Context, query, media, file string) (answer, error) {
	return v.asAdmin(ctx, request{
		method: "POST", path: "/clientes/import" + query, body: file,
		header: http.Header{"Content-Type": {media}},
	})
}

// importNDJSON imports rows, and returns an error unless all are taken.
func (v *verifier) importNDJSON(ctx context.Context, query string, rows []texts) (answer, error) {
	a, err := v.importFile(ctx, query, mediaNDJSON, ndjson(rows))
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("import %d customers: %w", len(rows), &refusedError{a})
	}
	return a, err
}

func ndjson(rows []texts) string {
	var b strings.Builder
	for _, row := range rows {
		line, _ := json.Marshal(row) // texts always can
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// importFaults is the answer to an import with faults.
type importFaults struct {
	Count  int `json:"error_count"`
	Errors []struct {
		Row   int    `json:"row"`
		Field string `json:"field"`
	} `json:"errors"`
}

func tryImportAllOrNone(ctx context.Context, v *verifier) (string, error) {
	const good = 20
	name := v.named("import")["name"]
	owner := v.named("owner of an email")
	owner["email"] = v.email("import")
	if _, err := v.createCliente(ctx, owner); err != nil {
		return "", err
	}
	var rows []texts
	for i := range good {
		row := v.named(fmt.Sprintf("import %d", i))
		row["email"] = v.email(fmt.Sprintf("import%d", i))
		rows = append(rows, row)
	}
	invalid, taken, twice := v.named("import invalid"), v.named("import taken"),
		v.named("import twice")
	invalid["email"] = "no address"
	taken["email"] = strings.ToUpper(owner["email"])
	twice["email"] = strings.ToUpper(rows[0]["email"])
	for what, last := range map[string]texts{
		"an invalid email": invalid, "an email that a customer has": taken,
		"the email of the first row": twice,
	} {
		for _, query := range []string{"?dry_run=true", ""} {
			file := ndjson(append(slices.Clone(rows), last))
			a, err := v.importFile(ctx, query, mediaNDJSON, file)
			if err != nil {
				return "", err
			}
			var faults importFaults
			if !a.is(http.StatusUnprocessableEntity, "validation_failed") ||
				a.into(&faults) != nil || faults.Count != 1 || len(faults.Errors) != 1 ||
				faults.Errors[0].Row != good+1 || faults.Errors[0].Field != "email" {
				return "", broken("an import%s whose last row has %s is answered %v",
					query, what, a)
			}
			why := "an import" + query + " was refused because its last row has " + what
			if err := v.wantFound(ctx, name, 0, why); err != nil {
				return "", err
			}
		}
	}
	a, err := v.importNDJSON(ctx, "?dry_run=true", rows)
	if err != nil {
		return "", err
	}
	if got := strings.TrimSpace(string(a.body)); got != fmt.Sprintf(`{"valid":%d}`, good) {
		return "", broken("a dry run of %d good rows is answered %s", good, got)
	}
	if err := v.wantFound(ctx, name, 0, "a dry run keeps nothing"); err != nil {
		return "", err
	}
	if a, err = v.importNDJSON(ctx, "", rows); err != nil {
		return "", err
	}
	if got := strings.TrimSpace(string(a.body)); got != fmt.Sprintf(`{"imported":%d}`, good) {
		return "", broken("an import of %d good rows is answered %s", good, got)
	}
	if err := v.wantFound(ctx, name, good, "all rows were good"); err != nil {
		return "", err
	}
	return fmt.Sprintf("three faults in the last of %d rows and a dry run kept nothing, "+
		"and the good file all", good+1), nil
}

func tryImportCSV(ctx context.Context, v *verifier) (string, error) {
	name := v.tag + " csv"
	for i, f := range []struct {
		what, query, media, file string
		want                     texts
	}{
		{"semicolons, a byte order mark and CRLF", "", mediaCSV,
			"\ufeffname;email;notes\r\n\"%s\"; %s ;\"a;b\r\n\"\"c\"\"\"\r\n;;\r\n",
			texts{"notes": "a;b\n\"c\""}},
		{"tabs and an encoding", "", mediaCSV + "; charset=windows-1252",
			"name\temail\tcompany\n%s\t%s\tJos\xe9\n", texts{"company": "José"}},
		{"columns", "?columns=email,name,,phone", mediaCSV, "A,B,C,D\n%[2]s,%[1]s,x,+55",
			texts{"phone": "+55"}},
		{"columns and no heading", "?columns=email,name,,phone", mediaCSV + "; header=absent",
			"%[2]s,%[1]s,x,+55", texts{"phone": "+55"}},
		{"two columns of one name", "?columns=name,name,email", mediaCSV, "A,B,C\n%s,joined,%s\n",
			texts{"name": "joined"}},
	} {
		mail := v.email(fmt.Sprintf("csv%d", i))
		a, err := v.importFile(ctx, f.query, f.media, fmt.Sprintf(f.file, name, mail))
		if err != nil {
			return "", err
		}
		if got := strings.TrimSpace(string(a.body)); got != `{"imported":1}` {
			return "", broken("a file with %s is answered %v", f.what, a)
		}
		found, err := v.byEmail(ctx, mail)
		if err != nil {
			return "", err
		}
		want := texts{"name": name, "email": mail}
		for member, text := range f.want {
			want[member] = text
			if member == "name" {
				want[member] = name + " " + text
			}
		}
		if len(found) != 1 || found[0].differs(want) != "" {
			return "", broken("a file with %s made %d customers of its row, or other texts", f.what,
				len(found))
		}
	}
	if err := v.wantCSVFaults(ctx); err != nil {
		return "", err
	}
	a, err := v.asAdmin(ctx, request{
		method: "GET", path: "/clientes/export", header: http.Header{"Accept": {"application/xml"}},
	})
	if err == nil && !a.is(http.StatusNotAcceptable, "not_acceptable") {
		err = broken("an export as XML is answered %v", a)
	}
	return "five files as programs write them, and the faults of three with their rows", err
}

// wantCSVFaults returns an error unless the faults of a file have their rows, the first hundred of
// them, and those of its heading row 0.
func (v *verifier) wantCSVFaults(ctx context.Context) error {
	const rows = 103
	var many strings.Builder
	many.WriteString("name,email\n" + v.tag + " csv good,\n")
	for i := range rows {
		fmt.Fprintf(&many, "%s csv %d,no address\n", v.tag, i)
	}
	for _, f := range []struct {
		query, file            string
		status, count, row, to int
	}{
		{"", many.String(), 422, rows, 2, 100}, {"", "email\nx@example.invalid\n", 422, 1, 0, 1},
		{"?columns=name,nosuch", "a,b\n", 400, 0, 0, 0},
		{"?dry_run=yes", "name\na\n", 400, 0, 0, 0},
	} {
		a, err := v.importFile(ctx, f.query, mediaCSV, f.file)
		if err != nil {
			return err
		}
		var faults importFaults
		if a.status == http.StatusUnprocessableEntity {
			err = a.into(&faults)
		}
		if err != nil {
			return err
		}
		if a.status != f.status || faults.Count != f.count || len(faults.Errors) != f.to ||
			f.to > 0 && faults.Errors[0].Row != f.row {
			return broken("a file with %d faults (%s) is answered %v with error_count %d and %d "+
				"errors", f.count, f.query, a, faults.Count, len(faults.Errors))
		}
	}
	return v.wantFound(ctx, v.tag+" csv good", 0, "a file with faults was refused")
}

func tryExportEqual(ctx context.Context, v *verifier) (string, error) {
	var rows []texts
	for i := range 12 {
		row := v.oddTexts(fmt.Sprintf("export %d", i))
		row["email"] = v.email(fmt.Sprintf("export%d", i))
		rows = append(rows, row)
	}
	if _, err := v.importNDJSON(ctx, "", rows); err != nil {
		return "", err
	}
	for media, parse := range map[string]func(answer) ([]cliente, error){
		mediaNDJSON: parseNDJSON, mediaCSV: parseCSV,
	} {
		a, err := v.wantAsAdmin(ctx, http.StatusOK, request{
			method: "GET", path: "/clientes/export?q=" + url.QueryEscape(v.tag+" export"),
			header: http.Header{"Accept": {media}},
		})
		if err != nil {
			return "", err
		}
		if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, media) {
			return "", broken("an export as %s came as %s", media, got)
		}
		got, err := parse(a)
		if err != nil {
			return "", err
		}
		if len(got) != len(rows) {
			return "", broken("an export as %s has %d of %d records", media, len(got), len(rows))
		}
		for i, row := range rows {
			if name := got[i].differs(row); name != "" {
				return "", broken("in an export as %s the %s of record %d is %q, and was put in "+
					"as %q", media, name, i+1, got[i].texts()[name], row[name])
			}
		}
	}
	return fmt.Sprintf("%d records with odd texts came out as CSV and NDJSON as they were put in",
		len(rows)), nil
}

func parseNDJSON(a answer) (all []cliente, err error) {
	for line := range bytes.Lines(a.body) {
		var c cliente
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, broken("line %d of an export is no JSON object: %v", len(all)+1, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func parseCSV(a answer) (all []cliente, err error) {
	records, err := csv.NewReader(bytes.NewReader(a.body)).ReadAll()
	if err != nil || len(records) == 0 {
		return nil, broken("an export is no CSV with a heading: %v", err)
	}
	column := func(record []string, name string) string {
		i := slices.Index(records[0], name)
		if i < 0 {
			return "(there is no such column)"
		}
		return record[i]
	}
	for _, r := range records[1:] {
		all = append(all, cliente{
			Name: column(r, "name"), Email: column(r, "email"), Phone: column(r, "phone"),
			Company: column(r, "company"), Address: column(r, "address"),
			Notes: column(r, "notes"),
		})
	}
	return all, nil
}

func tryStrictJSON(ctx context.Context, v *verifier) (string, error) {
	name := `"` + v.tag + ` strict"`
	bodies := []struct {
		what, body string
		status     int
	}{
		{"a name twice", `{"name":` + name + `,"name":` + name + `}`, 400},
		{"a name twice, once escaped", `{"name":` + name + `,"n\u0061me":` + name + `}`, 400},
		{"an unknown member", `{"name":` + name + `,"role":"admin"}`, 422},
		{"a member in another case", `{"Name":` + name + `}`, 422},
		{"a number as text", `{"name":` + name + `,"phone":5511}`, 400},
		{"an object as text", `{"name":{"$ne":""}}`, 400},
		{"a list as text", `{"name":[` + name + `]}`, 400},
		{"something after the object", `{"name":` + name + `} {}`, 400},
		{"invalid UTF-8", "{\"name\":" + name + ",\"notes\":\"\xff\"}", 400},
		{"a lone surrogate", `{"name":` + name + `,"notes":"\ud800"}`, 400},
		{"a NUL", `{"name":` + name + `,"notes":"\u0000"}`, 422},
		{"a list", `[{"name":` + name + `}]`, 400},
		{"a comma at the end", `{"name":` + name + `,}`, 400},
		{"a comment", `{"name":` + name + `/**/}`, 400},
		{"null", `null`, 400},
		{"nothing", ``, 400},
		{"half an object", `{"name":` + name, 400},
	}
	for _, b := range bodies {
		a, err := v.asAdmin(ctx, request{method: "POST", path: "/clientes", body: b.body})
		if err != nil {
			return "", err
		}
		code := "malformed_body"
		if b.status == http.StatusUnprocessableEntity {
			code = "validation_failed"
		}
		if !a.is(b.status, code) {
			return "", broken("a body with %s is answered %v, not %d %s", b.what, a, b.status, code)
		}
	}
	if err := v.wantFound(ctx, v.tag+" strict", 0, "every body was refused"); err != nil {
		return "", err
	}
	a, err := v.asAdmin(ctx, request{
		method: "POST", path: "/clientes", body: "name=" + v.tag + "+strict",
		header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		return "", err
	}
	if !a.is(http.StatusUnsupportedMediaType, "unsupported_media_type") {
		return "", broken("a form is answered %v", a)
	}
	return fmt.Sprintf("%d bodies were refused, and nothing was kept", len(bodies)+1), nil
}

// heldBody is a body of which the server gets the beginning. The rest would come only after an
// answer.
type heldBody struct {
	ctx  context.Context
	left int
}

// Read implements [io.Reader].
func (b *heldBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	n := min(len(p), b.left)
	for i := range p[:n] {
		p[i] = ' '
	}
	b.left -= n
	return n, nil
}

// held sends a request whose body stops after some bytes, and returns the status of the answer. The
// length is what the request says of its body, -1 if nothing.
func (v *verifier) held(
	ctx context.Context, path, media, token string, begins int, length int64,
) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body := io.NopCloser(&heldBody{ctx, begins})
	req, err := http.NewRequestWithContext(ctx, "POST", v.base+path, body)
	if err != nil {
		return answer{}, err
	}
	req.ContentLength = length
	req.Header.Set("Content-Type", media)
	if token != "" {
		req.Header.Set("x-access-token", token)
	}
	v.requests.Add(1)
	resp, err := v.client.Do(req)
	if err != nil && v.proxied && errors.Is(err, context.DeadlineExceeded) {
		return answer{}, notTried("the proxy before the server keeps a body until it is whole, " +
			"so nobody sees when the server refuses it; run it past the proxy")
	}
	if err != nil {
		err = request{path: path, method: "POST"}.failed(err)
		return answer{}, broken("%d bytes of a body that says it has %d were sent, and before "+
			"the rest %v", begins, length, err)
	}
	defer resp.Body.Close()
	got, err := drain(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: got}, err
}

const proxyRefuses = "the proxy before the server refuses a body of %d bytes by itself; " +
	"`clientes doctor URL` says more"

func tryBodyLimits(ctx context.Context, v *verifier) (string, error) {
	const media = "application/json"
	padded := func(size int, body string) string {
		return body + strings.Repeat(" ", size-len(body))
	}
	record := `{"name":"` + v.tag + ` limits"}`
	login := `{"user":"` + v.tag + `"}` // no password: it is no attempt
	for _, within := range []struct {
		path, body string
		status     int
	}{
		{"/clientes", padded(1<<20, record), http.StatusCreated},
		{"/login", padded(16<<10, login), http.StatusUnprocessableEntity},
	} {
		r := request{method: "POST", path: within.path, body: within.body}
		if within.path != "/login" {
			r.token = v.admin.token
		}
		a, err := v.do(ctx, r)
		if err != nil {
			return "", err
		}
		if a.byProxy() {
			return "", notTried(proxyRefuses, len(within.body))
		}
		if a.status != within.status {
			return "", broken("POST %s with a body of %d bytes is answered %v, not %d", within.path,
				len(within.body), a, within.status)
		}
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	io.WriteString(zip, padded(8<<20, record)) // a buffer takes all
	zip.Close()
	a, err := v.asAdmin(ctx, request{
		method: "POST", path: "/clientes", body: packed.Bytes(),
		header: http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {media}},
	})
	if err != nil {
		return "", err
	}
	if a.byProxy() {
		return "", notTried("the proxy before the server refuses a body that is packed by gzip")
	}
	if !a.is(http.StatusRequestEntityTooLarge, "body_too_large") {
		return "", broken("%d bytes that unpack to 8 MiB are answered %v", packed.Len(), a)
	}
	for _, beyond := range []struct {
		path, media, token string
		begins             int
		length             int64
	}{
		{"/clientes", media, v.admin.token, 1 << 10, 1<<20 + 1},
		{"/clientes", media, v.admin.token, 1<<20 + 1, -1},
		{"/login", media, "", 1 << 10, 1 << 20}, // net/http itself reads the rest of a shorter one
		{"/login", media, "", 16<<10 + 1, -1},
		{"/clientes/import", mediaNDJSON, v.admin.token, 1 << 10, 256<<20 + 1},
	} {
		a, err := v.held(ctx, beyond.path, beyond.media, beyond.token, beyond.begins,
			beyond.length)
		if err != nil {
			return "", err
		}
		if a.byProxy() {
			return "", notTried(proxyRefuses, max(beyond.length, int64(beyond.begins)))
		}
		if !a.is(http.StatusRequestEntityTooLarge, "body_too_large") {
			return "", broken("POST %s with %d bytes of a body that says it has %d is answered %v",
				beyond.path, beyond.begins, beyond.length, a)
		}
	}
	return "1 MiB and 16 KiB were taken; more, a bomb and a file over 256 MiB got 413 before the " +
		"rest was sent", nil
}
