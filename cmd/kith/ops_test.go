package main

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// What an operation gives is JSON when the command prints it: what it keeps in a field that JSON does not carry is not there any more.
func TestNothingIsLostOnTheWayToTheCommand(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(where string, typ reflect.Type)
	walk = func(where string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(where, typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		as := reflect.New(typ).Interface()
		_, writes := as.(json.Marshaler)
		_, text := as.(encoding.TextMarshaler)
		if seen[typ] || writes || text {
			return
		}
		seen[typ] = true
		for f := range typ.Fields() {
			if !f.IsExported() && !f.Anonymous || f.Tag.Get("json") == "-" {
				t.Errorf("%s: %s.%s is not in its JSON", where, typ, f.Name)
			}
			walk(where, f.Type)
		}
	}
	for _, a := range described() {
		for _, op := range a.Ops {
			walk(strings.TrimSpace(a.Name+" "+op.Name), op.Out)
		}
	}
	if len(seen) < 50 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}
