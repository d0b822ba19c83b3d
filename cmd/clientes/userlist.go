package main

import (
	"bufio"
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"clientes/store"
)

func (p *program) userListCommand() *cobra.Command {
	var asJSON bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			st, err := openToRead(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			defer st.Close()
			if asJSON {
				return p.listUsersAsJSON(cmd.Context(), st)
			}
			return p.listUsers(cmd.Context(), st)
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false,
		"print a JSON array of users as the API sends them")
	return list
}

func (p *program) listUsers(ctx context.Context, users store.Users) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tUSER\tROLE\tSTATE\tEMAIL\tCREATED")
	if err := eachUser(ctx, users, func(u store.User) error {
		state := "enabled"
		if u.Disabled {
			state = "disabled"
		}
		_, err := fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n",
			u.ID, u.Name, u.Role, state, u.Email, u.CreatedAt.Format(time.RFC3339))
		return err
	}); err != nil {
		return err
	}
	return table.Flush()
}

// userView is a user as the API sends one: never with the hash.
type userView struct {
	ID        int64      `json:"id"`
	User      string     `json:"user"`
	Email     string     `json:"email"`
	Role      store.Role `json:"role"`
	Disabled  bool       `json:"disabled"`
	CreatedAt string     `json:"created_at"`
	UpdatedAt string     `json:"updated_at"`
}

func (p *program) listUsersAsJSON(ctx context.Context, users store.Users) error {
	const milliseconds = "2006-01-02T15:04:05.000Z07:00" // of RFC 3339, always three digits
	out := bufio.NewWriter(p.stdout)
	enc := jsontext.NewEncoder(out, jsontext.Multiline(true))
	if err := enc.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	if err := eachUser(ctx, users, func(u store.User) error {
		return json.MarshalEncode(enc, userView{
			ID: u.ID, User: u.Name, Email: u.Email, Role: u.Role, Disabled: u.Disabled,
			CreatedAt: u.CreatedAt.Format(milliseconds),
			UpdatedAt: u.UpdatedAt.Format(milliseconds),
		})
	}); err != nil {
		return err
	}
	if err := enc.WriteToken(jsontext.EndArray); err != nil {
		return err
	}
	return out.Flush()
}

// eachUser calls f with every user, by ascending id.
func eachUser(ctx context.Context, users store.Users, f func(store.User) error) error {
	const page = 500
	for after := int64(0); ; {
		some, err := users.Users(ctx, after, page)
		if err != nil {
			return fmt.Errorf("list users: %w", err)
		}
		for _, u := range some {
			if err := f(u); err != nil {
				return err
			}
			after = u.ID
		}
		if len(some) < page {
			return nil
		}
	}
}
