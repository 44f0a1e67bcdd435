package network

import (
	"net"
	"sync"
)

const (
	gatherSize = 128 << 10 // bytes that go out with one system call
	recordSize = 16 << 10  // bytes of data in a TLS record
)

// A gather is what a TLS connection writes to. TLS writes each record on its own; between hold and release they are gathered, since
// each system call that is saved often saves waking the reader too.
type gather struct {
	net.Conn
	mu      sync.Mutex
	holding bool
	waiting []byte
}

func (g *gather) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.holding {
		return g.Conn.Write(p)
	}
	if len(g.waiting)+len(p) > gatherSize {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	g.waiting = append(g.waiting, p...)
	return len(p), nil
}

// hold keeps back what is written from now on, as far as it fits.
func (g *gather) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = true
	if g.waiting == nil {
		g.waiting = make([]byte, 0, gatherSize)
	}
}

// release writes what was held back.
func (g *gather) release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = false
	return g.flush()
}

func (g *gather) flush() error {
	if len(g.waiting) == 0 {
		return nil
	}
	_, err := g.Conn.Write(g.waiting)
	g.waiting = g.waiting[:0]
	return err
}
