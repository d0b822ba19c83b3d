package storetest

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

// Customers generates n records as a business may have them, numbered from first, and the same ones
// each time. One in twenty is a Silva. One in 100,000 is called Xylophon, and no other name has
// these letters in a row.
func Customers(first, n int) iter.Seq2[store.Cliente, error] {
	given := strings.Fields("Ana Bruno Çelik Dara Eri Flora Gil Helena Ícaro João Karen Luís " +
		"Márcia Natália Otávio Paula Quitéria Rita Sérgio Tânia Ulisses Vera Wagner Yara Zoë")
	family := strings.Fields("Souza Lima Öztürk O’Neill Yamada Dias Moraes Santos Oliveira " +
		"Pereira Costa Rodrigues Almeida Nascimento Araújo Ribeiro Barbosa Gomes Silva")
	trade := strings.Fields("Padaria Farmácia Oficina Livraria Mercearia Papelaria Relojoaria " +
		"Sapataria Açougue Floricultura")
	street := strings.Fields(
		"Flores Laranjeiras Palmeiras Acácias Jacarandás Ipês Mangueiras Figueiras")
	return func(yield func(store.Cliente, error) bool) {
		for i := first; i < first+n; i++ {
			r := rand.New(rand.NewPCG(uint64(i), 7))
			pick := func(words []string) string { return words[r.IntN(len(words))] }
			name := pick(given) + " " + pick(given) + " " + pick(family[:len(family)-1])
			switch {
			case i%100_000 == 77:
				name += " Xylophon"
			case i%20 == 3:
				name += " Silva"
			}
			c := store.Cliente{
				Name: name,
				Phone: fmt.Sprintf("+55 %d %d-%04d", 11+r.IntN(80), 90000+r.IntN(9999),
					r.IntN(10000)),
				Address: fmt.Sprintf("Rua das %s %d, apto. %d", pick(street), r.IntN(3000),
					r.IntN(200)),
			}
			if i%10 > 0 {
				c.Email = fmt.Sprintf("c%d.%x@example.com", i, r.Uint32())
			}
			if i%3 == 0 {
				c.Company = pick(trade) + " " + pick(family)
			}
			if i%7 == 0 {
				c.Notes = fmt.Sprintf("Pays by the month.\nPrefers to be called after %d.",
					8+r.IntN(10))
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Rows returns the number of records for a benchmark: BENCH_ROWS of the environment, 10,000 or
// more, or 100,000 if it is not set.
func Rows(b *testing.B) int {
	text := os.Getenv("BENCH_ROWS")
	if text == "" {
		return 100_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10_000 {
		b.Fatalf("BENCH_ROWS is %q, but has to be a number from 10000", text)
	}
	return n
}

// Fill imports the first n of [Customers].
func Fill(b *testing.B, st store.Store, n int) {
	const most = 500_000
	for first := 0; first < n; first += most {
		_, err := st.ImportClientes(b.Context(), 0, Customers(first, min(most, n-first)))
		if err != nil {
			b.Fatal(err)
		}
	}
}

// SmallRows is the number of records of the small store in [BenchmarkScale].
const SmallRows = 1000

// BenchmarkScale compares reads and creates of a large store with the same of one that has
// [SmallRows] records. It alternates between the two, so that any other load on the machine slows
// both. It reports the 50th and the 99th percentile of each in microseconds, and the ratios.
func BenchmarkScale(b *testing.B, small, large store.Store, rows int) {
	type op func(st store.Store, rows int, r *rand.Rand) error
	// page reads a page: the first, or the one after the record that start returns.
	page := func(sel store.Selection, start func(store.Store, int, *rand.Rand) (
		store.Cliente, error)) op {
		return func(st store.Store, rows int, r *rand.Rand) error {
			var after store.Position
			if start != nil {
				c, err := start(st, rows, r)
				if err != nil {
					return err
				}
				after = sel.Sort.Position(c)
			}
			_, err := st.Clientes(b.Context(), sel, after, 100)
			return err
		}
	}
	// far reads a page near the end of the order: after a record with 100 to 399 behind it.
	far := func(sel store.Selection) op {
		last := make(map[store.Store][]store.Cliente)
		back := sel
		back.Descending = !sel.Descending
		for _, st := range []store.Store{small, large} {
			found, err := st.Clientes(b.Context(), back, store.Position{}, 400)
			if err != nil {
				b.Fatal(err)
			}
			last[st] = found[100:]
		}
		return page(sel, func(st store.Store, _ int, r *rand.Rand) (store.Cliente, error) {
			return last[st][r.IntN(len(last[st]))], nil
		})
	}
	anyone := func(st store.Store, rows int, r *rand.Rand) (store.Cliente, error) {
		return st.Cliente(b.Context(), 1+r.Int64N(int64(rows)))
	}
	text := func(q string, sort store.Sort) op {
		return page(store.Selection{Sort: sort, Filter: store.Filter{Text: q}}, nil)
	}
	for _, c := range []struct {
		name string
		do   op
	}{
		{"first page", page(store.Selection{}, nil)},
		{"far page", far(store.Selection{})},
		{"first page by name", page(store.Selection{Sort: store.ByName}, nil)},
		{"far page by name", far(store.Selection{Sort: store.ByName})},
		{"any page by name", page(store.Selection{Sort: store.ByName}, anyone)},
		{"first page by created_at", page(store.Selection{Sort: store.ByCreated}, nil)},
		{"far page by created_at", far(store.Selection{Sort: store.ByCreated})},
		{"first page by -updated_at",
			page(store.Selection{Sort: store.ByUpdated, Descending: true}, nil)},
		{"far page by -updated_at", far(store.Selection{Sort: store.ByUpdated, Descending: true})},
		{"by id", func(st store.Store, rows int, r *rand.Rand) error {
			_, err := anyone(st, rows, r)
			return err
		}},
		{"by email", func(st store.Store, rows int, r *rand.Rand) error {
			i := r.IntN(rows/10)*10 + 1
			for c := range Customers(i, 1) {
				found, err := st.Clientes(b.Context(),
					store.Selection{Filter: store.Filter{Email: c.Email}}, store.Position{}, 2)
				if err != nil {
					return fmt.Errorf("read the record with the email of %d: %w", i, err)
				}
				if len(found) != 1 {
					return fmt.Errorf("%d records have the email of %d", len(found), i)
				}
			}
			return nil
		}},
		{"q rare", text("xylophon", store.ByID)},
		{"q rare by name", text("xylophon", store.ByName)},
		{"q common", text("silva", store.ByID)},
		{"q common by name", text("silva", store.ByName)},
		{"q of two words", text("ana silva", store.ByID)},
		{"q nobody has", text("quasimodo", store.ByID)},
		{"q of 2 characters", text("qu", store.ByID)},
		{"q of 1 character", text("z", store.ByID)},
		{"q of 1 that nobody has", text("x", store.ByID)},
		{"create", func(st store.Store, _ int, r *rand.Rand) error {
			for c := range Customers(r.IntN(1<<30), 1) {
				c.Email = "" // another record may have it
				if _, err := st.CreateCliente(b.Context(), 0, c); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took [2][]time.Duration
			r := rand.New(rand.NewPCG(1, 2))
			once := func(i int, st store.Store, rows int) {
				start := time.Now()
				if err := c.do(st, rows, r); err != nil {
					b.Fatal(err)
				}
				took[i] = append(took[i], time.Since(start))
			}
			for b.Loop() {
				once(0, small, SmallRows)
				once(1, large, rows)
			}
			for _, p := range []int{50, 99} {
				var at [2]float64
				for i := range took {
					slices.Sort(took[i])
					at[i] = float64(took[i][len(took[i])*p/100].Nanoseconds()) / 1000
				}
				b.ReportMetric(at[0], fmt.Sprintf("p%d-small-µs", p))
				b.ReportMetric(at[1], fmt.Sprintf("p%d-large-µs", p))
				b.ReportMetric(at[1]/at[0], fmt.Sprintf("p%d-ratio", p))
			}
		})
	}
}
