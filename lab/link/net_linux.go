package link

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"kith/lab/space"
)

// A Net is a running set of hosts. Its namespaces have no name: they end with it, also when its process is killed, and
// nothing is left to sweep.
type Net struct {
	hosts   []*Host
	start   time.Time
	closing chan struct{}
	close   sync.Once
	running sync.WaitGroup
	packets sync.Pool
}

// A Host is one running host of a Net. Its methods may be called at once.
type Host struct {
	Spec
	Addr netip.Addr

	net   *Net
	index int
	space *space.Space
	tun   *os.File

	up    Pipe // owned by read
	rand  *rand.Rand
	wake  chan struct{} // read of another host: look at the port again
	mu    sync.Mutex
	port  port // what is on its way to this host
	stats counts
}

// Stats counts what went over a host's line, in bytes of IP packets.
type Stats struct {
	Sent, Received int64
	Dropped        int64 // packets that full queues or Loss took
}

type counts struct{ sent, received, dropped atomic.Int64 }

// New makes the hosts and starts to carry packets among them. Without root, or elsewhere than on Linux, it returns kith.Unavailable.
func New(c Config) (*Net, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	n := &Net{start: time.Now(), closing: make(chan struct{})}
	n.packets.New = func() any { return new(packet) }
	for i, s := range c.Hosts {
		h := &Host{Spec: s, Addr: addr(i), net: n, index: i, up: s.pipe(s.Up), rand: rand.New(rand.NewPCG(c.Seed, uint64(i))), wake: make(chan struct{}, 1)}
		h.port.down = s.pipe(s.Down)
		var err error
		h.space, err = space.New(func() (err error) {
			h.tun, err = newTUN(h.Addr)
			return err
		})
		if err != nil {
			n.Close()
			return nil, fmt.Errorf("link: host %s: %w", s.Name, err)
		}
		n.hosts = append(n.hosts, h)
	}
	for _, h := range n.hosts {
		n.running.Go(h.read)
		n.running.Go(h.write)
	}
	return n, nil
}

// Hosts returns the hosts in the order of the Config.
func (n *Net) Hosts() []*Host { return n.hosts }

// Host returns the host of that name, or nil.
func (n *Net) Host(name string) *Host {
	for _, h := range n.hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// Close kills what still runs in the hosts and removes them. A second Close does nothing.
func (n *Net) Close() error {
	n.close.Do(func() {
		close(n.closing)
		for _, h := range n.hosts {
			h.space.Kill()
			h.tun.Close()
		}
		n.running.Wait()
		for _, h := range n.hosts {
			h.space.Close()
		}
	})
	return nil
}

// Command is like exec.CommandContext for a program that runs inside the host. It is killed when this process ends.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return h.space.Command(ctx, name, args...)
}

// Do runs f on a thread inside the host: sockets that f opens itself, not through another goroutine, belong to the host for good.
func (h *Host) Do(f func() error) error { return h.space.Do(f) }

// Stats returns what went over the host's line so far.
func (h *Host) Stats() Stats {
	return Stats{h.stats.sent.Load(), h.stats.received.Load(), h.stats.dropped.Load()}
}

// read takes what the host sends and puts it on its way.
func (h *Host) read() {
	for {
		p := h.net.packets.Get().(*packet)
		size, err := h.tun.Read(p.buf[:])
		if err != nil {
			return // closed
		}
		p.size = size
		if !h.send(p) {
			h.net.packets.Put(p)
		}
	}
}

func (h *Host) send(p *packet) bool {
	if p.size < 20 || p.buf[0]>>4 != 4 {
		return false // only IPv4 is carried
	}
	i, ok := index(netip.AddrFrom4([4]byte(p.buf[16:20])))
	if !ok || i >= len(h.net.hosts) {
		return false // nobody: multicast ends at the door as well, for homes are no common network
	}
	at, ok := h.up.Admit(time.Since(h.net.start), p.size)
	if !ok || h.Loss > 0 && h.rand.Float64() < h.Loss {
		h.stats.dropped.Add(1)
		return false
	}
	h.stats.sent.Add(int64(p.size))
	to := h.net.hosts[i]
	p.at = at + h.Delay + to.Delay
	to.mu.Lock()
	sooner := to.port.add(p)
	to.mu.Unlock()
	if sooner {
		select {
		case to.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// write hands to the host what has arrived.
func (h *Host) write() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var out, lost []*packet
	for {
		h.mu.Lock()
		out, lost = h.port.step(time.Since(h.net.start), out[:0], lost[:0])
		next, any := h.port.next()
		h.mu.Unlock()
		h.stats.dropped.Add(int64(len(lost)))
		for _, p := range lost {
			h.net.packets.Put(p)
		}
		for _, p := range out {
			h.stats.received.Add(int64(p.size))
			h.tun.Write(p.buf[:p.size]) // what the host's kernel does not take is lost, as on a line
			h.net.packets.Put(p)
		}
		wait := time.Hour
		if any {
			wait = next - time.Since(h.net.start)
		}
		if wait <= 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-h.net.closing:
			return
		case <-h.wake:
		case <-timer.C:
		}
	}
}
