package api

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp/kb"

	"clientes/auth/authtest"
	"clientes/store"
)

func TestImportInTheConsole(t *testing.T) {
	t.Parallel()
	f := onSQLite(t, atItsAddress)
	b := f.browser()
	b.login(store.Editor)
	b.open("/app/#/import")
	b.sees("Choose a file")

	t.Run("what a file is", func(t *testing.T) {
		for _, c := range []struct{ text, want string }{
			{"name,email\nAna,a@x.br\n", `[["name","email"],["Ana","a@x.br"]]`},
			{"a;b\r\n1,5;2\r\n", `[["a","b"],["1,5","2"]]`},
			{"a\tb\r1\t\"2\r3\"\r", `[["a","b"],["1","2\r3"]]`},
			{"sep=|\na|b;c\n", `[["a","b;c"]]`},
			{"\ufeff\"sep=;\"\r\n\r\na;b\r\n;\r\n1;2", `[["a","b"],["1","2"]]`},
			{`a, "b ""c"", d"` + "\n1,2\n", `[["a","b \"c\", d"],["1","2"]]`},
			{"a,b;c\n1,2\n3,4\n", `[["a","b;c"],["1","2"],["3","4"]]`},
			{"Ana 5\" disk,x\nIvo,", `[["Ana 5\" disk","x"],["Ivo",""]]`},
			{"one\n\ntwo\n", `[["one"],["two"]]`},
			{"\n \n", `[]`},
		} {
			got := b.eval(fmt.Sprintf(
				`import("/app/csv.js").then((m) => JSON.stringify(m.rows(%q, 9)))`, c.text))
			if got != c.want {
				t.Errorf("%q is %s, want %s", c.text, got, c.want)
			}
		}
	})

	t.Run("what its columns are", func(t *testing.T) {
		for _, first := range []string{
			"name,email,phone,company,address,notes",
			"Nome,E-mail,Telefone,Empresa,Endereço,Observações",
			"First Name,Middle Name,Last Name,Phonetic,Organization Name,Notes," +
				"E-mail 1 - Value,Phone 1 - Value",
			"Salutation,First Name,Last Name,Mailing Street,Mailing City,Phone,Mobile,Email," +
				"Account Name",
			"Apellidos,Nombre,Correo electrónico,Móvil,name", "x,Nome",
			"a@x.br,Ana,+55 11 99999-0000,Rio",
		} {
			a := f.as(store.Editor, "POST", "/clientes/import?dry_run=true", first+"\n",
				"Content-Type", "text/csv")
			_, want, _ := strings.Cut(a.body, "columns=")
			want, _, _ = strings.Cut(want, " ")
			if a.status == 200 {
				want = first
			}
			got := b.eval(fmt.Sprintf(
				`import("/app/csv.js").then((m) => m.guess(%q.split(",")).join(","))`, first))
			if got = strings.TrimRight(got, ","); got != want {
				t.Errorf("%q is %q to the console, %q to the server", first, got, want)
			}
		}
		b.wantPage(`import("/app/csv.js").then((m) => m.isHeading(["Ana", "a@x.br"]))`, "false")
	})

	t.Run("faults, then customers", func(t *testing.T) {
		b.eval(`URL.createObjectURL = ((real) => (blob) => {
			window.saved = blob;
			return real.call(URL, blob);
		})(URL.createObjectURL)`)
		file := "Cliente;Correo electr\xf3nico;Movil;Saldo\r\nJos\xe9 Mu\xf1oz;%s;600 123 456;1,5\r\n;=b;;2\r\n"
		b.choose("clientes.csv", fmt.Sprintf(file, "jose"))
		b.sees("José Muñoz")
		b.sees("Correo electrónico")
		b.wantPage(`[...document.querySelectorAll(".preview select")].map((s) => s.value).join()`,
			"name,email,phone,")
		b.click(".import .actions .main")
		b.sees("3 faults")
		b.click(".import .actions button:not(.main)")
		b.until("window.saved")
		saved := b.eval("saved.text()")
		for _, want := range []string{`"1","Email","`, `"2","Name","`, "\r\n"} {
			if !strings.Contains(saved, want) {
				t.Errorf("the faults have no %q: %q", want, saved)
			}
		}
		b.checkPage("faults of an import")
		file = fmt.Sprintf(strings.Replace(file, ";=b;;2", "Ana;;;2", 1), "jose@x.es")
		b.choose("clientes.csv", file)
		b.sees("José Muñoz")
		// The rest by keyboard alone, from the heading to the last of four columns.
		b.eval(`document.querySelector("#import-file").focus()`)
		b.press(kb.Tab, kb.Tab, kb.Tab, kb.Tab, kb.Tab, kb.Tab, kb.Tab, kb.End, kb.Tab)
		if got := b.eval("document.activeElement.textContent"); got != "Check the file" {
			t.Fatalf("the focus is on %q", got)
		}
		b.press(kb.Enter)
		b.sees("2 customers can be imported")
		b.press(kb.Enter)
		b.sees("2 customers were imported")
		b.press(kb.Enter)
		b.until(`location.hash === "#/customers?sort=-created_at"`)
		a := f.as(store.Viewer, "GET", "/clientes", "")
		for _, want := range []string{
			`"name":"José Muñoz","email":"jose@x.es","phone":"600 123 456"`, `"notes":"1,5"`, `"name":"Ana"`,
		} {
			if !strings.Contains(a.body, want) {
				t.Errorf("there is no %s in %s", want, a.body)
			}
		}
	})

	t.Run("files that cannot be imported", func(t *testing.T) {
		b.open("/app/#/import")
		b.choose("contacts.vcf", "BEGIN:VCARD\r\nFN:Ana\r\nEND:VCARD\r\n")
		b.sees("This kind of file cannot be read")
		b.choose("clientes.xlsx", "PK\x03\x04[Content_Types].xml")
		b.sees("This is a workbook")
		b.choose("photo.csv", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
		b.sees("This kind of file cannot be read")
		large := filepath.Join(t.TempDir(), "large.csv")
		authtest.Must(t, os.WriteFile(large, nil, 0o600))
		authtest.Must(t, os.Truncate(large, maxImport+1))
		b.choosePath(large)
		b.sees("The most is 256 MB")
	})

	t.Run("a slow file", func(t *testing.T) {
		must(b, network.Enable, network.EnableParams{})
		slow := []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: 100_000}}
		must(b, network.EmulateNetworkConditionsByRule,
			network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: slow})
		b.choose("many.csv", "Nome\n"+strings.Repeat("Ana\n", 1_000_000))
		b.sees("Check the file")
		b.click(".import .actions .main")
		b.sees("of 4 MB sent")
		b.eval(`location.hash = "#/account"`)
		b.sees("There are changes that are not saved") // the place asks before it goes
		b.press(kb.Enter)
		b.until(`location.hash === "#/import" && !document.querySelector("dialog")`)
		b.eval(`document.querySelector(".import .running button").focus()`)
		b.press(kb.Enter)
		b.sees("Cancelled. Nothing was imported.")
	})

	t.Run("a viewer", func(t *testing.T) {
		b := f.browser()
		b.login(store.Viewer)
		b.open("/app/#/import")
		b.sees("Your role does not allow this")
		b.wantPage(`document.querySelector("#import-file")`, "null")
	})
}
