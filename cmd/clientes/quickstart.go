package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/auth/password"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

func (p *program) quickstartCommand() *cobra.Command {
	var newSecret bool
	quickstart := &cobra.Command{
		Use:   "quickstart",
		Short: "Set up an empty folder with everything needed, and serve",
		Long: `In an empty folder: write .env with a random SECRET, make the database, an admin "abc" with a
random password and some customers, print the password and what to try, and serve. What is there
already is kept: a .env without SECRET gets one added, a database with users in it is served as it
is. Run again, it only serves.

If the database has users but there is no SECRET, its .env is probably lost, and nothing is changed.
Put it back, or give --new-secret: everybody then logs in again, and second factors cannot be opened
any more.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.quickstart(cmd.Context(), newSecret)
		},
	}
	quickstart.Flags().BoolVar(&newSecret, "new-secret", false,
		"make a new SECRET for a database with users whose SECRET is lost")
	return quickstart
}

// quickstart does its steps in an order in which each can be repeated: whatever stops it half-way,
// the next run goes on. The admin comes last: a user in the database means that all is done. The
// port comes first, so that one in use by another program does not cost the password, which is
// shown once.
func (p *program) quickstart(ctx context.Context, newSecret bool) error {
	p.bufferStderr()
	c, err := p.configureServer(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"SECRET", "SECRET_FILE"} {
		if _, set := p.lookupEnv(name); set && c.Secret == "" {
			return fmt.Errorf("the environment sets %s to nothing, which hides what .env says; "+
				"unset it, or give it a value", name)
		}
	}
	listener, err := listen(ctx, c)
	if err != nil {
		return err
	}
	defer listener.Close()
	m, err := p.listenMetrics(ctx, c)
	if err != nil {
		return err
	}
	defer m.close()
	tuneMemory(p.lookupEnv, "")
	log := p.logger(c)
	hashing, err := password.StartProcess(hashPasswords, log)
	if err != nil {
		return err
	}
	defer hashing.Close()
	st, err := openToServe(ctx, c.DatabaseURL, log)
	if err != nil {
		return err
	}
	defer closeSoon(st)
	url := config.LocalURL(c.Host, listener.Addr().(*net.TCPAddr).Port)
	users, err := st.Users(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("look for users: %w", err)
	}
	made := c.Secret == ""
	if made {
		if len(users) > 0 && !newSecret {
			return fmt.Errorf("%s has users, but no SECRET is set: was .env lost? Put it back, or "+
				"set the SECRET that was used before; if it is lost for good, "+
				"`clientes quickstart --new-secret` makes another, everybody has to log in again, "+
				"and second factors cannot be opened any more",
				engineOf(c.DatabaseURL).shown(c.DatabaseURL))
		}
		if err := p.addSecrets(c); err != nil {
			return err
		}
		if c, err = config.Load(p.lookupEnv, "SECRET"); err != nil {
			return err
		}
	}
	if len(users) == 0 {
		if err := p.fill(ctx, st, url, log); err != nil {
			return err
		}
	} else {
		if newSecret && !made {
			_ = p.show("There is a SECRET already, so no new one was made.\n")
		}
		_ = p.show(fmt.Sprintf("Everything is set up already; serving at %s.\n"+
			"`clientes user passwd NAME` gives a user another password.\n", url))
	}
	return serve(ctx, c, st, hashing, listener, m, log)
}

// fill adds the sample customers and the admin to a database without users, and shows the password.
func (p *program) fill(ctx context.Context, st store.Store, url string, log *slog.Logger) error {
	if err := addSamples(ctx, st); err != nil {
		return err
	}
	password := rand.Text() // 26 letters and digits, 130 bits
	admin := store.User{Name: "abc", Role: store.Admin}
	if _, err := auth.NewAccounts(st).Add(ctx, admin, password); err != nil {
		return err
	}
	switch err := p.show(welcome(url, admin.Name, password, pasteLines(runtime.GOOS))); {
	case errors.Is(err, errNoReader):
		log.Warn("nobody reads standard output, where the password of the admin is; " +
			"`clientes user passwd abc` sets another")
	case err != nil:
		return fmt.Errorf("the password could not be shown, `clientes user passwd %s` sets another: %w",
			admin.Name, err)
	}
	return nil
}

// errNoReader means that nobody has read yet what was written to standard output.
var errNoReader = errors.New("nobody reads standard output")

// show writes a text for people to standard output. If nobody reads it, show returns errNoReader
// after a second, and the text stays there to be read later.
func (p *program) show(text string) error {
	shown := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.stdout, p.asTyped(text))
		shown <- err
	}()
	select {
	case err := <-shown:
		return err
	case <-time.After(time.Second):
		return errNoReader
	}
}

// addSecrets writes a new SECRET to .env, and a ROOT_SECRET unless one is set: a new file if there
// is none, else lines at its end.
func (p *program) addSecrets(c config.Config) error {
	line := "# Whoever holds SECRET can make tokens: share it only with programs that check them.\n" +
		"SECRET=" + randomSecret() + "\n"
	_, set := p.lookupEnv("ROOT_SECRET")
	_, setFile := p.lookupEnv("ROOT_SECRET_FILE")
	if c.RootSecret == "" && !set && !setFile { // set to nothing, it would hide what .env says
		line += "# Everything else that is signed or sealed depends on ROOT_SECRET: keep it to yourself.\n" +
			"ROOT_SECRET=" + randomSecret() + "\n"
	}
	done := "wrote .env with a new SECRET"
	f, err := os.OpenFile(".env", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		done = "added a new SECRET to .env"
		line = "\n" + line // the last line there may not have ended
		f, err = os.OpenFile(".env", os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			err = f.Chmod(0o600) // it holds a secret now
		}
	}
	if err == nil {
		_, err = f.WriteString(line)
	}
	if err == nil {
		err = f.Sync()
	}
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write a SECRET to .env: %w", err)
	}
	if err := p.show(done + ", which only you can read.\n"); !errors.Is(err, errNoReader) {
		return err
	}
	return nil
}

// randomSecret returns 256 random bits in hex, which no reader of .env alters.
func randomSecret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// samples returns customers to look at. Their texts show what a record can hold.
func samples() []store.Cliente {
	return []store.Cliente{
		{Name: "Ana Souza", Email: "ana@example.com", Phone: "+55 11 99999-0000",
			Company: "Padaria São João",
			Address: "Rua das Flores 12, São Paulo", Notes: "Pays by the month."},
		{Name: "Bruno Lima", Email: "bruno@example.com", Phone: "+55 21 98888-1111",
			Address: "Rio de Janeiro"},
		{Name: "Çelik Öztürk", Email: "celik@example.com", Company: "Öztürk Tekstil",
			Notes: "Prefers email.\nWrites in Turkish."},
		{Name: "Dara O’Neill", Email: "dara@example.com", Phone: "+353 1 555 0100",
			Company: "O’Neill & Daughters"},
		{Name: "Eri 山田", Email: "eri@example.com", Address: "東京都千代田区1-1"},
	}
}

// addSamples adds those of the samples that are not there, unless there is any other customer.
func addSamples(ctx context.Context, clientes store.Clientes) error {
	absent := make(map[string]store.Cliente) // by email
	for _, c := range samples() {
		absent[c.Email] = c
	}
	there, err := clientes.Clientes(ctx, store.Selection{}, store.Position{}, len(absent)+1)
	if err != nil {
		return fmt.Errorf("look for customers: %w", err)
	}
	for _, c := range there {
		if _, ok := absent[c.Email]; !ok {
			return nil
		}
		delete(absent, c.Email)
	}
	for _, c := range samples() {
		if _, ok := absent[c.Email]; !ok {
			continue
		}
		c, err := c.Validate()
		if err != nil {
			return fmt.Errorf("sample customer: %w", err)
		}
		if _, err := clientes.CreateCliente(ctx, 0, c); err != nil {
			return fmt.Errorf("add a sample customer: %w", err)
		}
	}
	return nil
}

// welcome returns what a newcomer reads, with lines to paste. No character of url, user and
// password is special to a shell or to JSON.
func welcome(url, user, password, lines string) string {
	return strings.NewReplacer("URL", url, "USER", user, "PASS", password).Replace(`
clientes serves at URL. Log in at URL/login with a browser;
URL/docs shows the API.

  user      USER
  password  PASS
  It is shown this once; ` + "`clientes user passwd USER`" + ` sets another.

Or paste these into another terminal, from the login to the logout:

` + lines + `
Ctrl+C stops the server; ` + "`clientes quickstart`" + ` or ` + "`clientes serve`" + ` starts it again.

`)
}

// pasteLines returns requests to paste into the usual shell of an operating system, each line by
// itself: PowerShell on Windows, and any POSIX shell elsewhere.
func pasteLines(goos string) string {
	if goos == "windows" {
		return `$login = Invoke-RestMethod 'URL/login' -Method Post -Body @{ user = 'USER'; password = 'PASS' }
$headers = @{ 'x-access-token' = $login.token }
Invoke-RestMethod 'URL/clientes' -Headers $headers
Invoke-RestMethod 'URL/clientes' -Headers $headers -Method Post -ContentType 'application/json' -Body '{"name":"Flora Dias","email":"flora@example.com"}'
Invoke-RestMethod 'URL/clientes/1' -Headers $headers
Invoke-RestMethod 'URL/logout' -Headers $headers -Method Post
`
	}
	return `TOKEN=$(curl -sS 'URL/login' -H 'Content-Type: application/json' -d '{"user":"USER","password":"PASS"}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
curl -sS 'URL/clientes' -H "x-access-token: $TOKEN"
curl -sS 'URL/clientes' -H "x-access-token: $TOKEN" -H 'Content-Type: application/json' -d '{"name":"Flora Dias","email":"flora@example.com"}'
curl -sS 'URL/clientes/1' -H "x-access-token: $TOKEN"
curl -sS -X POST 'URL/logout' -H "x-access-token: $TOKEN"
`
}
