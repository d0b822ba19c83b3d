package main

import (
	"bufio"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// addJSONFlag adds --json to a command, which then prints one JSON value instead of text for
// people. Errors go to standard error in words all the same, and the exit status does not change.
func addJSONFlag(cmd *cobra.Command, what string) *bool {
	return cmd.Flags().Bool("json", false, "print "+what+" as JSON")
}

// printJSON writes one value for programs, with a newline at its end.
func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, jsontext.Multiline(true), json.Deterministic(true),
		// What a stranger wrote stays as it is.
		jsontext.PreserveRawStrings(true), jsontext.AllowDuplicateNames(true))
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, escapeControls(string(b))+"\n")
	return err
}

// printArray writes the values that each puts as an array for programs, one after the other.
func printArray(w io.Writer, each func(put func(any) error) error) error {
	out := bufio.NewWriter(w)
	enc := jsontext.NewEncoder(out, jsontext.Multiline(true))
	if err := enc.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	if err := each(func(v any) error { return json.MarshalEncode(enc, v) }); err != nil {
		return err
	}
	if err := enc.WriteToken(jsontext.EndArray); err != nil {
		return err
	}
	return out.Flush()
}
