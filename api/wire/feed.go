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
	id := strconv.FormatInt(p.ID, 10)
	switch {
	case p == store.FeedPosition{}:
		return FirstCursor
	case p.Part == store.FeedOlder:
		return olderCursor + id
	case p.Part == store.FeedUnrecorded:
		return unrecordedCursor + id
	case p.Seq == 0:
		return orderCursor
	}
	return strconv.FormatInt(p.Seq, 10) + "-" + strconv.FormatInt(p.At.UnixMilli(), 36)
}

// ParseCursor returns the position of a text that [Cursor] has returned, and ok only for those.
func ParseCursor(s string) (p store.FeedPosition, ok bool) {
	seq, at, ordered := strings.Cut(s, "-")
	switch {
	case s == FirstCursor:
		return p, true
	case s == orderCursor:
		return store.FeedPosition{Part: store.FeedOrder}, true
	case strings.HasPrefix(s, olderCursor):
		p.ID, _ = strconv.ParseInt(s[1:], 10, 64)
		ok = p.ID > 0
	case strings.HasPrefix(s, unrecordedCursor):
		p.Part = store.FeedUnrecorded
		p.ID, _ = strconv.ParseInt(s[1:], 10, 64)
		ok = p.ID >= 0
	case ordered:
		p.Part = store.FeedOrder
		p.Seq, _ = strconv.ParseInt(seq, 10, 64)
		ms, err := strconv.ParseInt(at, 36, 64)
		p.At = time.UnixMilli(ms).UTC()
		ok = p.Seq > 0 && err == nil
	}
	return p, ok && Cursor(p) == s // there is one text for each position
}
