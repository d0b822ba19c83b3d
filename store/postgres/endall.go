package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// EndAll implements [store.Restoring]. Sessions that had ended get the next place in the order of
// ends too: a restored database holds those of the server that it was dumped from. The users come
// first, as in EndSessions, so that a login under way waits and then sees another generation. A
// sequence keeps its new value even if the call fails, which does no harm.
func (s *Store) EndAll(ctx context.Context, lastIDs map[string]int64) (store.EndedAll, error) {
	return callFor(ctx, s, store.Many, bulkTimeout,
		func(ctx context.Context, conn *pgx.Conn) (all store.EndedAll, _ error) {
			count := func(n *int) func(pgconn.CommandTag) error {
				return func(tag pgconn.CommandTag) error {
					*n = int(tag.RowsAffected())
					return nil
				}
			}
			b := beginLong(bulkTimeout)
			b.Queue(plain.check)
			b.Queue(`
				UPDATE users
				SET generation = generation + $1, link_generation = link_generation + $1,
					mark_generation = mark_generation + $1`,
				store.GenerationJump()).Exec(count(&all.Users))
			ended := queueEnds(b, s.now(), `true`)
			b.Queue(`
				UPDATE sessions
				SET ended_order = pg_current_xact_id()::text::bigint
				WHERE ended_at IS NOT NULL`)
			b.Queue(`UPDATE erased_users SET checked_at = NULL`)
			b.Queue(`DELETE FROM mails`).Exec(count(&all.Mails))
			b.Queue(`DELETE FROM idempotency_keys`).Exec(count(&all.Answers))
			for _, t := range store.Tables() {
				queueRaiseIDs(b, t, lastIDs)
			}
			if err := send(ctx, conn, b); err != nil {
				return store.EndedAll{}, fmt.Errorf("end all: %w", err)
			}
			all.Sessions = len(*ended)
			note := new(pgx.Batch)
			s.queueEvent(note, all.Event())
			note.Queue("COMMIT")
			if err := send(ctx, conn, note); err != nil {
				return store.EndedAll{}, fmt.Errorf("record the end of all: %w", err)
			}
			return all, nil
		})
}

// queueRaiseIDs queues what makes sure that the table assigns no id that was ever given.
func queueRaiseIDs(b *pgx.Batch, t store.Table, lastIDs map[string]int64) {
	if !t.IDs {
		return
	}
	key, jump := t.Columns[0].Name, store.IDJump()
	if lastIDs != nil {
		jump = 0
	}
	if lastIDs[t.Name] == 0 && jump == 0 {
		return
	}
	b.Queue(`
		SELECT setval(pg_get_serial_sequence($1, $2),
			greatest($3::bigint, $4::bigint + greatest((`+lastID+`),
				(SELECT coalesce(max(`+key+`), 0) FROM `+t.Name+`))))`,
		t.Name, key, lastIDs[t.Name], jump)
}
