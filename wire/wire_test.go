package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"kith"
)

type greeting struct {
	Text string `cbor:"1,keyasint"`
	N    []int  `cbor:"2,keyasint,omitempty"`
}

func TestMessagesFollowEachOther(t *testing.T) {
	var buf bytes.Buffer
	want := []greeting{{Text: "hello"}, {Text: strings.Repeat("x", 300), N: []int{1, -2}}}
	for _, g := range want {
		if err := WriteMsg(&buf, g); err != nil {
			t.Fatal(err)
		}
	}
	buf.WriteString("tail")
	r := bufio.NewReader(&buf)
	for _, g := range want {
		var got greeting
		if err := ReadMsg(r, 1000, &got); err != nil || got.Text != g.Text || len(got.N) != len(g.N) {
			t.Fatalf("read %+v, %v; want %+v", got, err, g)
		}
	}
	if rest, _ := io.ReadAll(r); string(rest) != "tail" {
		t.Errorf("behind the messages stands %q, want the tail untouched", rest)
	}
}

func TestReadRefuses(t *testing.T) {
	frame := func(v any) string {
		b, err := AppendMsg(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	deep := any("bottom")
	for range MaxDepth + 1 {
		deep = []any{deep}
	}
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", io.EOF},
		{"cut length", "\x80", io.ErrUnexpectedEOF},
		{"cut body", "\x05ab", io.ErrUnexpectedEOF},
		{"no body", "\x05", io.ErrUnexpectedEOF},
		{"too long", frame(greeting{Text: strings.Repeat("x", 200)}), kith.TooLarge},
		{"length of 2^64", strings.Repeat("\xff", 9) + "\x02", kith.Invalid},
		{"length in long form", "\x85\x00hello", kith.Invalid},
		{"not CBOR", "\x01\xff", kith.Invalid},
		{"empty frame", "\x00", kith.Invalid},
		{"bytes behind the value", "\x03\xa0\x00\x00", kith.Invalid},
		{"a key twice", "\x07\xa2\x01\x61a\x01\x61b", kith.Invalid},
		{"indefinite length", "\x02\xbf\xff", kith.Invalid},
		{"a tag", "\x02\xc0\xa0", kith.Invalid},
		{"too deep", frame(deep), kith.Invalid},
		{"too wide", "\x05\x9a\x7f\xff\xff\xff", kith.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var g greeting
			if err := ReadMsg(bufio.NewReader(strings.NewReader(tt.in)), 100, &g); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestUnknownKeysArePassedOver(t *testing.T) {
	data, err := Marshal(map[int]any{1: "hello", 9: "from the future"})
	if err != nil {
		t.Fatal(err)
	}
	var g greeting
	if err := Unmarshal(data, &g); err != nil || g.Text != "hello" {
		t.Errorf("got %+v, %v", g, err)
	}
}

func FuzzReadMsg(f *testing.F) {
	f.Add([]byte("\x08\xa1\x01\x65hello"))
	f.Add([]byte("\x0d\xa2\x01\x65hello\x02\x82\x01\x20"))
	f.Add([]byte("\x05\x9a\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var g greeting
		if err := ReadMsg(bufio.NewReader(bytes.NewReader(in)), 1<<16, &g); err != nil {
			return
		}
		var buf bytes.Buffer
		if err := WriteMsg(&buf, g); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		var again greeting
		if err := ReadMsg(bufio.NewReader(&buf), 1<<20, &again); err != nil || again.Text != g.Text {
			t.Fatalf("%+v became %+v, %v", g, again, err)
		}
	})
}
