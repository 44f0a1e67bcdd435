package network

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	libp2plib "github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"kith"
)

// stranger is a libp2p host with no limits and no manners.
func stranger(t testing.TB, opts ...libp2plib.Option) host.Host {
	t.Helper()
	h, err := libp2plib.New(append([]libp2plib.Option{
		libp2plib.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2plib.ResourceManager(&libp2p.NullResourceManager{}), libp2plib.DisableMetrics(),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// until waits for something that other goroutines bring about.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// systemStat is what the resource manager counts in all.
func systemStat(n *Network) (s libp2p.ScopeStat) {
	n.Host().Network().ResourceManager().ViewSystem(func(r libp2p.ResourceScope) error {
		s = r.Stat()
		return nil
	})
	return s
}

func (b *bulk) counts() (conns, inbound, shaking, ips int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns), b.inbound, b.shaking, len(b.perIP)
}

// claimed returns n addresses that a peer may say that it has.
func claimed(n int) (list []ma.Multiaddr) {
	for i := range n {
		list = append(list, ma.StringCast(fmt.Sprintf("/ip4/127.1.%d.%d/tcp/4001", i/250, i%250)))
	}
	return list
}

// Defect 9: a peer that claims thousands of addresses and protocols is remembered with few. What it says in one message is listened to; what is longer than that is not.
func TestFloodOfAddressesAndProtocols(t *testing.T) {
	const identifyMax = 500 // libp2p's own bound for the addresses of a peer that is connected
	for name, c := range map[string]struct {
		addrs, protocols int
		heard            bool
	}{
		"addresses": {identifyMax + 100, 0, true},
		"protocols": {1, 2 * maxProtocols, true},
		"too much":  {5000, 2 * maxProtocols, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newNode(t)
			h := stranger(t, libp2plib.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return claimed(c.addrs) }))
			for i := range c.protocols {
				h.SetStreamHandler(protocol.ID(fmt.Sprintf("/flood/%d", i)), func(s libp2p.Stream) { s.Reset() })
			}
			said, err := a.Host().EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed)})
			if err != nil {
				t.Fatal(err)
			}
			defer said.Close()
			if err := h.Connect(soon(t), info(a)); err != nil {
				t.Fatal(err)
			}
			e := <-said.Out()
			if _, heard := e.(event.EvtPeerIdentificationCompleted); heard != c.heard {
				t.Fatalf("what it says: %+v", e)
			}
			addrs := len(a.Host().Peerstore().Addrs(h.ID()))
			ps, _ := a.Host().Peerstore().GetProtocols(h.ID())
			t.Logf("%d addresses and %d protocols are kept while it is connected", addrs, len(ps))
			if addrs > identifyMax || c.heard && addrs < min(c.addrs, maxAddrs) {
				t.Errorf("%d addresses are kept of a connected peer", addrs)
			}
			if len(ps) > maxProtocols {
				t.Errorf("%d protocols are kept", len(ps))
			}
			a.meet(h.ID())
			a.mu.Lock()
			if k := a.known[h.ID()]; k == nil || len(k.Addrs) > maxKnownAddrs {
				t.Errorf("remembered: %+v", k)
			}
			a.mu.Unlock()
			h.Close()
			until(t, "few addresses are kept once it is gone", func() bool { return len(a.Host().Peerstore().Addrs(h.ID())) <= maxAddrs })
		})
	}
	// Nor are more kept of a peer whom others name.
	a := newNode(t)
	for what, name := range map[string]func(peer.AddrInfo){
		"to be dialled":  func(p peer.AddrInfo) { a.Connect(t.Context(), p) },
		"in the overlay": func(p peer.AddrInfo) { a.Host().Peerstore().AddAddrs(p.ID, p.Addrs, time.Hour) },
	} {
		p := peer.AddrInfo{ID: someone(t), Addrs: claimed(5000)}
		name(p)
		if n := len(a.Host().Peerstore().Addrs(p.ID)); n > maxAddrs || n == 0 {
			t.Errorf("%s: %d addresses are kept of a peer that is not connected", what, n)
		}
	}
}

// Streams that are opened and never used are bounded, and others are served meanwhile.
func TestStreamsWithoutEnd(t *testing.T) {
	a, b := newNode(t), newNode(t)
	var open, most atomic.Int64
	a.Handle("/wait/1", func(ctx context.Context, s Stream) error {
		now := open.Add(1)
		defer open.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		io.Copy(io.Discard, s)
		return nil
	})
	a.Handle("/echo/1", echo)
	h := stranger(t)
	if err := h.Connect(soon(t), info(a)); err != nil {
		t.Fatal(err)
	}
	for range 2 * perPeerStreams {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s, err := h.NewStream(ctx, a.ID(), "/wait/1")
		cancel()
		if err != nil {
			break // no room for more
		}
		s.SetDeadline(time.Now().Add(time.Second))
		s.Write([]byte{0}) // the protocol's name goes with the first write
	}
	if most.Load() > perPeerStreams {
		t.Errorf("%d streams of one peer were served at once", most.Load())
	}
	if err := b.Connect(soon(t), info(a)); err != nil {
		t.Fatal(err)
	}
	s, err := b.Open(soon(t), a.ID(), "/echo/1")
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, s)
	h.Close()
	until(t, "its streams end with it", func() bool { return open.Load() == 0 })
}

// Defects 5 and 6: however many connections come from one address, no more than the limit stand, and no more than the hard limit in all.
func TestFloodOfConnections(t *testing.T) {
	for name, limits := range map[string]Limits{
		"one address": {PerIP: 5, Loopback: true, Rate: 1000},
		"in all":      {Inbound: 5},
	} {
		t.Run(name, func(t *testing.T) {
			a := newNode(t, func(c *Config) { c.Limits = limits })
			connected := 0
			for range 12 {
				h := stranger(t, libp2plib.NoListenAddrs)
				if h.Connect(soon(t), info(a)) == nil {
					connected++
				}
			}
			if got := systemStat(a).NumConnsInbound; got > 5 || len(a.Peers()) > 5 {
				t.Errorf("%d connections stand, %d peers", got, len(a.Peers()))
			}
			if connected == 0 {
				t.Error("nobody could connect")
			}
		})
	}
}

// rawDial connects to the bulk port as anybody can.
func rawDial(t testing.TB, n *Network) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.bulk.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Garbage, silence, the wrong protocol and too many connections on the bulk port cost no more than a short while, and leave nothing behind.
func TestBulkPortHostile(t *testing.T) {
	a := newNode(t, func(c *Config) { c.Limits = Limits{Loopback: true, PerIP: 100, Rate: 1000} })
	a.Handle("/echo/1", echo)
	before := systemStat(a)

	garbage := rawDial(t, a)
	garbage.Write(make([]byte, 64<<10))
	tls.Client(rawDial(t, a), &tls.Config{InsecureSkipVerify: true}).Handshake() // no certificate
	http := rawDial(t, a)
	io.WriteString(http, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")

	began := time.Now()
	var silent []net.Conn
	for range maxBulkPerIP + 10 {
		c := rawDial(t, a)
		c.Write([]byte{0x16}) // a TLS record begins, and then one byte a second at best
		silent = append(silent, c)
	}
	conns, inbound, shaking, _ := a.bulk.counts()
	if conns > maxBulkPerIP || inbound > maxBulkPerIP || shaking > maxBulkPerIP {
		t.Errorf("%d connections, %d inbound, %d in handshake", conns, inbound, shaking)
	}
	for _, c := range silent {
		c.SetReadDeadline(time.Now().Add(2 * bulkHandshake))
		if _, err := io.ReadAll(c); err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Error("a silent connection is still open")
		}
	}
	if d := time.Since(began); d > 2*bulkHandshake {
		t.Errorf("it took %v to be rid of the silent ones", d)
	}
	until(t, "everything is given back", func() bool {
		conns, inbound, shaking, ips := a.bulk.counts()
		return conns == 0 && inbound == 0 && shaking == 0 && ips == 0 && systemStat(a) == before
	})

	b := newNode(t) // and honest peers are served
	if err := b.Connect(soon(t), info(a)); err != nil {
		t.Fatal(err)
	}
	s, err := b.OpenBulk(soon(t), a.ID(), "/echo/1")
	if err != nil || !s.Bulk() {
		t.Fatalf("bulk stream: %v", err)
	}
	exchange(t, s)
}

// Who proves another id than was asked for, gets no stream.
func TestBulkPeerProven(t *testing.T) {
	a, b, c := newNode(t), newNode(t), newNode(t)
	if err := a.Connect(soon(t), info(b)); err != nil {
		t.Fatal(err)
	}
	c.Handle("/echo/1", echo)
	to, err := manet.ToNetAddr(mustAddr(t, c.bulk.addr()))
	if err != nil {
		t.Fatal(err)
	}
	before := systemStat(a)
	if _, err := a.bulk.dial(soon(t), b.ID(), to.(*net.TCPAddr).AddrPort(), "/echo/1", bulkDial); err == nil {
		t.Fatal("c was taken for b")
	}
	// Streams and memory come and go with identify, which still talks to b.
	if after := systemStat(a); after.NumConnsOutbound != before.NumConnsOutbound || after.NumFD != before.NumFD {
		t.Errorf("%+v is counted after, %+v before", after, before)
	}
}

func mustAddr(t testing.TB, s string) ma.Multiaddr {
	a, err := ma.NewMultiaddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A blocked peer loses its streams of both kinds and gets no new ones.
func TestBlock(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.Handle("/echo/1", echo)
	b.Handle("/echo/1", echo)
	if err := b.Connect(soon(t), info(a)); err != nil {
		t.Fatal(err)
	}
	streams := make([]Stream, 2)
	var err error
	if streams[0], err = b.Open(soon(t), a.ID(), "/echo/1"); err != nil {
		t.Fatal(err)
	}
	if streams[1], err = b.OpenBulk(soon(t), a.ID(), "/echo/1"); err != nil || !streams[1].Bulk() {
		t.Fatal(err)
	}
	port := a.bulk.listener.Addr().(*net.TCPAddr).AddrPort()
	a.Block(b.ID())
	for i, s := range streams {
		s.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) && i == 1 {
			t.Errorf("stream %d lives on: %v", i, err)
		}
	}
	if _, err := b.bulk.dial(soon(t), a.ID(), port, "/echo/1", bulkDial); err == nil {
		t.Error("a blocked peer got a bulk stream")
	}
	b.Connect(soon(t), info(a)) // may seem to work until a has seen who it is
	until(t, "b is gone", func() bool { return len(a.Peers()) == 0 })
	if _, err := a.Open(soon(t), b.ID(), "/echo/1"); !errors.Is(err, kith.Denied) {
		t.Errorf("open to a blocked peer: %v, want denied", err)
	}
	a.Unblock(b.ID())
	until(t, "b is let in again", func() bool { return b.Connect(soon(t), info(a)) == nil && len(a.Peers()) == 1 })
}

// Whoever closes a stream, of either kind, need not wait for its own reads and writes, nor they for long.
func TestCloseUnblocks(t *testing.T) {
	a, b := newNode(t), newNode(t)
	a.Handle("/wait/1", func(ctx context.Context, _ Stream) error { <-ctx.Done(); return nil })
	if err := b.Connect(soon(t), info(a)); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(context.Context, peer.ID, protocol.ID) (Stream, error){"ordinary": b.Open, "bulk": b.OpenBulk} {
		for what, stuck := range map[string]func(Stream){
			"read":  func(s Stream) { s.Read(make([]byte, 1)) },
			"write": func(s Stream) { pour(s, 1<<30) },
		} {
			s, err := open(soon(t), a.ID(), "/wait/1")
			if err != nil {
				t.Fatal(err)
			}
			s.Write([]byte{0})
			began, ended := make(chan struct{}), make(chan struct{})
			go func() {
				close(began)
				stuck(s)
				close(ended)
			}()
			<-began
			if c, ok := s.(*bulkConn); ok && what == "write" {
				until(t, "it writes", func() bool { return c.writing.Load() > 0 })
			}
			closed := time.Now()
			s.Close()
			<-ended
			if d := time.Since(closed); d > bulkDrain-time.Second {
				t.Errorf("%s: a %s ended %v after Close", name, what, d)
			}
		}
	}
}

// Defect 7: whatever way streams and connections end, every count is back where it was.
func TestNothingLeaks(t *testing.T) {
	a := newNode(t)
	a.Handle("/echo/1", echo)
	a.Handle("/fail/1", func(context.Context, Stream) error { return kith.Internal })
	before := systemStat(a)
	for range 3 {
		b := newNode(t)
		if err := b.Connect(soon(t), info(a)); err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			for _, open := range []func(context.Context, peer.ID, protocol.ID) (Stream, error){b.Open, b.OpenBulk} {
				for _, id := range []protocol.ID{"/echo/1", "/fail/1", "/nothing/1"} {
					s, err := open(soon(t), a.ID(), id)
					if err != nil {
						continue
					}
					switch i % 4 {
					case 0:
						s.Close()
					case 1:
						s.Reset()
					case 2:
						s.Write(make([]byte, 100<<10))
						s.Close()
						s.Reset()
						s.Close()
					} // 3: left open until b goes
				}
			}
		}
		mid := systemStat(b)
		if mid.NumConnsOutbound == 0 {
			t.Fatal("b has no connection")
		}
		b.Close()
	}
	until(t, "a counts nothing any more", func() bool {
		conns, inbound, shaking, ips := a.bulk.counts()
		return systemStat(a) == before && conns == 0 && inbound == 0 && shaking == 0 && ips == 0
	})
}
