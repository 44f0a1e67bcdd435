package network

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	libp2plib "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
	"kith/identity"
	"kith/internal/secure"
	"kith/network/maddr"
	"kith/network/member"
)

func family(t testing.TB) member.Network {
	t.Helper()
	f, err := member.New("family", "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// in makes a node a member of a private network, as somebody new.
func in(t testing.TB, of member.Network) func(*Config) {
	t.Helper()
	me, err := identity.Open(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) {
		d, err := member.NewDoor(of, me.Certificate(), me.Key())
		if err != nil {
			t.Fatal(err)
		}
		c.Key, c.Door = me.Key(), d
	}
}

// Two members reach each other over every transport that a private network has, and over bulk streams.
func TestMembersMeet(t *testing.T) {
	f := family(t)
	for name, addr := range map[string]string{
		"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1", "ws": "/ip4/127.0.0.1/tcp/0/ws",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newNode(t, in(t, f)), newNode(t, in(t, f), listen(addr))
			b.Handle("/echo/1", echo)
			if err := a.Connect(soon(t), info(b)); err != nil {
				t.Fatal(err)
			}
			s, err := a.Open(soon(t), b.ID(), "/echo/1")
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, s)
			if s, err = a.OpenBulk(soon(t), b.ID(), "/echo/1"); err != nil {
				t.Fatal(err)
			}
			exchange(t, s)
			if s.Bulk() != (name != "quic") {
				t.Errorf("a bulk stream: %v", s.Bulk())
			}
			if p, _ := a.Peer(b.ID()); p.Transport != name {
				t.Errorf("connected over %s", p.Transport)
			}
			for _, pair := range [][2]*Network{{a, b}, {b, a}} {
				if person := pair[0].cfg.Door.Person(pair[1].ID()); person == "" {
					t.Error("it is not known whose device the other is")
				}
			}
		})
	}
}

// strangers are all who must not come in.
func strangers(t *testing.T, f member.Network) map[string]func() host.Host {
	other := f
	other.Secret[0] ^= 1
	node := func(change ...func(*Config)) func() host.Host {
		return func() host.Host { return newNode(t, change...).Host() }
	}
	return map[string]func() host.Host{
		"a libp2p host": func() host.Host {
			return stranger(t, libp2plib.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0/ws"))
		},
		"a node of the same name, in public": node(func(c *Config) { c.Name = f.Name }),
		"a node with another secret":         node(in(t, other)),
	}
}

// identified collects what a host learns of others by identify.
func identified(t *testing.T, h host.Host) func(peer.ID) []protocol.ID {
	t.Helper()
	sub, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return func(p peer.ID) []protocol.ID {
		select {
		case e := <-sub.Out():
			t.Errorf("identify answered: %+v", e)
		default:
		}
		list, err := h.Peerstore().GetProtocols(p)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
}

// A stranger who dials a member, over whatever transport, is gone at once, and has learnt no protocol; nothing of them is kept.
func TestStrangerDials(t *testing.T) {
	f := family(t)
	for who, start := range strangers(t, f) {
		for name, addr := range map[string]string{
			"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1", "ws": "/ip4/127.0.0.1/tcp/0/ws",
		} {
			t.Run(who+" over "+name, func(t *testing.T) {
				t.Parallel()
				a, h := newNode(t, in(t, f), listen(addr)), start()
				asked := identified(t, h)
				began := time.Now()
				ctx, cancel := context.WithTimeout(soon(t), member.Patience)
				defer cancel()
				h.Connect(ctx, info(a)) // over QUIC it seems to work, for half a round trip
				if s, err := h.NewStream(libp2p.WithNoDial(ctx, "test"), a.ID(), "/ipfs/id/1.0.0"); err == nil {
					s.SetDeadline(time.Now().Add(member.Patience))
					if n, err := s.Read(make([]byte, 1)); err == nil {
						t.Errorf("%d bytes were said to it", n)
					}
				}
				until(t, "the connection is closed", func() bool {
					return h.Network().Connectedness(a.ID()) == libp2p.NotConnected && len(a.Host().Network().Peers()) == 0
				})
				if d := time.Since(began); d > member.Patience {
					t.Errorf("it was gone after %v", d)
				}
				if list := asked(a.ID()); len(list) > 0 {
					t.Errorf("it learnt that %v is spoken", list)
				}
				if kept := a.Host().Peerstore().Addrs(h.ID()); len(kept) > 0 || a.remembers() > 0 {
					t.Errorf("addresses kept: %v, peers remembered: %d", kept, a.remembers())
				}
				if who == "a node with another secret" && name != "quic" {
					return // it turned away before it said who it is
				}
				until(t, "it is known who was refused", func() bool { r := a.cfg.Door.Refused(); return len(r) == 1 && r[0].Peer == h.ID() })
			})
		}
	}
}

func (n *Network) remembers() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.known)
}

// A member that dials a stranger tells it nothing, and says what is wrong.
func TestDialsStranger(t *testing.T) {
	f := family(t)
	for who, start := range strangers(t, f) {
		for _, name := range []string{"tcp", "quic", "ws"} {
			t.Run(who+" over "+name, func(t *testing.T) {
				t.Parallel()
				h, a := start(), newNode(t, in(t, f))
				asked := identified(t, h)
				to := peer.AddrInfo{ID: h.ID(), Addrs: ma.FilterAddrs(h.Addrs(), func(x ma.Multiaddr) bool { return maddr.Transport(x) == name })}
				if len(to.Addrs) == 0 {
					t.Skip("it does not listen there") // a Kith node of these tests has no WebSocket
				}
				err := a.Connect(soon(t), to)
				if !errors.Is(err, kith.Denied) || !member.IsRefusal(err) || kith.HintOf(err) == "" {
					t.Errorf("%v, hint %q", err, kith.HintOf(err))
				}
				until(t, "the connection is closed", func() bool { return h.Network().Connectedness(a.ID()) == libp2p.NotConnected })
				if list := asked(a.ID()); len(list) > 0 {
					t.Errorf("it learnt that %v is spoken", list)
				}
				if a.remembers() > 0 {
					t.Error("it is remembered")
				}
			})
		}
	}
}

// Who stands on the list comes in, by person or by device; who is taken off it is gone at once, whatever they have open.
func TestListOfMembers(t *testing.T) {
	f := family(t)
	a, b, c := newNode(t, in(t, f)), newNode(t, in(t, f)), newNode(t, in(t, f))
	for _, n := range []*Network{a, b, c} {
		n.Handle("/echo/1", echo)
	}
	for _, n := range []*Network{b, c} {
		if err := n.Connect(soon(t), info(a)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "both are there", func() bool { return len(a.Peers()) == 2 })
	bulk, err := c.OpenBulk(soon(t), a.ID(), "/echo/1")
	if err != nil || !bulk.Bulk() {
		t.Fatal(err)
	}
	person := a.cfg.Door.Person(b.ID())
	until(t, "both are remembered", func() bool { return a.remembers() == 2 })
	if err := a.SetMembers([]string{person}); err != nil {
		t.Fatal(err)
	}
	until(t, "c is gone", func() bool {
		return len(a.Peers()) == 1 && a.bulk.count(c.ID()) == 0 && c.Host().Network().Connectedness(a.ID()) == libp2p.NotConnected
	})
	if _, err := bulk.Read(make([]byte, 1)); err == nil {
		t.Error("its bulk stream goes on")
	}
	if n := a.remembers(); n != 1 {
		t.Errorf("%d are remembered, want b alone", n)
	}
	c.Connect(soon(t), info(a))
	until(t, "c is gone again", func() bool { return c.Host().Network().Connectedness(a.ID()) == libp2p.NotConnected })
	if err := a.Connect(soon(t), info(c)); !errors.Is(err, member.ErrUnlisted) || kith.HintOf(err) == "" {
		t.Errorf("%v, hint %q", err, kith.HintOf(err))
	}
	s, err := b.Open(soon(t), a.ID(), "/echo/1")
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s)
	if err := a.SetMembers([]string{c.ID().String(), b.ID().String()}); err != nil {
		t.Fatal(err)
	}
	if err := a.Connect(soon(t), info(c)); err != nil {
		t.Error(err)
	}
	if len(a.Peers()) != 2 {
		t.Error(a.Peers())
	}
}

// Slow strangers hold places for five seconds, a bounded number of them, and a member still gets in.
func TestSlowStrangers(t *testing.T) {
	f := family(t)
	for name, addr := range map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "ws": "/ip4/127.0.0.1/tcp/0/ws"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newNode(t, in(t, f), listen(addr))
			_, at, err := manet.DialArgs(a.Host().Addrs()[0])
			if err != nil {
				t.Fatal(err)
			}
			const crowd = 2 * maxWaiting
			began := time.Now()
			for i := range crowd {
				c, err := net.Dial("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				switch i % 3 { // a third of them say nothing, the others some of what is to be said, and no more
				case 0:
					c.Write([]byte("\x13/multistream/1.0.0\n"))
				case 1:
					c.Write([]byte("\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n"))
				}
			}
			w := &a.gater.waiting
			count := func() int {
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(w.timers)
			}
			if n := count(); n > maxWaiting {
				t.Errorf("%d are waited for", n)
			}
			until(t, "all are gone", func() bool { return count() == 0 && systemStat(a).NumConnsInbound == 0 })
			if d := time.Since(began); d > 2*member.Patience {
				t.Errorf("they were gone after %v", d)
			}
			b := newNode(t, in(t, f))
			if err := b.Connect(soon(t), info(a)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A proof that somebody else has shown proves nothing: it is bound to their key.
func TestReplayedProof(t *testing.T) {
	f := family(t)
	a, b := newNode(t, in(t, f)), newNode(t, in(t, f))
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := secure.Ageless()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := b.cfg.Door.Identity(b.cfg.Key, cert)
	if err != nil {
		t.Fatal(err)
	}
	thief := stranger(t, libp2plib.Identity(key), libp2plib.Transport(tcp.NewTCPTransport), libp2plib.Transport(quic.NewTransport, quic.WithTLSIdentityOption(shown)))
	thief.Connect(soon(t), info(a))
	until(t, "the thief is gone", func() bool { return thief.Network().Connectedness(a.ID()) == libp2p.NotConnected })
	if r := a.cfg.Door.Refused(); len(r) != 1 || r[0].Peer != thief.ID() || r[0].Why != member.ErrSecret {
		t.Errorf("refused: %v", r)
	}
}

// The service that is looked for on the local network is the one of docs/protocol.md.
func TestServiceOfPrivateNetwork(t *testing.T) {
	text, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	said := func(key string) string {
		m := regexp.MustCompile(`"` + key + `": "([^"]*)"`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("docs/protocol.md does not say %s", key)
		}
		return string(m[1])
	}
	if got := serviceName(said("label")); got != said("service") || got == serviceName("family") {
		t.Errorf("%s, the document says %s", got, said("service"))
	}
}
