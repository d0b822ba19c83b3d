package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"clientes/auth/captcha"
)

func (p *program) captchaCommand() *cobra.Command {
	return p.group("captcha", "Solve puzzles that stand in for waiting", p.captchaSolveCommand())
}

func (p *program) captchaSolveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "solve [CHALLENGE]",
		Short: "Solve the challenge of an answer with the status 429",
		Long: `Solve a challenge and print the solution, which the next try sends as "captcha". It takes up to a
second or two. If no challenge is given it is read from standard input: alone, or as the JSON of the
whole answer.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{"give one challenge, or none and write it to standard input"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			challenge, err := p.challenge(args)
			if err != nil {
				return err
			}
			solution, err := captcha.Solve(challenge)
			if err != nil {
				return fmt.Errorf("%w; copy the whole text of \"challenge\"", err)
			}
			_, err = fmt.Fprintln(p.stdout, solution)
			return err
		},
	}
}

// challenge returns the challenge of the arguments, or of standard input.
func (p *program) challenge(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	b, err := io.ReadAll(io.LimitReader(p.stdin, 1<<16))
	if err != nil {
		return "", fmt.Errorf("read the challenge: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", &usageError{"give a challenge as the argument or on standard input"}
	}
	if !strings.HasPrefix(text, "{") {
		return text, nil
	}
	var answer struct {
		Code      string `json:"code"`
		Challenge string `json:"challenge"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return "", fmt.Errorf("standard input is no JSON: %w", err)
	}
	switch {
	case answer.Challenge == "" && answer.Code == "":
		return "", errors.New("standard input is no answer of the API with a challenge")
	case answer.Challenge == "":
		return "", fmt.Errorf("the answer on standard input has no challenge; its code is %q",
			withoutControls(answer.Code))
	}
	return answer.Challenge, nil
}
