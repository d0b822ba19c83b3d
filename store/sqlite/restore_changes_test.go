package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"clientes/store"
	"clientes/store/sqlite"
	"clientes/store/storetest"
)

// TestARestoreIsAChange restores backups while followers stand at many places. Each of them goes on
// from its place, and has the same records in the end.
func TestARestoreIsAChange(t *testing.T) {
	t.Parallel()
	url, folder := migratedURL(t), t.TempDir()
	var followers []*storetest.Follower
	var names []string
	// during opens the database, has a new follower go along, and makes a backup.
	during := func(change func(s *sqlite.Store)) {
		t.Helper()
		s, err := sqlite.Open(t.Context(), url, store.Options{})
		must(t, err)
		for _, f := range followers {
			f.FollowToEnd(t, s)
		}
		change(s)
		here := storetest.NewFollower()
		here.Restored = true
		here.FollowToEnd(t, s)
		followers = append(followers, here)
		must(t, s.Close())
		name := filepath.Join(folder, "backup"+string(rune('0'+len(names))))
		_, err = sqlite.WriteBackup(t.Context(), url, name, func(_, _ int64) {})
		must(t, err)
		names = append(names, name)
	}
	create := func(s *sqlite.Store, name, email string) int64 {
		t.Helper()
		c, err := s.CreateCliente(t.Context(), 0, store.Cliente{Name: name, Email: email})
		must(t, err)
		return c.ID
	}
	update := func(s *sqlite.Store, id int64, name, email string) {
		t.Helper()
		_, err := s.UpdateCliente(t.Context(), 0, id,
			func(store.Cliente) (store.Cliente, error) {
				return store.Cliente{Name: name, Email: email}, nil
			})
		must(t, err)
	}
	remove := func(s *sqlite.Store, id int64) {
		t.Helper()
		must(t, s.DeleteCliente(t.Context(), 0, id, func(store.Cliente) error { return nil }))
	}
	restore := func(name string) {
		t.Helper()
		r, err := sqlite.Restore(t.Context(), url, name, func(_, _ int64) {})
		must(t, err)
		if !r.KnowsIDs || r.Unreadable != nil {
			t.Fatalf("restored %+v", r)
		}
	}
	var ana, bia, cid int64
	during(func(s *sqlite.Store) {})
	during(func(s *sqlite.Store) {
		ana, bia = create(s, "Ana", "ana@example.com"), create(s, "Bia", "bia@example.com")
		create(s, "Dora", "")
	})
	during(func(s *sqlite.Store) {
		update(s, ana, "Ana", "")
		remove(s, bia)
		cid = create(s, "Cid", "ana@example.com")
	})
	during(func(s *sqlite.Store) { update(s, cid, "Cid", "bia@example.com") })
	for _, backup := range []int{1, 3, 2, 0, 3, 1} {
		restore(names[backup])
		during(func(s *sqlite.Store) {
			// Nobody is erased by it: who purges what is erased must keep those who come back.
			all, err := s.Changes(context.Background(), store.FeedPosition{}, 1000)
			must(t, err)
			for _, c := range all.Changes {
				if c.Action == store.Erased {
					t.Errorf("version %d of cliente %d is erased", c.Version, c.Record.ID)
				}
			}
			c, err := s.Cliente(context.Background(), ana)
			if backup == 0 {
				return
			}
			must(t, err)
			update(s, ana, c.Name+"!", c.Email)
			create(s, "Eva", "")
		})
	}
}

// TestARestoreFromBeforeTheOrderIsAChange restores a backup that a program before the order has
// made. Records have changed since then and before the order began.
func TestARestoreFromBeforeTheOrderIsAChange(t *testing.T) {
	t.Parallel()
	url := fixture(t, fixtureVersion)
	backup := filepath.Join(t.TempDir(), "backup")
	_, err := sqlite.WriteBackup(t.Context(), url, backup, func(_, _ int64) {})
	must(t, err)
	conn := beside(t, url)
	execute(t, conn, `
		UPDATE clientes
		SET name = 'Zoe', version = version + 1
		WHERE id = (SELECT max(id) FROM clientes)`)
	execute(t, conn, `
		INSERT INTO cliente_history (cliente_id, version, action, user_id, user_name, at,
			name, email, phone, company, address, notes, created_at, updated_at)
		SELECT id, version, 'updated', 0, '', updated_at,
			name, email, phone, company, address, notes, created_at, updated_at
		FROM clientes
		WHERE name = 'Zoe'`)
	must(t, conn.Close())
	must(t, sqlite.Migrate(t.Context(), url))
	f := storetest.NewFollower()
	f.Restored = true
	follow := func() {
		t.Helper()
		s, err := sqlite.Open(t.Context(), url, store.Options{})
		must(t, err)
		f.FollowToEnd(t, s)
		must(t, s.Close())
	}
	follow()
	r, err := sqlite.Restore(t.Context(), url, backup, func(_, _ int64) {})
	must(t, err)
	if !r.KnowsIDs || r.Unreadable != nil {
		t.Fatalf("restored %+v", r)
	}
	follow()
}
