// Floor is what clientes is measured against: the same queries over the same drivers, by a bare
// net/http handler. It checks no token, writes no log, validates nothing and appends its JSON by
// hand. It takes the URL of a database that clientes has migrated, and prints where it listens.
//
// A create writes what one of clientes does: the record with the keys of its order and its search,
// and the first step of its history. It asks Postgres once. On SQLite each create commits by
// itself, and the commit is on the disk before the answer.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/text/unicode/norm"
	"zombiezen.com/go/sqlite"
)

type cliente struct {
	ID      int64  `json:"-"`
	Name    string `json:"name"`
	Email   string `json:"email"`
	Phone   string `json:"phone"`
	Company string `json:"company"`
	Address string `json:"address"`
	Notes   string `json:"notes"`
	version int64
	created time.Time
	updated time.Time
}

type queries interface {
	get(ctx context.Context, id int64) (cliente, error)
	list(ctx context.Context) ([]cliente, error)
	create(ctx context.Context, c *cliente) error
}

func main() {
	q, err := open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(http.Serve(l, mux(q)))
}

func mux(q queries) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, []byte(`{"status":"ok"}`), nil)
	})
	m.HandleFunc("GET /clientes", func(w http.ResponseWriter, r *http.Request) {
		list, err := q.list(r.Context())
		b := append(make([]byte, 0, 8192), '[')
		for i := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = list[i].append(b)
		}
		answer(w, 200, append(b, ']'), err)
	})
	m.HandleFunc("GET /clientes/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
		c, err := q.get(r.Context(), id)
		answer(w, 200, c.append(nil), err)
	})
	m.HandleFunc("POST /clientes", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var c cliente
		if err == nil {
			err = json.Unmarshal(body, &c)
		}
		if err == nil {
			err = q.create(r.Context(), &c)
		}
		answer(w, 201, c.append(nil), err)
	})
	return m
}

func answer(w http.ResponseWriter, status int, body []byte, err error) {
	if err != nil {
		log.Print(err)
		w.WriteHeader(500)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (c *cliente) append(b []byte) []byte {
	text := func(name, s string) {
		b = append(b, name...)
		b, _ = jsontext.AppendQuote(b, s)
	}
	b = strconv.AppendInt(append(b, `{"id":`...), c.ID, 10)
	text(`,"name":`, c.Name)
	text(`,"email":`, c.Email)
	text(`,"phone":`, c.Phone)
	text(`,"company":`, c.Company)
	text(`,"address":`, c.Address)
	text(`,"notes":`, c.Notes)
	b = strconv.AppendInt(append(b, `,"version":`...), c.version, 10)
	b = c.created.UTC().AppendFormat(append(b, `,"created_at":`...), `"2006-01-02T15:04:05.000Z"`)
	b = c.updated.UTC().AppendFormat(append(b, `,"updated_at":`...), `"2006-01-02T15:04:05.000Z"`)
	return append(b, '}')
}

func open(url string) (queries, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		q := lite{
			readers: make(chan *sqlite.Conn, runtime.GOMAXPROCS(0)),
			writer:  make(chan *sqlite.Conn, 1),
		}
		for i := range cap(q.readers) + 1 {
			c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenWAL)
			if err != nil {
				return nil, err
			}
			if s, _, err := c.PrepareTransient("PRAGMA synchronous = FULL"); err != nil {
				return nil, err
			} else if _, err = s.Step(); err != nil {
				return nil, err
			} else if err = s.Finalize(); err != nil {
				return nil, err
			}
			if i == 0 {
				q.writer <- c
			} else {
				q.readers <- c
			}
		}
		return q, nil
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	return postgres{pool}, err
}

type lite struct{ readers, writer chan *sqlite.Conn }

const (
	columns = "id, name, email, phone, company, address, notes, version, created_at, updated_at"

	selectClientes = "SELECT " + columns + " FROM clientes "
	firstPage      = "WHERE id > 0 ORDER BY id LIMIT 20"
	insertCliente  = "INSERT INTO clientes (name, email, phone, company, address, notes, " +
		"name_key, email_key, search, version, created_at, updated_at) "
	insertChange = "INSERT INTO cliente_history (cliente_id, version, action, user_id, " +
		"user_name, at, created_at, updated_at, name, email, phone, company, address, notes) "
)

// fold returns a text without accents, in lower case.
func fold(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range norm.NFKD.String(s) {
		if !unicode.Is(unicode.Mn, r) {
			b = utf8.AppendRune(b, unicode.ToLower(r))
		}
	}
	return string(b)
}

// keys returns the name_key, the email_key and the search of a record.
func (c *cliente) keys() (name, email, search string) {
	name, email = fold(c.Name), strings.ToLower(c.Email)
	return name, email, "\n\n" + name + "\n\n" + email + "\n\n" + fold(c.Company) + "\t" +
		fold(c.Phone)
}

func scanLite(s *sqlite.Stmt) cliente {
	return cliente{
		s.ColumnInt64(0), s.ColumnText(1), s.ColumnText(2), s.ColumnText(3),
		s.ColumnText(4), s.ColumnText(5), s.ColumnText(6),
		s.ColumnInt64(7), time.UnixMilli(s.ColumnInt64(8)), time.UnixMilli(s.ColumnInt64(9)),
	}
}

func (q lite) get(_ context.Context, id int64) (c cliente, err error) {
	conn := <-q.readers
	defer func() { q.readers <- conn }()
	s, err := conn.Prepare(selectClientes + "WHERE id = ?")
	if err != nil {
		return c, err
	}
	defer s.Reset()
	s.BindInt64(1, id)
	if _, err = s.Step(); err != nil {
		return c, err
	}
	return scanLite(s), nil
}

func (q lite) list(context.Context) ([]cliente, error) {
	conn := <-q.readers
	defer func() { q.readers <- conn }()
	s, err := conn.Prepare(selectClientes + firstPage)
	if err != nil {
		return nil, err
	}
	defer s.Reset()
	list := make([]cliente, 0, 20)
	for {
		row, err := s.Step()
		if err != nil || !row {
			return list, err
		}
		list = append(list, scanLite(s))
	}
}

func (q lite) create(_ context.Context, c *cliente) (err error) {
	conn := <-q.writer
	defer func() { q.writer <- conn }()
	c.version, c.created = 1, time.UnixMilli(time.Now().UnixMilli())
	c.updated = c.created
	name, email, search := c.keys()
	at := c.created.UnixMilli()
	if err := run(conn, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err = run(conn, insertCliente+"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
		c.Name, c.Email, c.Phone, c.Company, c.Address, c.Notes, name, email, search, at, at)
	if err == nil {
		c.ID = conn.LastInsertRowID()
		err = run(conn, insertChange+
			"VALUES (?, 1, 'created', 1, 'bench', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			c.ID, at, at, at, c.Name, c.Email, c.Phone, c.Company, c.Address, c.Notes)
	}
	if err != nil {
		_ = run(conn, "ROLLBACK")
		return err
	}
	return run(conn, "COMMIT")
}

// run executes a statement that returns no rows.
func run(conn *sqlite.Conn, sql string, args ...any) error {
	s, err := conn.Prepare(sql)
	if err != nil {
		return err
	}
	for i, v := range args {
		switch v := v.(type) {
		case string:
			s.BindText(i+1, v)
		case int64:
			s.BindInt64(i+1, v)
		}
	}
	_, err = s.Step()
	if reset := s.Reset(); err == nil {
		err = reset
	}
	return err
}

type postgres struct{ pool *pgxpool.Pool }

func (c *cliente) fields() []any {
	return []any{
		&c.ID, &c.Name, &c.Email, &c.Phone, &c.Company, &c.Address, &c.Notes,
		&c.version, &c.created, &c.updated,
	}
}

func (q postgres) get(ctx context.Context, id int64) (c cliente, err error) {
	err = q.pool.QueryRow(ctx, selectClientes+"WHERE id = $1", id).Scan(c.fields()...)
	return c, err
}

func (q postgres) list(ctx context.Context) ([]cliente, error) {
	rows, err := q.pool.Query(ctx, selectClientes+firstPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := make([]cliente, 0, 20)
	for rows.Next() {
		var c cliente
		if err := rows.Scan(c.fields()...); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

const create = "WITH made AS (" + insertCliente +
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $10) RETURNING " + columns +
	"), kept AS (" + insertChange + "SELECT id, 1, 'created', 1, 'bench', created_at, created_at, " +
	"updated_at, name, email, phone, company, address, notes FROM made) SELECT id FROM made"

func (q postgres) create(ctx context.Context, c *cliente) error {
	c.version, c.created = 1, time.UnixMilli(time.Now().UnixMilli())
	c.updated = c.created
	name, email, search := c.keys()
	return q.pool.QueryRow(ctx, create, c.Name, c.Email, c.Phone, c.Company, c.Address, c.Notes,
		name, email, search, c.created).Scan(&c.ID)
}
