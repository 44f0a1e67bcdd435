package network

import (
	"errors"
	"net"
	"testing"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/network/relay"
)

// TestBridge: what AutoNAT v2 finds reaches those who listen to v1, and decides whether this node relays.
func TestBridge(t *testing.T) {
	n := newNode(t)
	sub, err := n.host.EventBus().Subscribe(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	a := []ma.Multiaddr{ma.StringCast("/ip4/11.0.1.1/tcp/1")}
	for _, step := range []struct {
		found event.EvtHostReachableAddrsChanged
		want  network.Reachability
	}{
		{event.EvtHostReachableAddrsChanged{Reachable: a}, network.ReachabilityPublic},
		{event.EvtHostReachableAddrsChanged{Unreachable: a}, network.ReachabilityPrivate},
		{event.EvtHostReachableAddrsChanged{Unreachable: a, Unknown: a}, network.ReachabilityUnknown},
	} {
		n.reachable(step.found)
		for told := false; !told; { // sooner or later: what was said before may still be on its way
			select {
			case e := <-sub.Out():
				told = e.(event.EvtLocalReachabilityChanged).Reachability == step.want
			case <-soon(t).Done():
				t.Fatalf("%v is not told", step.want)
			}
		}
		if on := n.Relaying().On; on != (step.want == network.ReachabilityPublic) {
			t.Errorf("%v: it relays: %v", step.want, on)
		}
	}
}

// TestOneWrongAnswer: a relay that others reached goes on when somebody could not reach it, until that is certain.
func TestOneWrongAnswer(t *testing.T) {
	n := newNode(t)
	a := []ma.Multiaddr{ma.StringCast("/ip4/11.0.1.1/tcp/1")}
	for k, step := range []struct {
		found event.EvtHostReachableAddrsChanged
		on    bool
	}{
		{event.EvtHostReachableAddrsChanged{Unknown: a}, false},
		{event.EvtHostReachableAddrsChanged{Reachable: a}, true},
		{event.EvtHostReachableAddrsChanged{Unknown: a}, true},
		{event.EvtHostReachableAddrsChanged{Unreachable: a}, false},
		{event.EvtHostReachableAddrsChanged{Unknown: a}, false},
	} {
		n.reachable(step.found)
		if on := n.Relaying().On; on != step.on {
			t.Errorf("step %d: it relays: %v", k, on)
		}
	}
}

// A line is a connection of which only the ends are asked.
type line struct {
	network.Conn
	at, from ma.Multiaddr
	dir      network.Direction
}

func (l line) LocalMultiaddr() ma.Multiaddr  { return l.at }
func (l line) RemoteMultiaddr() ma.Multiaddr { return l.from }
func (l line) Stat() network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: l.dir}}
}

// TestEntered: a node relays as soon as somebody has come in unasked, and not because of who may have come in through a firewall that the node itself had opened.
func TestEntered(t *testing.T) {
	const in, out = network.DirInbound, network.DirOutbound
	for name, c := range map[string]struct {
		at, from string
		dir      network.Direction
		dialled  string // before
		want     bool
	}{
		"unasked":                   {"/ip6/2a00:1::1/udp/1/quic-v1", "/ip6/2a00:2::1/udp/2/quic-v1", in, "", true},
		"unasked, others dialled":   {"/ip6/2a00:1::1/tcp/1", "/ip6/2a00:2::1/tcp/2", in, "/ip6/2a00:2::2/tcp/2", true},
		"dialled by the node":       {"/ip6/2a00:1::1/tcp/1", "/ip6/2a00:2::1/tcp/2", out, "", false},
		"an answer":                 {"/ip6/2a00:1::1/udp/1/quic-v1", "/ip6/2a00:2::1/udp/2/quic-v1", in, "/ip6/2a00:2::1/udp/2/quic-v1", false},
		"from where was dialled to": {"/ip6/2a00:1::1/tcp/1", "/ip6/2a00:2::1/tcp/2", in, "/ip6/2a00:2::1/udp/9/quic-v1", false},
		"of the same home":          {"/ip6/2a00:1::1/tcp/1", "/ip6/2a00:1::2/tcp/2", in, "", false},
		"through a relay":           {"/ip6/2a00:1::1/tcp/1", "/ip6/2a00:2::1/tcp/2/p2p/12D3KooWGRUfoTP8PRS1fVrGCz8rEHeKMs1EURwvyhmqAXjVLmoP/p2p-circuit", in, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			if c.dialled != "" && !n.gater.InterceptAddrDial("somebody", ma.StringCast(c.dialled)) {
				t.Fatal("nobody is dialled")
			}
			n.entered(line{at: ma.StringCast(c.at), from: ma.StringCast(c.from), dir: c.dir})
			if on := n.Relaying().On; on != c.want {
				t.Errorf("it relays: %v, want %v", on, c.want)
			}
		})
	}
}

// TestNoWayNoAnswer: a node that has IPv4 alone does not say of others that they cannot be reached over IPv6, since it is not made to try.
func TestNoWayNoAnswer(t *testing.T) {
	other := newNode(t)
	n := newNode(t, func(c *Config) {
		c.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
		c.Packets = func(at *net.UDPAddr) (net.PacketConn, error) { return net.ListenUDP("udp4", at) }
	})
	asks := func(p peer.ID, at string) bool { return n.gater.InterceptAddrDial(p, ma.StringCast(at)) }
	if !asks(other.ID(), "/ip6/2a00::1/tcp/1") {
		t.Error("who asks nothing is not dialled")
	}
	if err := n.Connect(soon(t), info(other)); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{"/ip4/11.0.1.1/tcp/1": true, "/ip6/2a00::1/tcp/1": false, "/ip6/2a00::1/udp/1/quic-v1": false, "/ip6/fd00::1/tcp/1": true} {
		if got := asks(other.ID(), at); got != want {
			t.Errorf("%s is tried for who asks: %v, want %v", at, got, want)
		}
	}
}

// TestRelaySettings: what was set holds at the next start, unless the configuration says otherwise; off is off.
func TestRelaySettings(t *testing.T) {
	keep := kept(t)
	n := newNode(t, keep)
	if err := n.SetRelay(relay.Settings{For: "nobody"}); !errors.Is(err, kith.Invalid) {
		t.Errorf("settings that make no sense: %v", err)
	}
	n.reachable(event.EvtHostReachableAddrsChanged{Reachable: []ma.Multiaddr{ma.StringCast("/ip4/11.0.1.1/tcp/1")}})
	for _, s := range []relay.Settings{{For: relay.Off}, {For: relay.Contacts, Metered: true, Data: 2 << 20}} {
		if err := n.SetRelay(s); err != nil {
			t.Fatal(err)
		}
		if on := n.Relaying().On; on != (s.For != relay.Off) {
			t.Errorf("%v: it relays: %v", s.For, on)
		}
	}
	n.Close()
	n = newNode(t, keep)
	want := relay.Settings{For: relay.Contacts, Metered: true, Data: 2 << 20}.WithDefaults()
	if got := n.Relaying().Settings; got != want {
		t.Errorf("after a restart: %+v", got)
	}
	n.Close()
	want.For = relay.Strangers
	n = newNode(t, keep, func(c *Config) { c.Relay.For = relay.Strangers })
	if got := n.Relaying().Settings; got != want {
		t.Errorf("with a configuration: %+v", got)
	}
}
