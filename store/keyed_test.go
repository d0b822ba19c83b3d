package store

import (
	"context"
	"errors"
	"testing"
)

func TestKeyedMutex(t *testing.T) {
	t.Parallel()
	var m KeyedMutex
	lock := func(key string) (unlock func()) {
		unlock, err := m.Lock(t.Context(), key)
		if err != nil {
			t.Error(err)
		}
		return unlock
	}
	unlock := lock("a")
	lock("b")()
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := m.Lock(ctx, "a")
		gaveUp <- err
	}()
	reason := errors.New("no time")
	cancel(reason)
	if err := <-gaveUp; err != reason {
		t.Errorf("a wait that was cancelled: %v", err)
	}
	next := make(chan func())
	go func() { next <- lock("a") }()
	unlock()
	(<-next)()
	if len(m.keys) != 0 {
		t.Errorf("%d keys are left", len(m.keys))
	}
}
