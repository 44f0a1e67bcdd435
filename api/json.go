package api

import (
	"encoding"
	"encoding/json"
	"reflect"
)

// encode returns v as JSON on one line, with [] for an empty list and never null, as the OpenAPI document says.
func encode(v any) ([]byte, error) {
	if v == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(full(reflect.ValueOf(v)).Interface())
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// full returns v with an empty list in place of each nil one, in a copy where it must differ.
func full(v reflect.Value) reflect.Value {
	t := v.Type()
	if t.Implements(jsonMarshaler) || t.Implements(textMarshaler) {
		return v
	}
	switch v.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return v
		}
		list := reflect.MakeSlice(t, v.Len(), v.Len())
		for i := range v.Len() {
			list.Index(i).Set(full(v.Index(i)))
		}
		return list
	case reflect.Struct:
		s := reflect.New(t).Elem()
		s.Set(v)
		for i := range v.NumField() {
			if t.Field(i).IsExported() {
				s.Field(i).Set(full(v.Field(i)))
			}
		}
		return s
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(full(v.Elem()))
		return p
	}
	return v
}
