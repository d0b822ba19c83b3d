package wire_test

import (
	"testing"
	"time"

	"clientes/api/wire"
	"clientes/store"
)

func TestCursors(t *testing.T) {
	at := time.UnixMilli(1_795_000_000_123).UTC()
	for want, p := range map[string]store.FeedPosition{
		"0":             {},
		"a7-mwm0nkaj":   {ID: 7, At: at},
		"b0-mwm0nkaj":   {Part: store.FeedUnrecorded, At: at},
		"b9-mwm0nkaj":   {Part: store.FeedUnrecorded, ID: 9, At: at},
		"c-mwm0nkaj":    {Part: store.FeedOrder, At: at},
		"1234-mwm0nkaj": {Part: store.FeedOrder, Seq: 1234, At: at},
	} {
		if got := wire.Cursor(p); got != want {
			t.Errorf("the cursor of %+v is %q, want %q", p, got, want)
		}
		if got, ok := wire.ParseCursor(want); !ok || got != p {
			t.Errorf("%q is %+v, %t, want %+v", want, got, ok, p)
		}
	}
	for _, s := range []string{
		"", "00", "a", "a0-a", "a-1", "a07-a", "b-a", "c0-a", "d-a", "1", "-", "1-", "-1", "0-1",
		"+1-a", "a7", "b0", "c", "ab7-a", "aa7-a", "a-7-a",
		"01-a", "1-A", "1-a ", " 1-a", "1-a-b", "1--a-", "1-zzzzzzzzzzzzzzzzz",
		"99999999999999999999-a", "1-0a", "a99999999999999999999-a", "bx-a",
	} {
		if p, ok := wire.ParseCursor(s); ok {
			t.Errorf("%q is %+v", s, p)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	for _, s := range []string{"0", "a7-mcx", "b0-mcx", "c-mcx", "1234-mcx", "1-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := wire.ParseCursor(s); ok && wire.Cursor(p) != s {
			t.Errorf("%q is %+v, whose cursor is %q", s, p, wire.Cursor(p))
		}
	})
}

func TestFeedChangeJSON(t *testing.T) {
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	c := store.FeedChange{
		Change: store.Change{
			Version: 2, Action: store.Deleted, UserID: 3, User: "ana", At: at,
			Record: store.Cliente{ID: 1, Name: "Bia", Version: 1, CreatedAt: at, UpdatedAt: at},
		},
		Position: store.FeedPosition{Part: store.FeedOrder, Seq: 5, At: at},
	}
	const step = `"version":2,"action":"deleted","user_id":3,"user":"ana",` +
		`"at":"2026-11-30T08:00:00.000Z","record":null`
	if got := string(wire.AppendFeedChange(nil, &c)); got != `{"id":1,`+step+`}` {
		t.Error(got)
	}
	want := `{"id":1,` + step + `,"cursor":"` + wire.Cursor(c.Position) + "\"}\n"
	if got := string(wire.AppendFeedLine(nil, &c)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.Action = store.Erased
	if got := string(wire.AppendFeedChange(nil, &c)); got[len(got)-14:] != `"record":null}` {
		t.Error(got)
	}
	c.Action = store.Updated
	got, record := wire.AppendFeedChange(nil, &c), wire.AppendCliente(nil, &c.Record)
	if tail := `"record":` + string(record) + `}`; string(got[len(got)-len(tail):]) != tail {
		t.Errorf("got %s", got)
	}
}
