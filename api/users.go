package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"clientes/auth"
	"clientes/store"
)

// userView is a user as admins see one: never with the password's hash.
type userView struct {
	ID        int64      `json:"id"`
	User      string     `json:"user"`
	Email     string     `json:"email"` // confirmed
	Role      store.Role `json:"role"`
	Disabled  bool       `json:"disabled"`
	CreatedAt instant    `json:"created_at"`
	UpdatedAt instant    `json:"updated_at"`
}

func viewUser(u store.User) userView {
	return userView{
		ID: u.ID, User: u.Name, Email: u.Email, Role: u.Role, Disabled: u.Disabled,
		CreatedAt: instant(u.CreatedAt), UpdatedAt: instant(u.UpdatedAt),
	}
}

// createdUser is a user who has just been made, and says where they are.
type createdUser struct{ userView }

func (v createdUser) header(h http.Header) { h.Set("Location", "/users/"+strconv.FormatInt(v.ID, 10)) }

// usersView is a page of users, a bare array.
type usersView struct {
	list []userView
	next string // where the next page is, "" on the last
}

func (v usersView) header(h http.Header) { setLink(h, v.next) }

// MarshalJSON writes the array.
func (v usersView) MarshalJSON() ([]byte, error) { return appendReflected(nil, v.list) }

// newUserInput is the body of a new user, of whom an admin says more than a stranger of themselves.
type newUserInput struct {
	User     optionalText `json:"user"`
	Email    optionalText `json:"email"`
	Role     optionalText `json:"role"`
	Password optionalText `json:"password"`
	recordRest
}

func (in *newUserInput) decode(r *request) error {
	if err := r.object(in, mediaJSON); err != nil {
		return err
	}
	if in.Role.text == "" {
		in.Role.text = string(store.Viewer)
	}
	fault := unknownMembers(in.Unknown)
	if fault == nil {
		return nil // the others are found when the user is made
	}
	return store.JoinInvalid(fault, auth.CheckNewUser(in.user(), in.Password.text))
}

func (in *newUserInput) user() store.User {
	return store.User{Name: in.User.text, Email: in.Email.text, Role: store.Role(in.Role.text)}
}

func (s *Server) createUser(ctx context.Context, in newUserInput) (createdUser, error) {
	u, err := s.cfg.Auth.AddUser(ctx, in.user(), in.Password.text)
	return createdUser{viewUser(u)}, err
}

// userInput is of a route about one user.
type userInput struct {
	by int64 // the admin who asks
	id int64
}

func (in *userInput) decode(r *request) (err error) {
	in.by = r.caller().UserID
	in.id, err = r.id()
	return err
}

func (s *Server) getUser(ctx context.Context, in userInput) (userView, error) {
	u, err := s.cfg.Auth.User(ctx, in.id)
	return viewUser(u), err
}

// patchUserInput is what an admin changes of a user.
type patchUserInput struct {
	userInput
	body struct {
		User     optionalText `json:"user"`
		Email    optionalText `json:"email"`
		Role     optionalText `json:"role"`
		Disabled optionalBool `json:"disabled"`
		recordRest
	}
	fault error // what is wrong with the body, whoever it is about
}

func (in *patchUserInput) decode(r *request) error {
	if err := in.userInput.decode(r); err != nil {
		return err
	}
	if err := r.object(&in.body, mediaMergePatch, mediaJSON); err != nil {
		return err
	}
	// What is changed is valid by itself: no member depends on another.
	_, err := in.patch(store.User{Name: "any", Role: store.Viewer}).Validate()
	in.fault = store.JoinInvalid(unknownMembers(in.body.Unknown), err)
	return nil
}

func (in *patchUserInput) patch(u store.User) store.User {
	if in.body.Email.given {
		u.Email = in.body.Email.text
	}
	if in.body.Role.given {
		u.Role = store.Role(in.body.Role.text)
	}
	if in.body.Disabled.given {
		u.Disabled = in.body.Disabled.is
	}
	return u
}

func (s *Server) patchUser(ctx context.Context, in patchUserInput) (userView, error) {
	u, err := s.cfg.Auth.ChangeUser(ctx, in.id, func(u store.User) (store.User, error) {
		fault := in.fault
		if in.body.User.given && in.body.User.text != u.Name {
			fault = store.JoinInvalid(fault, store.Invalid("user", "unchangeable", "The name of a user can not be changed."))
		}
		if in.id == in.by && in.body.Email.given && in.body.Email.text != u.Email {
			// Whoever has stolen an admin's token must not make the account theirs.
			fault = store.JoinInvalid(fault, store.Invalid("email", "your_own", "Change your own email with PATCH /me, which asks for your password."))
		}
		return in.patch(u), fault
	})
	if errors.Is(err, store.ErrNotFound) && in.fault != nil {
		err = in.fault // as of every other body
	}
	if errors.Is(err, store.ErrLastAdmin) && in.body.Disabled.is {
		err = &lastAdminError{"disabled"}
	}
	return viewUser(u), err
}

func (s *Server) deleteUser(ctx context.Context, in userInput) (nothing, error) {
	return nothing{}, s.cfg.Auth.DeleteUser(ctx, in.id)
}

// lastAdminError is a store.ErrLastAdmin that says which member of the body asked for it.
type lastAdminError struct{ field string }

func (e *lastAdminError) Error() string { return e.field + ": " + store.ErrLastAdmin.Error() }
func (e *lastAdminError) Unwrap() error { return store.ErrLastAdmin }

// listUsersQuery are the query parameters of the list of users.
func listUsersQuery() []string { return []string{"limit", "cursor"} }

func (s *Server) listUsers(ctx context.Context, in pageInput) (v usersView, err error) {
	const list = "/users"
	after := int64(0)
	if in.cursor != "" {
		place, ok := s.cfg.Auth.ParseCursor(list, in.cursor)
		if !ok {
			return v, errInvalidCursor()
		}
		if after, err = strconv.ParseInt(place, 10, 64); err != nil {
			return v, errInvalidCursor()
		}
	}
	// One more than asked says whether there is a next page.
	users, err := s.cfg.Auth.Users(ctx, after, in.limit+1)
	if err != nil {
		return v, err
	}
	n := min(len(users), in.limit)
	v.list = make([]userView, n)
	for i, u := range users[:n] {
		v.list[i] = viewUser(u)
	}
	if n < len(users) {
		v.next = in.nextLink(list, nil, s.cfg.Auth.SignCursor(list, strconv.FormatInt(users[n-1].ID, 10)))
	}
	return v, nil
}
