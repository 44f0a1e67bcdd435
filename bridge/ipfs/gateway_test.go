package ipfs

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"

	"kith/config"
)

const port = "4748"

// ask sends a request to the gateway.
func (n *node) ask(method, host, path string, header ...string) *httptest.ResponseRecorder {
	n.t.Helper()
	r := httptest.NewRequest(method, "http://"+host+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	n.Gateway().ServeHTTP(rec, r)
	return rec
}

func (n *node) get(path string, header ...string) *httptest.ResponseRecorder {
	return n.ask(http.MethodGet, "localhost:"+port, path, header...)
}

// sub asks the origin of a CID.
func (n *node) sub(c cid.Cid, path string, header ...string) *httptest.ResponseRecorder {
	if c.Version() == 0 {
		c = cid.NewCidV1(c.Type(), c.Hash())
	}
	return n.ask(http.MethodGet, c.String()+".ipfs.localhost:"+port, path, header...)
}

// TestGateway has the cases of the public conformance suite (https://github.com/ipfs/gateway-conformance) for paths, ranges and formats, as far as they apply to a gateway on
// which every root has an origin of its own.
func TestGateway(t *testing.T) {
	n := newNode(t, config.IPFS{})
	text := "0123456789"
	big := pseudo(1, 3<<20)
	dir := write(t, map[string][]byte{"site/index.html": []byte("<p>index"), "site/ascii.txt": []byte(text), "site/ą/ę/file-źł.txt": []byte("ź"), "site/plain/a": []byte("a"), "site/big.bin": big})
	_, names := n.share(filepath.Join(dir, "site"))
	root := names.IPFS
	file, err := n.Call(t.Context(), filepath.Join(dir, "site", "ascii.txt"), "")
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, rec *httptest.ResponseRecorder, code int, body string, header ...string) {
		t.Helper()
		if rec.Code != code {
			t.Errorf("%s: status %d, want %d: %.200s", what, rec.Code, code, rec.Body)
		}
		if body != "" && rec.Body.String() != body {
			t.Errorf("%s: %.100q, want %.100q", what, rec.Body, body)
		}
		for i := 0; i < len(header); i += 2 {
			if got := rec.Header().Get(header[i]); !strings.Contains(got, header[i+1]) {
				t.Errorf("%s: %s is %q, want %q", what, header[i], got, header[i+1])
			}
		}
	}
	origin := "http://" + root.String() + ".ipfs.localhost:" + port
	// Paths and origins.
	want("a path is redirected to its origin", n.get("/ipfs/"+root.String()+"/ascii.txt?a=b"), 301, "", "Location", origin+"/ascii.txt?a=b")
	want("CIDv0 is redirected as CIDv1", n.get("/ipfs/QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"), 301, "", "Location", "http://bafybei")
	at := "/ipfs/" + root.String()
	want("bytes that the CID proves come at once", n.get(at+"/ascii.txt?format=raw"), 200, text, "Content-Type", "application/vnd.ipld.raw", "Content-Disposition", "attachment", "X-Content-Type-Options", "nosniff")
	want("so do archives", n.get(at, "Accept", "application/vnd.ipld.car; version=1"), 200, "", "Content-Type", "application/vnd.ipld.car", "Content-Disposition", "attachment")
	want("not what is shown, whatever is asked for beside it", n.get(at+"/?format=dag-json", "Accept", "application/vnd.ipld.raw"), 301, "")
	want("nor a page that could be taken instead", n.get(at+"/", "Accept", "application/vnd.ipld.raw, text/html"), 301, "")
	want("invalid CID", n.get("/ipfs/not-a-cid"), 400, "")
	want("index.html", n.sub(root, "/"), 200, "<p>index", "Content-Type", "text/html", "Etag", `"bafybei`, "X-Ipfs-Roots", root.String())
	want("a folder without a slash", n.sub(root, "/plain"), 301, "", "Location", "/plain/")
	want("a folder without index.html", n.sub(root, "/plain/"), 200, "", "Content-Type", "text/html", "Etag", `"DirIndex-`)
	want("a path with letters of other scripts", n.sub(root, "/%C4%85/%C4%99/file-%C5%BA%C5%82.txt"), 200, "ź")
	want("nothing there", n.sub(root, "/nothing"), 404, "")
	want("cache of what never changes", n.sub(root, "/ascii.txt"), 200, text, "Cache-Control", "immutable")
	want("the same again", n.sub(root, "/ascii.txt", "If-None-Match", `"`+file.IPFS.String()+`"`), 304, "")
	want("only if it is here", n.sub(root, "/ascii.txt", "Cache-Control", "only-if-cached"), 200, text)
	want("only if it is here, and it is not", n.sub(blocks.NewBlock([]byte("nowhere")).Cid(), "/", "Cache-Control", "only-if-cached"), 412, "")
	want("HEAD", n.ask(http.MethodHead, root.String()+".ipfs.localhost:"+port, "/big.bin"), 200, "", "Content-Length", fmt.Sprint(len(big)))
	want("POST", n.ask(http.MethodPost, root.String()+".ipfs.localhost:"+port, "/"), 405, "", "Allow", "GET")
	want("filename", n.sub(root, "/ascii.txt?filename=x.txt&download=true"), 200, text, "Content-Disposition", "attachment")
	if got := n.sub(root, "/big.bin").Body.Bytes(); !bytes.Equal(got, big) {
		t.Errorf("big.bin: %d bytes", len(got))
	}
	// Ranges.
	want("range", n.sub(root, "/ascii.txt", "Range", "bytes=2-4"), 206, "234", "Content-Range", "bytes 2-4/10")
	want("range to the end", n.sub(root, "/ascii.txt", "Range", "bytes=7-"), 206, "789", "Content-Range", "bytes 7-9/10")
	want("the last bytes", n.sub(root, "/ascii.txt", "Range", "bytes=-3"), 206, "789", "Content-Range", "bytes 7-9/10")
	want("range over blocks", n.sub(root, "/big.bin", "Range", "bytes=1048570-1048585"), 206, string(big[1048570:1048586]))
	want("range behind the end", n.sub(root, "/ascii.txt", "Range", "bytes=20-30"), 416, "")
	// Formats.
	want("raw by query", n.sub(root, "/ascii.txt?format=raw"), 200, text, "Content-Type", "application/vnd.ipld.raw", "X-Content-Type-Options", "nosniff", "Content-Disposition", "attachment")
	want("raw by header", n.sub(root, "/ascii.txt", "Accept", "application/vnd.ipld.raw"), 200, text, "Content-Type", "application/vnd.ipld.raw")
	rec := n.sub(root, "/?format=car&dag-scope=block")
	want("car", rec, 200, "", "Content-Type", "application/vnd.ipld.car; version=1", "Content-Disposition", "attachment", "X-Content-Type-Options", "nosniff")
	if got := carOf(t, rec.Body.Bytes()); len(got) != 1 || !got[0].Equals(root) {
		t.Errorf("blocks of a CAR of one block: %v", got)
	}
	if got := carOf(t, n.sub(root, "/big.bin?format=car&dag-scope=entity&entity-bytes=0:100").Body.Bytes()); len(got) < 3 || len(got) > 4 {
		t.Errorf("a CAR of the first bytes has %d blocks: want the way, the file and one leaf", len(got))
	}
	if got := carOf(t, n.sub(root, "/?format=car").Body.Bytes()); len(got) != 12 {
		t.Errorf("a CAR of all has %d blocks", len(got))
	}
	want("dag-json of a folder is no conversion that is offered", n.sub(root, "/?format=dag-cbor"), 406, "")
	// What protects.
	csp := n.sub(root, "/").Header().Get("Content-Security-Policy")
	for _, s := range []string{"sandbox ", "default-src 'self'", "frame-ancestors 'self'"} {
		if !strings.Contains(csp, s) {
			t.Errorf("policy %q lacks %q", csp, s)
		}
	}
	if h := n.sub(root, "/").Header().Get("Access-Control-Allow-Origin"); h != "" {
		t.Errorf("foreign sites may read: %s", h)
	}
	rec = n.get("/ipfs/"+root.String(), "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https")
	want("a header that no proxy set", rec, 301, "", "Location", origin)
}

// carOf returns the blocks of a CAR, each checked.
func carOf(t *testing.T, data []byte) (all []cid.Cid) {
	t.Helper()
	r, err := carv2.NewBlockReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := r.Next()
		if err != nil {
			return all
		}
		if err := check(b.Cid(), b.RawData()); err != nil {
			t.Error(err)
		}
		all = append(all, b.Cid())
	}
}
