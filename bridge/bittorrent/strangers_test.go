//go:build linux

package bittorrent

import (
	"io"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"
	utHolepunch "github.com/anacrolix/torrent/peer_protocol/ut-holepunch"

	"kith"
)

// TestStrangersNameNeighbours: whom a peer on the internet names by PEX, or has holes punched to, is dialled where it is on the internet too, and not where it is in the local network. A peer in the
// local network may name whom it likes.
func TestStrangersNameNeighbours(t *testing.T) {
	if !inside(t, 2*time.Minute) {
		return
	}
	for _, addr := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"} {
		if out, err := exec.Command("ip", "addr", "add", addr+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for from, want := range map[string]string{"203.0.113.1": "last public", "10.77.0.2": "last private public punched"} {
		t.Run(from, func(t *testing.T) {
			dialled := make(chan string, 100)
			listen := func(name, at string) krpc.NodeAddr {
				to, err := netip.ParseAddrPort(answeredAt(t, at, func(net.Conn) { dialled <- name }))
				if err != nil {
					t.Fatal(err)
				}
				return krpc.NodeAddr{IP: to.Addr().AsSlice(), Port: int(to.Port())}
			}
			public, private, punched, last := listen("public", "203.0.113.3:0"), listen("private", "10.77.0.4:0"), listen("punched", "10.77.0.3:0"), listen("last", "203.0.113.3:0")
			n := newNode(t, func(o *Options) { o.Bind = netip.Addr{} })
			hash := kith.InfoHash{1, 2, 3}
			o, err := n.Open(kith.Link{Names: kith.Names{V1: hash}})(t.Context(), &memory{})
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
			peer, err := d.Dial("tcp4", netip.AddrPortFrom(netip.MustParseAddr("203.0.113.2"), n.Listens()[0].Port()).String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			go io.Copy(io.Discard, peer)
			peer.Write(append(append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x05"), hash[:]...), "-XX0000-000000000001"...))
			send := func(id pp.ExtensionNumber, payload []byte) {
				raw, err := pp.Message{Type: pp.Extended, ExtendedID: id, ExtendedPayload: payload}.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				peer.Write(raw)
			}
			seen := map[string]bool{}
			until := func(name string) {
				t.Helper()
				for limit := time.After(20 * time.Second); !seen[name]; {
					select {
					case at := <-dialled:
						seen[at] = true
					case <-limit:
						t.Fatalf("%s is not dialled; dialled: %v", name, seen)
					}
				}
			}
			send(0, []byte("d1:md12:ut_holepunchi1e6:ut_pexi2eee"))
			punch := func(at krpc.NodeAddr) {
				to, _ := netip.AddrFromSlice(at.IP)
				hole, err := (&utHolepunch.Msg{MsgType: utHolepunch.Connect, AddrPort: netip.AddrPortFrom(to, uint16(at.Port))}).MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				send(1, hole)
			}
			punch(punched)
			send(2, bencode.MustMarshal(pp.PexMsg{Added: krpc.CompactIPv4NodeAddrs{private, public}, AddedFlags: []pp.PexPeerFlags{0, 0}}))
			until("public")
			for name := range strings.FieldsSeq(want) {
				if name != "last" {
					until(name)
				}
			}
			punch(last) // later than all others
			until("last")
			if got := strings.Join(slices.Sorted(maps.Keys(seen)), " "); got != want {
				t.Errorf("dialled: %s, want %s", got, want)
			}
		})
	}
}

// TestNamedByDHT: a node of the DHT on the internet names nobody in a local network; one in it may.
func TestNamedByDHT(t *testing.T) {
	peers := []dht.Peer{
		{IP: net.IPv4(10, 0, 0, 1), Port: 1}, {IP: net.IPv4(127, 0, 0, 1), Port: 2}, {IP: net.IPv4(169, 254, 169, 254), Port: 80}, {IP: net.IPv4(100, 64, 0, 1), Port: 3}, {IP: net.ParseIP("fe80::1"), Port: 4},
		{IP: net.ParseIP("fd00::1"), Port: 5}, {IP: net.ParseIP("::1"), Port: 6}, {IP: net.IPv4(203, 0, 113, 9), Port: 7}, {IP: net.ParseIP("2001:db8::1"), Port: 8}, {IP: net.IPv4(203, 0, 113, 9), Port: 0}, {Port: 9},
	}
	for from, want := range map[string]string{"203.0.113.1": "203.0.113.9:7 [2001:db8::1]:8", "192.168.1.1": "10.0.0.1:1 127.0.0.1:2 169.254.169.254:80 100.64.0.1:3 [fe80::1]:4 [fd00::1]:5 [::1]:6 203.0.113.9:7 [2001:db8::1]:8"} {
		v := dht.PeersValues{Peers: peers}
		v.Addr = krpc.NodeAddr{IP: net.ParseIP(from), Port: 6881}
		var got []string
		for _, p := range named(v) {
			got = append(got, p.Addr.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s names %q, want %q", from, got, want)
		}
	}
}

// TestExchanged: what is left of a message of PEX keeps its flags; what has nothing of the local network, or is none, is the same.
func TestExchanged(t *testing.T) {
	at := func(ip string, port int) krpc.NodeAddr { return krpc.NodeAddr{IP: net.ParseIP(ip).To4(), Port: port} }
	x := pp.PexMsg{Added: krpc.CompactIPv4NodeAddrs{at("10.0.0.1", 1), at("203.0.113.9", 2), at("192.168.0.1", 3), at("203.0.113.8", 4)}, AddedFlags: []pp.PexPeerFlags{1, 2, 3}}
	x.Added6, x.Added6Flags = krpc.CompactIPv6NodeAddrs{{IP: net.ParseIP("::1"), Port: 5}, {IP: net.ParseIP("2001:db8::1"), Port: 6}}, []pp.PexPeerFlags{5, 6}
	got, err := pp.LoadPexMsg(exchanged(bencode.MustMarshal(x)))
	if err != nil || len(got.Added) != 2 || got.Added[0].Port != 2 || got.Added[1].Port != 4 || len(got.AddedFlags) != 2 || got.AddedFlags[0] != 2 ||
		len(got.Added6) != 1 || got.Added6[0].Port != 6 || len(got.Added6Flags) != 1 || got.Added6Flags[0] != 6 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, same := range []string{"", "x", "d5:added6:\xcb\x00\x71\x09\x00\x01e"} {
		if got := string(exchanged([]byte(same))); got != same {
			t.Errorf("%q has become %q", same, got)
		}
	}
}

// FuzzExchanged: whatever a peer sends, nothing of the local network is left, and nothing breaks.
func FuzzExchanged(f *testing.F) {
	f.Add([]byte("d5:added12:\x0a\x00\x00\x01\x00\x01\xcb\x00\x71\x09\x00\x017:added.f1:\x016:added60:e"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		x, err := pp.LoadPexMsg(exchanged(payload))
		if err != nil {
			return
		}
		for _, list := range [][]krpc.NodeAddr{x.Added, x.Added6} {
			for _, p := range list {
				if isLocal(p.UDP().String()) {
					t.Errorf("%v is left", p)
				}
			}
		}
	})
}
