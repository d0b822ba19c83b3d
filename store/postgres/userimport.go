package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// CreateUsers implements [store.Users]. If somebody takes a name between the check and the write,
// the index refuses it without naming the row. Then it tries again, and at last checks again.
func (s *Store) CreateUsers(ctx context.Context, users []store.User,
	effects ...store.EffectsFunc) ([]store.User, error) {
	for try := 1; ; try++ {
		made, err := transfer(ctx, s,
			func(ctx context.Context, conn *pgx.Conn) ([]store.User, error) {
				return s.createUsers(ctx, conn, users, effects)
			})
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			return made, err
		}
		if try == maxTries {
			return nil, cmp.Or(s.CheckUsers(ctx, users), err)
		}
	}
}

func (s *Store) createUsers(ctx context.Context, conn *pgx.Conn, users []store.User,
	effects []store.EffectsFunc) ([]store.User, error) {
	// Imports take turns. Two imports of the same users in another order would deadlock.
	lock := begin()
	lock.Queue("SELECT pg_advisory_xact_lock($1, $2)", lockSpace, lockUserImports)
	if err := send(ctx, conn, lock); err != nil {
		return nil, fmt.Errorf("insert users: %w", err)
	}
	if err := checkUsers(ctx, conn, users); err != nil {
		return nil, err
	}
	made := slices.Clone(users)
	for some := range slices.Chunk(made, 1000) { // few enough to hold what is sent of them
		insert, keep := new(pgx.Batch), new(pgx.Batch)
		for i := range some {
			s.queueNewUser(insert, &some[i])
		}
		if err := send(ctx, conn, insert); err != nil {
			return nil, fmt.Errorf("insert users: %w", err)
		}
		for _, u := range some {
			s.queueEffects(keep, store.EffectsOf(store.User{}, u, effects))
		}
		if err := send(ctx, conn, keep); err != nil {
			return nil, fmt.Errorf("insert users: %w", err)
		}
	}
	_, err := exec(ctx, conn, "COMMIT")
	if err != nil {
		return nil, fmt.Errorf("insert users: %w", err)
	}
	return made, nil
}

// CheckUsers implements [store.Users].
func (s *Store) CheckUsers(ctx context.Context, users []store.User) error {
	return do(ctx, s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		return checkUsers(ctx, conn, users)
	})
}

// checkUsers returns a [*store.RowsError] if names or emails are taken. It is one query, so it sees
// everything that another import has created, or nothing.
func checkUsers(ctx context.Context, conn *pgx.Conn, users []store.User) error {
	names, emails := make([]string, len(users)), make([]string, len(users))
	for i, u := range users {
		names[i], emails[i] = store.NameKey(u.Name), store.EmailKey(u.Email)
	}
	type keys struct{ name, email string }
	others, err := list(ctx, conn, nil, func(k *keys) []any { return []any{&k.name, &k.email} }, `
		SELECT name_key, email_key
		FROM users
		WHERE name_key = ANY ($1) OR (email_key = ANY ($2) AND email_key <> '')`,
		names, emails)
	if err != nil {
		return fmt.Errorf("look for names and emails that are taken: %w", err)
	}
	takenNames := make(map[string]bool, len(others))
	takenEmails := make(map[string]bool, len(others))
	for _, k := range others {
		takenNames[k.name] = true
		takenEmails[k.email] = true
	}
	return store.TakenUsers(users, takenNames, takenEmails)
}
