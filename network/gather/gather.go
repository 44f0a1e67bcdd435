// Package gather lets what is written to a connection in small pieces go out with few system calls.
//
// It is not a buffer, which would hold back the last piece: nothing waits but between Hold and Release. Its one idea: TLS writes each record on its own, and who
// writes much knows when the last one comes.
package gather

import (
	"net"
	"sync"
)

const (
	gatherSize = 128 << 10 // bytes that go out with one system call
	// RecordSize is how many bytes of data a TLS record holds.
	RecordSize = 16 << 10
)

// A Conn is what a TLS connection writes to. Each system call that is saved often saves waking the reader too.
type Conn struct {
	net.Conn
	mu      sync.Mutex
	holding bool
	waiting []byte
}

// Write implements net.Conn.
func (g *Conn) Write(p []byte) (int, error) {
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

// Hold keeps back what is written from now on, as far as it fits.
func (g *Conn) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = true
	if g.waiting == nil {
		g.waiting = make([]byte, 0, gatherSize)
	}
}

// Release writes what was held back.
func (g *Conn) Release() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = false
	return g.flush()
}

func (g *Conn) flush() error {
	if len(g.waiting) == 0 {
		return nil
	}
	_, err := g.Conn.Write(g.waiting)
	g.waiting = g.waiting[:0]
	return err
}
