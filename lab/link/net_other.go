//go:build !linux

package link

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"

	"kith"
)

// A Net is a running set of hosts; there are none on this system.
type Net struct{}

// A Host is one running host of a Net.
type Host struct {
	Spec
	Addr netip.Addr
}

// Stats counts what went over a host's line, in bytes of IP packets.
type Stats struct {
	Sent, Received int64
	Dropped        int64 // packets
}

// New returns kith.Unavailable: network namespaces are Linux'.
func New(c Config) (*Net, error) {
	err := fmt.Errorf("link: no network namespaces on %s: %w", runtime.GOOS, kith.Unavailable)
	return nil, kith.Hint(err, "run it on Linux, as root")
}

// Hosts returns no hosts.
func (n *Net) Hosts() []*Host { return nil }

// Host returns nil.
func (n *Net) Host(name string) *Host { return nil }

// Close does nothing.
func (n *Net) Close() error { return nil }

// Command runs the program here.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

// Do runs f here.
func (h *Host) Do(f func() error) error { return f() }

// Stats returns nothing.
func (h *Host) Stats() Stats { return Stats{} }
