package files_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kith"
	"kith/apps/files"
	"kith/apptest"
	"kith/bridge/bittorrent/metainfo"
)

// A theirs is a file of a torrent that others made: what it is called there, and its bytes.
type theirs struct {
	names []string
	data  []byte
}

// torrentOf writes the .torrent file of a folder as programs without pads make it (BEP 3), with a web seed (BEP 19) that has all of it.
func torrentOf(t *testing.T, name string, piece int, list []theirs) (path string) {
	t.Helper()
	by := make(map[string][]byte, len(list))
	var info, all bytes.Buffer
	text := func(s string) { fmt.Fprintf(&info, "%d:%s", len(s), s) }
	info.WriteString("d5:filesl")
	for _, f := range list {
		fmt.Fprintf(&info, "d6:lengthi%de4:pathl", len(f.data))
		for _, n := range f.names {
			text(n)
		}
		info.WriteString("ee")
		all.Write(f.data)
		by["/"+name+"/"+strings.Join(f.names, "/")] = f.data
	}
	info.WriteString("e4:name")
	text(name)
	fmt.Fprintf(&info, "12:piece lengthi%de6:pieces", piece)
	var digests bytes.Buffer
	for b := all.Bytes(); len(b) > 0; b = b[min(piece, len(b)):] {
		sum := sha1.Sum(b[:min(piece, len(b))])
		digests.Write(sum[:])
	}
	text(digests.String())
	info.WriteString("e")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, err := url.PathUnescape(r.URL.EscapedPath()) // which may be no UTF-8
		data, ok := by[name]
		if !ok || err != nil {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return writeTorrent(t, info.String(), s.URL+"/")
}

func writeTorrent(t *testing.T, info, seed string) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "x.torrent")
	if err := os.WriteFile(at, fmt.Appendf(nil, "d4:info%s8:url-list%d:%se", info, len(seed), seed), 0o600); err != nil {
		t.Fatal(err)
	}
	return at
}

// TestHundredThousandFiles: a torrent of 100,000 files is listed within bounds, and one file of it is fetched without the others.
func TestHundredThousandFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred thousand files take a minute with the race detector; they run without -short")
	}
	_, build := torrented(t)
	n := apptest.New(t, 1, build).Node(0)
	const many = 100_000
	list := make([]theirs, many)
	for i := range list {
		list[i] = theirs{[]string{fmt.Sprintf("folder %03d", i/100), fmt.Sprintf("file %06d.txt", i)}, []byte(strings.Repeat(fmt.Sprintf("%09d\n", i), 10))}
	}
	torrent := torrentOf(t, "many", 64<<10, list)
	list = list[42_042:42_043]
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	var listed files.GetOut
	if err := n.Call(t.Context(), "files", "get", files.GetIn{Link: torrent, List: true, Timeout: "1m"}, &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed.Listed)+listed.More != many || len(listed.Listed) > 2000 || listed.Size != many*100 {
		t.Errorf("listed %d and %d more of %d bytes", len(listed.Listed), listed.More, listed.Size)
	}
	out := t.TempDir()
	got := get(t, n, files.GetIn{Link: torrent, Output: out, Select: []string{"folder 420/file 042042.txt"}})
	if !got.Part || got.Size != 100 {
		t.Errorf("%+v", got)
	}
	there := 0
	filepath.WalkDir(out, func(_ string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			there++
		}
		return nil
	})
	sameFile(t, filepath.Join(got.Path, "folder 420", "file 042042.txt"), list[0].data)
	if there != 1 {
		t.Errorf("%d files were made", there)
	}
	shown := show(t, n, got.Ref.String())
	if len(shown.Tree) > 2000 || len(shown.Tree)+shown.More != many {
		t.Errorf("show has %d files, and %d more", len(shown.Tree), shown.More)
	}
	var ls files.LsOut
	if err := n.Call(t.Context(), "files", "ls", nil, &ls); err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(ls); err != nil || len(data) > 16<<10 {
		t.Errorf("ls has %d bytes, %v", len(data), err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 256<<20 {
		t.Errorf("%d MB more are held", grown>>20)
	} else {
		t.Logf("%d MB more are held, %d MB were allocated", grown>>20, (after.TotalAlloc-before.TotalAlloc)>>20)
	}
}

// TestNamesOfOthers: names that a system of others has and another cannot: each file comes, under a name of its own.
func TestNamesOfOthers(t *testing.T) {
	_, build := torrented(t)
	n := apptest.New(t, 1, build).Node(0)
	var list []theirs
	for i, names := range [][]string{
		{"caf\u00e9.txt"}, {"cafe\u0301.txt"}, // one letter, and a letter with an accent
		{"CON"}, {"nul.txt"}, {"aux .tar.gz"}, {"COM\u00b9.log"}, {"ends with a dot."}, {"ends with a space "}, {"a:b?c"}, {"a*b?c"}, {`back\slash`}, // not on Windows
		{"README"}, {"readme"}, {"Readme"}, {"stra\u00dfe"}, {"STRASSE"}, // the same where case is ignored
		{"Season 1", "1.mkv"}, {"season 1", "2.mkv"}, {"season 1", "1.mkv"}, {"\u00e9t\u00e9", "a"}, {"e\u0301te\u0301", "b"}, // and folders
		{"latin\xe9.txt"}, {"\u202etxt.exe"}, {"tab\there"}, {"\U0001f468\u200d\U0001f469\u200d\U0001f467.png"}, {strings.Repeat("\u96ea", 85)}, {"\u96ea\u5c71", "\u6771\u4eac.txt"},
	} {
		list = append(list, theirs{names, fmt.Appendf(nil, "this is file %d", i)})
	}
	got := get(t, n, files.GetIn{Link: torrentOf(t, "aux", 16<<10, list), Output: t.TempDir()})
	if base := strings.ToLower(filepath.Base(got.Path)); base == "aux" {
		t.Errorf("the folder is called %s", base)
	}
	want := map[string]bool{}
	for _, f := range list {
		want[string(f.data)] = true
	}
	filepath.WalkDir(got.Path, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
		} else if !d.IsDir() {
			data, err := os.ReadFile(p)
			if !want[string(data)] || err != nil {
				t.Errorf("%q: %q, %v", p, data, err)
			}
			delete(want, string(data))
		}
		return nil
	})
	for data := range want {
		t.Errorf("%q did not come", data)
	}
}

// TestTorrentOfTwoContents: a hybrid whose two versions are of different bytes does not become an item that is done, and the person is told which version and which file.
func TestTorrentOfTwoContents(t *testing.T) {
	_, build := torrented(t)
	n := apptest.New(t, 1, build).Node(0)
	const piece = 16 << 10
	data := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	digest := func(data []byte) metainfo.Digest {
		h := metainfo.NewHasher(piece)
		h.Write(data)
		return h.Sum()
	}
	d, other := digest(data), digest(append(bytes.Clone(data[1:]), 0))
	d.Root, d.Layer = other.Root, other.Layer
	mixed, err := metainfo.Make("film.mkv", false, true, piece, []metainfo.Entry{{Path: "film.mkv", Digest: d}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	defer s.Close()
	mixed.WebSeeds = []string{s.URL + "/film.mkv"}
	at, out := filepath.Join(t.TempDir(), "x.torrent"), t.TempDir()
	if err := os.WriteFile(at, mixed.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	err = n.Call(t.Context(), "files", "get", files.GetIn{Link: at, Output: out, Timeout: "30s"}, &files.GetOut{})
	if !errors.Is(err, kith.Corrupt) || !strings.Contains(err.Error(), `"film.mkv" is not what its digest of BitTorrent version 2 says`) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(out, "film.mkv")); err == nil {
		t.Error("it is there as if it were right")
	}
}
