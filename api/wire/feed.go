package wire

import (
	"strconv"
	"strings"
	"time"

	"clientes/store"
)

// AppendFeedChange appends a change of the feed to b as a JSON object. Its record is null if the
// change has left none.
func AppendFeedChange(b []byte, c *store.FeedChange) []byte {
	return append(appendFeedChange(b, c), '}')
}

// AppendFeedLine appends a change as a line of NDJSON that also has its cursor.
func AppendFeedLine(b []byte, c *store.FeedChange) []byte {
	b = appendText(append(appendFeedChange(b, c), `,"cursor":`...), Cursor(c.Position))
	return append(b, '}', '\n')
}

func appendFeedChange(b []byte, c *store.FeedChange) []byte {
	b = strconv.AppendInt(append(b, `{"id":`...), c.Record.ID, 10)
	b = appendStep(append(b, ','), &c.Change)
	b = append(b, `,"record":`...)
	if c.Action == store.Deleted || c.Action == store.Erased {
		return append(b, "null"...)
	}
	return AppendCliente(b, &c.Record)
}

// FirstCursor is the cursor of the beginning of the feed.
const FirstCursor = "0"

// The letters of cursors before the order of changes, and at its beginning.
const (
	olderCursor      = "a"
	unrecordedCursor = "b"
	orderCursor      = "c"
)

// Cursor returns a position in the feed as an opaque text of letters, digits and "-". It is not
// signed, because it has to outlive every secret, and because it opens nothing: whoever may read
// the feed may read all of it.
func Cursor(p store.FeedPosition) string {
	id, at := strconv.FormatInt(p.ID, 10), "-"+strconv.FormatInt(p.At.UnixMilli(), 36)
	switch {
	case p == store.FeedPosition{}:
		return FirstCursor
	case p.Part == store.FeedOlder:
		return olderCursor + id + at
	case p.Part == store.FeedUnrecorded:
		return unrecordedCursor + id + at
	case p.Seq == 0:
		return orderCursor + at
	}
	return strconv.FormatInt(p.Seq, 10) + at
}

// ParseCursor returns the position of a text that [Cursor] has returned, and ok only for those.
func ParseCursor(s string) (p store.FeedPosition, ok bool) {
	if s == FirstCursor {
		return p, true
	}
	place, at, _ := strings.Cut(s, "-")
	ms, err := strconv.ParseInt(at, 36, 64)
	if err != nil {
		return p, false
	}
	p.At = time.UnixMilli(ms).UTC()
	number := strings.TrimLeft(place, olderCursor+unrecordedCursor)
	n, _ := strconv.ParseInt(number, 10, 64)
	switch {
	case place == orderCursor:
		p.Part, ok = store.FeedOrder, true
	case strings.HasPrefix(place, olderCursor):
		p.ID, ok = n, n > 0
	case strings.HasPrefix(place, unrecordedCursor):
		p.Part, p.ID, ok = store.FeedUnrecorded, n, n >= 0
	default:
		p.Part, p.Seq, ok = store.FeedOrder, n, n > 0
	}
	return p, ok && Cursor(p) == s // there is one text for each position
}
