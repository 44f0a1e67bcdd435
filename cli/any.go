package cli

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"kith/app"
	"kith/internal/plain"
)

// writeAny writes a value that does not know how people read it: a struct as lines of name and value, a list of structs as a table.
// What is empty is left out.
func writeAny(w io.Writer, v any) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	r := reflect.ValueOf(v)
	switch {
	case isRows(r):
		writeTable(tw, r)
	case isRecord(r):
		writeRecord(tw, r)
	default:
		if text := cell(r); text != "" {
			fmt.Fprintln(tw, text)
		}
	}
	return tw.Flush()
}

func isRecord(r reflect.Value) bool {
	if r.Kind() != reflect.Struct {
		return false
	}
	_, text := r.Interface().(encoding.TextMarshaler)
	return !text
}

func isRows(r reflect.Value) bool {
	return r.Kind() == reflect.Slice && isRecord(reflect.Zero(r.Type().Elem()))
}

func writeRecord(w *tabwriter.Writer, r reflect.Value) {
	for _, f := range app.Fields(r.Type()) {
		v := r.FieldByIndex(f.Index)
		if isRows(v) {
			if v.Len() > 0 {
				w.Flush()
				fmt.Fprintf(w, "%s:\n", label(f))
				writeTable(w, v)
				w.Flush() // its columns are its own
			}
			continue
		}
		if text := cell(v); text != "" {
			fmt.Fprintf(w, "%s:\t%s\n", label(f), text)
		}
	}
}

func writeTable(w io.Writer, rows reflect.Value) {
	fields := app.Fields(rows.Type().Elem())
	var heads []string
	for _, f := range fields {
		heads = append(heads, strings.ToUpper(label(f)))
	}
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for i := range rows.Len() {
		var cells []string
		for _, f := range fields {
			cells = append(cells, cell(rows.Index(i).FieldByIndex(f.Index)))
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
}

func label(f app.Field) string { return strings.ReplaceAll(f.Name, "_", " ") }

// cell returns a value on one line, "" if it is empty.
func cell(r reflect.Value) string {
	if !r.IsValid() || r.IsZero() && r.Kind() != reflect.Bool {
		return ""
	}
	switch v := r.Interface().(type) {
	case time.Time:
		return v.Local().Format(time.DateTime)
	case encoding.TextMarshaler:
		text, _ := v.MarshalText()
		return plain.Text(string(text))
	}
	switch r.Kind() {
	case reflect.Slice:
		var all []string
		for i := range r.Len() {
			all = append(all, cell(r.Index(i)))
		}
		return strings.Join(all, " ")
	case reflect.Bool:
		if r.Bool() {
			return "yes"
		}
		return "no"
	case reflect.Pointer:
		return cell(r.Elem())
	case reflect.Float64:
		return fmt.Sprintf("%.1f", r.Float())
	}
	return plain.Text(fmt.Sprint(r.Interface()))
}
