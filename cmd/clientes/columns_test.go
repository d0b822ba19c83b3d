package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"clientes/api/wire/wiretest"
	"clientes/store"
)

// H18, H19: one command imports what another program exports.
func TestImportOfExportsOfOtherPrograms(t *testing.T) {
	for _, e := range wiretest.Exports(t) {
		t.Run(e.Program, func(t *testing.T) {
			inFolder(t, map[string]string{e.Name: e.File})
			args := []string{"import", e.Name, "--columns", e.Columns}
			if e.Charset != "" {
				args = append(args, "--charset", e.Charset)
			}
			call(t, nil, "", append(args, "--dry-run")...).want(t, 0,
				fmt.Sprintf("%d customers can be imported; nothing was changed\n", len(e.Want)), "")
			call(t, nil, "", args...).want(t, 0,
				fmt.Sprintf("imported %d customers\n", len(e.Want)), "")
			all, _ := stored(t, map[string]string{"DATABASE_URL": "sqlite:clientes.db"})
			if !slices.EqualFunc(all, e.Want, store.Cliente.SameText) {
				t.Errorf("%+v", all)
			}

			// Without columns, the fault has a line to paste.
			inFolder(t, map[string]string{e.Name: e.File})
			r := call(t, nil, "", append([]string{"import", e.Name}, args[4:]...)...)
			r.want(t, 1, "", " --columns=")
			_, flag, _ := strings.Cut(r.stderr, " --columns=")
			flag, _, _ = strings.Cut(flag, " ")
			args[2], args[3] = "--columns="+flag, "--dry-run"
			call(t, nil, "", args...).want(t, 0, "2 customers can be imported", "")
		})
	}
}

func TestColumnsOfTheCommand(t *testing.T) {
	for _, c := range []struct {
		args, stdin string
		status      int
		out         string
	}{
		{"import - --columns name,phone --no-header", "Ana,1\nBia,2\n", 0,
			"imported 2 customers\n"},
		{"import - --columns ,name --format csv", "{,a\nx,Ana\n", 0, "imported 1 customer\n"},
		{"import x.tsv", "", 0, "imported 1 customer\n"},
		{"import - --charset latin1", "name\nJos\xe9\n", 0, "imported 1 customer\n"},
		{"import - --columns nome", "", 2,
			`clientes: --columns: there is no column "nome"; the columns are name`},
		{"import - --columns email", "", 2, `none of the columns is "name", which is required`},
		{"import - --columns=", "", 2, `none of the columns is "name", which is required`},
		{"import - --no-header", "Ana\n", 2, "say what the columns are with --columns"},
		{"import - --charset klingon", "Ana\n", 2,
			`there is no charset "klingon"; windows-1252 is one`},
		{"import x.ndjson --columns name", "", 2, "--columns is for CSV"},
		{"import - --columns name --format ndjson", "", 2, "--columns is for CSV"},
		{"import - --columns name", `{"name":"Ana"}`, 2, "--columns is for CSV"},
		{"import - --columns name,email", "Ana,a@example.com\n", 1, "--no-header"},
		{"user import - --columns user,,password_hash", "a,b,c\nana,x," + bcryptHash + "\n", 0,
			"imported 1 user\n"},
		{"user import - --no-header --columns user,password_hash", "bia," + bcryptHash + "\n", 0,
			"imported 1 user\n"},
		{"user import - --charset utf-16le", "u\x00\n\x00", 1, "the first line is none of"},
		{"user import - --columns user,name", "", 2,
			`there is no column "name"; the columns are user`},
		{"user import - --columns user,password_hash", `{"user":"ana"}`, 2, "--columns is for CSV"},
	} {
		inFolder(t, map[string]string{"x.tsv": "name\nSilva, Ana\n"})
		r := call(t, nil, c.stdin, strings.Fields(c.args)...)
		if r.status != c.status || !strings.Contains(r.stdout+r.stderr, c.out) {
			t.Errorf("%s: %+v", c.args, r)
		}
	}
}

// H28: a file for spreadsheets begins with a byte order mark, and its import makes what was
// exported.
func TestAFileForSpreadsheetsIsImported(t *testing.T) {
	onEachEngine(t, func(t *testing.T, vars map[string]string) {
		call(t, vars, naughty(), "import", "-").want(t, 0, "", "")
		texts := `{"name":"'=x","phone":"'1","company":"''@y","address":"'tis","notes":"- a\n- b"}` + "\n" +
			`{"name":"São João","phone":"+55"}`
		call(t, vars, texts, "import", "-").want(t, 0, "", "")
		before, _ := stored(t, vars)
		file := call(t, vars, "", "export", "--spreadsheet-safe").stdout
		if !strings.HasPrefix(file, "\ufeffid,name,") ||
			!strings.Contains(file, ",updated_at,spreadsheet_safe\r\n") {
			t.Errorf("the file begins with %.80q", file)
		}
		if plain := call(t, vars, "", "export").stdout; !strings.HasPrefix(plain, "id,name,") {
			t.Errorf("an export begins with %.20q", plain)
		}
		fresh := map[string]string{"DATABASE_URL": "sqlite:again.db"}
		call(t, fresh, file, "import", "-").want(t, 0, "", "")
		after, _ := stored(t, fresh)
		if !slices.EqualFunc(before, after, store.Cliente.SameText) {
			t.Errorf("%+v\nbecame\n%+v", before, after)
		}
	})
}
