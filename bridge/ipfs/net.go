package ipfs

import (
	"fmt"
	"sync"
	"time"

	"kith"
	"kith/bridge/ipfs/host"
)

// idleAfter is how long the host stays open without anything published or fetched.
const idleAfter = 10 * time.Minute

// connection is the host, while there is one.
type connection struct {
	b *Bridge

	mu     sync.Mutex
	on     *host.Host
	uses   int
	holds  map[string]func() // of what is published: what releases the host
	idle   *time.Timer
	closed bool
}

// use returns the host, which it opens if there is none, until release is called. It may be called again.
func (c *connection) use() (on *host.Host, release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, fmt.Errorf("ipfs: closed: %w", kith.Unavailable)
	}
	if c.on == nil {
		if c.on, err = c.b.connect(); err != nil {
			return nil, nil, fmt.Errorf("ipfs: go online: %w", err)
		}
	}
	c.uses++
	if c.idle != nil {
		c.idle.Stop()
		c.idle = nil
	}
	return c.on, sync.OnceFunc(c.release), nil
}

func (c *connection) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.uses--; c.uses == 0 && !c.closed {
		c.idle = time.AfterFunc(idleAfter, c.rest)
	}
}

// hold reports whether nobody held the host for what before.
func (c *connection) hold(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.holds[what]; ok {
		return false
	}
	if c.holds == nil {
		c.holds = map[string]func(){}
	}
	c.holds[what] = func() {}
	return true
}

// held says what releases the host again, which happens at once if drop was called meanwhile.
func (c *connection) held(what string, release func()) {
	c.mu.Lock()
	if _, ok := c.holds[what]; ok {
		c.holds[what] = release
		release = func() {}
	}
	c.mu.Unlock()
	release()
}

// drop ends a hold.
func (c *connection) drop(what string) {
	c.mu.Lock()
	release := c.holds[what]
	delete(c.holds, what)
	c.mu.Unlock()
	if release != nil {
		release()
	}
}

// rest closes the host if nobody needs it.
func (c *connection) rest() {
	c.mu.Lock()
	on := c.on
	if c.uses > 0 || c.idle == nil {
		c.mu.Unlock()
		return
	}
	c.on, c.idle = nil, nil
	c.mu.Unlock()
	if on != nil {
		on.Close()
	}
}

// now returns the host, or nil if there is none.
func (c *connection) now() *host.Host {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.on
}

func (c *connection) close() {
	c.mu.Lock()
	on := c.on
	c.on, c.closed = nil, true
	if c.idle != nil {
		c.idle.Stop()
	}
	c.mu.Unlock()
	if on != nil {
		on.Close()
	}
}

// connect starts a host.
func (b *Bridge) connect() (*host.Host, error) {
	c := b.o.Config
	return host.Open(host.Options{
		Dir: b.o.Dir, Listen: c.Listen, Bootstrap: b.o.Bootstrap, Peers: c.Peers, Routers: c.Routers, Web: c.Web, UPnP: b.o.UPnP, Loopback: b.o.Loopback,
		Blocks: peerStore{b}, Tracer: tracer{b}, Log: b.log,
	})
}
