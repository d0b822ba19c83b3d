package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/store"
)

// createdUser is a user that this request has made.
type createdUser struct{ wire.UserView }

func (v createdUser) header(h http.Header) { h.Set("Location", "/users/"+formatID(v.ID)) }

// newUserInput is the body of a new user. An admin may set more than a stranger who signs up.
type newUserInput struct {
	User  wire.Member[string] `json:"user"`
	Email wire.Member[string] `json:"email"`
	Role  wire.Member[string] `json:"role"`
	proofMembers
	wire.ServerMembers

	// Password is nil if it is to be set by a link. "" is a password that is too short.
	Password wire.Member[*string] `json:"password"`

	caller auth.Caller
}

func (in *newUserInput) decode(r *request) error {
	in.caller = r.caller()
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	if in.Role.Value == "" {
		in.Role.Value = string(store.Viewer)
	}
	fault := wire.UnknownMembers(in.Unknown, in)
	given := in.Password.Value
	if fault == nil && (given == nil || *given != "") {
		return nil // auth finds the others when it creates the user
	}
	u := in.user()
	if given == nil {
		return store.JoinInvalid(fault, r.server.cfg.Auth.CheckNewUser(u, ""))
	}
	_, err := u.Validate()
	err = store.JoinInvalid(err, r.server.cfg.Auth.CheckPassword(r.Context(), u, *given))
	return store.JoinInvalid(fault, err)
}

func (in *newUserInput) user() store.User {
	return store.User{Name: in.User.Value, Email: in.Email.Value, Role: store.Role(in.Role.Value)}
}

// password returns the password, "" if it is to be set by a link.
func (in *newUserInput) password() string {
	if in.Password.Value == nil {
		return ""
	}
	return *in.Password.Value
}

func (s *Server) createUser(ctx context.Context, in newUserInput) (createdUser, error) {
	u, proof := in.user(), in.proof()
	if u.Role == store.Admin || proof != (auth.Proof{}) {
		// A code must not be used up for a user who cannot be.
		if err := s.cfg.Auth.CheckNewUser(u, in.password()); err != nil {
			return createdUser{}, err
		}
		if err := s.cfg.Auth.StepUp(ctx, in.caller, proof); err != nil {
			return createdUser{}, err
		}
	}
	u, err := s.cfg.Auth.AddUser(ctx, u, in.password())
	return createdUser{wire.ViewUser(u)}, err
}

// userInput names a user, and the admin who calls.
type userInput struct {
	by auth.Caller // the admin
	id int64
}

func (in *userInput) decode(r *request) (err error) {
	in.by = r.caller()
	in.id, err = r.id()
	return err
}

func (s *Server) getUser(ctx context.Context, in userInput) (wire.UserView, error) {
	u, err := s.cfg.Auth.User(ctx, in.id)
	return wire.ViewUser(u), err
}

// patchUserInput is what an admin changes about a user.
type patchUserInput struct {
	userInput
	body struct {
		User     wire.Member[string] `json:"user"`
		Email    wire.Member[string] `json:"email"`
		Role     wire.Member[string] `json:"role"`
		Disabled wire.Member[bool]   `json:"disabled"`
		proofMembers
		wire.ServerMembers
	}
	fault error // what is wrong with the body, whichever user it is for
}

func (in *patchUserInput) decode(r *request) error {
	if err := in.userInput.decode(r); err != nil {
		return err
	}
	if err := r.object(&in.body, mediaMergePatch, mediaJSON); err != nil {
		return err
	}
	// No member depends on another, so the patch can be checked without the user.
	_, err := in.patch(store.User{Name: "any", Role: store.Viewer}).Validate()
	in.fault = store.JoinInvalid(wire.UnknownMembers(in.body.Unknown, in.body), err)
	return nil
}

// needsProof reports whether the patch changes what a stolen token must not change.
func (in *patchUserInput) needsProof() bool {
	return in.body.Email.Given || in.body.Role.Given || in.body.Disabled.Given ||
		in.body.proof() != (auth.Proof{})
}

func (in *patchUserInput) patch(u store.User) store.User {
	if in.body.Email.Given {
		u.Email = in.body.Email.Value
	}
	if in.body.Role.Given {
		u.Role = store.Role(in.body.Role.Value)
	}
	if in.body.Disabled.Given {
		u.Disabled = in.body.Disabled.Value
	}
	return u
}

func (s *Server) patchUser(ctx context.Context, in patchUserInput) (wire.UserView, error) {
	if in.fault == nil && in.needsProof() {
		if err := s.cfg.Auth.StepUp(ctx, in.by, in.body.proof()); err != nil {
			return wire.UserView{}, err
		}
	}
	u, err := s.cfg.Auth.ChangeUser(ctx, in.id, func(u store.User) (store.User, error) {
		fault := in.fault
		if in.body.User.Given && store.Trim(in.body.User.Value) != u.Name {
			other := store.Invalid("user", "unchangeable", "The name of a user cannot be changed.")
			fault = store.JoinInvalid(fault, other)
		}
		if in.id == in.by.UserID && in.body.Email.Given &&
			store.Trim(in.body.Email.Value) != store.Trim(u.Email) {
			// A thief of an admin's token must not be able to make the account theirs.
			own := store.Invalid("email", "your_own",
				"Change your own email with PATCH /me, which asks for your password.")
			fault = store.JoinInvalid(fault, own)
		}
		return in.patch(u), fault
	})
	if errors.Is(err, store.ErrNotFound) && in.fault != nil {
		err = in.fault // a bad body is refused before an id that is not there, as on other routes
	}
	if errors.Is(err, store.ErrLastAdmin) && in.body.Disabled.Value {
		err = errLastAdminDisabled
	}
	return wire.ViewUser(u), err
}

// deleteUserInput names a user who is to be deleted, and perhaps erased.
type deleteUserInput struct {
	userProofInput
	erase bool
}

func (in *deleteUserInput) decode(r *request) (err error) {
	if in.erase, err = r.boolQuery("erase"); err != nil {
		return err
	}
	return in.userProofInput.decode(r)
}

func (s *Server) deleteUser(ctx context.Context, in deleteUserInput) (nothing, error) {
	if err := s.cfg.Auth.StepUp(ctx, in.by, in.proof); err != nil {
		return nothing{}, err
	}
	if in.erase {
		return nothing{}, s.cfg.Auth.EraseUser(ctx, in.id)
	}
	return nothing{}, s.cfg.Auth.DeleteUser(ctx, in.id)
}

// usersQuery returns the query parameters of the list of users.
func usersQuery() []string { return append(pageQuery(), "user") }

// usersInput is a page of the users, or the one of a name.
type usersInput struct {
	pageInput
	name  string // "" for all
	given url.Values
}

func (in *usersInput) decode(r *request) error {
	if name, ok := r.query("user"); ok {
		switch in.name = name; {
		case in.name == "":
			return invalidParameter("The parameter \"user\" is a user name.")
		case strings.Contains(in.name, " "):
			return lostPlus("user")
		}
		in.given = r.given("user")
	}
	return in.pageInput.decode(r)
}

// listUsers lists one user at most if a name is given.
func (s *Server) listUsers(ctx context.Context, in usersInput) (page[store.User], error) {
	cursors, read := "/users", s.cfg.Auth.Users
	if in.name != "" {
		cursors += "?" + in.given.Encode()
		read = func(ctx context.Context, after int64, _ int) ([]store.User, error) {
			u, err := s.cfg.Auth.UserByName(ctx, in.name)
			switch {
			case errors.Is(err, store.ErrNotFound) || err == nil && u.ID <= after:
				return nil, nil
			case err != nil:
				return nil, err
			}
			return []store.User{u}, nil
		}
	}
	return readPage(ctx, s, in.pageInput, list[store.User, int64]{
		path:     "/users",
		given:    in.given,
		cursors:  cursors,
		read:     read,
		position: func(u *store.User) string { return formatID(u.ID) },
		parse:    parseID,
		view:     reflected(wire.ViewUser),
	})
}
