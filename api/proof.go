package api

import (
	"github.com/go-json-experiment/json/jsontext"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// proofMembers are the members of a body with which callers prove who they are.
type proofMembers struct {
	Current wire.Member[string] `json:"current"` // the password
	Code    wire.Member[string] `json:"code"`    // of the second factor
}

func (m proofMembers) proof() auth.Proof {
	return auth.Proof{Current: m.Current.Value, Code: store.Trim(m.Code.Value)}
}

// proofInput is a caller with a proof that must be whole.
type proofInput struct {
	callerInput
	proof auth.Proof
}

func (in *proofInput) decode(r *request) error {
	var members struct {
		proofMembers
		Unknown jsontext.Value `json:",embed"`
	}
	if err := r.object(&members, mediaJSON); err != nil {
		return err
	}
	in.caller, in.proof = r.caller(), members.proof()
	fault := store.JoinInvalid(
		wire.UnknownMembers(members.Unknown, members), required("current", members.Current))
	return store.JoinInvalid(fault, required("code", members.Code))
}

// userProofInput names a user, and the admin who calls with a proof. Without a body there is none.
type userProofInput struct {
	userInput
	proof auth.Proof
}

func (in *userProofInput) decode(r *request) error {
	if err := in.userInput.decode(r); err != nil {
		return err
	}
	_, body, err := r.body(mediaJSON)
	if err != nil || len(body) == 0 {
		return err
	}
	var members struct {
		proofMembers
		Unknown jsontext.Value `json:",embed"`
	}
	if err := r.unmarshal(body, &members); err != nil {
		return err
	}
	in.proof = members.proof()
	return wire.UnknownMembers(members.Unknown, members)
}
