package app

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Field is a member of an Op's input or output, with what its tags say.
type Field struct {
	Name     string // in JSON
	Index    []int  // as reflect.Value.FieldByIndex takes it
	Type     reflect.Type
	Doc      string
	Optional bool     // it may be left out
	Arg      int      // number of the positional argument; -1: it is a flag
	Short    string   // the flag's one-letter form
	Path     bool     // it is a path, or a list of them
	Maybe    bool     // it may be the path of a file
	Enum     []string // values that it may have; nil for any
	Default  string   // value that it has when left out
	Suggest  string   // name of the op of the same app whose output, a Suggester, has values that it may have
	Secret   bool     // it is asked for without echo
	New      bool     // it is a new secret, asked for twice
	With     string   // Name of the switch without which a secret is not asked for
}

// Fields returns the members of an input or output type, those of embedded structs among them, in their order.
func Fields(t reflect.Type) []Field { return fields(t, nil) }

func fields(t reflect.Type, outer []int) []Field {
	var all []Field
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(outer), i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			all = append(all, fields(f.Type, index)...)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		arg, err := strconv.Atoi(f.Tag.Get("arg"))
		if err != nil {
			arg = -1
		}
		secret := f.Tag.Get("secret")
		field := Field{
			Name: name, Index: index, Type: f.Type, Doc: f.Tag.Get("doc"), Arg: arg, Short: f.Tag.Get("short"),
			Optional: strings.Contains(rest, "omitempty") || strings.Contains(rest, "omitzero"),
			Path:     f.Tag.Get("path") == "true", Maybe: f.Tag.Get("path") == "maybe", Default: f.Tag.Get("default"), Suggest: f.Tag.Get("suggest"),
			Secret: secret != "", New: secret == "new", With: f.Tag.Get("with"),
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			field.Enum = strings.Split(enum, ",")
		}
		all = append(all, field)
	}
	return all
}
