package search_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
)

// news waits until a saved search has something new.
func news(t *testing.T, n *apptest.Node, name string) search.News {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out := call[search.SavedOut](t, n, "search saved", search.None{})
		for _, one := range out.Saved {
			if one.Name == name && len(one.News) > 0 {
				return one.News[0]
			}
		}
		if time.Now().After(end) {
			t.Fatalf("nothing new for %s: %+v", name, out)
		}
	}
}

// What comes after a search was saved and answers it is new for it, once, also over restarts; what was there before, what lacks a word and what one has oneself is not.
func TestSaved(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	share(t, b, "old jazz.flac", "1", files.ShareIn{For: "public"})
	until(t, a, "jazz", "what is public is not found", one)
	var out search.SearchOut
	if err := a.Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"jazz"}, Type: "audio", Save: "music"}, &out); err != nil || out.Saved != "music" || !one(out) {
		t.Fatalf("%+v, %v", out, err)
	}
	for i, text := range []string{"three words together", "by:@nobody"} {
		name := fmt.Sprint(i)
		err := a.Call(t.Context(), "search", "search", search.SearchIn{Words: []string{text}, Save: name}, new(any))
		if (i == 1) != errors.Is(err, kith.NotFound) {
			t.Fatalf("%s: %v", text, err)
		}
	}
	net.Restart(0)
	a = net.Node(0)
	share(t, a, "my jazz.flac", "2", files.ShareIn{For: "public"})
	share(t, b, "jazz.txt", "3", files.ShareIn{For: "public"})
	share(t, b, "three words.txt", "4", files.ShareIn{For: "public"})
	share(t, b, "new jazz.flac", "5", files.ShareIn{For: "public"})
	if n := news(t, a, "music"); n.Name != "new jazz.flac" || n.Size != 1 {
		t.Errorf("%+v", n)
	}
	share(t, b, "all three words together.txt", "6", files.ShareIn{For: "public"})
	if n := news(t, a, "0"); n.Name != "all three words together.txt" {
		t.Errorf("%+v", n)
	}
	saved := call[search.SavedOut](t, a, "search saved seen", search.SavedIn{Name: "music"})
	if len(saved.Saved) != 2 || len(saved.Saved[0].News) != 1 || len(saved.Saved[1].News) != 0 || saved.Saved[1].Query != "jazz type:audio" {
		t.Errorf("%+v", saved)
	}
	if saved = call[search.SavedOut](t, a, "search saved rm", search.SavedIn{Name: "0"}); len(saved.Saved) != 1 {
		t.Errorf("%+v", saved)
	}
	for name, c := range map[string]struct {
		op   string
		in   any
		kind kith.Kind
	}{
		"no such search": {"search saved rm", search.SavedIn{Name: "0"}, kith.NotFound},
		"none to look":   {"search saved seen", search.SavedIn{Name: "x"}, kith.NotFound},
		"a long name":    {"search", search.SearchIn{Words: []string{"a"}, Save: strings.Repeat("a", 65)}, kith.Invalid},
		"two lines":      {"search", search.SearchIn{Words: []string{"a"}, Save: "a\nb"}, kith.Invalid},
		"nothing":        {"search", search.SearchIn{Save: "a"}, kith.Invalid},
	} {
		if err := a.Call(t.Context(), "search", c.op, c.in, new(any)); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
