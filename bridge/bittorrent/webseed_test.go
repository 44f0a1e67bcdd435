package bittorrent

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// webSeed serves files as any web server does, at the paths below /seed/, once all of after hold, and counts the bytes that it sent.
func webSeed(t *testing.T, files map[string][]byte, after ...func() bool) (url string, sent *atomic.Int64) {
	t.Helper()
	sent = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[strings.TrimPrefix(r.URL.Path, "/seed/")]
		if !ok {
			t.Errorf("asked for %q", r.URL.Path)
			http.NotFound(w, r)
			return
		}
		for _, ok := range after {
			for !ok() && r.Context().Err() == nil {
				time.Sleep(sampleEvery / 10)
			}
		}
		http.ServeContent(counting{w, sent}, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/seed/", sent
}

type counting struct {
	http.ResponseWriter
	sent *atomic.Int64
}

// Write implements io.Writer.
func (c counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// TestWebSeedAlone fetches a file, and a folder, from a web server, with nobody in the swarm (BEP 19). The server is named by the .torrent file, and by the link. A hybrid has pads
// between the files (BEP 47), which no server has; in a folder of version 1 pieces reach over the ends of files.
func TestWebSeedAlone(t *testing.T) {
	t.Parallel()
	film, dir := map[string][]byte{"": sample(9, 5<<20+4321)}, folder()
	for _, c := range []struct {
		name, version, by string
		files             map[string][]byte
	}{
		{"film ü.mkv", "v1", "torrent", film}, {"film ü.mkv", "hybrid", "link", film}, {"Ordner 雪", "v1", "link", dir}, {"Ordner 雪", "hybrid", "torrent", dir},
	} {
		t.Run(c.name+"/"+c.version, func(t *testing.T) {
			t.Parallel()
			ctx := timed(t, time.Minute)
			a := newNode(t, func(o *Options) { o.Config.Hybrid = c.version == "hybrid" })
			share := a.share(c.name, c.files)
			if _, err := a.Publish(ctx, share); err != nil {
				t.Fatal(err)
			}
			_, tor, err := a.store0(ctx, share.Root)
			if err != nil {
				t.Fatal(err)
			}
			fromWebSeed(t, tor, c.name, c.by, c.files)
		})
	}
}

// fromWebSeed fetches a torrent from a web server that has its files, and sees that there is nothing else that it was asked for.
func fromWebSeed(t *testing.T, tor *metainfo.Torrent, name, by string, files map[string][]byte) {
	t.Helper()
	ctx := timed(t, time.Minute)
	served := map[string][]byte{}
	for p, data := range files {
		served[path.Join(name, p)] = data
	}
	url, sent := webSeed(t, served)
	if by == "torrent" {
		tor.WebSeeds = append(tor.WebSeeds, url)
	}
	b := newNode(t, nil)
	l, err := b.AddTorrent(ctx, tor.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if by == "link" { // of what is known already: metadata comes from peers, of which there are none
		l.WebSeeds = []string{url}
		if l, err = kith.ParseLink(l.String()); err != nil || len(l.WebSeeds) != 1 {
			t.Fatalf("%+v, %v", l, err)
		}
	}
	d := b.get(ctx, l)
	d.all(ctx)
	d.mustBe(ctx, files)
	if sent.Load() == 0 {
		t.Error("the web server has sent nothing")
	}
}

// TestWebSeedBeside fetches from a web server and a peer at once: the peer gives the metadata, and is too slow to give all. The server begins when the peer has given something.
func TestWebSeedBeside(t *testing.T) {
	ctx := timed(t, time.Minute)
	a := newNode(t, func(o *Options) { o.Limits = func() (up, down int64) { return 1 << 20, 0 } })
	b := newNode(t, nil)
	files := map[string][]byte{"": sample(9, 16<<20+4321)}
	names, err := a.Publish(ctx, a.share("film.mkv", files))
	if err != nil {
		t.Fatal(err)
	}
	up := func() bool { st, err := a.StatusOf(names); return err == nil && st.Up > 0 }
	url, sent := webSeed(t, map[string][]byte{"film.mkv": files[""]}, up)
	l := a.link(names)
	l.WebSeeds = []string{url}
	d := b.get(ctx, l)
	d.all(ctx)
	d.mustBe(ctx, files)
	if sent.Load() == 0 || !up() {
		t.Error("one of the two has sent nothing")
	}
	st, err := a.StatusOf(names)
	t.Logf("the web server sent %d bytes, the peer %d, %v", sent.Load(), st.Up, err)
}
