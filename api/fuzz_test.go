package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"kith/app"
)

// FuzzValues: whatever a node sends, the client ends, and what a node does send comes out as it went in.
func FuzzValues(f *testing.F) {
	for _, s := range []string{
		"", ":\n\n", "data: {}\n\n", "data: 1\ndata: 2\n\nevent: end\ndata: {}\n\n", "event: error\ndata: {\"status\":404,\"detail\":\"x\"}\n\n",
		"event: error\ndata: [\n\n", "data\n\n", "data:1\r\n\r\n", "event: other\ndata: 1\n\n", "id: 1\nretry: 5\n\n", "data: 1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		for v, err := range values(bytes.NewReader(data)) {
			if err != nil && v != nil {
				t.Errorf("value %q with error %v", v, err)
			}
			n++
		}
		if n > len(data)/len("data\n\n")+1 {
			t.Errorf("%d values of %d bytes", n, len(data))
		}
		text, err := json.Marshal(string(data))
		if err != nil {
			t.Fatal(err)
		}
		sent := append(event("", text), event("end", []byte("{}"))...)
		var got []string
		for v, err := range values(bytes.NewReader(sent)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(v))
		}
		if want := []string{string(text)}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// FuzzInput: what passes the schema decodes, and nothing that does is lost.
func FuzzInput(f *testing.F) {
	for _, s := range []string{`{"text":"a"}`, `{"text":"a","times":1e2,"loud":true}`, `{"text":"a","paths":["x"]}`, `null`, `[]`, `{"text":"a","text":1}`} {
		f.Add(s)
	}
	calls, _, err := describe([]app.App{{Name: "fake", Ops: []app.Op{app.NewOp("echo", "", echo)}}}, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if calls[0].validate([]byte(s)) != nil {
			return
		}
		var in EchoIn
		if err := calls[0].decode([]byte(s), &in); err == nil && in.For != "link" && in.For != "contacts" && !strings.Contains(s, `\`) {
			t.Errorf("%s gave %+v", s, in)
		}
	})
}
