package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

const (
	// maxImport is the largest file of an import, in bytes.
	maxImport = 256 << 20

	// maxTransfers is how many imports may run at once, and how many exports. Each of them occupies
	// a connection to the store until it ends, and an import also room for its file. One user has
	// one of each.
	maxTransfers = 2

	// stall is how long a sender may send nothing, and a receiver may take nothing.
	stall = 30 * time.Second

	// leastSpeed is how many bytes a second a transfer has to move. Otherwise a byte now and then
	// would hold a place for long.
	leastSpeed = 16 << 10

	// maxUpload is how long a file may take to arrive: 256 MiB at 300 kB a second.
	maxUpload = 15 * time.Minute
)

// importedView is the answer to an import, and with only Valid set that to a dry run.
type importedView struct {
	Imported *int64 `json:"imported,omitempty"`
	Valid    *int64 `json:"valid,omitempty"`
}

// importInput is how a file is read, and whether its customers are kept.
type importInput struct {
	how    wire.Reading
	dryRun bool
}

func importQuery() []string { return []string{"columns", "dry_run"} }

func (in *importInput) decode(r *request) (err error) {
	if in.how, err = importReading(r.Header); err != nil {
		return err
	}
	if in.dryRun, err = r.boolQuery("dry_run"); err != nil {
		return err
	}
	text, given := r.query("columns")
	switch {
	case !given && in.how.HeaderAbsent:
		return invalidParameter("With header=absent in the Content-Type, the parameter %q has to "+
			"say what the columns are.", "columns")
	case !given:
		return nil
	case in.how.Format != wire.CSV:
		return invalidParameter("The parameter %q is for CSV; in JSON each member has its name.",
			"columns")
	}
	if in.how.Columns, err = wire.Clientes().Columns(text); err != nil {
		return invalidParameter("The parameter %q: %s.", "columns", err)
	}
	return nil
}

// importTypes are the media types of files, and how each is read. Browsers name CSV after the
// program that opens it: on Windows that is Excel.
var importTypes = map[string]wire.Format{
	"text/csv":                    wire.CSV,
	"text/x-csv":                  wire.CSV,
	"application/csv":             wire.CSV,
	"application/x-csv":           wire.CSV,
	"text/comma-separated-values": wire.CSV,
	"text/tab-separated-values":   wire.CSV,
	"application/vnd.ms-excel":    wire.CSV,

	"application/x-ndjson":    wire.NDJSON,
	"application/ndjson":      wire.NDJSON,
	"application/jsonl":       wire.NDJSON,
	"application/x-jsonlines": wire.NDJSON,
	"application/json":        wire.NDJSON,
}

// importReading returns how the headers of a request say that its file is read.
func importReading(h http.Header) (how wire.Reading, err error) {
	media, params := parseContentType(h.Get("Content-Type"))
	how.Format = importTypes[media]
	how.Charset = strings.Trim(params["charset"], `'" `)
	header := strings.ToLower(params["header"])
	switch {
	case media == "multipart/form-data":
		return how, unsupported("Send the file itself as the body, not a form with the file, " +
			"with the Content-Type text/csv or application/x-ndjson.")
	case strings.HasPrefix(media, "application/vnd.openxmlformats"):
		return how, unsupported("A workbook cannot be read; save it as CSV UTF-8, and send that.")
	case how.Format == "":
		return how, unsupported("Send a file with the Content-Type text/csv, " +
			"text/tab-separated-values, application/x-ndjson or application/json.")
	case !wire.KnownCharset(how.Charset):
		return how,
			unsupported("The charset in the Content-Type is not known; windows-1252 is one, " +
				"and without any the file is UTF-8.")
	case header != "" && header != "present" && header != "absent":
		return how, unsupported("In the Content-Type, header is present or absent.")
	case header == "absent" && how.Format != wire.CSV:
		return how, unsupported("In the Content-Type, header=absent is for CSV.")
	}
	how.HeaderAbsent = header == "absent"
	how.Tabs = media == "text/tab-separated-values"
	return how, nil
}

// importClientes adds all customers of a file, or none.
func (s *Server) importClientes(c *gin.Context) {
	ctx := auth.WithOrigin(c.Request.Context(), s.origin(c))
	var (
		in importInput
		v  importedView
	)
	r := s.request(c)
	err := in.decode(r)
	if err == nil {
		v, err = s.importFile(ctx, r, in)
	}
	s.metrics.imported(v, err)
	// The file may have taken longer than the server allows for an answer.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(s.cfg.Now().Add(stall))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.reply(c, http.StatusOK, v)
}

func (s *Server) importFile(
	ctx context.Context, r *request, in importInput,
) (v importedView, err error) {
	packed, err := r.gzipped()
	if err != nil {
		return v, err
	}
	most := int64(maxImport)
	if packed {
		most = packedLimit(maxImport)
	}
	if r.ContentLength > most {
		return v, errImportTooLarge
	}
	who := occupant(r.caller())
	if err := s.imports.take(who, 1); err != nil {
		return v, err
	}
	defer s.imports.leave(who, 1)
	ctx, stop := s.cfg.Auth.WhileSession(ctx, r.caller())
	defer stop()

	connection := http.NewResponseController(r.writer)
	body := &upload{
		ctx: ctx, from: http.MaxBytesReader(r.writer, r.Body, most),
		connection: connection, end: s.cfg.Now().Add(maxUpload), pace: newPace(s.cfg.Now),
	}
	var file io.Reader = body
	unpacked := &unpacker{from: body, left: maxImport, tooLarge: errImportTooLarge}
	if packed {
		file = unpacked
	}
	spool, err := wire.NewSpool(file, in.how)
	if err != nil {
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(body.err, &tooLarge):
			return v, errImportTooLarge
		case body.err != nil:
			return v, malformed("The file did not arrive whole.")
		case unpacked.err != nil:
			err = unpacked.err
		case as[*fs.PathError](err): // of the temporary file
			err = fmt.Errorf("%w: %w", errNoRoom, err)
		}
		// Many clients read no answer before they have sent all of the body.
		_, _ = io.Copy(io.Discard, body)
		return v, err
	}
	defer spool.Close()
	if err := s.cfg.Auth.CheckSession(ctx, r.caller()); err != nil {
		return v, err // the file may have taken its time
	}
	// The file has arrived. What follows takes as long as the store needs. A deadline of the
	// connection would pass meanwhile, and look as if the client had hung up.
	if err := connection.SetReadDeadline(time.Time{}); err != nil {
		return v, fmt.Errorf("set the deadline of the connection: %w", err)
	}
	rows := s.whileItLives(ctx, r.caller(), spool.Rows())
	var n int64
	if in.dryRun {
		n, err = s.cfg.Store.CheckImport(ctx, rows)
		v.Valid = &n
	} else {
		n, err = s.cfg.Store.ImportClientes(ctx, r.caller().UserID, rows)
		v.Imported = &n
	}
	if err != nil {
		n = 0 // nothing was kept
		if ctx.Err() != nil {
			err = context.Cause(ctx) // the session has ended, or the client has hung up
		}
	}
	if !in.dryRun {
		s.cfg.Auth.RecordTransfer(ctx, store.EventImport, r.caller(), auth.Transfer{
			Format: string(in.how.Format), Rows: n, Whole: err == nil,
		})
	}
	return v, err
}

// whileItLives returns the rows, and an error after the last of them if the caller's session has
// ended. Then the store keeps nothing. The context of the import, which ends with the session, does
// not suffice: this process may have been unable to learn of ends.
func (s *Server) whileItLives(ctx context.Context, caller auth.Caller,
	rows iter.Seq2[store.Cliente, error]) iter.Seq2[store.Cliente, error] {
	return func(yield func(store.Cliente, error) bool) {
		for c, err := range rows {
			if !yield(c, err) {
				return
			}
		}
		if err := s.cfg.Auth.CheckSession(ctx, caller); err != nil {
			yield(store.Cliente{}, err)
		}
	}
}

// pace is how long the other end of a transfer may still take. Waiting for it uses the time up, and
// each byte adds to it, up to stall.
type pace struct {
	now   func() time.Time
	left  time.Duration
	began time.Time // the present wait
}

func newPace(now func() time.Time) pace { return pace{now: now, left: stall} }

// begin returns until when the other end has to move something.
func (p *pace) begin() time.Time {
	p.began = p.now()
	return p.began.Add(p.left)
}

// moved ends a wait in which n bytes were moved.
func (p *pace) moved(n int) {
	p.left -= p.now().Sub(p.began)
	p.left = min(stall, p.left+time.Duration(n)*time.Second/leastSpeed)
}

// upload is the body of an import. It may take long, but it may not stall.
type upload struct {
	ctx        context.Context // ends with the caller's session
	from       io.Reader
	connection *http.ResponseController
	pace       pace
	end        time.Time
	err        error // of from, if it did not arrive whole
}

// Read implements [io.Reader].
func (u *upload) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	deadline := u.pace.begin()
	if deadline.After(u.end) {
		deadline = u.end
	}
	if err := u.connection.SetReadDeadline(deadline); err != nil {
		return 0, fmt.Errorf("set the deadline of the connection: %w", err)
	}
	n, err := u.from.Read(p)
	u.pace.moved(n)
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}
