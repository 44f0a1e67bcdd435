package kith

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func testPeer(t testing.TB) peer.ID {
	priv, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func testLink(t testing.TB) Link {
	id := testPeer(t).String()
	l := Link{Ref: ManifestRef([32]byte{1, 2, 3}), Name: "Ferien & Möwen #1.mkv", Size: 1 << 40, Network: "home", Key: bytes.Repeat([]byte{9}, KeySize),
		Rest: []Param{{"xt", "urn:ed2k:31d6cfe0d16ae931b73c59d7e0c089c0"}, {"x.unknown", "a=b&c"}},
		Names: Names{V1: InfoHash{1, 0x23}, V2: [32]byte{5}, Trackers: []string{"udp://tracker:80/announce", "wss://tracker.example/?a=b&c"}, WebSeeds: []string{"https://example.org/a b"},
			Source: "https://example.org/x.torrent", IPFS: cid.MustParse("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")},
		Swarm: []string{"192.0.2.9:6881", "[2001:db8::9]:6881"}, Select: []FileRange{{0, 0}, {2, 5}}}
	for _, a := range []string{"/ip4/203.0.113.7/udp/4001/quic-v1/p2p/" + id, "/ip4/203.0.113.7/tcp/4001/p2p/" + id,
		"/ip6/2001:db8::1/tcp/4001/p2p/" + id, "/ip4/203.0.113.7/tcp/4001/ws/p2p/" + id} {
		l.Peers = append(l.Peers, multiaddr.StringCast(a))
	}
	return l
}

func TestLinkRoundTrip(t *testing.T) {
	l := testLink(t)
	got, err := ParseLink(l.String())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, l) {
		t.Errorf("got  %+v\nwant %+v", got, l)
	}
	var order []string
	for _, p := range strings.Split(strings.TrimPrefix(l.String(), "magnet:?"), "&") {
		k, v, _ := strings.Cut(p, "=")
		if k == "xt" {
			k, _, _ = strings.Cut(strings.TrimPrefix(v, "urn:"), ":")
		}
		if len(order) == 0 || order[len(order)-1] != k {
			order = append(order, k)
		}
	}
	if want := "btih btmh ed2k blake3 dn xl x.cid tr ws x.pe xs so x.unknown x.net x.kith"; strings.Join(order, " ") != want {
		t.Errorf("parameters stand in the order\n%s, want\n%s", strings.Join(order, " "), want)
	}
}

// TestKeyStandsAlone: simple parsers glue the key to the last parameter; it is none that they use.
func TestKeyStandsAlone(t *testing.T) {
	full := testLink(t)
	for _, cut := range []func(*Link){
		func(*Link) {}, func(l *Link) { l.Peers = nil }, func(l *Link) { l.Peers, l.Network = nil, "" }, func(l *Link) { l.Peers, l.Network, l.Rest, l.Select = nil, "", nil, nil },
		func(l *Link) { *l = Link{Ref: l.Ref, Key: l.Key, Size: -1, Names: Names{Trackers: l.Trackers}} },
		func(l *Link) { *l = Link{Ref: l.Ref, Key: l.Key, Size: -1, Names: Names{Source: l.Source}} }, func(l *Link) { *l = Link{Ref: l.Ref, Key: l.Key, Size: -1} },
	} {
		l := full
		cut(&l)
		s := l.String()
		k, _, _ := strings.Cut(s[strings.LastIndexAny(s, "&?")+1:], "=")
		if k != "x.kith" && k != "x.net" && k != "x.cid" {
			t.Errorf("the key stands behind %s: %s", k, s)
		}
		if got, err := ParseLink(s); err != nil || !reflect.DeepEqual(got, l) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, l)
		}
	}
}

// TestLinkForms: each of testdata/links.json, and what it is as a magnet URI, or why it is refused.
func TestLinkForms(t *testing.T) {
	data, err := os.ReadFile("testdata/links.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct{ Link, Is, Refused string }
	if err := json.Unmarshal(data, &all); err != nil || len(all) < 50 {
		t.Fatal(len(all), err)
	}
	for _, v := range all {
		l, err := ParseLink(v.Link)
		if v.Refused != "" {
			if err == nil || !errors.Is(err, Invalid) || !strings.Contains(err.Error()+" ("+HintOf(err)+")", v.Refused) {
				t.Errorf("%s\n got %v (%s), %v\nwant the error %s", v.Link, err, HintOf(err), l, v.Refused)
			}
			continue
		}
		if err != nil || l.String() != v.Is {
			t.Errorf("%s\n got %v, %v\nwant %s", v.Link, l, err, v.Is)
			continue
		}
		if again, err := ParseLink(l.String()); err != nil || again.String() != l.String() {
			t.Errorf("%s\nbecomes %v, and then %v, %v", v.Link, l, again, err)
		}
	}
}

func TestTorrentPath(t *testing.T) {
	l, err := ParseLink("/tmp/a b/ü %41.Torrent")
	if err != nil || l.Torrent() != "/tmp/a b/ü %41.Torrent" {
		t.Fatalf("%+v, %v", l, err)
	}
	if again, err := ParseLink(l.String()); err != nil || again.Torrent() != l.Torrent() {
		t.Errorf("%v becomes %+v, %v", l, again, err)
	}
	if l, err := ParseLink("magnet:?xs=file:///etc/x.torrent&xt=urn:btih:" + strings.Repeat("ab", 20)); err != nil || l.Source != "" {
		t.Errorf("a link of others names a file here: %+v, %v", l, err)
	}
}

func TestShortLink(t *testing.T) {
	l := testLink(t)
	s := l.Short()
	if len(s) > MaxShortLen {
		t.Errorf("%d characters, at most %d", len(s), MaxShortLen)
	}
	got, err := ParseLink(s)
	if err != nil {
		t.Fatal(err)
	}
	if got.Ref != l.Ref || got.Size != l.Size || !bytes.Equal(got.Key, l.Key) {
		t.Errorf("got %+v", got)
	}
	if len(got.Peers) < 2 || got.Peers[0].String() != l.Peers[0].String() || got.Peers[1].String() != l.Peers[1].String() {
		t.Errorf("peers %v", got.Peers)
	}
	if again := got.Short(); again != s {
		t.Errorf("short form of the short form differs:\n%s\n%s", again, s)
	}
	many := l
	for range 20 {
		many.Peers = append(many.Peers, l.Peers...)
		many.Peers = append(many.Peers, multiaddr.StringCast("/ip6/2001:db8::"+string("123456789abcdef"[len(many.Peers)%15])+"/tcp/1/p2p/"+testPeer(t).String()))
	}
	if n := len(many.Short()); n > MaxShortLen {
		t.Errorf("%d characters with many addresses", n)
	}
}

// TestShortLinkRelay: who is behind a router is found through the relay in the short link.
func TestShortLinkRelay(t *testing.T) {
	l := testLink(t)
	who, relays := "/p2p/"+testPeer(t).String(), []string{}
	for _, seed := range []byte{1, 2} {
		pub, err := crypto.UnmarshalEd25519PublicKey(bytes.Repeat([]byte{seed}, 32))
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		relays = append(relays, "/p2p/"+id.String()+"/p2p-circuit"+who)
	}
	l.Peers = nil
	for _, a := range []string{
		"/ip4/192.168.1.2/tcp/4747" + who, "/ip4/192.0.2.1/udp/4001/quic-v1" + relays[0], "/ip4/192.0.2.1/tcp/4001" + relays[0], "/ip6/2001:db8::1/udp/4001/quic-v1" + relays[0],
		"/ip4/192.0.2.9/tcp/4001" + relays[1],
	} {
		l.Peers = append(l.Peers, multiaddr.StringCast(a))
	}
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{7}, KeySize)} {
		if l.Key = key; key != nil {
			l.Size = -1
		}
		s := l.Short()
		got, err := ParseLink(s)
		if err != nil || len(s) > MaxShortLen {
			t.Fatalf("%d characters, %v", len(s), err)
		}
		want := []multiaddr.Multiaddr{l.Peers[1], l.Peers[2], l.Peers[3], l.Peers[0]} // a second relay has no room
		if !slices.EqualFunc(got.Peers, want, multiaddr.Multiaddr.Equal) {
			t.Errorf("peers %v\nwant  %v", got.Peers, want)
		}
		if again := got.Short(); again != s {
			t.Errorf("short form of the short form differs:\n%s\n%s", again, s)
		}
	}
}

func TestParseLinkErrors(t *testing.T) {
	ref := RawRef([32]byte{1})
	tests := []struct {
		in   string
		want Kind
	}{
		{"", Invalid},
		{"hello", Invalid},
		{"magnet:?", Invalid},
		{"magnet:?xt=urn:blake3:zz", Invalid},
		{"magnet:?x.cid=" + ref.String() + "&xl=-1", Invalid},
		{"magnet:?x.cid=" + ref.String() + "&xl=9223372036854775808", Invalid},
		{"magnet:?x.cid=" + ref.String() + "&x.kith=nonsense", Invalid},
		{"magnet:?x.cid=" + ref.String() + "&dn=%zz", Invalid},
		{"magnet:?x.cid=" + ref.String() + "#short", Invalid},
		{"magnet:?x.cid=" + ref.String() + "&xt=urn:blake3:" + strings.Repeat("00", 32), Invalid},
		{"magnet:?x.cid=" + strings.Repeat("a", MaxLinkLen), TooLarge},
		{"magnet:?x.cid=" + ref.String() + strings.Repeat("&a=b", MaxLinkParams), TooLarge},
		{"kith:AQ", Invalid},
		{"kith:" + strings.Repeat("/", 100), Invalid},
	}
	for _, tt := range tests {
		if _, err := ParseLink(tt.in); !errors.Is(err, tt.want) {
			t.Errorf("ParseLink(%.60q) = %v, want %v", tt.in, err, tt.want)
		}
	}
	for _, in := range []string{ref.String(), " " + ref.String() + "\n", "MAGNET:?x.cid=" + ref.String(), ref.String() + "#" + strings.Repeat("A", 43)} {
		if l, err := ParseLink(in); err != nil || l.Ref != ref {
			t.Errorf("ParseLink(%q) = %v, %v", in, l, err)
		}
	}
}

func FuzzParseLink(f *testing.F) {
	l := testLink(f)
	f.Add(l.String())
	f.Add(l.Short())
	f.Add(l.Ref.String())
	f.Add("magnet:?xt=urn:blake3:&x.cid=&dn=&xl=&x.kith=#")
	data, err := os.ReadFile("testdata/links.json")
	if err != nil {
		f.Fatal(err)
	}
	var forms []struct{ Link, Is, Refused string }
	if err := json.Unmarshal(data, &forms); err != nil {
		f.Fatal(err)
	}
	for _, v := range forms {
		f.Add(v.Link)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		again, err := ParseLink(l.String())
		if err != nil || again.String() != l.String() {
			t.Errorf("%q: %q, then %q, %v", s, l, again, err)
		}
		if !reflect.DeepEqual(again.Names, l.Names) {
			t.Errorf("%q: named %+v, then %+v", s, l.Names, again.Names)
		}
		if l.Path != "" && (path.Clean(l.Path) != l.Path || strings.HasPrefix(l.Path, "/") || strings.HasPrefix(l.Path, "../") || l.Path == "..") {
			t.Errorf("%q: path %q", s, l.Path)
		}
		if short := l.Short(); l.Ref.IsZero() {
			if short != "" || l.None() {
				t.Errorf("%q: names nothing, and has a short form %q", s, short)
			}
		} else if len(short) > MaxShortLen {
			t.Errorf("short form has %d characters", len(short))
		} else if sl, err := ParseLink(short); err != nil || sl.Ref != l.Ref {
			t.Errorf("short form %q: %v, %v", short, sl, err)
		}
	})
}

func TestKindOf(t *testing.T) {
	err := Hint(errors.Join(errors.New("a"), NotFound), "do %s", "this")
	if KindOf(err) != NotFound || HintOf(err) != "do this" || KindOf(errors.New("x")) != Internal || KindOf(nil) != Internal {
		t.Errorf("KindOf = %v, HintOf = %q", KindOf(err), HintOf(err))
	}
	for k := range kinds {
		if got := KindFromHTTP(Kind(k).HTTPStatus()); got != Kind(k) {
			t.Errorf("%v becomes %v on its way over HTTP", Kind(k), got)
		}
	}
}
