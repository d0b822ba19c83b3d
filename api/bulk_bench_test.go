package api

import (
	"encoding/csv"
	"io"
	"strconv"
	"testing"

	"clientes/store"
)

// BenchmarkExport is what it costs to write a record, and what that is by the library.
func BenchmarkExport(b *testing.B) {
	c := store.Cliente{
		ID: 123_456, Name: "Ana Beatriz Conceição", Email: "ana@example.com", Phone: "+55 11 99999-0000", Company: "Exemplo Ltda.",
		Address: "Rua das Laranjeiras 100, São Paulo", Notes: "Pays by the month.\nPrefers email.", Version: 1,
	}
	for name, write := range map[string]func([]byte, store.Cliente) []byte{"csv": appendCSV, "ndjson": appendNDJSON} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = write(buf[:0], c)
			}
		})
	}
	b.Run("csv by encoding/csv", func(b *testing.B) {
		b.ReportAllocs()
		w := csv.NewWriter(io.Discard)
		for b.Loop() {
			_ = w.Write([]string{
				strconv.FormatInt(c.ID, 10), c.Name, c.Email, c.Phone, c.Company, c.Address, c.Notes, strconv.FormatInt(c.Version, 10),
				string(appendInstant(nil, c.CreatedAt)), string(appendInstant(nil, c.UpdatedAt)),
			})
		}
	})
}
