package store_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"clientes/store"
)

// Only their order says which rule a text has.
func TestTextsHaveTheirOwnRules(t *testing.T) {
	var c store.Cliente
	for _, text := range c.Texts() {
		*text.Value = text.Name
	}
	members := reflect.ValueOf(c)
	for i := range members.NumField() {
		name, value := members.Type().Field(i).Name, members.Field(i)
		if value.Kind() == reflect.String &&
			!strings.EqualFold(name, strings.ReplaceAll(value.String(), "_", "")) {
			t.Errorf("%s has the rule of %q", name, value)
		}
	}
	for i, text := range c.Texts() {
		if name := store.TextNames()[i]; name != text.Name {
			t.Errorf("the name of text %d is %q, and in its rule %q", i, name, text.Name)
		}
	}
}

func TestClienteValidate(t *testing.T) {
	long := strings.Repeat
	for _, c := range []struct {
		name   string
		in     store.Cliente
		want   store.Cliente
		faults string // "field:code" of each, in order
	}{
		{
			name: "a name is enough",
			in:   store.Cliente{Name: "Ana"},
			want: store.Cliente{Name: "Ana"},
		},
		{name: "a name is needed", faults: "name:required"},
		{
			name:   "a name of blanks is none",
			in:     store.Cliente{Name: " \t\u2003"},
			faults: "name:required",
		},
		{
			name: "the name is trimmed",
			in:   store.Cliente{Name: "  Ana \n"},
			want: store.Cliente{Name: "Ana"},
		},
		{
			name: "company, address and notes are not",
			in:   store.Cliente{Name: "A", Company: " c ", Address: " a\n", Notes: "\tn "},
			want: store.Cliente{Name: "A", Company: " c ", Address: " a\n", Notes: "\tn "},
		},
		{
			name: "text becomes NFC",
			in:   store.Cliente{Name: "Jose\u0301"},
			want: store.Cliente{Name: "José"},
		},
		{
			name: "limits count code points after NFC",
			in:   store.Cliente{Name: long("e\u0301", 200), Notes: long("😀", 10_000)},
			want: store.Cliente{Name: long("é", 200), Notes: long("😀", 10_000)},
		},
		{
			name: "every field too long is named",
			in: store.Cliente{
				Name: long("a", 201), Email: long("a", 250) + "@b.cd", Phone: long("1", 41),
				Company: long("c", 201), Address: long("a", 501), Notes: long("n", 10_001),
			},
			faults: "name:too_long email:too_long phone:too_long company:too_long " +
				"address:too_long notes:too_long",
		},
		{
			name: "control characters are refused",
			in: store.Cliente{
				Name: "A\x00na", Phone: "1\t2", Company: "a\u0085b", Address: "a\x01b",
				Notes: "a\x7fb",
			},
			faults: "name:invalid_characters phone:invalid_characters company:invalid_characters " +
				"address:invalid_characters notes:invalid_characters",
		},
		{
			name: "H12, H22, H23: address and notes have lines, and each end of one is a newline",
			in:   store.Cliente{Name: "A", Address: "a\r\n\tb\nc", Notes: "a\rb\vc\fd\u0085e\r\n"},
			want: store.Cliente{Name: "A", Address: "a\n\tb\nc", Notes: "a\nb\nc\nd\ne\n"},
		},
		{
			name:   "NUL in notes is refused",
			in:     store.Cliente{Name: "A", Notes: "\x00"},
			faults: "notes:invalid_characters",
		},
		{
			name:   "broken UTF-8 is refused",
			in:     store.Cliente{Name: "\xff", Email: "\xff@b.cd"},
			faults: "name:invalid_text email:invalid_text",
		},
		{
			name: "a formula is text",
			in:   store.Cliente{Name: "=1+1"},
			want: store.Cliente{Name: "=1+1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.in.Validate()
			if faults := faultsOf(t, err); faults != c.faults {
				t.Fatalf("faults %q, want %q", faults, c.faults)
			}
			if err == nil && got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestEmails(t *testing.T) {
	for _, good := range []string{
		"", "a@b", "ana@example.com", "a.b+c@x.example", "!#$%&'*+-/=?^_`{|}~@example.com",
		"josé@exámple.com", "用户@例子.广告", "a@[192.0.2.1]",
	} {
		if _, err := (store.Cliente{Name: "A", Email: good}).Validate(); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{
		"a", "@b", "a@", "a b@c", ".a@b", "a.@b", "a..b@c", "a@b..c",
		"a@.b", "a@@b",
		`"a b"@c`, `"ab"@c`, "Ana <a@b>", "<a@b>", "a@b (work)", "(x)a@b", "a@b, c@d", "a\x00@b",
		"a\u00a0b@c", "a@b;",
	} {
		_, err := (store.Cliente{Name: "A", Email: bad}).Validate()
		if faultsOf(t, err) != "email:invalid_email" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestEmailKey(t *testing.T) {
	for _, same := range [][2]string{
		{"Ana@Example.COM", "ana@example.com"},
		{"JOSÉ@x.y", "jose\u0301@x.y"},
		{"straße@x", "STRASSE@x"},
		{"ΣΊΣΥΦΟΣ@x", "σίσυφος@x"},
		{"Ꭰ@x", "ꭰ@x"},
	} {
		if a, b := store.EmailKey(same[0]), store.EmailKey(same[1]); a != b {
			t.Errorf("%q and %q differ: %q, %q", same[0], same[1], a, b)
		}
	}
	if store.EmailKey("jose@x") == store.EmailKey("josé@x") {
		t.Error("an accent makes no difference")
	}
}

func TestUserValidate(t *testing.T) {
	for _, good := range []string{"a", "abc", "Ana.B_c@d+e-9", strings.Repeat("x", 64)} {
		if _, err := (store.User{Name: good, Role: store.Viewer}).Validate(); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{"", " ", "a b", "é", "a\x00", "a/b", strings.Repeat("x", 65)} {
		_, err := (store.User{Name: bad, Role: store.Viewer}).Validate()
		if faultsOf(t, err) != "user:invalid_user" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	_, err := store.User{Email: "x", Role: "root"}.Validate()
	if got := faultsOf(t, err); got != "user:invalid_user email:invalid_email role:invalid_role" {
		t.Errorf("all faults at once: %s", got)
	}
}

func TestRolesIncludeTheOnesBelow(t *testing.T) {
	roles := store.Roles()
	for i, have := range roles {
		for j, need := range roles {
			if have.Allows(need) != (i >= j) {
				t.Errorf("%s allows %s: %t", have, need, have.Allows(need))
			}
		}
		if have.Allows("") || store.Role("").Allows(have) {
			t.Errorf("no role at all and %s go together", have)
		}
	}
}

// FuzzClienteValidate checks that a validated record is valid, and that validating it again changes
// nothing: the reply to a GET can be PUT back.
func FuzzClienteValidate(f *testing.F) {
	f.Add("Ana", "ana@example.com", "+55 11", "a\r\nb")
	f.Add(" e\u0301 ", "É@x", "\u202a5\u202c", "\r\r\n")
	f.Add("\u200b❤\ufe0f\u2800", "\ufeffa@b,c; ", "\u00a0\u200e1\t2", "\v\f\u0085\u2028")
	f.Add("\u0d4d\u0301\u200d", "“a＠b”", "\U000e0041", "\x1b")
	f.Fuzz(func(t *testing.T, name, email, phone, notes string) {
		c, err := store.Cliente{
			Name: name, Email: email, Phone: phone, Company: phone, Address: notes, Notes: notes,
		}.Validate()
		if err != nil {
			if strings.Contains(faultsOf(t, err), "::") || strings.ContainsFunc(err.Error(),
				unicode.IsControl) {
				t.Errorf("%+v: %q", c, err)
			}
			return
		}
		all := c.Name + c.Email + c.Phone + c.Notes
		if !utf8.ValidString(all) || strings.ContainsAny(all, "\x00\r") {
			t.Errorf("kept %+v", c)
		}
		if store.Trim(c.Name) == "" || store.Trim(c.Email) != c.Email ||
			store.Trim(c.Phone) != c.Phone {
			t.Errorf("nobody sees an end of %+v", c)
		}
		again, err := c.Validate()
		if err != nil || again != c {
			t.Errorf("%+v becomes %+v, %v", c, again, err)
		}
		if k := store.EmailKey(c.Email); store.EmailKey(k) != k {
			t.Errorf("the key of the key of %q differs", c.Email)
		}
		// Nothing invisible makes two addresses of one.
		same, err := store.Cliente{Name: "A", Email: "\u200b " + email + "\u2800\n"}.Validate()
		if err != nil || same.Email != c.Email {
			t.Errorf("%q is %q, and not %q, %v", email, same.Email, c.Email, err)
		}
	})
}

// faultsOf returns "field:code" of each fault. Any other error fails the test.
func faultsOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var invalid *store.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("not an InvalidError: %v", err)
	}
	var s []string
	for _, f := range invalid.Fields {
		s = append(s, f.Field+":"+f.Code)
	}
	return strings.Join(s, " ")
}
