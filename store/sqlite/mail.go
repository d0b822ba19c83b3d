package sqlite

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// mailColumns are in the order of scanMail.
const mailColumns = `id, user_id, kind, address, detail, link_generation,
	created_at, next_try, tries`

func scanMail(stmt *sqlite.Stmt) store.Mail {
	return store.Mail{
		ID:             stmt.ColumnInt64(0),
		UserID:         stmt.ColumnInt64(1),
		Kind:           store.MailKind(stmt.ColumnText(2)),
		To:             stmt.ColumnText(3),
		Detail:         stmt.ColumnText(4),
		LinkGeneration: stmt.ColumnInt64(5),
		CreatedAt:      instant(stmt, 6),
		NextTry:        instant(stmt, 7),
		Tries:          stmt.ColumnInt64(8),
	}
}

// QueueMails implements [store.Mails].
func (s *Store) QueueMails(ctx context.Context, mails ...store.Mail) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		return s.keepEffects(conn, store.Effects{Mails: mails})
	})
}

// ClaimMails implements [store.Mails].
func (s *Store) ClaimMails(ctx context.Context, lease time.Duration,
	limit int) ([]store.Mail, error) {
	return write(ctx, s, func(conn *sqlite.Conn) ([]store.Mail, error) {
		now := s.now()
		mails, err := list(ctx, conn, []store.Mail{}, scanMail, `
			UPDATE mails
			SET next_try = ?, tries = tries + 1
			WHERE id IN (
				SELECT id
				FROM mails
				WHERE next_try <= ?
					OR next_try > ? AND next_try > ? + min(? << min(max(tries - 1, 0), 10), ?)
				ORDER BY next_try, id
				LIMIT ?)
			RETURNING `+mailColumns,
			store.Instant(now.Add(lease)),
			store.Instant(now),
			store.Instant(now.Add(lease+store.MailSlack)),
			store.Instant(now.Add(store.MailSlack)),
			store.FirstMailWait.Milliseconds(), store.LongestMailWait.Milliseconds(),
			int64(max(limit, 0)))
		if err != nil {
			return nil, fmt.Errorf("claim mails: %w", err)
		}
		slices.SortFunc(mails, byMailID)
		return mails, nil
	})
}

func byMailID(a, b store.Mail) int { return cmp.Compare(a.ID, b.ID) }

// DeleteMail implements [store.Mails].
func (s *Store) DeleteMail(ctx context.Context, id int64) error {
	return do(ctx, s, func(conn *sqlite.Conn) error {
		if err := exec(conn, `DELETE FROM mails WHERE id = ?`, id); err != nil {
			return fmt.Errorf("delete mail %d: %w", id, err)
		}
		return nil
	})
}

// RetryMail implements [store.Mails].
func (s *Store) RetryMail(ctx context.Context, m store.Mail) (dropped bool, err error) {
	return write(ctx, s, func(conn *sqlite.Conn) (bool, error) {
		last := m.Tries >= store.MaxMailTries
		var err error
		if last {
			err = exec(conn, `
				DELETE FROM mails
				WHERE id = ? AND tries = ?`,
				m.ID, m.Tries)
		} else {
			err = exec(conn, `
				UPDATE mails
				SET next_try = ?
				WHERE id = ? AND tries = ?`,
				store.Instant(s.now().Add(m.Wait())),
				m.ID, m.Tries)
		}
		if err != nil {
			return false, fmt.Errorf("retry mail %d: %w", m.ID, err)
		}
		return last && conn.Changes() == 1, nil
	})
}

// MailQueue implements [store.Mails].
func (s *Store) MailQueue(ctx context.Context) (store.MailQueue, error) {
	return read(ctx, s, func(conn *sqlite.Conn) (store.MailQueue, error) {
		q, err := one(conn, scanMailQueue, `
			SELECT count(*), (SELECT created_at FROM mails ORDER BY id LIMIT 1)
			FROM mails`)
		if err != nil {
			return q, fmt.Errorf("count mails: %w", err)
		}
		return q, nil
	})
}

func scanMailQueue(stmt *sqlite.Stmt) store.MailQueue {
	q := store.MailQueue{Mails: stmt.ColumnInt64(0)}
	if q.Mails > 0 {
		q.Oldest = instant(stmt, 1)
	}
	return q
}

// insertMail puts a mail into the queue, if its user exists.
func (s *Store) insertMail(conn *sqlite.Conn, m store.Mail) error {
	now := store.Instant(s.now())
	err := exec(conn, `
		INSERT INTO mails (user_id, kind, address, detail, link_generation,
			created_at, next_try, tries)
		SELECT id, ?, ?, ?, link_generation, ?, ?, 0
		FROM users
		WHERE id = ?`,
		string(m.Kind), m.To, m.Detail, now, now,
		m.UserID)
	if err != nil {
		return fmt.Errorf("insert mail: %w", err)
	}
	return nil
}

// insertAdminMails puts a mail to every enabled admin with an email into the queue, except its own
// user.
func (s *Store) insertAdminMails(conn *sqlite.Conn, m store.Mail) error {
	now := store.Instant(s.now())
	err := exec(conn, `
		INSERT INTO mails (user_id, kind, address, detail, link_generation,
			created_at, next_try, tries)
		SELECT id, ?, email, ?, link_generation, ?, ?, 0
		FROM users
		WHERE role = ? AND NOT disabled AND email <> '' AND id <> ?
		ORDER BY id`,
		string(m.Kind), m.Detail, now, now,
		store.Admin, m.UserID)
	if err != nil {
		return fmt.Errorf("insert mails to admins: %w", err)
	}
	return nil
}
