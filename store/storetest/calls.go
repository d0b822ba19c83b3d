package storetest

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clientes/store"
)

// Subjects are the rows that [Calls] reads and writes. They need not exist where the calls cannot
// reach them.
type Subjects struct {
	Cliente store.Cliente
	User    store.User
	Session store.Session // of the user
	Key     store.Session // of the user, for a program
	Mail    store.Mail    // claimed, and to the user
}

// uncalled returns the methods that [Calls] leaves out.
func uncalled() []string {
	return []string{
		"Close", // takes no context, and nothing may be called after it
		"Now",   // takes no context
		"Stats", // takes no context
	}
}

// Calls returns a call of each method of [store.Store], by its name. Behind the name may stand what
// sets the call apart from another one of the method. Calls that write would change the subjects if
// these exist. Calls fails the test for each method that it has forgotten.
func Calls(t *testing.T, st store.Store, on Subjects) map[string]func(context.Context) error {
	t.Helper()
	calls := make(map[string]func(context.Context) error)
	for _, part := range []map[string]func(context.Context) error{
		clienteCalls(st, on), userCalls(st, on), sessionCalls(st, on), otherCalls(st, on),
		copyCalls(st),
	} {
		maps.Copy(calls, part)
	}
	called := uncalled()
	for name := range calls {
		method, _, _ := strings.Cut(name, " ")
		called = append(called, method)
	}
	methods := reflect.TypeFor[store.Store]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !slices.Contains(called, name) {
			t.Errorf("no call of %s; add one to store/storetest/calls.go", name)
		}
	}
	for _, name := range called {
		if _, ok := methods.MethodByName(name); !ok {
			t.Errorf("store.Store has no method %s; see store/storetest/calls.go", name)
		}
	}
	return calls
}

func clienteCalls(st store.Store, on Subjects) map[string]func(context.Context) error {
	id, by := on.Cliente.ID, on.User.ID
	rename := func(c store.Cliente) (store.Cliente, error) {
		c.Name = "x"
		return c, nil
	}
	rows := rowsOf(store.Cliente{Name: "x"})
	withText := store.Selection{Filter: store.Filter{Text: "abc"}}
	return map[string]func(context.Context) error{
		"CreateCliente": func(ctx context.Context) error {
			_, err := st.CreateCliente(ctx, by, store.Cliente{Name: "x"})
			return err
		},
		"CreateClienteOnce": func(ctx context.Context) error {
			_, _, err := st.CreateClienteOnce(ctx, by, store.Cliente{Name: "x"}, "key")
			return err
		},
		"DeleteIdempotencyKeys": func(ctx context.Context) error {
			_, err := st.DeleteIdempotencyKeys(ctx, farAhead(), 10)
			return err
		},
		"Cliente": func(ctx context.Context) error {
			_, err := st.Cliente(ctx, id)
			return err
		},
		"Cliente of an unknown id": func(ctx context.Context) error {
			_, err := st.Cliente(ctx, 999)
			return err
		},
		"Clientes": func(ctx context.Context) error {
			_, err := st.Clientes(ctx, store.Selection{}, store.Position{}, 10)
			return err
		},
		"Clientes with a text": func(ctx context.Context) error {
			_, err := st.Clientes(ctx, withText, store.Position{}, 10)
			return err
		},
		"CountClientes": func(ctx context.Context) error {
			_, err := st.CountClientes(ctx, store.Filter{})
			return err
		},
		"EachCliente": func(ctx context.Context) error {
			return st.EachCliente(ctx, store.Selection{}, func(store.Cliente) error { return nil })
		},
		"UpdateCliente": func(ctx context.Context) error {
			_, err := st.UpdateCliente(ctx, by, id, rename)
			return err
		},
		"DeleteCliente": func(ctx context.Context) error {
			return st.DeleteCliente(ctx, by, id, func(store.Cliente) error { return nil })
		},
		"RestoreCliente": func(ctx context.Context) error {
			_, err := st.RestoreCliente(ctx, by, id, 1, func(store.Cliente) error { return nil })
			return err
		},
		"EraseCliente": func(ctx context.Context) error {
			return st.EraseCliente(ctx, by, id, anyway)
		},
		"Erasure": func(ctx context.Context) error {
			_, err := st.Erasure(ctx, id)
			return err
		},
		"EraseUser": func(ctx context.Context) error {
			_, err := st.EraseUser(ctx, on.User.ID)
			return err
		},
		"EraseAgain": func(ctx context.Context) error {
			_, err := st.EraseAgain(ctx, 10)
			return err
		},
		"ClienteHistory": func(ctx context.Context) error {
			_, err := st.ClienteHistory(ctx, id, 0, 10)
			return err
		},
		"Changes": func(ctx context.Context) error {
			_, err := st.Changes(ctx, store.FeedPosition{}, 10)
			return err
		},
		"FeedEnd": func(ctx context.Context) error {
			_, err := st.FeedEnd(ctx)
			return err
		},
		"ImportClientes": func(ctx context.Context) error {
			_, err := st.ImportClientes(ctx, by, rows)
			return err
		},
		"CheckImport": func(ctx context.Context) error {
			_, err := st.CheckImport(ctx, rows)
			return err
		},
	}
}

func userCalls(st store.Store, on Subjects) map[string]func(context.Context) error {
	added := store.User{Name: "x", Email: "x@example.com", Role: store.Viewer}
	disable := func(u store.User) (store.User, error) {
		u.Disabled = true
		return u, nil
	}
	return map[string]func(context.Context) error{
		"CreateUser": func(ctx context.Context) error {
			_, err := st.CreateUser(ctx, added)
			return err
		},
		"CreateUsers": func(ctx context.Context) error {
			_, err := st.CreateUsers(ctx, []store.User{added})
			return err
		},
		"CheckUsers": func(ctx context.Context) error {
			return st.CheckUsers(ctx, []store.User{added})
		},
		"User": func(ctx context.Context) error {
			_, err := st.User(ctx, on.User.ID)
			return err
		},
		"UserByName": func(ctx context.Context) error {
			_, err := st.UserByName(ctx, on.User.Name)
			return err
		},
		"UserByEmail": func(ctx context.Context) error {
			_, err := st.UserByEmail(ctx, "x@example.com")
			return err
		},
		"Users": func(ctx context.Context) error {
			_, err := st.Users(ctx, 0, 10)
			return err
		},
		"UpdateUser": func(ctx context.Context) error {
			_, _, err := st.UpdateUser(ctx, on.User.ID, disable)
			return err
		},
		"ReplacePasswordHash": func(ctx context.Context) error {
			return st.ReplacePasswordHash(ctx, on.User.ID, on.User.PasswordHash, "x")
		},
		"DeleteUser": func(ctx context.Context) error {
			_, err := st.DeleteUser(ctx, on.User.ID)
			return err
		},
	}
}

func sessionCalls(st store.Store, on Subjects) map[string]func(context.Context) error {
	another := on.Session
	another.ID = "new"
	rotate := func(n store.Session) (store.Session, error) {
		n.Counter++
		return n, nil
	}
	return map[string]func(context.Context) error{
		"OpenSession": func(ctx context.Context) error {
			_, err := st.OpenSession(ctx, store.Login{
				Session: another, Generation: on.User.Generation, Network: "x",
				Mails: []store.Mail{{}}, Keys: []string{"y"},
			})
			return err
		},
		"Session": func(ctx context.Context) error {
			_, err := st.Session(ctx, on.Session.ID)
			return err
		},
		"UserSessions": func(ctx context.Context) error {
			_, err := st.UserSessions(ctx, on.User.ID, on.Session.CreatedAt)
			return err
		},
		"UpdateSession": func(ctx context.Context) error {
			_, _, err := st.UpdateSession(ctx, on.Session.ID, rotate)
			return err
		},
		"EndSession": func(ctx context.Context) error {
			_, err := st.EndSession(ctx, on.Session.ID)
			return err
		},
		"EndSessions": func(ctx context.Context) error {
			_, err := st.EndSessions(ctx, on.User.ID)
			return err
		},
		"DeleteSessions": func(ctx context.Context) error {
			_, err := st.DeleteSessions(ctx, farAhead(), 10)
			return err
		},
		"ForgetOrigins": func(ctx context.Context) error {
			_, err := st.ForgetOrigins(ctx, farAhead(), 10)
			return err
		},
		"AddKey": func(ctx context.Context) error {
			key := another
			key.ID, key.Key.Hash = "key", "hash"
			return st.AddKey(ctx, key, on.User.Generation, store.Event{Kind: store.EventKeyCreated})
		},
		"KeyByHash": func(ctx context.Context) error {
			_, err := st.KeyByHash(ctx, on.Key.Key.Hash)
			return err
		},
		"Keys": func(ctx context.Context) error {
			_, err := st.Keys(ctx, on.User.ID, on.Key.CreatedAt, store.KeyPosition{}, 10)
			return err
		},
		"NoteKeyUse": func(ctx context.Context) error {
			return st.NoteKeyUse(ctx, on.Key.ID, on.Key.CreatedAt.Add(time.Second))
		},
		"SessionEnds": func(ctx context.Context) error {
			_, err := st.SessionEnds(ctx, "", []string{on.Session.ID})
			return err
		},
	}
}

// otherCalls are those of buckets, mails, networks and the audit, and Ready.
func otherCalls(st store.Store, on Subjects) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"UpdateBuckets": func(ctx context.Context) error {
			return st.UpdateBuckets(ctx, []string{"x"}, func(buckets []store.Bucket) error {
				buckets[0].Count++
				return nil
			})
		},
		"DeleteBuckets": func(ctx context.Context) error {
			_, err := st.DeleteBuckets(ctx, farAhead(), 10)
			return err
		},
		"QueueMails": func(ctx context.Context) error {
			return st.QueueMails(ctx, store.Mail{UserID: on.User.ID, Kind: store.MailReset})
		},
		"ClaimMails": func(ctx context.Context) error {
			_, err := st.ClaimMails(ctx, time.Minute, 10)
			return err
		},
		"DeleteMail": func(ctx context.Context) error { return st.DeleteMail(ctx, on.Mail.ID) },
		"RetryMail": func(ctx context.Context) error {
			_, err := st.RetryMail(ctx, on.Mail)
			return err
		},
		"MailQueue": func(ctx context.Context) error {
			_, err := st.MailQueue(ctx)
			return err
		},
		"DeleteNetworks": func(ctx context.Context) error {
			_, err := st.DeleteNetworks(ctx, farAhead(), 10)
			return err
		},
		"RecordEvents": func(ctx context.Context) error {
			return st.RecordEvents(ctx, store.Event{Kind: store.EventLogin})
		},
		"Events": func(ctx context.Context) error {
			_, err := st.Events(ctx, store.EventFilter{}, 0, 10)
			return err
		},
		"DeleteEvents": func(ctx context.Context) error {
			_, err := st.DeleteEvents(ctx, farAhead(), 10)
			return err
		},
		"Sizes": func(ctx context.Context) error {
			_, err := st.Sizes(ctx, 1)
			return err
		},
		"Ready": st.Ready,
	}
}

func copyCalls(st store.Store) map[string]func(context.Context) error {
	users := tableNamed("users")
	return map[string]func(context.Context) error{
		"EndAll": func(ctx context.Context) error {
			_, err := st.EndAll(ctx, nil)
			return err
		},
		"Identity": func(ctx context.Context) error {
			_, err := st.Identity(ctx)
			return err
		},
		"Extent": func(ctx context.Context) error {
			_, err := st.Extent(ctx, users)
			return err
		},
		"ReadRows": func(ctx context.Context) error {
			_, err := st.ReadRows(ctx, users, nil, 10)
			return err
		},
		"BeginCopy": func(ctx context.Context) error { return st.BeginCopy(ctx, "source") },
		"WriteRows": func(ctx context.Context) error {
			return st.WriteRows(ctx, "source", users, nil)
		},
		"FinishCopy": func(ctx context.Context) error {
			return st.FinishCopy(ctx, store.Identity{ID: "source"}, nil)
		},
	}
}

// farAhead returns an instant after all that a test keeps.
func farAhead() time.Time { return time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) }
