package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kith"
	"kith/api"
	"kith/app"
)

// An input is how a command line gives an operation its input.
type input struct {
	fields []app.Field
	args   []app.Field // those that are positional, in their order
	app    app.App     // that the operation is of
}

// newInput checks that the tags of an operation's input make a command.
func newInput(op app.Op) (*input, error) {
	in := &input{fields: app.Fields(op.In)}
	for _, f := range in.fields {
		if f.Arg >= 0 {
			in.args = append(in.args, f)
		}
	}
	slices.SortStableFunc(in.args, func(a, b app.Field) int { return a.Arg - b.Arg })
	for i, f := range in.args {
		switch {
		case f.Arg != i:
			return nil, fmt.Errorf("argument %s has number %d, want %d: %w", f.Name, f.Arg, i, kith.Invalid)
		case isList(f) && i < len(in.args)-1:
			return nil, fmt.Errorf("argument %s takes all that follow, and is not the last: %w", f.Name, kith.Invalid)
		case i > 0 && in.args[i-1].Optional && !f.Optional:
			return nil, fmt.Errorf("argument %s is needed, the one before it is not: %w", f.Name, kith.Invalid)
		}
	}
	return in, nil
}

func isList(f app.Field) bool { return f.Type.Kind() == reflect.Slice && !isText(f.Type) }

// isText reports whether values of t are written as text.
func isText(t reflect.Type) bool {
	_, ok := reflect.New(t).Interface().(interface{ UnmarshalText([]byte) error })
	return ok || t.Kind() == reflect.String
}

// usage returns the arguments as help shows them.
func (in *input) usage() string {
	var words []string
	for _, f := range in.args {
		word := strings.ToUpper(strings.ReplaceAll(f.Name, "_", "-"))
		if isList(f) {
			word += "..."
		}
		if f.Optional {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	if slices.ContainsFunc(in.fields, func(f app.Field) bool { return f.Arg < 0 && !f.Secret }) {
		words = append(words, "[flags]")
	}
	return strings.Join(words, " ")
}

// addFlags defines a flag for each field that is neither an argument nor a secret.
func (in *input) addFlags(cmd *cobra.Command) error {
	for _, f := range in.fields {
		if f.Arg >= 0 || f.Secret {
			continue
		}
		doc := f.Doc
		if f.Enum != nil {
			doc = strings.TrimSpace(doc + " (" + strings.Join(f.Enum, ", ") + ")")
		}
		v := &flagValue{field: f, text: f.Default}
		flag := cmd.Flags().VarPF(v, flagName(f), f.Short, doc)
		if f.Type.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
		if err := cmd.RegisterFlagCompletionFunc(flag.Name, in.completeField(f)); err != nil {
			return err
		}
	}
	return nil
}

func flagName(f app.Field) string { return strings.ReplaceAll(f.Name, "_", "-") }

func (in *input) completeField(f app.Field) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		switch {
		case f.Path, f.Maybe:
			return nil, cobra.ShellCompDirectiveDefault
		case f.Suggest != "":
			return in.ask(cmd, f.Suggest), cobra.ShellCompDirectiveNoFileComp
		}
		return f.Enum, cobra.ShellCompDirectiveNoFileComp
	}
}

const askTime = 2 * time.Second // for which a person who pressed Tab waits at most

// ask has the node say what it suggests, by the operation of that name; nothing if none runs.
func (in *input) ask(cmd *cobra.Command, name string) []string {
	i := slices.IndexFunc(in.app.Ops, func(op app.Op) bool { return op.Name == name })
	c, err := api.Dial(Dir(cmd))
	if i < 0 || err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), askTime)
	defer cancel()
	for v, err := range c.Call(ctx, in.app.Name, in.app.Ops[i], map[string]any{}) {
		if s, ok := as[app.Suggester](v); ok && err == nil {
			return s.Suggest()
		}
	}
	return nil
}

// complete suggests values for the next argument.
func (in *input) complete(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
	i := len(args)
	if n := len(in.args); n > 0 && i >= n && isList(in.args[n-1]) {
		i = n - 1
	}
	if i >= len(in.args) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return in.completeField(in.args[i])(cmd, args, start)
}

// check refuses a wrong number of arguments.
func (in *input) check(cmd *cobra.Command, args []string) error {
	see := "see: " + cmd.CommandPath() + " --help"
	for i, f := range in.args {
		if i >= len(args) && !f.Optional {
			return kith.Hint(fmt.Errorf("%s needs %s (%s): %w", cmd.CommandPath(), strings.ToUpper(f.Name), f.Doc, kith.Invalid), "%s", see)
		}
	}
	n := len(in.args)
	if len(args) <= n || n > 0 && isList(in.args[n-1]) {
		return nil
	}
	if n == 0 && cmd.HasAvailableSubCommands() {
		return unknownCommand(cmd, args)
	}
	if words := asWords(cmd, args); words != "" {
		see = words
	}
	return kith.Hint(fmt.Errorf("%s takes no argument %q: %w", cmd.CommandPath(), args[n], kith.Invalid), "%s", see)
}

// values returns the operation's input as a JSON object of what was given; the node fills in defaults.
func (in *input) values(cmd *cobra.Command, args []string) (map[string]any, error) {
	m := map[string]any{}
	for i, f := range in.args {
		if i >= len(args) {
			break
		}
		given := args[i : i+1]
		if isList(f) {
			given = args[i:]
		}
		v, err := parse(f, given)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.ToUpper(f.Name), err)
		}
		m[f.Name] = v
	}
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if v, ok := flag.Value.(*flagValue); ok {
			m[v.field.Name] = v.value
		}
	})
	ask := newAsker(cmd)
	for _, f := range in.fields {
		if !f.Secret || f.With != "" && m[f.With] != true || f.Arg >= 0 && m[f.Name] != "-" {
			continue
		}
		text, err := ask.secret(cmd.Context(), f)
		if err != nil {
			return nil, err
		}
		if f.Arg >= 0 && text == "" { // left out it means something else
			return nil, fmt.Errorf("%s: nothing was given for it: %w", strings.ToUpper(f.Name), kith.Invalid)
		}
		if isList(f) {
			m[f.Name] = strings.Fields(text)
		} else {
			m[f.Name] = text
		}
	}
	return m, nil
}

// A flagValue is a flag of a field's type.
type flagValue struct {
	field app.Field
	text  string   // as it was last given, or the default
	given []string // all, of a list
	value any
}

// Set implements pflag.Value.
func (v *flagValue) Set(text string) error {
	given := []string{text}
	if isList(v.field) {
		v.given = append(v.given, text)
		given = v.given
	}
	value, err := parse(v.field, given)
	if err == nil {
		v.value, v.text = value, strings.Join(given, ",")
	}
	return err
}

// String implements pflag.Value.
func (v *flagValue) String() string { return v.text }

// Type implements pflag.Value: it is what help calls the value.
func (v *flagValue) Type() string {
	switch {
	case v.field.Path:
		return "path"
	case isText(v.field.Type):
		return "string"
	case isList(v.field):
		return "list"
	}
	return v.field.Type.Kind().String()
}

// parse returns what was given for a field as JSON.
func parse(f app.Field, given []string) (any, error) {
	if isList(f) {
		list := make([]any, len(given))
		for i, text := range given {
			v, err := scalar(f, f.Type.Elem(), text)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	return scalar(f, f.Type, given[0])
}

// isFile reports whether there is a file of that name here.
func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

func scalar(f app.Field, t reflect.Type, text string) (any, error) {
	if f.Enum != nil && !slices.Contains(f.Enum, text) {
		return nil, fmt.Errorf("%q is none of %s: %w", text, strings.Join(f.Enum, ", "), kith.Invalid)
	}
	switch {
	case f.Path && text == "":
		return nil, fmt.Errorf("the path is empty: %w", kith.Invalid)
	case !utf8.ValidString(text): // JSON would make another name of it
		return nil, fmt.Errorf("%q is not UTF-8: %w", text, kith.Invalid)
	case f.Path, f.Maybe && isFile(text):
		return absolute(text), nil
	case isText(t):
		return text, nil
	}
	v := reflect.New(t)
	if err := json.Unmarshal([]byte(text), v.Interface()); err != nil {
		return nil, fmt.Errorf("%q is no %s: %w", text, t.Kind(), kith.Invalid)
	}
	return v.Elem().Interface(), nil
}
