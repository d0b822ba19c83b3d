package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"clientes/store"
)

func writesTogetherChecks() []check {
	return []check{
		{"of many creates at once each has its own outcome, id and texts", createsTogether},
		{"of many updates at once each has its own outcome", updatesTogether},
		{"of many logouts at once each has its own outcome", endsTogether},
	}
}

// crowd calls f for the numbers up to n from as many goroutines. Unlike atOnce it lets them all
// wait, because writers who wait may share a commit.
func crowd(n int, f func(i int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { f(i) })
	}
	running.Wait()
}

func createsTogether(t *testing.T, f *fixture) {
	const creates, emails = 96, 8
	ana := f.user(t, "ana", store.Editor)
	f.cliente(t, "taken", "taken@example.com")
	made := make([]store.Cliente, creates)
	errs := make([]error, creates)
	crowd(creates, func(i int) {
		c := withTexts(fmt.Sprintf("create %d", i))
		switch i % 4 {
		case 0:
			c.Email = "TAKEN@example.com"
		case 1:
			c.Email = fmt.Sprintf("%d@example.com", i%emails) // of many, one gets it
		}
		made[i], errs[i] = f.CreateCliente(t.Context(), ana.ID, c)
	})
	ids, got := map[int64]bool{}, map[string]int{}
	for i, c := range made {
		if i%4 == 0 || i%4 == 1 && errs[i] != nil {
			wantConflict(t, errs[i], "email")
			continue
		}
		must(t, errs[i])
		read, err := f.Cliente(t.Context(), c.ID)
		must(t, err)
		wantSame(t, "read", read, c)
		if c.Notes != fmt.Sprintf("create %d", i) || ids[c.ID] {
			t.Errorf("create %d made %s", i, clip(c))
		}
		ids[c.ID] = true
		if c.Email != "" {
			got[c.Email]++
		}
		changes, err := f.ClienteHistory(t.Context(), c.ID, 0, 10)
		want := store.Change{
			Version: 1, Action: store.Created, UserID: ana.ID, User: "ana", At: f.now(), Record: c,
		}
		if err != nil || len(changes) != 1 || changes[0] != want {
			t.Errorf("the history of create %d is %s, %v", i, clip(changes), err)
		}
	}
	if len(got) != emails/4 || len(ids) != creates/2+emails/4 {
		t.Errorf("%d were made, with the emails %v", len(ids), got)
	}
	for email, n := range got {
		if n != 1 {
			t.Errorf("%d have the email %s", n, email)
		}
	}
	n, err := f.CountClientes(t.Context(), store.Filter{})
	if err != nil || n != int64(len(ids)+1) {
		t.Errorf("%d are there, %v; %d were answered", n, err, len(ids)+1)
	}
}

func updatesTogether(t *testing.T, f *fixture) {
	const updates, records = 96, 4
	f.cliente(t, "taken", "taken@example.com")
	var ids [records]int64
	for i := range ids {
		ids[i] = f.cliente(t, "Ana", fmt.Sprintf("%d@example.com", i)).ID
	}
	refusal := errors.New("refused")
	kept := make([]int64, updates) // the version that an update made, 0 if it made none
	crowd(updates, func(i int) {
		defer func() {
			if r := recover(); (r != nil) != (i%8 == 5) {
				t.Errorf("update %d panics with %v", i, r)
			}
		}()
		id := ids[i/8%records]
		got, err := f.UpdateCliente(t.Context(), int64(i), id,
			func(c store.Cliente) (store.Cliente, error) {
				c.Notes += "x"
				switch i % 8 {
				case 4:
					return c, refusal
				case 5:
					panic("boom")
				case 6:
					c.Email = "TAKEN@example.com"
				case 7:
					c.Email = fmt.Sprintf("new%d@example.com", i)
				}
				return c, nil
			})
		switch i % 8 {
		case 4:
			if err != refusal { // not errors.Is: the promise is unwrapped
				t.Errorf("got %v", err)
			}
		case 6:
			wantConflict(t, err, "email")
		default:
			if must(t, err); got.ID != id || len(got.Notes) != int(got.Version)-1 {
				t.Errorf("update %d made %s", i, clip(got))
			}
			kept[i] = got.Version
		}
	})
	_, err := f.UpdateCliente(t.Context(), 0, 999,
		func(c store.Cliente) (store.Cliente, error) { return c, nil })
	wantErr(t, err, store.ErrNotFound)
	for n, id := range ids {
		changes, err := f.ClienteHistory(t.Context(), id, 0, 1000)
		if want := 1 + updates/records*5/8; err != nil || len(changes) != want {
			t.Fatalf("record %d has %d changes, want %d, %v", n, len(changes), want, err)
		}
		for at, change := range changes[:len(changes)-1] {
			version, by := int64(len(changes)-at), change.UserID
			if change.Version != version || kept[by] != version || int(by)/8%records != n ||
				change.Record.Notes != strings.Repeat("x", int(version)-1) {
				t.Errorf("the change to %d is %s", version, clip(change))
			}
		}
	}
}

func endsTogether(t *testing.T, f *fixture) {
	const sessions = 24
	ana := f.user(t, "ana", store.Editor)
	for i := range sessions {
		f.session(t, fmt.Sprint("session ", i), ana)
	}
	since, err := f.SessionEnds(t.Context(), "", nil)
	must(t, err)
	crowd(4*sessions, func(i int) {
		id := fmt.Sprint("session ", i%(sessions+1)) // the last one is unknown
		n, err := f.EndSession(t.Context(), id)
		switch {
		case i%(sessions+1) == sessions:
			wantErr(t, err, store.ErrNotFound)
		case err != nil || n.ID != id || !n.EndedAt.Equal(f.now()):
			t.Errorf("the end of %q: got %+v, %v", id, n, err)
		}
	})
	ends, err := f.SessionEnds(t.Context(), since.Next, nil)
	must(t, err)
	ended := map[string]bool{}
	for _, e := range ends.Since {
		ended[e.ID] = true
	}
	if len(ended) != sessions || len(ends.Since) != sessions {
		t.Errorf("the ends are %v", ends.Since)
	}
}
