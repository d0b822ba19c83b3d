package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// room is how many bytes a write needs to show that a disk which was full has room again.
const room = 64 << 10

// Ready implements [store.Store]. It also returns [store.ErrUnavailable] if the file was moved or
// removed, and, until the file is opened anew, if any call found it damaged. A damaged page may be
// one that neither this call nor the next reads.
func (s *Store) Ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.look(ctx); err != nil {
		return s.outcome(err)
	}
	if damage := s.learned.damage.Load(); damage != nil {
		return *damage
	}
	schema, err := decide(ctx, s, func(conn *sqlite.Conn) (store.Schema, error) {
		return status(ctx, conn)
	})
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if err := schema.Check(); err != nil {
		return err
	}
	// A write of this process is under way, so the file can be written, and this call would wait
	// for it. An import takes minutes. If the store were not ready meanwhile, whoever restarts
	// servers that are not would end the import, and the next one too.
	if s.atWork.Load() && !s.learned.full.Load() {
		return nil
	}
	err = s.probe(ctx)
	if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultReadOnly && s.reopenToWrite(ctx) == nil {
		err = s.probe(ctx)
	}
	return err
}

// probe writes a row that nobody reads. It waits for another process's lock for two seconds, and in
// a test for as long in proportion to the timeout of a call.
func (s *Store) probe(ctx context.Context) error {
	wasFull := s.learned.full.Load()
	filler := int64(0)
	if wasFull {
		// A small write can find its place in pages and in a log that exist. It proves nothing.
		filler = room
	}
	_, err := writeWithin(ctx, s, s.timeout*2/5, func(conn *sqlite.Conn) (struct{}, error) {
		return struct{}{}, exec(conn, `
			INSERT INTO probe (id, at, filler)
			VALUES (1, ?, zeroblob(?))
			ON CONFLICT (id) DO UPDATE
			SET at = excluded.at, filler = excluded.filler`,
			s.now(), filler)
	})
	if err != nil {
		return fmt.Errorf("write to see whether it is kept: %w", err)
	}
	if wasFull {
		s.learned.full.Store(false)
	}
	return nil
}
