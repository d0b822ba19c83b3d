package password_test

import (
	"context"
	"errors"
	"fmt"

	"clientes/auth/password"
	"clientes/store"
)

func ExampleGate() {
	ctx := context.Background()
	gate := password.NewGate(password.Local{}, 1, 0) // one hash at once, and nobody waits
	ana := store.User{Name: "ana"}

	hash, err := gate.HashNew(ctx, ana, "correct horse battery")
	if err != nil {
		fmt.Println(err)
		return
	}
	good, _, err := gate.Verify(ctx, hash, "correct horse battery", true)
	fmt.Println("the password is good:", good, err)

	_, err = gate.HashNew(ctx, ana, "password1")
	var invalid *store.InvalidError
	if errors.As(err, &invalid) {
		fmt.Println("another password:", invalid.Fields[0].Code)
	}

	_ = gate.Do(ctx, func(password.Hasher) error { // while this hash runs
		_, _, err = gate.Verify(ctx, hash, "correct horse battery", true)
		fmt.Println("overloaded:", errors.Is(err, password.ErrOverloaded))
		return nil
	})
	// Output:
	// the password is good: true <nil>
	// another password: too_guessable
	// overloaded: true
}

func ExampleCheckHash() {
	fmt.Println(password.CheckHash("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"))
	err := password.CheckHash("md5$salt$d653ea7ea31e77b41041e7e3d32e3e4a")
	var invalid *store.InvalidError
	if errors.As(err, &invalid) {
		fmt.Println(invalid.Fields[0].Field, invalid.Fields[0].Code)
	}
	// Output:
	// <nil>
	// password_hash unknown_hash
}
