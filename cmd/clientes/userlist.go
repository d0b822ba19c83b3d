package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/store"
)

func (p *program) userListCommand() *cobra.Command {
	var asJSON *bool
	list := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Args:  arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			st, err := openExisting(cmd.Context(), c.DatabaseURL)
			if err != nil {
				return err
			}
			defer st.Close()
			if *asJSON {
				return printArray(p.stdout, func(put func(any) error) error {
					return eachUser(cmd.Context(), st, func(u store.User) error {
						return put(wire.ViewUser(u))
					})
				})
			}
			return p.listUsers(cmd.Context(), st)
		},
	}
	asJSON = addJSONFlag(list, "an array of users as the API sends them")
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
