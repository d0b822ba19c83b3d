package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// userColumns are in the order of scanUser.
const userColumns = `id, name, email, pending_email, role, disabled, password_hash,
	mfa_secret, mfa_on, mfa_last_step, mfa_recovery,
	generation, link_generation, mark_generation, created_at, updated_at`

func scanUser(stmt *sqlite.Stmt) store.User {
	return store.User{
		ID:           stmt.ColumnInt64(0),
		Name:         stmt.ColumnText(1),
		Email:        stmt.ColumnText(2),
		PendingEmail: stmt.ColumnText(3),
		Role:         store.Role(stmt.ColumnText(4)),
		Disabled:     stmt.ColumnBool(5),
		PasswordHash: stmt.ColumnText(6),
		MFA: store.MFA{
			Secret:   stmt.ColumnText(7),
			On:       stmt.ColumnBool(8),
			LastStep: stmt.ColumnInt64(9),
			Recovery: stmt.ColumnText(10),
		},
		Generation:       stmt.ColumnInt64(11),
		LinkGeneration:   stmt.ColumnInt64(12),
		DeviceGeneration: stmt.ColumnInt64(13),
		CreatedAt:        instant(stmt, 14),
		UpdatedAt:        instant(stmt, 15),
	}
}

// CreateUser implements [store.Users].
func (s *Store) CreateUser(ctx context.Context, u store.User,
	effects ...store.EffectsFunc) (store.User, error) {
	return write(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		return s.insertUser(conn, u, effects)
	})
}

// User implements [store.Users].
func (s *Store) User(ctx context.Context, id int64) (store.User, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		return userByID(conn, id)
	})
}

// UserByName implements [store.Users].
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

// UserByEmail implements [store.Users].
func (s *Store) UserByEmail(ctx context.Context, email string) (store.User, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		u, err := one(conn, scanUser, `
			SELECT `+userColumns+`
			FROM users
			WHERE email_key = ? AND email_key <> ''`,
			store.EmailKey(email))
		if err != nil {
			// The email stays out of the error: it may be a stranger's.
			return store.User{}, fmt.Errorf("read user by email: %w", err)
		}
		return u, nil
	})
}

// Users implements [store.Users].
func (s *Store) Users(ctx context.Context, after int64, limit int) ([]store.User, error) {
	limit = max(limit, 0) // a negative one is no limit to SQLite
	return readMany(ctx, s, func(conn *sqlite.Conn) ([]store.User, error) {
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

// UpdateUser implements [store.Users].
func (s *Store) UpdateUser(ctx context.Context, id int64,
	update func(store.User) (store.User, error), effects ...store.EffectsFunc) (
	store.User, []store.Ended, error) {
	var ended []store.Ended
	u, err := write(ctx, s, func(conn *sqlite.Conn) (store.User, error) {
		old, err := userByID(conn, id)
		if err != nil {
			return store.User{}, err
		}
		u, err := update(old)
		if err != nil {
			return store.User{}, err
		}
		if u = old.Apply(u, s.now()); u != old {
			if ended, err = s.updateUser(ctx, conn, old, u); err != nil {
				return store.User{}, err
			}
		}
		if err := s.keepEffects(conn, store.EffectsOf(old, u, effects)); err != nil {
			return store.User{}, err
		}
		return u, nil
	})
	if err != nil {
		return store.User{}, nil, err
	}
	return u, ended, nil
}

// ReplacePasswordHash implements [store.Users].
func (s *Store) ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error {
	return do(ctx, s, func(conn *sqlite.Conn) error { return s.replaceHash(conn, id, old, hash) })
}

func (s *Store) replaceHash(conn *sqlite.Conn, id int64, old, hash string) error {
	err := exec(conn, `
		UPDATE users
		SET password_hash = ?, updated_at = max(updated_at, ?)
		WHERE id = ? AND password_hash = ? AND password_hash <> ''`,
		hash, store.Instant(s.now()),
		id, old)
	if err != nil {
		return fmt.Errorf("replace password hash of user %d: %w", id, err)
	}
	return nil
}

// DeleteUser implements [store.Users]. Foreign keys remove what else goes with the user.
func (s *Store) DeleteUser(ctx context.Context, id int64,
	events ...store.Event) ([]store.Ended, error) {
	return write(ctx, s, func(conn *sqlite.Conn) ([]store.Ended, error) {
		ended, err := s.deleteUser(ctx, conn, id)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			e.UserID = id
			if err := s.insertEvent(conn, e); err != nil {
				return nil, err
			}
		}
		return ended, nil
	})
}

// deleteUser removes the account and ends its sessions.
func (s *Store) deleteUser(ctx context.Context, conn *sqlite.Conn, id int64) (
	[]store.Ended, error) {
	u, err := userByID(conn, id)
	if err != nil {
		return nil, err
	}
	if u.ActiveAdmin() {
		if err := mustLeaveAdmin(conn, id); err != nil {
			return nil, err
		}
	}
	ended, err := s.endSessions(ctx, conn, `user_id = ?`, id)
	if err != nil {
		return nil, err
	}
	if err := exec(conn, `DELETE FROM users WHERE id = ?`, id); err != nil {
		return nil, fmt.Errorf("delete user %d: %w", id, err)
	}
	return ended, nil
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

// insertUser inserts a new user and the effects.
func (s *Store) insertUser(conn *sqlite.Conn, u store.User,
	effects []store.EffectsFunc) (store.User, error) {
	u.Generation, u.LinkGeneration, u.DeviceGeneration = 0, 0, 0
	u.CreatedAt = store.Instant(s.now())
	u.UpdatedAt = u.CreatedAt
	err := exec(conn, `
		INSERT INTO users (name, name_key, email, email_key, pending_email,
			role, disabled, password_hash,
			mfa_secret, mfa_on, mfa_last_step, mfa_recovery,
			generation, link_generation, mark_generation, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		u.Name, store.NameKey(u.Name), u.Email, store.EmailKey(u.Email), u.PendingEmail,
		u.Role, u.Disabled, u.PasswordHash,
		u.MFA.Secret, u.MFA.On, u.MFA.LastStep, u.MFA.Recovery,
		u.Generation, u.LinkGeneration, u.DeviceGeneration, u.CreatedAt, u.UpdatedAt)
	switch {
	case isConflict(err):
		return store.User{}, userConflict(conn, u)
	case err != nil:
		return store.User{}, fmt.Errorf("insert user: %w", err)
	}
	u.ID = conn.LastInsertRowID()
	if err := s.keepEffects(conn, store.EffectsOf(store.User{}, u, effects)); err != nil {
		return store.User{}, err
	}
	return u, nil
}

// updateUser writes a user, and ends the sessions if its generation rose.
func (s *Store) updateUser(ctx context.Context, conn *sqlite.Conn, old, u store.User) (
	ended []store.Ended, err error) {
	if old.ActiveAdmin() && !u.ActiveAdmin() {
		if err := mustLeaveAdmin(conn, u.ID); err != nil {
			return nil, err
		}
	}
	if u.Generation != old.Generation {
		ended, err = s.endSessions(ctx, conn, `user_id = ? AND (key_hash = '' OR ?)`,
			u.ID, old.EndsKeys(u))
		if err != nil {
			return nil, err
		}
	}
	err = exec(conn, `
		UPDATE users
		SET email = ?, email_key = ?, pending_email = ?, role = ?, disabled = ?, password_hash = ?,
			mfa_secret = ?, mfa_on = ?, mfa_last_step = ?, mfa_recovery = ?,
			generation = ?, link_generation = ?, mark_generation = ?, updated_at = ?
		WHERE id = ?`,
		u.Email, store.EmailKey(u.Email), u.PendingEmail, u.Role, u.Disabled, u.PasswordHash,
		u.MFA.Secret, u.MFA.On, u.MFA.LastStep, u.MFA.Recovery,
		u.Generation, u.LinkGeneration, u.DeviceGeneration, u.UpdatedAt,
		u.ID)
	switch {
	case isConflict(err):
		return nil, &store.ConflictError{Field: "email"}
	case err != nil:
		return nil, fmt.Errorf("update user %d: %w", u.ID, err)
	}
	return ended, nil
}

// keepEffects inserts the effects of a change.
func (s *Store) keepEffects(conn *sqlite.Conn, effects store.Effects) error {
	for _, m := range effects.Mails {
		if err := s.insertMail(conn, m); err != nil {
			return err
		}
	}
	for _, m := range effects.ToAdmins {
		if err := s.insertAdminMails(conn, m); err != nil {
			return err
		}
	}
	for _, e := range effects.Events {
		if err := s.insertEvent(conn, e); err != nil {
			return err
		}
	}
	return nil
}

// userConflict finds out which field of u another user has: SQLite names the index only in the text
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

// mustLeaveAdmin returns [store.ErrLastAdmin] if no enabled admin would be left without user id.
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
