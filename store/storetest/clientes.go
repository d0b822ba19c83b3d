package storetest

import (
	"errors"
	"testing"

	"clientes/store"
)

func clienteChecks() []check {
	return []check{
		{"an unknown id is ErrNotFound", func(t *testing.T, f *fixture) {
			if _, err := f.Cliente(t.Context(), 1); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("got %v", err)
			}
		}},
	}
}
