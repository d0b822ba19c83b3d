package api

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
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
	if err := in.decodeAs(r, mediaJSON); err != nil {
		return err
	}
	return in.check(in.replace(store.Cliente{}))
}

func (in *clienteInput) decodeAs(r *request, types ...string) error {
	_, body, err := r.body(types...)
	if err != nil {
		return err
	}
	return r.unmarshal(body, in)
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

func (s *Server) createCliente(ctx context.Context, in clienteInput) (createdCliente, error) {
	c, err := s.cfg.Store.CreateCliente(ctx, in.replace(store.Cliente{}))
	return createdCliente{clienteView(c)}, err
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

// writeInput names a record, and the versions of it that may be written over.
type writeInput struct {
	id      int64
	ifMatch []string
}

func (in *writeInput) decode(r *request) (err error) {
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
	if err := in.decodeAs(r, mediaMergePatch, mediaJSON); err != nil {
		return err
	}
	// What is changed is valid by itself: no member depends on another.
	return in.check(in.patch(store.Cliente{Name: "any"}))
}

func (s *Server) patchCliente(ctx context.Context, in patchInput) (clienteView, error) {
	return s.update(ctx, in.writeInput, in.patch)
}

func (s *Server) update(ctx context.Context, in writeInput, change func(store.Cliente) store.Cliente) (clienteView, error) {
	c, err := s.cfg.Store.UpdateCliente(ctx, in.id, func(c store.Cliente) (store.Cliente, error) {
		if err := in.allows(c, s.cfg.RequireIfMatch); err != nil {
			return c, err
		}
		return change(c), nil
	})
	return clienteView(c), err
}

func (s *Server) deleteCliente(ctx context.Context, in writeInput) (nothing, error) {
	return nothing{}, s.cfg.Store.DeleteCliente(ctx, in.id, func(c store.Cliente) error {
		return in.allows(c, s.cfg.RequireIfMatch)
	})
}

// The size of a page of customers.
const (
	// maxPage ends a page early, in bytes of text: a thousand customers with the longest notes are 40 MB, which a
	// few clients that do not read could hold many times over.
	maxPage = 4 << 20

	defaultLimit = 100 // a tutorial client that never pages sees the first hundred
	maxLimit     = 1000
)

type listInput struct {
	after int64
	limit int
}

func (in *listInput) decode(r *request) error {
	in.limit = defaultLimit
	if s, ok := r.query("limit"); ok {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n < 1 || n > maxLimit {
			return invalidParameter("The parameter \"limit\" is a number from 1 to %d.", maxLimit)
		}
		in.limit = int(n)
	}
	if s, ok := r.query("cursor"); ok {
		after, ok := parseCursor(s)
		if !ok {
			return invalidParameter("The parameter \"cursor\" is not one that a Link header gave.")
		}
		in.after = after
	}
	return nil
}

func (s *Server) listClientes(ctx context.Context, in listInput) (clientesView, error) {
	// One more than asked says whether there is a next page.
	list, err := s.cfg.Store.Clientes(ctx, in.after, in.limit+1)
	if err != nil {
		return clientesView{}, err
	}
	n := fitting(list[:min(len(list), in.limit)])
	v := clientesView{list: list[:n]}
	if n < len(list) {
		v.next = "/clientes?limit=" + strconv.Itoa(in.limit) + "&cursor=" + cursor(list[n-1].ID)
	}
	return v, nil
}

// fitting says how many of the first records make a page: at least one.
func fitting(list []store.Cliente) int {
	size := 0
	for i, c := range list {
		size += len(c.Name) + len(c.Email) + len(c.Phone) + len(c.Company) + len(c.Address) + len(c.Notes)
		if size > maxPage && i > 0 {
			return i
		}
	}
	return len(list)
}

// cursor names the last record of a page, in a form that clients have no reason to read.
func cursor(id int64) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte("id:"), strconv.FormatInt(id, 10)...))
}

func parseCursor(s string) (after int64, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(string(b), "id:")
	after, err = strconv.ParseInt(digits, 10, 64)
	return after, ok && err == nil && after > 0 && cursor(after) == s
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

// createdCliente is a record that has just been made, and says where it is.
type createdCliente struct{ clienteView }

func (v createdCliente) header(h http.Header) {
	v.clienteView.header(h)
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

// clientesView is a page: a bare array, as the tutorial's.
type clientesView struct {
	list []store.Cliente
	next string // where the next page is, "" on the last
}

func (v clientesView) header(h http.Header) {
	if v.next != "" {
		h.Set("Link", "<"+v.next+`>; rel="next"`)
	}
}

func (v clientesView) appendJSON(b []byte) []byte {
	b = append(b, '[')
	for i, c := range v.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = clienteView(c).appendJSON(b)
	}
	return append(b, ']')
}

// appendText writes a JSON string.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // an error tells of invalid UTF-8, which it has replaced
	return b
}

// appendTime writes an instant as RFC 3339 with milliseconds; time.AppendFormat takes four times as long.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(b, '"')
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/int(time.Millisecond), 3)
	return append(b, 'Z', '"')
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
