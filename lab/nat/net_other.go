//go:build !linux

package nat

import (
	"context"
	"net/netip"
	"os/exec"

	"kith/lab/space"
)

// A Net is a running internet with its homes; there are none on this system.
type Net struct{}

// A Host is a computer in a Net.
type Host struct {
	Spec
	Addr netip.Addr
}

// New returns kith.Unavailable: network namespaces are Linux'.
func New(specs ...Spec) (*Net, error) {
	if err := check(specs); err != nil {
		return nil, err
	}
	_, err := space.New(nil)
	return nil, err
}

// Move does nothing.
func (n *Net) Move(h, to *Host) error { return nil }

// Part does nothing.
func (n *Net) Part(a, b *Host, apart bool) error { return nil }

// Host returns nil.
func (n *Net) Host(string) *Host { return nil }

// Hosts returns no hosts.
func (n *Net) Hosts() []*Host { return nil }

// Close does nothing.
func (n *Net) Close() error { return nil }

// Command runs the program here.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

// Do runs f here.
func (h *Host) Do(f func() error) error { return f() }

// Outside returns no address.
func (h *Host) Outside() netip.Addr { return netip.Addr{} }
