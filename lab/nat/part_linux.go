package nat

import (
	"fmt"

	"kith"
)

// Part cuts the direct way between the homes of two hosts, or, if apart is false, mends it. What goes through others passes all the same, and whoever stands in the way is silent.
func (n *Net) Part(a, b *Host, apart bool) error {
	if len(a.routers) == 0 || len(b.routers) == 0 || a == b || a.Kind == IPv6Only || b.Kind == IPv6Only {
		return fmt.Errorf("nat: part %s and %s: they are not two homes with IPv4: %w", a.Name, b.Name, kith.Invalid)
	}
	script := "nft delete table inet apart"
	if apart {
		script = feed(fmt.Sprintf("table inet apart { chain forward { type filter hook forward priority -2; ip saddr %[1]v drop; ip daddr %[1]v drop; }; }", b.Outside()))
	}
	if err := sh(a.routers[0], script); err != nil {
		return fmt.Errorf("nat: part %s and %s: %w", a.Name, b.Name, err)
	}
	return nil
}
