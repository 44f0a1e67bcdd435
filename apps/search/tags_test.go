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

// Tags can be said as something is shared or published: what is told first has them, a mistake in them stops it, and a later sharing leaves them as they are.
func TestTagsOfShare(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	share(t, a, "record.flac", "1", files.ShareIn{For: "public", Labels: files.Labels{Tag: []string{"Vinyl", "jazz"}, Lang: "de"}})
	r := until(t, b, "tag:vinyl tag:jazz lang:de", "what was shared with tags is not found by them", one).Results[0]
	if r.Name != "record.flac" {
		t.Errorf("%+v", r)
	}
	share(t, a, "book.txt", "2", files.ShareIn{})
	publish := func(l files.Labels) error {
		return a.Call(t.Context(), "files", "publish", files.PublishIn{Ref: "book.txt", For: "public", Labels: l}, new(any))
	}
	if err := publish(files.Labels{Tag: []string{"novel"}, Lang: "german"}); !errors.Is(err, kith.Invalid) {
		t.Errorf("a language that is none: %v", err)
	}
	if err := a.Call(t.Context(), "files", "share", files.ShareIn{Paths: []string{"/nowhere"}, Labels: files.Labels{Tag: []string{strings.Repeat("a", 33)}}}, new(any)); !errors.Is(err, kith.Invalid) {
		t.Errorf("a tag that is none: %v", err)
	}
	if out := find(t, b, "book"); !none(out) {
		t.Errorf("it was published in spite of the mistake: %+v", out)
	}
	if err := publish(files.Labels{Tag: []string{"novel"}, Lang: "fr"}); err != nil {
		t.Fatal(err)
	}
	until(t, b, "tag:novel lang:fr", "what was published with tags is not found by them", one)
	if err := publish(files.Labels{Lang: "none"}); err != nil {
		t.Fatal(err)
	}
	if r := until(t, a, "tag:novel -lang:fr", "a language that was taken back is still there", one).Results[0]; r.Language != "" {
		t.Errorf("%+v", r)
	}
}
