package postgres_test

import (
	"context"
	"errors"
	"testing"

	"clientes/store"
	"clientes/store/postgres"
	"clientes/store/postgres/postgrestest"
)

// An erasure of a user that breaks off after the account is gone goes on by itself. Nobody can ask
// for it again by the name.
func TestAnErasureOfAUserGoesOn(t *testing.T) {
	t.Parallel()
	url := postgrestest.Migrated(t, postgres.Migrate)
	s, err := postgres.Open(t.Context(), url, store.Options{})
	must(t, err)
	defer s.Close()
	u, err := s.CreateUser(t.Context(), store.User{
		Name: "ana", Role: store.Editor, PasswordHash: "x",
	})
	must(t, err)
	c, err := s.CreateCliente(t.Context(), u.ID, store.Cliente{Name: "Eva"})
	must(t, err)
	names := func() (names string) {
		t.Helper()
		changes, err := s.ClienteHistory(t.Context(), c.ID, 0, 10)
		must(t, err)
		for _, change := range changes {
			names += change.User
		}
		return names
	}

	holder := beside(t, url)
	_, err = holder.Exec(t.Context(), `BEGIN`)
	must(t, err)
	_, err = holder.Exec(t.Context(), `SELECT FROM cliente_history FOR UPDATE`)
	must(t, err)
	ctx, breakOff := context.WithCancel(t.Context())
	erased := make(chan error)
	go func() {
		_, err := s.EraseUser(ctx, u.ID)
		erased <- err
	}()
	until(t, "the account is gone", func() bool {
		_, err := s.UserByName(t.Context(), "ana")
		return errors.Is(err, store.ErrNotFound)
	})
	breakOff()
	if err := <-erased; err == nil {
		t.Fatal("it did not wait for the history")
	}
	if got := names(); got != "ana" {
		t.Fatalf("the history has %q", got)
	}
	_, err = holder.Exec(t.Context(), `ROLLBACK`)
	must(t, err)

	if n, err := s.EraseAgain(t.Context(), 10); err != nil || n != 1 {
		t.Errorf("erased again: %d, %v", n, err)
	}
	if got := names(); got != store.ErasedUserName(u.ID) {
		t.Errorf("the history has %q", got)
	}
	if n, err := s.EraseAgain(t.Context(), 10); err != nil || n != 0 {
		t.Errorf("once more: %d, %v", n, err)
	}
}
