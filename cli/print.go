package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"kith/app"
)

// Print writes a command's result to its stdout: as one JSON document with --json, else as a person reads it.
func Print(cmd *cobra.Command, v any) error {
	w := cmd.OutOrStdout()
	if JSON(cmd) {
		if r, ok := v.(app.Resulter); ok {
			v = r.Result()
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	if t, ok := v.(app.Texter); ok {
		return t.WriteText(w, width(w))
	}
	_, err := fmt.Fprintf(w, "%+v\n", v)
	return err
}
