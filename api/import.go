package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/api/wire"
)

const (
	// maxImport is the largest file of an import, in bytes.
	maxImport = 256 << 20

	// maxTransfers is how many imports, and how many exports, are under way at once: each holds a connection to the
	// store for as long as it takes, and an import room for its file.
	maxTransfers = 2

	// stall is how long a sender or a receiver may let nothing through.
	stall = 30 * time.Second

	// maxUpload is how long a file may take to arrive: 256 MiB at 300 kB a second.
	maxUpload = 15 * time.Minute
)

type importedView struct {
	Imported int64 `json:"imported"`
}

// importClientes takes a file of customers: all of them or none.
func (s *Server) importClientes(c *gin.Context) {
	v, err := s.importFile(c.Request.Context(), s.request(c))
	// Sending the file and keeping it may have taken longer than the server has for an answer.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(s.cfg.Now().Add(stall))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, v)
}

func (s *Server) importFile(ctx context.Context, r *request) (v importedView, err error) {
	media, err := r.media([]string{string(wire.CSV), string(wire.NDJSON)})
	switch {
	case err != nil:
		return v, err
	case r.ContentLength > maxImport:
		return v, errImportTooLarge
	case !s.imports.TryAcquire(1):
		return v, errTooManyTransfers
	}
	defer s.imports.Release(1)

	connection := http.NewResponseController(r.writer)
	body := &upload{
		from:       http.MaxBytesReader(r.writer, r.Body, maxImport),
		connection: connection, now: s.cfg.Now, end: s.cfg.Now().Add(maxUpload),
	}
	spool, err := wire.NewSpool(body, wire.Format(media))
	if err != nil {
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(body.err, &tooLarge):
			return v, errImportTooLarge
		case body.err != nil:
			return v, malformed("The file did not arrive whole.")
		case errors.Is(err, syscall.ENOSPC):
			err = fmt.Errorf("%w: %w", errNoRoom, err)
		}
		// Many clients read no answer before they have sent everything.
		_, _ = io.Copy(io.Discard, body)
		return v, err
	}
	defer spool.Close()
	// The file is here. What it takes from now on is the store's time, and a deadline of the connection that passes
	// would look as if the client had hung up.
	if err := connection.SetReadDeadline(time.Time{}); err != nil {
		return v, fmt.Errorf("set the deadline of the connection: %w", err)
	}
	v.Imported, err = s.cfg.Store.ImportClientes(ctx, r.caller().UserID, spool.Rows())
	return v, err
}

// upload is the body of a request that may take its time as long as something comes.
type upload struct {
	from       io.Reader
	connection *http.ResponseController
	now        func() time.Time
	end        time.Time
	err        error // why it did not arrive whole
}

// Read keeps the promise of io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	deadline := u.now().Add(stall)
	if deadline.After(u.end) {
		deadline = u.end
	}
	if err := u.connection.SetReadDeadline(deadline); err != nil {
		return 0, fmt.Errorf("set the deadline of the connection: %w", err)
	}
	n, err := u.from.Read(p)
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}
