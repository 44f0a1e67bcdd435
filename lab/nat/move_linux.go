package nat

import (
	"fmt"

	"kith"
	"kith/lab/space"
)

// Move carries a host with what runs on it to the home of another, whose own host is cut off for good: the host gets the other's kind, router and address, as a
// laptop does that is opened in a café. Public hosts cannot be moved, nor moved to.
func (n *Net) Move(h, to *Host) error {
	if len(h.routers) == 0 || len(to.routers) == 0 || h == to {
		return fmt.Errorf("nat: move %s to %s: not from home to home: %w", h.Name, to.Name, kith.Invalid)
	}
	inner := func(h *Host) *space.Space { return h.routers[len(h.routers)-1] }
	for _, left := range []*Host{h, to} {
		if err := sh(inner(left), "ip link del lan0"); err != nil {
			return fmt.Errorf("nat: move %s: %w", h.Name, err)
		}
	}
	h.Kind, h.index, h.routers = to.Kind, to.index, to.routers
	err := wire(inner(h), "lan0", h.space, "eth0")
	if err == nil {
		err = n.join(h, inner(h))
	}
	if err != nil {
		return fmt.Errorf("nat: move %s: %w", h.Name, err)
	}
	return nil
}
