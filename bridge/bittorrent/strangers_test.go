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
