package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/store"
)

// decodeCliente reads the body of a whole record: a text that is absent is "".
func (r *request) decodeCliente() (c store.Cliente, err error) {
	var body wire.ClienteBody
	if err := r.object(&body, mediaJSON); err != nil {
		return c, err
	}
	return body.Cliente()
}

// createInput is a new record, the user who makes it, and the key under which the request may be
// sent again.
type createInput struct {
	cliente store.Cliente
	by      int64
	key     string // "" if there is none
}

func (in *createInput) decode(r *request) (err error) {
	in.by = r.caller().UserID
	if in.key, err = r.idempotencyKey(); err != nil {
		return err
	}
	in.cliente, err = r.decodeCliente()
	return err
}

func (s *Server) createCliente(ctx context.Context, in createInput) (v createdCliente, err error) {
	var c store.Cliente
	if in.key == "" {
		c, err = s.cfg.Store.CreateCliente(ctx, in.by, in.cliente)
	} else {
		c, v.replayed, err = s.cfg.Store.CreateClienteOnce(ctx, in.by, in.cliente, in.key)
	}
	v.clienteView = clienteView(c)
	return v, err
}

// getInput names a record, and the versions of it that the client has.
type getInput struct {
	id          int64
	ifNoneMatch *tags // nil if there is no such header
}

func (in *getInput) decode(r *request) (err error) {
	if in.id, err = r.id(); err != nil {
		return err
	}
	in.ifNoneMatch, err = r.tags("If-None-Match")
	return err
}

func (s *Server) getCliente(ctx context.Context, in getInput) (foundCliente, error) {
	c, err := s.cfg.Store.Cliente(ctx, in.id)
	had := in.ifNoneMatch != nil && in.ifNoneMatch.match(versionTag(c.Version))
	return foundCliente{clienteView(c), had}, err
}

// writeInput names a record, the versions of it that may be written over, and the user who writes.
type writeInput struct {
	id          int64
	by          int64
	ifMatch     *tags // nil if there is no such header
	ifNoneMatch *tags // versions that must not be written over, nil if there is no such header
}

func (in *writeInput) decode(r *request) (err error) {
	in.by = r.caller().UserID
	if in.id, err = r.id(); err != nil {
		return err
	}
	if in.ifMatch, err = r.tags("If-Match"); err != nil {
		return err
	}
	in.ifNoneMatch, err = r.tags("If-None-Match")
	return err
}

// allows returns nil if the record may be written over, else errVersionMismatch or
// errPreconditionRequired.
func (in *writeInput) allows(c store.Cliente, required bool) error {
	switch {
	case in.ifMatch == nil && required:
		return errPreconditionRequired
	case in.ifMatch != nil && !in.ifMatch.match(versionTag(c.Version)):
		return errVersionMismatch
	case in.ifNoneMatch != nil && in.ifNoneMatch.match(versionTag(c.Version)):
		return errNoneMatch
	}
	return nil
}

// allowsAbsent is allows for a record that may have been deleted. It has no version then, so no
// If-Match names it, and none is required (RFC 9110 section 13.1.1).
func (in *writeInput) allowsAbsent(c store.Cliente, required bool) error {
	switch {
	case c.Version != 0:
		return in.allows(c, required)
	case in.ifMatch != nil:
		return errVersionMismatch
	}
	return nil
}

// errNoneMatch refuses to write over a record that must not be there, or not at this version (RFC
// 9110 section 13.1.2).
var errNoneMatch = &requestError{errVersionMismatch,
	"The record is there at a version that If-None-Match excludes; leave that header out."}

// updateInput is a change of a record. It is validated before the store opens a transaction,
// because that takes its time and a store may apply the change inside a transaction.
type updateInput struct {
	writeInput
	patch wire.ClientePatch
}

type replaceInput struct{ updateInput }

func (in *replaceInput) decode(r *request) error {
	if err := in.writeInput.decode(r); err != nil {
		return err
	}
	c, err := r.decodeCliente()
	in.patch = wire.Replacement(c)
	return err
}

func (s *Server) replaceCliente(ctx context.Context, in replaceInput) (clienteView, error) {
	return s.updateCliente(ctx, in.updateInput)
}

type patchInput struct{ updateInput }

func (in *patchInput) decode(r *request) error {
	if err := in.writeInput.decode(r); err != nil {
		return err
	}
	var body wire.ClienteBody
	err := r.object(&body, mediaMergePatch, mediaJSON)
	if err == nil {
		in.patch, err = body.Patch()
	}
	return err
}

func (s *Server) patchCliente(ctx context.Context, in patchInput) (clienteView, error) {
	return s.updateCliente(ctx, in.updateInput)
}

func (s *Server) updateCliente(ctx context.Context, in updateInput) (clienteView, error) {
	update := func(c store.Cliente) (store.Cliente, error) {
		if err := in.allows(c, s.cfg.RequireIfMatch); err != nil {
			return c, err
		}
		return in.patch.Apply(c), nil
	}
	c, err := s.cfg.Store.UpdateCliente(ctx, in.by, in.id, update)
	return clienteView(c), err
}

func (s *Server) deleteCliente(ctx context.Context, in writeInput) (nothing, error) {
	check := func(c store.Cliente) error { return in.allows(c, s.cfg.RequireIfMatch) }
	return nothing{}, s.cfg.Store.DeleteCliente(ctx, in.by, in.id, check)
}

// restoreInput names the version whose text a record is to have again.
type restoreInput struct {
	writeInput
	version int64
}

func (in *restoreInput) decode(r *request) error {
	if err := in.writeInput.decode(r); err != nil {
		return err
	}
	var body struct {
		Version wire.Member[*int64] `json:"version"`
		Unknown jsontext.Value      `json:",embed"`
	}
	if err := r.object(&body, mediaJSON); err != nil {
		return err
	}
	fault := wire.UnknownMembers(body.Unknown, body)
	if body.Version.Value == nil {
		missing := store.Invalid("version", "required",
			"The version is required: a number from the record's history.")
		return store.JoinInvalid(fault, missing)
	}
	in.version = *body.Version.Value
	return fault
}

func (s *Server) restoreCliente(ctx context.Context, in restoreInput) (clienteView, error) {
	check := func(c store.Cliente) error { return in.allowsAbsent(c, s.cfg.RequireIfMatch) }
	c, err := s.cfg.Store.RestoreCliente(ctx, in.by, in.id, in.version, check)
	return clienteView(c), err
}

// clienteView is a record as clients see it.
type clienteView store.Cliente

func (v clienteView) header(h http.Header) {
	h["Etag"] = []string{versionTag(v.Version)}
}

func (v clienteView) appendJSON(b []byte) ([]byte, error) {
	return appendCliente(b, (*store.Cliente)(&v))
}

// appendCliente is the view of a record in a list.
func appendCliente(b []byte, c *store.Cliente) ([]byte, error) {
	return wire.AppendCliente(b, c), nil
}

// createdCliente is a record that was made by this request, or by an earlier one with the same key.
type createdCliente struct {
	clienteView
	replayed bool
}

func (v createdCliente) header(h http.Header) {
	v.clienteView.header(h)
	if v.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	h.Set("Location", clientePath(v.ID))
}

// clientePath returns where a record is.
func clientePath(id int64) string { return "/clientes/" + strconv.FormatInt(id, 10) }

// foundCliente is the answer to a client that may have the record already.
type foundCliente struct {
	clienteView
	notModified bool
}

func (v foundCliente) status() int {
	if v.notModified {
		return http.StatusNotModified
	}
	return http.StatusOK
}
