package api

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kith"
)

// One test for each line of section 7 of the architecture, and for each way in that another program of this kind has had.

func TestLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "example.org:0"} {
		s, err := New(Options{Addr: addr, Dir: t.TempDir()})
		if kith.KindOf(err) != kith.Denied {
			t.Errorf("%s: error %v, want %v", addr, err, kith.Denied)
		}
		if err == nil {
			s.Close()
		}
	}
	if _, err := New(Options{Addr: "nonsense", Dir: t.TempDir()}); kith.KindOf(err) != kith.Invalid {
		t.Errorf("nonsense: %v", err)
	}
	f := serve(t)
	for _, addr := range f.Addrs() {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("listens on %s", addr)
		}
	}
	_, err := New(Options{Addr: f.Addr(), Dir: t.TempDir()})
	if kith.KindOf(err) != kith.Unavailable || kith.HintOf(err) == "" {
		t.Errorf("address that is taken: %v", err)
	}
}

// Without an address it takes the next free port, so that a second node starts too.
func TestNextFreePort(t *testing.T) {
	var addrs []string
	for range 2 {
		s, err := New(Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		addrs = append(addrs, s.Addr())
	}
	if addrs[0] == addrs[1] {
		t.Errorf("both at %s", addrs[0])
	}
}

func TestTokenFile(t *testing.T) {
	f := serve(t)
	if len(f.token) != 64 {
		t.Errorf("token of %d hexadecimal digits, want 64", len(f.token))
	}
	for _, name := range []string{tokenFile, placeFile} {
		info, err := os.Stat(filepath.Join(f.o.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	// Each start makes a new one: what took over the port of a killed node learns nothing of use.
	again, err := New(Options{Addr: "127.0.0.1:0", Dir: f.o.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if a := f.call("POST", "/api/fake/echo", `{"text":"a"}`); a.status != 200 {
		t.Errorf("the running node forgot its token: %d", a.status)
	}
	f.token = mustRead(t, filepath.Join(f.o.Dir, tokenFile))
	f.call("POST", "/api/fake/echo", `{"text":"a"}`).problem(t, 401)
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// Without token or session there is the page's shell and the OpenAPI document, and nothing else.
func TestNothingWithoutToken(t *testing.T) {
	f := serve(t)
	for _, path := range []string{"/", "/index.html", "/files/anything", "/assets/app-1234.js", "/api/openapi.json"} {
		if a := f.send(request{method: "GET", path: path}); a.status != 200 {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	for _, q := range []request{
		{method: "GET", path: "/api/fake/say-it?text=a"},
		{method: "POST", path: "/api/fake/echo", body: `{"text":"a"}`, header: map[string]string{"Content-Type": "application/json"}},
		{method: "POST", path: "/api/fake/stream"},
		{method: "PUT", path: "/api/fake/-/upload"},
		{method: "GET", path: "/api/fake/-/upload"},
		{method: "GET", path: "/api/session"},
		{method: "GET", path: "/api/"},
		{method: "GET", path: "/api"},
		{method: "GET", path: "/api/fake/nothing"},
		{method: "GET", path: "/metrics"},
	} {
		a := f.send(q)
		if q.path == "/api" { // the page's own place, or nothing: not an operation
			if strings.Contains(a.body, "problem") {
				t.Errorf("GET /api: %d", a.status)
			}
			continue
		}
		p := a.problem(t, 401)
		if a.header.Get("WWW-Authenticate") == "" || p.Hint != "open the page with: kith open" {
			t.Errorf("%s %s: %v %+v", q.method, q.path, a.header, p)
		}
	}
}

// A token is taken from its header only: addresses end up in histories and logs.
func TestTokenNotInURL(t *testing.T) {
	f := serve(t)
	for _, q := range []string{"token=", "access_token=", "Authorization=Bearer%20", "api_key="} {
		f.send(request{method: "GET", path: "/api/fake/say-it?text=a&" + q + f.token}).problem(t, 401)
	}
	for _, h := range []map[string]string{
		{"Authorization": "Basic " + f.token}, {"Authorization": f.token}, {"X-API-Key": f.token},
		{"Cookie": f.auth.cookie + "=" + f.token}, {"Cookie": "token=" + f.token},
		{"Authorization": "Bearer " + f.token[:63]}, {"Authorization": "Bearer " + f.token + "0"}, {"Authorization": "Bearer "},
		{"Authorization": "Bearer " + strings.ToUpper(f.token)},
	} {
		f.send(request{method: "GET", path: "/api/fake/say-it?text=a", header: h}).problem(t, 401)
	}
}

// Guessing is slowed down, and locks nobody out who knows.
func TestGuessing(t *testing.T) {
	f := serve(t)
	throttled := false
	for range 2 * failBurst {
		a := f.send(request{method: "GET", path: "/api/session", header: map[string]string{"Authorization": "Bearer guess"}})
		throttled = throttled || a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != ""
	}
	if !throttled {
		t.Errorf("%d wrong tokens were all answered", 2*failBurst)
	}
	if a := f.call("GET", "/api/session", ""); a.status != http.StatusNoContent {
		t.Errorf("right token after wrong ones: %d", a.status)
	}
}

// DNS rebinding (CVE-2018-5702, CVE-2022-41924): whatever name or port a page used to get here, only the exact ones are answered.
func TestHost(t *testing.T) {
	f := serve(t)
	_, port, _ := net.SplitHostPort(f.Addr())
	for _, host := range []string{"127.0.0.1:" + port, "[::1]:" + port, "localhost:" + port} {
		if a := f.send(request{method: "GET", path: "/", header: map[string]string{"Host": host}}); a.status != 200 {
			t.Errorf("%s: %d", host, a.status)
		}
	}
	for _, host := range []string{
		"evil.example:" + port, "evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", "localhost:1", "192.168.1.2:" + port,
		"127.0.0.2:" + port, "localhost.:" + port, "127.0.0.1.evil.example:" + port, "localhost.evil.example:" + port,
		"[::ffff:127.0.0.1]:" + port, "2130706433:" + port, "0.0.0.0:" + port, "a.b.localhost:" + port, "LOCALHOST:" + port,
	} {
		for _, path := range []string{"/", "/api/openapi.json", "/api/fake/say-it?text=a"} {
			a := f.send(request{method: "GET", path: path, header: map[string]string{"Host": host, "Authorization": "Bearer " + f.token}})
			a.problem(t, 403)
			if t.Failed() {
				t.Fatalf("host %s, path %s", host, path)
			}
		}
	}
}

// A page is what a browser keeps of a session: the cookie, which it sends to every port of the host, and the proof, which only the page has.
type page struct {
	*http.Cookie
	proof string
}

// session opens the page as a browser does.
func (f *fixture) session() page {
	f.t.Helper()
	url := f.OpenURL()
	_, code, ok := strings.Cut(url, "/#open=")
	if !ok {
		f.t.Fatalf("no code behind the # of %s", url)
	}
	a := f.open(code)
	cookies := (&http.Response{Header: a.header}).Cookies()
	var begun struct{ Proof string }
	if err := json.Unmarshal([]byte(a.body), &begun); a.status != http.StatusOK || len(cookies) != 1 || err != nil || len(begun.Proof) < 43 {
		f.t.Fatalf("open: %d %v %s", a.status, a.header, a.body)
	}
	return page{cookies[0], begun.Proof}
}

func (f *fixture) open(code string) answered {
	return f.send(request{"POST", "/api/session", `{"code":"` + code + `"}`, map[string]string{
		"Content-Type": "application/json", "Origin": "http://" + f.Addr(), "Sec-Fetch-Site": "same-origin",
	}})
}

// browse sends as a page of an origin would, cookie and all.
func (f *fixture) browse(c page, method, path, body string, more ...string) answered {
	f.t.Helper()
	h := map[string]string{"Cookie": c.Name + "=" + c.Value, "Content-Type": "application/json", pageHeader: c.proof}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return f.send(request{method, path, body, h})
}

func TestSession(t *testing.T) {
	f := serve(t)
	c := f.session()
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" || c.MaxAge != int(sessionLife/time.Second) {
		t.Errorf("cookie %v", c)
	}
	if strings.Contains(c.Value, f.token) || len(c.Value) < 43 {
		t.Errorf("cookie value %q", c.Value)
	}
	same := []string{"Sec-Fetch-Site", "same-origin"}
	if a := f.browse(c, "POST", "/api/fake/echo", `{"text":"a"}`, same...); a.status != 200 {
		t.Errorf("with session: %d %s", a.status, a.body)
	}
	if a := f.browse(c, "GET", "/api/fake/say-it?text=a", "", same...); a.status != 200 {
		t.Errorf("with session: %d %s", a.status, a.body)
	}
	// It lives on while it is used, and not longer than that.
	clock := time.Now()
	f.auth.now = func() time.Time { return clock }
	clock = clock.Add(sessionLife / 2)
	if a := f.browse(c, "GET", "/api/session", "", same...); a.status != 204 || a.header.Get("Set-Cookie") == "" {
		t.Errorf("half way: %d %v", a.status, a.header)
	}
	clock = clock.Add(sessionLife * 3 / 4)
	if a := f.browse(c, "GET", "/api/session", "", same...); a.status != 204 {
		t.Errorf("after it was renewed: %d", a.status)
	}
	clock = clock.Add(sessionLife + time.Second)
	f.browse(c, "GET", "/api/session", "", same...).problem(t, 401)
	// It can be ended.
	c = f.session()
	if a := f.browse(c, "DELETE", "/api/session", "", same...); a.status != 204 {
		t.Errorf("DELETE: %d", a.status)
	}
	f.browse(c, "GET", "/api/session", "", same...).problem(t, 401)
}

// Whoever else serves on this host is sent the cookie, and can do nothing with it.
func TestStolenCookie(t *testing.T) {
	f := serve(t)
	c := f.session()
	for _, proof := range []string{"", "guess", c.Value, f.session().proof} {
		f.browse(page{c.Cookie, proof}, "GET", "/api/session", "", "Sec-Fetch-Site", "same-origin").problem(t, 401)
	}
	if a := f.browse(c, "GET", "/api/session", "", "Sec-Fetch-Site", "same-origin"); a.status != 204 {
		t.Errorf("with its proof: %d", a.status)
	}
}

// Nobody can choose a session's value for somebody else.
func TestSessionFixation(t *testing.T) {
	f := serve(t)
	_, code, _ := strings.Cut(f.OpenURL(), "/#open=")
	chosen := page{&http.Cookie{Name: f.auth.cookie, Value: secret()}, secret()}
	a := f.browse(chosen, "POST", "/api/session", `{"code":"`+code+`"}`, "Sec-Fetch-Site", "same-origin")
	if a.status != 200 || strings.Contains(a.header.Get("Set-Cookie"), chosen.Value) || strings.Contains(a.body, chosen.proof) {
		t.Errorf("%d %v", a.status, a.header)
	}
	f.browse(chosen, "GET", "/api/session", "", "Sec-Fetch-Site", "same-origin").problem(t, 401)
}

// An address of the page works once and for a minute.
func TestCodeOnce(t *testing.T) {
	f := serve(t)
	_, code, _ := strings.Cut(f.OpenURL(), "/#open=")
	if a := f.open(code); a.status != 200 {
		t.Fatalf("first use: %d %s", a.status, a.body)
	}
	f.open(code).problem(t, 401)
	f.open("").problem(t, 401)
	f.open("guess").problem(t, 401)
	_, code, _ = strings.Cut(f.OpenURL(), "/#open=")
	f.auth.now = func() time.Time { return time.Now().Add(codeLife + time.Second) }
	f.open(code).problem(t, 401)
	f.auth.now = time.Now
	// There are only so many at a time, and the newest counts.
	for range 3 * maxCodes {
		_, code, _ = strings.Cut(f.OpenURL(), "/#open=")
	}
	if len(f.auth.codes) > maxCodes {
		t.Errorf("%d codes, at most %d", len(f.auth.codes), maxCodes)
	}
	if a := f.open(code); a.status != 200 {
		t.Errorf("the newest code: %d", a.status)
	}
	for range 3 * maxSessions {
		_, _, err := f.auth.spend(f.auth.newCode())
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(f.auth.sessions) > maxSessions {
		t.Errorf("%d sessions, at most %d", len(f.auth.sessions), maxSessions)
	}
}

// Cross-site requests: even if a browser sent the cookie, nothing happens.
func TestCrossSite(t *testing.T) {
	f := serve(t)
	c := f.session()
	for _, from := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, // another port of this computer
		{"Sec-Fetch-Site", "cross-site", "Origin", "http://" + f.Addr()},
		{"Origin", "http://evil.example"},
		{"Origin", "null"}, // a sandboxed frame, a file, a redirect
		{"Origin", "http://localhost:1"},
		{"Origin", "https://" + f.Addr() + ".evil.example"},
	} {
		for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""} {
			a := f.browse(c, "POST", "/api/fake/echo", `{"text":"a"}`, append(from, "Content-Type", kind)...)
			a.problem(t, 403)
			if t.Failed() {
				t.Fatalf("from %v as %q", from, kind)
			}
		}
		f.browse(c, "PUT", "/api/fake/-/upload", "x", from...).problem(t, 403)
		f.browse(c, "POST", "/api/session", `{"code":"x"}`, from...).problem(t, 403)
		f.browse(c, "GET", "/api/fake/say-it?text=a", "", from...).problem(t, 403)
		if t.Failed() {
			t.Fatalf("from %v", from)
		}
	}
}

// A form cannot say application/json; so nothing else is read, even with the token.
func TestContentType(t *testing.T) {
	f := serve(t)
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "text/json"} {
		f.send(request{"POST", "/api/fake/echo", `{"text":"a"}`, map[string]string{
			"Authorization": "Bearer " + f.token, "Content-Type": kind}}).problem(t, 415)
	}
}

// No answer lets another origin read it.
func TestNoCORS(t *testing.T) {
	f := serve(t)
	c := f.session()
	for _, origin := range []string{"http://evil.example", "null", "http://" + f.Addr(), "http://localhost:1"} {
		for _, method := range []string{"GET", "OPTIONS", "POST", "HEAD"} {
			for _, path := range []string{"/", "/api/openapi.json", "/api/fake/say-it?text=a", "/api/fake/-/x", "/metrics", "/api/session"} {
				a := f.browse(c, method, path, "", "Origin", origin, "Access-Control-Request-Method", "POST",
					"Access-Control-Request-Private-Network", "true")
				for k := range a.header {
					if strings.HasPrefix(k, "Access-Control-") {
						t.Errorf("%s %s from %s answers %s: %s", method, path, origin, k, a.header.Get(k))
					}
				}
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	f := serve(t)
	for _, path := range []string{"/", "/api/openapi.json", "/api/fake/nothing", "/nothing.js"} {
		h := f.send(request{method: "GET", path: path}).header
		for k, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := h.Get(k); got != want {
				t.Errorf("%s: %s is %q, want %q", path, k, got, want)
			}
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "https:") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	if got := f.call("GET", "/api/fake/say-it?text=a", "").header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("an operation's answer may be kept: %q", got)
	}
	if got := f.send(request{method: "GET", path: "/assets/app-1234.js"}).header; !strings.Contains(got.Get("Cache-Control"), "immutable") ||
		got.Get("Content-Type") != "text/javascript; charset=utf-8" {
		t.Errorf("hashed file: %v", got)
	}
	if got := f.send(request{method: "GET", path: "/"}).header; got.Get("Cache-Control") != "no-cache" {
		t.Errorf("shell: %v", got)
	}
}

// GET and its kin change nothing: they reach operations that change nothing, and those only.
func TestMethods(t *testing.T) {
	f := serve(t)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"} {
		a := f.call(method, "/api/fake/echo?text=a", "")
		if a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("%s of an operation that changes something: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
	for _, method := range []string{"HEAD", "PUT", "DELETE"} {
		if a := f.call(method, "/api/fake/say-it?text=a", ""); a.status != 405 || a.header.Get("Allow") != "GET, POST" {
			t.Errorf("%s of a query: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
	for _, path := range []string{"/", "/index.html"} {
		f.call("POST", path, "{}").problem(t, 405)
	}
}

// A WebSocket is not held to the same-origin policy by browsers, so it is here.
func TestWebSocketOrigin(t *testing.T) {
	f := serve(t)
	c := f.session()
	for _, origin := range []string{"", "null", "http://evil.example", "http://localhost:1"} {
		more := []string{"Connection", "Upgrade", "Upgrade", "websocket"}
		if origin != "" {
			more = append(more, "Origin", origin)
		}
		f.browse(c, "GET", "/api/fake/-/socket", "", more...).problem(t, 403)
	}
	a := f.browse(c, "GET", "/api/fake/-/socket", "", "Connection", "Upgrade", "Upgrade", "WebSocket", "Origin", "http://"+f.Addr())
	if a.status != 200 {
		t.Errorf("own origin: %d %s", a.status, a.body)
	}
}

// Paths cannot leave the page's files.
func TestPagePaths(t *testing.T) {
	f := serve(t)
	if err := os.WriteFile(filepath.Join(f.o.Dir, "secret.txt"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(f.o.Dir, "page")
	if err := os.Mkdir(page, 0o700); err != nil {
		t.Fatal(err)
	}
	f.Server.o.Page = os.DirFS(page)
	for _, path := range []string{
		"/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/..%2f..%2fsecret.txt", `/..%5csecret.txt`, "//secret.txt",
		"/%00secret.txt", "/./secret.txt", "/" + filepath.ToSlash(f.o.Dir) + "/secret.txt", "/assets", "/assets/",
	} {
		if got := rawGet(t, f.Addr(), path); strings.Contains(got, "secret\n") || strings.HasSuffix(got, "secret") ||
			strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// rawGet sends a path as it stands, which net/http's client would clean.
func rawGet(t *testing.T, addr, path string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, addr)
	data, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A caller that sends its header slowly, or too much of it, is not waited for.
func TestSlowHeader(t *testing.T) {
	f := serve(t)
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n", f.Addr())
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	begin := time.Now()
	_, err = io.Copy(io.Discard, conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("still waiting after %v", time.Since(begin))
	}
	a := f.send(request{method: "GET", path: "/", header: map[string]string{"X-Long": strings.Repeat("x", 2*MaxHeader)}})
	if a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long header: %d", a.status)
	}
}

// Metrics are for who has the token.
func TestMetrics(t *testing.T) {
	f := serve(t)
	a := f.call("GET", "/metrics", "")
	for _, want := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(a.body, want) && (runtime.GOOS == "linux" || !strings.HasPrefix(want, "process")) {
			t.Errorf("metrics lack %s: %.200s", want, a.body)
		}
	}
}

// Two requests in one connection do not mix: what one was allowed, the next is not.
func TestKeepAlive(t *testing.T) {
	f := serve(t)
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, tt := range []struct {
		header string
		status int
	}{{"Authorization: Bearer " + f.token + "\r\n", 204}, {"", 401}} {
		fmt.Fprintf(conn, "GET /api/session HTTP/1.1\r\nHost: %s\r\n%s\r\n", f.Addr(), tt.header)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("with %q: %d, want %d", tt.header, resp.StatusCode, tt.status)
		}
	}
}
