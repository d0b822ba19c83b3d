package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/store"
)

// clienteInput is the body of a create, a replacement or a patch.
type clienteInput struct {
	Name    optionalText `json:"name"`
	Email   optionalText `json:"email"`
	Phone   optionalText `json:"phone"`
	Company optionalText `json:"company"`
	Address optionalText `json:"address"`
	Notes   optionalText `json:"notes"`

	// The server's own members are ignored, so that what GET gave can be sent back.
	ID        jsontext.Value `json:"id"`
	Version   jsontext.Value `json:"version"`
	CreatedAt jsontext.Value `json:"created_at"`
	UpdatedAt jsontext.Value `json:"updated_at"`

	Unknown jsontext.Value `json:",embed"`
}

// decode reads a whole record: what is absent is empty.
func (in *clienteInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	return in.check(in.replace(store.Cliente{}))
}

// check gives every fault of the body at once, those of c among them, which is what the body makes of some record;
// and keeps the text in the form that is stored. It takes its time, and so must be done before a store is asked
// to change anything.
func (in *clienteInput) check(c store.Cliente) error {
	c, err := c.Validate()
	if err := store.JoinInvalid(unknownMembers(in.Unknown), err); err != nil {
		return err
	}
	in.Name.text, in.Email.text, in.Phone.text = c.Name, c.Email, c.Phone
	in.Company.text, in.Address.text, in.Notes.text = c.Company, c.Address, c.Notes
	return nil
}

// replace gives c with every writable member as the body has it.
func (in *clienteInput) replace(c store.Cliente) store.Cliente {
	c.Name, c.Email, c.Phone = in.Name.text, in.Email.text, in.Phone.text
	c.Company, c.Address, c.Notes = in.Company.text, in.Address.text, in.Notes.text
	return c
}

// patch gives c with those members changed that the body has (JSON Merge Patch, RFC 7396): null empties one.
func (in *clienteInput) patch(c store.Cliente) store.Cliente {
	for _, m := range []struct {
		from optionalText
		to   *string
	}{
		{in.Name, &c.Name}, {in.Email, &c.Email}, {in.Phone, &c.Phone},
		{in.Company, &c.Company}, {in.Address, &c.Address}, {in.Notes, &c.Notes},
	} {
		if m.from.given {
			*m.to = m.from.text
		}
	}
	return c
}

// createInput is a new record, who makes it, and the key by which the create can be asked for again.
type createInput struct {
	clienteInput
	by  int64
	key string // "" without one
}

func (in *createInput) decode(r *request) (err error) {
	in.by = r.caller().UserID
	if in.key, err = r.idempotencyKey(); err != nil {
		return err
	}
	return in.clienteInput.decode(r)
}

func (s *Server) createCliente(ctx context.Context, in createInput) (v createdCliente, err error) {
	c := in.replace(store.Cliente{})
	if in.key == "" {
		c, err = s.cfg.Store.CreateCliente(ctx, in.by, c)
	} else {
		c, v.replayed, err = s.cfg.Store.CreateClienteOnce(ctx, in.by, c, in.key)
	}
	v.clienteView = clienteView(c)
	return v, err
}

// getInput names a record, and the versions of it that the client has.
type getInput struct {
	id          int64
	ifNoneMatch []string
}

func (in *getInput) decode(r *request) (err error) {
	in.ifNoneMatch = r.Request.Header["If-None-Match"]
	in.id, err = r.id()
	return err
}

func (s *Server) getCliente(ctx context.Context, in getInput) (foundCliente, error) {
	c, err := s.cfg.Store.Cliente(ctx, in.id)
	return foundCliente{clienteView(c), matchesWeakly(in.ifNoneMatch, versionTag(c.Version))}, err
}

// writeInput names a record, the versions of it that may be written over, and who does it.
type writeInput struct {
	id      int64
	by      int64
	ifMatch []string
}

func (in *writeInput) decode(r *request) (err error) {
	in.by = r.caller().UserID
	in.ifMatch = r.Request.Header["If-Match"]
	in.id, err = r.id()
	return err
}

// allows says whether the record may be written over: nil, errVersionMismatch or errPreconditionRequired.
func (in *writeInput) allows(c store.Cliente, required bool) error {
	switch {
	case in.ifMatch == nil && required:
		return errPreconditionRequired
	case in.ifMatch != nil && !matchesStrongly(in.ifMatch, versionTag(c.Version)):
		return errVersionMismatch
	}
	return nil
}

type replaceInput struct {
	writeInput
	clienteInput
}

func (in *replaceInput) decode(r *request) error {
	if err := in.writeInput.decode(r); err != nil {
		return err
	}
	return in.clienteInput.decode(r)
}

func (s *Server) replaceCliente(ctx context.Context, in replaceInput) (clienteView, error) {
	return s.update(ctx, in.writeInput, in.replace)
}

type patchInput struct {
	writeInput
	clienteInput
}

func (in *patchInput) decode(r *request) error {
	if err := in.writeInput.decode(r); err != nil {
		return err
	}
	if err := r.object(&in.clienteInput, mediaMergePatch, mediaJSON); err != nil {
		return err
	}
	// What is changed is valid by itself: no member depends on another.
	return in.check(in.patch(store.Cliente{Name: "any"}))
}

func (s *Server) patchCliente(ctx context.Context, in patchInput) (clienteView, error) {
	return s.update(ctx, in.writeInput, in.patch)
}

func (s *Server) update(ctx context.Context, in writeInput, change func(store.Cliente) store.Cliente) (clienteView, error) {
	c, err := s.cfg.Store.UpdateCliente(ctx, in.by, in.id, func(c store.Cliente) (store.Cliente, error) {
		if err := in.allows(c, s.cfg.RequireIfMatch); err != nil {
			return c, err
		}
		return change(c), nil
	})
	return clienteView(c), err
}

func (s *Server) deleteCliente(ctx context.Context, in writeInput) (nothing, error) {
	return nothing{}, s.cfg.Store.DeleteCliente(ctx, in.by, in.id, func(c store.Cliente) error {
		return in.allows(c, s.cfg.RequireIfMatch)
	})
}

// clienteView is a record as clients see it.
type clienteView store.Cliente

func (v clienteView) header(h http.Header) {
	h["Etag"] = []string{versionTag(v.Version)}
}

// appendJSON writes a record by hand: a list of 20 takes a third of the time that reflection does
// (BenchmarkClientesJSON).
func (v clienteView) appendJSON(b []byte) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, v.ID, 10)
	b = appendText(append(b, `,"name":`...), v.Name)
	b = appendText(append(b, `,"email":`...), v.Email)
	b = appendText(append(b, `,"phone":`...), v.Phone)
	b = appendText(append(b, `,"company":`...), v.Company)
	b = appendText(append(b, `,"address":`...), v.Address)
	b = appendText(append(b, `,"notes":`...), v.Notes)
	b = append(b, `,"version":`...)
	b = strconv.AppendInt(b, v.Version, 10)
	b = appendTime(append(b, `,"created_at":`...), v.CreatedAt)
	b = appendTime(append(b, `,"updated_at":`...), v.UpdatedAt)
	return append(b, '}')
}

// createdCliente is a record that has just been made, or was by an earlier request with the same key, and says where it is.
type createdCliente struct {
	clienteView
	replayed bool
}

func (v createdCliente) header(h http.Header) {
	v.clienteView.header(h)
	if v.replayed {
		h.Set("Idempotency-Replayed", "true")
	}
	h.Set("Location", clienteLocation(v.ID))
}

func clienteLocation(id int64) string { return "/clientes/" + strconv.FormatInt(id, 10) }

// foundCliente is a record that was asked for, perhaps by somebody who has it already.
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

// appendText writes a JSON string.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // an error tells of invalid UTF-8, which it has replaced
	return b
}

// instant is a time as clients see it.
type instant time.Time

// MarshalJSON writes RFC 3339 in UTC with milliseconds.
func (t instant) MarshalJSON() ([]byte, error) { return appendTime(nil, time.Time(t)), nil }

// appendTime writes an instant as a JSON string.
func appendTime(b []byte, t time.Time) []byte {
	return append(appendInstant(append(b, '"'), t), '"')
}

// appendInstant writes an instant as RFC 3339 with milliseconds; time.AppendFormat takes four times as long.
func appendInstant(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/int(time.Millisecond), 3)
	return append(b, 'Z')
}

func appendDigits(b []byte, n, width int) []byte {
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}
