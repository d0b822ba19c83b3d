package verify

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Passed   Outcome = "passed"
	Failed   Outcome = "failed"
	NotTried Outcome = "not tried"
)

// Result is what one check has found.
type Result struct {
	Promise
	Outcome  Outcome
	Evidence string // what was sent and what came, or why it was not tried
	Took     time.Duration
}

// Report is what a run has found.
type Report struct {
	Started     time.Time // in UTC
	Took        time.Duration
	URL         string
	Replicas    []string
	Server      string // what the server says it is, "" if it does not say
	Requests    int64
	Results     []Result
	Left        []string // what could not be removed
	Interrupted bool
}

// Count returns how many checks have that outcome.
func (r Report) Count(o Outcome) (n int) {
	for _, result := range r.Results {
		if result.Outcome == o {
			n++
		}
	}
	return n
}

// Err returns nil if no promise was found broken and nothing was left behind, and else what is
// wrong.
func (r Report) Err() error {
	switch {
	case r.Interrupted:
		return errors.New("interrupted before every check was done; the report lists what is left")
	case r.Count(Failed) > 0:
		return fmt.Errorf("%d of %d promises do not hold", r.Count(Failed), len(r.Results))
	case len(r.Left) > 0:
		return errors.New("not everything could be removed; the report lists it")
	}
	return nil
}

// Summary returns the counts in one sentence.
func (r Report) Summary() string {
	s := fmt.Sprintf("%d passed, %d failed, %d not tried, in %s with %d requests",
		r.Count(Passed), r.Count(Failed), r.Count(NotTried), shortly(r.Took), r.Requests)
	if r.Interrupted {
		s += "; it was interrupted"
	}
	return s
}

func shortly(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

// head returns the lines above the results.
func (r Report) head() (lines [][2]string) {
	lines = append(lines, [2]string{"Server", r.URL})
	if r.Server != "" {
		lines[0][1] += " (" + r.Server + ")"
	}
	for _, replica := range r.Replicas {
		lines = append(lines, [2]string{"Replica", replica})
	}
	return append(lines,
		[2]string{"Date", r.Started.Format(time.RFC3339)},
		[2]string{"Result", r.Summary()},
	)
}

// WriteText writes the report for a terminal.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, line := range r.head() {
		fmt.Fprintf(&b, "%-8s %s\n", line[0], line[1])
	}
	section := ""
	for _, result := range r.Results {
		if result.Section != section {
			section = result.Section
			fmt.Fprintf(&b, "\n%s\n", section)
		}
		fmt.Fprintf(&b, "  %-9s %s: %s\n", result.Outcome, result.ID, result.Sentence)
		fmt.Fprintf(&b, "            %s\n", result.Evidence)
	}
	for _, left := range r.Left {
		fmt.Fprintf(&b, "\nNot removed: %s\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the report for a ticket.
func (r Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# clientes verify\n\n")
	for _, line := range r.head() {
		fmt.Fprintf(&b, "- %s: %s\n", line[0], cell(line[1]))
	}
	section := ""
	for _, result := range r.Results {
		if result.Section != section {
			section = result.Section
			fmt.Fprintf(&b, "\n## %s\n\n", section)
			b.WriteString("| check | promise | outcome | seen |\n| --- | --- | --- | --- |\n")
		}
		outcome := string(result.Outcome)
		if result.Outcome == Failed {
			outcome = "**failed**"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", result.ID, cell(result.Sentence), outcome,
			cell(result.Evidence))
	}
	if len(r.Left) > 0 {
		b.WriteString("\n## Not removed\n\n")
		for _, left := range r.Left {
			fmt.Fprintf(&b, "- %s\n", cell(left))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cell returns a text that does not end a cell of a table, and is no markup.
func cell(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `\`, `\\`, "|", `\|`, "`", "\\`",
		"[", `\[`, "*", `\*`, "@", `\@`, "\n", " ", "\r", " ").Replace(text)
}

// WriteJSON writes the report for a script.
func (r Report) WriteJSON(w io.Writer) error {
	type result struct {
		ID       string  `json:"id"`
		Section  string  `json:"section"`
		Promise  string  `json:"promise"`
		Outcome  Outcome `json:"outcome"`
		Evidence string  `json:"evidence"`
		Seconds  float64 `json:"seconds"`
	}
	document := struct {
		Started     string   `json:"started"`
		URL         string   `json:"url"`
		Replicas    []string `json:"replicas"`
		Server      string   `json:"server"`
		Requests    int64    `json:"requests"`
		Seconds     float64  `json:"seconds"`
		Passed      int      `json:"passed"`
		Failed      int      `json:"failed"`
		NotTried    int      `json:"not_tried"`
		Interrupted bool     `json:"interrupted"`
		Left        []string `json:"left"`
		Results     []result `json:"results"`
	}{
		Started: r.Started.Format(time.RFC3339), URL: r.URL, Replicas: r.Replicas,
		Server: r.Server, Requests: r.Requests, Seconds: r.Took.Seconds(),
		Passed: r.Count(Passed), Failed: r.Count(Failed), NotTried: r.Count(NotTried),
		Interrupted: r.Interrupted, Left: r.Left,
	}
	for _, x := range r.Results {
		document.Results = append(document.Results,
			result{x.ID, x.Section, x.Sentence, x.Outcome, x.Evidence, x.Took.Seconds()})
	}
	if err := json.MarshalWrite(w, document, jsontext.Multiline(true)); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}
