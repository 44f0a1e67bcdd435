package index

import (
	"testing"

	"kith"
)

// What is doubted comes behind what has as many of the words, and before what lacks one; so does what who is doubted alone has.
func TestDoubt(t *testing.T) {
	x := open(t, Options{})
	bad, fine := kith.RawRef([32]byte{1}), kith.RawRef([32]byte{2})
	put(t, x,
		doc("blue", func(d *Doc) { d.Root, d.Publisher = bad, "ann" }),
		doc("a very long name in which there stands blue and much else", func(d *Doc) { d.Root, d.Publisher = fine, "bob" }),
	)
	const long = "a very long name in which there stands blue and much else"
	if r := find(t, x, "blue"); r.Hits[0].Name != "blue" {
		t.Fatalf("without doubt %q is the first", r.Hits[0].Name)
	}
	for name, o := range map[string]SearchOptions{
		"the content":   {Doubt: map[kith.Ref]float64{bad: 20}},
		"the publisher": {Trust: map[string]float64{"ann": -20}},
	} {
		if r := find(t, x, "blue", o); len(r.Hits) != 2 || r.Hits[0].Name != long {
			t.Errorf("%s: %q is the first of %d", name, r.Hits[0].Name, len(r.Hits))
		}
	}
	put(t, x, doc("blue", func(d *Doc) { d.ID, d.Root, d.Publisher = "another", bad, "carl" }))
	if r := find(t, x, "blue", SearchOptions{Trust: map[string]float64{"ann": -20}}); r.Hits[0].Name != "blue" {
		t.Errorf("what others have too is doubted with one who has it: %q is the first", r.Hits[0].Name)
	}
}
