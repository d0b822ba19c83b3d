package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// EndAll implements [store.Restoring]. Sessions that had ended get the next place in the order of
// ends too, or a process whose watermark is higher than the restored order would not hear of them.
func (s *Store) EndAll(ctx context.Context, lastIDs map[string]int64) (store.EndedAll, error) {
	return writeAlone(ctx, s, func(conn *sqlite.Conn) (all store.EndedAll, err error) {
		ended, err := s.endSessions(ctx, conn, `true`)
		if err != nil {
			return store.EndedAll{}, err
		}
		all.Sessions = len(ended)
		jump := store.GenerationJump()
		for _, step := range []struct {
			what  string
			count *int
			query string
			args  []any
		}{
			{"order the ends", nil, `
				UPDATE sessions
				SET ended_order = (SELECT last FROM session_ends)
				WHERE ended_at IS NOT NULL`, nil},
			{"raise the generations", &all.Users, `
				UPDATE users
				SET generation = generation + ?, link_generation = link_generation + ?,
					mark_generation = mark_generation + ?`, []any{jump, jump, jump}},
			{"look at the erased users again", nil, `
				UPDATE erased_users
				SET checked_at = NULL`, nil},
			{"delete the mails", &all.Mails, `DELETE FROM mails`, nil},
			{"delete the idempotency keys", &all.Answers, `DELETE FROM idempotency_keys`, nil},
		} {
			if err := exec(conn, step.query, step.args...); err != nil {
				return store.EndedAll{}, fmt.Errorf("%s: %w", step.what, err)
			}
			if step.count != nil {
				*step.count = conn.Changes()
			}
		}
		for _, t := range store.Tables() {
			if err := raiseIDs(conn, t, lastIDs); err != nil {
				return store.EndedAll{}, fmt.Errorf("raise the ids of %s: %w", t.Name, err)
			}
		}
		if err := s.insertEvent(conn, all.Event()); err != nil {
			return store.EndedAll{}, err
		}
		return all, nil
	})
}

// raiseIDs makes sure that the table assigns no id that was ever given.
func raiseIDs(conn *sqlite.Conn, t store.Table, lastIDs map[string]int64) error {
	if !t.IDs {
		return nil
	}
	if lastIDs != nil {
		return raiseLastID(conn, t.Name, lastIDs[t.Name])
	}
	last, err := lastID(conn, t.Name)
	if err != nil {
		return err
	}
	return raiseLastID(conn, t.Name, last+store.IDJump())
}

// lastID returns the highest id that the table has ever assigned.
func lastID(conn *sqlite.Conn, table string) (int64, error) {
	return one(conn, scanInteger, `
		SELECT coalesce(max(seq), 0)
		FROM sqlite_sequence
		WHERE name = ?`,
		table)
}
