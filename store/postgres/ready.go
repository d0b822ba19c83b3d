package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// Ready implements [store.Store]. A damaged page that a call met does not count: it is the server's
// to heal or to fail over, and the other pages can be read and written.
func (s *Store) Ready(ctx context.Context) error {
	_, err := decide(ctx, s, noResult(s.probe))
	return err
}

// probe checks the schema and writes a row that nobody reads.
//
// There are a few rows, and it takes one that no other process holds: what writes one and vanishes
// would stop the others for as long as the server keeps its transaction. An update with no index to
// change reuses the room of earlier ones in the same page, so the table does not grow.
func (s *Store) probe(ctx context.Context, conn *pgx.Conn) error {
	schema, err := status(ctx, conn)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if err := schema.Check(); err != nil {
		return err
	}
	written := int64(0)
	b := begin()
	b.Queue("SET LOCAL lock_timeout = 2000") // if somebody locks the table
	b.Queue(`
		UPDATE probe
		SET at = clock_timestamp()
		WHERE id = (
			SELECT id
			FROM probe
			LIMIT 1
			FOR UPDATE SKIP LOCKED)`).Exec(func(tag pgconn.CommandTag) error {
		written = tag.RowsAffected()
		return nil
	})
	b.Queue("COMMIT")
	switch err := send(ctx, conn, b); {
	case err != nil:
		return fmt.Errorf("write to see whether it is kept: %w", err)
	case written == 0:
		return fmt.Errorf("no row of the table probe is free: %w", store.ErrUnavailable)
	case !s.full.Load():
		return nil
	}
	if err := takeRoom(ctx, conn); err != nil {
		return err
	}
	s.full.Store(false)
	return nil
}

// takeRoom returns an error if the server's disk has no room for some 64 kB more. A small write can
// find its place in pages that exist, and proves nothing. A temporary table is always new.
func takeRoom(ctx context.Context, conn *pgx.Conn) error {
	b := begin()
	b.Queue(`
		CREATE TEMPORARY TABLE probe_room ON COMMIT DROP AS
		SELECT repeat('x', 1900) AS filler
		FROM generate_series(1, 40)`)
	b.Queue("ROLLBACK")
	if err := send(ctx, conn, b); err != nil {
		return fmt.Errorf("see whether there is room: %w", err)
	}
	return nil
}
