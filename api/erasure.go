package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// eraseInput names a record that is to be erased.
type eraseInput struct {
	writeInput
	caller auth.Caller
	reason string
}

func (in *eraseInput) decode(r *request) error {
	in.caller = r.caller()
	if err := in.writeInput.decode(r); err != nil {
		return err
	}
	var body struct {
		Reason  wire.Member[string] `json:"reason"`
		Unknown jsontext.Value      `json:",embed"`
	}
	if err := r.object(&body, mediaJSON); err != nil {
		return err
	}
	var fault error
	in.reason, fault = store.ValidReason(body.Reason.Value)
	return store.JoinInvalid(wire.UnknownMembers(body.Unknown, body), fault)
}

// eraseCliente takes If-Match as a restore does.
func (s *Server) eraseCliente(ctx context.Context, in eraseInput) (nothing, error) {
	check := func(c store.Cliente) error { return in.allowsAbsent(c, s.cfg.RequireIfMatch) }
	return nothing{}, s.cfg.Auth.EraseCliente(ctx, in.caller, in.id, in.reason, check)
}

// everythingPart is how many changes are held in memory at a time: a megabyte at most.
const everythingPart = 20

// everything sends all that is kept of a customer as one JSON document. What can fail is tried
// before the status, except the later parts of a long history.
func (s *Server) everything(c *gin.Context) {
	id, err := s.request(c).id()
	if err != nil {
		s.fail(c, err)
		return
	}
	caller := exchangeOf(c).caller
	who := occupant(caller)
	if err := s.downloads.take(who, 1); err != nil {
		s.fail(c, err)
		return
	}
	defer s.downloads.leave(who, 1)
	ctx, stop := s.cfg.Auth.WhileSession(c.Request.Context(), caller)
	defer stop()
	to := s.download(c, "application/json; charset=utf-8", fmt.Sprintf("cliente-%d.json", id))
	to.ctx = ctx
	defer cutWith(ctx, func() {
		_ = to.connection.SetWriteDeadline(s.cfg.Now()) // a slow client must not delay the end
	})()
	d, err := s.disclose(ctx, id)
	if err != nil {
		s.fail(c, causeOf(ctx, err))
		return
	}
	s.cfg.Auth.RecordDisclosure(auth.WithOrigin(ctx, s.origin(c)), id)
	if c.Request.Method == http.MethodHead {
		to.begin()
		return
	}
	if err = d.send(ctx, s, caller, to); err != nil {
		err = causeOf(ctx, err)
	}
	s.endDownload(c, to, err)
}

// disclosure is all that is kept of a customer, with the first part of its history.
type disclosure struct {
	id      int64
	record  store.Cliente // zero if there is none
	erasure store.Erasure // zero if it was not erased
	changes []store.Change
}

func (s *Server) disclose(ctx context.Context, id int64) (d disclosure, err error) {
	d.id = id
	if d.changes, err = s.cfg.Store.ClienteHistory(ctx, id, 0, everythingPart); err != nil {
		return d, err
	}
	d.record, err = s.cfg.Store.Cliente(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return d, err
	}
	d.erasure, err = s.cfg.Store.Erasure(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return d, err
}

// send sends it in parts, before each of which the caller must still have a session.
func (d *disclosure) send(ctx context.Context, s *Server, caller auth.Caller,
	to *download) error {
	write := func(b []byte) error {
		if err := s.cfg.Auth.CheckSession(ctx, caller); err != nil {
			return err
		}
		_, err := to.Write(b)
		return err
	}
	if err := d.sendHistory(ctx, s, write); err != nil {
		return err
	}
	return d.sendEvents(ctx, s, write)
}

func (d *disclosure) sendHistory(ctx context.Context, s *Server, write func([]byte) error) error {
	b := []byte(`{"record":`)
	if d.record.ID == 0 {
		b = append(b, "null"...)
	} else {
		b = wire.AppendCliente(b, &d.record)
	}
	b = append(b, `,"erased_at":`...)
	if d.erasure.ClienteID == 0 {
		b = append(b, "null"...)
	} else {
		at, _ := wire.Instant(d.erasure.At).MarshalJSON() // which cannot fail
		b = append(b, at...)
	}
	b = append(b, `,"history":[`...)
	for changes, between := d.changes, ""; len(changes) > 0; {
		for i := range changes {
			b = wire.AppendChange(append(b, between...), &changes[i])
			between = ","
		}
		if err := write(b); err != nil {
			return err
		}
		b = b[:0]
		last := changes[len(changes)-1].Version
		var err error
		changes, err = s.cfg.Store.ClienteHistory(ctx, d.id, last, everythingPart)
		if err != nil {
			return err
		}
	}
	return write(append(b, ']'))
}

func (d *disclosure) sendEvents(ctx context.Context, s *Server, write func([]byte) error) error {
	const part = 100
	b := []byte(`,"events":[`)
	for before := int64(0); ; {
		events, err := s.cfg.Auth.Events(ctx, store.EventFilter{ClienteID: d.id}, before, part)
		if err != nil {
			return err
		}
		for _, e := range events {
			if before != 0 {
				b = append(b, ',')
			}
			before = e.ID
			if b, err = appendReflected(b, viewEvent(e)); err != nil {
				return err
			}
		}
		if len(events) < part {
			return write(append(b, "]}\n"...))
		}
		if err := write(b); err != nil {
			return err
		}
		b = b[:0]
	}
}
