package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// userColumns are in the order of toUser.
const userColumns = `id, name, email, role, disabled, password_hash, generation, created_at, updated_at`

func toUser(u *store.User) []any {
	return []any{&u.ID, &u.Name, &u.Email, &u.Role, &u.Disabled, &u.PasswordHash, &u.Generation,
		&u.CreatedAt, &u.UpdatedAt}
}

// CreateUser keeps the promise of store.Users.
func (s *Store) CreateUser(ctx context.Context, u store.User) (store.User, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.User, error) {
		u.Generation = 0
		u.CreatedAt = store.Instant(s.now())
		u.UpdatedAt = u.CreatedAt
		id, err := one(ctx, conn, toInteger, `
			INSERT INTO users (name, name_key, email, email_key, role, disabled, password_hash,
				generation, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			RETURNING id`,
			u.Name, store.NameKey(u.Name), u.Email, store.EmailKey(u.Email), u.Role, u.Disabled, u.PasswordHash,
			u.Generation, u.CreatedAt, u.UpdatedAt)
		if err != nil {
			return store.User{}, fmt.Errorf("insert user: %w", err)
		}
		u.ID = id
		return u, nil
	})
}

// User keeps the promise of store.Users.
func (s *Store) User(ctx context.Context, id int64) (store.User, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.User, error) {
		u, err := one(ctx, conn, toUser, `
			SELECT `+userColumns+`
			FROM users
			WHERE id = $1`,
			id)
		if err != nil {
			return store.User{}, fmt.Errorf("read user %d: %w", id, err)
		}
		return u, nil
	})
}

// UserByName keeps the promise of store.Users.
func (s *Store) UserByName(ctx context.Context, name string) (store.User, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.User, error) {
		u, err := one(ctx, conn, toUser, `
			SELECT `+userColumns+`
			FROM users
			WHERE name_key = $1`,
			store.NameKey(name))
		if err != nil {
			// The name stays out of the error: people type their password there.
			return store.User{}, fmt.Errorf("read user by name: %w", err)
		}
		return u, nil
	})
}

// Users keeps the promise of store.Users.
func (s *Store) Users(ctx context.Context, after int64, limit int) ([]store.User, error) {
	limit = max(limit, 0) // a negative one is an error to Postgres
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) ([]store.User, error) {
		page := make([]store.User, 0, min(limit, usualPage))
		page, err := list(ctx, conn, page, toUser, `
			SELECT `+userColumns+`
			FROM users
			WHERE id > $1
			ORDER BY id
			LIMIT $2`,
			after, limit)
		if err != nil {
			return nil, fmt.Errorf("list users after %d: %w", after, err)
		}
		return page, nil
	})
}

// UpdateUser keeps the promise of store.Users.
func (s *Store) UpdateUser(ctx context.Context, id int64,
	change func(store.User) (store.User, error)) (store.User, error) {
	return call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (store.User, error) {
		old, err := lockUser(ctx, conn, id)
		if err != nil {
			return store.User{}, err
		}
		u, err := change(old)
		if err != nil {
			return store.User{}, err
		}
		u.ID, u.Name, u.Generation = old.ID, old.Name, old.Generation
		u.CreatedAt, u.UpdatedAt = old.CreatedAt, old.UpdatedAt
		if u == old {
			return old, nil
		}
		if old.ActiveAdmin() && !u.ActiveAdmin() {
			if err := mustLeaveAdmin(ctx, conn, id); err != nil {
				return store.User{}, err
			}
		}
		u.UpdatedAt = store.Later(old.UpdatedAt, s.now())
		write := new(pgx.Batch)
		if old.EndsSessions(u) {
			u.Generation++
			queueEnds(write, s.now(), `user_id = $2`, id)
		}
		write.Queue(`
			UPDATE users
			SET email = $1, email_key = $2, role = $3, disabled = $4, password_hash = $5,
				generation = $6, updated_at = $7
			WHERE id = $8`,
			u.Email, store.EmailKey(u.Email), u.Role, u.Disabled, u.PasswordHash,
			u.Generation, u.UpdatedAt,
			u.ID)
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return store.User{}, fmt.Errorf("update user %d: %w", id, err)
		}
		return u, nil
	})
}

// ReplacePasswordHash keeps the promise of store.Users.
func (s *Store) ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error {
	_, err := call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		_, err := exec(ctx, conn, `
			UPDATE users
			SET password_hash = $1, updated_at = greatest(updated_at, $2)
			WHERE id = $3 AND password_hash = $4`,
			hash, store.Instant(s.now()),
			id, old)
		if err != nil {
			return struct{}{}, fmt.Errorf("replace password hash of user %d: %w", id, err)
		}
		return struct{}{}, nil
	})
	return err
}

// DeleteUser keeps the promise of store.Users.
func (s *Store) DeleteUser(ctx context.Context, id int64) error {
	_, err := call(ctx, s, func(ctx context.Context, conn *pgx.Conn) (struct{}, error) {
		u, err := lockUser(ctx, conn, id)
		if err != nil {
			return struct{}{}, err
		}
		if u.ActiveAdmin() {
			if err := mustLeaveAdmin(ctx, conn, id); err != nil {
				return struct{}{}, err
			}
		}
		write := new(pgx.Batch)
		queueEnds(write, s.now(), `user_id = $2`, id)
		write.Queue(`DELETE FROM users WHERE id = $1`, id)
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return struct{}{}, fmt.Errorf("delete user %d: %w", id, err)
		}
		return struct{}{}, nil
	})
	return err
}

// lockUser begins a transaction in which nobody else changes the account or begins a session of it, and
// reads it.
func lockUser(ctx context.Context, conn *pgx.Conn, id int64) (u store.User, err error) {
	b := begin()
	b.Queue(`
		SELECT `+userColumns+`
		FROM users
		WHERE id = $1
		FOR UPDATE`,
		id).QueryRow(func(row pgx.Row) error { return row.Scan(toUser(&u)...) })
	if err := send(ctx, conn, b); err != nil {
		return store.User{}, fmt.Errorf("lock user %d: %w", id, err)
	}
	return u, nil
}

// mustLeaveAdmin gives store.ErrLastAdmin if no admin who can log in would be left without user id. Those
// who would each leave the other take turns here, by a lock that lasts until their transaction ends; a lock
// on the rows of all admins would have two of them wait for each other.
func mustLeaveAdmin(ctx context.Context, conn *pgx.Conn, id int64) error {
	var left bool
	b := new(pgx.Batch)
	b.Queue(`SELECT pg_advisory_xact_lock($1, $2)`, lockSpace, lockAdmins)
	// A statement of its own, so that it sees what the last holder of the lock has done.
	b.Queue(`
		SELECT EXISTS (
			SELECT 1
			FROM users
			WHERE role = $1 AND NOT disabled AND id <> $2)`,
		store.Admin, id).QueryRow(func(row pgx.Row) error { return row.Scan(&left) })
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("look for another admin: %w", err)
	}
	if !left {
		return store.ErrLastAdmin
	}
	return nil
}
