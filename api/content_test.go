package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kith"
	"kith/app"
)

// mint returns the host and the path of an address for content.
func (f *fixture) mint(ctx context.Context, c app.Content) (host, path string) {
	f.t.Helper()
	address, err := f.Mint(ctx, c)
	if err != nil {
		f.t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || !strings.HasSuffix(u.Host, ".localhost:"+f.port) || len(u.EscapedPath()) < 40 {
		f.t.Fatalf("address %s", address)
	}
	return u.Host, u.EscapedPath()
}

func (f *fixture) read(method, host, path string, more ...string) answered {
	f.t.Helper()
	h := map[string]string{"Host": host}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return f.send(request{method: method, path: path, header: h})
}

type closer struct {
	io.ReadSeeker
	closed *atomic.Int32
}

func (c closer) Close() error {
	c.closed.Add(1)
	return nil
}

// text is content that counts how often it was opened and closed.
func text(name, s string) (c app.Content, opened, closed *atomic.Int32) {
	opened, closed = new(atomic.Int32), new(atomic.Int32)
	return app.Content{Name: name, Size: int64(len(s)), Open: func(context.Context) (io.ReadSeekCloser, error) {
		opened.Add(1)
		return closer{strings.NewReader(s), closed}, nil
	}}, opened, closed
}

func TestContent(t *testing.T) {
	f := serve(t)
	c, opened, closed := text("folder/film.mp4", "0123456789")
	host, path := f.mint(t.Context(), c)
	if !strings.HasSuffix(path, "/film.mp4") {
		t.Errorf("path %s", path)
	}
	a := f.read("GET", host, path)
	if a.status != 200 || a.body != "0123456789" || a.header.Get("Content-Type") != "video/mp4" || a.header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%d %v %q", a.status, a.header, a.body)
	}
	for header, want := range map[string]string{"bytes=2-4": "234", "bytes=7-": "789", "bytes=-2": "89", "bytes=0-0": "0"} {
		if a := f.read("GET", host, path, "Range", header); a.status != 206 || a.body != want {
			t.Errorf("%s: %d %q, want %q", header, a.status, a.body, want)
		}
	}
	if a := f.read("GET", host, path, "Range", "bytes=10-"); a.status != 416 {
		t.Errorf("range behind the end: %d", a.status)
	}
	etag := a.header.Get("ETag")
	if a := f.read("GET", host, path, "Range", "bytes=2-4", "If-Range", etag); a.status != 206 || a.body != "234" {
		t.Errorf("If-Range: %d %q", a.status, a.body)
	}
	if a := f.read("GET", host, path, "Range", "bytes=2-4", "If-Range", `"other"`); a.status != 200 {
		t.Errorf("If-Range of something else: %d", a.status)
	}
	before := opened.Load()
	if a := f.read("HEAD", host, path); a.status != 200 || a.header.Get("Content-Length") != "10" || a.body != "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if opened.Load() != before || opened.Load() != closed.Load() {
		t.Errorf("opened %d times (%d of them for HEAD), closed %d", opened.Load(), opened.Load()-before, closed.Load())
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if a := f.read(method, host, path); a.status != 405 {
			t.Errorf("%s: %d", method, a.status)
		}
	}
}

// Nothing on a content host reaches the interface, and no content is on the page's host.
func TestContentOrigin(t *testing.T) {
	f := serve(t)
	session := f.session()
	c, _, _ := text("a.txt", "text of a")
	host, path := f.mint(t.Context(), c)
	d, _, _ := text("b.txt", "text of b")
	otherHost, otherPath := f.mint(t.Context(), d)
	auth := []string{"Cookie", session.Name + "=" + session.Value, pageHeader, session.proof, "Authorization", "Bearer " + f.token}
	for _, p := range []string{"/", "/api/openapi.json", "/api/fake/say-it?text=a", "/api/session", "/metrics", "/assets/app-1234.js"} {
		if a := f.read("GET", host, p, auth...); a.status != 404 || strings.Contains(a.body, "shell") {
			t.Errorf("%s on a content host: %d %s", p, a.status, a.body)
		}
	}
	if a := f.read("POST", host, "/api/fake/echo", auth...); a.status != 405 {
		t.Errorf("POST on a content host: %d", a.status)
	}
	if a := f.read("GET", f.Addr(), path, auth...); strings.Contains(a.body, "text of a") {
		t.Error("content on the page's host")
	}
	for _, p := range []string{"/", "/a.txt", "/x" + path, path[:20], otherPath, strings.ToUpper(path)} {
		if a := f.read("GET", host, p, auth...); a.status != 404 {
			t.Errorf("%s: %d %q", p, a.status, a.body)
		}
	}
	if host == otherHost {
		t.Error("two contents share a host")
	}
	if a := f.read("GET", "unknown.localhost:"+f.port, path); a.status != 404 {
		t.Errorf("unknown host: %d", a.status)
	}
	// Sent by a page elsewhere, it says nothing of the session, and no script in it would run.
	h := f.read("GET", host, path).header
	if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "sandbox;") || !strings.Contains(csp, "default-src 'none'") ||
		strings.Contains(csp, "script") || strings.Contains(csp, "allow-") {
		t.Errorf("policy %q", csp)
	}
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("header %v", h)
	}
}

// What a browser could run or interpret is saved, not shown.
func TestContentShown(t *testing.T) {
	f := serve(t)
	for name, want := range map[string]string{
		"a.html": "attachment", "a.HTM": "attachment", "a.svg": "attachment", "a.xml": "attachment", "a.pdf": "attachment", "a.xhtml": "attachment",
		"a.js": "attachment", "a": "attachment", "a.mp4.html": "attachment", "a.exe": "attachment", "a.mht": "attachment",
		"a.mp4": "inline", "a.PNG": "inline", "a.txt": "inline", "a.flac": "inline", "a.mkv": "inline",
	} {
		c, _, _ := text(name, "<script>")
		host, path := f.mint(t.Context(), c)
		h := f.read("GET", host, path).header
		how, _, _ := strings.Cut(h.Get("Content-Disposition"), ";")
		if how != want || how == "attachment" && h.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %s as %s, want %s", name, how, h.Get("Content-Type"), want)
		}
	}
}

// A peer's name stays a name.
func TestContentNames(t *testing.T) {
	f := serve(t)
	for _, name := range []string{"..", ".", "/", "", "../../etc/passwd", `..\..\x`, "a\r\nSet-Cookie: x=y\r\n\r\n<script>", `"; filename="x.exe`, "a\x00b", "ü ?#%.txt", "\xff"} {
		c, _, _ := text(name, "content")
		host, path := f.mint(t.Context(), c)
		a := f.read("GET", host, path)
		if a.status != 200 || a.body != "content" || a.header.Get("Set-Cookie") != "" || strings.Count(path, "/") != 2 || strings.Contains(path, "..") {
			t.Errorf("%q: %d %s %v", name, a.status, path, a.header)
		}
	}
}

func TestContentEnds(t *testing.T) {
	f := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	c, _, _ := text("a.txt", "text")
	host, path := f.mint(ctx, c)
	if a := f.read("GET", host, path); a.status != 200 {
		t.Fatalf("%d", a.status)
	}
	cancel()
	end := time.Now().Add(time.Minute) // what drops it runs on a goroutine of its own
	for f.contents.find(strings.TrimSuffix(host, ".localhost:"+f.port)) != nil && time.Now().Before(end) {
		time.Sleep(10 * time.Millisecond)
	}
	if a := f.read("GET", host, path); a.status != 404 {
		t.Errorf("after its context ended: %d", a.status)
	}
	host, path = f.mint(t.Context(), c)
	id := strings.TrimSuffix(host, ".localhost:"+f.port)
	f.contents.find(id).ends = time.Now().Add(-time.Second)
	if a := f.read("GET", host, path); a.status != 404 {
		t.Errorf("after its time: %d", a.status)
	}
	for range maxContents + 10 {
		host, path = f.mint(t.Context(), c)
	}
	if n := len(f.contents.byID); n > maxContents {
		t.Errorf("%d contents, at most %d", n, maxContents)
	}
	if a := f.read("GET", host, path); a.status != 200 {
		t.Errorf("the newest: %d", a.status)
	}
	if _, err := f.Mint(t.Context(), app.Content{Name: "x", Size: -1}); !errors.Is(err, kith.Invalid) {
		t.Errorf("unknown size: %v", err)
	}
}

// film is huge, and its bytes come when they are wanted: each is its offset divided by 1 MiB.
type film struct {
	ctx  context.Context
	at   int64
	gate chan struct{} // a read behind the first MiB waits for it
}

const filmSize = int64(1) << 62

func (f *film) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return 0, errors.New("the end is not known here")
	}
	f.at = offset
	return offset, nil
}

func (f *film) Read(p []byte) (int, error) {
	if f.at >= 1<<20 {
		select {
		case <-f.gate:
		case <-f.ctx.Done():
			return 0, f.ctx.Err()
		}
	}
	for i := range p {
		p[i] = byte((f.at + int64(i)) >> 20)
	}
	f.at += int64(len(p))
	return len(p), nil
}

func (f *film) Close() error { return nil }

// Content larger than any memory is streamed, waits for bytes that have not come, and lets go when the reader does.
func TestContentStreams(t *testing.T) {
	f := serve(t)
	gate, ended := make(chan struct{}), make(chan error, 2)
	host, path := f.mint(t.Context(), app.Content{Name: "film.mkv", Size: filmSize, Open: func(ctx context.Context) (io.ReadSeekCloser, error) {
		context.AfterFunc(ctx, func() { ended <- ctx.Err() })
		return &film{ctx: ctx, gate: gate}, nil
	}})
	get := func(header string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+f.Addr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Range", header)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := get("bytes=0-")
	first := make([]byte, 1<<20)
	if _, err := io.ReadFull(resp.Body, first); err != nil || resp.ContentLength != filmSize {
		t.Fatalf("first MiB of %d: %v", resp.ContentLength, err)
	}
	resp.Body.Close() // the reader seeks, and a read that waits ends
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("reader left: %v", err)
	}
	resp = get(fmt.Sprintf("bytes=%d-", 7<<20))
	close(gate)
	if _, err := io.ReadFull(resp.Body, first); err != nil || first[0] != 7 || resp.StatusCode != 206 {
		t.Errorf("after the gate: %d %d %v", resp.StatusCode, first[0], err)
	}
	resp.Body.Close()
	// What cannot be opened says so.
	host, path = f.mint(t.Context(), app.Content{Name: "gone", Size: 5, Open: func(context.Context) (io.ReadSeekCloser, error) {
		return nil, fmt.Errorf("blob: read: %w", kith.Gone)
	}})
	if a := f.read("GET", host, path); a.status != 410 {
		t.Errorf("gone: %d", a.status)
	}
}
