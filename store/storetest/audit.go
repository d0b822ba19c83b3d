package storetest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"clientes/store"
)

func auditChecks() []check {
	return []check{
		{"an event comes back as it was recorded", eventKept},
		{"a page of events holds at most its limit, newest first, of the filter alone", eventPage},
		{"a walk through events sees each once while more come", eventWalk},
		{"events of one key and window are one row with a count", eventCount},
		{"of many events at once of one key each is counted", eventCountRace},
		{"events are removed when they are too old", eventRemoved},
		{"the id of an event is never used twice", eventIDOnce},
	}
}

// events lists the events of a filter.
func (f *fixture) events(t *testing.T, filter store.EventFilter) []store.Event {
	t.Helper()
	events, err := f.Events(t.Context(), filter, 0, 1000)
	if err != nil || events == nil {
		t.Fatalf("events: %v, %v", events, err)
	}
	return events
}

func (f *fixture) record(t *testing.T, events ...store.Event) {
	t.Helper()
	if err := f.RecordEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

func eventKept(t *testing.T, f *fixture) {
	if got := f.events(t, store.EventFilter{}); len(got) != 0 {
		t.Errorf("an empty store has %+v", got)
	}
	var in, want []store.Event
	for what, s := range texts() {
		e := store.Event{
			ID: 99, Kind: store.EventKind(what), UserID: 1 << 40, ActorID: 1 << 41, IP: s,
			UserAgent: s, RequestID: s, Detail: s,
			Count: 99, LastAt: time.Unix(0, 0),
		}
		if s != "" {
			e.Key = "key " + s
		}
		in = append(in, e)
		e.Count, e.At, e.LastAt = 1, f.now(), f.now()
		want = append(want, e)
		e.Count, e.At, e.LastAt = 7, f.now().Add(-time.Hour), f.now().Add(-50*time.Minute)
		e.Key = ""
		in, want = append(in, e), append(want, e)
	}
	f.record(t, in...)
	f.record(t)
	got := f.events(t, store.EventFilter{})
	if len(got) != len(want) {
		t.Fatalf("%d events of %d", len(got), len(want))
	}
	for i := range want {
		e := got[len(got)-1-i]
		want[i].ID = e.ID
		wantSame(t, string(want[i].Kind), e, want[i])
	}
}

func eventPage(t *testing.T, f *fixture) {
	var all []store.Event // newest first
	start := f.now()
	for i := range 12 {
		e := store.Event{Kind: store.EventLogin, UserID: int64(1 + i%3), ActorID: 1}
		if i%2 == 0 {
			e.Kind = store.EventLogout
		}
		f.record(t, e)
		f.clock.add(time.Second)
		all = append(f.events(t, store.EventFilter{})[:1:1], all...)
	}
	for _, filter := range []store.EventFilter{
		{},
		{UserID: 2},
		{UserID: 4},
		{Kind: store.EventLogin},
		{Kind: "unknown"},
		{Since: start},
		{Since: start.Add(5 * time.Second)}, // the instant itself
		{Since: start.Add(5*time.Second + time.Millisecond)},
		{Since: start.Add(time.Hour)},
		{UserID: 2, Kind: store.EventLogin, Since: start.Add(5 * time.Second)},
	} {
		var want []store.Event
		for _, e := range all {
			if (filter.UserID == 0 || e.UserID == filter.UserID) &&
				(filter.Kind == "" || e.Kind == filter.Kind) &&
				!e.At.Before(filter.Since) {
				want = append(want, e)
			}
		}
		for _, limit := range []int{1, 2, 5, 1000} {
			walked := []store.Event{}
			for before := int64(0); ; {
				page, err := f.Events(t.Context(), filter, before, limit)
				if err != nil || page == nil || len(page) > limit {
					t.Fatalf("%+v: got %+v, %v", filter, page, err)
				}
				walked = append(walked, page...)
				if len(page) < limit {
					break
				}
				before = page[limit-1].ID
			}
			if fmt.Sprint(walked) != fmt.Sprint(want) {
				t.Errorf("%+v by %d: got %+v, want %+v", filter, limit, walked, want)
			}
		}
	}
	for _, c := range []struct {
		before int64
		limit  int
	}{{0, 0}, {0, -1}, {all[11].ID, 5}, {-1, 5}, {math.MinInt64, 5}} {
		page, err := f.Events(t.Context(), store.EventFilter{}, c.before, c.limit)
		if err != nil || page == nil || len(page) != 0 {
			t.Errorf("%d before %d: got %+v, %v", c.limit, c.before, page, err)
		}
	}
}

func eventWalk(t *testing.T, f *fixture) {
	for range 9 {
		f.record(t, store.Event{Kind: store.EventLogin})
	}
	want := f.events(t, store.EventFilter{})
	var walked []store.Event
	for before := int64(0); ; {
		page, err := f.Events(t.Context(), store.EventFilter{}, before, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		walked = append(walked, page...)
		before = page[len(page)-1].ID
		f.record(t, store.Event{Kind: store.EventLogin})
	}
	if fmt.Sprint(walked) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", walked, want)
	}
}

func eventCount(t *testing.T, f *fixture) {
	// Forward to the beginning of a window.
	f.clock.add(f.clock.now().Truncate(store.AuditWindow).Add(store.AuditWindow).Sub(f.clock.now()))
	start := f.now()
	first := store.Event{
		Kind: store.EventLoginFailed, Key: "k", UserID: 1, IP: "192.0.2.1", Detail: "first",
	}
	f.record(t, first, first)
	f.record(t, store.Event{Kind: store.EventLoginFailed, Key: "other"})
	f.record(t, store.Event{Kind: store.EventLogin}, store.Event{Kind: store.EventLogin}) // no key
	f.clock.add(store.AuditWindow - time.Millisecond)
	f.record(t, store.Event{
		Kind: store.EventLoginRefused, Key: "k", UserID: 2, IP: "192.0.2.2", Detail: "later",
	})
	f.clock.add(time.Millisecond)
	f.record(t, first)

	want := fmt.Sprintf(`%[2]v to %[2]v: 1 login_failed "k" of 1 from 192.0.2.1, first
%[1]v to %[1]v: 1 login "" of 0 from , 
%[1]v to %[1]v: 1 login "" of 0 from , 
%[1]v to %[1]v: 1 login_failed "other" of 0 from , 
%[1]v to %[3]v: 3 login_failed "k" of 1 from 192.0.2.1, first
`, start, start.Add(store.AuditWindow), start.Add(store.AuditWindow-time.Millisecond))
	got := ""
	for _, e := range f.events(t, store.EventFilter{}) {
		got += fmt.Sprintf("%v to %v: %d %s %q of %d from %s, %s\n", e.At, e.LastAt, e.Count,
			e.Kind, e.Key, e.UserID, e.IP, e.Detail)
	}
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// A row is found by the last of its events.
	if got := f.events(t, store.EventFilter{Since: start.Add(time.Minute)}); len(got) != 2 {
		t.Errorf("since then: %+v", got)
	}
	// Events that waited to be kept count on the window in which they happened.
	waited := first
	waited.Count, waited.At, waited.LastAt = 4, start.Add(time.Second), start.Add(2*time.Second)
	f.record(t, waited)
	counted := f.events(t, store.EventFilter{UserID: 1})
	if len(counted) != 2 || counted[1].Count != 7 || counted[0].Count != 1 ||
		!counted[1].LastAt.Equal(start.Add(store.AuditWindow-time.Millisecond)) {
		t.Errorf("got %+v", counted)
	}
	// A clock that is behind counts on its own window, and does not move LastAt back.
	f.clock.add(-time.Minute)
	f.record(t, first)
	counted = f.events(t, store.EventFilter{UserID: 1})
	if len(counted) != 2 || counted[1].Count != 8 ||
		!counted[1].LastAt.Equal(start.Add(store.AuditWindow-time.Millisecond)) {
		t.Errorf("got %+v", counted)
	}
}

func eventCountRace(t *testing.T, f *fixture) {
	const recorders, each = 10, 5
	stores := []store.Store{f, f.another(t)}
	var work []func()
	for i := range recorders {
		work = append(work, func() {
			for range each {
				err := stores[i%2].RecordEvents(t.Context(),
					store.Event{Kind: store.EventLoginFailed, Key: "k"})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	atOnce(work...)
	if got := f.events(t, store.EventFilter{}); len(got) != 1 || got[0].Count != recorders*each {
		t.Errorf("got %+v", got)
	}
}

func eventRemoved(t *testing.T, f *fixture) {
	for i := range 4 {
		f.record(t, store.Event{Kind: store.EventLogin, UserID: int64(i + 1)})
		f.clock.add(time.Hour)
	}
	before := f.now().Add(-2 * time.Hour) // when the third happened
	for _, c := range []struct{ limit, want int }{{0, 0}, {-1, 0}, {1, 1}, {1000, 1}, {1000, 0}} {
		if n, err := f.DeleteEvents(t.Context(), before, c.limit); err != nil || n != c.want {
			t.Errorf("removed %d, %v, want %d", n, err, c.want)
		}
	}
	got := f.events(t, store.EventFilter{})
	if len(got) != 2 || got[0].UserID != 4 || got[1].UserID != 3 {
		t.Errorf("left %+v", got)
	}
}

func eventIDOnce(t *testing.T, f *fixture) {
	last := int64(0)
	for range 3 {
		f.record(t, store.Event{Kind: store.EventLogin})
		got := f.events(t, store.EventFilter{})
		if len(got) != 1 || got[0].ID <= last {
			t.Fatalf("after %d: %+v", last, got)
		}
		last = got[0].ID
		if n, err := f.DeleteEvents(t.Context(), f.now().Add(time.Hour), 10); err != nil || n != 1 {
			t.Fatalf("removed %d, %v", n, err)
		}
	}
}
