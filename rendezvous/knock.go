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

const knockTime = 5 * time.Second // for who is there to say who they are

// A knocker finds out who is at an address. What the DHT gives is no more than that: somebody said that somebody is there. It tells them nothing but its own
// address: its key is made for the occasion.
type knocker struct {
	conn     *onceConn
	tr       *quic.Transport
	identity *libp2ptls.Identity
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
	once := &onceConn{PacketConn: c, sent: map[netip.AddrPort]bool{}}
	return &knocker{once, &quic.Transport{Conn: once}, id}, nil
}

func (k *knocker) close() {
	k.tr.Close()
	k.conn.PacketConn.Close()
}

// knock returns who is at an address, if they speak a protocol: libp2p's handshake over QUIC with any peer id, then multistream's question. It sends one
// packet, and more only to who answers.
func (k *knocker) knock(ctx context.Context, at netip.AddrPort, speaks protocol.ID) (peer.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	conf, keys := k.identity.ConfigForPeer("")        // any
	conf.CurvePreferences = []tls.CurveID{tls.X25519} // with a post-quantum key the first flight would be two packets
	conf.NextProtos = []string{"libp2p"}
	c, err := k.tr.Dial(ctx, net.UDPAddrFromAddrPort(at), conf, &quic.Config{
		Versions: []quic.Version{quic.Version1}, HandshakeIdleTimeout: knockTime, MaxIncomingStreams: -1, MaxIncomingUniStreams: -1, DisablePathMTUDiscovery: true,
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

// A onceConn sends one packet to each address, and more only once it has answered: what was named falsely is not hit by QUIC's retries.
type onceConn struct {
	net.PacketConn
	mu   sync.Mutex
	sent map[netip.AddrPort]bool // true: it has answered
}

// WriteTo implements net.PacketConn. What is held back seems sent, as a lost packet does.
func (c *onceConn) WriteTo(b []byte, to net.Addr) (int, error) {
	addr := addrOf(to)
	c.mu.Lock()
	answered, again := c.sent[addr]
	if !again {
		c.sent[addr] = false
	}
	c.mu.Unlock()
	if again && !answered {
		return len(b), nil
	}
	return c.PacketConn.WriteTo(b, to)
}

// ReadFrom implements net.PacketConn.
func (c *onceConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		addr := addrOf(from)
		c.mu.Lock()
		_, asked := c.sent[addr]
		if asked {
			c.sent[addr] = true
		}
		c.mu.Unlock()
		if asked {
			return n, from, nil
		}
	}
}

// SetReadBuffer implements what quic-go asks of a socket; a handshake at a time needs no more than there is.
func (c *onceConn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer does as SetReadBuffer.
func (c *onceConn) SetWriteBuffer(int) error { return nil }
