package block

import (
	"errors"
	"strings"
	"testing"

	"kith"
)

const (
	publisher = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
)

var root = kith.RawRef([32]byte{1, 2, 3})

func TestParse(t *testing.T) {
	link := kith.Link{Ref: root, Name: "a b", Size: 3}
	text := "\ufeff# spam that I have met\r\n\r\n" + publisher + "  # sells pills\r\n\t" + root.String() + "\n" + link.String() + " # the same\n" + publisher
	list, err := Parse([]byte(text))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	if e := list[0]; e.What() != publisher || e.Why != "sells pills" || !e.Root.IsZero() {
		t.Errorf("%+v", e)
	}
	if e := list[1]; e.Root != root || e.Publisher != "" || e.Why != "" {
		t.Errorf("%+v", e)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		kind kith.Kind
		says string
	}{
		"a name":         {"# x\n" + publisher + "\nanna", kith.Invalid, "line 3"},
		"two in a line":  {publisher + " " + publisher, kith.Invalid, "line 1"},
		"another's CID":  {"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", kith.Invalid, "line 1"},
		"an infohash":    {strings.Repeat("a1", 20), kith.Invalid, "line 1"},
		"bytes":          {"\n\xff", kith.Invalid, "line 2"},
		"a long line":    {"\n\n#" + strings.Repeat("a", maxLine), kith.Invalid, "line 3"},
		"a large list":   {strings.Repeat("\n", MaxSize+1), kith.TooLarge, ""},
		"half a peer ID": {publisher[:20], kith.Invalid, "line 1"},
	} {
		if list, err := Parse([]byte(c.text)); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

// FuzzParse: what was read can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte("# x\n" + publisher + " # why\n" + root.String()))
	f.Add([]byte(kith.Link{Ref: root, Key: make([]byte, kith.KeySize)}.String() + "\t#\r\n"))
	f.Add([]byte("kith:\n12D3\n\ufeff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := Parse(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, e := range list {
			b.WriteString(e.What() + " # " + e.Why + "\n")
		}
		again, err := Parse([]byte(b.String()))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%q: %v, %v", b.String(), again, err)
		}
		for i := range list {
			if again[i] != list[i] {
				t.Errorf("%+v, then %+v", list[i], again[i])
			}
		}
	})
}
