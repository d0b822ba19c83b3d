package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/store"
)

// A file of users is held in memory, and so are its users: a quarter of a gigabyte at most.
const (
	maxUserFile = 32 << 20 // bytes
	maxUserRows = 200_000
)

func (p *program) userImportCommand() *cobra.Command {
	var dryRun bool
	imp := &cobra.Command{
		Use:   "import FILE",
		Short: "Add the users of a CSV or NDJSON file, all or none",
		Long: `Add a user for each row of FILE, all of them or none; - is standard input. What is wrong is told by row and field:
the first hundred faults, and how many there are.

CSV is in UTF-8, with commas or semicolons. The first line names the columns, in any order: user and password_hash, and
perhaps email, which counts as confirmed, and role, which is viewer where it is empty. NDJSON is a JSON object a line
with the same members. The hashes are of the kinds that cmd/clientes/README.md lists; each is
replaced at the user's first login.

The format is what the name says (.csv, .ndjson, .jsonl), else JSON if the file begins like that, and CSV if it
does not. A file has 32 MiB and 200,000 users at most.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.tellFaults(p.importUsers(cmd.Context(), args[0], dryRun))
		},
	}
	imp.Flags().BoolVar(&dryRun, "dry-run", false, "only say whether the file could be imported")
	return imp
}

// importUsers reads the whole file before it opens the store: who is slow to send it holds no connection, and who gives
// up leaves no database.
func (p *program) importUsers(ctx context.Context, name string, dryRun bool) error {
	c, err := p.configure()
	if err != nil {
		return err
	}
	data, err := p.readUserFile(ctx, name)
	if err != nil {
		return err
	}
	open := openToWrite
	if dryRun {
		open = openToRead
	}
	st, err := open(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	defer st.Close()
	accounts := auth.NewAccounts(st)
	if dryRun {
		n, err := accounts.CheckImport(ctx, userRows(name, data))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "%s can be imported; nothing was changed\n", usersText(n))
		return err
	}
	users, err := accounts.Import(ctx, userRows(name, data))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "imported %s\n", usersText(len(users)))
	return err
}

// readUserFile gives what is in the file of that name, or comes from standard input until the context ends.
func (p *program) readUserFile(ctx context.Context, name string) ([]byte, error) {
	from, what := p.stdin, "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from, what = file, name
	}
	type read struct {
		data []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(from, maxUserFile+1))
		done <- read{data, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err() // the read goes on until the process ends, which is soon
	case r := <-done:
		switch {
		case r.err != nil:
			return nil, fmt.Errorf("read %s: %w", what, r.err)
		case len(r.data) > maxUserFile:
			return nil, fmt.Errorf("%s has more than %d MiB; import it in parts", what, maxUserFile>>20)
		}
		return r.data, nil
	}
}

// userRows gives the users of a file of that name, or what is wrong with the row of each.
func userRows(name string, data []byte) iter.Seq2[store.User, error] {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // which some programs put before UTF-8
	rows := csvUsers(data)
	start := bytes.TrimLeft(data, " \t\r\n")
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case ext == ".csv":
	case ext == ".ndjson", ext == ".jsonl", bytes.HasPrefix(start, []byte("{")), bytes.HasPrefix(start, []byte("[")):
		rows = ndjsonUsers(data)
	}
	return func(yield func(store.User, error) bool) {
		n := 0
		for u, err := range rows {
			if n++; n > maxUserRows {
				yield(store.User{}, fmt.Errorf("the file has more than %d users; import it in parts", maxUserRows))
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

// userColumns are the columns of a CSV file of users, and the members of a JSON object.
func userColumns() []string { return []string{"user", "email", "role", "password_hash"} }

// csvUsers reads CSV as in RFC 4180, with a header.
func csvUsers(data []byte) iter.Seq2[store.User, error] {
	return func(yield func(store.User, error) bool) {
		r := csv.NewReader(bytes.NewReader(data))
		r.FieldsPerRecord = -1
		r.ReuseRecord = true
		if first, _, _ := bytes.Cut(data, []byte("\n")); !bytes.Contains(first, []byte(",")) {
			r.Comma = ';' // as spreadsheets write where numbers have a comma
		}
		header, err := r.Read()
		columns, fault := userHeader(header, err)
		if fault != nil {
			yield(store.User{}, fault)
			return
		}
		for {
			record, err := r.Read()
			var parse *csv.ParseError
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.As(err, &parse):
				yield(store.User{}, store.Invalid("", "malformed",
					fmt.Sprintf("The row is not CSV, at line %d: %s. Nothing after it was looked at.", parse.Line, parse.Err)))
				return
			case err != nil:
				yield(store.User{}, err)
				return
			case len(record) != len(columns):
				err = store.Invalid("", "wrong_columns", fmt.Sprintf("The row has %d columns, and the header %d.", len(record), len(columns)))
				if !yield(store.User{}, err) {
					return
				}
				continue
			}
			var u store.User
			for i, column := range columns {
				switch column {
				case "user":
					u.Name = record[i]
				case "email":
					u.Email = record[i]
				case "role":
					u.Role = store.Role(record[i])
				case "password_hash":
					u.PasswordHash = record[i]
				}
			}
			if !yield(u, nil) {
				return
			}
		}
	}
}

// userHeader gives the columns that a header names, or a *store.RowsError. It repeats nothing of it: where the header
// was forgotten it is a row.
func userHeader(header []string, err error) ([]string, error) {
	var faults store.RowsError
	add := func(field, code, message string) {
		faults.Add(0, store.FieldError{Field: field, Code: code, Message: message})
	}
	if err != nil {
		add("", "malformed", "The first line does not name the columns of a CSV file.")
		return nil, faults.Err()
	}
	var columns []string
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !slices.Contains(userColumns(), name):
			add("", "unknown_member", fmt.Sprintf("Column %d is none of %s.", i+1, strings.Join(userColumns(), ", ")))
		case slices.Contains(columns, name):
			add(name, "duplicate", "The column is there twice.")
		}
		columns = append(columns, name)
	}
	for _, name := range []string{"user", "password_hash"} {
		if !slices.Contains(columns, name) {
			add(name, "required", "This column is required.")
		}
	}
	return columns, faults.Err()
}

// ndjsonUsers reads a JSON object a line. Lines of white space are no rows.
func ndjsonUsers(data []byte) iter.Seq2[store.User, error] {
	return func(yield func(store.User, error) bool) {
		for line := range bytes.Lines(data) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			u, err := jsonUser(line)
			if !yield(u, err) {
				return
			}
		}
	}
}

// jsonUser reads the JSON object of a user.
func jsonUser(line []byte) (store.User, error) {
	var in struct {
		User         string     `json:"user"`
		Email        string     `json:"email"`
		Role         store.Role `json:"role"`
		PasswordHash string     `json:"password_hash"`
	}
	err := json.Unmarshal(line, &in, json.RejectUnknownMembers(true))
	var (
		syntax   *jsontext.SyntacticError
		semantic *json.SemanticError
	)
	switch {
	case err == nil && jsontext.Value(line).Kind() == '{':
		return store.User{Name: in.User, Email: in.Email, Role: in.Role, PasswordHash: in.PasswordHash}, nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return store.User{}, store.Invalid("", "malformed", "A member is there twice.")
	case errors.As(err, &syntax):
		return store.User{}, store.Invalid("", "malformed", fmt.Sprintf("The line is not valid JSON, at byte %d.", syntax.ByteOffset))
	case errors.As(err, &semantic) && errors.Is(err, json.ErrUnknownName):
		return store.User{}, store.Invalid("", "unknown_member",
			fmt.Sprintf("The member %.40q is none of %s.", semantic.JSONPointer.LastToken(), strings.Join(userColumns(), ", ")))
	case errors.As(err, &semantic) && slices.Contains(userColumns(), semantic.JSONPointer.LastToken()):
		return store.User{}, store.Invalid(semantic.JSONPointer.LastToken(), "malformed", "This is not a text.")
	}
	return store.User{}, store.Invalid("", "malformed", "The line is not a JSON object.")
}

func usersText(n int) string {
	if n == 1 {
		return "1 user"
	}
	return fmt.Sprintf("%d users", n)
}
