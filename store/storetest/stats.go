package storetest

import (
	"sync"
	"testing"

	"clientes/store"
)

func statsChecks() []check {
	return []check{
		{"each call takes a connection of a pool, and returns it", statsTaken},
		{"a call that is under way uses a connection", statsUsed},
		{"commits that writers share are counted if they change something", statsBatches},
		{"reads are counted by how many share them", statsReads},
		{"stats are read beside everything else", statsAtOnce},
	}
}

// totals are the numbers of all pools together.
func totals(t *testing.T, st store.Store) (sum store.PoolStats) {
	t.Helper()
	names := make(map[string]bool)
	for _, p := range st.Stats().Pools {
		if p.Name == "" || names[p.Name] {
			t.Errorf("two pools have the name %q, or none", p.Name)
		}
		names[p.Name] = true
		if p.Max < 1 || p.Used < 0 || p.Idle < 0 || p.Used+p.Idle > p.Max || p.Waiting < 0 {
			t.Errorf("got %+v", p)
		}
		sum.Used += p.Used
		sum.Waiting += p.Waiting
		sum.Taken += p.Taken
		sum.Timeouts += p.Timeouts
	}
	return sum
}

func statsTaken(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	for what, call := range map[string]func() error{
		"a read": func() error {
			_, err := f.Cliente(t.Context(), ana.ID)
			return err
		},
		"a write": func() error {
			_, err := f.CreateCliente(t.Context(), 0, store.Cliente{Name: "Bia"})
			return err
		},
		"a question that decides": func() error {
			_, err := f.SessionEnds(t.Context(), "", nil)
			return err
		},
	} {
		before := totals(t, f)
		must(t, call())
		if after := totals(t, f); after.Taken != before.Taken+1 || after.Used != 0 ||
			after.Waiting != 0 || after.Timeouts != 0 {
			t.Errorf("%s: from %+v to %+v", what, before, after)
		}
	}
	before := totals(t, f)
	if after := totals(t, f); after != before {
		t.Errorf("Stats itself: from %+v to %+v", before, after)
	}
}

func statsUsed(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	release := holdCliente(t, f, ana.ID)
	if got := totals(t, f); got.Used != 1 {
		t.Errorf("during an update: %+v", got)
	}
	release()
	if got := totals(t, f); got.Used != 0 {
		t.Errorf("after it: %+v", got)
	}
}

func statsBatches(t *testing.T, f *fixture) {
	if f.Stats().Writes == nil {
		return // this engine shares none
	}
	want := func(what string, commits int64) {
		t.Helper()
		b := f.Stats().Writes
		last := int64(0)
		for _, n := range b.AtMost {
			if n < last {
				t.Errorf("%s: %+v", what, b)
			}
			last = n
		}
		if b.Batches != commits || b.Calls < b.Batches || last != b.Batches {
			t.Errorf("%s: %+v, want %d commits", what, b, commits)
		}
	}
	before := f.Stats().Writes.Batches
	ana := f.cliente(t, "Ana", "")
	want("a write", before+1)
	_, err := f.Cliente(t.Context(), ana.ID)
	must(t, err)
	want("a read", before+1)
	f.claim(t, f, 10)
	want("a write that changes nothing", before+1)
	wantErr(t, f.DeleteCliente(t.Context(), 0, 999, nil), store.ErrNotFound)
	want("a write that fails", before+1)
}

func statsReads(t *testing.T, f *fixture) {
	if f.Stats().Reads == nil {
		return // this engine shares none
	}
	before := f.Stats().Reads
	ana := f.cliente(t, "Ana", "")
	var reads []func()
	for range 40 {
		reads = append(reads, func() {
			if _, err := f.Cliente(t.Context(), ana.ID); err != nil {
				t.Error(err)
			}
			page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{}, 1)
			if err != nil || len(page) != 1 {
				t.Errorf("got %v, %v", page, err)
			}
		})
	}
	atOnce(reads...)
	after := f.Stats().Reads
	if after.Calls != before.Calls+80 || after.Batches <= before.Batches ||
		after.Batches > before.Batches+80 || after.AtMost[7] != after.Batches {
		t.Errorf("from %+v to %+v", before, after)
	}
}

func statsAtOnce(t *testing.T, f *fixture) {
	before := totals(t, f)
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			if _, err := f.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() { totals(t, f) })
	}
	group.Wait()
	// Calls at the same moment may share a connection.
	if after := totals(t, f); after.Taken == before.Taken || after.Used != 0 {
		t.Errorf("from %+v to %+v", before, after)
	}
}
