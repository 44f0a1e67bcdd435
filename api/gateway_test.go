package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kith/app"
)

// gatewayServer is a server with a gateway that says what it was asked for.
func gatewayServer(t *testing.T, apps ...app.App) *Server {
	t.Helper()
	s, err := New(Options{Addr: "127.0.0.1:0", Dir: t.TempDir(), Apps: apps})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestGatewayIsForThisPersonAlone: nobody needs a token to look at pages of a public network, but no foreign site gets in, nor another name.
func TestGatewayIsForThisPersonAlone(t *testing.T) {
	s := gatewayServer(t, app.App{Name: "web", Help: "pages", Gateway: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("gateway " + r.Host + r.URL.Path))
	})})
	own, page := "bafy.ipfs.localhost:"+s.port, "127.0.0.1:"+s.port
	click := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-User", "?1"}
	with := func(site string, more ...string) []string { return append([]string{"Sec-Fetch-Site", site}, more...) }
	for _, tt := range []struct {
		what, host, path string
		header           []string
		status           int
		body             string
	}{
		{"a program", own, "/a", nil, 200, "gateway " + own + "/a"},
		{"a program, by path", page, "/ipfs/bafy", nil, 200, "gateway localhost:" + s.port + "/ipfs/bafy"},
		{"by name", "localhost:" + s.port, "/ipns/k51", nil, 200, "gateway localhost:" + s.port + "/ipns/k51"},
		{"a domain", "docs.ipfs.tech.ipns.localhost:" + s.port, "/", nil, 200, ""},
		{"typed", page, "/ipfs/bafy", with("none", click...), 200, ""},
		{"from the page, or the site itself", own, "/a.js", with("same-origin"), 200, ""},
		{"a link that was clicked", own, "/", with("cross-site", click...), 200, ""},
		{"a picture in a foreign page", own, "/a.png", with("cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"), 403, "another web site"},
		{"a script of a foreign page", page, "/ipfs/bafy", with("cross-site", "Sec-Fetch-Mode", "cors", "Origin", "https://evil.example"), 403, ""},
		{"another site of IPFS", own, "/a", with("same-site", "Sec-Fetch-Mode", "cors"), 403, ""},
		{"a frame", own, "/", with("cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-User", "?1"), 403, ""},
		{"a window that nobody asked for", own, "/", with("cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), 403, ""},
		{"an old browser's foreign page", own, "/", []string{"Origin", "https://evil.example"}, 403, ""},
		{"an old browser's own", own, "/", []string{"Origin", "http://" + own}, 200, ""},
		{"DNS rebinding, by path", "evil.example:" + s.port, "/ipfs/bafy", nil, 403, "does not answer to the name"},
		{"DNS rebinding, by a name that ends alike", "bafy.ipfs.localhost.evil.example:" + s.port, "/", nil, 403, ""},
		{"another port", "bafy.ipfs.localhost:1", "/", nil, 403, ""},
		{"nothing before it", ".ipfs.localhost:" + s.port, "/", nil, 403, ""},
		{"the interface at an origin of a site", own, "/api/files/ls", nil, 200, "gateway " + own + "/api/files/ls"},
		{"the interface itself, still closed", page, "/api/session", nil, 401, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://"+tt.host+tt.path, nil)
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Set(tt.header[i], tt.header[i+1])
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.body) {
			t.Errorf("%s: %d %.200s, want %d %q", tt.what, rec.Code, rec.Body, tt.status, tt.body)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "http://"+own+"/", nil)
	for i, h := range with("cross-site", click...) {
		if i%2 == 0 {
			r.Header.Set(h, with("cross-site", click...)[i+1])
		}
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if rec.Code != 403 {
		t.Errorf("a form of a foreign page: %d", rec.Code)
	}
}

func TestNoGateway(t *testing.T) {
	s := gatewayServer(t)
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://bafy.ipfs.localhost:"+s.port+"/", nil))
	if rec.Code != 404 {
		t.Errorf("%d", rec.Code)
	}
}
