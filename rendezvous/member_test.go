package rendezvous

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith/network"
)

// A member is a Kith node with a Rendezvous, at a loopback address of its own.
type member struct {
	t       *testing.T
	net     *network.Network
	r       *Rendezvous
	at      netip.AddrPort
	missing []peer.ID
	hidden  bool // it cannot be reached
	stop    func()
}

const testProtocol = "/kith/test/1"

func newMember(t *testing.T, i int, name string, hosts []string, change ...func(*member, *Options)) *member {
	t.Helper()
	ip := netip.AddrFrom4([4]byte{127, 1, byte(i), 1})
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n, err := network.New(t.Context(), network.Config{Key: key, Name: name, Listen: []string{fmt.Sprintf("/ip4/%s/udp/0/quic-v1", ip)}, NoMDNS: true, NoUPnP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	n.Handle(testProtocol, func(context.Context, network.Stream) error { return nil })
	m := &member{t: t, net: n}
	for _, a := range n.Host().Network().ListenAddresses() {
		if u, err := udpAddr(a); err == nil {
			m.at = u
		}
	}
	o := Options{Name: n.Name(), Key: key, Speaks: n.OnWire(testProtocol), Hosts: hosts, Bind: ip, Node: m, Store: dssync.MutexWrap(datastore.NewMapDatastore())}
	for _, f := range change {
		f(m, &o)
	}
	if m.r, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	m.start()
	return m
}

func (m *member) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.r.Run(ctx); err != nil {
			m.t.Error(err)
		}
	}()
	m.stop = sync.OnceFunc(func() { cancel(); <-done })
	m.t.Cleanup(m.stop)
}

func (m *member) Peers() int { return len(m.net.Host().Network().Peers()) }

func (m *member) Reachable(ip6 bool) (netip.AddrPort, bool, bool) {
	return m.at, true, !ip6 && !m.hidden
}

func (m *member) Connect(ctx context.Context, p peer.AddrInfo) error { return m.net.Connect(ctx, p) }

func (m *member) Missing() []peer.ID { return m.missing }

func (m *member) join() {
	m.t.Helper()
	if err := m.r.Join(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// until waits until the status is as it should be.
func (m *member) until(what string, ok func(Status) bool) Status {
	m.t.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		changed := m.r.Changed()
		s := m.r.Status()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-deadline:
			m.t.Fatalf("not in five minutes: %s; %+v", what, s)
		}
	}
}

func (m *member) meets(other *member) {
	m.t.Helper()
	m.until("it meets the other", func(Status) bool { return m.net.Direct(other.net.ID()) })
}

func udpAddr(a ma.Multiaddr) (netip.AddrPort, error) {
	to, err := manet.ToNetAddr(a.Decapsulate(ma.StringCast("/quic-v1")))
	if err != nil {
		return netip.AddrPort{}, err
	}
	return addrOf(to), nil
}

// counter counts the packets that a socket gets.
func counter(c *net.UDPConn) func() int64 {
	var n atomic.Int64
	go func() {
		b := make([]byte, 4096)
		for {
			if _, _, err := c.ReadFrom(b); err != nil {
				return
			}
			n.Add(1)
		}
	}()
	return n.Load
}

// raw speaks KRPC as somebody else's program does; without serve it is but a socket.
func raw(t *testing.T, ip string, serve func(m krpc.Msg, from net.Addr) *krpc.Return) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenPacket("udp4", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	u := c.(*net.UDPConn)
	if serve == nil {
		t.Cleanup(func() { c.Close() })
		return u, addrOf(u.LocalAddr())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m krpc.Msg
			if bencode.Unmarshal(b[:n], &m) != nil || m.Y != "q" {
				continue
			}
			if r := serve(m, from); r != nil {
				c.WriteTo(bencode.MustMarshal(krpc.Msg{T: m.T, Y: "r", R: r}), from)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return u, addrOf(u.LocalAddr())
}
