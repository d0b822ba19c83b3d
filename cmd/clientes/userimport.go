package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"clientes/api/wire"
	"clientes/auth"
	"clientes/auth/password"
	"clientes/store"
)

// The limits of a file of users. The file and its users are held in memory: with these limits that
// is a quarter of a gigabyte at most.
const (
	maxUserFile = 32 << 20 // bytes
	maxUserRows = 200_000
)

func (p *program) userImportCommand() *cobra.Command {
	var (
		reading readingFlags
		dryRun  bool
		asJSON  *bool
	)
	imp := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the users of a CSV or NDJSON file, all or none",
		Long: `Add a user for each row of FILE, all of them or none; - is standard input. Faults are listed by row
and field: the first hundred, and how many there are.

CSV is taken as programs write it; --charset, --columns and --no-header are those of clientes
import. The first line names the columns, in any order: user, and perhaps password_hash, email,
which counts as confirmed, and role, which is viewer where it is empty. NDJSON is one JSON object a
line with the same members. cmd/clientes/README.md lists the kinds of hashes; each hash is replaced
at the user's first login. A user without a hash sets a password by a link that POST
/password/forgot mails. The import itself sends no mail.

The format is that of the name (.csv, .ndjson, .jsonl), else NDJSON if the file begins with a brace,
and CSV if it does not. A file has 32 MiB and 200,000 users at most.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			how, err := readingOf(&reading, args[0], wire.Users())
			if err != nil {
				return err
			}
			return p.reportFaults(p.importUsers(cmd.Context(), args[0], how, dryRun, *asJSON))
		},
	}
	reading.add(imp)
	imp.Flags().BoolVar(&dryRun, "dry-run", false, "only check whether the file could be imported")
	asJSON = addJSONFlag(imp, "how many there are")
	return imp
}

// importUsers reads the whole file before it opens the store. So a slow sender holds no connection,
// and one that gives up leaves no database.
func (p *program) importUsers(
	ctx context.Context, name string, how wire.Reading, dryRun, asJSON bool,
) error {
	c, err := p.configureToAdd()
	if err != nil {
		return err
	}
	data, err := p.readUserFile(ctx, name)
	if err != nil {
		return err
	}
	if err := formatWithin(&how, data); err != nil {
		return err
	}
	if dryRun {
		st, err := openToCheck(ctx, c.DatabaseURL)
		if err != nil {
			return err
		}
		defer st.Close()
		users, err := auth.NewAccounts(st).CheckImport(ctx, userRows(how, data))
		if err != nil {
			return err
		}
		n, passwords := int64(len(users)), passwordsOf(users)
		if asJSON {
			return printJSON(p.stdout, importedUsersView{importedView{Valid: &n}, passwords})
		}
		_, err = fmt.Fprintf(p.stdout, "%s can be imported; nothing was changed\n%s",
			counted(n, "user"), passwords)
		return err
	}
	st, err := p.openToAdd(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	users, err := auth.NewAccounts(st).Import(ctx, userRows(how, data))
	if err != nil {
		return err
	}
	n, passwords := int64(len(users)), passwordsOf(users)
	if asJSON {
		return printJSON(p.stdout, importedUsersView{importedView{Imported: &n}, passwords})
	}
	_, err = fmt.Fprintf(p.stdout, "imported %s\n%s", counted(n, "user"), passwords)
	return err
}

// readUserFile returns the content of the file of that name, or of standard input.
func (p *program) readUserFile(ctx context.Context, name string) ([]byte, error) {
	from, what := p.stdin, "standard input"
	if name == stdStream {
		p.tellTyping("users")
	} else {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from, what = file, name
	}
	in, stop := readUntil(ctx, from)
	defer stop()
	data, err := io.ReadAll(io.LimitReader(in, maxUserFile+1))
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", what, err)
	case len(data) > maxUserFile:
		return nil, fmt.Errorf("%s has more than %d MiB; import it in parts", what, maxUserFile>>20)
	}
	return data, nil
}

// userRows returns the users of a file, or what is wrong with the row of each.
func userRows(how wire.Reading, data []byte) iter.Seq2[store.User, error] {
	return func(yield func(store.User, error) bool) {
		n := 0
		for u, err := range wire.Rows(bytes.NewReader(data), how, wire.Users()) {
			if n++; n > maxUserRows {
				tooMany := fmt.Errorf("the file has more than %d users; import it in parts",
					maxUserRows)
				yield(store.User{}, tooMany)
				return
			}
			if err == nil && u.Role == "" {
				u.Role = store.Viewer
			}
			if !yield(u, err) {
				return
			}
		}
	}
}

// importedUsersView is what an import did, for programs.
type importedUsersView struct {
	importedView
	passwords
}

// passwords counts of which kinds the hashes of imported users are, and the users without one.
type passwords struct {
	Hashes      map[string]int64 `json:"hashes"`
	Absent      int64            `json:"without_password"` // who have an email
	Unreachable int64            `json:"without_password_and_email"`
}

func passwordsOf(users []store.User) passwords {
	p := passwords{Hashes: make(map[string]int64)}
	for _, u := range users {
		switch {
		case u.PasswordHash != "":
			p.Hashes[password.Algorithm(u.PasswordHash)]++
		case u.Email == "":
			p.Unreachable++
		default:
			p.Absent++
		}
	}
	return p
}

// String returns a line for each count, which also says what users without a password have to do.
func (p passwords) String() string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(p.Hashes)) {
		fmt.Fprintf(&b, "%s with a hash of %s\n", counted(p.Hashes[kind], "user"), kind)
	}
	if p.Absent > 0 {
		fmt.Fprintf(&b, "%s without a password: POST /password/forgot mails a link to set one\n",
			counted(p.Absent, "user"))
	}
	if p.Unreachable > 0 {
		fmt.Fprintf(&b, "%s without a password and without an email: set one with "+
			"`clientes user passwd NAME`\n", counted(p.Unreachable, "user"))
	}
	return b.String()
}
