package rendezvous

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	msmux "github.com/multiformats/go-multistream"
	"github.com/quic-go/quic-go"

	"kith"
)

const (
	knockPackets = 2                // that are sent to an address which does not answer: one of them, or its answer, may be lost
	knockAgain   = 2 * time.Second  // at least before the second (RFC 8085, 3.1.2: a second or more)
	knockTime    = 5 * time.Second  // for who is there to answer at all,
	talkTime     = 10 * time.Second // and, once they have, to say who they are: theirs may be a busy computer
)

// A knocker finds out who is at an address. What the DHT gives is no more than that: somebody said that somebody is there. It tells them nothing but its own
// address: its key is made for the occasion.
type knocker struct {
	conn     *sparingConn
	tr       *quic.Transport
	identity *libp2ptls.Identity
	patience time.Duration // knockTime
}

func newKnocker(c net.PacketConn) (*knocker, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := libp2ptls.NewIdentity(key)
	if err != nil {
		return nil, err
	}
	sparing := &sparingConn{PacketConn: c, doors: map[netip.AddrPort]door{}}
	return &knocker{sparing, &quic.Transport{Conn: sparing}, id, knockTime}, nil
}

func (k *knocker) close() {
	k.tr.Close()
	k.conn.PacketConn.Close()
}

// knock returns who is at an address, if they speak a protocol: libp2p's handshake over QUIC with any peer id, then multistream's question. It sends
// knockPackets at most, and more only to who answers.
func (k *knocker) knock(ctx context.Context, at netip.AddrPort, speaks protocol.ID) (peer.ID, error) {
	limit := k.patience + talkTime
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	silence := time.AfterFunc(k.patience, func() {
		if !k.conn.answered(at) {
			cancel()
		}
	})
	defer silence.Stop()
	conf, keys := k.identity.ConfigForPeer("")        // any
	conf.CurvePreferences = []tls.CurveID{tls.X25519} // with a post-quantum key the first flight would be two packets
	conf.NextProtos = []string{"libp2p"}
	c, err := k.tr.Dial(ctx, net.UDPAddrFromAddrPort(at), conf, &quic.Config{
		Versions: []quic.Version{quic.Version1}, HandshakeIdleTimeout: limit, MaxIncomingStreams: -1, MaxIncomingUniStreams: -1, DisablePathMTUDiscovery: true,
	})
	if err != nil {
		return "", fmt.Errorf("rendezvous: %s: %w: %w", at, err, kith.Unavailable)
	}
	defer c.CloseWithError(0, "")
	var id peer.ID
	select {
	case key := <-keys:
		if key == nil {
			return "", fmt.Errorf("rendezvous: %s: no key: %w", at, kith.Unavailable)
		}
		if id, err = peer.IDFromPublicKey(key); err != nil {
			return "", fmt.Errorf("rendezvous: %s: %w", at, err)
		}
	case <-ctx.Done():
		return "", ctx.Err()
	}
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return "", fmt.Errorf("rendezvous: %s: %w: %w", at, err, kith.Unavailable)
	}
	deadline, _ := ctx.Deadline()
	s.SetDeadline(deadline)
	if err := msmux.SelectProtoOrFail(speaks, s); err != nil {
		return "", fmt.Errorf("rendezvous: %s is no node of this network: %w: %w", at, err, kith.NotFound)
	}
	return id, nil
}

// A sparingConn sends knockPackets to each address, knockAgain apart, and more only once it has answered: what was named falsely is not hit by all that QUIC
// would send.
type sparingConn struct {
	net.PacketConn
	mu    sync.Mutex
	doors map[netip.AddrPort]door
}

// A door is an address that is knocked at.
type door struct {
	packets  int
	last     time.Time // when one of them was sent
	answered bool
}

// allow reports whether a packet may be sent to a door now, and notes that it is.
func (d *door) allow(now time.Time) bool {
	if !d.answered && d.packets > 0 && (d.packets >= knockPackets || now.Sub(d.last) < knockAgain) {
		return false
	}
	d.packets, d.last = d.packets+1, now
	return true
}

// WriteTo implements net.PacketConn. What is held back seems sent, as a lost packet does: QUIC sends anew.
func (c *sparingConn) WriteTo(b []byte, to net.Addr) (int, error) {
	addr := addrOf(to)
	c.mu.Lock()
	d := c.doors[addr]
	allowed := d.allow(time.Now())
	c.doors[addr] = d
	c.mu.Unlock()
	if !allowed {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// ReadFrom implements net.PacketConn.
func (c *sparingConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		addr := addrOf(from)
		c.mu.Lock()
		d, knocked := c.doors[addr]
		if knocked {
			d.answered = true
			c.doors[addr] = d
		}
		c.mu.Unlock()
		if knocked {
			return n, from, nil
		}
	}
}

func (c *sparingConn) answered(addr netip.AddrPort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doors[addr].answered
}

// SetReadBuffer implements what quic-go asks of a socket; a handshake at a time needs no more than there is.
func (c *sparingConn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does as SetReadBuffer.
func (c *sparingConn) SetWriteBuffer(int) error { return nil }
