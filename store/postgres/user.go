package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// userColumns are in the order of toUser.
const userColumns = `id, name, email, pending_email, role, disabled, password_hash,
	mfa_secret, mfa_on, mfa_last_step, mfa_recovery,
	generation, link_generation, mark_generation, created_at, updated_at`

func toUser(u *store.User) []any {
	return []any{&u.ID, &u.Name, &u.Email, &u.PendingEmail, &u.Role, &u.Disabled, &u.PasswordHash,
		&u.MFA.Secret, &u.MFA.On, &u.MFA.LastStep, &u.MFA.Recovery,
		&u.Generation, &u.LinkGeneration, &u.DeviceGeneration, &u.CreatedAt, &u.UpdatedAt}
}

// CreateUser implements [store.Users].
func (s *Store) CreateUser(ctx context.Context, u store.User,
	effects ...store.EffectsFunc) (store.User, error) {
	return call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (store.User, error) {
		insert := begin()
		s.queueNewUser(insert, &u)
		if err := send(ctx, conn, insert); err != nil {
			return store.User{}, fmt.Errorf("insert user: %w", err)
		}
		keep := new(pgx.Batch)
		s.queueEffects(keep, store.EffectsOf(store.User{}, u, effects))
		keep.Queue("COMMIT")
		if err := send(ctx, conn, keep); err != nil {
			return store.User{}, fmt.Errorf("insert user: %w", err)
		}
		return u, nil
	})
}

const selectUsers = `
	SELECT ` + userColumns + `
	FROM users
	WHERE id`

// User implements [store.Users].
func (s *Store) User(ctx context.Context, id int64) (store.User, error) {
	u, err := readOne(ctx, s, s.reading.users, toUser, selectUsers, id)
	if err != nil {
		return store.User{}, fmt.Errorf("read user %d: %w", id, err)
	}
	return u, nil
}

// UserByName implements [store.Users].
func (s *Store) UserByName(ctx context.Context, name string) (store.User, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		store.User, error) {
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

// UserByEmail implements [store.Users].
func (s *Store) UserByEmail(ctx context.Context, email string) (store.User, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		store.User, error) {
		u, err := one(ctx, conn, toUser, `
			SELECT `+userColumns+`
			FROM users
			WHERE email_key = $1 AND email_key <> ''`,
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
	limit = max(limit, 0) // a negative one is an error to Postgres
	return call(ctx, s, store.Many, func(ctx context.Context, conn *pgx.Conn) (
		[]store.User, error) {
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

// UpdateUser implements [store.Users].
func (s *Store) UpdateUser(ctx context.Context, id int64,
	update func(store.User) (store.User, error), effects ...store.EffectsFunc) (
	store.User, []store.Ended, error) {
	var ended *[]store.Ended
	u, err := call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (
		store.User, error) {
		old, err := lockUser(ctx, conn, id)
		if err != nil {
			return store.User{}, err
		}
		u, err := update(old)
		if err != nil {
			return store.User{}, err
		}
		write := new(pgx.Batch)
		ended = new([]store.Ended)
		if u = old.Apply(u, s.now()); u != old {
			if old.ActiveAdmin() && !u.ActiveAdmin() {
				if err := mustLeaveAdmin(ctx, conn, id); err != nil {
					return store.User{}, err
				}
			}
			if u.Generation != old.Generation {
				ended = queueEnds(write, s.now(), `user_id = $2 AND (key_hash = '' OR $3)`,
					id, old.EndsKeys(u))
			}
			queueUser(write, u)
		}
		s.queueEffects(write, store.EffectsOf(old, u, effects))
		if write.Len() == 0 {
			return u, nil
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return store.User{}, fmt.Errorf("update user %d: %w", id, err)
		}
		return u, nil
	})
	if err != nil {
		return store.User{}, nil, err
	}
	return u, *ended, nil
}

// ReplacePasswordHash implements [store.Users].
func (s *Store) ReplacePasswordHash(ctx context.Context, id int64, old, hash string) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginOnce()
		s.queueHash(b, id, old, hash)
		if err := commit(ctx, conn, b); err != nil {
			return fmt.Errorf("replace password hash of user %d: %w", id, err)
		}
		return nil
	})
}

// DeleteUser implements [store.Users]. Foreign keys remove what else goes with the user.
func (s *Store) DeleteUser(ctx context.Context, id int64,
	events ...store.Event) ([]store.Ended, error) {
	return call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (
		[]store.Ended, error) {
		write := new(pgx.Batch)
		ended, err := s.queueDeletion(ctx, conn, write, id)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			e.UserID = id
			s.queueEvent(write, e)
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return nil, fmt.Errorf("delete user %d: %w", id, err)
		}
		return *ended, nil
	})
}

// queueDeletion begins a transaction, locks the account and queues what removes it and ends its
// sessions.
func (s *Store) queueDeletion(ctx context.Context, conn *pgx.Conn, b *pgx.Batch, id int64) (
	ended *[]store.Ended, err error) {
	u, err := lockUser(ctx, conn, id)
	if err != nil {
		return nil, err
	}
	if u.ActiveAdmin() {
		if err := mustLeaveAdmin(ctx, conn, id); err != nil {
			return nil, err
		}
	}
	ended = queueEnds(b, s.now(), `user_id = $2`, id)
	b.Queue(`DELETE FROM users WHERE id = $1`, id)
	return ended, nil
}

// lockUser begins a transaction in which nobody else changes the account or opens a session for it,
// and reads it.
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

// queueNewUser queues the insert of a new user, who has an ID once the batch was sent.
func (s *Store) queueNewUser(b *pgx.Batch, u *store.User) {
	u.Generation, u.LinkGeneration, u.DeviceGeneration = 0, 0, 0
	u.CreatedAt = store.Instant(s.now())
	u.UpdatedAt = u.CreatedAt
	b.Queue(`
		INSERT INTO users (name, name_key, email, email_key, pending_email,
			role, disabled, password_hash,
			mfa_secret, mfa_on, mfa_last_step, mfa_recovery,
			generation, link_generation, mark_generation, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
		RETURNING id`,
		u.Name, store.NameKey(u.Name), u.Email, store.EmailKey(u.Email), u.PendingEmail,
		u.Role, u.Disabled, u.PasswordHash,
		u.MFA.Secret, u.MFA.On, u.MFA.LastStep, u.MFA.Recovery,
		u.Generation, u.LinkGeneration, u.DeviceGeneration, u.CreatedAt, u.UpdatedAt).
		QueryRow(func(row pgx.Row) error { return row.Scan(&u.ID) })
}

// queueUser queues the update of a user.
func queueUser(b *pgx.Batch, u store.User) {
	// A statement of its own, so that it sees what the last holder of the lock has done.
	b.Queue(`
		UPDATE users
		SET email = $1, email_key = $2, pending_email = $3, role = $4, disabled = $5,
			password_hash = $6,
			mfa_secret = $7, mfa_on = $8, mfa_last_step = $9, mfa_recovery = $10,
			generation = $11, link_generation = $12, mark_generation = $13, updated_at = $14
		WHERE id = $15`,
		u.Email, store.EmailKey(u.Email), u.PendingEmail, u.Role, u.Disabled, u.PasswordHash,
		u.MFA.Secret, u.MFA.On, u.MFA.LastStep, u.MFA.Recovery,
		u.Generation, u.LinkGeneration, u.DeviceGeneration, u.UpdatedAt,
		u.ID)
}

// queueEffects queues the inserts of the effects of a change.
func (s *Store) queueEffects(b *pgx.Batch, effects store.Effects) {
	for _, m := range effects.Mails {
		s.queueMail(b, m)
	}
	for _, m := range effects.ToAdmins {
		s.queueAdminMails(b, m)
	}
	for _, e := range effects.Events {
		s.queueEvent(b, e)
	}
}

// mustLeaveAdmin returns [store.ErrLastAdmin] if no enabled admin would be left without user id.
// Two admins who are demoted at once take turns, by a lock that lasts until the end of their
// transactions. With a lock on the rows of all admins they would deadlock.
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
