package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kith"
	"kith/transfer"
)

// content is what of a file is here.
type content struct{ have map[int64]bool }

func (c content) ReadAt([]byte, int, int64) (int, error) { return 0, kith.NotFound }
func (c content) Has(s transfer.Span) bool               { return c.have[s.Off] }

func open(t *testing.T, b *Bridge, link string, c transfer.Content) transfer.Origin {
	t.Helper()
	l, err := kith.ParseLink(link)
	if err != nil {
		t.Fatal(err)
	}
	opener := b.Open(l)
	if opener == nil {
		t.Fatalf("%s is nothing on the web", link)
	}
	o, err := opener(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func newBridge(t *testing.T, dir string, s *httptest.Server) *Bridge {
	t.Helper()
	o := Options{Dir: dir}
	if s != nil && s.TLS != nil {
		pool := x509.NewCertPool()
		pool.AddCert(s.Certificate())
		o.TLS = &tls.Config{RootCAs: pool}
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// served serves data with ranges under a strong ETag, over TLS.
func served(t *testing.T, data *atomic.Pointer[[]byte]) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := *data.Load()
		w.Header().Set("ETag", fmt.Sprintf(`"%d-%d"`, len(d), d[0]))
		http.ServeContent(w, r, "film.mkv", time.Time{}, bytes.NewReader(d))
	}))
	t.Cleanup(s.Close)
	return s
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func TestFetchInStretches(t *testing.T) {
	want := random(3*unit + 17)
	var data atomic.Pointer[[]byte]
	data.Store(&want)
	s := served(t, &data)
	dir := t.TempDir()
	o := open(t, newBridge(t, dir, s), s.URL+"/a/film%20one.mkv?key=1", content{})
	l, err := o.Layout(t.Context())
	if err != nil || len(l.Files) != 1 || l.Files[0].Size != int64(len(want)) || l.Name != "film one.mkv" || l.Folder {
		t.Fatalf("%+v, %v", l, err)
	}
	got := make([]byte, len(want))
	alive := 0
	for _, off := range []int64{2 * unit, 0, 3 * unit, unit} {
		n := min(unit, int64(len(want))-off)
		p, err := o.Fetch(t.Context(), transfer.Span{Off: off, N: n}, func() { alive++ })
		if err != nil || int64(len(p)) != n {
			t.Fatal(len(p), err)
		}
		copy(got[off:], p)
	}
	if !bytes.Equal(got, want) || alive < 4 {
		t.Errorf("other bytes came; alive %d times", alive)
	}
	if p := o.Peers(10); len(p) != 1 || p[0].Bytes != int64(len(want)) || !strings.HasPrefix(p[0].Via, "https, HTTP/") {
		t.Errorf("%+v", p)
	}
	if err := o.Verify(t.Context(), func(int64) {}); err != nil {
		t.Error(err)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "web.json")); err != nil || string(kept) != "{}" {
		t.Errorf("%s, %v", kept, err)
	}
	for _, bad := range []transfer.Span{{N: 0}, {Off: -1, N: 1}, {Off: int64(len(want)), N: 1}, {N: maxSpan + 1}, {File: 1, N: 1}, {Off: 1 << 62, N: 1 << 62}} {
		if _, err := o.Fetch(t.Context(), bad, func() {}); !errors.Is(err, kith.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestChanged: a file that changes while it is fetched, also over a restart, is not mixed.
func TestChanged(t *testing.T) {
	one, two := random(2*unit), random(2*unit)
	one[0], two[0] = 1, 2
	var data atomic.Pointer[[]byte]
	data.Store(&one)
	s := served(t, &data)
	dir := t.TempDir()
	o := open(t, newBridge(t, dir, s), s.URL+"/f", content{})
	if _, err := o.Layout(t.Context()); err != nil {
		t.Fatal(err)
	}
	span := transfer.Span{Off: 0, N: unit}
	if _, err := o.Fetch(t.Context(), span, func() {}); err != nil {
		t.Fatal(err)
	}
	data.Store(&two)
	if _, err := o.Fetch(t.Context(), transfer.Span{Off: unit, N: unit}, func() {}); !errors.Is(err, kith.Corrupt) || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("in one go: %v", err)
	}
	for _, tt := range []struct {
		have map[int64]bool
		want error
	}{{map[int64]bool{0: true}, kith.Corrupt}, {nil, nil}} { // what nothing is here of is begun anew
		o := open(t, newBridge(t, dir, s), s.URL+"/f", content{tt.have})
		if _, err := o.Layout(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Fetch(t.Context(), span, func() {}); !errors.Is(err, tt.want) {
			t.Errorf("after a restart, with %v here: %v", tt.have, err)
		}
	}
}

// TestNoStretches: a server that gives only all of a file, from its beginning.
func TestNoStretches(t *testing.T) {
	want := random(2*unit + 5)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(want)))
		w.Header().Set("Content-Disposition", `attachment; filename="../x/report.pdf"`)
		w.Write(want)
	}))
	defer s.Close()
	o := open(t, newBridge(t, t.TempDir(), s), s.URL, content{})
	l, err := o.Layout(t.Context())
	if err != nil || l.Files[0].Size != int64(len(want)) || strings.Contains(l.Name, "/") || !strings.HasSuffix(l.Name, "report.pdf") {
		t.Fatalf("%+v, %v", l, err)
	}
	for _, off := range []int64{unit, 2 * unit, 0} {
		n := min(unit, int64(len(want))-off)
		if p, err := o.Fetch(t.Context(), transfer.Span{Off: off, N: n}, func() {}); err != nil || !bytes.Equal(p, want[off:off+n]) {
			t.Errorf("%d: %d bytes, %v", off, len(p), err)
		}
	}
}

// TestBadServers: each is told what is wrong, and ends.
func TestBadServers(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/nosize", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("a"))
		w.(http.Flusher).Flush()
		w.Write([]byte("b"))
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-0/9000000000000000000")
		w.WriteHeader(206)
		w.Write([]byte("a"))
	})
	mux.HandleFunc("/liar", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-0/nonsense")
		w.WriteHeader(206)
	})
	mux.HandleFunc("/busy", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	mux.HandleFunc("/secret", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	s := httptest.NewTLSServer(mux)
	defer s.Close()
	b := newBridge(t, t.TempDir(), s)
	for path, want := range map[string]struct {
		kind kith.Kind
		says string
	}{
		"/none": {kith.NotFound, "404"}, "/nosize": {kith.Invalid, "how large"}, "/huge": {kith.TooLarge, "bytes"}, "/liar": {kith.Invalid, "how large"}, "/busy": {kith.Unavailable, "503"},
		"/secret": {kith.Denied, "403"}, "/round": {kith.Invalid, "more than 5 times"}, "/file": {kith.Denied, "not encrypted"}, "/plain": {kith.Denied, "not encrypted"},
	} {
		_, err := open(t, b, s.URL+path, content{}).Layout(t.Context())
		if !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := open(t, newBridge(t, t.TempDir(), nil), s.URL+"/nosize", content{}).Layout(t.Context()); !errors.Is(err, kith.Unavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody has signed: %v", err)
	}
}

// TestBrokenOff: a stretch that ends early is not taken for whole, and the next server is asked.
func TestSecondServer(t *testing.T) {
	want := random(unit)
	var first atomic.Int32
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
	}))
	defer good.Close()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first.Add(1) == 1 {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(want))
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", unit-1, unit))
		w.Header().Set("Content-Length", fmt.Sprint(unit))
		w.WriteHeader(206)
		w.Write(want[:1000])
	}))
	defer bad.Close()
	o := open(t, newBridge(t, t.TempDir(), nil), kith.Link{Ref: kith.RawRef([32]byte{1}), Size: unit, Names: kith.Names{WebSeeds: []string{bad.URL, good.URL}}}.String(), content{})
	if _, err := o.Layout(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := o.Fetch(t.Context(), transfer.Span{N: unit}, func() {})
	if err != nil || !bytes.Equal(p, want) || first.Load() != 2 {
		t.Errorf("%d bytes, %v; the first was asked %d times", len(p), err, first.Load())
	}
}

// TestLocal: an address with a query that somebody else chose does not make anything in the local network do something.
func TestLocal(t *testing.T) {
	asked := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer s.Close()
	o := open(t, newBridge(t, t.TempDir(), nil), kith.Link{Ref: kith.RawRef([32]byte{1}), Size: 1, Names: kith.Names{WebSeeds: []string{s.URL + "/reboot?now=1"}}}.String(), content{})
	if _, err := o.Layout(t.Context()); !errors.Is(err, kith.Denied) || asked {
		t.Errorf("%v, asked: %v", err, asked)
	}
}

func TestOpenWhat(t *testing.T) {
	b := newBridge(t, t.TempDir(), nil)
	hash := "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20)
	ref := "magnet:?xt=urn:blake3:" + strings.Repeat("ab", 32)
	folder := "magnet:?x.cid=" + kith.ManifestRef([32]byte{1}).String()
	for link, want := range map[string]bool{
		"https://example.org/a": true, "https://example.org/a.torrent": false, hash + "&ws=https://example.org/a": false, ref + "&ws=https://example.org/a": true,
		ref + "&xs=https://example.org/a": true, folder + "&ws=https://example.org/a": false, "ipfs://QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG": false,
		"https://ipfs.io/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG": false, "/tmp/a.torrent": false, ref: false,
	} {
		l, err := kith.ParseLink(link)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Open(l) != nil; got != want {
			t.Errorf("%s: %v", link, got)
		}
	}
}

func TestReadTorrent(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/a.torrent", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "d4:infode") })
	mux.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-bittorrent; charset=binary")
		io.WriteString(w, "d4:infode")
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") })
	s := httptest.NewServer(mux)
	defer s.Close()
	b := newBridge(t, t.TempDir(), nil)
	for path, want := range map[string]string{"/a.torrent": "d4:infode", "/download?id=1": "d4:infode", "/page": "", "/none": ""} {
		if data, err := b.ReadTorrent(t.Context(), s.URL+path, 100); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	if _, err := b.ReadTorrent(t.Context(), s.URL+"/b.torrent", 100); !errors.Is(err, kith.NotFound) {
		t.Error(err)
	}
	if _, err := b.ReadTorrent(t.Context(), s.URL+"/a.torrent", 5); !errors.Is(err, kith.TooLarge) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.ReadTorrent(ctx, s.URL+"/a.torrent", 100); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
