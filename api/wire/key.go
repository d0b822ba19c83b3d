package wire

import (
	"strings"

	"clientes/store"
)

// KeyView is a key of a program, without its text.
type KeyView struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	UserID     int64      `json:"user_id"`
	User       string     `json:"user"`
	Role       store.Role `json:"role"`
	Scopes     []string   `json:"scopes"`
	CreatedAt  Instant    `json:"created_at"`
	ExpiresAt  Instant    `json:"expires_at"`
	LastUsedAt *Instant   `json:"last_used_at"` // null if it was never used
}

// ViewKey returns the view of a key.
func ViewKey(k store.OwnedKey) KeyView {
	v := KeyView{
		ID: k.ID, Name: k.Key.Name, UserID: k.UserID, User: k.User, Role: k.Key.Role,
		Scopes:    strings.Fields(k.Key.Scopes),
		CreatedAt: Instant(k.CreatedAt), ExpiresAt: Instant(k.ExpiresAt),
	}
	if !k.LastUsedAt.Equal(k.CreatedAt) {
		used := Instant(k.LastUsedAt)
		v.LastUsedAt = &used
	}
	return v
}
