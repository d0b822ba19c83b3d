package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"clientes/auth"
	"clientes/auth/password"
	"clientes/auth/token"
	"clientes/cmd/clientes/config"
	"clientes/store"
)

func (p *program) tokenCommand() *cobra.Command {
	return p.group("token", "Look into access tokens", p.tokenInspectCommand())
}

func (p *program) tokenInspectCommand() *cobra.Command {
	var asJSON *bool
	inspect := &cobra.Command{
		Use:   "inspect [TOKEN]",
		Short: "Show what an access token says and whether it is good",
		Long: `Show the header and the claims of an access token, and whether it is good now, and why not. The
token is read from standard input if it is not given; other users of the machine can see the
arguments of a command.

SECRET, ISSUER and AUDIENCE are those of the server for which the token was made. The database tells
whether its session was ended. Without SECRET nothing is checked, and the command says so. The exit
status is 0 if the token is good, and 1 if it is not or could not be checked.

Of the key of a program it shows whether the checksum is right, and whether it was ended.`,
		Args: oneOrStdin("token"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			given, err := p.argumentOrStdin(args, "token")
			if err != nil {
				return err
			}
			if text := store.Trim(given); token.IsKey(text) {
				return p.inspectKey(cmd.Context(), c, text, *asJSON)
			}
			in, err := token.Inspect(given)
			if err != nil {
				return fmt.Errorf("this is not an access token: %w", err)
			}
			if *asJSON {
				bad := whyNotGood(cmd.Context(), c, given, in)
				return cmp.Or(printJSON(p.stdout, viewInspection(in, bad)), bad)
			}
			_, err = fmt.Fprintf(p.stdout, "header %s\nclaims %s\n",
				withoutControls(in.Header), withoutControls(in.Claims))
			if err != nil {
				return err
			}
			if err := whyNotGood(cmd.Context(), c, given, in); err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, "The token is good.")
			return err
		},
	}
	asJSON = addJSONFlag(inspect, "what the token says")
	return inspect
}

// inspectionView is a token for programs.
type inspectionView struct {
	Header jsontext.Value `json:"header"`
	Claims jsontext.Value `json:"claims"`
	Good   *bool          `json:"good"` // null if that is not known
}

func viewInspection(in token.Inspection, bad error) inspectionView {
	v := inspectionView{
		Header: jsontext.Value(escapeControls(in.Header)),
		Claims: jsontext.Value(escapeControls(in.Claims)),
	}
	if good := bad == nil; good || errors.Is(bad, errNotGood) {
		v.Good = &good
	}
	return v
}

// errNotGood means that a server would refuse a token.
var errNotGood = errors.New("the token is not good")

// whyNotGood returns nil if the token is good, an errNotGood if it is not, and another error if
// that is not known.
func whyNotGood(ctx context.Context, c config.Config, given string, in token.Inspection) error {
	err := checkToken(ctx, c, given)
	if errors.Is(err, auth.ErrTokenInvalid) {
		return fmt.Errorf("%w: %s", errNotGood, whyInvalid(in, c, time.Now()))
	}
	return err
}

// checkToken returns why a server with this configuration would refuse the token now, or nil.
func checkToken(ctx context.Context, c config.Config, token string) error {
	if c.Secret == "" {
		return errors.New("the signature was not checked: that needs the SECRET of the server, " +
			"in the environment or in .env")
	}
	st, err := openExisting(ctx, c.DatabaseURL)
	if err != nil {
		return fmt.Errorf("whether the session was ended is not known: %w", err)
	}
	defer st.Close()
	gate := password.NewGate(password.Local{}, 1, 0)
	a, err := newAuth(c, st, gate, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	_, err = a.Authenticate(ctx, token)
	if errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("whether the session was ended is not known: %w", err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotGood, err)
	}
	return nil
}

// whyInvalid names the first difference between the token and what a server with this configuration
// accepts. If there is none it can only be the signature or the value of a claim: auth does not
// tell which.
func whyInvalid(in token.Inspection, c config.Config, now time.Time) string {
	var header, claims map[string]any
	if json.Unmarshal([]byte(in.Header), &header) != nil ||
		json.Unmarshal([]byte(in.Claims), &claims) != nil {
		return "its header or its claims are not one JSON object each, with every name once"
	}
	if alg := header["alg"]; alg != "HS256" {
		return fmt.Sprintf("its alg is %s, and only HS256 is taken", quote(alg))
	}
	if iss := claims["iss"]; iss != c.Issuer {
		return fmt.Sprintf("its iss is %s, but ISSUER is %q", quote(iss), c.Issuer)
	}
	if aud := claims["aud"]; aud != c.Audience {
		return fmt.Sprintf("its aud is %s, but AUDIENCE is %q", quote(aud), c.Audience)
	}
	for _, name := range []string{"iat", "nbf"} {
		if seconds, ok := claims[name].(float64); ok && seconds > float64(now.Unix()) {
			return fmt.Sprintf("its %s is in the future; is the clock of this machine right?", name)
		}
	}
	for _, name := range []string{"id", "sub", "role", "sid", "jti", "iat", "exp"} {
		if claims[name] == nil {
			return fmt.Sprintf("it has no %s", name)
		}
	}
	return "it was not signed with SECRET or SECRET_PREVIOUS, " +
		"or one of its claims has a value that it cannot have"
}

// quote returns a value of a token for a person to read. It is cut, since it may come from a
// stranger.
func quote(v any) string {
	if v == nil {
		return "not there"
	}
	return fmt.Sprintf("%.80q", fmt.Sprint(v))
}

// escapeControls is [withoutControls] for a JSON text, whose meaning stays the same.
func escapeControls(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, "\\u%04x", unit)
		}
	}
	return b.String()
}

// withoutControls replaces the characters that a terminal obeys: a token may come from a stranger.
func withoutControls(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
