package storetest

import (
	"testing"
	"time"

	"clientes/store"
)

// FillTables writes some of everything that a table can hold to every one of [store.Tables]. It
// creates the users admin, gone and Disabled, and deletes gone. It returns a record with three
// changes, the last of which deleted it.
func FillTables(t *testing.T, st store.Store) (deleted store.Cliente) {
	t.Helper()
	f := &fixture{Store: st, clock: &clock{t: time.Now()}}
	return f.fill(t)
}

// fill is [FillTables] on the clock of the fixture.
func (f *fixture) fill(t *testing.T) (deleted store.Cliente) {
	t.Helper()
	admin := f.fillUsers(t)
	f.fillOthers(t, admin)
	deleted = f.fillClientes(t, admin)
	for _, table := range store.Tables() {
		rows, err := f.ReadRows(t.Context(), table, nil, 2)
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s has %d rows, %v; make fill in store/storetest/fill.go write at least two",
				table.Name, len(rows), err)
		}
	}
	return deleted
}

// fillUsers writes users and sessions. It returns the user admin.
func (f *fixture) fillUsers(t *testing.T) store.User {
	t.Helper()
	ctx := t.Context()
	admin := f.user(t, "admin", store.Admin)
	gone, disabled := f.user(t, "gone", store.Viewer), f.user(t, "Disabled", store.Editor)
	f.updateUser(t, admin.ID, func(u *store.User) {
		u.Email = "Ádmin@Example.com"
		u.LinkGeneration++
		u.DeviceGeneration++
		u.MFA = store.MFA{Secret: "sealed", On: true, LastStep: 7, Recovery: "hashes"}
	})
	f.updateUser(t, admin.ID, func(u *store.User) { u.PendingEmail = "New@Example.com" })
	for _, u := range []store.User{admin, gone, disabled} {
		f.session(t, "lived "+u.Name, u)
		f.session(t, "ended "+u.Name, u)
		f.key(t, "key of "+u.Name, u)
		_, err := f.EndSession(ctx, "ended "+u.Name)
		must(t, err)
	}
	_, err := f.DeleteUser(ctx, gone.ID)
	must(t, err)
	for _, name := range []string{"erased", "erased later"} {
		u := f.user(t, name, store.Viewer)
		f.session(t, "lived "+name, u)
		_, err := f.EraseUser(ctx, u.ID)
		must(t, err)
	}
	f.updateUser(t, disabled.ID, func(u *store.User) { u.Disabled = true })
	for _, s := range texts() {
		f.clock.add(time.Second)
		n := f.newSession("text "+s, admin)
		n.UserAgent, n.IP = s, s
		_, err := openSession(ctx, f, n, admin.Generation)
		must(t, err)
	}
	return admin
}

func (f *fixture) updateUser(t *testing.T, id int64, update func(u *store.User)) {
	t.Helper()
	_, _, err := f.UpdateUser(t.Context(), id, func(u store.User) (store.User, error) {
		update(&u)
		return u, nil
	})
	must(t, err)
}

// fillOthers writes what is kept beside users and customers: mails, networks, events and buckets.
func (f *fixture) fillOthers(t *testing.T, admin store.User) {
	t.Helper()
	ctx := t.Context()
	for i, s := range []string{"192.0.2.1", "2001:db8::"} {
		must(t, f.QueueMails(ctx, store.Mail{
			UserID: admin.ID, Kind: store.MailReset, To: "admin@example.com", Detail: s,
		}))
		_, err := seeNetwork(ctx, f, admin, s)
		must(t, err)
		must(t, f.RecordEvents(ctx, store.Event{
			Kind: store.EventLogin, UserID: admin.ID, ActorID: admin.ID, IP: s,
			Key: []string{"", "key"}[i], Detail: "d",
		}))
	}
	must(t, f.UpdateBuckets(ctx, []string{"a", "b"}, func(all []store.Bucket) error {
		for i := range all {
			all[i].Count, all[i].LastAt, all[i].ForgetAt = 3, f.now(), f.now().Add(time.Hour)
		}
		return nil
	}))
}

// fillClientes writes customers with every text, their histories and idempotency keys. It returns
// the one that it deleted.
func (f *fixture) fillClientes(t *testing.T, admin store.User) store.Cliente {
	t.Helper()
	ctx := t.Context()
	setEmail := func(id int64, email string) store.Cliente {
		t.Helper()
		c, err := f.UpdateCliente(ctx, 0, id, func(c store.Cliente) (store.Cliente, error) {
			c.Email = email
			return c, nil
		})
		must(t, err)
		return c
	}
	for what, s := range texts() {
		f.clock.add(time.Second)
		c, _, err := f.CreateClienteOnce(ctx, admin.ID, withTexts(s), s)
		must(t, err)
		setEmail(c.ID, "Ção of "+what)
	}
	_, err := f.CreateCliente(ctx, admin.ID, longest())
	must(t, err)
	restored := setEmail(f.cliente(t, "restored", "").ID, "Restored@example.com")
	_, err = f.RestoreCliente(ctx, admin.ID, restored.ID, 1, anyway)
	must(t, err)
	for _, name := range []string{"erased", "erased after a delete"} {
		erased := f.cliente(t, name, "")
		if name != "erased" {
			f.drop(t, erased.ID)
		}
		must(t, f.EraseCliente(ctx, admin.ID, erased.ID, anyway))
	}
	deleted := setEmail(f.cliente(t, "deleted", "").ID, "Deleted@example.com")
	must(t, f.DeleteCliente(ctx, admin.ID, deleted.ID, func(store.Cliente) error { return nil }))
	return deleted
}

// must ends the test if what it prepares fails.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
