package wire

import (
	"bytes"
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"clientes/store"
)

// BenchmarkExport compares our CSV writer with encoding/csv.
func BenchmarkExport(b *testing.B) {
	c := store.Cliente{
		ID: 123_456, Name: "Ana Beatriz Conceição", Email: "ana@example.com",
		Phone: "+55 11 99999-0000", Company: "Exemplo Ltda.",
		Address: "Rua das Laranjeiras 100, São Paulo", Notes: "Pays by the month.\nPrefers email.",
		Version: 1,
	}
	for name, write := range map[string]func([]byte, *store.Cliente) []byte{
		"csv": appendCSV, "ndjson": appendNDJSON,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = write(buf[:0], &c)
			}
		})
	}
	b.Run("csv by encoding/csv", func(b *testing.B) {
		b.ReportAllocs()
		w := csv.NewWriter(io.Discard)
		var record []string
		for b.Loop() {
			record = append(record[:0], strconv.FormatInt(c.ID, 10))
			for _, t := range c.Texts() {
				record = append(record, *t.Value)
			}
			record = append(record, strconv.FormatInt(c.Version, 10),
				string(appendInstant(nil, c.CreatedAt)), string(appendInstant(nil, c.UpdatedAt)))
			_ = w.Write(record)
		}
	})
}

// BenchmarkClientesJSON compares AppendCliente with reflection.
func BenchmarkClientesJSON(b *testing.B) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	list := make([]store.Cliente, 20)
	for i := range list {
		list[i] = store.Cliente{
			ID: int64(i + 1), Name: "Ana Beatriz Conceição", Email: "ana@example.com",
			Phone: "+55 11 99999-0000", Company: "Exemplo Ltda.", Version: 1,
			CreatedAt: at, UpdatedAt: at,
		}
	}
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf = buf[:0]
			for i := range list {
				buf = AppendCliente(buf, &list[i])
			}
		}
	})
	b.Run("by reflection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(list); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRows reads a file of a thousand rows, as an import does before it calls the store.
func BenchmarkRows(b *testing.B) {
	c := store.Cliente{
		ID: 123_456, Name: "Ana Beatriz Conceição", Email: "ana@example.com",
		Phone: "+55 11 99999-0000", Company: "Exemplo Ltda.",
		Address: "Rua das Laranjeiras 100, São Paulo", Notes: "Pays by the month.\nPrefers email.",
		Version: 1,
	}
	const rows = 1000
	for _, f := range []Format{CSV, NDJSON} {
		file := writeFile(f, slices.Repeat([]store.Cliente{c}, rows))
		b.Run(string(f), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				n := 0
				for _, err := range Rows(bytes.NewReader(file), Reading{Format: f}, Clientes()) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != rows {
					b.Fatal(n)
				}
			}
		})
	}
}
