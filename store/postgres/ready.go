package postgres

import (
	"cmp"
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
	if _, err := decide(ctx, s, noResult(s.probe)); err != nil {
		return err
	}
	return s.hasConnection(ctx)
}

// hasConnection returns an error if the pool of the usual calls has no connection and gets none.
// The server may have no place for more, while the probe has kept its own.
func (s *Store) hasConnection(ctx context.Context) error {
	if stat := s.usual.Stat(); stat.AcquiredConns()+stat.IdleConns() > 0 {
		return nil
	}
	nothing := noResult(func(context.Context, *pgx.Conn) error { return nil })
	_, err := call(ctx, s, store.Insisting, nothing)
	return err
}

// probe checks the schema and writes a row that nobody reads, in one trip: a slow line takes long
// for each.
//
// There are a few rows, and it takes one that no other process holds: what writes one and vanishes
// would stop the others for as long as the server keeps its transaction. An update with no index to
// change reuses the room of earlier ones in the same page, so the table does not grow.
func (s *Store) probe(ctx context.Context, conn *pgx.Conn) error {
	var schema store.Schema
	var applied []store.Migration
	written := int64(0)
	b := begin()
	b.Queue("SET LOCAL lock_timeout = 2000") // if somebody locks the table
	b.Queue(selectSchema).Query(func(rows pgx.Rows) error {
		var m store.Migration
		_, err := pgx.ForEachRow(rows, append(toMigration(&m), &schema.Required), func() error {
			applied = append(applied, m)
			return nil
		})
		return err
	})
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
	if isMissing(err) || errors.Is(err, store.ErrSchema) {
		return cmp.Or(s.schemaFault(ctx, conn), err)
	}
	if err != nil {
		return fmt.Errorf("write to see whether it is kept: %w", err)
	}
	all, err := known()
	if err != nil {
		return err
	}
	schema.Migrations = store.MergeMigrations(all, applied)
	if err := schema.Check(); err != nil {
		return err
	}
	if written == 0 {
		return fmt.Errorf("no row of the table probe is free: %w", store.ErrUnavailable)
	}
	if !s.full.Load() {
		return nil
	}
	if err := takeRoom(ctx, conn); err != nil {
		return err
	}
	s.full.Store(false)
	return nil
}

// schemaFault says which migrations are missing, if it is that which made the probe fail.
func (s *Store) schemaFault(ctx context.Context, conn *pgx.Conn) error {
	if _, err := exec(ctx, conn, "ROLLBACK"); err != nil {
		return err
	}
	p, err := placeOf(ctx, conn)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	return p.Check()
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
