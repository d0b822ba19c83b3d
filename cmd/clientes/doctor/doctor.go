// Package doctor looks for what is wrong with the set-up of a server, and says what to do about it.
//
// [Examine] looks from inside: at the settings, their files, the limits of the process, the mail
// server and the database. [ExamineURL] looks from outside, as a client does. Both change nothing,
// make no file, and go on after a fault. Each check yields one [store.Finding] or more, also where
// all is well. No finding holds a secret.
//
// The package does not know how a server is built. What only the program knows is in [Setup].
package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"clientes/cmd/clientes/config"
	"clientes/store"
)

// networkTimeout bounds a check that goes over a network.
const networkTimeout = 10 * time.Second

// Setup is what [Examine] looks at. Only Config and Now are required.
type Setup struct {
	Config config.Config
	Err    error // of [config.Load] and [config.Config.CheckStart]
	Now    func() time.Time

	// Serving is where browsers find the server of this process, nil if it has none.
	Serving *url.URL

	// Database examines the database of DATABASE_URL, which has no fault then.
	Database func(ctx context.Context, databaseURL string) []store.Finding

	// Descriptors is how many files and connections the process may have open, 0 if unknown.
	Descriptors uint64

	// Root is the folder that has /sys/fs/cgroup and /proc, "" for that of the machine.
	Root string

	// RootCAs may vouch for the mail server and PUBLIC_URL, nil for those that this machine trusts.
	RootCAs *x509.CertPool

	// Dial connects to PUBLIC_URL and to where the server listens, nil for a usual connection.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// checks are all of [Examine], in the order of their findings. None is made while one of the
// settings that it needs has a fault.
var checks = []struct {
	look  func(context.Context, Setup) []store.Finding
	needs []string
}{
	{settings, nil},
	{secrets, nil},
	{files, nil},
	{publicURL, []string{"PUBLIC_URL", "HOST", "PORT"}},
	{listener, []string{"HOST", "PORT"}},
	{cookies, []string{"PUBLIC_URL", "HOST", "CORS_ORIGINS"}},
	{origins, []string{"PUBLIC_URL", "CORS_ORIGINS"}},
	{proxies, []string{"PUBLIC_URL", "HOST", "TRUSTED_PROXIES"}},
	{signup, []string{"SIGNUP", "SMTP_URL"}},
	{secondFactor, []string{"PUBLIC_URL", "REQUIRE_MFA"}},
	{mailServer, []string{"PUBLIC_URL", "SMTP_URL", "MAIL_FROM"}},
	{metrics, []string{"METRICS_ADDR"}},
	{limits, nil},
	{temporary, nil},
	{shutdown, []string{"SHUTDOWN_DELAY", "SHUTDOWN_TIMEOUT"}},
	{database, []string{"DATABASE_URL"}},
}

// Examine looks at a set-up from inside. It returns findings in the order of the checks, after some
// twelve seconds at the latest.
func Examine(ctx context.Context, s Setup) []store.Finding {
	found := make([][]store.Finding, len(checks))
	var group sync.WaitGroup
	for i, check := range checks {
		if s.unusable(check.needs...) {
			continue // the fault says so, and may be a password in the wrong place
		}
		group.Go(func() {
			// Most have a shorter one of their own, and then say more.
			ctx, cancel := context.WithTimeout(ctx, networkTimeout+2*time.Second)
			defer cancel()
			found[i] = check.look(ctx, s)
		})
	}
	group.Wait()
	var all []store.Finding
	for _, f := range found {
		all = append(all, f...)
	}
	return printable(all)
}

func database(ctx context.Context, s Setup) []store.Finding {
	if s.Database == nil {
		return nil
	}
	return s.Database(ctx, s.Config.DatabaseURL)
}

// printable returns the findings without line ends and other control characters, which a mail
// server or another program may have sent, and each with a level that is one.
func printable(all []store.Finding) []store.Finding {
	for i := range all {
		f := &all[i]
		f.ID, f.Message, f.Cure = line(f.ID), line(f.Message), line(f.Cure)
		switch f.Level {
		case store.LevelOK, store.LevelWarn, store.LevelFail:
		default: // of another program or version: it must not be lost
			f.Level = store.LevelWarn
		}
	}
	return all
}

// maxLine is how many bytes of a text a finding has.
const maxLine = 1000

func line(s string) string {
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.Join(strings.Fields(s), " "))
}

// report collects the findings of a check.
type report []store.Finding

func (r *report) ok(id, format string, args ...any) {
	*r = append(*r, store.Finding{
		ID: id, Level: store.LevelOK, Message: fmt.Sprintf(format, args...),
	})
}

func (r *report) warn(id, message, cure string) {
	*r = append(*r, store.Finding{ID: id, Level: store.LevelWarn, Message: message, Cure: cure})
}

func (r *report) fail(id, message, cure string) {
	*r = append(*r, store.Finding{ID: id, Level: store.LevelFail, Message: message, Cure: cure})
}

// okUnless adds an ok if the check has found nothing else.
func (r *report) okUnless(id, format string, args ...any) {
	if len(*r) == 0 {
		r.ok(id, format, args...)
	}
}
