package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
	"clientes/store/storetest"
)

// untilWaiting waits until so many callers wait for the writer.
func untilWaiting(s *Store, callers int64) {
	for s.stats.writer.waiting.Load() < callers {
		time.Sleep(time.Millisecond)
	}
}

// All creates that wait for the writer are written by the first of them, with one commit. Those
// whose email is taken have an error of their own.
func TestCreatesThatWaitShareATurn(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	const creates = 3*maxRows + 5
	w := <-s.writer
	before, taken := *s.Stats().Writes, s.stats.writer.taken.Load()
	gone, cancel := context.WithCancel(t.Context())
	var waiting, left sync.WaitGroup
	left.Go(func() {
		_, err := s.CreateCliente(gone, 0, store.Cliente{Name: "gone"})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	var conflicts atomic.Int64
	for i := range creates {
		waiting.Go(func() {
			in := store.Cliente{Name: fmt.Sprint(i)}
			if i < 2 {
				in.Email = "same@example.com"
			}
			c, err := s.CreateCliente(t.Context(), 0, in)
			if conflict := (*store.ConflictError)(nil); i < 2 && errors.As(err, &conflict) {
				conflicts.Add(1)
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			got, err := s.Cliente(t.Context(), c.ID)
			if err != nil || got != c || got.Name != in.Name {
				t.Errorf("made %+v, read %+v, %v", c, got, err)
			}
		})
	}
	untilWaiting(s, creates+1)
	cancel()
	left.Wait()
	s.writer <- w
	waiting.Wait()
	if n := conflicts.Load(); n != 1 {
		t.Errorf("%d conflicts", n)
	}
	if got := len(strings.Fields(names(t, s))); got != creates-1 {
		t.Errorf("%d are there", got)
	}
	after := s.Stats().Writes
	if after.Batches != before.Batches+1 || after.Calls != before.Calls+creates {
		t.Errorf("from %+v to %+v", before, after)
	}
	// Somebody else may get the writer before it learns that its create was written.
	if n := s.stats.writer.taken.Load() - taken; n > creates/2 {
		t.Errorf("%d turns for %d creates", n, creates)
	}
}

// A commit that fails fails all creates in it.
func TestAFailedCommitFailsTheCreatesInIt(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	addDeferred(t, s)
	w := <-s.writer
	b, err := w.begin(t.Context(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := breakDeferred(w.conn); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range 5 {
		waiting.Go(func() {
			_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "x"})
			if sqlite.ErrCode(err) != sqlite.ResultConstraintForeignKey {
				t.Errorf("got %v", err)
			}
		})
	}
	untilWaiting(s, 5)
	if err := s.finish(w, b); sqlite.ErrCode(err) != sqlite.ResultConstraintForeignKey {
		t.Errorf("got %v", err)
	}
	waiting.Wait()
	if got := names(t, s); got != "" {
		t.Errorf("kept %q", got)
	}
}

// A panic reaches the create that writes. Those that it writes have an error, and the next ones the
// writer.
func TestAPanicOfACreateHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	now := s.now
	s.now = func() time.Time { panic("broken") }
	w := <-s.writer
	var panics, errs atomic.Int64
	var creates sync.WaitGroup
	for range 3 {
		creates.Go(func() {
			defer func() {
				if recover() != nil {
					panics.Add(1)
				}
			}()
			if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
				errs.Add(1)
			}
		})
	}
	untilWaiting(s, 3)
	s.writer <- w
	creates.Wait()
	if panics.Load() != 1 || errs.Load() != 2 {
		t.Errorf("%d panics and %d errors", panics.Load(), errs.Load())
	}
	s.now = now
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	if err != nil || c.ID != 1 {
		t.Errorf("the next one: %+v, %v", c, err)
	}
}

// BenchmarkCreatesTogether compares creates that are written together with creates each of which
// takes its turn at the writer. All share commits.
func BenchmarkCreatesTogether(b *testing.B) {
	s := openForTest(b)
	ctx := context.Background()
	record := func(what string, i int) store.Cliente {
		return store.Cliente{
			Name:    fmt.Sprintf("Cliente número %d", i),
			Email:   fmt.Sprintf("%s%d@example.com", what, i),
			Phone:   "+55 11 99999-0000",
			Company: "Padaria Central",
			Address: "Rua das Laranjeiras, 100, São Paulo",
		}
	}
	own := func() []string { return []string{"self"} }
	for _, writers := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			storetest.BenchTogether(b, writers, own,
				func(i int) error {
					_, err := write(ctx, s, func(conn *sqlite.Conn) (store.Cliente, error) {
						return s.insertCliente(conn, 0, record(fmt.Sprint("a", writers, "x"), i))
					})
					return err
				},
				func(i int) error {
					_, err := s.CreateCliente(ctx, 0, record(fmt.Sprint("t", writers, "x"), i))
					return err
				})
		})
	}
}
