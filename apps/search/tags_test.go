package search_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"kith"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
)

// What is said of an item is found by everybody if it is public, also after it was said anew and over a restart; else by who sits here.
func TestTags(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	share(t, a, "record.flac", "1", files.ShareIn{For: "public"})
	share(t, a, "letter.txt", "2", files.ShareIn{})
	call[search.TagOut](t, a, "search tag", search.TagIn{Item: "record", Tags: []string{"Vinyl", "hard  bop", "vinyl"}, Lang: "DE"})
	r := until(t, b, "tag:vinyl lang:de", "what is tagged is not found", one).Results[0]
	if !slices.Equal(r.Tags, []string{"vinyl", "hard bop"}) || r.Language != "de" {
		t.Errorf("%+v", r)
	}
	net.Restart(0)
	a = net.Node(0)
	call[search.TagOut](t, a, "search tag", search.TagIn{Item: "record.flac", Tags: []string{"mono"}})
	until(t, b, "tag:mono lang:de", "what is tagged anew is not found", one)
	until(t, b, "tag:vinyl", "what it was tagged is still found", none)
	if out := call[search.TagOut](t, a, "search tag", search.TagIn{Item: "letter", Tags: []string{"mysecrettag"}}); out.Public {
		t.Errorf("%+v", out)
	}
	until(t, a, "tag:mysecrettag", "who tagged it does not find it", one)
	w.mu.Lock()
	heard := w.heard.String()
	w.mu.Unlock()
	if strings.Contains(heard, "mysecrettag") || !strings.Contains(heard, "mono") {
		t.Error("the tag of what is not public was said, or that of what is was not")
	}
	for name, c := range map[string]struct {
		in   search.TagIn
		kind kith.Kind
	}{
		"nothing": {search.TagIn{Item: "nothing", Tags: []string{"a"}}, kith.NotFound},
		"two":     {search.TagIn{Item: "e", Tags: []string{"a"}}, kith.Invalid},
		"long":    {search.TagIn{Item: "record", Tags: []string{strings.Repeat("a", 33)}}, kith.Invalid},
		"many":    {search.TagIn{Item: "record", Tags: strings.Split("abcdefghi", "")}, kith.TooLarge},
		"german":  {search.TagIn{Item: "record", Lang: "german"}, kith.Invalid},
	} {
		if err := a.Call(t.Context(), "search", "search tag", c.in, new(any)); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
