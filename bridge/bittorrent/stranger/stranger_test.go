package stranger

import (
	"net"
	"strings"
	"testing"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

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
		for _, p := range Named(v) {
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
