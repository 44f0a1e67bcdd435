package search_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kith/app"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	"kith/network"
	"kith/search/ask"
	"kith/transfer"
	"kith/wire"
)

func befriend(t *testing.T, n *apptest.Node, name string, who *apptest.Node) {
	t.Helper()
	in := map[string]string{"name": name, "peer": who.Network().ID().String()}
	if err := n.Call(t.Context(), "node", "people add", in, new(any)); err != nil {
		t.Fatal(err)
	}
}

// raw asks one node a question as another, again while it is told that it asks too often, and returns all bytes of the answer.
func raw(t *testing.T, from, to *apptest.Node, q map[int]any) string {
	t.Helper()
	for ; ; time.Sleep(time.Second / 2) {
		st, err := from.Network().Open(t.Context(), to.Network().ID(), ask.ProtocolID)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if err := wire.WriteMsg(st, q); err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(st)
		if err != nil {
			t.Fatal(err)
		}
		if busy, _ := wire.AppendMsg(nil, map[int]bool{3: true}); string(data) != string(busy) {
			return string(data)
		}
	}
}

// What is for contacts is found by contacts, who ask for it, and fetched by what was found; by nobody else, and no byte of its name is said to anybody else, whatever they ask.
// What is private, or for whoever has the link, or came from others, is found by no contact; and it ends with being contacts, and with being shared so.
func TestForContacts(t *testing.T) {
	photo, err := os.ReadFile("../../search/media/testdata/p.jpg")
	if err != nil {
		t.Fatal(err)
	}
	var w tap
	net := apptest.New(t, 3, w.build)
	carl, anna, ben := net.Node(0), net.Node(1), net.Node(2) // both know carl alone
	net.Connect(1, 2)
	share(t, anna, "Holiday Film.mkv", "a film", files.ShareIn{For: "contacts", Labels: files.Labels{Tag: []string{"beach"}}})
	share(t, anna, "Holiday Sunset.jpg", string(photo), files.ShareIn{For: "contacts"})
	share(t, anna, "Holiday Diary.txt", "link", files.ShareIn{})
	share(t, anna, "Holiday Letters.txt", "private", files.ShareIn{For: "contacts", Private: true})
	until(t, anna, "holiday", "who has it does not find it", func(out search.SearchOut) bool { return len(out.Results) == 4 })
	until(t, anna, "fujifilm", "what it says of itself is not known", one)
	befriend(t, anna, "Ben", ben)
	if out := find(t, ben, "holiday"); !none(out) || out.Asked != 0 {
		t.Errorf("who does not call anna a contact asks her: %+v", out)
	}
	befriend(t, ben, "Anna", anna)
	befriend(t, carl, "Anna", anna) // which she does not know of
	out := until(t, ben, "holiday", "a contact does not find what is for contacts", func(out search.SearchOut) bool { return len(out.Results) == 2 })
	for _, r := range out.Results {
		if !r.Contacts || r.Here || r.Sources != 1 || !slices.Equal(r.From, []string{"Anna"}) || len(r.Strangers) > 0 {
			t.Errorf("%+v", r)
		}
	}
	if out.Asked != 1 || out.Answered != 1 {
		t.Errorf("asked %d, answered %d", out.Asked, out.Answered)
	}
	for words, want := range map[string]int{"by:@anna": 2, "by:@anna sort:size": 2, "by:@anna type:video": 1, "film tag:beach": 1, "film -paper": 1, "film -beach": 0, "film -tag:beach": 0, "sunset fujifilm": 0, "fujifilm": 0, "holiday year:2023": 0, "diary": 0, "letters": 0} {
		if out := find(t, ben, words); len(out.Results) != want {
			t.Errorf("a contact finds %d for %s: %+v", len(out.Results), words, out.Results)
		}
	}
	for _, in := range []search.SearchIn{{Words: []string{"film"}, Local: true}, {Words: []string{"film"}, Typing: true}} {
		if err := ben.Call(t.Context(), "search", "search", in, &out); err != nil || out.Asked > 0 || len(out.Results) > 0 {
			t.Errorf("%+v: %+v, %v", in, out, err)
		}
	}
	if out := find(t, carl, "film"); !none(out) || out.Asked != 1 {
		t.Errorf("who is no contact of anna's found %+v", out)
	}
	for _, text := range []string{"film", "holiday", "type:video"} {
		plain, contact := raw(t, carl, anna, map[int]any{1: text}), raw(t, carl, anna, map[int]any{1: text, 3: true})
		if plain != contact || plain == "" {
			t.Errorf("%s: a stranger who asks as a contact is told %q, else %q", text, contact, plain)
		}
		if said := raw(t, ben, anna, map[int]any{1: text}); said != plain {
			t.Errorf("%s: who asks what everybody asks is told %q", text, said)
		}
		if said := raw(t, ben, anna, map[int]any{1: text, 3: true}); !strings.Contains(said, "Holiday Film.mkv") {
			t.Errorf("%s: a contact is told %q", text, said)
		}
	}
	if err := ben.Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"film"}, Get: 1}, &out); err != nil || out.Fetching != "Holiday Film.mkv" {
		t.Fatalf("fetching %+v, %v", out, err)
	}
	until(t, ben, "film", "it was not fetched", func(out search.SearchOut) bool { return one(out) && out.Results[0].Here })
	befriend(t, ben, "Carl", carl)
	befriend(t, carl, "Ben", ben)
	if out := find(t, carl, "film"); !none(out) || out.Asked != 2 {
		t.Errorf("a friend of a friend found %+v", out)
	}
	if err := ben.Call(t.Context(), "search", "search hide", search.HideIn{What: "@anna"}, new(any)); err != nil {
		t.Fatal(err)
	}
	if out := find(t, ben, "sunset"); !none(out) || out.Asked != 1 { // carl
		t.Errorf("who is hidden is asked: %+v", out)
	}
	if err := ben.Call(t.Context(), "search", "search unhide", search.UnhideIn{What: "@anna"}, new(any)); err != nil {
		t.Fatal(err)
	}
	until(t, ben, "sunset", "who is hidden no more is not asked", one)
	if err := anna.Call(t.Context(), "files", "rm", files.RmIn{Ref: "Holiday Film.mkv"}, new(any)); err != nil {
		t.Fatal(err)
	}
	if said := raw(t, ben, anna, map[int]any{1: "film", 3: true}); strings.Contains(said, "Film") {
		t.Errorf("of what is not shared any more is said %q", said)
	}
	if err := anna.Call(t.Context(), "node", "people rm", map[string]string{"name": "Ben"}, new(any)); err != nil {
		t.Fatal(err)
	}
	if said := raw(t, ben, anna, map[int]any{1: "sunset", 3: true}); said != raw(t, carl, anna, map[int]any{1: "sunset"}) {
		t.Errorf("who is no contact any more is told %q", said)
	}
	until(t, ben, "sunset", "who is no contact any more finds it", none)
}

// What others hear of it: nothing, on no protocol of searches, but for answers to contacts.
func TestForContactsUnsaid(t *testing.T) {
	var w tap
	net := apptest.New(t, 3, w.build)
	befriend(t, net.Node(1), "Ben", net.Node(2))
	befriend(t, net.Node(0), "Anna", net.Node(1)) // one way
	share(t, net.Node(1), "Kind of Blue.flac", "blue", files.ShareIn{For: "public"})
	share(t, net.Node(1), "Letters of Autumn.txt", "more", files.ShareIn{For: "contacts", Labels: files.Labels{Tag: []string{"zeppelin"}}})
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) { // without a question that has its words
		var out search.SearchOut
		if err := net.Node(1).Call(t.Context(), "search", "search", search.SearchIn{Words: []string{"autumn"}, Local: true}, &out); err != nil || time.Now().After(end) {
			t.Fatalf("who has it does not find it: %v", err)
		}
		if one(out) {
			break
		}
	}
	until(t, net.Node(2), "blue", "what is public is not found", one)
	for _, word := range []string{"letters", "txt", "flac", "auutmn"} { // none of which is said to be looked for
		if out := find(t, net.Node(0), word); out.Asked != 1 {
			t.Errorf("%s: asked %d", word, out.Asked)
		}
	}
	w.mu.Lock()
	heard := strings.ToLower(w.heard.String())
	w.mu.Unlock()
	for word, want := range map[string]bool{"blue": true, "letters of": false, "autumn": false, "zeppelin": false} {
		if strings.Contains(heard, word) != want {
			t.Errorf("%q was said: %v", word, !want)
		}
	}
}

// A contact who answers with what does not match, or with what is no answer, or never, changes nothing of what others find.
func TestContactLies(t *testing.T) {
	for name, lie := range map[string]func(st network.Stream) error{
		"garbage": func(st network.Stream) error { _, err := st.Write([]byte("\x07garbage")); return err },
		"a gigabyte": func(st network.Stream) error {
			_, err := st.Write([]byte("\x80\x80\x80\x80\x04" + strings.Repeat("x", 1<<20)))
			return err
		},
		"no aside": func(st network.Stream) error { return wire.WriteMsg(st, map[int][][]byte{4: {[]byte("garbage")}}) },
		"never":    func(st network.Stream) error { _, err := io.Copy(io.Discard, st); return err },
	} {
		t.Run(name, func(t *testing.T) {
			var w tap
			net := apptest.New(t, 3, w.third(func(_ context.Context, st network.Stream) error {
				var q map[int]any
				if err := wire.ReadMsg(bufio.NewReader(st), 1<<16, &q); err != nil {
					return err
				}
				return lie(st)
			}))
			share(t, net.Node(1), "Kind of Blue.flac", "blue", files.ShareIn{For: "contacts"})
			for _, i := range []int{1, 2} {
				befriend(t, net.Node(0), []string{1: "Anna", 2: "Mallory"}[i], net.Node(i))
				befriend(t, net.Node(i), "Ben", net.Node(0))
			}
			until(t, net.Node(1), "blue", "who has it does not find it", one)
			out := find(t, net.Node(0), "blue")
			if !one(out) || out.Asked != 2 || out.Answered != 1 || out.Results[0].From[0] != "Anna" {
				t.Errorf("%+v", out)
			}
			if out = find(t, net.Node(0), "blue"); !one(out) || out.Asked == 2 && name != "never" {
				t.Errorf("the next search: %+v", out)
			}
		})
	}
}

// third makes applications of which the third node answers questions so.
func (w *tap) third(serve func(context.Context, network.Stream) error) func() ([]app.App, transfer.Guard) {
	nodes := 0
	return func() ([]app.App, transfer.Guard) {
		list, guard := w.build()
		nodes++
		for i := range list {
			for k := range list[i].Protocols {
				if p := &list[i].Protocols[k]; nodes == 3 && p.ID == ask.ProtocolID {
					p.Serve = serve
				}
			}
		}
		return list, guard
	}
}

// What contacts have is seen while another of them has still not answered.
func TestContactsAsTheyCome(t *testing.T) {
	var w tap
	release := make(chan struct{})
	net := apptest.New(t, 3, w.third(func(context.Context, network.Stream) error { <-release; return nil }))
	free := func() { close(release) }
	defer func() { free() }()
	share(t, net.Node(1), "Kind of Blue.flac", "blue", files.ShareIn{For: "contacts"})
	until(t, net.Node(1), "blue", "who has it does not find it", one)
	for i, name := range []string{1: "Anna", 2: "Slow"} {
		if i > 0 {
			befriend(t, net.Node(0), name, net.Node(i))
			befriend(t, net.Node(i), "Ben", net.Node(0))
		}
	}
	early := false
	err := net.Node(0).Watch(t.Context(), "search", "search", search.SearchIn{Words: []string{"blue"}}, func(data []byte) bool {
		if s := string(data); strings.Contains(s, `"asking":true`) && strings.Contains(s, "Kind of Blue") && !early {
			early = true
			free()
			free = func() {}
		}
		return true
	})
	if err != nil || !early {
		t.Errorf("it is not seen while others are asked: %v", err)
	}
}
