package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// mailColumns are in the order of toMail.
const mailColumns = `id, user_id, kind, address, detail, link_generation,
	created_at, next_try, tries`

func toMail(m *store.Mail) []any {
	return []any{&m.ID, &m.UserID, &m.Kind, &m.To, &m.Detail, &m.LinkGeneration, &m.CreatedAt,
		&m.NextTry, &m.Tries}
}

// QueueMails implements [store.Mails].
func (s *Store) QueueMails(ctx context.Context, mails ...store.Mail) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		b := beginOnce()
		s.queueEffects(b, store.Effects{Mails: mails})
		if err := commit(ctx, conn, b); err != nil {
			return fmt.Errorf("insert mails: %w", err)
		}
		return nil
	})
}

// ClaimMails implements [store.Mails]. It skips rows that another process has locked: that process
// is claiming them, or has finished with them.
func (s *Store) ClaimMails(ctx context.Context, lease time.Duration,
	limit int) ([]store.Mail, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		[]store.Mail, error) {
		now := s.now()
		mails := []store.Mail{}
		b := beginOnce()
		// The rows are selected once, in a materialized part of the statement. Postgres may
		// evaluate a plain subquery again, and then update more rows than the limit.
		b.Queue(`
			WITH due AS MATERIALIZED (
				SELECT id
				FROM mails
				WHERE next_try <= $1
					OR next_try > $3::timestamptz + $6::interval
						AND next_try > $1::timestamptz + $6::interval + interval '1 millisecond' * least(
							$4::bigint << least(greatest(tries - 1, 0), 10)::int, $5::bigint)
				ORDER BY next_try, id
				LIMIT $2
				FOR UPDATE SKIP LOCKED
			)
			UPDATE mails
			SET next_try = $3, tries = tries + 1
			WHERE id IN (SELECT id FROM due)
			RETURNING `+mailColumns,
			store.Instant(now), max(limit, 0),
			store.Instant(now.Add(lease)),
			store.FirstMailWait.Milliseconds(), store.LongestMailWait.Milliseconds(),
			store.MailSlack).Query(func(rows pgx.Rows) error {
			var m store.Mail
			_, err := pgx.ForEachRow(rows, toMail(&m), func() error {
				mails = append(mails, m)
				return nil
			})
			return err
		})
		if err := commit(ctx, conn, b); err != nil {
			return nil, fmt.Errorf("claim mails: %w", err)
		}
		slices.SortFunc(mails, byMailID)
		return mails, nil
	})
}

func byMailID(a, b store.Mail) int { return cmp.Compare(a.ID, b.ID) }

// DeleteMail implements [store.Mails].
func (s *Store) DeleteMail(ctx context.Context, id int64) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := change(ctx, conn, `DELETE FROM mails WHERE id = $1`, id); err != nil {
			return fmt.Errorf("delete mail %d: %w", id, err)
		}
		return nil
	})
}

// RetryMail implements [store.Mails].
func (s *Store) RetryMail(ctx context.Context, m store.Mail) (dropped bool, err error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		last := m.Tries >= store.MaxMailTries
		var altered int64
		var err error
		if last {
			altered, err = change(ctx, conn, `
				DELETE FROM mails
				WHERE id = $1 AND tries = $2`,
				m.ID, m.Tries)
		} else {
			altered, err = change(ctx, conn, `
				UPDATE mails
				SET next_try = $1
				WHERE id = $2 AND tries = $3`,
				store.Instant(s.now().Add(m.Wait())),
				m.ID, m.Tries)
		}
		if err != nil {
			return false, fmt.Errorf("retry mail %d: %w", m.ID, err)
		}
		return last && altered == 1, nil
	})
}

// MailQueue implements [store.Mails].
func (s *Store) MailQueue(ctx context.Context) (store.MailQueue, error) {
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
		store.MailQueue, error) {
		q, err := one(ctx, conn, toMailQueue, `
			SELECT count(*), (SELECT created_at FROM mails ORDER BY id LIMIT 1)
			FROM mails`)
		if err != nil {
			return q, fmt.Errorf("count mails: %w", err)
		}
		return q, nil
	})
}

func toMailQueue(q *store.MailQueue) []any { return []any{&q.Mails, (*orZero)(&q.Oldest)} }

// queueMail queues the insert of a mail, if its user exists. It locks the user as a foreign key
// does, so that nobody deletes the user before the mail is there.
func (s *Store) queueMail(b *pgx.Batch, m store.Mail) {
	b.Queue(`
		WITH owner AS (
			SELECT id, link_generation
			FROM users
			WHERE id = $1
			FOR KEY SHARE
		)
		INSERT INTO mails (user_id, kind, address, detail, link_generation,
			created_at, next_try, tries)
		SELECT id, $2::text, $3::text, $4::text, link_generation,
			$5::timestamptz, $5::timestamptz, 0
		FROM owner`,
		m.UserID, string(m.Kind), m.To, m.Detail, store.Instant(s.now()))
}

// queueAdminMails queues the insert of a mail to every enabled admin with an email, except its own
// user. It locks the admins like queueMail, by their IDs.
func (s *Store) queueAdminMails(b *pgx.Batch, m store.Mail) {
	b.Queue(`
		WITH admins AS (
			SELECT id, email, link_generation
			FROM users
			WHERE role = $1 AND NOT disabled AND email <> '' AND id <> $2
			ORDER BY id
			FOR KEY SHARE
		)
		INSERT INTO mails (user_id, kind, address, detail, link_generation,
			created_at, next_try, tries)
		SELECT id, $3::text, email, $4::text, link_generation,
			$5::timestamptz, $5::timestamptz, 0
		FROM admins
		ORDER BY id`,
		store.Admin, m.UserID, string(m.Kind), m.Detail, store.Instant(s.now()))
}
