package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// maxDownload is how long an export may take. No engine allows less.
const maxDownload = time.Hour

// maxDownloads is how many clients may be sent an export at once. Each may hold a file of the
// export's size.
const maxDownloads = 16

// sendPart is how many bytes of an export are read from the pipe at once. They are sent in parts of
// stallPart, because a deadline is for all of one Write.
const (
	sendPart  = 64 << 10
	stallPart = 8 << 10
)

// exportClientes streams all customers that the query selects.
func (s *Server) exportClientes(c *gin.Context) {
	var in selectionInput
	if err := in.decode(s.request(c)); err != nil {
		s.fail(c, err)
		return
	}
	f, ok := acceptedFormat(c.Request.Header.Values("Accept"))
	if !ok {
		s.fail(c, errNotAcceptable)
		return
	}
	to := s.download(c, string(f), "clientes.ndjson")
	if f == wire.CSV {
		to.media, to.name = to.media+"; charset=utf-8; header=present", "clientes.csv"
	}
	if c.Request.Method == http.MethodHead {
		to.begin()
		return
	}
	caller := exchangeOf(c).caller
	who := occupant(caller)
	if err := s.downloads.take(who, 1); err != nil {
		s.fail(c, err)
		return
	}
	defer s.downloads.leave(who, 1)
	if !s.exports.TryAcquire(1) {
		s.fail(c, errTooManyTransfers)
		return
	}
	ctx, stop := s.cfg.Auth.WhileSession(c.Request.Context(), caller)
	defer stop()
	defer cutWith(ctx, func() {
		resetAtClose(c.Request)
		_ = to.connection.SetWriteDeadline(s.cfg.Now()) // a slow client must not delay the end
	})()
	rows, err := s.export(ctx, in.selection, f, to, caller)
	if to.begun {
		s.cfg.Auth.RecordTransfer(auth.WithOrigin(ctx, s.origin(c)), store.EventExport, caller,
			auth.Transfer{Format: string(f), Rows: rows, Whole: err == nil})
	}
	s.endDownload(c, to, err)
}

// cutWith calls cut when ctx ends, beside the handler. The handler calls stop before it returns:
// later the connection may belong to another request. stop waits for a cut that has begun.
func cutWith(ctx context.Context, cut func()) (stop func()) {
	done := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(done)
		cut()
	})
	return func() {
		if !unhook() {
			<-done
		}
	}
}

// endDownload answers with an error if nothing was sent, or else cuts the connection.
func (s *Server) endDownload(c *gin.Context, to *download, err error) {
	switch {
	case err == nil:
	case to.begun:
		x := exchangeOf(c)
		x.refuse(err)
		x.cut = to.err == nil && c.Request.Context().Err() == nil
		if errors.Is(err, auth.ErrTokenRevoked) || !c.Request.ProtoAtLeast(1, 1) {
			resetAtClose(c.Request)
		}
		// What is compressed and not sent yet must not follow, nor the mark of a whole file.
		_ = to.connection.SetWriteDeadline(time.Unix(1, 0))
		panic(http.ErrAbortHandler) // half an export must not look like a whole one
	default:
		// The store may have taken longer than the server allows for an answer.
		_ = to.connection.SetWriteDeadline(s.cfg.Now().Add(stall))
		s.fail(c, err)
	}
}

// export sends an export while it is read, and returns how many rows were read. The caller has
// acquired one of s.exports, which is free again when all is read.
func (s *Server) export(
	ctx context.Context, sel store.Selection, f wire.Format, to *download, caller auth.Caller,
) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxDownload)
	defer cancel()
	to.ctx = ctx
	pipe := wire.NewPipe()
	defer pipe.Close()
	var reading sync.WaitGroup
	reading.Go(func() {
		defer s.exports.Release(1)
		pipe.End(s.readExport(ctx, sel, f, pipe, &rows))
	})
	err = s.send(ctx, pipe, to, caller)
	if err != nil && errors.Is(context.Cause(ctx), auth.ErrTokenRevoked) {
		err = context.Cause(ctx)
	}
	pipe.Leave(err)
	cancel()
	reading.Wait()
	return rows, err
}

// readExport reads an export from the store, as fast as the store is. The pipe holds it for the
// client, so that a slow one keeps nothing in the store from others. It counts the rows.
func (s *Server) readExport(ctx context.Context, sel store.Selection, f wire.Format,
	pipe *wire.Pipe, rows *int64) (err error) {
	defer func() {
		if p := recover(); p != nil { // nobody else would, in a goroutine of its own
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	err = wire.Export(ctx, s.cfg.Store, sel, pipe, f, func(*store.Cliente) { *rows++ })
	if as[*fs.PathError](err) { // of the temporary file
		err = fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return err
}

// send sends an export to the client. At each part it looks whether the caller's session has ended.
func (s *Server) send(ctx context.Context, pipe *wire.Pipe, to *download,
	caller auth.Caller) error {
	part := make([]byte, sendPart)
	for sent := 0; ; {
		n, err := pipe.Read(part)
		for some := range slices.Chunk(part[:n], stallPart) {
			if err := s.cfg.Auth.CheckSession(ctx, caller); err != nil {
				return err
			}
			if _, err := to.Write(some); err != nil {
				return err
			}
		}
		// A compressor holds on to what it has, and the next part may take its time.
		if sent += n; n > 0 && sent >= minCompressed {
			if err := to.flush(); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			_, err = to.Write(nil) // there may have been nothing
			return err
		case err != nil:
			return err
		}
	}
}

// download is an answer that is sent part by part. It may take long, but it may not stall.
type download struct {
	ctx        context.Context // ends with the caller's session
	to         http.ResponseWriter
	connection *http.ResponseController
	pace       pace
	media      string // its type
	name       string // of the file that a browser makes of it
	begun      bool
	err        error // of writing to the client
}

func (s *Server) download(c *gin.Context, media, name string) *download {
	return &download{
		to: c.Writer, connection: http.NewResponseController(c.Writer), media: media, name: name,
		pace: newPace(s.cfg.Now),
	}
}

// begin sends the status and the headers.
func (d *download) begin() {
	d.begun = true
	d.to.Header().Set("Content-Type", d.media)
	d.to.Header().Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	d.to.WriteHeader(http.StatusOK)
}

// Write implements [io.Writer].
func (d *download) Write(p []byte) (int, error) {
	if !d.begun {
		d.begin()
	}
	if err := d.mayWrite(); err != nil {
		return 0, err
	}
	n, err := d.to.Write(p)
	d.pace.moved(n)
	d.err = errors.Join(d.err, err)
	return n, err
}

// mayWrite sets the deadline of what is written next.
func (d *download) mayWrite() error {
	if err := d.connection.SetWriteDeadline(d.pace.begin()); err != nil {
		return fmt.Errorf("set the deadline of the connection: %w", err)
	}
	if d.ctx.Err() != nil { // now: its end sets the deadline too
		return context.Cause(d.ctx)
	}
	return nil
}

// flush sends what was written.
func (d *download) flush() error {
	if err := d.mayWrite(); err != nil {
		return err
	}
	err := d.connection.Flush()
	d.pace.moved(0)
	d.err = errors.Join(d.err, err)
	return err
}

// acceptedFormat returns the format that Accept prefers (RFC 9110 section 12.5.1), CSV if it
// prefers neither.
func acceptedFormat(accept []string) (f wire.Format, ok bool) {
	if len(accept) == 0 {
		return wire.CSV, true
	}
	csv, ndjson := acceptance(accept, string(wire.CSV)), acceptance(accept, string(wire.NDJSON))
	switch {
	case csv == 0 && ndjson == 0:
		return "", false
	case ndjson > csv:
		return wire.NDJSON, true
	}
	return wire.CSV, true
}

// acceptance returns the quality of a media type, from 0 to 1: that of the range that names it most
// closely.
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
