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
		if v.IsNil() {
			return reflect.MakeSlice(t, 0, 0)
		}
		if scalar(t.Elem()) {
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
			if f := t.Field(i); f.IsExported() && !scalar(f.Type) {
				s.Field(i).Set(full(v.Field(i)))
			}
		}
		return s
	case reflect.Map:
		m := reflect.MakeMapWithSize(t, v.Len())
		for k, e := range v.Seq2() {
			m.SetMapIndex(k, full(e))
		}
		return m
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return v
		}
		if v.Kind() == reflect.Interface {
			return full(v.Elem())
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(full(v.Elem()))
		return p
	}
	return v
}

// scalar reports whether values of t hold no list.
func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Struct, reflect.Map, reflect.Pointer, reflect.Interface:
		return false
	}
	return true
}
