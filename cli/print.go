package cli

import (
	"encoding/json"
	"reflect"

	"github.com/spf13/cobra"

	"kith/app"
)

// Print writes a command's result to its stdout: as one JSON document with --json, else as a person reads it.
func Print(cmd *cobra.Command, v any) error {
	w := cmd.OutOrStdout()
	if JSON(cmd) {
		if r, ok := as[app.Resulter](v); ok {
			v = r.Result()
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	if t, ok := as[app.Texter](v); ok {
		return t.WriteText(w, width(w))
	}
	return writeAny(w, v)
}

// as returns v, or a pointer to it, as an interface that it implements.
func as[I any](v any) (I, bool) {
	if i, ok := v.(I); ok {
		return i, true
	}
	var none I
	if v == nil {
		return none, false
	}
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	i, ok := p.Interface().(I)
	return i, ok
}
