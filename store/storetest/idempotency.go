package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func idempotencyChecks() []check {
	return []check{
		{"a second create with a key returns the first record as it was created", keyReplay},
		{"a key belongs to a user and to one record", keyScope},
		{"fifty creates at once with one key make one record", keyAtOnce},
		{"a create that fails leaves its key free", keyFree},
		{"a key stands for its record until it is removed, whatever the clock shows", keyExpiry},
		{"a key can be any text of its length", keyText},
	}
}

func keyReplay(t *testing.T, f *fixture) {
	in := store.Cliente{
		Name: "Ana", Email: "ana@example.com", Phone: "1", Company: "c", Address: "a", Notes: "n",
	}
	first, replayed, err := f.CreateClienteOnce(t.Context(), 7, in, "k")
	if err != nil || replayed || first.Version != 1 || !first.SameText(in) ||
		!first.CreatedAt.Equal(f.now()) {
		t.Fatalf("%+v, %v, %v", first, replayed, err)
	}
	if read, err := f.Cliente(t.Context(), first.ID); err != nil || read != first {
		t.Errorf("read %+v, %v", read, err)
	}
	h, err := f.ClienteHistory(t.Context(), first.ID, 0, 10)
	if err != nil || len(h) != 1 || h[0].UserID != 7 {
		t.Errorf("history %+v, %v", h, err)
	}
	f.clock.add(time.Hour)
	again, replayed, err := f.another(t).CreateClienteOnce(t.Context(), 7, in, "k")
	if err != nil || !replayed || again != first {
		t.Errorf("%+v, %v, %v", again, replayed, err)
	}
	_, err = f.UpdateCliente(t.Context(), 0, first.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Name = "x"
			return c, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	f.drop(t, first.ID)
	again, replayed, err = f.CreateClienteOnce(t.Context(), 7, in, "k")
	if err != nil || !replayed || again != first {
		t.Errorf("after it is gone: %+v, %v, %v", again, replayed, err)
	}
}

func keyScope(t *testing.T, f *fixture) {
	in, other := store.Cliente{Name: "Ana"}, store.Cliente{Name: "Bia"}
	first, _, err := f.CreateClienteOnce(t.Context(), 1, in, "k")
	if err != nil {
		t.Fatal(err)
	}
	_, replayed, err := f.CreateClienteOnce(t.Context(), 1, other, "k")
	wantErr(t, err, store.ErrKeyReused)
	if replayed {
		t.Error("a refusal is no replay")
	}
	for by, key := range map[int64]string{2: "k", 1: "K"} {
		c, replayed, err := f.CreateClienteOnce(t.Context(), by, in, key)
		if err != nil || replayed || c.ID == first.ID {
			t.Errorf("%d, %s: %+v, %v, %v", by, key, c, replayed, err)
		}
	}
}

func keyAtOnce(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	in := store.Cliente{Name: "Ana", Email: "ana@example.com"}
	var mu sync.Mutex
	made, records := 0, make(map[store.Cliente]bool)
	var creates []func()
	for i := range 50 {
		creates = append(creates, func() {
			c, replayed, err := stores[i%2].CreateClienteOnce(t.Context(), 1, in, "k")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			records[c] = true
			if !replayed {
				made++
			}
		})
	}
	atOnce(creates...)
	if made != 1 || len(records) != 1 {
		t.Errorf("%d were made, %d different answers", made, len(records))
	}
	if n, err := f.CountClientes(t.Context(), store.Filter{}); err != nil || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}
}

func keyFree(t *testing.T, f *fixture) {
	f.cliente(t, "Bia", "taken@example.com")
	in := store.Cliente{Name: "Ana", Email: "Taken@example.com"}
	_, _, err := f.CreateClienteOnce(t.Context(), 1, in, "k")
	wantConflict(t, err, "email")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = f.CreateClienteOnce(gone, 1, in, "k")
	wantErr(t, err, context.Canceled)
	in.Email = "free@example.com"
	if _, replayed, err := f.CreateClienteOnce(t.Context(), 1, in, "k"); err != nil || replayed {
		t.Errorf("%v, %v", replayed, err)
	}
}

func keyExpiry(t *testing.T, f *fixture) {
	in := store.Cliente{Name: "Ana"}
	first, _, err := f.CreateClienteOnce(t.Context(), 1, in, "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, jump := range []time.Duration{
		store.IdempotencyTTL - time.Millisecond, -2 * store.IdempotencyTTL, 400 * 24 * time.Hour,
		-400*24*time.Hour + store.IdempotencyTTL,
	} {
		f.clock.add(jump)
		again, replayed, err := f.CreateClienteOnce(t.Context(), 1, in, "k")
		if err != nil || !replayed || again != first {
			t.Errorf("after %v: %+v, %v, %v", jump, again, replayed, err)
		}
	}
	if n, err := f.DeleteIdempotencyKeys(t.Context(), f.now(), 4); err != nil || n != 0 {
		t.Fatalf("removed %d of a time that has come again, %v", n, err)
	}
	f.clock.add(2 * time.Millisecond)
	if n, err := f.DeleteIdempotencyKeys(t.Context(), f.now(), 4); err != nil || n != 1 {
		t.Fatalf("removed %d, %v", n, err)
	}
	other := store.Cliente{Name: "Bia"}
	second, replayed, err := f.CreateClienteOnce(t.Context(), 1, other, "k")
	if err != nil || replayed || second.Name != "Bia" {
		t.Fatalf("after it was removed: %+v, %v, %v", second, replayed, err)
	}
	for i := range 5 {
		if _, _, err := f.CreateClienteOnce(t.Context(), 1, in, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := f.DeleteIdempotencyKeys(t.Context(), f.now(), 4); err != nil || n != 0 {
		t.Errorf("removed %d young ones, %v", n, err)
	}
	f.clock.add(time.Millisecond)
	for _, c := range []struct{ limit, want int }{{-1, 0}, {0, 0}, {4, 4}, {4, 2}, {4, 0}} {
		n, err := f.DeleteIdempotencyKeys(t.Context(), f.now(), c.limit)
		if err != nil || n != c.want {
			t.Errorf("removed %d of at most %d, want %d, %v", n, c.limit, c.want, err)
		}
	}
	if _, replayed, err := f.CreateClienteOnce(t.Context(), 1, other, "k"); err != nil || replayed {
		t.Errorf("a key that was removed: %v, %v", replayed, err)
	}
}

func keyText(t *testing.T, f *fixture) {
	in := store.Cliente{Name: "Ana"}
	for _, key := range []string{`'"\%_$1?`, strings.Repeat("k", store.MaxIdempotencyKey), " "} {
		first, replayed, err := f.CreateClienteOnce(t.Context(), 1, in, key)
		if err != nil || replayed {
			t.Fatalf("%q: %v, %v", key, replayed, err)
		}
		again, replayed, err := f.CreateClienteOnce(t.Context(), 1, in, key)
		if err != nil || !replayed || again != first {
			t.Errorf("%q: %+v, %v, %v", key, again, replayed, err)
		}
	}
}
