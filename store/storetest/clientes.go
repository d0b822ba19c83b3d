package storetest

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"clientes/store"
)

func clienteChecks() []check {
	return []check{
		{"a new cliente gets an id, version 1 and the instant", clienteIsNew},
		{"text comes back to the byte", clienteText},
		{"an unknown id is ErrNotFound on read, update and delete", clienteUnknown},
		{"a deleted cliente is ErrNotFound, also on the second delete", clienteDeleted},
		{"an id is never used twice", clienteIDOnce},
		{"any number of clientes have no email", clienteNoEmail},
		{"an email that another has in any case is a conflict", clienteConflict},
		{"what nobody sees makes no second record of an email", clienteUnseenConflict},
		{"an email is free again when its cliente drops it or goes", clienteEmailFree},
		{"of many creates with one email at once one succeeds", clienteOneWins},
		{"an update counts the version up and keeps what it must not touch", clienteUpdate},
		{"an update that changes nothing writes nothing", clienteNoChange},
		{"the error of an update comes back as it is and nothing is written", clienteChangeError},
		{"the error of a delete's check comes back as it is and nothing is deleted",
			clienteCheckError},
		{"a panic in an update reaches the caller and the store goes on", clientePanic},
		{"a clock that goes back does not take updated_at along", clienteClockBack},
		{"a hundred updaters at once lose no update", clienteUpdaters},
		{"a page holds at most its limit, by ascending id", clientePage},
		{"a walk while rows come and go sees each surviving row exactly once", clienteWalk},
		{"a walk beside busy writers sees each surviving row exactly once", clienteBusyWalk},
	}
}

func clienteIsNew(t *testing.T, f *fixture) {
	in := everyText()
	in.ID, in.Version, in.CreatedAt, in.UpdatedAt = 77, 9, time.Unix(0, 0), time.Unix(0, 0)
	got, err := f.CreateCliente(t.Context(), 0, in)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID < 1 || got.ID == in.ID {
		t.Errorf("the id is %d", got.ID)
	}
	want := in
	want.ID, want.Version, want.CreatedAt, want.UpdatedAt = got.ID, 1, f.now(), f.now()
	wantSame(t, "created", got, want)

	read, err := f.Cliente(t.Context(), got.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read", read, want)
	page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{}, 10)
	if err != nil || len(page) != 1 {
		t.Fatalf("listed %v, %v", page, err)
	}
	wantSame(t, "listed", page[0], want)
	f.clock.add(time.Hour)
	if next := f.cliente(t, "Bia", ""); next.ID <= got.ID || !next.CreatedAt.Equal(f.now()) {
		t.Errorf("the next one is %+v after %+v", next, got)
	}
}

// texts are what a careless engine, driver or query alters, cuts or fails on. None holds a NUL,
// which validation refuses and some engines cannot keep.
func texts() map[string]string {
	return map[string]string{
		"empty":         "",
		"spaces":        "  a  ",
		"accents":       "José Conceição Ångström",
		"decomposed":    "Jose\u0301 Conceic\u0327a\u0303o",
		"emoji":         "👩‍👩‍👧‍👦 🇧🇷 🏳️‍🌈",
		"scripts":       "Ἑλλάς 日本語 العربية עברית ไทย",
		"right to left": "\u202eabc\u202c",
		"quotes":        `'"` + "`" + `'' "" \' \" \\ $1 ? :a @b`,
		"sql":           `'; DROP TABLE clientes; --`,
		"like":          "100%_*[a-z]",
		"lines":         "a\r\nb\nc\td",
		"control":       "\x01\x1f\x7f\u0085",
		"null":          "NULL",
		"no value":      `\N`, // as a whole, it is NULL to COPY
		"end of data":   `\.`, // and so is this to COPY
		"number":        "0012.50e3",
		"odd runes":     "\ufffd\uffff\U0010ffff\ufeff",
		"escape":        `\N \. \x41 {"a":1}`,
	}
}

func clienteText(t *testing.T, f *fixture) {
	check := func(what string, in store.Cliente) {
		got, err := f.CreateCliente(t.Context(), 0, in)
		if err != nil {
			t.Errorf("%s: create: %v", what, err)
			return
		}
		read, err := f.Cliente(t.Context(), got.ID)
		if err != nil || !read.SameText(in) {
			t.Errorf("%s: created\n%s\nread, %v\n%s", what, clip(in), err, clip(read))
		}
		blank, err := f.UpdateCliente(t.Context(), 0, got.ID,
			func(c store.Cliente) (store.Cliente, error) {
				return store.Cliente{Name: "x"}, nil
			})
		if err != nil || !blank.SameText(store.Cliente{Name: "x"}) {
			t.Errorf("%s: blanked to %s, %v", what, clip(blank), err)
		}
		_, err = f.UpdateCliente(t.Context(), 0, got.ID,
			func(store.Cliente) (store.Cliente, error) { return in, nil })
		if err != nil {
			t.Errorf("%s: update: %v", what, err)
		}
		if read, err = f.Cliente(t.Context(), got.ID); err != nil || !read.SameText(in) {
			t.Errorf("%s: updated\n%s\nread, %v\n%s", what, clip(in), err, clip(read))
		}
	}
	for what, s := range texts() {
		c := withTexts(s)
		c.Email = s
		check(what, c)
	}
	check("longest", longest())
}

func clienteUnknown(t *testing.T, f *fixture) {
	known := f.cliente(t, "Ana", "")
	for _, id := range []int64{known.ID + 1, 0, -1, -known.ID, math.MaxInt64, math.MinInt64} {
		_, err := f.Cliente(t.Context(), id)
		wantErr(t, err, store.ErrNotFound)
		_, err = f.UpdateCliente(t.Context(), 0, id, func(c store.Cliente) (store.Cliente, error) {
			t.Errorf("update was called for id %d", id)
			return c, nil
		})
		wantErr(t, err, store.ErrNotFound)
		err = f.DeleteCliente(t.Context(), 0, id, func(store.Cliente) error {
			t.Errorf("check was called for id %d", id)
			return nil
		})
		wantErr(t, err, store.ErrNotFound)
	}
}

func clienteDeleted(t *testing.T, f *fixture) {
	ana, bia := f.cliente(t, "Ana", ""), f.cliente(t, "Bia", "")
	remove := func() error {
		return f.DeleteCliente(t.Context(), 0, ana.ID, func(c store.Cliente) error {
			wantSame(t, "what check is called with", c, ana)
			return nil
		})
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	_, err := f.Cliente(t.Context(), ana.ID)
	wantErr(t, err, store.ErrNotFound)
	wantErr(t, remove(), store.ErrNotFound)
	page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{}, 10)
	if err != nil || len(page) != 1 || page[0] != bia {
		t.Errorf("what is left is %+v, %v", page, err)
	}
}

func clienteIDOnce(t *testing.T, f *fixture) {
	f.cliente(t, "Ana", "")
	highest := f.cliente(t, "Bia", "")
	f.drop(t, highest.ID)
	next := f.cliente(t, "Caio", "")
	if next.ID <= highest.ID {
		t.Errorf("after %d went the next id is %d", highest.ID, next.ID)
	}
	f.drop(t, next.ID)
	last, err := f.another(t).CreateCliente(t.Context(), 0, store.Cliente{Name: "Davi"})
	if err != nil || last.ID <= next.ID {
		t.Errorf("after %d went and the store was opened again the next id is %d, %v", next.ID,
			last.ID, err)
	}
}

func clienteNoEmail(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "ana@example.com")
	for i := range 3 {
		f.cliente(t, strconv.Itoa(i), "")
	}
	_, err := f.UpdateCliente(t.Context(), 0, ana.ID, func(c store.Cliente) (store.Cliente, error) {
		c.Email = ""
		return c, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// sameEmails are pairs that differ only in case, some in ways that an engine's own lower() does not
// know.
func sameEmails() map[string]string {
	return map[string]string{
		"ana@example.com":       "ANA@Example.COM",
		"josé@example.com":      "JOSÉ@EXAMPLE.COM",
		"straße@example.com":    "STRASSE@example.com",
		"οδυσσεύς@example.com":  "ΟΔΥΣΣΕΎΣ@example.com",
		"щука@пример.рф":        "ЩУКА@ПРИМЕР.РФ",
		"ñandú@example.com":     "ÑANDÚ@example.com",
		"bía@example.com":       "BI\u0301A@example.com",
		"\u2c65@example.com":    "\u023a@example.com", // the lower case takes a byte more
		"a'b%_\\c@example.com":  "A'B%_\\C@example.com",
		"\u212a@example.com":    "k@example.com", // the Kelvin sign
		"\ufb01n@example.com":   "FIN@example.com",
		"\u01c6@example.com":    "\u01c5@example.com", // title case
		"\U00010428@desert.com": "\U00010400@desert.com",
	}
}

func clienteConflict(t *testing.T, f *fixture) {
	for a, b := range sameEmails() {
		first := f.cliente(t, "first", a)
		other := f.cliente(t, "other", "")

		_, err := f.CreateCliente(t.Context(), 0, store.Cliente{Name: "second", Email: b})
		wantConflict(t, err, "email")
		_, err = f.UpdateCliente(t.Context(), 0, other.ID,
			func(c store.Cliente) (store.Cliente, error) {
				c.Name, c.Email = "changed", b
				return c, nil
			})
		wantConflict(t, err, "email")
		if read, err := f.Cliente(t.Context(), other.ID); err != nil || read != other {
			t.Errorf("the refused update left %+v, %v", read, err)
		}

		// Its own email in another case is no conflict, and is kept as written.
		got, err := f.UpdateCliente(t.Context(), 0, first.ID,
			func(c store.Cliente) (store.Cliente, error) {
				c.Email = b
				return c, nil
			})
		if err != nil || got.Email != b || got.Version != 2 {
			t.Errorf("%q to %q: got %+v, %v", a, b, got, err)
		}
	}
	page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{}, 1000)
	if err != nil || len(page) != 2*len(sameEmails()) {
		t.Errorf("there are %d clientes, %v; a refused one was kept, or one that was not is gone",
			len(page), err)
	}
	// Emails that differ in more than case are no conflict, even if they fold alike.
	f.cliente(t, "", "jose@example.com")
	f.cliente(t, "", "joseé@example.com")
}

func clienteUnseenConflict(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "ana@example.com")
	for _, email := range []string{
		" ana@example.com", "\u200bANA@example.com", "ana@example.com\u2060\n",
		"\u3164ana@example.com\u2800",
	} {
		c, err := store.Cliente{Name: "second", Email: email}.Validate()
		if err != nil {
			t.Errorf("%q: %v", email, err)
			continue
		}
		_, err = f.CreateCliente(t.Context(), 0, c)
		wantConflict(t, err, "email")
		page, err := f.Clientes(t.Context(),
			store.Selection{Filter: store.Filter{Email: c.Email}}, store.Position{}, 10)
		if err != nil || len(page) != 1 || page[0] != ana {
			t.Errorf("%q finds %+v, %v", email, page, err)
		}
	}
}

func clienteEmailFree(t *testing.T, f *fixture) {
	const email = "ana@example.com"
	ana := f.cliente(t, "Ana", email)
	_, err := f.UpdateCliente(t.Context(), 0, ana.ID, func(c store.Cliente) (store.Cliente, error) {
		c.Email = "other@example.com"
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bia := f.cliente(t, "Bia", email)
	f.drop(t, bia.ID)
	f.cliente(t, "Caio", email)
}

func clienteOneWins(t *testing.T, f *fixture) {
	stores := []store.Store{f, f.another(t)}
	for round := range 20 {
		var mu sync.Mutex
		created := 0
		var tries []func()
		for i := range 8 {
			tries = append(tries, func() {
				_, err := stores[i%2].CreateCliente(t.Context(), 0, store.Cliente{
					Name:  strconv.Itoa(i),
					Email: fmt.Sprintf("same%d@example.com", round),
				})
				if err != nil {
					wantConflict(t, err, "email")
					return
				}
				mu.Lock()
				defer mu.Unlock()
				created++
			})
		}
		atOnce(tries...)
		if created != 1 {
			t.Fatalf("round %d: %d creates with one email succeeded", round, created)
		}
	}
}

func clienteUpdate(t *testing.T, f *fixture) {
	old := f.cliente(t, "Ana", "ana@example.com")
	f.clock.add(90 * time.Second)
	got, err := f.UpdateCliente(t.Context(), 0, old.ID,
		func(c store.Cliente) (store.Cliente, error) {
			wantSame(t, "what update is called with", c, old)
			return store.Cliente{
				ID:        c.ID + 1,
				Name:      "Ana Maria",
				Company:   "Padaria",
				Version:   c.Version + 7,
				CreatedAt: c.CreatedAt.Add(time.Hour),
				UpdatedAt: c.UpdatedAt.Add(-time.Hour),
			}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Cliente{
		ID:        old.ID,
		Name:      "Ana Maria",
		Company:   "Padaria",
		Version:   2,
		CreatedAt: old.CreatedAt,
		UpdatedAt: f.now(),
	}
	wantSame(t, "updated", got, want)
	read, err := f.Cliente(t.Context(), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read", read, want)
}

func clienteNoChange(t *testing.T, f *fixture) {
	old := f.cliente(t, "Ana", "ana@example.com")
	f.clock.add(time.Hour)
	got, err := f.UpdateCliente(t.Context(), 0, old.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.ID, c.Version, c.CreatedAt, c.UpdatedAt = 99, 99, time.Time{}, time.Time{}
			return c, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "returned", got, old)
	read, err := f.Cliente(t.Context(), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "read", read, old)
}

func clienteChangeError(t *testing.T, f *fixture) {
	old := f.cliente(t, "Ana", "ana@example.com")
	refusal := errors.New("refused")
	_, err := f.UpdateCliente(t.Context(), 0, old.ID, func(c store.Cliente) (store.Cliente, error) {
		c.Name = "Bia"
		return c, refusal
	})
	if err != refusal { // not errors.Is: the promise is unwrapped
		t.Errorf("got %v", err)
	}
	if read, err := f.Cliente(t.Context(), old.ID); err != nil || read != old {
		t.Errorf("left %+v, %v", read, err)
	}
}

func clienteCheckError(t *testing.T, f *fixture) {
	old := f.cliente(t, "Ana", "ana@example.com")
	refusal := errors.New("refused")
	err := f.DeleteCliente(t.Context(), 0, old.ID, func(store.Cliente) error { return refusal })
	if err != refusal {
		t.Errorf("got %v", err)
	}
	if read, err := f.Cliente(t.Context(), old.ID); err != nil || read != old {
		t.Errorf("left %+v, %v", read, err)
	}
}

func clientePanic(t *testing.T, f *fixture) {
	ana := f.cliente(t, "Ana", "")
	// More often than there are connections, so that a connection that was not released is missed.
	for range 40 {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic did not come through")
				}
			}()
			f.UpdateCliente(t.Context(), 0, ana.ID,
				func(store.Cliente) (store.Cliente, error) { panic("boom") })
		}()
	}
	// A callback may also end its goroutine, as t.FailNow does.
	var ended sync.WaitGroup
	ended.Go(func() {
		f.DeleteCliente(t.Context(), 0, ana.ID,
			func(store.Cliente) error { runtime.Goexit(); return nil })
	})
	ended.Wait()
	if read, err := f.Cliente(t.Context(), ana.ID); err != nil || read != ana {
		t.Errorf("left %+v, %v", read, err)
	}
	f.cliente(t, "Bia", "")
}

func clienteClockBack(t *testing.T, f *fixture) {
	old := f.cliente(t, "Ana", "")
	f.clock.add(-24 * time.Hour)
	got, err := f.UpdateCliente(t.Context(), 0, old.ID,
		func(c store.Cliente) (store.Cliente, error) {
			c.Name = "Bia"
			return c, nil
		})
	if err != nil || got.Version != 2 || !got.UpdatedAt.Equal(old.UpdatedAt) {
		t.Errorf("got %+v, %v", got, err)
	}
	if read, err := f.Cliente(t.Context(), old.ID); err != nil || read != got {
		t.Errorf("read %+v, %v", read, err)
	}
}

func clienteUpdaters(t *testing.T, f *fixture) {
	const updaters = 100
	stores := []store.Store{f, f.another(t)}
	ana := f.cliente(t, "Ana", "")
	var updates []func()
	for i := range updaters {
		updates = append(updates, func() {
			_, err := stores[i%2].UpdateCliente(t.Context(), 0, ana.ID,
				func(c store.Cliente) (store.Cliente, error) {
					c.Notes += "x"
					return c, nil
				})
			if err != nil {
				t.Errorf("updater %d: %v", i, err)
			}
		})
	}
	atOnce(updates...)
	got, err := f.Cliente(t.Context(), ana.ID)
	if err != nil || got.Version != 1+updaters || len(got.Notes) != updaters {
		t.Errorf("version %d, %d updates kept, %v", got.Version, len(got.Notes), err)
	}
}

func clientePage(t *testing.T, f *fixture) {
	page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{}, 10)
	if err != nil || page == nil || len(page) != 0 {
		t.Errorf("an empty store has %#v, %v", page, err)
	}
	var all []store.Cliente
	for i := range 7 {
		all = append(all, f.cliente(t, strconv.Itoa(i), ""))
	}
	for _, c := range []struct {
		after       int64
		limit       int
		first, last int // of all
	}{
		{0, 3, 0, 3},
		{-5, 3, 0, 3},
		{math.MinInt64, 3, 0, 3},
		{all[2].ID, 3, 3, 6},
		{all[5].ID, 3, 6, 7},
		{all[6].ID, 3, 7, 7},
		{math.MaxInt64, 3, 7, 7},
		{0, 7, 0, 7},
		{0, 1000, 0, 7},
		{0, 1, 0, 1},
		{0, 0, 0, 0},
		{0, -1, 0, 0},
	} {
		page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{ID: c.after},
			c.limit)
		if err != nil || page == nil || fmt.Sprint(page) != fmt.Sprint(all[c.first:c.last]) {
			t.Errorf("%d after %d: got %+v, %v", c.limit, c.after, page, err)
		}
	}
}

func clienteWalk(t *testing.T, f *fixture) {
	var ids []int64
	for i := range 50 {
		ids = append(ids, f.cliente(t, strconv.Itoa(i), "").ID)
	}
	survives := make(map[int64]bool)
	for _, id := range ids {
		survives[id] = true
	}
	seen := make(map[int64]int)
	after := int64(0)
	for step := 0; ; step++ {
		page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{ID: after}, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			seen[c.ID]++
		}
		after = page[len(page)-1].ID
		// The row that the walk stands on is deleted, and one ahead of it; another is added.
		f.drop(t, after)
		delete(survives, after)
		if step < 4 {
			ahead := ids[len(ids)-1-step]
			f.drop(t, ahead)
			delete(survives, ahead)
			f.cliente(t, "new", "")
		}
	}
	for id := range survives {
		if seen[id] != 1 {
			t.Errorf("id %d was seen %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("id %d was seen %d times", id, n)
		}
	}
}

func clienteBusyWalk(t *testing.T, f *fixture) {
	var stay []int64
	for i := range 60 {
		stay = append(stay, f.cliente(t, strconv.Itoa(i), "").ID)
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := f.CreateCliente(t.Context(), 0, store.Cliente{Name: "passing"})
				if err == nil {
					err = f.DeleteCliente(t.Context(), 0, c.ID,
						func(store.Cliente) error { return nil })
				}
				if err == nil {
					_, err = f.UpdateCliente(t.Context(), 0, stay[0],
						func(c store.Cliente) (store.Cliente, error) {
							c.Phone = strconv.FormatInt(c.Version, 10)
							return c, nil
						})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer writers.Wait()
	defer close(stop)

	for range 10 {
		seen := make(map[int64]int)
		// The walk ends at the last row that stays: behind it the writers could go on forever.
		for after := int64(0); after < stay[len(stay)-1]; {
			page, err := f.Clientes(t.Context(), store.Selection{}, store.Position{ID: after}, 7)
			if err != nil || len(page) == 0 {
				t.Errorf("after %d: %d rows, %v", after, len(page), err)
				return
			}
			for _, c := range page {
				if c.ID <= after {
					t.Errorf("id %d came after %d", c.ID, after)
				}
				after = c.ID
				seen[c.ID]++
			}
		}
		for _, id := range stay {
			if seen[id] != 1 {
				t.Errorf("id %d was seen %d times", id, seen[id])
			}
		}
	}
}
