package main

import (
	"errors"
	"fmt"
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
		Args: oneOrStdin("challenge"),
		RunE: func(cmd *cobra.Command, args []string) error {
			challenge, err := p.argumentOrStdin(args, "challenge")
			if err == nil && len(args) == 0 {
				challenge, err = challengeIn(challenge)
			}
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

// challengeIn returns the challenge on standard input: alone, or in an answer of the API.
func challengeIn(text string) (string, error) {
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
