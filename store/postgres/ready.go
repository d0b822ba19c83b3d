package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// Ready implements [store.Store]. A damaged page that a call met does not count: it is the server's
// to heal or to fail over, and the other pages can be read and written.
func (s *Store) Ready(ctx context.Context) error {
	has, err := call(ctx, s, s.probe)
	if err != nil {
		return fmt.Errorf("write to see whether it is kept: %w", err)
	}
	return store.CheckMigrations(has)
}

// probe writes a row that nobody reads, and returns the migrations on the same trip.
//
// There are a few rows, and it takes one that no other process holds: what writes one and vanishes
// would stop the others for as long as the server keeps its transaction. An update with no index to
// change reuses the room of earlier ones in the same page, so the table does not grow.
func (s *Store) probe(ctx context.Context, conn *pgx.Conn) ([]store.Migration, error) {
	var applied []store.Migration
	b := begin()
	b.Queue("SET LOCAL lock_timeout = 2000") // if somebody locks the table
	b.Queue(selectApplied).Query(func(rows pgx.Rows) error {
		var m store.Migration
		_, err := pgx.ForEachRow(rows, toMigration(&m), func() error {
			applied = append(applied, m)
			return nil
		})
		return err
	})
	written := int64(0)
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
	err := send(ctx, conn, b)
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == "42P01" {
		// The table of the migrations, or that of the probe. Which ones are missing says more.
		if _, err := exec(ctx, conn, "ROLLBACK"); err != nil {
			return nil, err
		}
		has, failed := status(ctx, conn)
		if failed == nil && store.CheckMigrations(has) != nil {
			return has, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if written == 0 {
		return nil, fmt.Errorf("no row of the table probe is free: %w", store.ErrUnavailable)
	}
	if s.full.Load() {
		if err := takeRoom(ctx, conn); err != nil {
			return nil, err
		}
		s.full.Store(false)
	}
	has, err := known()
	if err != nil {
		return nil, err
	}
	return store.MergeMigrations(has, applied), nil
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
