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

// maxDownload is how long an export may take: as long as every engine lets it.
const maxDownload = time.Hour

// Export writes every customer of a selection, as they stood at one moment. It hands each to before, if that is not nil, just
// before it is written.
func Export(ctx context.Context, clientes store.Clientes, s store.Selection, to io.Writer, f Format, before func(*store.Cliente)) error {
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
		if before != nil {
			before(&c)
		}
		if f == CSV {
			buf = appendCSV(buf, c)
		} else {
			buf = appendNDJSON(buf, c)
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

// SpreadsheetSafe puts an apostrophe before each text that begins as a formula does (OWASP, CSV Injection). It is then not
// what is stored any more.
func SpreadsheetSafe(c *store.Cliente) {
	for _, s := range texts(c) {
		if *s != "" && strings.ContainsRune("=+-@\t\r", rune((*s)[0])) {
			*s = "'" + *s
		}
	}
}

// exportClientes streams everything that the filters select.
func (s *Server) exportClientes(c *gin.Context) {
	r := &request{Context: c, server: s}
	var in selectionInput
	if err := in.decode(r); err != nil {
		s.fail(c, err)
		return
	}
	f, ok := acceptedFormat(c.Request.Header.Values("Accept"))
	if !ok {
		s.fail(c, errNotAcceptable)
		return
	}
	to := &download{to: c.Writer, connection: http.NewResponseController(c.Writer), now: s.cfg.Now, format: f}
	if c.Request.Method == http.MethodHead {
		to.begin()
		return
	}
	if !s.exports.TryAcquire(1) {
		s.fail(c, errTooManyTransfers)
		return
	}
	defer s.exports.Release(1)
	ctx, cancel := context.WithTimeout(c.Request.Context(), maxDownload)
	defer cancel()
	err := Export(ctx, s.cfg.Store, in.selection, to, f, nil)
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

// download is the body of an export, which may take its time as long as something is taken.
type download struct {
	to         http.ResponseWriter
	connection *http.ResponseController
	now        func() time.Time
	format     Format
	begun      bool
	err        error // the client's
}

// begin sends the status and the headers.
func (d *download) begin() {
	d.begun = true
	media, name := string(d.format), "clientes.ndjson"
	if d.format == CSV {
		media, name = media+"; charset=utf-8; header=present", "clientes.csv"
	}
	d.to.Header().Set("Content-Type", media)
	d.to.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	d.to.WriteHeader(http.StatusOK)
}

// Write keeps the promise of io.Writer.
func (d *download) Write(p []byte) (int, error) {
	if !d.begun {
		d.begin()
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
