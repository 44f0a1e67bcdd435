package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kith"
	"kith/app"
	"kith/apps/files"
	"kith/apptest"
	"kith/bridge"
	"kith/bridge/bittorrent"
	"kith/bridge/web"
	"kith/config"
	"kith/transfer"
)

// swarms are the BitTorrent bridges of a test's nodes, in the order in which they were started.
type swarms struct {
	mu   sync.Mutex
	list []*bittorrent.Bridge
}

// torrented builds the application on a node that has the real bridges to BitTorrent, on loopback, and to the web.
func torrented(t *testing.T) (*swarms, func() ([]app.App, transfer.Guard)) {
	all := &swarms{}
	return all, func() ([]app.App, transfer.Guard) {
		f := files.New()
		a := f.App()
		start, stop := a.Start, a.Stop
		var bt *bittorrent.Bridge
		a.Start = func(ctx context.Context, env app.Env) (err error) {
			o := bittorrent.Options{Blobs: env.Blobs, Dir: filepath.Join(env.Dir, "bt"), Log: env.Log, Go: env.Go, Version: "test", Config: config.BitTorrent{Listen: "127.0.0.1", NoDHT: true, NoLPD: true},
				Limits: env.Moves.Limits, Bind: netip.MustParseAddr("127.0.0.1")}
			if bt, err = bittorrent.New(o); err != nil {
				return err
			}
			if err := bt.Start(ctx); err != nil {
				return err
			}
			w, err := web.New(web.Options{Dir: filepath.Join(env.Dir, "web")})
			if err != nil {
				return err
			}
			all.mu.Lock()
			all.list = append(all.list, bt)
			all.mu.Unlock()
			env.Bridges = []bridge.Bridge{bt, w}
			return start(ctx, env)
		}
		a.Stop = func(ctx context.Context) error { return errors.Join(stop(ctx), bt.Close()) }
		return []app.App{a}, f
	}
}

// at returns where bridge i listens, as a magnet link names it.
func (s *swarms) at(t *testing.T, i int) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := s.list[i].Listens()
	if len(addrs) == 0 {
		t.Fatal("the bridge does not listen")
	}
	return addrs[0].String()
}

// magnetOf returns what of a link programs of BitTorrent read, and where a peer is.
func magnetOf(t *testing.T, link, peer string) string {
	t.Helper()
	l, err := kith.ParseLink(link)
	if err != nil {
		t.Fatal(err)
	}
	return kith.Link{Size: -1, Name: l.Name, Names: kith.Names{V1: l.V1}, Swarm: []string{peer}}.String()
}

// TestSameFromElsewhere: a link to what is being fetched already, or is paused, says where else it is: it comes from there, also after a restart.
func TestSameFromElsewhere(t *testing.T) {
	all, build := torrented(t)
	net := apptest.New(t, 2, build)
	film := filepath.Join(t.TempDir(), "film.mkv")
	want := write(t, film, 1<<20+5)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{film}, For: "public", Networks: []string{"bittorrent"}})
	nowhere, there := magnetOf(t, s.Link, "127.0.0.1:9"), magnetOf(t, s.Link, all.at(t, 0))
	getter, to := net.Node(1), filepath.Join(t.TempDir(), "here.mkv")
	begin := func(link string) files.GetOut {
		t.Helper()
		var out files.GetOut
		if err := getter.Call(t.Context(), "files", "get", files.GetIn{Link: link, Output: to, Detach: true}, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	ref := begin(nowhere).Ref
	for _, change := range []func(){
		func() {},
		func() {
			if err := getter.Call(t.Context(), "files", "pause", files.RefIn{Ref: ref.String()}, &files.GetOut{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		change()
		if begin(there).Ref != ref {
			t.Error("it is another item")
		}
		i := until(t, getter, func(i files.Item) bool { return i.State == "done" })
		sameFile(t, i.Path, want)
		if err := getter.Call(t.Context(), "files", "rm", files.RmIn{Ref: i.Ref.String(), Delete: true}, &files.RmOut{}); err != nil {
			t.Fatal(err)
		}
		ref = begin(nowhere).Ref
	}
	give := func(op string) {
		t.Helper()
		if err := net.Node(0).Call(t.Context(), "files", op, files.PublishIn{Ref: s.Ref.String(), Networks: []string{"bittorrent"}}, &files.ShareOut{}); err != nil {
			t.Fatal(err)
		}
	}
	give("unpublish")
	begin(there)
	net.Restart(1)
	give("publish")
	sameFile(t, until(t, net.Node(1), func(i files.Item) bool { return i.State == "done" }).Path, want)
}

// TestGivenBack: what came by a torrent is given back until the ratio is reached or the time is over; the item says so, also after a restart, and is served no more.
func TestGivenBack(t *testing.T) {
	all, build := torrented(t)
	net := apptest.New(t, 3, build)
	film := filepath.Join(t.TempDir(), "film.mkv")
	want := write(t, film, 1<<20+5)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{film}, For: "public", Networks: []string{"bittorrent"}})
	given := func(i files.Item) bool { return len(i.Networks) > 0 && i.Networks[0].Served }
	over := func(i files.Item) bool { return i.State == "done" && !given(i) }
	fetch := func(i, from int) {
		t.Helper()
		sameFile(t, get(t, net.Node(i), files.GetIn{Link: magnetOf(t, s.Link, all.at(t, from)), Output: t.TempDir()}).Path, want)
		until(t, net.Node(i), given)
	}
	limit := func(i int, in files.LimitIn) {
		t.Helper()
		if err := net.Node(i).Call(t.Context(), "files", "limit", in, &files.LimitOut{}); err != nil {
			t.Fatal(err)
		}
	}
	fetch(1, 0)
	if err := net.Node(0).Call(t.Context(), "files", "unpublish", files.PublishIn{Ref: s.Ref.String(), Networks: []string{"bittorrent"}}, &files.ShareOut{}); err != nil {
		t.Fatal(err)
	}
	fetch(2, 1)
	limit(1, files.LimitIn{Ratio: "1.0"})
	if i := until(t, net.Node(1), over); i.Reason != "finished with bittorrent: ratio 1.0 reached" {
		t.Errorf("it says %q", i.Reason)
	}
	net.Restart(1)
	if i := show(t, net.Node(1), s.Ref.String()); given(i.Item) || !strings.HasPrefix(i.Reason, "finished with") {
		t.Errorf("after a restart: %+v", i.Item)
	}
	limit(2, files.LimitIn{Ratio: "none", SeedTime: "1h"})
	if i := until(t, net.Node(2), given); i.Networks[0].Until != 0 || time.Until(i.Networks[0].Ends) < 50*time.Minute || time.Until(i.Networks[0].Ends) > time.Hour {
		t.Errorf("for an hour: %+v", i.Networks[0])
	}
	limit(2, files.LimitIn{SeedTime: "1ms"})
	if i := until(t, net.Node(2), over); i.Reason != "finished with bittorrent: given back for 1 ms, ratio 0.0" {
		t.Errorf("it says %q", i.Reason)
	}
}

// TestGetFromSwarm: what is shared to BitTorrent is fetched by its infohash alone; the item is then what it is, and found by all its names.
func TestGetFromSwarm(t *testing.T) {
	all, build := torrented(t)
	net := apptest.New(t, 2, build)
	dir := filepath.Join(t.TempDir(), "holiday")
	want := write(t, filepath.Join(dir, "a/film.mkv"), 3<<20+5)
	small := write(t, filepath.Join(dir, "notes.txt"), 1000)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}, For: "public", Networks: []string{"bittorrent"}})
	magnet := magnetOf(t, s.Link, all.at(t, 0))
	n, to := net.Node(1), t.TempDir()

	var listed files.GetOut
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: magnet, List: true, Timeout: "30s"}, &listed); err != nil || len(listed.Listed) != 2 || listed.Size != 3<<20+1005 {
		t.Fatalf("%+v, %v", listed, err)
	}
	part := get(t, n, files.GetIn{Link: magnet, Output: to, Select: []string{"*.txt"}})
	if !part.Part || part.Size != 1000 {
		t.Errorf("a part: %+v", part)
	}
	if tree := show(t, n, magnet).Tree; len(tree) != 2 {
		t.Errorf("its files: %+v", tree)
	}
	if err := n.Call(t.Context(), "files", "select", files.SelectIn{Ref: magnet}, &files.GetOut{}); err != nil {
		t.Fatal(err)
	}
	whole := get(t, n, files.GetIn{Link: magnet, Output: to})
	if whole.Part || whole.Ref.Codec != kith.Manifest || len(whole.Verified) != 1 || whole.Verified[0] != "bittorrent" {
		t.Errorf("the whole: %+v", whole)
	}
	if nets := show(t, n, magnet).Networks; len(nets) != 1 || nets[0].Bytes != 3<<20+1005 {
		t.Errorf("what came from where: %+v", nets)
	}
	sameFile(t, filepath.Join(whole.Path, "a/film.mkv"), want)
	sameFile(t, filepath.Join(whole.Path, "notes.txt"), small)
	for _, name := range []string{magnet, whole.Ref.String(), part.Ref.String(), "holiday"} {
		if got := show(t, n, name); got.Ref != whole.Ref {
			t.Errorf("%.80s finds %v, want %v", name, got.Ref, whole.Ref)
		}
	}
	back := until(t, n, func(i files.Item) bool { return len(i.Networks) > 0 && i.Networks[0].Served })
	if back.Networks[0].Until != 2 || !back.Networks[0].Verified {
		t.Errorf("given back: %+v", back.Networks)
	}
	net.Restart(1)
	if again := get(t, net.Node(1), files.GetIn{Link: magnet}); again.Ref != whole.Ref || again.Path != whole.Path {
		t.Errorf("after a restart: %+v", again)
	}
}

// TestFollowedTwice: a download that was paused and resumed again and again ends once. It was removed, or what came was counted twice.
func TestFollowedTwice(t *testing.T) {
	all, build := torrented(t)
	net := apptest.New(t, 2, build)
	film := filepath.Join(t.TempDir(), "film.mkv")
	want := write(t, film, 1<<20)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{film}, For: "public", Networks: []string{"bittorrent"}})
	n, magnet := net.Node(1), magnetOf(t, s.Link, all.at(t, 0))
	call := func(op string, in any) {
		t.Helper()
		if err := n.Call(t.Context(), "files", op, in, new(any)); err != nil {
			t.Fatal(err)
		}
	}
	call("limit", files.LimitIn{Down: "20K"})
	var out files.GetOut
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: magnet, Detach: true}, &out); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		call("pause", files.RefIn{Ref: out.Ref.String()})
		call("resume", files.RefIn{Ref: out.Ref.String()})
	}
	call("limit", files.LimitIn{Down: "0"})
	got := get(t, n, files.GetIn{Link: magnet})
	sameFile(t, got.Path, want)
	if nets := show(t, n, magnet).Networks; len(nets) != 1 || nets[0].Bytes != 1<<20 {
		t.Errorf("what came from where: %+v", nets)
	}
}

// TestGetTorrentFile: a .torrent file by its path, with the peers of its tracker.
func TestGetTorrentFile(t *testing.T) {
	all, build := torrented(t)
	net := apptest.New(t, 2, build)
	dir := t.TempDir()
	want := write(t, filepath.Join(dir, "film.mkv"), 1<<20)
	torrent := filepath.Join(dir, "film.torrent")
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{filepath.Join(dir, "film.mkv")}, For: "public", Torrent: torrent})
	n, to := net.Node(1), t.TempDir()
	var out files.GetOut
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: torrent, Output: to, Detach: true}, &out); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(torrent); err != nil { // it was read
		t.Fatal(err)
	}
	if shown := show(t, n, out.Ref.String()); shown.Name != "film.mkv" || strings.Contains(shown.Link, "file:") {
		t.Errorf("%+v", shown.Item)
	}
	if err := n.Call(t.Context(), "files", "rm", files.RmIn{Ref: out.Ref.String()}, &files.RmOut{}); err != nil {
		t.Fatal(err)
	}
	got := get(t, n, files.GetIn{Link: magnetOf(t, s.Link, all.at(t, 0)), Output: to})
	sameFile(t, got.Path, want)
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: filepath.Join(dir, "none.torrent")}, &out); !errors.Is(err, kith.NotFound) {
		t.Error(err)
	}
	write(t, torrent, 100)
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: torrent}, &out); !errors.Is(err, kith.Invalid) && !errors.Is(err, kith.Corrupt) {
		t.Error(err)
	}
}

// TestTrackerThatRefuses: while nobody is found, the person is told what the tracker says.
func TestTrackerThatRefuses(t *testing.T) {
	_, build := torrented(t)
	n := apptest.New(t, 1, build).Node(0)
	tracker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "d14:failure reason7:go awaye") }))
	defer tracker.Close()
	l := kith.Link{Size: -1, Names: kith.Names{V1: kith.InfoHash{1}, Trackers: []string{tracker.URL + "/announce"}}}
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: l.String(), Output: t.TempDir(), Detach: true}, &files.GetOut{}); err != nil {
		t.Fatal(err)
	}
	until(t, n, func(i files.Item) bool {
		return len(i.Networks) == 1 && strings.Contains(i.Networks[0].Said, " refuses: go away")
	})
}

// TestGetFromWeb: a file that an https:// address alone names, and one that a link names by BLAKE3 too.
func TestGetFromWeb(t *testing.T) {
	_, build := torrented(t)
	net := apptest.New(t, 2, build)
	dir := t.TempDir()
	want := write(t, filepath.Join(dir, "report.pdf"), 2<<20+3)
	wrong := bytes.Repeat([]byte{7}, len(want))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := want
		if r.URL.Path == "/wrong.pdf" {
			data = wrong
		}
		http.ServeContent(w, r, "report.pdf", time.Unix(1000, 0), bytes.NewReader(data))
	}))
	defer server.Close()
	n := net.Node(1)
	out := get(t, n, files.GetIn{Link: server.URL + "/report.pdf", Output: t.TempDir()})
	sameFile(t, out.Path, want)
	var text bytes.Buffer
	out.WriteText(&text, 0)
	if !strings.Contains(text.String(), "verified by nothing but TLS") || out.Ref.Codec != kith.Raw {
		t.Errorf("%s %+v", text.String(), out)
	}
	if err := n.Call(t.Context(), "files", "rm", files.RmIn{Ref: out.Ref.String(), Delete: true}, &files.RmOut{}); err != nil {
		t.Fatal(err)
	}
	seeded := kith.Link{Ref: out.Ref, Name: "report.pdf", Size: out.Size, Names: kith.Names{WebSeeds: []string{server.URL + "/report.pdf"}}}
	again := get(t, n, files.GetIn{Link: seeded.String(), Output: t.TempDir()})
	sameFile(t, again.Path, want)
	if err := n.Call(t.Context(), "files", "rm", files.RmIn{Ref: out.Ref.String(), Delete: true}, &files.RmOut{}); err != nil {
		t.Fatal(err)
	}
	seeded.WebSeeds = []string{server.URL + "/wrong.pdf"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := n.Call(ctx, "files", "get", files.GetIn{Link: seeded.String(), Output: t.TempDir(), Timeout: "20s"}, &files.GetOut{})
	if !errors.Is(err, kith.Corrupt) {
		t.Errorf("bytes that are not what the link names: %v", err)
	}
}

// TestVerifyRepairs: what a disk forgot is found, and fetched again from whoever has it.
func TestVerifyRepairs(t *testing.T) {
	_, build := torrented(t)
	net := apptest.New(t, 2, build)
	dir := t.TempDir()
	want := write(t, filepath.Join(dir, "film.mkv"), 1<<20)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{filepath.Join(dir, "film.mkv")}})
	n := net.Node(1)
	got := get(t, n, files.GetIn{Link: s.Link, Output: t.TempDir()})
	var out files.VerifyOut
	if err := n.Call(t.Context(), "files", "verify", files.VerifyIn{}, &out); err != nil || len(out.Items) != 1 || len(out.Items[0].Damage) != 0 || out.Done < 1<<20 {
		t.Fatalf("%+v, %v", out, err)
	}
	st, err := os.Stat(got.Path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(got.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("forgotten"), 500_000); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Chtimes(got.Path, st.ModTime(), st.ModTime()); err != nil { // a disk does not say so
		t.Fatal(err)
	}
	err = n.Call(t.Context(), "files", "verify", files.VerifyIn{}, &out)
	if !errors.Is(err, kith.Corrupt) || !strings.Contains(err.Error(), "film.mkv is damaged") || !strings.Contains(kith.HintOf(err), "--repair") {
		t.Fatalf("%v (%s)", err, kith.HintOf(err))
	}
	if d := out.Items[0].Damage; len(d) != 1 || d[0].Off > 500_000 || d[0].Off+d[0].N < 500_009 {
		t.Errorf("%+v", out)
	}
	if err := n.Call(t.Context(), "files", "verify", files.VerifyIn{Repair: true}, &out); err != nil || !out.Items[0].Repairs {
		t.Fatalf("%+v, %v", out, err)
	}
	until(t, n, func(i files.Item) bool { return i.State == "done" })
	sameFile(t, got.Path, want)
}

// TestStreamPending: a film whose digest of Kith's is not known yet can be watched while it comes.
func TestStreamPending(t *testing.T) {
	all, build := torrented(t)
	net := apptest.New(t, 2, build)
	path := filepath.Join(t.TempDir(), "film.mkv")
	want := write(t, path, 4<<20)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}, For: "public", Networks: []string{"bittorrent"}})
	n := net.Node(1)
	if err := n.Call(t.Context(), "files", "limit", files.LimitIn{Down: "1MiB"}, &files.LimitOut{}); err != nil {
		t.Fatal(err)
	}
	var out files.GetOut
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: magnetOf(t, s.Link, all.at(t, 0)), Output: t.TempDir(), Detach: true}, &out); err != nil {
		t.Fatal(err)
	}
	until(t, n, func(i files.Item) bool { return i.Size > 0 })
	if data := readRange(t, n, out.Ref.String(), 3<<20, 3<<20+99_999); !bytes.Equal(data, want[3<<20:3<<20+100_000]) {
		t.Errorf("%d bytes", len(data))
	}
}

// readRange reads bytes first to last of an item, as a browser does.
func readRange(t *testing.T, n *apptest.Node, ref string, first, last int64) []byte {
	t.Helper()
	var opened files.OpenOut
	if err := n.Call(t.Context(), "files", "open", files.OpenIn{Ref: ref}, &opened); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, opened.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, last))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusPartialContent {
		t.Fatalf("%s, %v", resp.Status, err)
	}
	return data
}
