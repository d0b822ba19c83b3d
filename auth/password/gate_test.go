package password

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clientes/store"
)

func TestTheGateLetsFewInAndFewWait(t *testing.T) {
	g := NewGate(Local{}, 2, 1)
	inside, leave, done := make(chan int), make(chan bool), make(chan error)
	enter := func() {
		done <- g.Do(t.Context(), func(Hasher) error { inside <- 1; <-leave; return nil })
	}
	for range 3 {
		go enter()
	}
	<-inside
	<-inside
	for len(g.admitted) < 3 { // until the third waits
		runtime.Gosched()
	}
	fourth := func(Hasher) error { return errors.New("a fourth came in") }
	if err := g.Do(t.Context(), fourth); !errors.Is(err, ErrOverloaded) {
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

// TestAKnownUserIsNext fills both lanes, and checks who is let in when.
func TestAKnownUserIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(Local{}, 1, 3)
		leave := make(chan bool)
		var order []string // only one runs at once
		var all sync.WaitGroup
		enter := func(gate *Gate, who string) {
			all.Go(func() {
				must(t, gate.Do(t.Context(), func(Hasher) error {
					order = append(order, who)
					<-leave
					return nil
				}))
			})
			synctest.Wait() // until they run or wait
		}
		for _, who := range []string{"a", "b", "c", "d"} {
			enter(g, who)
		}
		refused := func(Hasher) error { return errors.New("it came in") }
		if err := g.Do(t.Context(), refused); !errors.Is(err, ErrOverloaded) {
			t.Errorf("a stranger at a full gate: %v", err)
		}
		for _, who := range []string{"K", "L", "M", "N"} {
			enter(g.Known(), who)
		}
		if err := g.Known().Do(t.Context(), refused); !errors.Is(err, ErrOverloaded) {
			t.Errorf("a known user at a full lane: %v", err)
		}
		leave <- true // a makes room for another stranger, but not for one that is next
		synctest.Wait()
		enter(g, "e")
		for range 8 {
			leave <- true
			synctest.Wait()
		}
		all.Wait()
		if got := strings.Join(order, ""); got != "aKLMNbcde" {
			t.Errorf("they were let in as %s", got)
		}
		// A known user who gives up takes no slot with them.
		must(t, g.Do(t.Context(), func(Hasher) error {
			ctx, cancel := context.WithCancel(t.Context())
			all.Go(func() {
				if err := g.Known().Do(ctx, refused); !errors.Is(err, context.Canceled) {
					t.Errorf("one who gives up gets %v", err)
				}
			})
			synctest.Wait()
			cancel()
			all.Wait()
			return nil
		}))
		must(t, g.Known().Known().Do(t.Context(), func(Hasher) error { return nil }))
		must(t, g.Do(t.Context(), func(Hasher) error { return nil }))
	})
}

func TestGivingUpTheWaitFreesTheSlot(t *testing.T) {
	g := NewGate(Local{}, 1, 1)
	inside, leave, done := make(chan bool), make(chan bool), make(chan error)
	go func() {
		done <- g.Do(t.Context(), func(Hasher) error { inside <- true; <-leave; return nil })
	}()
	<-inside
	called := func(Hasher) error { return errors.New("called") }
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		ctx, giveUp := context.WithCancel(t.Context())
		go func() { done <- g.Do(ctx, called) }()
		for len(g.admitted) < 2 { // until it waits
			runtime.Gosched()
		}
		giveUp()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited gets %v", err)
		}
	}
	leave <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
	for range 20 { // the slot is free
		if err := g.Do(gone, called); !errors.Is(err, context.Canceled) {
			t.Errorf("who had given up before gets %v", err)
		}
	}
}

// TestAPanicLeavesTheGate checks that a panic reaches the caller and frees the slot.
func TestAPanicLeavesTheGate(t *testing.T) {
	g := NewGate(Local{}, 1, 0)
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

// TestNewPasswordsWaitAtTheGate checks that a guess, which takes as long as a hash, does not begin
// while too many wait.
func TestNewPasswordsWaitAtTheGate(t *testing.T) {
	g := NewGate(Local{}, 1, 0)
	must(t, g.Do(t.Context(), func(Hasher) error {
		_, err := g.HashNew(t.Context(), store.User{}, "password")
		if !errors.Is(err, ErrOverloaded) {
			t.Errorf("a new password at a full gate: %v", err)
		}
		var invalid *store.InvalidError
		if _, err := g.HashNew(t.Context(), store.User{}, "short"); !errors.As(err, &invalid) {
			t.Errorf("one that is too short at a full gate: %v", err)
		}
		return nil
	}))
	hash, err := g.HashNew(t.Context(), store.User{}, "correct horse battery")
	must(t, err)
	if !isCurrentHash(hash) {
		t.Errorf("the hash is %s", hash)
	}
	for user, want := range map[string]string{"zoltrix": "too_guessable", "ana": ""} {
		_, err := g.HashNew(t.Context(), store.User{Name: user}, "zoltrix99")
		var invalid *store.InvalidError
		switch {
		case want == "" && err != nil:
			t.Errorf("a good password of %s: %v", user, err)
		case want != "" && (!errors.As(err, &invalid) || invalid.Fields[0].Code != want):
			t.Errorf("the own name as a password: %v", err)
		}
	}
}

// TestTheGateIsObserved measures those who wait, in vain or not, and those who work.
func TestTheGateIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var waited, worked []time.Duration
		addTo := func(all *[]time.Duration) func(time.Duration) {
			return func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				*all = append(*all, d)
			}
		}
		plain := NewGate(Local{}, 1, 2)
		g := plain.Observed(Observer{Waited: addTo(&waited), Worked: addTo(&worked)})
		var all sync.WaitGroup
		enter := func(gate *Gate, ctx context.Context) {
			all.Go(func() {
				gate.Do(ctx, func(Hasher) error { time.Sleep(3 * time.Second); return nil })
			})
			synctest.Wait() // until it runs or waits
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		enter(g, t.Context())
		enter(g, impatient)
		enter(g.Known(), t.Context())
		enter(g, t.Context())
		if n := g.Waiting(); n != 3 || plain.Waiting() != 3 {
			t.Errorf("%d wait", n)
		}
		if err := g.Do(t.Context(), nil); !errors.Is(err, ErrOverloaded) {
			t.Errorf("a fifth: %v", err)
		}
		all.Wait()
		const s = time.Second
		if want := []time.Duration{0, s, 3 * s, 6 * s}; !slices.Equal(waited, want) {
			t.Errorf("they waited for %v, want %v", waited, want)
		}
		if want := []time.Duration{3 * s, 3 * s, 3 * s}; !slices.Equal(worked, want) {
			t.Errorf("they worked for %v, want %v", worked, want)
		}
		if n := g.Waiting(); n != 0 {
			t.Errorf("%d wait when all have left", n)
		}
		must(t, plain.Do(t.Context(), func(Hasher) error { return nil }))
		if len(waited) != 4 {
			t.Error("the gate that nobody observes tells of its guests")
		}
	})
}
