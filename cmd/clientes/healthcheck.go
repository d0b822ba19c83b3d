package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"clientes/cmd/clientes/config"
)

// healthTimeout is how long a server has to answer. Its checks take four seconds at most.
const healthTimeout = 6 * time.Second

func (p *program) healthcheckCommand() *cobra.Command {
	var asJSON *bool
	check := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the running server whether it is ready",
		Long: `Ask the server that runs with the same HOST and PORT for /readyz. The exit status is 0 if it is
ready and 1 if it is not or does not answer, as a container's health check wants it.`,
		Args: arguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure()
			if err != nil {
				return err
			}
			if c.Port == 0 {
				return errors.New("with PORT=0 nobody knows where the server listens; " +
					"give PORT the number that it logged")
			}
			answer, err := askReady(cmd.Context(), config.LocalURL(c.Host, int(c.Port)))
			if *asJSON && answer != nil {
				return cmp.Or(printJSON(p.stdout, answer), err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.stdout, "ready")
			return err
		},
	}
	asJSON = addJSONFlag(check, "the server's answer")
	return check
}

// askReady asks a server whether it is ready. The error says why it is not. The answer is the
// server's JSON, nil if there is none.
func askReady(ctx context.Context, base string) (answer jsontext.Value, err error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return nil, fmt.Errorf("ask for /readyz: %w", err)
	}
	// A transport of its own, or a proxy in the environment would be asked.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("the server at %s did not answer within %s; look into its log",
			base, healthTimeout)
	case err != nil:
		return nil, fmt.Errorf("no server answers at %s; is it running with this HOST and PORT? (%w)",
			base, err)
	}
	defer resp.Body.Close()
	// Without the server's JSON there is no message, and the status says enough.
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, 1<<16), &answer); err != nil {
		answer = nil
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var problem struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer, &problem) // or it is an answer of another server
	return answer, fmt.Errorf("the server at %s is not ready: status %d, %q",
		base, resp.StatusCode, problem.Message)
}
