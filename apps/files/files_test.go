package files_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/app"
	"kith/apps/files"
	"kith/apps/files/picker"
	"kith/apptest"
	"kith/transfer"
)

func build() ([]app.App, transfer.Guard) {
	f := files.New()
	return []app.App{f.App()}, f
}

// write makes a file of n random bytes and returns them.
func write(t *testing.T, path string, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	rand.Read(b)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

// share shares path on node i.
func share(t *testing.T, n *apptest.Node, in files.ShareIn) files.Shared {
	t.Helper()
	var out files.ShareOut
	if err := n.Call(t.Context(), "files", "share", in, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Shared) != 1 {
		t.Fatalf("share gave %d results", len(out.Shared))
	}
	return out.Shared[0]
}

func get(t *testing.T, n *apptest.Node, in files.GetIn) files.GetOut {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out files.GetOut
	if err := n.Call(ctx, "files", "get", in, &out); err != nil {
		t.Fatal(err)
	}
	if out.State != "done" {
		t.Fatalf("get ended as %+v", out)
	}
	return out
}

// until watches node n until its first item is as wanted, and returns that.
func until(t *testing.T, n *apptest.Node, wanted func(files.Item) bool) (found files.Item) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	err := n.Watch(ctx, "files", "watch", nil, func(data []byte) bool {
		var ls files.LsOut
		if err := json.Unmarshal(data, &ls); err != nil {
			t.Error(err)
		}
		if len(ls.Items) > 0 {
			found = ls.Items[0]
		}
		return len(ls.Items) == 0 || !wanted(found)
	})
	if err != nil || !wanted(found) {
		t.Fatalf("it never came so far; last seen %+v, %v", found, err)
	}
	return found
}

func sameFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes that are not those shared (%d)", path, len(got), len(want))
	}
}

func TestFileGoesFromOneToAnother(t *testing.T) {
	net := apptest.New(t, 2, build)
	dir := t.TempDir()
	for name, size := range map[string]int{"empty.bin": 0, "small.txt": 100, "group.bin": 16384, "film.mkv": 3<<20 + 17} {
		want := write(t, filepath.Join(dir, name), size)
		s := share(t, net.Node(0), files.ShareIn{Paths: []string{filepath.Join(dir, name)}})
		if s.Name != name || s.Size != int64(size) || s.For != "link" || len(s.Short) > kith.MaxShortLen {
			t.Errorf("shared %+v", s)
		}
		for _, link := range []string{s.Link, s.Short} {
			to := t.TempDir()
			got := get(t, net.Node(1), files.GetIn{Link: link, Output: to})
			if got.Size != int64(size) || got.Path != filepath.Join(to, name) && link == s.Link {
				t.Errorf("got %+v", got)
			}
			sameFile(t, got.Path, want)
		}
	}
}

func TestFolderKeepsItsShape(t *testing.T) {
	net := apptest.New(t, 2, build)
	dir := filepath.Join(t.TempDir(), "photos")
	a := write(t, filepath.Join(dir, "a.jpg"), 70000)
	b := write(t, filepath.Join(dir, "2026/summer/ü.jpg"), 10)
	if err := os.Symlink("a.jpg", filepath.Join(dir, "link.jpg")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a.jpg"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}})
	sealed := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}, Private: true})
	for _, link := range []string{s.Link, sealed.Link} { // what is in it is told by who has it, before anything is fetched
		var listed files.GetOut
		if err := net.Node(1).Call(t.Context(), "files", "get", files.GetIn{Link: link, List: true, Timeout: "30s"}, &listed); err != nil || listed.Name != "photos" || listed.Size != 70010 || len(listed.Listed) != 2 {
			t.Errorf("listed %+v, %v", listed, err)
		}
	}
	var all files.LsOut
	if err := net.Node(1).Call(t.Context(), "files", "ls", files.None{}, &all); err != nil || len(all.Items) != 0 {
		t.Errorf("listing has made items: %+v, %v", all.Items, err)
	}
	to := t.TempDir()
	got := get(t, net.Node(1), files.GetIn{Link: s.Link, Output: to})
	if got.Path != filepath.Join(to, "photos") || got.Size != 70010 || got.Sources != 1 {
		t.Errorf("got %+v", got)
	}
	sameFile(t, filepath.Join(got.Path, "a.jpg"), a)
	sameFile(t, filepath.Join(got.Path, "2026/summer/ü.jpg"), b)
	if to, err := os.Readlink(filepath.Join(got.Path, "link.jpg")); err != nil || to != "a.jpg" {
		t.Errorf("link points to %q, %v", to, err)
	}
	if st, err := os.Stat(filepath.Join(got.Path, "a.jpg")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestWhatIsLeftOutIsSaid(t *testing.T) {
	net := apptest.New(t, 1, build)
	dir := filepath.Join(t.TempDir(), "mixed")
	write(t, filepath.Join(dir, "good.txt"), 10)
	write(t, filepath.Join(dir, "bad<name.txt"), 10)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}})
	if s.Files != 1 || s.Skipped != 1 || len(s.LeftOut) != 1 || !strings.Contains(s.LeftOut[0].Path, "bad<name") || s.LeftOut[0].Why == "" {
		t.Errorf("shared %+v", s)
	}
	var text strings.Builder
	if err := (files.ShareOut{Shared: []files.Shared{s}}).WriteText(&text, 0); err != nil || !strings.Contains(text.String(), "left out: ") {
		t.Errorf("it does not say what was left out: %v\n%s", err, &text)
	}
}

func TestPrivateShareShowsNothingWithoutItsKey(t *testing.T) {
	net := apptest.New(t, 3, build)
	dir := filepath.Join(t.TempDir(), "letters")
	a := write(t, filepath.Join(dir, "to-anna.txt"), 200000)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}, Private: true})
	open, key, ok := strings.Cut(s.Link, "#")
	if !ok || key == "" {
		t.Fatalf("no key in %s", s.Link)
	}
	if strings.Contains(open, "letters") || strings.Contains(open, "xl=") {
		t.Errorf("the open part tells a name or a size: %s", open)
	}
	got := get(t, net.Node(1), files.GetIn{Link: s.Short, Output: t.TempDir()})
	if filepath.Base(got.Path) != "letters" {
		t.Errorf("got %+v", got)
	}
	sameFile(t, filepath.Join(got.Path, "to-anna.txt"), a)

	// The second one serves on, although it keeps plain files only.
	net.Node(0).Stop()
	net.Connect(2, 1)
	got = get(t, net.Node(2), files.GetIn{Link: s.Short, Output: t.TempDir()})
	sameFile(t, filepath.Join(got.Path, "to-anna.txt"), a)

	one := filepath.Join(t.TempDir(), "diary.txt")
	b := write(t, one, 5)
	s = share(t, net.Node(1), files.ShareIn{Paths: []string{one}, Private: true})
	got = get(t, net.Node(2), files.GetIn{Link: s.Link, Output: t.TempDir()})
	if filepath.Base(got.Path) != "diary.txt" {
		t.Errorf("got %+v", got)
	}
	sameFile(t, got.Path, b)
}

func TestContactsOnly(t *testing.T) {
	net := apptest.New(t, 3, build)
	path := filepath.Join(t.TempDir(), "party.jpg")
	want := write(t, path, 1000)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}, For: "contacts"})
	err := net.Node(1).Call(t.Context(), "files", "get", files.GetIn{Link: s.Link, Timeout: "1s", Output: t.TempDir()}, new(files.GetOut))
	if !errors.Is(err, kith.Timeout) || strings.Contains(err.Error(), "looking") {
		t.Fatalf("a stranger's get ended with %v", err)
	}
	who := map[string]string{"name": "Anna", "peer": net.Node(1).Network().ID().String()}
	if err := net.Node(0).Call(t.Context(), "node", "people add", who, new(any)); err != nil {
		t.Fatal(err)
	}
	got := get(t, net.Node(1), files.GetIn{Link: s.Link})
	sameFile(t, got.Path, want)

	// Who fetched it serves it to contacts of theirs alone, too.
	onward := until(t, net.Node(1), func(it files.Item) bool { return it.For == "contacts" }).Link
	if err := net.Node(0).Call(t.Context(), "files", "rm", files.RmIn{Ref: s.Link}, new(any)); err != nil {
		t.Fatal(err)
	}
	err = net.Node(2).Call(t.Context(), "files", "get", files.GetIn{Link: onward, Timeout: "1s", Output: t.TempDir()}, new(files.GetOut))
	if !errors.Is(err, kith.Timeout) {
		t.Fatalf("a stranger's get from a contact ended with %v", err)
	}
	who["peer"] = net.Node(2).Network().ID().String()
	if err := net.Node(1).Call(t.Context(), "node", "people add", who, new(any)); err != nil {
		t.Fatal(err)
	}
	sameFile(t, get(t, net.Node(2), files.GetIn{Link: onward}).Path, want)
}

func TestDownloadsServeOnAndSurviveRestarts(t *testing.T) { servesOn(t, "") }

// On each of Kith's own overlays, too, nodes find who else has something.
func TestOnEachOverlay(t *testing.T) {
	for _, overlay := range []string{"chord", "kademlia", "pastry"} {
		t.Run(overlay, func(t *testing.T) { servesOn(t, overlay) })
	}
}

func servesOn(t *testing.T, overlay string) {
	t.Helper()
	net := apptest.NewOn(t, overlay, 3, build)
	path := filepath.Join(t.TempDir(), "song.flac")
	want := write(t, path, 1<<20)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}})
	get(t, net.Node(1), files.GetIn{Link: s.Link})
	net.Restart(1)
	net.Node(0).Stop()
	net.Connect(2, 1)
	got := get(t, net.Node(2), files.GetIn{Link: s.Link, Output: t.TempDir()}) // the overlay knows who else has it
	sameFile(t, got.Path, want)
}

func TestUnfinishedDownloadGoesOnAfterARestart(t *testing.T) {
	net := apptest.New(t, 2, build)
	path := filepath.Join(t.TempDir(), "big.iso")
	want := write(t, path, 8<<20)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}})
	if err := net.Node(1).Call(t.Context(), "files", "limit", files.LimitIn{Down: "1M"}, new(files.LimitOut)); err != nil {
		t.Fatal(err)
	}
	if err := net.Node(1).Call(t.Context(), "files", "get", files.GetIn{Link: s.Link, Detach: true}, new(files.GetOut)); err != nil {
		t.Fatal(err)
	}
	if it := until(t, net.Node(1), func(it files.Item) bool { return it.Done > 0 }); it.State == "done" {
		t.Fatal("it was done before the restart: the limit does not hold")
	}
	net.Restart(1)
	net.Connect(1, 0)
	got := get(t, net.Node(1), files.GetIn{Link: s.Link})
	sameFile(t, got.Path, want)
}

func TestReadWhileItComes(t *testing.T) {
	net := apptest.New(t, 2, build)
	path := filepath.Join(t.TempDir(), "film.webm")
	want := write(t, path, 4<<20)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}})
	for _, in := range []files.LimitIn{{Down: "512K"}} {
		if err := net.Node(1).Call(t.Context(), "files", "limit", in, new(files.LimitOut)); err != nil {
			t.Fatal(err)
		}
	}
	if err := net.Node(1).Call(t.Context(), "files", "get", files.GetIn{Link: s.Link, Detach: true}, new(files.GetOut)); err != nil {
		t.Fatal(err)
	}
	var open files.OpenOut
	if err := net.Node(1).Call(t.Context(), "files", "open", files.OpenIn{Ref: s.Ref.String()}, &open); err != nil {
		t.Fatal(err)
	}
	if open.Media != "video/webm" {
		t.Errorf("media %q", open.Media)
	}
	req, _ := http.NewRequest("GET", open.URL, nil)
	req.Header.Set("Range", "bytes=3145728-3145827") // its last quarter, first
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusPartialContent || !bytes.Equal(got, want[3145728:3145828]) {
		t.Errorf("range: %s, %d bytes, %v", resp.Status, len(got), err)
	}
	var show files.ShowOut
	if err := net.Node(1).Call(t.Context(), "files", "show", files.RefIn{Ref: "film"}, &show); err != nil {
		t.Fatal(err)
	}
	if show.State == "done" || show.Done == show.Size {
		t.Errorf("the range should have come before the rest: %s, %d of %d", show.State, show.Done, show.Size)
	}
	if len(show.From) != 1 || show.From[0].Bytes == 0 || !strings.Contains(show.QR, "<svg") {
		t.Errorf("show %+v", show)
	}
}

func TestRmNeverDeletesWhatWasShared(t *testing.T) {
	net := apptest.New(t, 2, build)
	path := filepath.Join(t.TempDir(), "thesis.pdf")
	want := write(t, path, 100000)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}})
	got := get(t, net.Node(1), files.GetIn{Link: s.Link})

	err := net.Node(0).Call(t.Context(), "files", "rm", files.RmIn{Ref: "thesis", Delete: true}, new(any))
	if !errors.Is(err, kith.Denied) || kith.HintOf(err) == "" {
		t.Errorf("rm --delete of what was shared in place: %v", err)
	}
	sameFile(t, path, want)
	if err := net.Node(0).Call(t.Context(), "files", "rm", files.RmIn{Ref: "thesis"}, new(any)); err != nil {
		t.Fatal(err)
	}
	sameFile(t, path, want)

	var out files.RmOut
	if err := net.Node(1).Call(t.Context(), "files", "rm", files.RmIn{Ref: s.Link, Delete: true}, &out); err != nil || !out.Deleted {
		t.Errorf("rm --delete of a download: %+v, %v", out, err)
	}
	if _, err := os.Stat(got.Path); !os.IsNotExist(err) {
		t.Errorf("the download is still there: %v", err)
	}
	// Who took it off the list serves it no longer.
	err = net.Node(1).Call(t.Context(), "files", "get", files.GetIn{Link: s.Link, Timeout: "1s"}, new(files.GetOut))
	if !errors.Is(err, kith.Timeout) {
		t.Errorf("get of what nobody shares ended with %v", err)
	}
}

func TestChangedFileIsGoneAndSaid(t *testing.T) {
	net := apptest.New(t, 2, build)
	path := filepath.Join(t.TempDir(), "notes.txt")
	write(t, path, 100000)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}})
	write(t, path, 100000)
	err := net.Node(1).Call(t.Context(), "files", "get", files.GetIn{Link: s.Link, Timeout: "2s"}, new(files.GetOut))
	if err == nil {
		t.Fatal("it was fetched although it had changed")
	}
	if it := until(t, net.Node(0), func(it files.Item) bool { return it.State == "gone" }); it.Reason == "" {
		t.Error("it does not say what to do")
	}
}

func TestBadInput(t *testing.T) {
	net := apptest.New(t, 1, build)
	n := net.Node(0)
	tests := []struct {
		op   string
		in   any
		want kith.Kind
	}{
		{"share", files.ShareIn{}, kith.Invalid},
		{"share", files.ShareIn{Paths: []string{"relative"}}, kith.Invalid},
		{"share", files.ShareIn{Paths: []string{"/nowhere/at/all"}}, kith.NotFound},
		{"share", files.ShareIn{Paths: []string{"/dev/null"}}, kith.Invalid},
		{"share", files.ShareIn{Paths: []string{t.TempDir()}, For: "everybody"}, kith.Invalid},
		{"get", files.GetIn{Link: "magnet:?xt=nonsense"}, kith.Invalid},
		{"get", files.GetIn{Link: kith.RawRef([32]byte{1}).String(), Timeout: "soon"}, kith.Invalid},
		{"get", files.GetIn{Link: kith.RawRef([32]byte{1}).String(), Output: "/nowhere/at/all/x"}, kith.NotFound},
		{"get", files.GetIn{Link: kith.RawRef([32]byte{1}).String(), Output: n.Dir}, kith.Denied},
		{"get", files.GetIn{Link: kith.RawRef([32]byte{1}).String(), Output: filepath.Join(n.Dir, "blobs", "x")}, kith.Denied},
		{"get", files.GetIn{Link: "magnet:?x.net=other&x.cid=" + kith.RawRef([32]byte{1}).String() + "&x.kith=/ip4/127.0.0.1/tcp/1/p2p/" + n.Network().ID().String()}, kith.Invalid},
		{"get", files.GetIn{Link: kith.RawRef([32]byte{2}).String(), Timeout: "500ms"}, kith.Timeout},
		{"rm", files.RmIn{Ref: "nothing"}, kith.NotFound},
		{"show", files.RefIn{}, kith.Invalid},
		{"pause", files.RefIn{Ref: "nothing"}, kith.NotFound},
		{"limit", files.LimitIn{Up: "fast"}, kith.Invalid},
		{"browse", picker.BrowseIn{Dir: "/nowhere/at/all"}, kith.NotFound},
	}
	for _, tt := range tests {
		if err := n.Call(t.Context(), "files", tt.op, tt.in, new(any)); !errors.Is(err, tt.want) {
			t.Errorf("%s %+v = %v, want %v", tt.op, tt.in, err, tt.want)
		}
	}
}

func TestUploadFromThePage(t *testing.T) {
	net := apptest.New(t, 1, build)
	n := net.Node(0)
	var handler http.Handler
	for _, a := range n.Apps() {
		if a.Name == "files" {
			handler = a.HTTP
		}
	}
	do := func(method, url, body string) (int, files.Shared) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		var s files.Shared
		if w.Code == http.StatusOK {
			if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
				t.Fatal(err)
			}
		}
		return w.Code, s
	}
	for _, bad := range []string{"../x", "/etc/passwd", "a/../../b", "a\x00b", `a\b`, ".", ""} {
		if code, _ := do("PUT", "/upload?batch=12345678&path="+url.QueryEscape(bad), "x"); code != 400 {
			t.Errorf("path %q answered %d", bad, code)
		}
	}
	if code, _ := do("PUT", "/upload?batch=../../x&path=a", "x"); code != 400 {
		t.Errorf("batch with a path answered %d", code)
	}
	for _, p := range []string{"trip/a.txt", "trip/b/c.txt"} {
		if code, _ := do("PUT", "/upload?batch=abcd-1234&path="+p, "hello "+p); code != 200 {
			t.Fatalf("upload answered %d", code)
		}
	}
	code, s := do("POST", "/upload/done?batch=abcd-1234&for=link", "")
	if code != 200 || s.Name != "trip" || s.Files != 2 {
		t.Fatalf("done answered %d, %+v", code, s)
	}
	sameFile(t, filepath.Join(n.Dir, "files", "trip", "b", "c.txt"), []byte("hello trip/b/c.txt"))
	if code, _ := do("POST", "/upload/done?batch=abcd-1234", ""); code != 404 {
		t.Errorf("done twice answered %d", code)
	}
}

// A download that its owner has moved, changed or deleted since is not taken for one that is there: it is fetched again, and what the owner
// made of the file stays.
func TestGetAgainAfterTheFileIsGone(t *testing.T) {
	net := apptest.New(t, 2, build)
	a, b := net.Node(0), net.Node(1)
	src := filepath.Join(t.TempDir(), "photos")
	data := map[string][]byte{}
	for _, name := range []string{"1.jpg", "sub/2.jpg"} {
		data[name] = write(t, filepath.Join(src, name), 300_000)
	}
	for _, in := range []files.ShareIn{{Paths: []string{src}}, {Paths: []string{src}, Private: true}, {Paths: []string{filepath.Join(src, "1.jpg")}}} {
		s, dir := share(t, a, in), t.TempDir()
		file := func(out files.GetOut) string {
			if filepath.Ext(out.Path) == "" {
				return filepath.Join(out.Path, "1.jpg")
			}
			return out.Path
		}
		first := get(t, b, files.GetIn{Link: s.Link, Output: dir})
		sameFile(t, file(first), data["1.jpg"])

		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(file(first), later, later); err != nil {
			t.Fatal(err)
		}
		if again := get(t, b, files.GetIn{Link: s.Link, Output: dir}); again.Path != first.Path {
			t.Errorf("a file that was only touched was fetched again, to %s", again.Path)
		}
		if err := os.WriteFile(file(first), []byte("mine now"), 0o644); err != nil {
			t.Fatal(err)
		}
		second := get(t, b, files.GetIn{Link: s.Link, Output: dir})
		sameFile(t, file(second), data["1.jpg"])
		sameFile(t, file(first), []byte("mine now"))

		if err := os.Rename(second.Path, second.Path+".moved"); err != nil {
			t.Fatal(err)
		}
		third := get(t, b, files.GetIn{Link: s.Link})
		sameFile(t, file(third), data["1.jpg"])
	}
}

// What rm --delete leaves behind is named, with the reason: a file that is shared too, one that was changed, one that Kith knows nothing of.
func TestRmSaysWhatStays(t *testing.T) {
	net := apptest.New(t, 2, build)
	dir := filepath.Join(t.TempDir(), "photos")
	for _, name := range []string{"a.jpg", "b.jpg", "c.jpg", "sub/d.jpg"} {
		write(t, filepath.Join(dir, name), 3000)
	}
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}})
	got := get(t, net.Node(1), files.GetIn{Link: s.Link, Output: t.TempDir()})
	share(t, net.Node(1), files.ShareIn{Paths: []string{filepath.Join(got.Path, "b.jpg")}})
	write(t, filepath.Join(got.Path, "c.jpg"), 5)
	write(t, filepath.Join(got.Path, "sub/mine.txt"), 5)

	var out files.RmOut
	if err := net.Node(1).Call(t.Context(), "files", "rm", files.RmIn{Ref: "photos", Delete: true}, &out); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := out.WriteText(&text, 0); err != nil {
		t.Fatal(err)
	}
	want := "photos is off the list; it is deleted but for:\n" +
		"  " + got.Path + "/b.jpg: it is in \"b.jpg\" too\n" +
		"  " + got.Path + "/c.jpg: it was here before, or was changed since\n" +
		"  " + got.Path + "/sub/mine.txt: kith did not fetch it\n"
	if text.String() != want {
		t.Errorf("said\n%swant\n%s", text.String(), want)
	}
	for _, name := range []string{"a.jpg", "sub/d.jpg"} {
		if _, err := os.Lstat(filepath.Join(got.Path, name)); !os.IsNotExist(err) {
			t.Errorf("%s is not deleted: %v", name, err)
		}
	}

	// A download that never began has no folder of its own: what else is in the folder that it would have come to is nobody's business.
	nobody := kith.RawRef([32]byte{7}).String()
	to := t.TempDir()
	write(t, filepath.Join(to, "mine.txt"), 5)
	if err := net.Node(1).Call(t.Context(), "files", "get", files.GetIn{Link: nobody, Output: to, Detach: true}, new(files.GetOut)); err != nil {
		t.Fatal(err)
	}
	out = files.RmOut{}
	if err := net.Node(1).Call(t.Context(), "files", "rm", files.RmIn{Ref: nobody, Delete: true}, &out); err != nil || out.Path != "" || len(out.Kept) > 0 {
		t.Errorf("rm of what never began: %+v, %v", out, err)
	}
}

// A get that names another place than the one where the download was begun ends with a copy there, and says so; what never began goes there alone.
func TestGetElsewhere(t *testing.T) {
	net := apptest.New(t, 2, build)
	path := filepath.Join(t.TempDir(), "film.mkv")
	want := write(t, path, 3<<20)
	first, second := t.TempDir(), t.TempDir()
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}})
	n := net.Node(1)

	nobody := kith.RawRef([32]byte{7}).String()
	for _, to := range []string{first, second} {
		err := n.Call(t.Context(), "files", "get", files.GetIn{Link: nobody, Output: to, Timeout: "100ms"}, new(files.GetOut))
		if !errors.Is(err, kith.Timeout) {
			t.Fatal(err)
		}
		if it := until(t, n, func(it files.Item) bool { return it.State == "paused" }); filepath.Clean(it.Path) != to {
			t.Errorf("nothing had come, and it is wanted in %s: it is to come to %s", to, it.Path)
		}
	}
	if err := n.Call(t.Context(), "files", "rm", files.RmIn{Ref: nobody}, new(any)); err != nil {
		t.Fatal(err)
	}

	if err := n.Call(t.Context(), "files", "limit", files.LimitIn{Down: "200K"}, new(any)); err != nil {
		t.Fatal(err)
	}
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: s.Link, Output: first, Detach: true}, new(files.GetOut)); err != nil {
		t.Fatal(err)
	}
	until(t, n, func(it files.Item) bool { return it.Done > 0 })
	err := n.Call(t.Context(), "files", "get", files.GetIn{Link: s.Link, Output: second, Detach: true}, new(files.GetOut))
	if !errors.Is(err, kith.Exists) || !strings.Contains(err.Error(), first) {
		t.Errorf("get --detach to another place: %v", err)
	}
	if err := n.Call(t.Context(), "files", "pause", files.RefIn{Ref: s.Link}, new(any)); err != nil {
		t.Fatal(err)
	}
	if err := n.Call(t.Context(), "files", "limit", files.LimitIn{Down: "0"}, new(any)); err != nil {
		t.Fatal(err)
	}
	got := get(t, n, files.GetIn{Link: s.Link, Output: second})
	if got.Path != filepath.Join(second, "film.mkv") || got.CopyOf != filepath.Join(first, "film.mkv") {
		t.Errorf("got %+v", got)
	}
	sameFile(t, got.Path, want)
	sameFile(t, got.CopyOf, want)
	again := get(t, n, files.GetIn{Link: s.Link, Output: second})
	if left, _ := os.ReadDir(second); again.Path != got.Path || len(left) != 1 {
		t.Errorf("asked for again it is at %s, beside %v", again.Path, left)
	}
	if got = get(t, n, files.GetIn{Link: s.Link, Output: first}); got.Path != filepath.Join(first, "film.mkv") || got.CopyOf != "" {
		t.Errorf("where it is already: %+v", got)
	}
}

// What was on the list before is not begun by another application, so that it does not give it up either.
func TestFetchOfWhatIsThere(t *testing.T) {
	f := files.New()
	net := apptest.New(t, 1, func() ([]app.App, transfer.Guard) { return []app.App{f.App()}, f })
	path := filepath.Join(t.TempDir(), "film.mkv")
	write(t, path, 100<<10)
	s := share(t, net.Node(0), files.ShareIn{Paths: []string{path}})
	began, err := f.Fetch(t.Context(), s.Link, t.TempDir())
	if began || err != nil {
		t.Errorf("a share of one's own was begun to be fetched: %v, %v", began, err)
	}
	l, err := kith.ParseLink(s.Link)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := f.Fetched(l.Ref); !ok || st.State != transfer.Done || st.Path != path {
		t.Errorf("it is %+v, %v", st, ok)
	}
	nobody := kith.Link{Ref: kith.RawRef([32]byte{9}), Size: -1}
	for _, want := range []bool{true, false} {
		if began, err := f.Fetch(t.Context(), nobody.String(), t.TempDir()); began != want || err != nil {
			t.Errorf("began %v, %v; want %v", began, err, want)
		}
	}
}

// TestSelect: what was selected of a folder gets the folder's name, also after a restart; more of it comes there, and in the end it is the folder. A file that is twice in it comes under the name
// that was selected.
func TestSelect(t *testing.T) {
	net := apptest.New(t, 2, build)
	dir := filepath.Join(t.TempDir(), "holiday")
	film := write(t, filepath.Join(dir, "a/film.mkv"), 3<<20+5)
	notes := write(t, filepath.Join(dir, "notes.txt"), 100_000)
	for _, twin := range []string{"a/again.txt", "z.jpg"} {
		if err := os.WriteFile(filepath.Join(dir, twin), notes, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := share(t, net.Node(0), files.ShareIn{Paths: []string{dir}}).Link
	n, to := net.Node(1), filepath.Join(t.TempDir(), "out")
	part := get(t, n, files.GetIn{Link: link, Output: to, Select: []string{"z.*"}})
	if !part.Part || part.Path != to || part.CopyOf != "" {
		t.Errorf("a part: %+v", part)
	}
	sameFile(t, filepath.Join(to, "z.jpg"), notes)
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(to), "*/*")); len(names) != 1 {
		t.Errorf("there is more than was selected: %v", names)
	}
	net.Restart(1)
	n = net.Node(1)
	if more := get(t, n, files.GetIn{Link: link, Output: to, Select: []string{"z.*", "a/film.mkv"}}); !more.Part || more.Path != to {
		t.Errorf("more of it: %+v", more)
	}
	sameFile(t, filepath.Join(to, "a/film.mkv"), film)
	whole := get(t, n, files.GetIn{Link: link, Output: to})
	if whole.Part || whole.Path != to {
		t.Errorf("the whole: %+v", whole)
	}
	for _, name := range []string{"notes.txt", "a/again.txt", "z.jpg"} {
		sameFile(t, filepath.Join(to, name), notes)
	}
	if left, _ := os.ReadDir(filepath.Dir(to)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}
