package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	engine "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"clientes/store"
	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// letters returns a text that no other one shares eight characters with. The texts of others have
// digits alone.
func letters(n int) string {
	const all = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	text := make([]byte, n)
	for i := range text {
		text[i] = all[rand.IntN(len(all))]
	}
	return string(text)
}

func digits(n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = '0' + byte(rand.IntN(10))
	}
	return string(text)
}

func clienteOf(text func(int) string) store.Cliente {
	return store.Cliente{
		Name: text(12) + " " + text(12), Email: text(16) + "@" + digits(8), Phone: text(12),
		Company: text(20), Address: text(100), Notes: text(rand.IntN(300)),
	}
}

// term is in a name of each customer that is erased, and nowhere else. As one of the sequences of
// the search index it is there as a whole.
const term = "жюя"

// pieces are what must not be found beside the term: each eight bytes of short texts, and of a long
// one as many as are in any fifteen bytes of it. They are there as they were stored, and folded for
// the search.
type pieces map[[8]byte]string

func (p pieces) add(c store.Cliente) store.Cliente {
	c.Name += " " + term
	all := []string{c.Name, c.Email[:16], c.Phone, c.Company, c.Address, c.Notes}
	_, email, search := c.Keys()
	for _, text := range append(all, email[:16], search[:min(len(search), 40)]) {
		step := 1
		if len(text) > 100 {
			step = 8
		}
		for at := 0; at+8 <= len(text); at += step {
			if !strings.ContainsAny(text[at:at+8], "0123456789\n"+term) {
				p[[8]byte([]byte(text[at:]))] = text
			}
		}
	}
	return c
}

// left returns the texts of which a piece is in the file.
func (p pieces) left(t *testing.T, file string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	content, err := os.ReadFile(file)
	if !errors.Is(err, os.ErrNotExist) {
		must(t, err)
	}
	if bytes.Contains(content, []byte(term)) {
		found["the search index"]++
	}
	for at := 0; at+8 <= len(content); at++ {
		if text, ok := p[[8]byte(content[at:])]; ok {
			found[text]++
		}
	}
	return found
}

// wantGone reports texts of which a piece is in one of the files.
func (p pieces) wantGone(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		if found := p.left(t, file); len(found) > 0 {
			t.Errorf("%s has pieces of %d texts", filepath.Base(file), len(found))
		}
	}
}

func anyway(store.Cliente) error { return nil }

// An erasure among the traffic of others leaves no piece of any text in the files, nor in a backup.
func TestAnErasureLeavesNothingInTheFiles(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	s := open(t, url)
	ctx := t.Context()

	stop := make(chan struct{})
	var traffic sync.WaitGroup
	defer traffic.Wait()
	defer close(stop)
	for range 2 {
		traffic.Go(func() {
			var own []int64
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := s.CreateCliente(ctx, 0, clienteOf(digits))
				if err == nil {
					own = append(own, c.ID)
					_, err = s.UpdateCliente(ctx, 0, own[rand.IntN(len(own))],
						func(store.Cliente) (store.Cliente, error) {
							return clienteOf(digits), nil
						})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}

	gone := make(pieces)
	ids := eraseMany(t, s, gone)
	for try := 0; ; try++ {
		_, err := s.EraseAgain(ctx, 10)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) || try == 1000 {
			t.Fatal(err)
		}
	}
	backup := filepath.Join(t.TempDir(), "backup")
	gone.wantGone(t, path, path+"-wal", path+"-shm", path+"-journal")
	_, err := sqlite.WriteBackup(ctx, url, backup, func(int64, int64) {})
	must(t, err)
	gone.wantGone(t, backup, path, path+"-wal")
	for _, id := range ids {
		changes, err := s.ClienteHistory(ctx, id, 0, 100)
		if err != nil || changes[0].Action != store.Erased || len(changes) < 2 {
			t.Errorf("the history is %+v, %v", changes, err)
		}
	}
	must(t, s.Ready(ctx))
}

// importAmong imports customers among 200 others.
func importAmong(t *testing.T, s *sqlite.Store, clientes ...store.Cliente) {
	t.Helper()
	_, err := s.ImportClientes(t.Context(), 0, func(yield func(store.Cliente, error) bool) {
		for range 200 {
			clientes = append(clientes, clienteOf(digits))
		}
		for _, c := range clientes {
			if !yield(c, nil) {
				return
			}
		}
	})
	must(t, err)
}

// eraseMany makes customers in all ways that there are, changes and erases them. It adds their
// texts to the pieces.
func eraseMany(t *testing.T, s *sqlite.Store, gone pieces) (ids []int64) {
	t.Helper()
	ctx := t.Context()
	for i := range 60 {
		c := clienteOf(letters)
		if i%10 == 0 {
			c.Notes = letters(store.MaxNotes) // on pages of its own
		}
		c = gone.add(c)
		var err error
		switch i % 3 {
		case 0:
			c, err = s.CreateCliente(ctx, 0, c)
		case 1:
			c, _, err = s.CreateClienteOnce(ctx, 0, c, fmt.Sprint(i))
		case 2:
			importAmong(t, s, c)
			var page []store.Cliente
			page, err = s.Clientes(ctx, store.Selection{Filter: store.Filter{Email: c.Email}},
				store.Position{}, 1)
			must(t, err)
			c = page[0]
		}
		must(t, err)
		ids = append(ids, c.ID)
	}
	var texts sync.Mutex
	var updates sync.WaitGroup
	for range 20 {
		updates.Go(func() {
			for range 50 {
				_, err := s.UpdateCliente(ctx, 0, ids[rand.IntN(len(ids))],
					func(store.Cliente) (store.Cliente, error) {
						texts.Lock()
						defer texts.Unlock()
						return gone.add(clienteOf(letters)), nil
					})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	updates.Wait()
	for i, id := range ids {
		if i%4 > 0 {
			must(t, s.DeleteCliente(ctx, 0, id, anyway))
		}
		if i%4 > 1 {
			_, err := s.RestoreCliente(ctx, 0, id, 1, anyway)
			must(t, err)
		}
	}
	for _, id := range ids {
		must(t, s.EraseCliente(ctx, 0, id, anyway))
	}
	return ids
}

// The WAL is cut as soon as a reader of an older state is done.
func TestAReaderHoldsTheWAL(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	s := open(t, url)
	gone := make(pieces)
	c, err := s.CreateCliente(t.Context(), 0, gone.add(clienteOf(letters)))
	must(t, err)
	reader := beside(t, url)
	execute(t, reader, `BEGIN`)
	execute(t, reader, `SELECT count(*) FROM clientes`)
	must(t, s.EraseCliente(t.Context(), 0, c.ID, anyway))
	_, err = s.EraseAgain(t.Context(), 10)
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	_, err = s.CreateCliente(t.Context(), 0, clienteOf(digits)) // writers do not wait for it
	must(t, err)
	execute(t, reader, `COMMIT`)
	must(t, second(s.EraseAgain(t.Context(), 10)))
	path := strings.TrimPrefix(url, "sqlite:")
	gone.wantGone(t, path, path+"-wal")
}

// What older programs deleted is overwritten when the database is migrated.
func TestAMigrationOverwritesWhatWasDeletedBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	url := "sqlite:" + path
	must(t, sqlite.Migrate(t.Context(), url))
	s := open(t, url)
	gone := make(pieces)
	other := clienteOf(digits)
	other.Company = "other"
	clientes := []store.Cliente{other}
	for range 10 {
		clientes = append(clientes, gone.add(clienteOf(letters)))
	}
	importAmong(t, s, clientes...)
	must(t, s.Close())
	conn, err := engine.OpenConn(path, engine.OpenReadWrite)
	must(t, err)
	for _, statement := range []string{ // as programs before the migration left it
		`PRAGMA secure_delete = OFF`,
		`DELETE FROM cliente_history WHERE cliente_id BETWEEN 2 AND 11`,
		`DELETE FROM clientes WHERE id BETWEEN 2 AND 11`,
		`UPDATE scrubbing SET rebuilt = 0`,
	} {
		execute(t, conn, statement)
	}
	must(t, conn.Close())
	if len(gone.left(t, path)) == 0 {
		t.Error("the deleted texts are not in the file at first")
	}
	var told []store.MigrationProgress
	for range 2 {
		must(t, sqlite.MigrateReporting(t.Context(), url, func(p store.MigrationProgress) {
			told = append(told, p)
		}))
	}
	if len(told) != 1 || !strings.Contains(told[0].Name, "anew") {
		t.Errorf("told %+v", told)
	}
	gone.wantGone(t, path, path+"-wal")
	s = open(t, url)
	n, err := s.CountClientes(t.Context(), store.Filter{Text: "other"})
	if err != nil || n != 1 {
		t.Errorf("%d customers are found, %v", n, err)
	}
}

// victim is a customer of eraseForEver.
func victim() store.Cliente {
	return store.Cliente{Name: "Victim Victimless", Notes: strings.Repeat("victimless ", 500)}
}

// eraseForEver creates and erases customers, and prints the id of each when nothing is left of it.
func eraseForEver(url string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, url, store.Options{})
	if err != nil {
		return err
	}
	for {
		c, err := s.CreateCliente(ctx, 0, victim())
		if err == nil {
			err = s.EraseCliente(ctx, 0, c.ID, anyway)
		}
		if err != nil {
			return err
		}
		_, err = s.EraseAgain(ctx, 10)
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		os.Stdout.WriteString(fmt.Sprintln(c.ID))
	}
}

// A process that is killed while it erases leaves a database that is not refused, and another one
// does what it left to be done. A third one writes to the file meanwhile.
func TestAKillDelaysAnErasure(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	gone := make(pieces)
	gone[[8]byte([]byte("victimle"))] = "the name, folded"
	gone[[8]byte([]byte("Victim V"))] = "the name"
	left := 0
	for round := range storetest.Rounds(t, 5) {
		killed(t, url, 1+rand.IntN(20), "erase", "create", "erase")
		if len(gone.left(t, path))+len(gone.left(t, path+"-wal")) > 0 {
			left++
		}
		if err := sqlite.Migrate(t.Context(), url); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s, err := sqlite.Open(t.Context(), url, store.Options{})
		must(t, err)
		victims, err := s.Clientes(t.Context(),
			store.Selection{Filter: store.Filter{Text: "victimless"}}, store.Position{}, 10)
		must(t, err)
		for _, c := range victims {
			must(t, s.EraseCliente(t.Context(), 0, c.ID, anyway))
		}
		must(t, second(s.EraseAgain(t.Context(), 10)))
		gone.wantGone(t, path, path+"-wal")
		must(t, s.Close())
	}
	t.Logf("%d kills left something to be done", left)
}

// A restore of a backup from before an erasure brings nobody back.
func TestARestoreErasesAgain(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	backup := filepath.Join(t.TempDir(), "backup")
	s, err := sqlite.Open(t.Context(), url, store.Options{})
	must(t, err)
	gone := make(pieces)
	importAmong(t, s, gone.add(clienteOf(letters)), gone.add(clienteOf(letters)))
	must(t, s.DeleteCliente(t.Context(), 0, 2, anyway))
	must(t, second(s.CreateUser(t.Context(), store.User{Name: "admin", Role: store.Admin})))
	u, err := s.CreateUser(t.Context(), store.User{Name: letters(30), Role: store.Editor})
	must(t, err)
	gone[[8]byte([]byte(u.Name))] = "the user's name"
	must(t, second(s.UpdateCliente(t.Context(), u.ID, 3,
		func(store.Cliente) (store.Cliente, error) { return clienteOf(digits), nil })))
	must(t, second(sqlite.WriteBackup(t.Context(), url, backup, func(int64, int64) {})))
	for _, id := range []int64{1, 2} {
		must(t, s.EraseCliente(t.Context(), 0, id, anyway))
	}
	must(t, second(s.EraseUser(t.Context(), u.ID)))
	must(t, s.Close())
	for range 2 { // the erasures are in the database that was restored, too
		r, err := sqlite.Restore(t.Context(), url, backup, func(int64, int64) {})
		if err != nil || r.Erased != 3 || r.Unreadable != nil {
			t.Fatalf("restored %+v, %v", r, err)
		}
		gone.wantGone(t, path, path+"-wal")
		s, err = sqlite.Open(t.Context(), url, store.Options{})
		must(t, err)
		for _, id := range []int64{1, 2} {
			changes, err := s.ClienteHistory(t.Context(), id, 0, 10)
			if err != nil || changes[0].Action != store.Erased {
				t.Errorf("the history of %d is %+v, %v", id, changes, err)
			}
		}
		n, err := s.CountClientes(t.Context(), store.Filter{})
		if err != nil || n != 200 {
			t.Errorf("there are %d customers, %v", n, err)
		}
		must(t, s.Close())
	}
}

// A file whose pages may be of a kind that the scrub does not know is left alone, and says so.
func TestAScrubLeavesPagesOfOtherKindsAlone(t *testing.T) {
	t.Parallel()
	url := migratedURL(t)
	conn := beside(t, url)
	for _, statement := range []string{"PRAGMA auto_vacuum = FULL", "VACUUM"} {
		must(t, sqlitex.ExecuteTransient(conn, statement, nil))
	}
	s := open(t, url)
	c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"})
	must(t, err)
	must(t, s.EraseCliente(t.Context(), 0, c.ID, anyway))
	if _, err := s.EraseAgain(t.Context(), 10); !errors.Is(err, store.ErrNotCleared) ||
		!strings.Contains(err.Error(), "auto_vacuum = 0") {
		t.Errorf("got %v", err)
	}
	must(t, s.Ready(t.Context()))
	must(t, sqlitex.ExecuteTransient(conn, "PRAGMA auto_vacuum = NONE", nil))
	must(t, sqlitex.ExecuteTransient(conn, "VACUUM", nil))
	_, err = s.EraseAgain(t.Context(), 10)
	must(t, err)
}
