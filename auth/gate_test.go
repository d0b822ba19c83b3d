package auth

import (
	"context"
	"errors"
	"runtime"
	"testing"
)

func TestTheGateLetsFewInAndFewWait(t *testing.T) {
	g := NewGate(LocalHasher{}, 2, 1)
	inside, leave, done := make(chan int), make(chan bool), make(chan error)
	enter := func() { done <- g.Do(t.Context(), func(Hasher) error { inside <- 1; <-leave; return nil }) }
	for range 3 {
		go enter()
	}
	<-inside
	<-inside
	for len(g.places) < 3 { // until the third waits
		runtime.Gosched()
	}
	if err := g.Do(t.Context(), func(Hasher) error { return errors.New("a fourth came in") }); !errors.Is(err, ErrOverloaded) {
		t.Errorf("a fourth gets %v", err)
	}
	select {
	case <-inside:
		t.Error("three are inside")
	default:
	}
	leave <- true
	<-inside // now the third
	leave <- true
	leave <- true
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := g.Do(t.Context(), func(Hasher) error { return nil }); err != nil {
		t.Errorf("the gate stays shut: %v", err)
	}
}

func TestWhoGivesUpWaitingLeavesHisPlace(t *testing.T) {
	g := NewGate(LocalHasher{}, 1, 1)
	inside, leave, done := make(chan bool), make(chan bool), make(chan error)
	go func() { done <- g.Do(t.Context(), func(Hasher) error { inside <- true; <-leave; return nil }) }()
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := g.Do(ctx, func(Hasher) error { return errors.New("called") }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	leave <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A panic is the caller's, who has somebody to recover it, and leaves the place.
func TestAPanicLeavesTheGate(t *testing.T) {
	g := NewGate(LocalHasher{}, 1, 0)
	for range 2 {
		func() {
			defer func() {
				if p := recover(); p != "odd" {
					t.Errorf("recovered %v", p)
				}
			}()
			g.Do(t.Context(), func(Hasher) error { panic("odd") })
			t.Error("no panic")
		}()
	}
}
