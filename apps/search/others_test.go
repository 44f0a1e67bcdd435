package search_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/app"
	"kith/apps/files"
	"kith/apps/search"
	"kith/apptest"
	"kith/config"
	"kith/network"
	"kith/search/ask"
	"kith/search/publication"
	"kith/transfer"
	"kith/wire"
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
			for end := time.Now().Add(time.Minute); asked < 3; time.Sleep(2 * time.Second) { // no more often than is answered
				if asked = 0; time.Now().After(end) {
					t.Fatal("not three of four are asked for: that with most work is kept by everybody, once all have come") // until then it may be another one
				}
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
			}
			for _, word := range []string{"winter", "autumn", "spring"} {
				if out := find(t, net.Node(2), word); !none(out) || out.Asked > 0 {
					t.Errorf("%s: %+v", word, out)
				}
			}
			for _, in := range []search.SearchIn{{Words: []string{"steps"}, Local: true}, {Words: []string{"steps"}, Typing: true}, {Words: []string{"mingus"}, Local: true}} {
				var out search.SearchOut
				if err := net.Node(2).Call(t.Context(), "search", "search", in, &out); err != nil || out.Asked > 0 {
					t.Errorf("%+v asks %d, %v", in, out.Asked, err)
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

// Who is alone, or has all that others publish, asks nobody; nor does one whose settings say so.
func TestAsksNobody(t *testing.T) {
	var w tap
	net := apptest.New(t, 2, w.build)
	share(t, net.Node(1), "Kind of Blue.flac", "blue", files.ShareIn{For: "public"})
	until(t, net.Node(0), "blue", "what is published has not come", one)
	quiet := apptest.New(t, 2, w.with(t, "of_stranger = 1\nlocal = true"))
	for _, name := range []string{"Kind of Blue.flac", "Giant Steps.flac"} {
		share(t, quiet.Node(1), name, name, files.ShareIn{For: "public"})
	}
	until(t, quiet.Node(0), "flac", "what is published has not come", one)
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // until filters are there too, and a little longer
		for _, n := range []*apptest.Node{net.Node(0), net.Node(1), quiet.Node(0)} {
			for _, word := range []string{"blue", "steps", "nowhere"} {
				if out := find(t, n, word); out.Asked != 0 || len(out.Results) > 1 {
					t.Fatalf("%s: asked %d, found %d", word, out.Asked, len(out.Results))
				}
			}
		}
	}
}

// A node that answers with what does not match, or with what is no answer, changes nothing of what others find.
func TestLiar(t *testing.T) {
	for name, lie := range map[string]func(env app.Env) []byte{
		"spam": func(env app.Env) []byte {
			now := time.Now()
			p, err := publication.Prove(context.Background(), env.Me.Key().GetPublic(),
				publication.Publication{Root: kith.RawRef([32]byte{7}), Name: "cheap pills", Issued: now, Expires: now.Add(time.Hour)}, publication.MinWork)
			if err != nil {
				t.Error(err)
			}
			value, err := publication.Seal(env.Me.Key(), p)
			if err != nil {
				t.Error(err)
			}
			frame, err := wire.AppendMsg(nil, map[int][][]byte{1: {value}})
			if err != nil {
				t.Error(err)
			}
			return frame
		},
		"garbage":    func(app.Env) []byte { return []byte("\x07garbage") },
		"a gigabyte": func(app.Env) []byte { return []byte("\x80\x80\x80\x80\x04" + strings.Repeat("x", 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			var w tap
			honest := w.with(t, "of_stranger = 1")
			nodes := 0
			net := apptest.New(t, 3, func() ([]app.App, transfer.Guard) {
				list, guard := honest()
				nodes++
				for i := range list {
					if nodes != 3 || list[i].Name != "search" {
						continue
					}
					var lies []byte // made beforehand: it takes work, and who answers late is not heard
					start := list[i].Start
					list[i].Start = func(ctx context.Context, env app.Env) error { lies = lie(env); return start(ctx, env) }
					for k := range list[i].Protocols {
						if p := &list[i].Protocols[k]; p.ID == ask.ProtocolID {
							p.Serve = func(_ context.Context, s network.Stream) error {
								_, err := s.Write(lies)
								return err
							}
						}
					}
				}
				return list, guard
			})
			for _, i := range []int{1, 2} { // the liar comes when the other is known
				for _, name := range []string{"Kind of Blue.flac", "Blue Train.flac", "Giant Steps in Blue.flac"} {
					share(t, net.Node(i), name, name, files.ShareIn{For: "public"})
				}
				both := i == 1
				for end := time.Now().Add(time.Minute); ; time.Sleep(600 * time.Millisecond) { // no more often than is answered
					out := find(t, net.Node(0), "blue")
					if out.Answered > 1 || slices.ContainsFunc(out.Results, func(r search.Result) bool { return r.Name == "cheap pills" }) {
						t.Errorf("%d answered, found %+v", out.Answered, out.Results)
					}
					if both = both || out.Asked == 2; both && out.Asked == 1 && len(out.Results) == 3 {
						break
					}
					if time.Now().After(end) {
						t.Fatalf("not all is found, or who has lied is asked again: %+v", out)
					}
				}
			}
		})
	}
}

// Who asks again and again learns no more than what is published: neither by which camera a photo was made, nor when, nor whether a word is in what is not public, be it nearly
// the one that was asked for.
func TestNoOracle(t *testing.T) {
	photo, err := os.ReadFile("../../search/media/testdata/p.jpg")
	if err != nil {
		t.Fatal(err)
	}
	var w tap
	net := apptest.New(t, 2, w.build)
	share(t, net.Node(0), "holiday.jpg", string(photo), files.ShareIn{For: "public"})
	share(t, net.Node(0), "Album of Paintings.txt", "paintings", files.ShareIn{For: "public"})
	share(t, net.Node(0), "Diary.txt", "secret", files.ShareIn{})
	until(t, net.Node(0), "fujifilm year:2023 type:image", "its owner does not find it by its camera", one)
	until(t, net.Node(0), "diarx", "its owner does not find the diary", one)
	for _, word := range []string{"paintings", "holiday"} { // each comes when its work is done
		until(t, net.Node(1), word, "what is public is not found", one)
	}
	asks := func(text string) int {
		st, err := net.Node(1).Network().Open(t.Context(), net.Node(0).Network().ID(), ask.ProtocolID)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		var answer struct {
			Give [][]byte `cbor:"1,keyasint"`
			Busy bool     `cbor:"3,keyasint"`
		}
		if err := wire.WriteMsg(st, map[int]string{1: text}); err != nil {
			t.Fatal(err)
		}
		if err := wire.ReadMsg(bufio.NewReader(st), 1<<20, &answer); err != nil || answer.Busy {
			t.Fatalf("%s: %v, busy %v", text, err, answer.Busy)
		}
		return len(answer.Give)
	}
	for text, want := range map[string]int{
		"holiday": 1, "paintings": 1, "holiday type:image": 1, "fujifilm": 0, "holiday fujifilm": 0, "holiday year:2023": 0, "diary": 0, "diarx": 0, "holidax": 0,
		"album paintings zzzzz": 1, "album paintings diarx": 1, "album paintings diary": 1, "album paintings fujifilx": 1, "album paintings -fujifilm": 1, "holiday -fujifilm": 1,
	} {
		if got := asks(text); got != want {
			t.Errorf("%s: %d publications, want %d", text, got, want)
		}
	}
}
