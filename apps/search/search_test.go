package search_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/app"
	"kith/apps"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	"kith/network"
	"kith/transfer"
)

// A tap hears all that search says to others, before it is encrypted.
type tap struct {
	mu    sync.Mutex
	heard bytes.Buffer
}

// build makes applications whose searches the tap hears.
func (w *tap) build() ([]app.App, transfer.Guard) {
	list, guard := apps.New()
	for i := range list {
		if list[i].Name != "search" {
			continue
		}
		for k := range list[i].Protocols {
			p := &list[i].Protocols[k]
			serve := p.Serve
			p.Serve = func(ctx context.Context, s network.Stream) error { return serve(ctx, tapped{s, w}) }
		}
		start := list[i].Start
		list[i].Start = func(ctx context.Context, env app.Env) error {
			env.Net = dialer{env.Net, w}
			return start(ctx, env)
		}
	}
	return list, guard
}

type dialer struct {
	app.Dialer
	w *tap
}

func (d dialer) Open(ctx context.Context, to peer.ID, p protocol.ID) (network.Stream, error) {
	s, err := d.Dialer.Open(ctx, to, p)
	if err != nil {
		return nil, err
	}
	return tapped{s, d.w}, nil
}

type tapped struct {
	network.Stream
	w *tap
}

func (s tapped) Write(p []byte) (int, error) {
	s.w.mu.Lock()
	s.w.heard.Write(p)
	s.w.mu.Unlock()
	return s.Stream.Write(p)
}

func share(t *testing.T, n *apptest.Node, name, content string, in files.ShareIn) files.Shared {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	in.Paths = []string{path}
	var out files.ShareOut
	if err := n.Call(t.Context(), "files", "share", in, &out); err != nil {
		t.Fatal(err)
	}
	return out.Shared[0]
}

func find(t *testing.T, n *apptest.Node, words string) search.SearchOut {
	t.Helper()
	var out search.SearchOut
	if err := n.Call(t.Context(), "search", "search", search.SearchIn{Words: []string{words}}, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// until searches again and again until the results are as wanted.
func until(t *testing.T, n *apptest.Node, words, what string, wanted func(search.SearchOut) bool) search.SearchOut {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out := find(t, n, words)
		if wanted(out) {
			return out
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %+v", what, out)
		}
	}
}

func one(out search.SearchOut) bool  { return len(out.Results) == 1 }
func none(out search.SearchOut) bool { return len(out.Results) == 0 }

// What is for everybody is found by everybody, also by who is only connected to somebody who knows of it, and is fetched by what was found; what is not is found by
// who has it, and no byte of its name leaves the node.
func TestFind(t *testing.T) {
	var w tap
	net := apptest.New(t, 3, w.build) // 1 and 2 know 0 alone
	share(t, net.Node(1), "Kind of Blue.flac", "blue", files.ShareIn{For: "public"})
	share(t, net.Node(1), "Diary of Winter.txt", "secret", files.ShareIn{})
	share(t, net.Node(1), "Letters of Autumn.txt", "more", files.ShareIn{For: "contacts"})
	share(t, net.Node(1), "Poems of Spring.txt", "yet more", files.ShareIn{For: "public", Private: true})
	out := until(t, net.Node(2), "blue", "what is public is not found", one)
	if r := out.Results[0]; r.Name != "Kind of Blue.flac" || r.Type != "audio" || r.Sources != 1 || r.Here || r.Size != 4 {
		t.Errorf("%+v", r)
	}
	for _, word := range []string{"winter", "autumn", "spring"} {
		if out := until(t, net.Node(1), word, "who has it does not find it", one); !out.Results[0].Here {
			t.Errorf("%+v", out)
		}
		for _, i := range []int{0, 2} {
			if out := find(t, net.Node(i), word); !none(out) {
				t.Errorf("node %d found %+v", i, out)
			}
		}
	}
	w.mu.Lock()
	heard := strings.ToLower(w.heard.String())
	w.mu.Unlock()
	for word, want := range map[string]bool{"blue": true, "winter": false, "autumn": false, "spring": false} {
		if strings.Contains(heard, word) != want {
			t.Errorf("%q was said: %v", word, !want)
		}
	}
	var got search.SearchOut
	if err := net.Node(2).Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"blue"}, Get: 1}, &got); err != nil || got.Fetching != "Kind of Blue.flac" {
		t.Fatalf("%+v, %v", got, err)
	}
	until(t, net.Node(2), "blue", "what was fetched is not here", func(out search.SearchOut) bool { return one(out) && out.Results[0].Here })
}

// What is no longer for everybody is found by nobody else; what somebody takes off their list neither.
func TestTakeBack(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	a, b := net.Node(0), net.Node(1)
	share(t, a, "one.txt", "1", files.ShareIn{For: "public"})
	share(t, a, "two.txt", "2", files.ShareIn{})
	until(t, b, "one", "what is public is not found", one)
	if err := a.Call(t.Context(), "files", "publish", files.PublishIn{Ref: "two.txt", For: "public"}, new(any)); err != nil {
		t.Fatal(err)
	}
	until(t, b, "two", "what was made public is not found", one)
	if err := a.Call(t.Context(), "files", "unpublish", files.UnpublishIn{Ref: "two.txt", For: "link"}, new(any)); err != nil {
		t.Fatal(err)
	}
	if err := a.Call(t.Context(), "files", "rm", files.RmIn{Ref: "one.txt"}, new(any)); err != nil {
		t.Fatal(err)
	}
	until(t, b, "two", "what is public no longer is still found", none)
	until(t, b, "one", "what was removed is still found", none)
	until(t, a, "two", "who has it does not find it", one)
	net.Restart(1)
	if out := find(t, net.Node(1), "two"); !none(out) {
		t.Errorf("after a restart: %+v", out)
	}
}

// What is found has been kept over a restart, without who shares it; the same bytes under two names are one result; a contact's come first, and can be asked for.
func TestNames(t *testing.T) {
	var w tap
	net := apptest.New(t, 3, w.build)
	share(t, net.Node(1), "holiday film.mkv", "same", files.ShareIn{For: "public"})
	share(t, net.Node(2), "summer holiday.mkv", "same", files.ShareIn{For: "public"})
	share(t, net.Node(2), "holiday film two.mkv", "other", files.ShareIn{For: "public"})
	out := until(t, net.Node(0), "holiday", "not all is found", func(out search.SearchOut) bool {
		return len(out.Results) == 2 && out.Results[0].Sources+out.Results[1].Sources == 3
	})
	who := map[string]string{"name": "Anna", "peer": net.Node(1).Network().ID().String()}
	if err := net.Node(0).Call(t.Context(), "node", "people add", who, new(any)); err != nil {
		t.Fatal(err)
	}
	net.Node(1).Stop()
	net.Node(2).Stop()
	net.Restart(0)
	if out = find(t, net.Node(0), "holiday by:@anna"); !one(out) || len(out.Results[0].From) != 1 || out.Results[0].From[0] != "Anna" {
		t.Errorf("by a contact: %+v", out)
	}
	if out = find(t, net.Node(0), "holiday"); len(out.Results) != 2 || len(out.Results[0].From) != 1 {
		t.Errorf("a contact's is not first: %+v", out)
	}
	if out = find(t, net.Node(0), "holidya"); len(out.Results) != 2 || !out.Corrected {
		t.Errorf("with a mistake: %+v", out)
	}
}

func TestRefused(t *testing.T) {
	var w tap
	n := apptest.New(t, 1, w.build).Node(0)
	for name, c := range map[string]struct {
		in   search.SearchIn
		kind kith.Kind
		says string
	}{
		"nothing":          {search.SearchIn{}, kith.Invalid, ""},
		"broken":           {search.SearchIn{Words: []string{`"open`}}, kith.Invalid, "byte 0"},
		"no filter":        {search.SearchIn{Words: []string{"a colour:red"}}, kith.Invalid, "colour"},
		"no such type":     {search.SearchIn{Words: []string{"a"}, Type: "smell"}, kith.Invalid, "smell"},
		"much":             {search.SearchIn{Words: []string{"a"}, Limit: 501}, kith.Invalid, "501"},
		"a stranger":       {search.SearchIn{Words: []string{"a"}, By: "@nobody"}, kith.NotFound, "nobody"},
		"no such result":   {search.SearchIn{Words: []string{"a"}, Get: 3}, kith.NotFound, "3"},
		"ten thousand":     {search.SearchIn{Words: []string{strings.Repeat("word ", 10000)}}, kith.TooLarge, ""},
		"one less of much": {search.SearchIn{Words: []string{"a"}, Limit: -1}, kith.Invalid, "-1"},
	} {
		err := n.Call(t.Context(), "search", "search", c.in, new(any))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
