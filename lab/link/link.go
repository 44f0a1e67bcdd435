// Package link makes links: hosts on one computer that reach each other through slow, long or lossy lines, so that real
// programs can be tried and measured as they would run in different homes.
//
// Each host is a network namespace with one address, and with nothing in it but its loopback and a TUN device. One engine reads the
// packets of all devices and delivers them later: after the sender's line has clocked them out at its rate, the way has taken its
// time, and the receiver's line has clocked them in. It is no simulator: time is real, and the programs are whole processes, of
// any kind. It needs Linux and root, and no module of the kernel beyond TUN.
//
// Its one idea is that a line is a clock that says when the next byte can leave (Pipe): queueing, loss by a full queue and pacing all
// follow from it, without a token bucket to tune.
package link

import (
	"fmt"
	"net/netip"
	"time"

	"kith"
)

// MTU is the size in bytes of the largest packet that a line carries.
const MTU = 1500

// MaxHosts is how many hosts a Net may have.
const MaxHosts = 1000

// minQueue is the smallest queue that a line has by default: what one burst of a sender needs.
const minQueue = 64 << 10

// Config describes a Net.
type Config struct {
	Hosts []Spec
	Seed  uint64 // of the losses: the same seed loses the same packets, counted per host
}

// Spec describes a host and its line. The zero value of a number is no limit, no delay, no loss.
type Spec struct {
	Name     string
	Up, Down float64       // bits a second, of whole IP packets
	Delay    time.Duration // one way, from the host to the middle; a packet takes the sender's and the receiver's
	Loss     float64       // part of the packets sent that is lost, 0 to 1
	Queue    int           // bytes that wait before the line, each way, before packets are dropped; 0: 100 ms of its rate
}

func (c Config) check() error {
	if n := len(c.Hosts); n < 1 || n > MaxHosts {
		return fmt.Errorf("link: %d hosts, not 1 to %d: %w", n, MaxHosts, kith.Invalid)
	}
	names := map[string]bool{}
	for _, s := range c.Hosts {
		if s.Name == "" || names[s.Name] {
			return fmt.Errorf("link: host name %q is empty or taken: %w", s.Name, kith.Invalid)
		}
		if s.Up < 0 || s.Down < 0 || s.Delay < 0 || s.Queue < 0 || !(s.Loss >= 0 && s.Loss <= 1) {
			return fmt.Errorf("link: host %s: a number is out of range: %w", s.Name, kith.Invalid)
		}
		names[s.Name] = true
	}
	return nil
}

// addr returns the address of the host with index i: 10.77.0.1 and on. 127/8 would not do: programs treat it specially.
func addr(i int) netip.Addr {
	n := i + 1
	return netip.AddrFrom4([4]byte{10, 77, byte(n >> 8), byte(n)})
}

// index is the inverse of addr.
func index(a netip.Addr) (int, bool) {
	if !a.Is4() {
		return 0, false
	}
	b := a.As4()
	n := int(b[2])<<8 | int(b[3])
	return n - 1, b[0] == 10 && b[1] == 77 && n > 0
}

func (s Spec) pipe(rate float64) Pipe {
	queue := s.Queue
	if queue == 0 {
		queue = max(minQueue, int(rate/8/10))
	}
	return Pipe{Rate: rate, Queue: queue}
}
