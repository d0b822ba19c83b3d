package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/store"
)

// exportBuffer is how much of an export is sent at once, in bytes.
const exportBuffer = 64 << 10

// Export writes every customer of a selection, as they stood at one moment. It calls alter, if that is not nil, for each
// text to write another one, and progress, if that is not nil, after each customer.
func Export(ctx context.Context, clientes store.Clientes, s store.Selection, to io.Writer, f Format,
	alter func(string) string, progress func()) error {
	buf := make([]byte, 0, 2*exportBuffer)
	if f == CSV {
		buf = appendCSVHeader(buf)
	}
	flush := func() error {
		_, err := to.Write(buf)
		buf = buf[:0]
		return err
	}
	if err := clientes.EachCliente(ctx, s, func(c store.Cliente) error {
		if alter != nil {
			for _, s := range texts(&c) {
				*s = alter(*s)
			}
		}
		if f == CSV {
			buf = appendCSV(buf, c)
		} else {
			buf = appendNDJSON(buf, c)
		}
		if progress != nil {
			progress()
		}
		if len(buf) < exportBuffer {
			return nil
		}
		return flush()
	}); err != nil {
		return err
	}
	return flush()
}

// SpreadsheetSafe is an alter of Export: a text that a spreadsheet would run as a formula gets an apostrophe before it
// (OWASP, CSV Injection), and is then not what is stored any more.
func SpreadsheetSafe(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// exportClientes streams everything that the filters select.
func (s *Server) exportClientes(c *gin.Context) {
	r := &request{Context: c, server: s}
	var in selectionInput
	err := in.decode(r)
	f, acceptable := acceptedFormat(c.Request.Header.Values("Accept"))
	switch {
	case err != nil:
	case !acceptable:
		err = errNotAcceptable
	case c.Request.Method != http.MethodHead && !s.exports.TryAcquire(1):
		err = errTooManyTransfers
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	h := c.Writer.Header()
	answer := func() {
		h.Set("Content-Type", string(f))
		name := "clientes.ndjson"
		if f == CSV {
			h.Set("Content-Type", string(f)+"; charset=utf-8; header=present")
			name = "clientes.csv"
		}
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
		c.Writer.WriteHeader(http.StatusOK)
	}
	if c.Request.Method == http.MethodHead {
		answer()
		return
	}
	defer s.exports.Release(1)
	to := &download{to: c.Writer, connection: http.NewResponseController(c.Writer), now: s.cfg.Now, begin: answer}
	// The request has been read, and its deadline would look as if the client had hung up.
	if err := to.connection.SetReadDeadline(time.Time{}); err != nil {
		s.fail(c, fmt.Errorf("set the deadline of the connection: %w", err))
		return
	}
	err = Export(c.Request.Context(), s.cfg.Store, in.selection, to, f, nil, nil)
	switch {
	case err == nil:
	case to.begun:
		x := exchangeOf(c)
		x.err, x.cut = err, to.err == nil && c.Request.Context().Err() == nil
		panic(http.ErrAbortHandler) // half an export must not look like a whole one
	default:
		_ = to.connection.SetWriteDeadline(s.cfg.Now().Add(stall)) // the store may have thought for longer than the server has
		s.fail(c, err)
	}
}

// download is the body of an answer that may take its time as long as something is taken.
type download struct {
	to         io.Writer
	connection *http.ResponseController
	now        func() time.Time
	begin      func() // sends the status
	begun      bool
	err        error // the client's
}

// Write keeps the promise of io.Writer.
func (d *download) Write(p []byte) (int, error) {
	if !d.begun {
		d.begin()
		d.begun = true
	}
	if err := d.connection.SetWriteDeadline(d.now().Add(stall)); err != nil {
		return 0, fmt.Errorf("set the deadline of the connection: %w", err)
	}
	n, err := d.to.Write(p)
	d.err = errors.Join(d.err, err)
	return n, err
}

// acceptedFormat gives the format that Accept asks for (RFC 9110 section 12.5.1), CSV where both are as welcome.
func acceptedFormat(accept []string) (f Format, ok bool) {
	if len(accept) == 0 {
		return CSV, true
	}
	csv, ndjson := acceptance(accept, string(CSV)), acceptance(accept, string(NDJSON))
	switch {
	case csv == 0 && ndjson == 0:
		return "", false
	case ndjson > csv:
		return NDJSON, true
	}
	return CSV, true
}

// acceptance says how welcome a media type is, from 0 to 1: what the range says that names it most closely.
func acceptance(accept []string, media string) float64 {
	kind, _, _ := strings.Cut(media, "/")
	ranges := map[string]int{"*/*": 1, kind + "/*": 2, media: 3}
	closest, q := 0, 0.0
	for _, v := range accept {
		for one := range strings.SplitSeq(v, ",") {
			name, params, err := mime.ParseMediaType(one)
			if err != nil || ranges[name] <= closest {
				continue
			}
			closest, q = ranges[name], 1
			if s, given := params["q"]; given {
				q, err = strconv.ParseFloat(s, 64)
				if err != nil || !(q >= 0 && q <= 1) { // NaN is neither
					q = 0
				}
			}
		}
	}
	return q
}
