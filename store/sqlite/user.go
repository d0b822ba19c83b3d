package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// userColumns are in the order of scanUser.
const userColumns = `id, name, email, role, disabled, password_hash, generation, created_at, updated_at`

func scanUser(stmt *sqlite.Stmt) store.User {
	return store.User{
		ID:           stmt.ColumnInt64(0),
		Name:         stmt.ColumnText(1),
		Email:        stmt.ColumnText(2),
		Role:         store.Role(stmt.ColumnText(3)),
		Disabled:     stmt.ColumnBool(4),
		PasswordHash: stmt.ColumnText(5),
		Generation:   stmt.ColumnInt64(6),
		CreatedAt:    instant(stmt, 7),
		UpdatedAt:    instant(stmt, 8),
	}
}

// CreateUser keeps the promise of store.Users.
func (s *Store) CreateUser(ctx context.Context, u store.User) (store.User, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		u.Generation = 0
		u.CreatedAt = store.Instant(s.now())
		u.UpdatedAt = u.CreatedAt
		err := exec(conn, `
			INSERT INTO users (name, name_key, email, email_key, role, disabled, password_hash,
				generation, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			u.Name, store.NameKey(u.Name), u.Email, store.EmailKey(u.Email), u.Role, u.Disabled, u.PasswordHash,
			u.Generation, u.CreatedAt, u.UpdatedAt)
		switch {
		case isConflict(err):
			return store.User{}, userConflict(conn, u)
		case err != nil:
			return store.User{}, fmt.Errorf("insert user: %w", err)
		}
		u.ID = conn.LastInsertRowID()
		return u, nil
	})
}

// User keeps the promise of store.Users.
func (s *Store) User(ctx context.Context, id int64) (store.User, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		return userByID(conn, id)
	})
}

// UserByName keeps the promise of store.Users.
func (s *Store) UserByName(ctx context.Context, name string) (store.User, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		u, err := userByName(conn, name)
		if err != nil {
			// The name stays out of the error: people type their password there.
			return store.User{}, fmt.Errorf("read user by name: %w", err)
		}
		return u, nil
	})
}

// Users keeps the promise of store.Users.
func (s *Store) Users(ctx context.Context, after int64, limit int) ([]store.User, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	return read(ctx, s, func(conn *sqlite.Conn) ([]store.User, error) {
		page := make([]store.User, 0, min(limit, usualPage))
		page, err := list(ctx, conn, page, scanUser, `
			SELECT `+userColumns+`
			FROM users
			WHERE id > ?
			ORDER BY id
			LIMIT +?`,
			after, int64(limit))
		if err != nil {
			return nil, fmt.Errorf("list users after %d: %w", after, err)
		}
		return page, nil
	})
}

// UpdateUser keeps the promise of store.Users.
func (s *Store) UpdateUser(ctx context.Context, id int64,
	change func(store.User) (store.User, error)) (store.User, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		old, err := userByID(conn, id)
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
			if err := mustLeaveAdmin(conn, id); err != nil {
				return store.User{}, err
			}
		}
		u.UpdatedAt = store.Later(old.UpdatedAt, s.now())
		if old.EndsSessions(u) {
			u.Generation++
			if _, err := s.endSessions(ctx, conn, `user_id = ?`, id); err != nil {
				return store.User{}, err
			}
		}
		err = exec(conn, `
			UPDATE users
			SET email = ?, email_key = ?, role = ?, disabled = ?, password_hash = ?,
				generation = ?, updated_at = ?
			WHERE id = ?`,
			u.Email, store.EmailKey(u.Email), u.Role, u.Disabled, u.PasswordHash,
			u.Generation, u.UpdatedAt,
			u.ID)
		switch {
		case isConflict(err):
			return store.User{}, &store.ConflictError{Field: "email"}
		case err != nil:
			return store.User{}, fmt.Errorf("update user %d: %w", id, err)
		}
		return u, nil
	})
}

// ReplacePasswordHash keeps the promise of store.Users.
func (s *Store) ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error {
	_, err := write(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		err := exec(conn, `
			UPDATE users
			SET password_hash = ?, updated_at = max(updated_at, ?)
			WHERE id = ? AND password_hash = ?`,
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
	_, err := write(ctx, s, func(conn *sqlite.Conn) (struct{}, error) {
		u, err := userByID(conn, id)
		if err != nil {
			return struct{}{}, err
		}
		if u.ActiveAdmin() {
			if err := mustLeaveAdmin(conn, id); err != nil {
				return struct{}{}, err
			}
		}
		if _, err := s.endSessions(ctx, conn, `user_id = ?`, id); err != nil {
			return struct{}{}, err
		}
		if err := exec(conn, `DELETE FROM users WHERE id = ?`, id); err != nil {
			return struct{}{}, fmt.Errorf("delete user %d: %w", id, err)
		}
		return struct{}{}, nil
	})
	return err
}

func userByID(conn *sqlite.Conn, id int64) (store.User, error) {
	u, err := one(conn, scanUser, `
		SELECT `+userColumns+`
		FROM users
		WHERE id = ?`,
		id)
	if err != nil {
		return store.User{}, fmt.Errorf("read user %d: %w", id, err)
	}
	return u, nil
}

func userByName(conn *sqlite.Conn, name string) (store.User, error) {
	return one(conn, scanUser, `
		SELECT `+userColumns+`
		FROM users
		WHERE name_key = ?`,
		store.NameKey(name))
}

// userConflict says which field of u it is that another user has: SQLite names the index only in the text
// of its error.
func userConflict(conn *sqlite.Conn, u store.User) error {
	switch _, err := userByName(conn, u.Name); {
	case err == nil:
		return &store.ConflictError{Field: "user"}
	case errors.Is(err, store.ErrNotFound):
		return &store.ConflictError{Field: "email"}
	default:
		return fmt.Errorf("read user by name: %w", err)
	}
}

// mustLeaveAdmin gives store.ErrLastAdmin if no admin who can log in would be left without user id.
func mustLeaveAdmin(conn *sqlite.Conn, id int64) error {
	left, err := one(conn, scanBool, `
		SELECT EXISTS (
			SELECT 1
			FROM users
			WHERE role = ? AND NOT disabled AND id <> ?)`,
		store.Admin, id)
	switch {
	case err != nil:
		return fmt.Errorf("look for another admin: %w", err)
	case !left:
		return store.ErrLastAdmin
	}
	return nil
}
