package wire

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	"clientes/store"
)

// unknownMember returns the fault of a member that an object does not have, with the name of the
// one that was probably meant.
func unknownMember(name string, known []string) store.FieldError {
	message := "There is no such member."
	if meant := nearest(name, known); meant != "" {
		message = "There is no such member; did you mean \"" + meant + "\"?"
	}
	return store.FieldError{Field: Excerpt(name), Code: "unknown_member", Message: message}
}

// otherNames are what other programs, and people who speak other languages, call a member or a
// column, as [lettersOnly] returns it. They are for suggestions only: nothing is read by them.
var otherNames = map[string][]string{
	"name": {
		"fullname", "firstname", "givenname", "middlename", "lastname", "familyname", "surname",
		"fname", "lname", "contactname", "customername", "customer", "nome", "sobrenome",
		"nomecompleto", "cliente", "nombre", "nombres", "apellido", "apellidos", "nom", "prenom",
		"vorname", "nachname",
	},
	"email": {
		"emailaddress", "email1value", "email1", "mail", "correo", "correoelectronico",
		"enderecodeemail",
	},
	"phone": {
		"phonenumber", "phone1value", "phone1", "mobilephone", "mobile", "mobilenumber", "cell",
		"primaryphone", "businessphone", "homephone", "telephone", "tel", "telefone", "fone",
		"celular", "telefono", "movil", "whatsapp", "defaultaddressphone",
	},
	"company": {
		"companyname", "organization", "organisation", "organizationname", "organization1name",
		"accountname", "associatedcompany", "defaultaddresscompany", "empresa", "razaosocial",
		"organizacao", "organizacion",
	},
	"address": {
		"addr", "street", "streetaddress", "address1formatted", "mailingstreet", "mailingcity",
		"mailingstate", "mailingstateprovince", "mailingzip", "mailingzippostalcode",
		"mailingcountry", "businessstreet", "businesscity", "businessstate", "businesspostalcode",
		"businesscountryregion", "defaultaddressaddress1", "defaultaddressaddress2",
		"defaultaddresscity", "defaultaddressprovincecode", "defaultaddresscountrycode",
		"cardaddressline1", "cardaddressline2", "cardaddresscity", "cardaddressstate",
		"cardaddresscountry", "cardaddresszip", "endereco", "rua", "direccion", "adresse",
	},
	"notes": {
		"note", "description", "comment", "comments", "remarks", "nota", "notas", "obs",
		"observacao", "observacoes", "observaciones",
	},

	"user":     {"usuario", "username", "login", "name", "nome", "nombre"},
	"password": {"senha", "contrasena", "pass", "pwd", "newpassword"},
	"current":  {"currentpassword", "oldpassword", "senhaatual", "password"},
	"role":     {"papel", "rol", "perfil"},
	"code":     {"otp", "totp", "mfacode"},
}

// nearest returns the known name that was probably meant by another one, or "".
func nearest(name string, known []string) string {
	if len(name) > 64 {
		return ""
	}
	key := lettersOnly(name)
	tests := []func(k string) bool{
		func(k string) bool { return lettersOnly(k) == key },
		func(k string) bool { return slices.Contains(otherNames[k], key) },
		func(k string) bool { return len(k) >= 4 && strings.Contains(key, lettersOnly(k)) },
		func(k string) bool { return len(k) >= 4 && isSlip(key, lettersOnly(k)) },
	}
	for _, meant := range tests {
		if i := slices.IndexFunc(known, meant); i >= 0 && key != "" {
			return known[i]
		}
	}
	return ""
}

// lettersOnly returns a name without case, accents, and what people write between words.
func lettersOnly(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, store.Fold(name))
}

// isSlip reports whether one letter too many, too few or wrong, or two in the wrong order, make a
// of b.
func isSlip(a, b string) bool {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	a, b = a[n:], b[n:]
	switch {
	case a == "" || b == "":
		return len(a)+len(b) == 1
	case a[1:] == b, a == b[1:], a[1:] == b[1:]:
		return true
	}
	return len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]
}

// memberNames returns the names of the members that a struct is read from.
func memberNames(t reflect.Type) (names []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name != "":
			names = append(names, name)
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			names = append(names, memberNames(f.Type)...)
		}
	}
	return names
}
