package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"clientes/store"
)

// These cannot be constants, as the store has the names of the texts. They never change. Statements
// with them are variables, too: a call that put one together would allocate.
var (
	// textColumns are the columns of a customer's texts, in clientes and in cliente_history alike.
	// They are in the order of [store.Cliente.Texts].
	textColumns = strings.Join(store.TextNames(), ", ")

	// rowColumns are the texts and what Go makes of them for order, uniqueness and search.
	rowColumns = textColumns + `, name_key, email_key, search`

	// clienteColumns are in the order of toCliente.
	clienteColumns = `id, version, created_at, updated_at, ` + textColumns
)

// rowParameters is the number of rowColumns.
const rowParameters = store.ClienteTexts + 3

func toCliente(c *store.Cliente) []any {
	to := make([]any, 0, 4+store.ClienteTexts)
	to = append(to, &c.ID, &c.Version, &c.CreatedAt, &c.UpdatedAt)
	for _, t := range c.Texts() {
		to = append(to, t.Value)
	}
	return to
}

// textArgs appends the arguments for textColumns to args.
func textArgs(args []any, c store.Cliente) []any {
	for _, t := range c.Texts() {
		args = append(args, *t.Value)
	}
	return args
}

// rowTexts returns the values of rowColumns.
func rowTexts(c store.Cliente) (values [rowParameters]string) {
	for i, t := range c.Texts() {
		values[i] = *t.Value
	}
	keys := values[store.ClienteTexts:]
	keys[0], keys[1], keys[2] = c.Keys()
	return values
}

// rowArgs appends the arguments for rowColumns to args.
func rowArgs(args []any, c store.Cliente) []any {
	for _, value := range rowTexts(c) {
		args = append(args, value)
	}
	return args
}

var createCliente = insertCliente(3, `
	SELECT id
	FROM made`)

// CreateCliente implements [store.Clientes].
func (s *Store) CreateCliente(ctx context.Context, by int64,
	c store.Cliente) (store.Cliente, error) {
	n := newCliente{by, c}
	made, err := s.writing.creates.Do(ctx, n)
	if isLeftOut(err) {
		return s.createAlone(ctx, n, err)
	}
	return made, err
}

func (s *Store) createAlone(ctx context.Context, n newCliente,
	reason error) (store.Cliente, error) {
	return writeAlone(ctx, s, reason, func(ctx context.Context, conn *pgx.Conn,
		o opening) (store.Cliente, error) {
		return s.insertOne(ctx, conn, o.beginOnce(), n)
	})
}

// insertOne adds to a transaction of one trip that has begun in b, and commits it.
func (s *Store) insertOne(ctx context.Context, conn *pgx.Conn, b *pgx.Batch,
	n newCliente) (store.Cliente, error) {
	c := s.newCliente(n.Cliente)
	b.Queue(createCliente, rowArgs([]any{n.by, c.CreatedAt}, c)...).
		QueryRow(func(row pgx.Row) error { return row.Scan(&c.ID) })
	if err := commit(ctx, conn, b); err != nil {
		return store.Cliente{}, fmt.Errorf("insert cliente: %w", err)
	}
	return c, nil
}

// newCliente returns c as a new record, but for its id.
func (s *Store) newCliente(c store.Cliente) store.Cliente {
	c.Version = 1
	c.CreatedAt = store.Instant(s.now())
	c.UpdatedAt = c.CreatedAt
	return c
}

// insertCliente returns a statement that inserts a record and the first step of its history. It
// ends in rest, which reads the new row from made. $1 is the user, $2 the instant, and the rowArgs
// begin at $first. The parameters in between belong to rest.
func insertCliente(first int, rest string) string {
	return `
	WITH made AS (
		INSERT INTO clientes (version, created_at, updated_at, ` + rowColumns + `)
		VALUES (1, $2, $2, ` + parameters(first, rowParameters) + `)
		RETURNING ` + clienteColumns + `
	), kept AS (
		INSERT INTO cliente_history (` + historyColumns + `)
		SELECT id, version, 'created', false, $1::bigint,
			coalesce((SELECT name FROM users WHERE id = $1::bigint), ''),
			created_at, created_at, updated_at, ` + textColumns + `
		FROM made
	)` + rest
}

var selectClientes = `
	SELECT ` + clienteColumns + `
	FROM clientes
	WHERE id`

// Cliente implements [store.Clientes].
func (s *Store) Cliente(ctx context.Context, id int64) (store.Cliente, error) {
	c, err := readOne(ctx, s, s.reading.clientes, toCliente, selectClientes, id)
	if err != nil {
		return store.Cliente{}, fmt.Errorf("read cliente %d: %w", id, err)
	}
	return c, nil
}

var updateCliente = `
	UPDATE clientes
	SET version = $2, updated_at = $3, (` + rowColumns + `) = (` + parameters(4, rowParameters) + `)
	WHERE id = $1`

// UpdateCliente implements [store.Clientes]. It takes two trips to the server.
func (s *Store) UpdateCliente(ctx context.Context, by, id int64,
	update func(store.Cliente) (store.Cliente, error)) (store.Cliente, error) {
	u := &clienteUpdate{by: by, id: id, update: update}
	c, err := s.writing.updatesOf(id).Do(ctx, u)
	u.leave()
	if isLeftOut(err) {
		return s.updateAlone(ctx, u, err)
	}
	return c, err
}

func (s *Store) updateAlone(ctx context.Context, u *clienteUpdate,
	reason error) (store.Cliente, error) {
	return writeAlone(ctx, s, reason, func(ctx context.Context, conn *pgx.Conn,
		o opening) (store.Cliente, error) {
		old, err := lockCliente(ctx, conn, o.begin(), u.id)
		if err != nil {
			return store.Cliente{}, err
		}
		c, err := u.update(old)
		if err != nil {
			return store.Cliente{}, err
		}
		if c.SameText(old) {
			return old, nil
		}
		write := new(pgx.Batch)
		c = s.queueReplacement(write, u.by, old, c, store.Updated)
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return store.Cliente{}, fmt.Errorf("update cliente %d: %w", u.id, err)
		}
		return c, nil
	})
}

// queueReplacement queues the next version of a record, with the texts of c, and its history. It
// returns that version.
func (s *Store) queueReplacement(b *pgx.Batch, by int64, old, c store.Cliente,
	action store.Action) store.Cliente {
	c.ID = old.ID
	c.Version = old.Version + 1
	c.CreatedAt = old.CreatedAt
	c.UpdatedAt = store.Later(old.UpdatedAt, s.now())
	b.Queue(updateCliente, rowArgs([]any{c.ID, c.Version, c.UpdatedAt}, c)...)
	queueChange(b, store.Change{
		Version: c.Version, Action: action, UserID: by, At: c.UpdatedAt, Record: c,
	})
	return c
}

var createClienteAgain = `
	INSERT INTO clientes (id, version, created_at, updated_at, ` + rowColumns + `)
	OVERRIDING SYSTEM VALUE
	VALUES ($1, $2, $3, $4, ` + parameters(5, rowParameters) + `)`

// lockHistory begins a transaction and locks the first step of a history, if there is one. Only
// those do that who restore or erase a record, because one that was deleted has no row to lock.
func lockHistory(ctx context.Context, conn *pgx.Conn, id int64) (locked bool, err error) {
	lock := begin()
	var first int64
	lock.Queue(`
		SELECT version
		FROM cliente_history
		WHERE cliente_id = $1
		ORDER BY version
		LIMIT 1
		FOR UPDATE`,
		id).QueryRow(orNone(&first))
	if err := send(ctx, conn, lock); err != nil {
		return false, fmt.Errorf("lock the history of cliente %d: %w", id, err)
	}
	return first > 0, nil
}

// RestoreCliente implements [store.Clientes].
func (s *Store) RestoreCliente(ctx context.Context, by, id, version int64,
	check func(store.Cliente) error) (store.Cliente, error) {
	return call(ctx, s, store.First, func(ctx context.Context, conn *pgx.Conn) (
		c store.Cliente, _ error) {
		switch locked, err := lockHistory(ctx, conn, id); {
		case err != nil:
			return c, err
		case !locked: // whoever comes next must not find a history that this call has not locked
			return c, fmt.Errorf("restore cliente %d: %w", id, store.ErrNotFound)
		}
		old, err := one(ctx, conn, toCliente, selectClienteForUpdate, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return c, fmt.Errorf("lock cliente %d: %w", id, err)
		}
		wanted, err := one(ctx, conn, toChange, selectChange, id, version)
		if err != nil {
			return c, fmt.Errorf("read version %d of cliente %d: %w", version, id, err)
		}
		if wanted.Erased {
			return c, fmt.Errorf("version %d of cliente %d is erased: %w", version, id,
				store.ErrNotFound)
		}
		if err := check(old); err != nil {
			return c, err
		}
		write := new(pgx.Batch)
		switch c = wanted.Record; {
		case old.ID == 0:
			last, err := one(ctx, conn, toChange, selectHistory, id, 0, 1)
			if err != nil {
				return c, fmt.Errorf("read the last change of cliente %d: %w", id, err)
			}
			old = store.Cliente{
				ID: id, Version: last.Version, CreatedAt: c.CreatedAt, UpdatedAt: last.At,
			}
			write.Queue(createClienteAgain,
				rowArgs([]any{id, old.Version, old.CreatedAt, old.UpdatedAt}, c)...)
		case c.SameText(old):
			return old, nil
		}
		c = s.queueReplacement(write, by, old, c, store.Restored)
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return c, fmt.Errorf("restore cliente %d: %w", id, err)
		}
		return c, nil
	})
}

// DeleteCliente implements [store.Clientes].
func (s *Store) DeleteCliente(ctx context.Context, by, id int64,
	check func(store.Cliente) error) error {
	return do(ctx, s, s.timeout, func(ctx context.Context, conn *pgx.Conn) error {
		c, err := lockCliente(ctx, conn, begin(), id)
		if err != nil {
			return err
		}
		if err := check(c); err != nil {
			return err
		}
		at := store.Later(c.UpdatedAt, s.now())
		write := new(pgx.Batch)
		write.Queue(`DELETE FROM clientes WHERE id = $1`, id)
		queueChange(write, store.Change{
			Version: c.Version + 1, Action: store.Deleted, UserID: by, At: at, Record: c,
		})
		write.Queue("COMMIT")
		if err := send(ctx, conn, write); err != nil {
			return fmt.Errorf("delete cliente %d: %w", id, err)
		}
		return nil
	})
}

var selectClienteForUpdate = selectClientes + ` = $1
	FOR UPDATE`

// lockCliente adds to a transaction that has begun in b. It reads the record, and nobody else
// changes it from then on.
func lockCliente(ctx context.Context, conn *pgx.Conn, b *pgx.Batch,
	id int64) (c store.Cliente, err error) {
	b.Queue(selectClienteForUpdate, id).
		QueryRow(func(row pgx.Row) error { return row.Scan(toCliente(&c)...) })
	if err := send(ctx, conn, b); err != nil {
		return store.Cliente{}, fmt.Errorf("lock cliente %d: %w", id, err)
	}
	return c, nil
}
