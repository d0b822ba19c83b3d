package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"clientes/api/wire/wiretest"
	"clientes/store"
)

// H18, H19: what eight programs export is imported over HTTP, after a dry run that keeps nothing.
func TestExportsOfOtherProgramsOverHTTP(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, e := range wiretest.Exports(t) {
			query := "/clientes/import?columns=" + url.QueryEscape(e.Columns)
			media := "text/csv"
			if e.Charset != "" {
				media += "; charset=" + e.Charset
			}
			before := f.all()
			for path, want := range map[string]string{
				query + "&dry_run=true": fmt.Sprintf(`{"valid":%d}`, len(e.Want)),
				strings.Replace(query, "import?", "import?dry_run=true&", 1): fmt.Sprintf(
					`{"valid":%d}`, len(e.Want)),
			} {
				a := f.as(store.Editor, "POST", path, e.File, "Content-Type", media)
				if a.status != 200 || a.body != want {
					t.Errorf("%s, dry: %d %s", e.Program, a.status, a.body)
				}
			}
			if now := f.all(); len(now) != len(before) {
				t.Fatalf("%s: a dry run kept %d", e.Program, len(now)-len(before))
			}
			a := f.as(store.Editor, "POST", query+"&dry_run=false", e.File, "Content-Type", media)
			if a.status != 200 || a.body != fmt.Sprintf(`{"imported":%d}`, len(e.Want)) {
				t.Fatalf("%s: %d %s", e.Program, a.status, a.body)
			}
			added := f.all()[len(before):]
			if !slices.EqualFunc(added, e.Want, store.Cliente.SameText) {
				t.Errorf("%s led to %+v", e.Program, added)
			}
			for _, c := range added { // the next file has the same emails
				f.want(f.as(store.Editor, "DELETE", clientePath(c.ID), ""), 204, "")
			}
		}
	})
}

// What a dry run says is what the import says.
func TestDryRunOverHTTP(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		f.add(store.Cliente{Name: "Ana", Email: "taken@example.com"})
		for _, file := range []string{
			"name,email\nAna,x@example.com\nBia,TAKEN@example.com\n", "name,email\n,x\n",
			"nome\nAna\n",
		} {
			dry := f.as(store.Editor, "POST", "/clientes/import?dry_run=true", file,
				"Content-Type", "text/csv")
			real := f.as(store.Editor, "POST", "/clientes/import", file, "Content-Type", "text/csv")
			f.want(real, 422, "validation_failed")
			f.want(dry, 422, "validation_failed")
			wantFaults, _ := rowFaults(real)
			if got, _ := rowFaults(dry); got != wantFaults {
				t.Errorf("%q: the dry run says %q, the import %q", file, got, wantFaults)
			}
		}
		if n := len(f.all()); n != 1 {
			t.Errorf("there are %d customers", n)
		}
	})
}

// A dry run is no event.
func TestADryRunIsNotInTheAudit(t *testing.T) {
	f := onSQLite(t)
	for _, path := range []string{"?dry_run=true", ""} {
		f.want(f.as(store.Editor, "POST", "/clientes/import"+path, "name\nAna\nBia\n",
			"Content-Type", "text/csv"), 200, "")
		events, _ := f.auditPage("/audit?event=" + string(store.EventImport))
		if dry := path != ""; dry && len(events) > 0 || !dry && len(events) == 0 {
			t.Errorf("after %q the audit has %+v", path, events)
		}
	}
}

func TestParametersOfAnImport(t *testing.T) {
	f := onSQLite(t)
	for _, c := range []struct{ query, media, file, code, message string }{
		{"?columns=name,phone", "text/csv; header=absent", "Ana,1\nBia,2\n", "", `{"imported":2}`},
		{"?columns=name,phone", "text/csv; header=ABSENT; charset=\"UTF-8\"", "Ana,1\n", "",
			`{"imported":1}`},
		{"?columns=name,phone", "text/tab-separated-values", "a\tb\nAna\t1\n", "",
			`{"imported":1}`},
		{"", "text/csv; charset=windows-1252", "name\nJos\xe9\n", "", `{"imported":1}`},
		{"", "text/csv; charset='utf8'", "name\nJosé\n", "", `{"imported":1}`},
		{"", "text/tab-separated-values", "name\nSilva, Ana\n", "", `{"imported":1}`},
		{"", "application/json", `[{"name":"Ana"},{"name":"Bia"}]`, "", `{"imported":2}`},
		{"", "text/csv; header=absent", "Ana,1\n", "invalid_parameter", `\"columns\" has to say`},
		{"?columns=nome", "text/csv", "a\nAna\n", "invalid_parameter",
			`there is no column \"nome\"; the columns are name, email, phone, company, address, notes`},
		{"?columns=", "text/csv", "a\nAna\n", "invalid_parameter", `\"name\", which is required`},
		{"?columns=name", "application/x-ndjson", `{"name":"Ana"}`, "invalid_parameter",
			"is for CSV"},
		{"?columns=name", "application/json", `[{"name":"Ana"}]`, "invalid_parameter",
			"is for CSV"},
		{"?dry_run=yes", "text/csv", "name\nAna\n", "invalid_parameter",
			`\"dry_run\" is true or false`},
		{"?dryrun=true", "text/csv", "name\nAna\n", "invalid_parameter", `no parameter \"dryrun\"`},
		{"?columns=name,,phone", "text/csv", "a\nAna\n", "validation_failed", "columns names 3"},
		{"", "text/csv; charset=klingon", "name\nAna\n", "unsupported_media_type", "charset"},
		{"", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "PK",
			"unsupported_media_type", "save it as CSV"},
		{"", "multipart/form-data; boundary=x", "x", "unsupported_media_type", "not a form"},
		{"", "application/x-www-form-urlencoded", "name", "unsupported_media_type",
			"text/csv, text/tab-separated-values, application/x-ndjson or application/json"},
	} {
		a := f.as(store.Editor, "POST", "/clientes/import"+c.query, c.file, "Content-Type", c.media)
		if c.code == "" {
			f.want(a, 200, "")
		} else if !strings.Contains(a.body, `"code":"`+c.code+`"`) {
			t.Errorf("%s of %s: %d %s", c.query, c.media, a.status, a.body)
		}
		if !strings.Contains(a.body, c.message) {
			t.Errorf("%s of %s: %d %s, want %s", c.query, c.media, a.status, a.body, c.message)
		}
	}
}

// H26: no phone looks like this.
func TestAPhoneThatASpreadsheetHasEaten(t *testing.T) {
	onEachStore(t, func(t *testing.T, f *fixture) {
		for _, phone := range []string{
			"5.51199E+12", "5,51199E+12", "5.5E12", "1.2e+11", " 5E+12 ", "55119900000.0",
			"551199E+07", "2011-12-03 00:00:00",
		} {
			a := f.as(store.Editor, "POST", "/clientes", `{"name":"Ada","phone":"`+phone+`"}`)
			f.want(a, 422, "validation_failed")
			if !strings.Contains(a.body, `"field":"phone"`) ||
				!strings.Contains(a.body, `"code":"mangled"`) {
				t.Errorf("%q: %s", phone, a.body)
			}
		}
		for _, phone := range []string{
			"1e3", "+55 11 90000-0001", "5.511.990.000", "ext. 5E", "0", "90000.0", "E+12",
		} {
			f.want(f.as(store.Editor, "POST", "/clientes",
				`{"name":"Ada","phone":"`+phone+`"}`), 201, "")
		}
	})
}
