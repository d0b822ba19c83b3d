package sqlite

import (
	"slices"
	"testing"

	"zombiezen.com/go/sqlite"

	"clientes/store"
)

// A page of changes begins at its first change, and does not look for it from the beginning.
func TestAPageOfChangesBeginsAtItsPlace(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	for range 100 {
		if _, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: "Ana"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		opcodes, err := read(t.Context(), s, func(conn *sqlite.Conn) ([]string, error) {
			return list(t.Context(), conn, nil, func(stmt *sqlite.Stmt) string {
				return stmt.ColumnText(1)
			}, "EXPLAIN "+selectOrdered, int64(1), int64(1))
		})
		if err != nil {
			t.Fatal(err)
		}
		// The bound of the place is >=. With the other one it would be SeekGT.
		if !slices.Contains(opcodes, "SeekGE") || slices.Contains(opcodes, "SeekGT") {
			t.Errorf("the program is %q", opcodes)
		}
		err = do(t.Context(), s, func(conn *sqlite.Conn) error { return exec(conn, `ANALYZE`) })
		if err != nil {
			t.Fatal(err)
		}
	}
}
