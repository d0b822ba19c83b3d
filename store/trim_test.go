package store_test

import (
	"errors"
	"strings"
	"testing"

	"clientes/store"
)

// A name, an email and a phone have nothing at their ends that nobody sees.
func TestWhatNobodySees(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want store.Cliente
		faults   string
	}{
		{name: "I1 email zero width", in: store.Cliente{Name: "Z", Email: "\u200bz@example.com"},
			want: store.Cliente{Name: "Z", Email: "z@example.com"}},
		{name: "I1 byte order mark", in: store.Cliente{Name: "Z",
			Email: "\ufeffz@example.com\u2060"},
			want: store.Cliente{Name: "Z", Email: "z@example.com"}},
		{name: "I1 filler", in: store.Cliente{Name: "Z", Email: "\u3164z@example.com\u2800"},
			want: store.Cliente{Name: "Z", Email: "z@example.com"}},
		{name: "I1 soft hyphen and tag", in: store.Cliente{Name: "Z", Email: "\u00adz@x\U000e0041"},
			want: store.Cliente{Name: "Z", Email: "z@x"}},
		{name: "I1 within", in: store.Cliente{Name: "Z", Email: "z\u200b@example.com"},
			faults: "email:invalid_email"},
		{name: "I1 of nothing", in: store.Cliente{Name: "Z", Email: "\u200b \ufeff"},
			want: store.Cliente{Name: "Z"}},
		{name: "I3 name of nothing", in: store.Cliente{Name: "\u200b"}, faults: "name:required"},
		{name: "I4 name of filler", in: store.Cliente{Name: "\u3164"}, faults: "name:required"},
		{name: "I4 Braille blank", in: store.Cliente{Name: "\u2800"}, faults: "name:required"},
		{name: "I4 byte order mark", in: store.Cliente{Name: "\ufeff"}, faults: "name:required"},
		{name: "I4 variation selector", in: store.Cliente{Name: "\ufe0f"}, faults: "name:required"},
		{name: "I4 joiners and white space",
			in:     store.Cliente{Name: "\u200d \u00a0\u200c\u034f\u115f"},
			faults: "name:required"},
		{name: "I4 half-width filler", in: store.Cliente{Name: "\uffa0\u1160\u180e\u17b4"},
			faults: "name:required"},
		{name: "around a name", in: store.Cliente{Name: "\ufeff Ana\u200b\u3000\u200e"},
			want: store.Cliente{Name: "Ana"}},
		{name: "a joiner at an end", in: store.Cliente{Name: "\u200dAna\u200d\u200c"},
			want: store.Cliente{Name: "Ana"}},
		{name: "a joiner within stays", in: store.Cliente{Name: "👩‍👩‍👧‍👦 می\u200cخواهم"},
			want: store.Cliente{Name: "👩‍👩‍👧‍👦 می\u200cخواهم"}},
		{name: "the heart stays red", in: store.Cliente{Name: "Ana ❤\ufe0f\u200b"},
			want: store.Cliente{Name: "Ana ❤\ufe0f"}},
		{name: "a variation selector of nothing", in: store.Cliente{Name: "Ana \ufe0f"},
			want: store.Cliente{Name: "Ana"}},
		{name: "two of them", in: store.Cliente{Name: "❤\ufe0f\ufe0f"},
			want: store.Cliente{Name: "❤\ufe0f"}},
		{name: "a letter of Malayalam", in: store.Cliente{Name: "മോഹന\u0d4d\u200d"},
			want: store.Cliente{Name: "മോഹന\u0d4d\u200d"}},
		{name: "the flag of Scotland", in: store.Cliente{
			Name: "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"},
			want: store.Cliente{
				Name: "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"}},
		{name: "a tag without a flag", in: store.Cliente{Name: "Ana\U000e0067\U000e007f"},
			want: store.Cliente{Name: "Ana"}},
		{name: "an Arabic sign is seen", in: store.Cliente{Name: "\u0600\u0661"},
			want: store.Cliente{Name: "\u0600\u0661"}},
		{name: "I5 phone with direction marks",
			in:   store.Cliente{Name: "A", Phone: "\u202a+55 11 91234-5678\u202c"},
			want: store.Cliente{Name: "A", Phone: "+55 11 91234-5678"}},
		{name: "I5 isolates", in: store.Cliente{Name: "A", Phone: "\u2066+55 11 91234-5678\u2069 "},
			want: store.Cliente{Name: "A", Phone: "+55 11 91234-5678"}},
		{name: "I5 marks within", in: store.Cliente{Name: "A",
			Phone: "tel \u200e+55\u200e 11\u2060 9"},
			want: store.Cliente{Name: "A", Phone: "tel +55 11 9"}},
		{name: "I5 before white space", in: store.Cliente{Name: "A",
			Phone: "\u00a0\u202d 5 \u202c\t"},
			want: store.Cliente{Name: "A", Phone: "5"}},
		{name: "J3 email trailing space", in: store.Cliente{Name: "A", Email: "a@example.com "},
			want: store.Cliente{Name: "A", Email: "a@example.com"}},
		{name: "J3 no-break spaces", in: store.Cliente{Name: "A", Email: "\u00a0a@b\u3000\u202f"},
			want: store.Cliente{Name: "A", Email: "a@b"}},
		{name: "J3 lines", in: store.Cliente{Name: "A", Email: "\r\na@b\n\t\u2028"},
			want: store.Cliente{Name: "A", Email: "a@b"}},
		{name: "H16 space around email", in: store.Cliente{Name: "Ada", Email: " a@example.com "},
			want: store.Cliente{Name: "Ada", Email: "a@example.com"}},
		{name: "H13 company of two lines", in: store.Cliente{Name: "Rui",
			Company: "Oficina\nAlves"},
			faults: "company:invalid_characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.in.Validate()
			if faults := faultsOf(t, err); faults != c.faults {
				t.Fatalf("faults %q, want %q", faults, c.faults)
			}
			if err != nil {
				return
			}
			if got != c.want {
				t.Errorf("got %+q, %+q, %+q, want %+v", got.Name, got.Email, got.Phone, c.want)
			}
			if again, err := got.Validate(); err != nil || again != got {
				t.Errorf("again it is %+v, %v", again, err)
			}
		})
	}
}

// A fault says which character it is about, where that is in what was sent, and what to do.
func TestFaultsOfTexts(t *testing.T) {
	for _, c := range []struct {
		name, field, value, want string
	}{
		{"H13 line feed", "company", "Oficina\nAlves",
			"There is a line break (U+000A) at character 8; this text has one line."},
		{"H13 tab", "name", "Ana\tLu", "There is a tab (U+0009) at character 4; remove it."},
		{"H13 place in what was sent", "name", " e\u0301 \x00a",
			"There is a NUL character (U+0000) at character 5; remove it."},
		{"H13 carriage return", "phone", " 1\r2",
			"There is a line break (U+000D) at character 3; this text has one line."},
		{"H22 vertical tab", "name", "one\vtwo",
			"There is a vertical tab (U+000B) at character 4; this text has one line."},
		{"H22 escape", "notes", "a\n\x1b[1m",
			"There is an escape character (U+001B) at character 3; remove it."},
		{"C1", "address", "a\r\nb\u0080",
			"There is a control character (U+0080) at character 5; remove it."},
		{"delete", "address", "\x7f",
			"There is a delete character (U+007F) at character 1; remove it."},
		{"length", "phone", strings.Repeat("1", 45),
			"At most 40 characters are allowed; this has 45."},
		{"length after NFC", "name", strings.Repeat("e\u0301", 201),
			"At most 200 characters are allowed; this has 201."},
		{"length of an email", "email", strings.Repeat("é", 124) + "@b.com",
			""},
		{"length of an email in bytes", "email", strings.Repeat("é", 125) + "@b.com",
			"At most 254 bytes are allowed; this has 256."},
		{"I1 zero width", "email", " z\u200b@example.com",
			"This is not an email address: it has a zero-width space (U+200B) at character 3."},
		{"I1 soft hyphen", "email", "z@exam\u00adple.com",
			"This is not an email address: it has a soft hyphen (U+00AD) at character 7."},
		{"I1 direction mark", "email", "z@\u200fexample.com",
			"This is not an email address: it has a direction mark (U+200F) at character 3."},
		{"I1 variation selector", "email", "❤\ufe0fx@example.com",
			"This is not an email address: it has an invisible character (U+FE0F) at character 2."},
		{"J3 within", "email", "a b@example.com",
			"This is not an email address: it has a space (U+0020) at character 2."},
		{"J3 no-break space within", "email", "a@\u00a0example.com",
			"This is not an email address: it has a space (U+00A0) at character 3."},
		{"mailto", "email", "MAILTO:ana@x.com",
			`This is not an email address: leave out "mailto:".`},
		{"a page", "email", "https://x.com/ana@x",
			"This is not an email address: it is the address of a web page."},
		{"angle brackets", "email", "<ana@x.com>",
			"This is not an email address: leave out the angle brackets and what stands outside of them."},
		{"name and address", "email", "Ana <ana@x.com>",
			"This is not an email address: leave out the angle brackets and what stands outside of them."},
		{"comment", "email", "ana@x.com (work)",
			"This is not an email address: leave out the parentheses and what stands in them."},
		{"two by semicolon", "email", "ana@x.com; bia@x.com",
			"This is not an email address: these are several; give one."},
		{"two by comma", "email", "ana@x.com,bia@x.com",
			"This is not an email address: these are several; give one."},
		{"two by slash", "email", "ana@x.com / bia@x.com",
			"This is not an email address: these are several; give one."},
		{"two on two lines", "email", "ana@x.com\nbia@x.com",
			"This is not an email address: these are several; give one."},
		{"two at", "email", "a@@b", "This is not an email address: it has more than one @."},
		{"no at", "email", "ana.x.com", "This is not an email address: it has no @."},
		{"nothing before", "email", "@x.com",
			"This is not an email address: nothing stands before the @."},
		{"nothing behind", "email", "ana@",
			"This is not an email address: nothing stands after the @."},
		{"a dot at the end", "email", "ana@x.com.",
			"This is not an email address: leave out the dot at its end."},
		{"a comma at the end", "email", "ana@x.com, ",
			"This is not an email address: leave out the comma at its end."},
		{"a comma for a dot", "email", " ana@x,com",
			"This is not an email address: it has a comma at character 7; is it a dot?"},
		{"two dots", "email", "ana@x..com",
			"This is not an email address: two dots stand together."},
		{"a dot first", "email", ".ana@x.com",
			"This is not an email address: a dot stands at the beginning or the end of a part."},
		{"full-width", "email", "ana＠x.com",
			"This is not an email address: it has a full-width @ (U+FF20) at character 4; write @."},
		{"full-width before the other", "email", "ana＠x@y.com",
			"This is not an email address: it has a full-width @ (U+FF20) at character 4; write @."},
		{"quoted local part", "email", `"ana b"@x.com`,
			"This is not an email address: one with quotation marks in it is not taken."},
		{"quoted", "email", `"ana@x.com"`,
			"This is not an email address: leave out the quotation marks around it."},
		{"in apostrophes", "email", `'ana@x.com'`,
			"This is not an email address: leave out the quotation marks around it."},
		{"in typographic quotes", "email", "“ana@x.com”",
			"This is not an email address: leave out the quotation marks around it."},
		{"anything else", "email", `ana\@x.com`, "This is not an email address."},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := store.Cliente{Name: "A"}
			for _, text := range in.Texts() {
				if text.Name == c.field {
					*text.Value = c.value
				}
			}
			_, err := in.Validate()
			var invalid *store.InvalidError
			got := ""
			if errors.As(err, &invalid) {
				got = invalid.Fields[0].Message
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestWhiteSpaceAroundAUserName(t *testing.T) {
	for _, in := range []string{"ana", " ana ", "ana\n", "\u00a0ana\u200b", "\ufeffana\u3000"} {
		u, err := store.User{Name: in, Email: " ana@x\t", Role: store.Viewer}.Validate()
		if err != nil || u.Name != "ana" || u.Email != "ana@x" {
			t.Errorf("%q is kept as %q, %q, %v", in, u.Name, u.Email, err)
		}
		if store.NameKey(in) != "ana" {
			t.Errorf("%q has the key %q", in, store.NameKey(in))
		}
	}
	if _, err := (store.User{Name: "a na", Role: store.Viewer}).Validate(); err == nil {
		t.Error("a space within is taken")
	}
}
