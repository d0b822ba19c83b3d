package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"clientes/store"
)

func readsTogetherChecks() []check {
	return []check{
		{"each of many readers at once gets its own row", togetherRows},
		{"each of many readers at once gets its own page", togetherPages},
		{"a reader who hangs up disturbs no other one", togetherHangUp},
	}
}

func togetherRows(t *testing.T, f *fixture) {
	ana := f.user(t, "Ana", store.Editor)
	var reads []func()
	for i := range 30 {
		c := f.cliente(t, fmt.Sprint("Cliente ", i), "")
		n := f.session(t, fmt.Sprint("session ", i), ana)
		absent := c.ID + 1000
		reads = append(reads, func() {
			got, err := f.Cliente(t.Context(), c.ID)
			if err != nil || got != c {
				t.Errorf("got %+v, %v, want %+v", got, err, c)
			}
			if got, err := f.Cliente(t.Context(), absent); !errors.Is(err, store.ErrNotFound) ||
				got != (store.Cliente{}) {
				t.Errorf("an absent one: got %+v, %v", got, err)
			}
			session, err := f.Session(t.Context(), n.ID)
			if err != nil || session != n {
				t.Errorf("got %+v, %v, want %+v", session, err, n)
			}
			u, err := f.User(t.Context(), ana.ID) // all read the same row
			if err != nil || u != ana {
				t.Errorf("got %+v, %v, want %+v", u, err, ana)
			}
		})
	}
	atOnce(reads...)
}

func togetherPages(t *testing.T, f *fixture) {
	all := make([]store.Cliente, 30)
	for i := range all {
		all[i] = f.cliente(t, fmt.Sprintf("Cliente %02d", i), "")
	}
	var reads []func()
	for i := range all {
		for _, sort := range []store.Sort{store.ByID, store.ByName, store.ByCreated} {
			reads = append(reads, func() {
				sel := store.Selection{Sort: sort}
				limit := 1 + i%5
				page, err := f.Clientes(t.Context(), sel, sort.Position(all[i]), limit)
				want := all[i+1 : min(i+1+limit, len(all))]
				if err != nil || fmt.Sprint(page) != fmt.Sprint(want) {
					t.Errorf("after %d by %s: got %v, %v, want %v", i, sort, page, err, want)
				}
			})
		}
	}
	atOnce(reads...)
}

func togetherHangUp(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	var reads []func()
	for i := range 120 {
		reads = append(reads, func() {
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			if i%3 == 0 {
				go hangUp()
			}
			got, err := f.Cliente(ctx, ana.ID)
			if i%3 == 0 && errors.Is(err, context.Canceled) {
				return
			}
			if err != nil || got != ana {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	atOnce(reads...)
}

// ReadsSeeWrites checks under load that a read sees each write that was answered before it was
// asked, whatever connection it takes and whoever it shares a trip with. The environment variable
// TEST_ROUNDS says how many writes there are, 200 without it.
func ReadsSeeWrites(t *testing.T, st store.Store) {
	rounds := Rounds(t, 200)
	const writers, readers = 4, 12
	ids := make([]int64, writers)
	for i := range ids {
		c, err := st.CreateCliente(t.Context(), 0, store.Cliente{Name: "0"})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = c.ID
	}
	load, stop := context.WithCancel(t.Context())
	var writing, reading sync.WaitGroup
	for i := range readers {
		reading.Go(func() {
			for n := i; load.Err() == nil; n++ {
				var err error
				if n%4 < 3 {
					_, err = st.Cliente(load, ids[n%writers])
				} else {
					_, err = st.Clientes(load, store.Selection{}, store.Position{}, writers)
				}
				if err != nil && load.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i, id := range ids {
		writing.Go(func() {
			for n := range max(1, rounds/writers) {
				if err := writeThenRead(t.Context(), st, id, i, fmt.Sprint(n+1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	stop()
	reading.Wait()
}

// writeThenRead renames a record, which is at that index of the first page, and reads it.
func writeThenRead(ctx context.Context, st store.Store, id int64, index int, name string) error {
	_, err := st.UpdateCliente(ctx, 0, id, func(c store.Cliente) (store.Cliente, error) {
		c.Name = name
		return c, nil
	})
	if err != nil {
		return err
	}
	if c, err := st.Cliente(ctx, id); err != nil || c.Name != name {
		return fmt.Errorf("cliente %d was called %s, and then %q: %v", id, name, c.Name, err)
	}
	page, err := st.Clientes(ctx, store.Selection{}, store.Position{}, index+1)
	if err != nil || len(page) != index+1 || page[index].Name != name {
		return fmt.Errorf("cliente %d was called %s, and then the page was %v: %v",
			id, name, page, err)
	}
	return nil
}
