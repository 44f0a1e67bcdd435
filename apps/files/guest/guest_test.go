package guest

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kith"
)

// A fixture is a desk that serves on loopback, and a folder with what can be given.
type fixture struct {
	t    *testing.T
	dir  string // what can be given
	path string // of the state
	desk *Desk
	now  time.Time
	mu   sync.Mutex
}

const film = "film of the lake & you.mkv"

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), path: filepath.Join(t.TempDir(), "guest.json"), now: time.Now()}
	data := make([]byte, 300_000)
	rand.Read(data)
	f.write(film, data)
	f.write("holiday/beach/x.jpg", []byte("a picture"))
	f.write("holiday/<img src=x>.html", []byte("<script>alert(1)</script>"))
	f.write("holiday/keys/token", []byte("secret"))
	f.write("outside.txt", []byte("not given"))
	for name, to := range map[string]string{"holiday/out": "../outside.txt", "holiday/up": "..", "holiday/beach/key": "../keys/token"} {
		if err := os.Symlink(to, filepath.Join(f.dir, name)); err != nil {
			t.Log("no symbolic links here: what is reached through them was not tested")
		}
	}
	f.start()
	return f
}

func (f *fixture) write(name string, data []byte) {
	f.t.Helper()
	p := filepath.Join(f.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// start opens the desk on the state that is there, as a node does when it starts.
func (f *fixture) start() (note string) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	real, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	keys := filepath.Join(real, "holiday", "keys")
	f.desk, note, err = Open(Options{
		Path: f.path, Log: slog.New(slog.DiscardHandler), Changed: func() {},
		Secret: func(p string) bool { return p == keys || strings.HasPrefix(p, keys+string(filepath.Separator)) },
		Go:     func(_ string, run func(context.Context) error) { tasks.Go(func() { run(ctx) }) },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	desk := f.desk
	desk.mu.Lock()
	desk.now = func() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.now }
	desk.mu.Unlock()
	f.t.Cleanup(func() {
		cancel()
		tasks.Wait()
		desk.Close()
	})
	return note
}

func (f *fixture) pass(d time.Duration) {
	f.mu.Lock()
	f.now = f.now.Add(d)
	f.mu.Unlock()
}

func (f *fixture) give(name string, w Wish) Link {
	f.t.Helper()
	if w.Lasts == 0 {
		w.Lasts = time.Hour
	}
	w.At = "127.0.0.1"
	l, err := f.desk.Give(filepath.Join(f.dir, name), w)
	if err != nil {
		f.t.Fatal(err)
	}
	if len(l.URLs) != 1 {
		f.t.Fatalf("it is to be found at %v", l.URLs)
	}
	return l
}

var plainClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       20 * time.Second,
}

type answered struct {
	status int
	header http.Header
	body   string
}

// get asks for a URL; headers are pairs. Host is taken as that of the request.
func (f *fixture) get(u string, header ...string) answered { return f.do(http.MethodGet, u, header...) }

func (f *fixture) do(method, u string, header ...string) answered {
	f.t.Helper()
	req, err := http.NewRequest(method, u, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
	}
	resp, err := plainClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(body)}
}

var html = []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}

func TestFile(t *testing.T) {
	f := open(t)
	want, _ := os.ReadFile(filepath.Join(f.dir, film))
	l := f.give(film, Wish{})
	u := l.URLs[0]
	page := f.get(u, html...)
	if page.status != 200 || !strings.Contains(page.body, "Not encrypted") || !strings.Contains(page.body, "film of the lake &amp; you.mkv") || !strings.Contains(page.body, "300 kB") {
		t.Errorf("page: %d %s", page.status, page.body)
	}
	if len(f.desk.Links()[0].Devices) != 0 {
		t.Error("who has only looked at the page is counted")
	}
	if a := f.get(u); a.status != 200 || a.body != string(want) || a.header.Get("Content-Type") != "video/x-matroska" {
		t.Errorf("file: %d, %d bytes, %v", a.status, len(a.body), a.header)
	}
	if a := f.get(u, "Range", "bytes=100000-100009"); a.status != 206 || a.body != string(want[100000:100010]) || a.header.Get("Content-Range") != "bytes 100000-100009/300000" {
		t.Errorf("range: %d %v", a.status, a.header)
	}
	if a := f.get(u + "?download"); a.body != string(want) || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment; filename") {
		t.Errorf("download: %v", a.header)
	}
	if a := f.do(http.MethodHead, u); a.status != 200 || a.header.Get("Content-Length") != "300000" || a.body != "" {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	if a := f.get(strings.TrimSuffix(u, url.PathEscape(film))); a.status != http.StatusFound || a.header.Get("Location") != address(l) {
		t.Errorf("without the name: %d %v", a.status, a.header)
	}
	got := f.desk.Links()[0]
	if len(got.Devices) != 1 || got.Sent != 2*300000+10 {
		t.Errorf("%d devices and %d bytes are counted", len(got.Devices), got.Sent)
	}
	for _, a := range []answered{page, f.get(u), f.get(l.URLs[0][:strings.LastIndex(u, "/")-3])} {
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if a.header.Get(name) != want {
				t.Errorf("%s is %q", name, a.header.Get(name))
			}
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none';") || strings.Contains(csp, "script") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy %q", csp)
		}
		if a.header.Get("Set-Cookie") != "" || a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Server") != "" {
			t.Errorf("headers %v", a.header)
		}
	}
}

func TestFolder(t *testing.T) {
	f := open(t)
	l := f.give("holiday", Wish{})
	u := l.URLs[0]
	page := f.get(u, html...)
	if page.status != 200 || strings.Contains(page.body, "token") || strings.Contains(page.body, "outside") || strings.Contains(page.body, "<img src=x>") ||
		!strings.Contains(page.body, "&lt;img src=x&gt;.html") || !strings.Contains(page.body, "2 files") {
		t.Errorf("page: %d %s", page.status, page.body)
	}
	if a := f.get(u+"beach/x.jpg", html...); a.status != 200 || !strings.Contains(a.body, "<img") || !strings.Contains(a.body, "Back to the list") {
		t.Errorf("page of a file: %d %s", a.status, a.body)
	}
	if a := f.get(u + "beach/x.jpg"); a.body != "a picture" || a.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("file: %d %v %q", a.status, a.header, a.body)
	}
	evil := f.get(u + url.PathEscape("<img src=x>.html")) // a page of somebody is saved, and never shown
	if evil.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(evil.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("a page is served as %v", evil.header)
	}
	a := f.get(strings.TrimSuffix(u, "/") + ".zip")
	archive, err := zip.NewReader(strings.NewReader(a.body), int64(len(a.body)))
	if err != nil || a.header.Get("Content-Type") != "application/zip" {
		t.Fatalf("zip: %d %v %v", a.status, a.header, err)
	}
	var names []string
	for _, file := range archive.File {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r) // which checks the sums
		if err != nil || file.Name == "holiday/beach/x.jpg" && string(data) != "a picture" {
			t.Errorf("%s: %v", file.Name, err)
		}
		names = append(names, file.Name)
	}
	if got := strings.Join(names, " "); got != "holiday/<img src=x>.html holiday/beach/x.jpg" {
		t.Errorf("the archive has %s", got)
	}
}

// Whatever path is asked for, nothing comes but what the link names.
func TestTraversal(t *testing.T) {
	f := open(t)
	folder, file := f.give("holiday", Wish{}), f.give(film, Wish{})
	host := strings.TrimPrefix(folder.URLs[0], "http://")
	host, _, _ = strings.Cut(host, "/")
	for _, base := range []string{"/" + folder.Token + "/holiday/", "/" + file.Token + "/" + url.PathEscape(film) + "/", "/" + file.Token + "/", "/"} {
		for _, rest := range []string{
			"../outside.txt", "..%2foutside.txt", "%2e%2e/outside.txt", "%2e%2e%2foutside.txt", "..\\outside.txt", "..%5coutside.txt", "beach/../../outside.txt",
			"/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "....//outside.txt", "out", "up/outside.txt", "keys/token", "keys", "beach/key", "beach", "beach/", ".", "..",
			"beach/x.jpg/", "beach//x.jpg", "x%00.jpg", "beach/x.jpg%00", "./beach/x.jpg", "C:/Windows/win.ini", "outside.txt", "api/node/status", "metrics",
		} {
			for _, accept := range []string{"*/*", "text/html"} {
				status, body := raw(t, host, "GET "+base+rest+" HTTP/1.1\r\nHost: "+host+"\r\nAccept: "+accept+"\r\nConnection: close\r\n\r\n")
				if status == 200 || strings.Contains(body, "not given") || strings.Contains(body, "secret") || strings.Contains(body, "root:") {
					t.Errorf("GET %s%s: %d %.200s", base, rest, status, body)
				}
			}
		}
	}
}

// raw sends bytes as no client would, and reads the answer.
func raw(t *testing.T, host, request string) (status int, body string) {
	t.Helper()
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, request)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data)
}

func TestHost(t *testing.T) {
	f := open(t)
	u := f.give(film, Wish{}).URLs[0]
	at, _ := url.Parse(u)
	for _, host := range []string{"evil.example:" + at.Port(), "evil.example", "localhost:" + at.Port(), "127.0.0.1", "127.0.0.1:1", "127.0.0.2:" + at.Port(), "[::1]:" + at.Port(), "127.0.0.1.evil.example:" + at.Port()} {
		if a := f.get(u, "Host", host); a.status != http.StatusMisdirectedRequest || len(a.body) > 5000 {
			t.Errorf("%s: %d", host, a.status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"} {
		if a := f.do(method, u); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.status)
		}
	}
	if status, _ := raw(t, at.Host, "GET "+at.EscapedPath()+" HTTP/1.1\r\nHost: "+at.Host+"\r\nContent-Length: 1000000\r\n\r\n"); status != http.StatusMethodNotAllowed {
		t.Errorf("a body that never comes: %d", status)
	}
}

func TestExpires(t *testing.T) {
	f := open(t)
	short, long := f.give(film, Wish{Lasts: time.Minute}), f.give("outside.txt", Wish{Lasts: 48 * time.Hour})
	f.pass(2 * time.Minute)
	if a := f.get(short.URLs[0]); a.status != http.StatusGone || !strings.Contains(a.body, "has ended") {
		t.Errorf("a link that has ended: %d", a.status)
	}
	if n := len(f.desk.Links()); n != 1 {
		t.Errorf("%d links live", n)
	}
	if a := f.get(long.URLs[0]); a.body != "not given" {
		t.Errorf("the other one: %d", a.status)
	}
	f.pass(keepEnded)
	f.desk.tidy()
	if a := f.get(short.URLs[0]); a.status != http.StatusNotFound {
		t.Errorf("a link that has ended long since: %d", a.status)
	}
	// The door is there only while a link lives.
	f.pass(48 * time.Hour)
	f.desk.tidy()
	if got := f.desk.Listening(); got != nil {
		t.Errorf("it listens on %v for nobody", got)
	}
	at, _ := url.Parse(long.URLs[0])
	if c, err := net.Dial("tcp", at.Host); err == nil {
		c.Close()
		t.Error("the port is open still")
	}
}

func TestUsedUp(t *testing.T) {
	f := open(t)
	l := f.give(film, Wish{Most: 1})
	f.desk.mu.Lock()
	f.desk.links[l.Token].Devices = []string{"192.168.1.77"}
	f.desk.mu.Unlock()
	for _, header := range [][]string{html, nil, {"Range", "bytes=0-1"}} {
		if a := f.get(l.URLs[0], header...); a.status != http.StatusGone || !strings.Contains(a.body, "used up") {
			t.Errorf("%v: %d %s", header, a.status, a.body)
		}
	}
	// Who was counted may come again, since a film that is watched asks hundreds of times.
	again := f.give(film, Wish{Most: 1})
	for range 3 {
		if a := f.get(again.URLs[0], "Range", "bytes=5-9"); a.status != http.StatusPartialContent {
			t.Errorf("the one device again: %d", a.status)
		}
	}
	// Two who arrive at once for the one place.
	v, _ := f.desk.find(f.give(film, Wish{Most: 1}).Token)
	served := 0
	for _, from := range []string{"192.168.1.5", "192.168.1.6"} {
		v.from = netip.MustParseAddr(from)
		if f.desk.arrive(v) == nil {
			served++
		}
	}
	if served != 1 {
		t.Errorf("%d of two were let in for one place", served)
	}
}

func TestWithdrawn(t *testing.T) {
	f := open(t)
	big := bytes.Repeat([]byte("x"), 64<<20)
	f.write("big.bin", big)
	l, other := f.give("big.bin", Wish{}), f.give(film, Wish{})
	req, _ := http.NewRequest(http.MethodGet, l.URLs[0], nil)
	resp, err := plainClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 1<<20)
	if _, err := f.desk.End(l.N); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil || n > 63<<20 {
		t.Errorf("after it was withdrawn %d bytes came still (%v)", n, err)
	}
	if a := f.get(l.URLs[0]); a.status != http.StatusGone {
		t.Errorf("withdrawn: %d", a.status)
	}
	if a := f.get(other.URLs[0]); a.status != http.StatusOK {
		t.Errorf("the other one: %d", a.status)
	}
	if _, err := f.desk.End(l.N); kith.KindOf(err) != kith.NotFound || kith.HintOf(err) == "" {
		t.Errorf("withdrawn twice: %v", err)
	}
}

// A link is the same after a restart, and what was counted is; a node that is killed between the count and the first byte has counted.
func TestRestart(t *testing.T) {
	f := open(t)
	l := f.give(film, Wish{Most: 2})
	gone := f.give("outside.txt", Wish{})
	f.get(l.URLs[0])
	f.desk.End(gone.N)
	f.desk.mu.Lock()
	f.desk.over = true // killed: nothing more is saved
	f.desk.shut()
	f.desk.mu.Unlock()
	if note := f.start(); note != "" {
		t.Error(note)
	}
	now := f.desk.Links()
	if len(now) != 1 || len(now[0].URLs) != 1 || now[0].URLs[0] != l.URLs[0] || len(now[0].Devices) != 1 || now[0].Most != 2 || !now[0].Until.Equal(l.Until) {
		t.Fatalf("after a restart: %+v, was %+v", now, l)
	}
	if a := f.get(l.URLs[0]); a.status != http.StatusOK {
		t.Errorf("after a restart: %d", a.status)
	}
	if a := f.get(gone.URLs[0]); a.status != http.StatusGone {
		t.Errorf("what was withdrawn, after a restart: %d", a.status)
	}
	f.desk.Close()
	os.WriteFile(f.path, []byte("{broken"), 0o600)
	if note := f.start(); !strings.Contains(note, ".corrupt-") {
		t.Errorf("a broken file: note %q", note)
	}
	if len(f.desk.Links()) != 0 || f.desk.Listening() != nil {
		t.Error("links out of a broken file")
	}
}

func TestGuessing(t *testing.T) {
	f := open(t)
	u := f.give(film, Wish{}).URLs[0]
	at, _ := url.Parse(u)
	status := map[int]int{}
	for range 3 * failBurst {
		status[f.get("http://"+at.Host+"/AAAAAAAAAAAAAAAAAAAAAA/"+url.PathEscape(film)).status]++
	}
	if status[http.StatusNotFound] < failBurst || status[http.StatusTooManyRequests] == 0 || len(status) != 2 {
		t.Errorf("wrong links were answered with %v", status)
	}
	if a := f.get(u); a.status != http.StatusOK {
		t.Errorf("the right one after wrong ones: %d", a.status)
	}
	f.desk.mu.Lock()
	r := f.desk.door
	f.desk.mu.Unlock()
	for i := range 2 * maxGuessers {
		r.guess(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	if len(r.guessers) > maxGuessers {
		t.Errorf("%d guessers are remembered", len(r.guessers))
	}
}

// Who sends a header byte by byte, or takes nothing, holds a place for a bounded time and cannot take them all.
func TestSlow(t *testing.T) {
	f := open(t)
	at, _ := url.Parse(f.give(film, Wish{}).URLs[0])
	end := time.Now().Add(headerTimeout) // none is hung up on before for its slow header
	var all []net.Conn
	for range 2 * maxConnsHost {
		c, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\n")
		all = append(all, c)
	}
	for i, c := range all[maxConnsHost:] {
		c.SetReadDeadline(end)
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("connection %d of one address was not hung up on: %v", maxConnsHost+i+1, err)
		}
	}
}

func TestGive(t *testing.T) {
	f := open(t)
	for name, c := range map[string]struct {
		path string
		w    Wish
		kind kith.Kind
	}{
		"missing":     {"nothing", Wish{Lasts: time.Hour}, kith.NotFound},
		"keys":        {"holiday/keys", Wish{Lasts: time.Hour}, kith.Denied},
		"a key":       {"holiday/keys/token", Wish{Lasts: time.Hour}, kith.Denied},
		"for ever":    {film, Wish{Lasts: MaxLasts + 1}, kith.Invalid},
		"for nothing": {film, Wish{}, kith.Invalid},
		"for less":    {film, Wish{Lasts: time.Hour, Most: -1}, kith.Invalid},
		"in public":   {film, Wish{Lasts: time.Hour, At: "203.0.113.1"}, kith.Denied},
		"everywhere":  {film, Wish{Lasts: time.Hour, At: "0.0.0.0"}, kith.Denied},
	} {
		if c.w.At == "" {
			c.w.At = "127.0.0.1"
		}
		if _, err := f.desk.Give(filepath.Join(f.dir, c.path), c.w); kith.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		} else if c.kind == kith.NotFound && kith.HintOf(err) == "" {
			t.Errorf("%s: %v, and not what to do", name, err)
		}
	}
	if f.desk.Listening() != nil {
		t.Error("it listens for nobody")
	}
	for range MaxLinks {
		f.give(film, Wish{})
	}
	if _, err := f.desk.Give(filepath.Join(f.dir, film), Wish{Lasts: time.Hour, At: "127.0.0.1"}); kith.KindOf(err) != kith.TooLarge || kith.HintOf(err) == "" {
		t.Errorf("one link too many: %v", err)
	}
}

func TestChangedFile(t *testing.T) {
	f := open(t)
	l := f.give(film, Wish{})
	f.write(film, []byte("another film"))
	if a := f.get(l.URLs[0]); a.status != http.StatusGone || strings.Contains(a.body, "another film") {
		t.Errorf("a file that was changed: %d", a.status)
	}
	os.Remove(filepath.Join(f.dir, film))
	if a := f.get(l.URLs[0], html...); a.status != http.StatusGone {
		t.Errorf("a file that was removed: %d", a.status)
	}
}

// FuzzPath asks for any path: nothing panics, and nothing of the disk comes but what was given.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"beach/x.jpg", "../outside.txt", "out", "keys/token", "beach/key", "", ".", "a\x00b", "beach//x.jpg", `..\outside.txt`, "up/outside.txt"} {
		f.Add(s)
	}
	dir := f.TempDir()
	for name, text := range map[string]string{"holiday/beach/x.jpg": "a picture", "outside.txt": "not given"} {
		p := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(p), 0o755)
		os.WriteFile(p, []byte(text), 0o644)
	}
	os.Symlink("../outside.txt", filepath.Join(dir, "holiday", "out"))
	os.Symlink("..", filepath.Join(dir, "holiday", "up"))
	d := &Desk{o: Options{Secret: func(string) bool { return false }}}
	l := Link{Path: filepath.Join(dir, "holiday"), Folder: true}
	f.Fuzz(func(t *testing.T, rel string) {
		file, _, err := d.openFile(l, rel)
		if err != nil {
			return
		}
		defer file.Close()
		if data, _ := io.ReadAll(file); string(data) != "a picture" {
			t.Errorf("%q gives %q", rel, data)
		}
	})
}
