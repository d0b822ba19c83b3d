package postgres

import (
	"cmp"
	"context"
	"errors"
	"runtime"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clientes/store"
)

// Reads that wait at the same moment share a trip to the server: see [store.Lanes]. A trip costs
// both sides more than the row that it brings. At 64 readers BenchmarkReadsTogether shows what that
// buys; a single reader is as fast as without it.
//
// Only reads of which a server has many at once are worth it: customers, and what a refresh or a
// logout reads. The user of a login is not: logins wait for their passwords to be hashed, so they
// hardly ever meet here.
//
// There is one lane for every two processors: the other one takes requests and writes answers.
// Where the server is far, its connections are slow or a table is locked, there are soon as many
// lanes as connections.

// maxTogether and maxPagesTogether limit how many reads share a trip, and with it how long each
// waits for what the others read.
const (
	maxTogether      = 64
	maxPagesTogether = 16
)

// knownLength is how many keys a read names at least. A generic plan of Postgres expects an array
// of ten. For a shorter array a custom plan seems cheaper, so the server would plan each time,
// which takes longer than to read the rows.
const knownLength = 11

// reading is what reads need to share trips.
type reading struct {
	clientes *store.Lanes[int64, store.Cliente]
	users    *store.Lanes[int64, store.User]
	sessions *store.Lanes[string, store.Session]
	pages    *store.Lanes[pageQuery, []store.Cliente]
}

// pageQuery is a query for a page of customers.
type pageQuery struct {
	limit int
	sql   string
	args  []any
}

// newReading returns lanes for a pool of that many connections.
func newReading(s *Store, conns int) reading {
	ofOne := store.LanesConfig{
		Lanes: max(1, min(runtime.GOMAXPROCS(0)/2, conns)), Wide: conns,
		Batch: maxTogether, Wait: s.timeout, Late: noneFree(s.timeout),
	}
	ofPage := ofOne
	ofPage.Batch = maxPagesTogether
	return reading{
		clientes: store.NewLanes(ofOne, readByKey(s, toCliente,
			func(c *store.Cliente) int64 { return c.ID }, selectClientes)),
		users: store.NewLanes(ofOne, readByKey(s, toUser,
			func(u *store.User) int64 { return u.ID }, selectUsers)),
		sessions: store.NewLanes(ofOne, readByKey(s, toSession,
			func(n *store.Session) string { return n.ID }, selectSessions)),
		pages: store.NewLanes(ofPage, s.readPages),
	}
}

// sizes returns how many calls shared the reads.
func (r *reading) sizes() store.BatchStats {
	return r.clientes.Sizes().Add(r.users.Sizes()).Add(r.sessions.Sizes()).Add(r.pages.Sizes())
}

// addTo adds the numbers of those who wait for a lane to those of a pool.
func (r *reading) addTo(p *store.PoolStats) {
	r.clientes.AddTo(p)
	r.users.AddTo(p)
	r.sessions.AddTo(p)
	r.pages.AddTo(p)
}

// keysOf returns what names the rows of a batch, at least knownLength of them.
func keysOf[In, Out, K any](calls []*store.SharedCall[In, Out], key func(In) K) []K {
	keys := make([]K, max(len(calls), knownLength))
	for i := range keys { // repeats the last one
		keys[i] = key(calls[min(i, len(calls)-1)].In)
	}
	return keys
}

// readOne reads a row in a lane, or alone if the lane leaves it out.
func readOne[K comparable, T any](ctx context.Context, s *Store, lanes *store.Lanes[K, T],
	columns func(*T) []any, sql string, key K) (T, error) {
	v, err := lanes.Do(ctx, key)
	if !isLeftOut(err) {
		return v, err
	}
	return call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (T, error) {
		return one(ctx, conn, columns, sql+` = $1`, key)
	})
}

// readByKey returns a function that serves lanes of reads by a unique key. The statement sql ends
// in the column of the key. A call whose row is absent has [store.ErrNotFound]. If the server
// refuses a batch because of one row, all have errAlone.
func readByKey[K comparable, T any](s *Store, columns func(*T) []any, key func(*T) K,
	sql string) func(context.Context, []*store.SharedCall[K, T]) {
	selectOne, selectSome := sql+` = $1`, sql+` = ANY ($1)`
	return func(ctx context.Context, calls []*store.SharedCall[K, T]) {
		if len(calls) == 1 {
			only := calls[0]
			only.Out, only.Err = call(ctx, s, store.Single,
				func(ctx context.Context, conn *pgx.Conn) (T, error) {
					return one(ctx, conn, columns, selectOne, only.In)
				})
			return
		}
		keys := keysOf(calls, func(k K) K { return k })
		rows, err := call(ctx, s, store.Single, func(ctx context.Context, conn *pgx.Conn) (
			[]T, error) {
			return list(ctx, conn, make([]T, 0, len(keys)), columns, selectSome, keys)
		})
		if mayBeOne(err) {
			err = errAlone // one row may be the reason
		}
		for _, c := range calls {
			c.Err = cmp.Or(err, store.ErrNotFound)
		}
		for i := range rows {
			found := key(&rows[i])
			for _, c := range calls { // more than one may have asked for it
				if c.In == found {
					c.Out, c.Err = rows[i], nil
				}
			}
		}
	}
}

// mayBeOne reports whether one of the reads of a batch may be why the server refused them all. If
// the reason is the state of the server, each of them would only be refused again.
func mayBeOne(err error) bool {
	var pg *pgconn.PgError
	if !isRefusal(err) || !errors.As(err, &pg) {
		return false
	}
	what, _ := faultOf(pg)
	return what == "" || pg.Code == "XX001" || pg.Code == "XX002" // damaged rows, or their index
}

// readPages reads pages, each with a statement of its own. If the server refuses one of them, all
// have errAlone: their callers read them alone.
func (s *Store) readPages(ctx context.Context,
	calls []*store.SharedCall[pageQuery, []store.Cliente]) {
	if len(calls) == 1 {
		q := &calls[0].In
		calls[0].Out, calls[0].Err = call(ctx, s, store.Many,
			func(ctx context.Context, conn *pgx.Conn) ([]store.Cliente, error) {
				return list(ctx, conn, newPage(q.limit), toCliente, q.sql, q.args...)
			})
		return
	}
	_, err := call(ctx, s, store.Many, noResult(func(ctx context.Context, conn *pgx.Conn) error {
		b := new(pgx.Batch)
		for _, c := range calls {
			queueList(b, &c.Out, newPage(c.In.limit), toCliente, c.In.sql, c.In.args...)
		}
		return send(ctx, conn, b)
	}))
	if mayBeOne(err) {
		err = errAlone
	}
	for _, c := range calls {
		c.Err = err
	}
}
