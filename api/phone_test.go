package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kith"
	"kith/app"
)

// A phoneFixture is a server whose way in for phones is open, on loopback.
type phoneFixture struct {
	*fixture
	phone *Phone
	dir   string
	base  string // https://HOST:PORT
	skew  *atomic.Int64
}

// servePhone starts a server with a way in for phones, on the state that is in dir.
func servePhone(t *testing.T, dir string) *phoneFixture {
	t.Helper()
	f := &phoneFixture{phone: NewPhone(), dir: dir, skew: new(atomic.Int64)}
	f.phone.now = func() time.Time { return time.Now().Add(time.Duration(f.skew.Load())) }
	here := app.NewOp("secret", "Show a secret", echo)
	here.Here = true
	apps := append(fakeApps(), app.App{Name: "own", Help: "Own", Ops: []app.Op{here}}, f.phone.App())
	s, err := New(Options{Addr: "127.0.0.1:0", Dir: t.TempDir(), Apps: apps, Page: fakePage, Phone: f.phone})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	err = f.phone.start(ctx, app.Env{Dir: dir, Log: slog.New(slog.DiscardHandler), Note: func(text string) { t.Log(text) }, Config: func(any) error { return nil },
		Go: func(_ string, run func(context.Context) error) { tasks.Go(func() { run(ctx) }) }})
	if err != nil {
		t.Fatal(err)
	}
	tasks.Go(func() { s.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		tasks.Wait()
		if err := f.phone.stop(ctx); err != nil {
			t.Error(err)
		}
	})
	f.fixture = &fixture{s, t, mustRead(t, filepath.Join(s.o.Dir, tokenFile))}
	return f
}

// code opens the way, and returns the code that lets a phone in.
func (f *phoneFixture) code() string {
	f.t.Helper()
	a := f.call("POST", "/api/phone/phone", `{"at":"127.0.0.1"}`)
	var out PhoneOut
	if err := json.Unmarshal([]byte(a.body), &out); a.status != 200 || err != nil {
		f.t.Fatalf("phone: %d %s", a.status, a.body)
	}
	base, code, ok := strings.Cut(out.URL, "/#open=")
	if !ok || !strings.HasPrefix(base, "https://127.0.0.1:") || len(code) != 22 || len(strings.Fields(out.Fingerprint)) != 32 || !strings.Contains(out.QR, "<svg") {
		f.t.Fatalf("phone: %+v", out)
	}
	f.base = base
	return code
}

var insecure = &tls.Config{InsecureSkipVerify: true} // as a person who goes on behind the warning

// ask sends to the phone's way in; headers are pairs.
func (f *phoneFixture) ask(method, path, body string, header ...string) answered {
	f.t.Helper()
	r, err := http.NewRequest(method, f.base+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	resp, err := (&http.Transport{DisableKeepAlives: true, TLSClientConfig: insecure}).RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(data)}
}

// enter lets a phone in, and returns the headers that its page sends.
func (f *phoneFixture) enter() []string {
	f.t.Helper()
	a := f.ask("POST", "/api/session", `{"code":"`+f.code()+`"}`, "Origin", f.base, "Sec-Fetch-Site", "same-origin")
	cookies := (&http.Response{Header: a.header}).Cookies()
	var begun struct{ Proof string }
	if err := json.Unmarshal([]byte(a.body), &begun); a.status != 200 || err != nil || len(cookies) != 1 {
		f.t.Fatalf("open: %d %s", a.status, a.body)
	}
	c := cookies[0]
	if c.Name != phoneCookie || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" {
		f.t.Errorf("cookie %v", c)
	}
	return []string{"Cookie", c.Name + "=" + c.Value, pageHeader, begun.Proof, "Sec-Fetch-Site", "same-origin", "Origin", f.base}
}

func (f *phoneFixture) phones() PhonesOut {
	f.t.Helper()
	var out PhonesOut
	if err := json.Unmarshal([]byte(f.call("GET", "/api/phone/phone-ls", "").body), &out); err != nil {
		f.t.Fatal(err)
	}
	return out
}

// port returns the port of the page, or of content.
func (f *phoneFixture) port(of string) string {
	f.phone.mu.Lock()
	defer f.phone.mu.Unlock()
	if of == "page" {
		return fmt.Sprint(f.phone.open.page.Port())
	}
	return fmt.Sprint(f.phone.open.content.Port())
}

const echoPath, echoBody = "/api/fake/echo", `{"text":"a"}`

func TestPhone(t *testing.T) {
	f := servePhone(t, t.TempDir())
	if out := f.phones(); out.On {
		t.Error("it is open before anybody has opened it")
	}
	p := f.enter()
	if a := f.ask("POST", echoPath, echoBody, p...); a.status != 200 || !strings.Contains(a.body, `"text":"a"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := f.ask("GET", "/", ""); a.status != 200 || !strings.Contains(a.body, "the shell") || !strings.Contains(a.header.Get("Content-Security-Policy"), "script-src 'self';") {
		t.Errorf("the page's shell: %d %v", a.status, a.header)
	}
	out := f.phones()
	if !out.On || len(out.Phones) != 1 || out.Phones[0].From != "127.0.0.1" || out.Phones[0].Agent == "" {
		t.Errorf("%+v", out)
	}
	var seen PhonesOut
	if json.Unmarshal([]byte(f.ask("GET", "/api/phone/phone-ls", "", p...).body), &seen); seen.You != out.Phones[0].N || out.You != 0 {
		t.Errorf("the phone is told that it is %d, the computer that it is %d", seen.You, out.You)
	}
	// What shows or changes who the person is stays at the computer, and so does letting phones in.
	for _, path := range []string{"/api/own/secret", "/api/phone/phone", "/api/phone/phone-rm", "/api/phone/phone-off"} {
		if prob := f.ask("POST", path, `{}`, p...).problem(t, 403); !strings.Contains(prob.Detail, "not done from a phone") || prob.Hint == "" {
			t.Errorf("%s: %+v", path, prob)
		}
	}
	if a := f.call("POST", "/api/own/secret", `{"text":"a"}`); a.status != 200 {
		t.Errorf("at the computer: %d", a.status)
	}
	if a := f.ask("DELETE", "/api/session", "", p...); a.status != 204 {
		t.Errorf("sign out: %d", a.status)
	}
	if f.phone.tidy(); !f.closed() {
		t.Error("the last phone has signed out, and it is open still")
	}
}

// Nobody gets in with less than the cookie and the proof, from the page itself.
func TestPhoneHostile(t *testing.T) {
	f := servePhone(t, t.TempDir())
	p := f.enter()
	cookie, proof, same := p[1], p[3], []string{"Sec-Fetch-Site", "same-origin"}
	own := f.session()
	for name, h := range map[string][]string{
		"nothing":                       same,
		"the token":                     append([]string{"Authorization", "Bearer " + f.token}, same...),
		"the token beside a session":    append([]string{"Authorization", "Bearer " + f.token}, p...),
		"the cookie":                    append([]string{"Cookie", cookie}, same...),
		"the proof":                     append([]string{pageHeader, proof}, same...),
		"another proof":                 append([]string{"Cookie", cookie, pageHeader, secret()}, same...),
		"a session of the computer's":   append([]string{"Cookie", own.Name + "=" + own.Value, pageHeader, own.proof}, same...),
		"that under the phone's name":   append([]string{"Cookie", phoneCookie + "=" + own.Value, pageHeader, own.proof}, same...),
		"a code in place of the cookie": append([]string{"Cookie", phoneCookie + "=" + f.code()}, same...),
	} {
		for _, q := range [][3]string{{"POST", echoPath, echoBody}, {"GET", "/api/session", ""}, {"GET", "/metrics", ""}, {"GET", "/api/phone/phone-ls", ""}, {"PUT", "/api/fake/-/upload", "x"}} {
			if a := f.ask(q[0], q[1], q[2], h...); a.status != 401 {
				t.Errorf("%s: %s %s: %d", name, q[0], q[1], a.status)
			}
		}
	}
	// A guest's page, the content's port and any other site, with all that a browser would send along.
	guest, content := "http://127.0.0.1:4760", "https://127.0.0.1:"+f.port("content")
	for _, h := range [][]string{
		{"Origin", guest, "Sec-Fetch-Site", "cross-site"}, {"Origin", content, "Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
		{"Origin", "null", "Sec-Fetch-Site", "cross-site"}, {"Origin", guest, "Sec-Fetch-Site", ""}, {"Origin", strings.Replace(f.base, "https", "http", 1), "Sec-Fetch-Site", ""},
	} {
		for _, method := range []string{"POST", "GET", "DELETE"} {
			a := f.ask(method, "/api/fake/say-it?text=a", "", append([]string{"Cookie", cookie, pageHeader, proof}, h...)...)
			if a.status != 403 && a.status != 405 || a.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s from %v: %d %s", method, h, a.status, a.body)
			}
		}
	}
	// The same way round: a phone's session is nothing at this computer's own door.
	f.send(request{"POST", echoPath, echoBody, map[string]string{"Cookie": cookie, pageHeader: proof, "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}}).problem(t, 401)
	port := f.port("page")
	for _, host := range []string{"evil.example:" + port, "localhost:" + port, "127.0.0.1", "127.0.0.1:1", "192.168.1.5:" + port, "127.0.0.1." + "evil.example:" + port} {
		if a := f.ask("GET", "/", "", "Host", host); a.status != 403 {
			t.Errorf("host %s: %d", host, a.status)
		}
	}
	// Plain HTTP says nothing.
	for _, path := range []string{"/", echoPath, "/api/openapi.json"} {
		resp, err := http.Get("http://127.0.0.1:" + port + path)
		if err != nil {
			continue
		}
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || len(data) > 100 {
			t.Errorf("plain HTTP: %d %s", resp.StatusCode, data)
		}
	}
	if _, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("it speaks an old TLS")
	}
}

func TestPhoneCode(t *testing.T) {
	f := servePhone(t, t.TempDir())
	open := func(code string) answered { return f.ask("POST", "/api/session", `{"code":"`+code+`"}`) }
	code := f.code()
	if a := open(code); a.status != 200 {
		t.Fatalf("%d", a.status)
	}
	if p := open(code).problem(t, 401); !strings.Contains(p.Hint, "kith phone") {
		t.Errorf("used twice: %+v", p)
	}
	late := f.code()
	f.skew.Add(int64(phoneCodeLife + time.Second))
	open(late).problem(t, 401)
	f.ask("POST", "/api/session", `{"code":"`+f.OpenURL()[len(f.OpenURL())-43:]+`"}`).problem(t, 401) // the computer's own
	throttled := false
	for range 2 * failBurst {
		throttled = throttled || open("AAAAAAAAAAAAAAAAAAAAAA").status == 429
	}
	if !throttled {
		t.Error("wrong codes are all answered")
	}
	if a := open(f.code()); a.status != 200 {
		t.Errorf("the right one after wrong ones: %d", a.status)
	}
	for range 2 * maxPhoneCodes {
		f.code()
	}
	f.phone.mu.Lock()
	defer f.phone.mu.Unlock()
	if len(f.phone.codes) > maxPhoneCodes {
		t.Errorf("%d codes", len(f.phone.codes))
	}
}

// Who is shut out is out at once, in the middle of what is being followed; the others come again by themselves.
func TestPhoneShutOut(t *testing.T) {
	f := servePhone(t, t.TempDir())
	p, other := f.enter(), f.enter()
	r, _ := http.NewRequest("POST", f.base+"/api/fake/hang", nil)
	for i := 0; i < len(p); i += 2 {
		r.Header.Set(p[i], p[i+1])
	}
	resp, err := (&http.Transport{TLSClientConfig: insecure}).RoundTrip(r)
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	resp.Body.Read(make([]byte, 1))
	if a := f.call("POST", "/api/phone/phone-rm", `{"n":1}`); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("what it followed was not cut off")
	}
	<-left
	f.ask("POST", echoPath, echoBody, p...).problem(t, 401)
	if a := f.ask("POST", echoPath, echoBody, other...); a.status != 200 {
		t.Errorf("the other phone: %d", a.status)
	}
	f.call("POST", "/api/phone/phone-rm", `{"n":1}`).problem(t, 404)
}

// closed reports whether nothing listens at the phone's address.
func (f *phoneFixture) closed() bool {
	c, err := net.Dial("tcp", strings.TrimPrefix(f.base, "https://"))
	if err == nil {
		c.Close()
	}
	return err != nil
}

func TestPhoneOff(t *testing.T) {
	f := servePhone(t, t.TempDir())
	p := f.enter()
	f.call("POST", "/api/phone/phone-off", `{}`)
	if !f.closed() || f.phones().On {
		t.Error("it is open still")
	}
	f.code()
	if a := f.ask("POST", echoPath, echoBody, p...); a.status != 200 {
		t.Errorf("who was let in, after it was opened again: %d", a.status)
	}
	// It closes by itself when nobody is let in any more.
	f.skew.Add(int64(phoneLife + time.Hour))
	f.phone.tidy()
	if !f.closed() || f.phones().On || len(f.phones().Phones) != 0 {
		t.Error("it is open for nobody")
	}
	f.code()
	f.phone.tidy()
	if f.closed() {
		t.Error("it closed while a code is good")
	}
	f.skew.Add(int64(phoneCodeLife + time.Second))
	f.phone.tidy()
	if !f.closed() {
		t.Error("nobody came, and it is open still")
	}
}

// The way in is as it was left, with the same certificate, and who was let in is.
func TestPhoneRestart(t *testing.T) {
	dir := t.TempDir()
	var p []string
	var first PhonesOut
	t.Run("before", func(t *testing.T) {
		f := servePhone(t, dir)
		p = f.enter()
		first = f.phones()
		for _, name := range []string{certFile, keyFile, "phone.json"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
				t.Errorf("%s: %v %v", name, info, err)
			}
		}
		data, _ := os.ReadFile(filepath.Join(dir, "phone.json"))
		if bytes.Contains(data, []byte(p[3])) || bytes.Contains(data, []byte(strings.TrimPrefix(p[1], phoneCookie+"="))) {
			t.Error("what lets a phone in can be read from the disk")
		}
	})
	f := servePhone(t, dir)
	f.base = strings.TrimSuffix(first.URL, "/")
	if a := f.ask("POST", echoPath, echoBody, p...); a.status != 200 {
		t.Errorf("after a restart: %d", a.status)
	}
	if again := f.phones(); again.Fingerprint != first.Fingerprint || again.URL != first.URL || first.Fingerprint == "" {
		t.Errorf("was %+v, is %+v", first, again)
	}
	f.call("POST", "/api/phone/phone-off", `{}`)
	if servePhone(t, dir).phones().On {
		t.Error("it was closed, and is open after a restart")
	}
}

func TestPhoneBroken(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"phone.json", certFile, keyFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{broken"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := servePhone(t, dir)
	if a := f.ask("POST", echoPath, echoBody, f.enter()...); a.status != 200 {
		t.Errorf("%d", a.status)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "phone.json.corrupt-*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}

// What is of others is at another origin, sandboxed, and finds neither page nor interface there.
func TestPhoneContent(t *testing.T) {
	f := servePhone(t, t.TempDir())
	f.enter()
	c, _, _ := text("film.txt", "text of a")
	d := &door{mint: func(id, secret, name string) string {
		return "https://127.0.0.1:" + f.port("content") + "/" + id + "/" + secret + "/" + url.PathEscape(name)
	}}
	address, err := f.Mint(context.WithValue(t.Context(), doorKey{}, d), c)
	if err != nil {
		t.Fatal(err)
	}
	page := f.base
	u, _ := url.Parse(address)
	f.base = "https://" + u.Host
	if u.Host == strings.TrimPrefix(page, "https://") {
		t.Fatal("content is on the page's origin")
	}
	a := f.ask("GET", u.EscapedPath(), "", "Range", "bytes=0-3")
	if a.status != 206 || a.body != "text" || !strings.HasPrefix(a.header.Get("Content-Security-Policy"), "sandbox;") || a.header.Get("Set-Cookie") != "" {
		t.Errorf("%d %q %v", a.status, a.body, a.header)
	}
	for _, path := range []string{"/", "/index.html", echoPath, "/metrics", "/api/openapi.json", strings.Replace(u.EscapedPath(), "film", "../film", 1)[:20] + "/x/y"} {
		if a := f.ask("GET", path, "", "Authorization", "Bearer "+f.token); a.status != 404 || strings.Contains(a.body, "shell") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := f.ask("GET", u.EscapedPath(), "", "Host", "evil.example:"+u.Port()); a.status != 404 {
		t.Errorf("under another name: %d", a.status)
	}
	f.base = page
	if a := f.ask("GET", u.EscapedPath(), ""); strings.Contains(a.body, "text of a") {
		t.Error("content at the page's port")
	}
}

func TestCertificate(t *testing.T) {
	now := time.Now()
	c := &certificate{dir: t.TempDir(), now: func() time.Time { return now }}
	get := func(hosts ...string) *tls.Certificate {
		cert, err := c.get(hosts)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hosts {
			if err := cert.Leaf.VerifyHostname(host(h)); err != nil {
				t.Error(err)
			}
		}
		if cert.Leaf.IsCA || cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore) > 398*24*time.Hour {
			t.Errorf("certificate from %s to %s", cert.Leaf.NotBefore, cert.Leaf.NotAfter)
		}
		return cert
	}
	first := get("192.168.1.7:1", "[fd00::2]:1")
	c.held = nil // as after a restart
	if again := get("192.168.1.7:1"); fingerprint(again) != fingerprint(first) {
		t.Error("another certificate for the same address")
	}
	moved := get("10.0.0.5:1")
	if fingerprint(moved) == fingerprint(first) || !bytes.Equal(moved.Leaf.RawSubjectPublicKeyInfo, first.Leaf.RawSubjectPublicKeyInfo) {
		t.Error("a new address: want a new certificate of the same key")
	}
	if home := get("192.168.1.7:1"); fingerprint(home) != fingerprint(moved) {
		t.Error("back at home: another certificate, though it names that address")
	}
	now = now.Add(certLife - certRenew + time.Hour)
	if fingerprint(get("10.0.0.5:1")) == fingerprint(moved) {
		t.Error("it is not renewed before it ends")
	}
	for i := range 3 * maxCertIP {
		if n := len(get(fmt.Sprintf("10.1.0.%d:1", i)).Leaf.IPAddresses); n > maxCertIP {
			t.Fatalf("%d addresses in it", n)
		}
	}
}

func TestPhoneAgent(t *testing.T) {
	for text, want := range map[string]string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Mobile Safari/537.36":                                "Chrome on Android",
		"Mozilla/5.0 (Android 15; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0":                                                                    "Firefox on Android",
		"": "a browser", "x\x1b[2Jy": "x\ufffd[2Jy",
	} {
		if got := agent(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := agent(strings.Repeat("é", 1000)); len(got) > maxAgent {
		t.Errorf("%d bytes", len(got))
	}
}

func TestPhoneNotPublic(t *testing.T) {
	f := servePhone(t, t.TempDir())
	for _, at := range []string{"0.0.0.0", "::", "203.0.113.7", "8.8.8.8"} {
		f.call("POST", "/api/phone/phone", `{"at":"`+at+`"}`).problem(t, kith.Denied.HTTPStatus())
	}
	if f.phones().On {
		t.Error("it is open")
	}
}
