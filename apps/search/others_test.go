package search_test

import (
	"bytes"
	"context"
	"testing"

	"kith/app"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	"kith/config"
	"kith/transfer"
)

// with makes applications of which search has these settings.
func (w *tap) with(t testing.TB, section string) func() ([]app.App, transfer.Guard) {
	c, err := config.Parse([]byte("[apps.search]\n" + section))
	if err != nil {
		t.Fatal(err)
	}
	return func() ([]app.App, transfer.Guard) {
		list, guard := w.build()
		for i := range list {
			if start := list[i].Start; list[i].Name == "search" {
				list[i].Start = func(ctx context.Context, env app.Env) error {
					env.Config = func(into any) error { return c.Section("search", into) }
					return start(ctx, env)
				}
			}
		}
		return list, guard
	}
}

// What a device publishes beyond what others keep of it is found by asking it, by whoever has heard of its filter, though the two were never connected, and is fetched; what is
// not public is found by nobody, and no word of it leaves the node.
func TestAsk(t *testing.T) {
	for _, overlay := range []string{"", "chord", "pastry", "kademlia"} {
		t.Run("overlay "+overlay, func(t *testing.T) {
			var w tap
			net := apptest.NewOn(t, overlay, 3, w.with(t, "of_stranger = 1")) // 1 and 2 know 0 alone
			names := []string{"Kind of Blue.flac", "Giant Steps.flac", "Mingus Ah Um.flac", "Maiden Voyage.flac"}
			for _, name := range names {
				share(t, net.Node(1), name, name, files.ShareIn{For: "public"})
			}
			share(t, net.Node(1), "Diary of Winter.txt", "secret", files.ShareIn{})
			share(t, net.Node(1), "Letters of Autumn.txt", "more", files.ShareIn{For: "contacts"})
			share(t, net.Node(1), "Poems of Spring.txt", "yet more", files.ShareIn{For: "public", Private: true})
			asked := 0
			for _, word := range []string{"blue", "steps", "mingus", "voyage"} {
				out := until(t, net.Node(2), word, "what a device has beyond what is kept of it is not found", one)
				if r := out.Results[0]; r.Sources != 1 || r.Here || r.Type != "audio" || len(r.Strangers) != 1 || r.Strangers[0] != net.Node(1).Network().ID() {
					t.Errorf("%+v", r)
				}
				if out.Asked > 0 {
					asked++
				}
				if out.Asked > 1 || out.Answered != out.Asked {
					t.Errorf("%s: asked %d, %d answered", word, out.Asked, out.Answered)
				}
			}
			if asked < 3 { // one of the four is kept by everybody
				t.Errorf("for %d of four was asked", asked)
			}
			for _, word := range []string{"winter", "autumn", "spring"} {
				if out := find(t, net.Node(2), word); !none(out) || out.Asked > 0 {
					t.Errorf("%s: %+v", word, out)
				}
			}
			w.mu.Lock()
			heard := w.heard.String()
			w.mu.Unlock()
			for _, word := range []string{"Winter", "Autumn", "Spring", "Diary", "Poems"} {
				if bytes.Contains([]byte(heard), []byte(word)) {
					t.Errorf("%s was said on the wire", word)
				}
			}
			out := find(t, net.Node(2), "steps")
			var got search.SearchOut
			if err := net.Node(2).Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"steps"}, Get: 1}, &got); err != nil || got.Fetching != out.Results[0].Name {
				t.Fatalf("fetching %+v, %v", got, err)
			}
			until(t, net.Node(2), "steps", "it was not fetched", func(out search.SearchOut) bool { return one(out) && out.Results[0].Here })
		})
	}
}
