package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// A restore brings back an older state of the records. For those who follow the changes it is a
// change like any other, and no version comes twice. So numbers of changes and of versions go on
// above those of the database that is replaced. Each record that changed since is deleted, and
// brought back if it is in the backup. All are deleted first: emails may have changed hands.

// continueChanges adds those changes to the database at path, which is to replace the one at old.
// It does nothing if old is older than the order of changes.
func continueChanges(ctx context.Context, path, old string, now time.Time) error {
	return withOld(ctx, path, old, func(conn *sqlite.Conn) error {
		ordered, err := one(conn, scanBool, `
			SELECT count(*) > 0
			FROM pragma_table_info('cliente_history', 'old')
			WHERE name = 'seq'`)
		if err != nil || !ordered {
			return err
		}
		// Who has followed to its beginning goes on, too.
		err = exec(conn, `
			UPDATE main.identity
			SET order_began = (SELECT order_began FROM old.identity)`)
		if err != nil {
			return fmt.Errorf("take over when the order of changes began: %w", err)
		}
		last, changed, err := compareChanges(ctx, conn)
		if err != nil || len(changed) == 0 {
			return err // without changes it is of the same state
		}
		return undoChanges(conn, last, changed, store.Instant(now))
	})
}

// withOld calls f in a transaction on the database at path, in which the one at the path old is
// attached as old. An error takes everything back, also where the old file is damaged.
func withOld(ctx context.Context, path, old string, f func(*sqlite.Conn) error) (err error) {
	conn, err := connect(ctx, path, callTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := exec(conn, `ATTACH ? AS old`, old); err != nil {
		return fmt.Errorf("open %s: %w", old, err)
	}
	if err := exec(conn, `BEGIN`); err != nil {
		return err
	}
	if err := f(conn); err != nil {
		return err // closing the connection takes everything back
	}
	return exec(conn, `COMMIT`)
}

// compareChanges returns the last number that either side has, and the records that changed on
// either since the two were the same. It notes the restore for those who follow.
func compareChanges(ctx context.Context, conn *sqlite.Conn) (
	last int64, records []changed, err error) {
	var same, newest int64
	for _, n := range [...]struct {
		number *int64
		query  string
	}{
		{&same, `
			SELECT coalesce(max(h.seq), 0)
			FROM main.cliente_history AS h
			JOIN old.cliente_history AS o ON o.seq = h.seq AND o.seq > 0 AND o.at = h.at
				AND o.cliente_id = h.cliente_id AND o.version = h.version
			WHERE h.seq > 0`},
		{&newest, `SELECT coalesce(max(seq), 0) FROM main.cliente_history WHERE seq > 0`},
		{&last, `SELECT coalesce(max(seq), 0) FROM old.cliente_history WHERE seq > 0`},
	} {
		if *n.number, err = one(conn, scanInteger, n.query); err != nil {
			return 0, nil, fmt.Errorf("compare the changes: %w", err)
		}
	}
	last = max(last, newest)
	records, err = list(ctx, conn, nil, scanChanged, selectChanged, same)
	if err != nil {
		return 0, nil, fmt.Errorf("list the changed records: %w", err)
	}
	if len(records) == 0 {
		return last, nil, nil
	}
	if err := exec(conn, `
		INSERT OR IGNORE INTO main.restores (newest_same, last, resume)
		SELECT newest_same, last, resume FROM old.restores
		UNION ALL
		SELECT ?, ?, ?`,
		same, last, newest); err != nil {
		return 0, nil, fmt.Errorf("note the restore: %w", err)
	}
	return last, records, nil
}

// undoChanges deletes the records, and brings back those that are in the backup, as changes with
// numbers after last.
func undoChanges(conn *sqlite.Conn, last int64, records []changed, now time.Time) error {
	for i := range records {
		last++
		c := &records[i]
		c.version++
		c.at = store.Later(c.at, now)
		if err := exec(conn, insertUndone, last, c.id, c.version, c.at, c.created); err != nil {
			return fmt.Errorf("delete cliente %d: %w", c.id, err)
		}
	}
	for _, c := range records {
		if !c.exists {
			continue
		}
		last++
		err := exec(conn, `
			UPDATE main.clientes
			SET version = ?, updated_at = ?
			WHERE id = ?`,
			c.version+1, c.at, c.id)
		if err == nil {
			err = exec(conn, insertRestored, last, c.id)
		}
		if err != nil {
			return fmt.Errorf("restore cliente %d: %w", c.id, err)
		}
	}
	return nil
}

// changed is a record that changed on either side since the two were the same.
type changed struct {
	id, version int64     // the highest that either side has
	at          time.Time // of the last change
	exists      bool      // in the backup
	created     time.Time
}

func scanChanged(stmt *sqlite.Stmt) changed {
	return changed{
		id: stmt.ColumnInt64(0), version: stmt.ColumnInt64(1), at: instant(stmt, 2),
		exists: stmt.ColumnBool(3), created: instant(stmt, 4),
	}
}

// selectChanged also finds records with changes that are older than the order and on one side only:
// the backup may be from before the migration that has numbered the changes.
const selectChanged = `
	SELECT cliente_id, max(version), max(at),
		EXISTS (SELECT 1 FROM main.clientes WHERE id = cliente_id), min(created_at)
	FROM (
		SELECT cliente_id, version, at, created_at, seq, 1 AS side FROM main.cliente_history
		UNION ALL
		SELECT cliente_id, version, at, created_at, seq, -1 FROM old.cliente_history)
	GROUP BY cliente_id
	HAVING max(seq) > ? OR sum(iif(seq > 0, 0, side)) <> 0
	ORDER BY cliente_id`

var (
	// insertUndone keeps no text: an erasure may be the reason for the restore.
	insertUndone = `
	INSERT INTO main.cliente_history (erased, ` + historyColumns + `)
	VALUES (1, ?1, ?2, ?3, 'deleted', 0, 0, '', ?4, ?5, ?4` +
		strings.Repeat(`, ''`, store.ClienteTexts) + `)`

	insertRestored = `
	INSERT INTO main.cliente_history (` + historyColumns + `)
	SELECT ?1, id, version, 'updated', 1, 0, '', updated_at, created_at, updated_at,
		` + textColumns + `
	FROM main.clientes
	WHERE id = ?2`
)
