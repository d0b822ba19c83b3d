package wire

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"clientes/api/wire/wiretest"
	"clientes/store"
)

// readWith returns the customers of a file that is read in some way, or its faults.
func readWith(t *testing.T, how Reading, file string) ([]store.Cliente, []store.RowError) {
	t.Helper()
	how.Format = CSV
	s, err := NewSpool(strings.NewReader(file), how)
	var faults *store.RowsError
	if errors.As(err, &faults) {
		return nil, faults.Rows
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return spooled(t, s), nil
}

// columns returns what columns=text means.
func columns(t *testing.T, text string) []string {
	t.Helper()
	names, err := Clientes().Columns(text)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// H18, H19: what eight programs export is imported, and the fault of the file without columns
// says which to use.
func TestExportsOfOtherPrograms(t *testing.T) {
	for _, e := range wiretest.Exports(t) {
		t.Run(e.Program, func(t *testing.T) {
			how := Reading{Columns: columns(t, e.Columns), Charset: e.Charset}
			got, faults := readWith(t, how, e.File)
			if !slices.Equal(got, e.Want) || faults != nil {
				t.Errorf("read as\n%+v, %+v; want\n%+v", got, faults, e.Want)
			}
			_, faults = readWith(t, Reading{Charset: e.Charset}, e.File)
			if len(faults) != 1 || faults[0].Row != 0 || faults[0].Field != "" {
				t.Fatalf("without columns: %+v", faults)
			}
			_, paste, _ := strings.Cut(faults[0].Message, "columns=")
			paste, _, _ = strings.Cut(paste, " ")
			how.Columns = columns(t, paste)
			got, faults = readWith(t, how, e.File)
			if len(got) != len(e.Want) {
				t.Fatalf("with %s: %+v", paste, faults)
			}
			for i, c := range got {
				if c.Name != e.Want[i].Name || c.Email != e.Want[i].Email {
					t.Errorf("with %s: %+v, want %+v", paste, c, e.Want[i])
				}
			}
		})
	}
}

func TestColumns(t *testing.T) {
	for _, c := range []struct {
		name, columns, file string
		absent              bool
		want                []store.Cliente
	}{
		{"the page's", "name,name,email,,phone", "a,b,c,d,e\nAna,Lima,a@example.com,x,1\n", false,
			[]store.Cliente{{Name: "Ana Lima", Email: "a@example.com", Phone: "1"}}},
		{"whatever the first line says", "email,name", "name,email\na@example.com,Ana\n", false,
			[]store.Cliente{{Name: "Ana", Email: "a@example.com"}}},
		{"no heading", "name,phone", "Ana,1\nBia,2\n", true,
			[]store.Cliente{{Name: "Ana", Phone: "1"}, {Name: "Bia", Phone: "2"}}},
		{"no heading, after empty rows", "name,phone", ",\n\nAna,1\n", true,
			[]store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"no heading, a short first row", "name,phone,notes", "Ana\nBia,2,x\n", true,
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia", Phone: "2", Notes: "x"}}},
		{"semicolons", "name,,email", "n;o;p\nAna;x;a@example.com\n", false,
			[]store.Cliente{{Name: "Ana", Email: "a@example.com"}}},
		{"case and blanks", " Name , E MAIL ", "n,o\nAna,a@example.com\n", false,
			[]store.Cliente{{Name: "Ana", Email: "a@example.com"}}},
		{"parts that are empty", "name,name,name,address,address",
			"a,b,c,d,e\nAna, ,Lima,,Campinas\n,Bia,,\"Rua B\n2\",\n", false,
			[]store.Cliente{
				{Name: "Ana Lima", Address: "Campinas"}, {Name: "Bia", Address: "Rua B\n2"},
			}},
		{"columns beyond the last are passed over", "name", "a,b,c\nAna,x,y\nBia,,\n", false,
			[]store.Cliente{{Name: "Ana"}, {Name: "Bia"}}},
		{"columns without a name", "name,,phone", ",x,\nAna,2,1\n", false,
			[]store.Cliente{{Name: "Ana", Phone: "1"}}},
		{"more columns than the first line", "name,phone,notes", "a\nAna,1,x\n", false,
			[]store.Cliente{{Name: "Ana", Phone: "1", Notes: "x"}}},
		{"the server's own", "id,name,version", "a,b,c\n7,Ana,2\n", false,
			[]store.Cliente{{Name: "Ana"}}},
		{"no heading, columns passed over at the end", "name,phone,,", "Ana,1,x,y\nBia,2\n", true,
			[]store.Cliente{{Name: "Ana", Phone: "1"}, {Name: "Bia", Phone: "2"}}},
		{"a name that is a heading", "name,phone", "a,b\nCliente,1\nNome,\n---,\n", false,
			[]store.Cliente{{Name: "Cliente", Phone: "1"}, {Name: "Nome"}, {Name: "---"}}},
		{"names with semicolons and a missing end", "name,phone,notes",
			"name,phone,notes\nAna; Bia\n", false,
			[]store.Cliente{{Name: "Ana; Bia"}}},
		{"a heading alone", "name,phone", "a,b\n", false, nil},
		{"a file written for a spreadsheet", "name,phone",
			"name,phone,spreadsheet_safe\n'=1,'+5,\n", false,
			[]store.Cliente{{Name: "=1", Phone: "+5"}}},
	} {
		how := Reading{Columns: columns(t, c.columns), HeaderAbsent: c.absent}
		if got, faults := readWith(t, how, c.file); !slices.Equal(got, c.want) || faults != nil {
			t.Errorf("%s: %+v, %+v", c.name, got, faults)
		}
	}
}

func TestColumnsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":            `"name", which is required`,
		"email,phone": `"name", which is required`,
		"name,nome":   `no column "nome"; the columns are name, email, phone, company, address, notes`,
		"name;email":  `no column "name;email"; separate the columns by commas`,
		",,,":         `"name", which is required`,
	} {
		if names, err := Clientes().Columns(text); err == nil || !strings.Contains(err.Error(),
			want) {
			t.Errorf("%q: %q, %v", text, names, err)
		}
	}
	if names, err := Users().Columns("user,,password_hash"); err != nil || len(names) != 3 {
		t.Errorf("users: %q, %v", names, err)
	}
}

// The messages say what to do; a fault of the file is told once.
func TestFaultsOfColumns(t *testing.T) {
	for _, c := range []struct {
		name, columns, file string
		absent              bool
		row                 int64
		want                string // a part of the only message
	}{
		{"too many", "name,email,,phone", "a,b\nAna,\nBia,\n", false, 0,
			"The file has 2 columns, and columns names 4. "},
		{"too many, no heading", "name,email", "Ana|a@example.com\nBia|\n", true, 0,
			"The file has 1 column, and columns names 2"},
		{"the first line is data", "name,email", "Ana,a@example.com\nBia,b@example.com\n", false, 0,
			"header=absent"},
		{"the first line is data, by a phone", "name,phone", "Ana,+55 11 90000-0001\n", false, 0,
			"--no-header"},
		{"the first line is a heading", "name,phone", "Name,Phone number\nAna,1\n", true, 0,
			"The first line names columns"},
		{"a row with more", "name", "a,b\nAna,x,y\n", false, 1, "double quotes"},
		{"a row in quotes", "", "name,email,phone\n\"Ana,a@example.com,1\"\n", false, 1,
			"take away the quotes around the whole row"},
		{"a heading in quotes", "", "\"name,email\"\n\"Ana,a@example.com\"\n", false, 0,
			"no quotes around the whole line"},
		{"rows with another separator", "", "name,email\nAna;a@example.com\n", false, 1,
			"a semicolon between its cells, and the first line a comma"},
		{"rows with commas below semicolons", "", "name;phone\nAna,1\n", false, 1,
			"a comma between its cells, and the first line a semicolon"},
		{"short rows with another separator", "",
			"name,email,phone\nAna\ta@example.com\n", false, 1,
			"a tab between its cells"},
		{"short rows with a phone", "", "name,phone,notes\nAna;+55 11 90000-0001\n", false, 1,
			"a semicolon between its cells"},
		{"no heading, and a text with the separator", "name,address", "Ana,Rua A, 1\n", true, 1,
			"The row has 3 cells, and columns names 2. A text with a comma in it"},
		{"no heading, and a name with a semicolon", "name", "Silva; Ana\n", true, 1,
			"A text with a semicolon in it has to be in double quotes"},
		{"a title before the heading", "name,phone", "Clientes\n\nNome,Telefone\nAna,1\n", false, 1,
			"The row names columns"},
		{"a title, a date and the heading", "name,,company",
			"Clientes,,\n2026,,\nCliente,Id,Empresa\nAna,7,x\n", false, 2, "The row names columns"},
		{"a line of dashes", "", "name,phone\n----,-----\nAna,1\n", false, 1, "a line of dashes"},
		{"single quotes", "name,phone", "'nome','fone'\n'Ana','1'\n", false, 0,
			"put double quotes"},
		{"single quotes, no heading", "name,phone", "'Ana','1'\n", true, 0, "put double quotes"},
		{"what a database has for nothing", "", "name,company\nAna,\\N\n", false, 1,
			"empty the cell"},
		{"a number with two decimals", "", "name,phone\nAda,\"5511900000001,00\"\n", false, 1,
			"leave out the ,00"},
		{"a number with thousands", "", "name,phone\nAda,\"5.511.900.000.001,00\"\n", false, 1,
			"leave out the ,00"},
		{"names in another language", "", "姓名,邮箱,电话\n张三,,\n", false, 0,
			"Let it name them, or say what each column is, from the left, with columns=name"},
		{"many names that are unknown", "", "name," + strings.Repeat("x,", 299) + "y\n", false, 0,
			`"x" and 290 more are no columns. The columns are name,`},
		{"another separator", "", "name|email\nAna|a@example.com\n", false, 0,
			"semicolons or tabs"},
		{"H07 a nameless column with something", "", "name,email,\nAda,,\nBia,,x\nCarla,,y\n",
			false, 0,
			"Column 3 has no name in the first line, and row 2 has something in it"},
		{"H18", "", "Record ID,First Name,Last Name,Email,Phone Number,Company name,Lead Status\n",
			false, 0,
			"columns=,name,name,email,phone,company ("},
		{"in Portuguese", "", "Nome,E-mail,Telefone,Endereço,Observações\n", false, 0,
			"columns=name,email,phone,address,notes ("},
		{"in Spanish", "", "Nombre,Apellidos,Correo electrónico,Teléfono,Dirección\n", false, 0,
			"columns=name,name,email,phone,address ("},
		{"one that is unknown", "", "name,email,vat\n", false, 0,
			`"vat" is no column. The columns are name, email, phone, company, address, notes.`},
		{"several that are unknown", "", "name,vat,tax\n", false, 0,
			`"vat", "tax" are no columns.`},
		{"one that cannot be seen", "", "name,va\u2060t\n", false, 0, `"va\u2060t"`},
		{"no heading", "", "Ana,a@example.com,+55 11 90000-0001\n", false, 0,
			"columns=name,email,phone ("},
		{"no heading, and what nobody knows", "", "7,x@example.com\n", false, 0,
			"columns=name,,email ("},
		{"a column twice", "", "name,phone,Phone\n", false, 0, "Columns 2 and 3 have this name"},
		{"two emails", "", "name,email\nAna,a@example.com ::: b@example.com\n", false, 1,
			"more than one email address"},
		{"two emails, joined", "name,email,email", "a,b,c\nAna,a@example.com,b@example.com\n",
			false, 1,
			"more than one email address"},
		{"H26", "", "name,phone\nAda,\"5,51199E+12\"\n", false, 1, "last digits are lost"},
		{"a number", "", "name,phone\nAda,5511900000001.0\n", false, 1, "leave out the .0"},
		{"a formula", "", "name,phone\nAda,\"=\"\"0055\"\"\"\n", false, 1, "what is in its quotes"},
		{"an error", "", "name,phone\n#NOME?,1\n", false, 1, "A spreadsheet has put #NOME?"},
		{"an apostrophe", "", "name,company\nAda,'=1+1\n", false, 1, "take the apostrophe away"},
	} {
		how := Reading{HeaderAbsent: c.absent}
		if c.columns != "" {
			how.Columns = columns(t, c.columns)
		}
		_, faults := readWith(t, how, c.file)
		if len(faults) != 1 || faults[0].Row != c.row || !strings.Contains(faults[0].Message,
			c.want) {
			t.Errorf("%s: %+v", c.name, faults)
		}
	}
}

// Whatever is said of a file, its rows are valid or have faults.
func FuzzColumns(f *testing.F) {
	f.Add("name,name,email,,phone", true, []byte("Ana,Lima,a@example.com,x,1\n"))
	f.Add("name,address,address", false, []byte("a,b,c\nAna,x\n\"Bia, 2\",y,z,w\n"))
	f.Add("phone,name", false, []byte("\ufeffid;name;spreadsheet_safe\r\n'+5;'=1;\r\n"))
	f.Add("notes,name,name", true, []byte("#REF!\t=\"5\"\t'@x\n"))
	f.Fuzz(func(t *testing.T, text string, absent bool, file []byte) {
		names, err := Clientes().Columns(text)
		if err != nil {
			return
		}
		how := Reading{Format: CSV, Columns: names, HeaderAbsent: absent}
		for c, err := range Rows(strings.NewReader(string(file)), how, Clientes()) {
			var (
				row  *store.InvalidError
				file *store.RowsError
			)
			if err == nil {
				if again, err := c.Validate(); err != nil || again != c {
					t.Errorf("%+v is not valid: %v", c, err)
				}
			} else if !errors.As(err, &row) && !errors.As(err, &file) {
				t.Errorf("%v", err)
			}
		}
	})
}

// The console presets the meaning of columns by the names that the suggestions know.
func TestTheConsoleKnowsTheOtherNames(t *testing.T) {
	script, err := os.ReadFile("../console/csv.js")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(script), "MEANINGS = {")
	list, _, _ = strings.Cut(list, "};")
	list = strings.ReplaceAll(list, `" +`, "")
	for _, text := range store.TextNames() {
		_, names, _ := strings.Cut(list, text+":")
		names, _, _ = strings.Cut(names, `",`)
		got := strings.Fields(strings.ReplaceAll(names, `"`, ""))
		if !slices.Equal(got, otherNames[text]) {
			t.Errorf("%s is to the console %q, and here %q", text, got, otherNames[text])
		}
	}
}
