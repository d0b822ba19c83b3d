package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// createdKey is a key that this request has made. Nobody can read its text again.
type createdKey struct {
	Key string `json:"key"`
	wire.KeyView
}

func (v createdKey) header(h http.Header) { h.Set("Location", "/keys/"+v.ID) }

// newKeyInput is the body of a new key, with a proof that must be whole.
type newKeyInput struct {
	callerInput
	body struct {
		Name      wire.Member[string]        `json:"name"`
		Role      wire.Member[*store.Role]   `json:"role"`
		Scopes    wire.Member[[]store.Scope] `json:"scopes"`
		ExpiresIn wire.Member[*int64]        `json:"expires_in"` // seconds
		proofMembers
		Unknown jsontext.Value `json:",embed"`
	}
}

func (in *newKeyInput) decode(r *request) error {
	in.caller = r.caller()
	if err := r.object(&in.body, mediaJSON); err != nil {
		return err
	}
	fault := wire.UnknownMembers(in.body.Unknown, in.body)
	if fault == nil {
		return nil // auth finds the others when it makes the key
	}
	_, err := in.request().Check(in.caller.Role)
	return store.JoinInvalid(fault, store.JoinInvalid(err, required("current", in.body.Current)))
}

func (in *newKeyInput) request() auth.KeyRequest {
	lasts := auth.KeyLasts
	if n := in.body.ExpiresIn.Value; n != nil {
		// Beyond a year it is refused, whatever it is. More would overflow.
		lasts = time.Duration(min(max(*n, 0), 1<<30)) * time.Second
	}
	return auth.KeyRequest{
		Name: in.body.Name.Value, Role: in.body.Role.Value, Scopes: in.body.Scopes.Value,
		Lasts: lasts,
	}
}

func (s *Server) createKey(ctx context.Context, in newKeyInput) (createdKey, error) {
	made, err := s.cfg.Auth.AddKey(ctx, in.caller, in.request(), in.body.proof())
	return createdKey{made.Text, wire.ViewKey(made.OwnedKey)}, err
}

type keysInput struct {
	callerInput
	pageInput
}

func (in *keysInput) decode(r *request) error {
	in.caller = r.caller()
	return in.pageInput.decode(r)
}

func (s *Server) listKeys(ctx context.Context, in keysInput) (page[store.OwnedKey], error) {
	return readPage(ctx, s, in.pageInput, list[store.OwnedKey, store.KeyPosition]{
		path:    "/keys",
		cursors: "/keys of " + formatID(in.caller.UserID),
		read: func(ctx context.Context, after store.KeyPosition, limit int) (
			[]store.OwnedKey, error) {
			return s.cfg.Auth.Keys(ctx, in.caller, after, limit)
		},
		position: func(k *store.OwnedKey) string {
			return formatID(k.CreatedAt.UnixMilli()) + " " + k.ID
		},
		parse: parseKeyPosition,
		view:  reflected(wire.ViewKey),
	})
}

func parseKeyPosition(text string) (p store.KeyPosition, ok bool) {
	ms, id, ok := strings.Cut(text, " ")
	n, err := strconv.ParseInt(ms, 10, 64)
	return store.KeyPosition{CreatedAt: time.UnixMilli(n).UTC(), ID: id}, ok && err == nil
}

func (s *Server) deleteKey(ctx context.Context, in sessionInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.EndKey(ctx, in.caller, in.id)
}
