package wire

import "clientes/store"

// UserView is a user as admins see one: never with the hash of the password.
type UserView struct {
	ID        int64      `json:"id"`
	User      string     `json:"user"`
	Email     string     `json:"email"` // confirmed
	Role      store.Role `json:"role"`
	Disabled  bool       `json:"disabled"`
	CreatedAt Instant    `json:"created_at"`
	UpdatedAt Instant    `json:"updated_at"`
}

// ViewUser returns the view of a user.
func ViewUser(u store.User) UserView {
	return UserView{
		ID: u.ID, User: u.Name, Email: u.Email, Role: u.Role, Disabled: u.Disabled,
		CreatedAt: Instant(u.CreatedAt), UpdatedAt: Instant(u.UpdatedAt),
	}
}
