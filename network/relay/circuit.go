package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
)

const (
	bufferSize     = 16 << 10 // bytes of buffer of a circuit, each way
	maxStopMessage = 4096     // bytes
)

// A meteredHost is the host as libp2p's relay sees it: the streams that it opens to the ends of circuits are circuits.
type meteredHost struct {
	host.Host
	s *Service
}

// NewStream implements host.Host.
func (h meteredHost) NewStream(ctx context.Context, to peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, to, ids...)
	if err != nil {
		return nil, err
	}
	return &circuit{Stream: s, s: h.s, to: to}, nil
}

// A circuit is the half of one that leads to whom it was asked for; all that the circuit carries goes through it. Its first message says
// for whom it is.
type circuit struct {
	network.Stream
	s  *Service
	to peer.ID

	mu     sync.Mutex
	head   []byte // of what was written, until it holds the first message
	from   peer.ID
	pair   *pair // nil: not begun, or ended
	friend bool
	brief  bool        // it is for strangers who look for a direct way
	left   int64       // bytes, if brief
	timer  *time.Timer // ends it, if brief
}

// begin reads from the first message who is at the other end (circuit v2: StopMessage, behind its length), which may come in parts. c.mu is held.
func (c *circuit) begin(part []byte) error {
	c.head = append(c.head, part...)
	size, n := binary.Uvarint(c.head)
	if n == 0 && len(c.head) < binary.MaxVarintLen64 || n > 0 && size <= maxStopMessage && len(c.head) < n+int(size) {
		return nil
	}
	var stop pb.StopMessage
	rd := util.NewDelimitedReader(bytes.NewReader(c.head), maxStopMessage)
	defer rd.Close()
	err := rd.ReadMsg(&stop)
	c.head = nil
	if err != nil {
		return err
	}
	from, err := util.PeerToPeerInfoV2(stop.GetPeer())
	if err != nil {
		return err
	}
	c.from = from.ID
	return c.s.begin(c)
}

// spend waits until n bytes may pass, or says that they may not.
func (c *circuit) spend(n int) error {
	c.mu.Lock()
	p := c.pair
	c.left -= int64(n)
	over := c.brief && c.left < 0
	c.mu.Unlock()
	switch {
	case p == nil:
		return Closed
	case over:
		return Spent
	}
	r, err := c.s.spend(c, p, n)
	if err != nil {
		return err
	}
	return r.WaitN(c.s.ctx, min(n, r.Burst()))
}

// Write implements network.Stream.
func (c *circuit) Write(b []byte) (int, error) {
	c.mu.Lock()
	first := c.from == ""
	var err error
	if first {
		err = c.begin(b)
	}
	c.mu.Unlock()
	if !first {
		err = c.spend(len(b))
	}
	if err != nil {
		return 0, err
	}
	return c.Stream.Write(b)
}

// Read implements network.Stream.
func (c *circuit) Read(b []byte) (int, error) {
	n, err := c.Stream.Read(b)
	if n > 0 {
		if e := c.spend(n); e != nil {
			return 0, e
		}
	}
	return n, err
}

// Close implements network.Stream.
func (c *circuit) Close() error {
	c.s.end(c)
	return c.Stream.Close()
}

// Reset implements network.Stream.
func (c *circuit) Reset() error {
	c.s.end(c)
	return c.Stream.Reset()
}
