// Package motion notices that the computer has moved to another network, or has slept.
//
// It is not what is to be done then. Its one idea: both show in two readings of the machine, a second apart: the addresses of its interfaces are others,
// or the clock on the wall has run on while the one that counts time awake has not. It asks the system nothing but these, so that it works the
// same everywhere, and tells of nothing that has not happened: a clock that somebody sets forward looks like a sleep, and costs a look at the connections.
package motion

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// Every is how often Run looks.
	Every = time.Second

	slept   = 10 * time.Second // by which the wall clock must have run ahead
	stalled = 15 * time.Second // between two readings: the process was stopped, or the machine it runs on
)

// A Reading is how the machine is at one time.
type Reading struct {
	Awake time.Duration // time that has passed while the machine was awake, since whenever
	Wall  time.Time
	Addrs []netip.Addr // of its interfaces, but for loopback and link-local ones; sorted
}

// A Change is what is new between two readings.
type Change struct {
	Gone, Came []netip.Addr
	Slept      time.Duration // 0: it has not
}

// Any reports whether there is anything new.
func (c Change) Any() bool { return len(c.Gone)+len(c.Came) > 0 || c.Slept > 0 }

// Since returns what is new in r since old.
func (r Reading) Since(old Reading) Change {
	var c Change
	for _, a := range old.Addrs {
		if !slices.Contains(r.Addrs, a) {
			c.Gone = append(c.Gone, a)
		}
	}
	for _, a := range r.Addrs {
		if !slices.Contains(old.Addrs, a) {
			c.Came = append(c.Came, a)
		}
	}
	awake, wall := r.Awake-old.Awake, r.Wall.Round(0).Sub(old.Wall.Round(0)) // Round(0): without Go's own reading of the awake clock
	if wall-awake > slept || awake > stalled {
		c.Slept = max(wall, awake)
	}
	return c
}

// Run calls act with every change between two calls of read, until ctx ends. It reads again only when act has returned.
func Run(ctx context.Context, read func() Reading, act func(Change)) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	last := read()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := read()
		if c := now.Since(last); c.Any() {
			act(c)
			addrs := now.Addrs
			now = read() // what act took is no sleep
			now.Addrs = addrs
		}
		last = now
	}
}

// Addrs returns the addresses of this machine's interfaces that are up, but for loopback and link-local ones, sorted.
func Addrs() (list []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && !slices.Contains(list, ip.Unmap()) {
			list = append(list, ip.Unmap())
		}
	}
	slices.SortFunc(list, netip.Addr.Compare)
	return list
}
