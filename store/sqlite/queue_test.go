package sqlite

import (
	"errors"
	"testing"
	"time"

	"clientes/store"
)

// While others are served, whoever waits for a connection is soon refused, and a write is not kept
// waiting by reads.
func TestFullReadersRefuse(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	s.readQueue = store.NewQueue(1, 6*time.Second, nil)
	enter := func() {
		t.Helper()
		if _, err := s.readQueue.Enter(t.Context(), store.Insisting); err != nil {
			t.Fatal(err)
		}
	}
	enter()
	list := make(chan error, 1)
	go func() {
		_, err := s.Clientes(t.Context(), store.Selection{}, store.Position{}, 20)
		list <- err
	}()
	for s.poolNamed(t, "readers").Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	served := make(chan struct{})
	go func() {
		enter()
		close(served)
	}()
	for s.poolNamed(t, "readers").Waiting == 1 {
		time.Sleep(time.Millisecond)
	}
	s.readQueue.Leave() // to what insists
	<-served
	if err := <-list; !errors.Is(err, store.ErrOverloaded) {
		t.Errorf("the list got %v", err)
	}
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
		t.Error(err)
	}
	if p := s.poolNamed(t, "readers"); p.Refused != 1 || p.Timeouts != 0 {
		t.Errorf("counted %+v", p)
	}
	s.readQueue.Leave()
	if _, err := s.Cliente(t.Context(), 1); err != nil {
		t.Errorf("when a connection was free: %v", err)
	}
}

// A create waits in the queue of the writers, as each other write does.
func TestFullWritersRefuseACreate(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	s.writeQueue = store.NewQueue(1, 200*time.Millisecond, nil)
	if _, err := s.writeQueue.Enter(t.Context(), store.Insisting); err != nil {
		t.Fatal(err)
	}
	_, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	s.writeQueue.Leave()
	if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
		t.Errorf("when there was a place: %v", err)
	}
}
