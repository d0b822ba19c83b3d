package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

var eraseTexts = `
	UPDATE cliente_history
	SET erased = 1, ` + strings.Join(store.TextNames(), ` = '', `) + ` = ''
	WHERE cliente_id = $1 AND erased = 0`

// EraseCliente implements [store.Erasing]. It locks the first step of the history, as a restore
// does, and the record. So it sees the steps of all who wrote before it, and those after it find
// nothing.
func (s *Store) EraseCliente(ctx context.Context, by, id int64, check func(store.Cliente) error,
	events ...store.Event) error {
	return do(ctx, s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		locked, err := lockHistory(ctx, conn, id)
		if err != nil {
			return err
		}
		c, err := one(ctx, conn, toCliente, selectClienteForUpdate, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("lock cliente %d: %w", id, err)
		}
		if c.ID == 0 && !locked {
			return fmt.Errorf("erase cliente %d: %w", id, store.ErrNotFound)
		}
		last, err := one(ctx, conn, toChange, selectHistory, id, 0, 1)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("read the last change of cliente %d: %w", id, err)
		case err != nil && c.ID == 0:
			return fmt.Errorf("erase cliente %d: %w", id, err)
		case c.ID == 0 && last.Action == store.Erased:
			return nil
		}
		if err := check(c); err != nil {
			return err
		}
		t := store.Tombstone(by, c, last, s.now())
		write := new(pgx.Batch)
		write.Queue(`DELETE FROM clientes WHERE id = $1`, id)
		queueChange(write, t)
		write.Queue(`
			UPDATE cliente_history
			SET erased = 2
			WHERE cliente_id = $1 AND version = $2`,
			id, t.Version)
		write.Queue(eraseTexts, id)
		write.Queue(`
			UPDATE idempotency_keys
			SET fingerprint = ''
			WHERE cliente_id = $1`,
			id)
		write.Queue(`
			INSERT INTO erasures (cliente_id, version, at)
			VALUES ($1, $2, $3)
			ON CONFLICT (cliente_id) DO UPDATE
			SET version = excluded.version, at = excluded.at`,
			id, t.Version, t.At)
		for _, e := range events {
			e.ClienteID = id
			s.queueEvent(write, e)
		}
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return fmt.Errorf("erase cliente %d: %w", id, err)
		}
		return nil
	})
}

// Erasure implements [store.Erasing].
func (s *Store) Erasure(ctx context.Context, clienteID int64) (store.Erasure, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		store.Erasure, error) {
		e, err := one(ctx, conn,
			func(e *store.Erasure) []any { return []any{&e.ClienteID, &e.Version, &e.At} }, `
			SELECT cliente_id, version, at
			FROM erasures
			WHERE cliente_id = $1`,
			clienteID)
		if err != nil {
			return e, fmt.Errorf("read the erasure of cliente %d: %w", clienteID, err)
		}
		return e, nil
	})
}

// EraseUser implements [store.Erasing].
func (s *Store) EraseUser(ctx context.Context, id int64,
	events ...store.Event) ([]store.Ended, error) {
	known, err := s.knowsUser(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, fmt.Errorf("erase user %d: %w", id, store.ErrNotFound)
	}
	ended, err := callFor(ctx, s, store.First, scanTimeout,
		func(ctx context.Context, conn *pgx.Conn) ([]store.Ended, error) {
			ended, err := s.eraseAccount(ctx, conn, id, events)
			if err != nil {
				return nil, fmt.Errorf("erase user %d: %w", id, err)
			}
			return ended, nil
		})
	if err != nil {
		return nil, err
	}
	if err := s.eraseNames(ctx, id); err != nil {
		return ended, err
	}
	return ended, do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := change(ctx, conn, `
			UPDATE erased_users
			SET checked_at = $1
			WHERE user_id = $2`,
			store.Instant(s.now()), id)
		return err
	})
}

// knowsUser reports whether anything is kept of a user.
func (s *Store) knowsUser(ctx context.Context, id int64) (bool, error) {
	known, err := callFor(ctx, s, store.Many, bulkTimeout,
		func(ctx context.Context, conn *pgx.Conn) (bool, error) {
			return one(ctx, conn, toBool, `
				SELECT EXISTS (SELECT FROM users WHERE id = $1)
					OR EXISTS (SELECT FROM erased_users WHERE user_id = $1)
					OR EXISTS (SELECT FROM audit WHERE user_id = $1)
					OR EXISTS (SELECT FROM sessions WHERE user_id = $1)
					OR EXISTS (SELECT FROM cliente_history WHERE user_id = $1)`,
				id)
		})
	if err != nil {
		return false, fmt.Errorf("look for user %d: %w", id, err)
	}
	return known && id != 0, nil // which nobody is, and all strangers are
}

// eraseAccount does the part of EraseUser that is one transaction.
func (s *Store) eraseAccount(ctx context.Context, conn *pgx.Conn, id int64,
	events []store.Event) ([]store.Ended, error) {
	write := new(pgx.Batch)
	ended, err := s.queueDeletion(ctx, conn, write, id)
	if errors.Is(err, store.ErrNotFound) {
		ended, err = new([]store.Ended), nil // the transaction has begun
	}
	if err != nil {
		return nil, err
	}
	write.Queue(`
		UPDATE sessions
		SET ip = '', user_agent = '', key_name = ''
		WHERE user_id = $1`,
		id)
	write.Queue(`
		UPDATE audit
		SET key = '', detail = CASE -- the id of the key, without its name
			WHEN substr(detail || ' ', 23, 1) = ' ' THEN substr(detail, 1, 22) ELSE '' END
		WHERE user_id = $1 AND kind IN ('key_created', 'key_ended')`,
		id)
	first := false
	write.Queue(`
		INSERT INTO erased_users (user_id, at)
		VALUES ($1, $2)
		ON CONFLICT (user_id) DO NOTHING`,
		id, store.Instant(s.now())).Exec(func(tag pgconn.CommandTag) error {
		first = tag.RowsAffected() > 0
		return nil
	})
	if err := send(ctx, conn, write); err != nil {
		return nil, err
	}
	last := new(pgx.Batch)
	for _, e := range events {
		if e.UserID = id; first {
			s.queueEvent(last, e)
		}
	}
	last.Queue("COMMIT")
	return *ended, send(ctx, conn, last)
}

// eraseNames removes what names a user from rows that no index finds. It reads the whole history
// and audit once.
func (s *Store) eraseNames(ctx context.Context, id int64) error {
	type key struct{ first, second int64 }
	toKey := func(k *key) []any { return []any{&k.first, &k.second} }
	for _, names := range []struct {
		what, find, erase string
		args              []any
	}{
		{"name", `
			SELECT cliente_id, version
			FROM cliente_history
			WHERE (cliente_id, version) > ($1, $2) AND user_id = $3 AND user_name NOT IN ('', $5)
			ORDER BY cliente_id, version
			LIMIT $4`, `
			UPDATE cliente_history
			SET user_name = $3
			FROM unnest($1::bigint[], $2::bigint[]) AS found (id, number)
			WHERE cliente_id = found.id AND version = found.number`,
			[]any{store.ErasedUserName(id)}},
		{"addresses", `
			SELECT id, 0::bigint
			FROM audit
			WHERE (id, 0) > ($1, $2) AND (actor_id = $3 OR actor_id = 0 AND user_id = $3)
				AND (ip <> '' OR user_agent <> '')
			ORDER BY id
			LIMIT $4`, `
			UPDATE audit
			SET ip = '', user_agent = ''
			FROM unnest($1::bigint[], $2::bigint[]) AS found (id, number)
			WHERE audit.id = found.id`, nil},
	} {
		err := store.InParts(func(after key) ([]key, error) {
			args := append([]any{after.first, after.second, id, store.RowsAtOnce}, names.args...)
			return callFor(ctx, s, store.Many, bulkTimeout,
				func(ctx context.Context, conn *pgx.Conn) ([]key, error) {
					return list(ctx, conn, nil, toKey, names.find, args...)
				})
		}, func(rows []key) error {
			firsts, seconds := make([]int64, len(rows)), make([]int64, len(rows))
			for i, row := range rows {
				firsts[i], seconds[i] = row.first, row.second
			}
			return do(ctx, s, scanTimeout, func(ctx context.Context, conn *pgx.Conn) error {
				_, err := change(ctx, conn, names.erase,
					append([]any{firsts, seconds}, names.args...)...)
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("erase the %s of user %d: %w", names.what, id, err)
		}
	}
	return nil
}

// EraseAgain implements [store.Erasing]. What the server keeps of deleted rows goes with its own
// VACUUM: see the page about backups.
func (s *Store) EraseAgain(ctx context.Context, limit int) (int, error) {
	// Not a record that got the id after a restore, before the ids went on above those of before.
	clientes, err := s.ids(ctx, `
		SELECT cliente_id
		FROM erasures
		WHERE EXISTS (
				SELECT
				FROM clientes
				WHERE id = erasures.cliente_id AND created_at <= erasures.at)
			OR (
				SELECT erased <> 2 AND created_at <= erasures.at
				FROM cliente_history
				WHERE cliente_id = erasures.cliente_id
				ORDER BY version DESC
				LIMIT 1)
		LIMIT $1`,
		max(limit, 0))
	if err != nil {
		return 0, fmt.Errorf("look for customers to erase again: %w", err)
	}
	users, err := s.ids(ctx, `
		SELECT user_id
		FROM erased_users
		WHERE checked_at IS NULL
			OR checked_at < at + $1::interval AND at + $1::interval <= $2
			OR EXISTS (SELECT FROM users WHERE id = erased_users.user_id)
			OR EXISTS (
				SELECT
				FROM audit
				WHERE user_id = erased_users.user_id AND actor_id IN (0, user_id)
					AND (ip <> '' OR user_agent <> ''))
		LIMIT $3`,
		store.NamesSettle, store.Instant(s.now()), max(limit, 0))
	if err != nil {
		return 0, fmt.Errorf("look for users to erase again: %w", err)
	}
	return store.EraseEach(ctx, s, clientes, users)
}

// ids returns the ids that a query finds, which may look at many rows.
func (s *Store) ids(ctx context.Context, query string, args ...any) ([]int64, error) {
	return callFor(ctx, s, store.Many, scanTimeout,
		func(ctx context.Context, conn *pgx.Conn) ([]int64, error) {
			return list(ctx, conn, nil, func(id *int64) []any { return []any{id} }, query, args...)
		})
}
