package network

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	ic "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/network/gather"
)

// A bulkConn is a bulk stream. What it holds (a place among the connections, in the resource manager and in its address's count) is given back once, by abort or Close.
type bulkConn struct {
	*tls.Conn
	raw    net.Conn
	out    *gather.Conn
	b      *bulk
	peer   peer.ID
	scope  network.ConnManagementScope
	stream network.StreamManagementScope // nil on the side that opened it
	from   netip.Addr                    // counted in b.perIP; the zero Addr is not
	count  *traffic
	once   sync.Once

	reading sync.Mutex   // held by whoever reads
	writing atomic.Int32 // calls of Write that have not returned
	closed  atomic.Bool
}

// ends returns the addresses of the two ends.
func (c *bulkConn) ends() (here, there netip.Addr) {
	ip := func(a net.Addr) netip.Addr {
		t, _ := a.(*net.TCPAddr)
		if t == nil {
			return netip.Addr{}
		}
		return t.AddrPort().Addr().Unmap()
	}
	return ip(c.raw.LocalAddr()), ip(c.raw.RemoteAddr())
}

func (c *bulkConn) Peer() peer.ID { return c.peer }
func (c *bulkConn) Bulk() bool    { return true }

func (c *bulkConn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Read(p)
	c.count.down.Add(int64(n))
	return n, err
}

func (c *bulkConn) Write(p []byte) (int, error) {
	c.writing.Add(1)
	defer c.writing.Add(-1)
	if len(p) > gather.RecordSize {
		c.out.Hold()
	}
	n, err := c.Conn.Write(p)
	if e := c.out.Release(); err == nil {
		err = e
	}
	c.count.up.Add(int64(n))
	return n, err
}

// Reset breaks the connection: the other side's Read fails.
func (c *bulkConn) Reset() error {
	c.abort()
	return nil
}

// Close ends both directions. What was written still arrives: a TCP connection that is closed with unread bytes in it is reset, and the other side
// might lose what it has not read yet, so for a little while what comes is taken and dropped. A Read that is waiting ends at once; with a Write that is, there
// is no orderly end, and Close is Reset.
func (c *bulkConn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if c.writing.Load() > 0 || c.Conn.CloseWrite() != nil {
		c.abort() // to the closer it is no news that it was broken
		return nil
	}
	c.raw.SetReadDeadline(time.Unix(1, 0)) // who reads stops
	drained := c.b.n.run(func() {
		c.reading.Lock()
		defer c.reading.Unlock()
		c.raw.SetReadDeadline(time.Now().Add(bulkDrain))
		io.CopyN(io.Discard, c.raw, maxDrain)
		c.release()
	})
	if !drained {
		c.release()
	}
	return nil
}

func (c *bulkConn) abort() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.release()
}

func (c *bulkConn) release() {
	c.once.Do(func() {
		if c.raw != nil {
			c.raw.Close()
		}
		c.b.remove(c)
		if c.stream != nil {
			c.stream.Done()
		}
		c.scope.Done()
	})
}

// prove makes the TLS handshake, after which the other side's peer id is known.
func (c *bulkConn) prove(ctx context.Context, keys <-chan ic.PubKey) error {
	if err := c.Conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("network: bulk handshake: %w: %w", err, kith.Unavailable)
	}
	key, ok := <-keys
	if !ok {
		return fmt.Errorf("network: bulk handshake: no key: %w", kith.Denied)
	}
	id, err := peer.IDFromPublicKey(key)
	if err != nil {
		return fmt.Errorf("network: bulk handshake: %w: %w", err, kith.Denied)
	}
	if c.peer != "" && c.peer != id {
		return fmt.Errorf("network: bulk handshake: it is %s: %w", id, kith.Denied)
	}
	c.count = c.b.n.count(id)
	c.b.mu.Lock() // who counts what is open looks at it
	defer c.b.mu.Unlock()
	c.peer = id
	return nil
}

func (b *bulk) add(c *bulkConn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.conns[c] = struct{}{}
	return true
}

func (b *bulk) remove(c *bulkConn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
	if c.from.IsValid() {
		b.inbound--
		if b.perIP[c.from]--; b.perIP[c.from] <= 0 {
			delete(b.perIP, c.from)
		}
	}
}

// count returns how many bulk streams with p are open.
func (b *bulk) count(p peer.ID) (k int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if c.peer == p {
			k++
		}
	}
	return k
}

// closePeer breaks every bulk stream with p, or all of them if p is "".
func (b *bulk) closePeer(p peer.ID) {
	b.closeWhere(func(c *bulkConn) bool { return p == "" || c.peer == p })
}

// closeWhere breaks the streams for which which says so.
func (b *bulk) closeWhere(which func(*bulkConn) bool) {
	b.mu.Lock()
	var list []*bulkConn
	for c := range b.conns {
		if which(c) {
			list = append(list, c)
		}
	}
	b.mu.Unlock()
	for _, c := range list {
		c.abort()
	}
}

func (b *bulk) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	if b.listener != nil {
		b.listener.Close()
	}
	b.closePeer("")
}

// accept serves the listener until it is closed.
func (b *bulk) accept() {
	for {
		raw, err := b.listener.Accept()
		if err != nil {
			if b.n.ctx.Err() != nil {
				return
			}
			b.n.log.Warn("bulk stream not accepted", "err", err)
			select {
			case <-b.n.ctx.Done():
				return
			case <-time.After(acceptPause): // out of file descriptors: others close some
			}
			continue
		}
		c, err := b.admit(raw)
		if err != nil {
			raw.Close()
			continue
		}
		if !b.n.run(func() { b.serve(c) }) {
			c.abort()
		}
	}
}

const acceptPause = 100 * time.Millisecond

// admit finds a place for a connection about which nothing is known but its address, or says that there is none.
func (b *bulk) admit(raw net.Conn) (*bulkConn, error) {
	a, err := addrsOf(raw)
	if err != nil {
		return nil, err
	}
	if !b.n.gater.InterceptAccept(a) {
		return nil, kith.Denied
	}
	from := raw.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	c := &bulkConn{b: b, raw: raw, from: from}
	b.mu.Lock()
	crowded := b.perIP[from] >= maxBulkPerIP && (b.n.cfg.Limits.Loopback || !from.IsLoopback())
	if b.closed || crowded || b.inbound >= maxBulk || b.shaking >= maxHandshakes {
		b.mu.Unlock()
		return nil, kith.Unavailable
	}
	b.inbound++
	b.perIP[from]++
	b.shaking++
	b.conns[c] = struct{}{}
	b.mu.Unlock()
	if c.scope, err = b.rm.OpenConnection(network.DirInbound, true, a.remote); err != nil {
		c.scope = &network.NullScope{}
		b.shaken()
		c.release()
		return nil, err
	}
	return c, nil
}

func (b *bulk) shaken() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shaking--
}

func (b *bulk) serve(c *bulkConn) {
	h, err := b.greet(c)
	b.shaken()
	if err != nil {
		c.abort()
		b.n.log.Debug("bulk stream refused", "addr", c.raw.RemoteAddr(), "err", err)
		return
	}
	b.n.serve(c, h)
}

// greet proves who is there, and finds what they ask for, within bulkHandshake.
func (b *bulk) greet(c *bulkConn) (Handler, error) {
	c.raw.SetDeadline(time.Now().Add(bulkHandshake))
	conf, keys := b.config("")
	c.out = &gather.Conn{Conn: c.raw}
	c.Conn = tls.Server(c.out, conf)
	if err := c.prove(b.n.ctx, keys); err != nil {
		return nil, err
	}
	a, err := addrsOf(c.raw)
	if err != nil {
		return nil, err
	}
	if !b.n.gater.InterceptSecured(network.DirInbound, c.peer, a) {
		return nil, kith.Denied
	}
	if err := c.scope.SetPeer(c.peer); err != nil {
		return nil, err
	}
	wire, err := readProtocol(c.Conn)
	if err != nil {
		return nil, err
	}
	h, id := b.n.handler(wire)
	if h == nil {
		c.Conn.Write([]byte{bulkNo})
		return nil, kith.NotFound
	}
	if c.stream, err = b.rm.OpenStream(c.peer, network.DirInbound); err != nil {
		return nil, err
	}
	if err := c.stream.SetProtocol(id); err != nil {
		return nil, err
	}
	if _, err := c.Conn.Write([]byte{bulkYes}); err != nil {
		return nil, err
	}
	return h, c.raw.SetDeadline(time.Time{})
}

// readProtocol reads a protocol id: its length in one byte, then its bytes.
func readProtocol(r io.Reader) (protocol.ID, error) {
	var size [1]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	id := make([]byte, size[0])
	_, err := io.ReadFull(r, id)
	return protocol.ID(id), err
}

// handler returns what serves the protocol that is called wire on the wire.
func (n *Network) handler(wire protocol.ID) (Handler, protocol.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, h := range n.handlers {
		if n.OnWire(id) == wire {
			return h, wire
		}
	}
	return nil, ""
}
