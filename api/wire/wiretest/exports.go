package wiretest

import (
	"embed"
	"testing"

	"clientes/store"
)

//go:embed exports/*.csv
var exports embed.FS

// ExportOf is a file with customers as another program exports them, with made-up people, and how
// it is imported.
type ExportOf struct {
	Program string
	Name    string // of the file
	File    string
	Columns string
	Charset string // "" if it is UTF-8
	Want    []store.Cliente
}

// Exports returns a file of each program.
func Exports(t testing.TB) []ExportOf {
	t.Helper()
	all := []ExportOf{
		{
			Program: "Google Contacts", Name: "google.csv",
			Columns: "name,name,name,,,,,,,,company,,,,notes,,,,email,,phone,,address",
			Want: []store.Cliente{
				{
					Name: "Rui Alves", Email: "rui@example.com",
					Phone: "+55 11 90000-0001 ::: +55 11 3000-0001", Company: "Oficina Alves",
					Address: "Rua B, 2\nCampinas, SP 13000-000\nBR", Notes: "Prefere\nWhatsApp",
				},
				{Name: "María José Núñez"},
			},
		},
		{
			Program: "Outlook", Name: "outlook.csv", Charset: "windows-1252",
			Columns: "name,name,name,,,,,,,,,,,notes,email,,,,,,phone,,,,,,,,,,,,,,,,,,,,,,company," +
				",,,,,,,address,,,,address,address,address",
			Want: []store.Cliente{
				{
					Name: "José Conceição", Email: "jose@example.com", Phone: "+55 11 90000-0001",
					Company: "Padaria São João", Address: "Rua B, 2\nSala 3 Campinas",
					Notes: "– paga em dia",
				},
				{Name: "Ana M. Souza"},
			},
		},
		{
			Program: "HubSpot", Name: "hubspot.csv",
			Columns: ",name,name,email,phone,company",
			Want: []store.Cliente{
				{Name: "Rui Alves", Email: "r@example.com", Company: "Oficina Alves"},
				{Name: "Ana", Phone: "+55 11 90000-0002"},
			},
		},
		{
			Program: "Salesforce", Name: "salesforce.csv", Charset: "iso-8859-1",
			Columns: ",name,name,,address,address,address,address,address,phone,,,email,,company",
			Want: []store.Cliente{
				{
					Name: "João Lima", Email: "joao@example.com", Phone: "(11) 3000-0001",
					Company: "Lima & Filhos",
					Address: "Av. Paulista, 1000\n10º andar São Paulo SP 01310-100 Brazil",
				},
				{Name: "Costa"},
			},
		},
		{
			Program: "Mailchimp", Name: "mailchimp.csv",
			Columns: "email,name,name,address,phone",
			Want: []store.Cliente{
				{
					Name: "Rui Alves", Email: "rui@example.com", Phone: "+55 11 90000-0001",
					Address: "Rua B, 2  Campinas SP 13000 BR",
				},
				{Name: "Ana", Email: "ana@example.com"},
			},
		},
		{
			Program: "Zoho", Name: "zoho.csv",
			Columns: ",,,name,name,,company,email,,phone,phone,address,address,address,address," +
				"address,notes",
			Want: []store.Cliente{
				{
					Name: "Rui Alves", Email: "rui@example.com", Phone: "+55 11 90000-0001",
					Company: "Oficina Alves", Address: "Rua B, 2 Campinas SP 13000-000 Brasil",
					Notes: `Disse "sim"`,
				},
				{Name: "Costa", Phone: "+55 11 3000-0004"},
			},
		},
		{
			Program: "Stripe", Name: "stripe.csv",
			Columns: ",notes,email,name,,,,address,address",
			Want: []store.Cliente{
				{
					Name: "Rui Alves", Email: "rui@example.com", Address: "Rua B, 2 Campinas",
					Notes: "Assinatura anual",
				},
				{Name: "Ana Souza"},
			},
		},
		{
			Program: "Shopify", Name: "shopify.csv",
			Columns: ",name,name,email,,company,address,address,address,address,address,,,phone,,,,notes",
			Want: []store.Cliente{
				{
					Name: "Rui Alves", Email: "rui@example.com", Phone: "+5511900000001",
					Company: "Oficina Alves", Address: "Rua B, 2 Campinas SP BR",
					Notes: "Entregar\nà tarde",
				},
				{Name: "Ana Souza"},
			},
		},
	}
	for i := range all {
		file, err := exports.ReadFile("exports/" + all[i].Name)
		if err != nil {
			t.Fatal(err)
		}
		all[i].File = string(file)
	}
	return all
}
