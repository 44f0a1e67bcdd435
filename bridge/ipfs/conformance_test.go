package ipfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/bridge"
	"kith/config"
)

// keep has a node have a block of some codec.
func (n *node) keep(codec uint64, data []byte) cid.Cid {
	n.t.Helper()
	c, err := cid.Prefix{Version: 1, Codec: codec, MhType: 0x12, MhLength: -1}.Sum(data)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cache.put(n.t.Context(), c, data, false); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// keepNode is keep for a UnixFS node with links.
func (n *node) keepNode(data []byte, links ...*ipld.Link) cid.Cid {
	n.t.Helper()
	node := merkledag.NodeWithData(data)
	node.SetCidBuilder(merkledag.V1CidPrefix())
	for _, l := range links {
		if err := node.AddRawLink(l.Name, l); err != nil {
			n.t.Fatal(err)
		}
	}
	return n.keep(cid.DagProtobuf, node.RawData())
}

// path asks under a name of this computer that is no localhost, as a gateway without origins is asked: the answer is the content itself.
func (n *node) path(at string, header ...string) *answer {
	n.t.Helper()
	rec := n.ask(http.MethodGet, "127.0.0.1:"+port, at, header...)
	return &answer{rec.Code, rec.Header(), rec.Body.Bytes()}
}

type answer struct {
	code   int
	header http.Header
	body   []byte
}

// TestConformance has cases of the public conformance suite of gateways (https://github.com/ipfs/gateway-conformance, v0.9), each under the name of the suite's test, for what the suite calls
// trustless-gateway, path-gateway and subdomain-gateway. Left out is what this gateway does on purpose otherwise: it lets no other site read (CORS), believes no X-Forwarded-Host, since nobody stands
// in front of it, follows no DNSLink in subdomains, and sends Ipfs-Uri in place of X-Ipfs-Path (IPIP-548).
func TestConformance(t *testing.T) {
	n := newNode(t, config.IPFS{})
	ascii, multi := []byte("0123456789"), pseudo(1, 3<<20)
	dir := write(t, map[string][]byte{"root/subdir/ascii.txt": ascii, "root/subdir/multiblock.bin": multi, "root/hello.txt": []byte("hello"), "root/Portugal%2C+España=Peninsula Ibérica.txt": []byte("percent")})
	share, names := n.share(filepath.Join(dir, "root"))
	root := names.IPFS
	at := "/ipfs/" + root.String()
	called := func(p string) cid.Cid {
		names, err := n.Call(t.Context(), filepath.Join(dir, "root", p), "")
		if err != nil {
			t.Fatal(err)
		}
		return names.IPFS
	}
	subdir, file, leaf := called("subdir"), called("subdir/multiblock.bin"), called("subdir/ascii.txt")
	raw := n.keep(cid.Raw, []byte("application/vnd.ipld.raw"))
	jsonFile := n.keep(cid.Raw, []byte(`{"test": true}`))
	dagJSON := n.keep(cid.DagJSON, []byte(`{"test":{"inner":1}}`))
	dagCBOR := n.keep(cid.DagCBOR, []byte{0xa1, 0x61, 'a', 0x01})
	linked := n.keep(cid.DagJSON, fmt.Appendf(nil, `{"foo":{"link":{"/":%q}}}`, n.keep(cid.DagJSON, []byte(`{"bar":"hello"}`))))
	outside := n.keepNode(ft.FolderPBData(), entry("..", n.keepNode(ft.FolderPBData(), entry("x", raw, 24)), 0), entry("../../passwd", raw, 24))
	link := n.keepNode(ft.FolderPBData(), entry("foo", raw, 24), entry("bar", n.keepNode(must(ft.SymlinkData("foo"))), 0))
	site, err := n.SetSite(t.Context(), bridge.Site{Name: "test", Root: share.Root})
	if err != nil {
		t.Fatal(err)
	}
	name, err := ipns.NameFromString(site.Key)
	if err != nil {
		t.Fatal(err)
	}
	id := name.Peer()
	const nowhere = "/ipfs/bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"

	type want struct {
		code   int
		body   string   // "" for any
		header []string // key, part of its value
		blocks []cid.Cid
		check  func(t *testing.T, a *answer)
	}
	car := []string{"Content-Type", "application/vnd.ipld.car", "X-Content-Type-Options", "nosniff", "Content-Disposition", "attachment"}
	leaves := carOf(t, n.path("/ipfs/"+file.String()+"?format=car").body)[1:]
	for _, c := range []struct {
		test, path string
		header     []string
		want       want
	}{
		// trustless_gateway_raw_test.go, path_gateway_raw_test.go
		{"TestTrustlessRaw: format=raw", at + "/subdir/ascii.txt?format=raw", nil, want{200, string(ascii), []string{"Content-Type", "application/vnd.ipld.raw", "Content-Length", "10", "Content-Disposition", leaf.String() + ".bin", "X-Content-Type-Options", "nosniff"}, nil, nil}},
		{"TestTrustlessRaw: header", at + "/subdir/ascii.txt", []string{"Accept", "application/vnd.ipld.raw"}, want{200, string(ascii), []string{"Etag", `"` + leaf.String() + `.raw"`, "Cache-Control", "public, max-age=29030400, immutable", "X-Ipfs-Roots", leaf.String()}, nil, nil}},
		{"TestTrustlessRaw: filename", at + "/subdir/ascii.txt?format=raw&filename=foobar.bin", nil, want{200, "", []string{"Content-Disposition", `filename="foobar.bin"`}, nil, nil}},
		{"TestTrustlessRawRanges: one", at + "/subdir/ascii.txt", []string{"Accept", "application/vnd.ipld.raw", "Range", "bytes=6-9"}, want{206, "6789", []string{"Content-Type", "application/vnd.ipld.raw"}, nil, nil}},
		{"TestGatewayBlock: a folder as a block", at + "/subdir?format=raw", nil, want{200, "", []string{"X-Ipfs-Roots", root.String() + "," + subdir.String()}, nil, func(t *testing.T, a *answer) {
			if check(subdir, a.body) != nil {
				t.Error("it is another block")
			}
		}}},
		// trustless_gateway_car_test.go
		{"TestTrustlessCarPathing: a path", at + "/subdir/ascii.txt?format=car", nil, want{200, "", car, []cid.Cid{root, subdir, leaf}, nil}},
		{"TestTrustlessCarPathing: nothing there", at + "/subdir/i-do-not-exist?format=car", nil, want{0, "", nil, nil, func(t *testing.T, a *answer) { // "not found", or the blocks that prove it
			if got := carOf(t, a.body); a.code != 404 && (a.code != 200 || !slices.Equal(got, []cid.Cid{root, subdir})) {
				t.Errorf("%d, %v", a.code, got)
			}
		}}},
		{"TestTrustlessCarDagScopeBlock: folder", at + "/subdir?format=car&dag-scope=block", nil, want{200, "", car, []cid.Cid{root, subdir}, nil}},
		{"TestTrustlessCarDagScopeBlock: file", at + "/subdir/multiblock.bin?format=car&dag-scope=block", nil, want{200, "", car, []cid.Cid{root, subdir, file}, nil}},
		{"TestTrustlessCarDagScopeEntity: folder", "/ipfs/" + root.String() + "?format=car&dag-scope=entity", nil, want{200, "", car, []cid.Cid{root}, nil}},
		{"TestTrustlessCarDagScopeEntity: file", at + "/subdir/multiblock.bin?format=car&dag-scope=entity", nil, want{200, "", car, append([]cid.Cid{root, subdir, file}, leaves...), nil}},
		{"TestTrustlessCarDagScopeAll: folder", at + "/subdir?format=car&dag-scope=all", nil, want{200, "", car, append([]cid.Cid{root, subdir, leaf, file}, leaves...), nil}},
		{"TestTrustlessCarEntityBytes: all", at + "/subdir/multiblock.bin?format=car&dag-scope=entity&entity-bytes=0:*", nil, want{200, "", car, append([]cid.Cid{root, subdir, file}, leaves...), nil}},
		{"TestTrustlessCarEntityBytes: the first", at + "/subdir/multiblock.bin?format=car&dag-scope=entity&entity-bytes=0:100", nil, want{200, "", car, []cid.Cid{root, subdir, file, leaves[0]}, nil}},
		{"TestTrustlessCarEntityBytes: to the end", "/ipfs/" + file.String() + "?format=car&dag-scope=entity&entity-bytes=2621440:*", nil, want{200, "", car, []cid.Cid{file, leaves[len(leaves)-1]}, nil}},
		{"TestTrustlessCarEntityBytes: the last", "/ipfs/" + file.String() + "?format=car&dag-scope=entity&entity-bytes=-5:*", nil, want{200, "", car, []cid.Cid{file, leaves[len(leaves)-1]}, nil}},
		{"TestTrustlessCarEntityBytes: behind the end", "/ipfs/" + file.String() + "?format=car&dag-scope=entity&entity-bytes=3145700:99999999", nil, want{200, "", car, []cid.Cid{file, leaves[len(leaves)-1]}, nil}},
		{"TestTrustlessCarEntityBytes: nonsense", "/ipfs/" + file.String() + "?format=car&entity-bytes=x:y", nil, want{400, "", nil, nil, nil}},
		{"TestTrustlessCarOrderAndDuplicates: order", "/ipfs/" + file.String(), []string{"Accept", "application/vnd.ipld.car;order=dfs;dups=n"}, want{200, "", []string{"Content-Type", "order=dfs", "Content-Type", "dups=n"}, append([]cid.Cid{file}, leaves...), nil}},
		{"TestTrustlessCarFormatPrecedence", at + "/subdir/ascii.txt?format=car", []string{"Accept", "application/vnd.ipld.raw"}, want{200, "", car, []cid.Cid{root, subdir, leaf}, nil}},
		{"CAR version 2", at + "?format=car&car-version=2", nil, want{400, "", nil, nil, nil}},
		{"dag-scope that there is not", at + "?format=car&dag-scope=nonsense", nil, want{400, "", nil, nil, nil}},
		// trustless_gateway_ipns_test.go
		{"TestGatewayIPNSRecord: format", "/ipns/" + site.Key + "?format=ipns-record", nil, want{200, "", []string{"Content-Type", "application/vnd.ipfs.ipns-record", "Content-Disposition", "attachment", "Cache-Control", "max-age="}, nil, func(t *testing.T, a *answer) {
			rec, err := ipns.UnmarshalRecord(a.body)
			if err != nil || ipns.ValidateWithName(rec, name) != nil {
				t.Errorf("no record: %v", err)
			}
		}}},
		{"TestGatewayIPNSRecord: header", "/ipns/" + site.Key, []string{"Accept", "application/vnd.ipfs.ipns-record"}, want{200, "", []string{"Content-Type", "application/vnd.ipfs.ipns-record"}, nil, nil}},
		{"TestGatewayIPNSRecord: filename", "/ipns/" + site.Key + "?format=ipns-record&filename=test.bin", nil, want{200, "", []string{"Content-Disposition", `filename="test.bin"`}, nil, nil}},
		{"an IPNS record of a CID", at + "?format=ipns-record", nil, want{400, "", nil, nil, nil}},
		// path_gateway_ipns_test.go
		{"TestGatewayIPNSPath: file", "/ipns/" + site.Key + "/subdir/ascii.txt", nil, want{200, string(ascii), []string{"Cache-Control", "max-age="}, nil, nil}},
		{"TestRedirectCanonicalIPNS", "/ipns/" + id.String() + "/subdir/", nil, want{302, "", []string{"Location", "/ipns/" + site.Key + "/subdir/"}, nil, nil}},
		// path_gateway_unixfs_test.go
		{"TestUnixFSDirectoryListing: redirected to a slash", at + "/subdir?a=b", nil, want{301, "", []string{"Location", at + "/subdir/?a=b"}, nil, nil}},
		{"TestUnixFSDirectoryListing: page", at + "/subdir/", nil, want{200, "", []string{"Content-Type", "text/html", "Etag", `"DirIndex-`}, nil, func(t *testing.T, a *answer) {
			for _, s := range []string{"Index of", "ascii.txt", "multiblock.bin", leaf.String()} {
				if !bytes.Contains(a.body, []byte(s)) {
					t.Errorf("it lacks %q", s)
				}
			}
		}}},
		{"TestUnixFSDirectoryListing: nothing there", at + "/i-do-not-exist", nil, want{404, "", nil, nil, nil}},
		{"TestGatewayCache: file", at + "/subdir/ascii.txt", nil, want{200, string(ascii), []string{"Cache-Control", "public, max-age=29030400, immutable", "Etag", `"` + leaf.String() + `"`, "X-Ipfs-Roots", root.String() + "," + subdir.String() + "," + leaf.String()}, nil, nil}},
		{"TestGatewayCache: third of If-None-Match", at + "/subdir/ascii.txt", []string{"If-None-Match", `"fakeEtag1", "fakeEtag2", "` + leaf.String() + `"`}, want{304, "", nil, nil, nil}},
		{"TestGatewayCache: weak", at + "/subdir/ascii.txt", []string{"If-None-Match", `W/"` + leaf.String() + `"`}, want{304, "", nil, nil, nil}},
		{"TestGatewayCache: any", at + "/subdir/ascii.txt", []string{"If-None-Match", "*"}, want{304, "", nil, nil, nil}},
		{"TestGatewayCache: only if cached, and it is not", nowhere, []string{"Cache-Control", "only-if-cached"}, want{412, "", nil, nil, nil}},
		{"TestGatewaySymlink", "/ipfs/" + link.String() + "/bar", nil, want{200, "foo", []string{"Content-Type", "inode/symlink"}, nil, nil}},
		{"TestGatewayUnixFSFileRanges: one", at + "/subdir/ascii.txt", []string{"Range", "bytes=2-4"}, want{206, "234", []string{"Content-Range", "bytes 2-4/10", "Content-Type", "text/plain"}, nil, nil}},
		{"TestGatewayUnixFSFileRanges: several", at + "/subdir/ascii.txt", []string{"Range", "bytes=6-9,0-1"}, want{0, "", nil, nil, func(t *testing.T, a *answer) { // both are allowed: several parts, or the first of them
			if a.code != 206 && a.code != 200 || !bytes.Contains(a.body, []byte("6789")) {
				t.Errorf("%d %q", a.code, a.body)
			}
		}}},
		{"TestGatewayUnixFSFileRanges: over leaves", at + "/subdir/multiblock.bin", []string{"Range", "bytes=1048570-1048585"}, want{206, string(multi[1048570:1048586]), nil, nil, nil}},
		{"TestPathGatewayMiscellaneous: a name with a percent sign", at + "/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt", nil, want{200, "percent", nil, nil, nil}},
		{"TestPathGatewayMiscellaneous: uri", "/ipfs/?uri=ipfs%3A%2F%2F" + root.String() + "%2Fhello.txt", nil, want{301, "", []string{"Location", at + "/hello.txt"}, nil, nil}},
		{"no CID", "/ipfs/not-a-cid", nil, want{400, "", nil, nil, nil}},
		// path_gateway_tar_test.go
		{"TestTar: format", at + "/subdir?format=tar", nil, want{200, "", []string{"Content-Type", "application/x-tar", "Content-Disposition", "attachment"}, nil, func(t *testing.T, a *answer) {
			got := map[string]bool{}
			for r := tar.NewReader(bytes.NewReader(a.body)); ; {
				h, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				data, _ := io.ReadAll(r)
				got[path.Base(h.Name)] = bytes.Equal(data, ascii) || bytes.Equal(data, multi)
			}
			if !got["ascii.txt"] || !got["multiblock.bin"] {
				t.Errorf("%v", got)
			}
		}}},
		{"TestTar: header", at + "/subdir/ascii.txt", []string{"Accept", "application/x-tar"}, want{200, "", []string{"Content-Type", "application/x-tar"}, nil, nil}},
		{"TestTar: paths that lead out", "/ipfs/" + outside.String() + "?format=tar", nil, want{0, "", nil, nil, func(t *testing.T, a *answer) {
			for r := tar.NewReader(bytes.NewReader(a.body)); ; {
				h, err := r.Next()
				if err != nil {
					break
				}
				if strings.Contains(h.Name, "..") {
					t.Errorf("%q leads out", h.Name)
				}
			}
		}}},
		// path_gateway_dag_test.go
		{"TestGatewayJsonCbor: a file of JSON", "/ipfs/" + jsonFile.String() + "?filename=x.json", nil, want{200, `{"test": true}`, []string{"Content-Type", "application/json"}, nil, nil}},
		{"TestNativeDag: as it is", "/ipfs/" + dagJSON.String() + "?format=dag-json", nil, want{200, `{"test":{"inner":1}}`, []string{"Content-Type", "application/vnd.ipld.dag-json", "X-Content-Type-Options", "nosniff"}, nil, nil}},
		{"TestNativeDag: header", "/ipfs/" + dagCBOR.String(), []string{"Accept", "application/vnd.ipld.dag-cbor"}, want{200, "\xa1aa\x01", []string{"Content-Type", "application/vnd.ipld.dag-cbor", "Content-Disposition", "attachment"}, nil, nil}},
		{"TestCodecMismatchReturns406: UnixFS as dag-json", at + "?format=dag-json", nil, want{406, "", nil, nil, nil}},
		{"TestCodecMismatchReturns406: dag-json as dag-cbor", "/ipfs/" + dagJSON.String() + "?format=dag-cbor", nil, want{406, "", nil, nil, nil}},
		{"TestCodecMismatchReturns406: dag-cbor as dag-json", "/ipfs/" + dagCBOR.String(), []string{"Accept", "application/vnd.ipld.dag-json"}, want{406, "", nil, nil, nil}},
		{"TestPathing: over a link", "/ipfs/" + linked.String() + "/foo/link?format=dag-json", nil, want{200, `{"bar":"hello"}`, nil, nil, nil}},
		{"TestPathing: what is left over", "/ipfs/" + linked.String() + "/foo?format=dag-json", nil, want{501, "", nil, nil, nil}},
		{"TestPathing: nothing there", "/ipfs/" + linked.String() + "/foo/i-do-not-exist?format=dag-json", nil, want{404, "", nil, nil, nil}},
	} {
		t.Run(c.test, func(t *testing.T) {
			a := n.path(c.path, c.header...)
			if c.want.code != 0 && a.code != c.want.code || c.want.body != "" && string(a.body) != c.want.body {
				t.Errorf("%d %.100q, want %d %.100q", a.code, a.body, c.want.code, c.want.body)
			}
			for i := 0; i < len(c.want.header); i += 2 {
				if got := a.header.Get(c.want.header[i]); !strings.Contains(got, c.want.header[i+1]) {
					t.Errorf("%s is %q, want %q", c.want.header[i], got, c.want.header[i+1])
				}
			}
			if c.want.blocks != nil {
				if got := carOf(t, a.body); !slices.Equal(got, c.want.blocks) {
					t.Errorf("blocks %v, want %v", got, c.want.blocks)
				}
			}
			if c.want.check != nil {
				c.want.check(t, a)
			}
		})
	}
	origin := func(c, kind string) string { return c + "." + kind + ".localhost:" + port }
	long := cid.NewCidV1(cid.Raw, must(cid.Prefix{Version: 1, Codec: cid.Raw, MhType: 0x13, MhLength: -1}.Sum([]byte("long"))).Hash()).String() // SHA-512
	v1key := peer.ToCid(id).String()
	for _, c := range []struct {
		test, host, path string
		header           []string
		code             int
		body, location   string
	}{
		// subdomain_gateway_ipfs_test.go
		{"TestGatewaySubdomains: redirected", "localhost:" + port, at + "/", nil, 301, "", "http://" + origin(root.String(), "ipfs") + "/"},
		{"TestGatewaySubdomains: a name with a percent sign", "localhost:" + port, at + "/Portugal%252C+España=Peninsula%20Ibérica.txt", nil, 301, "", "http://" + origin(root.String(), "ipfs") + "/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt"},
		{"TestGatewaySubdomains: CIDv0", "localhost:" + port, "/ipfs/" + cid.NewCidV0(root.Hash()).String() + "/", nil, 301, "", "http://" + origin(root.String(), "ipfs") + "/"},
		{"TestGatewaySubdomains: payload", origin(root.String(), "ipfs"), "/hello.txt", nil, 200, "hello", ""},
		{"TestGatewaySubdomains: a path within an origin is a path", origin(root.String(), "ipfs"), at + "/", nil, 404, "", ""},
		{"TestGatewaySubdomains: deep", origin(root.String(), "ipfs"), "/subdir/ascii.txt", nil, 200, string(ascii), ""},
		{"TestGatewaySubdomains: no CID", "localhost:" + port, "/ipfs/QmInvalidCID", nil, 400, "", ""},
		{"TestGatewaySubdomains: too long for a name", "localhost:" + port, "/ipfs/" + long, nil, 400, "CID incompatible with DNS label", ""},
		{"TestGatewaySubdomains: uri", "localhost:" + port, "/ipfs/?uri=ipfs%3A%2F%2F" + root.String() + "%2Fhello.txt", nil, 301, "", at + "/hello.txt"},
		{"TestUnixFSDirectoryListingOnSubdomainGateway: redirected to a slash", origin(root.String(), "ipfs"), "/subdir", nil, 301, "", "/subdir/"},
		// subdomain_gateway_ipns_test.go
		{"TestGatewaySubdomainAndIPNS: a peer id", "localhost:" + port, "/ipns/" + id.String() + "/", nil, 301, "", "http://" + origin(site.Key, "ipns") + "/"},
		{"TestGatewaySubdomainAndIPNS: CIDv1 in base32", "localhost:" + port, "/ipns/" + v1key + "/", nil, 301, "", "http://" + origin(site.Key, "ipns") + "/"},
		{"TestGatewaySubdomainAndIPNS: payload", origin(site.Key, "ipns"), "/hello.txt", nil, 200, "hello", ""},
		{"trustless at an origin", origin(root.String(), "ipfs"), "/subdir/ascii.txt?format=raw", nil, 200, string(ascii), ""},
	} {
		t.Run(c.test, func(t *testing.T) {
			rec := n.ask(http.MethodGet, c.host, c.path, c.header...)
			if rec.Code != c.code || !strings.Contains(rec.Body.String(), c.body) || c.location != "" && rec.Header().Get("Location") != c.location {
				t.Errorf("%d %.100q to %q, want %d %.100q to %q", rec.Code, rec.Body, rec.Header().Get("Location"), c.code, c.body, c.location)
			}
		})
	}
	// path_gateway_ipns_test.go: records that are signed by another, or for another time, are not believed.
	t.Run("TestGatewayIPNSPath: broken", func(t *testing.T) {
		other, bad, err := sign(bytes.Repeat([]byte{7}, 32), root, 1, time.Now().Add(-10*recordLife))
		if err != nil {
			t.Fatal(err)
		}
		n.names.remember(t.Context(), bad, other)
		if a := n.path("/ipns/" + bad.String() + "/hello.txt"); a.code < 500 {
			t.Errorf("of long ago: %d", a.code)
		}
		good, _, err := sign(bytes.Repeat([]byte{8}, 32), root, 1, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		n.names.remember(t.Context(), bad, good)
		if a := n.path("/ipns/" + bad.String() + "/hello.txt"); a.code < 500 {
			t.Errorf("of another: %d", a.code)
		}
	})
}
