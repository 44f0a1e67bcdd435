package kademlia

import "kith/overlay/kbr"

// Entries appends to dst what is in the buckets, and in mind for each.
func (c *Kademlia) Entries(dst []kbr.Entry) []kbr.Entry {
	for level, i := range c.bucket {
		if i == 0 {
			continue
		}
		b := c.block(i)
		for _, x := range b.in() {
			dst = append(dst, x.entry("bucket", level))
		}
		for _, x := range c.mind(b) {
			dst = append(dst, x.entry("spare", level))
		}
	}
	return dst
}

func (x contact) entry(part string, level int) kbr.Entry {
	return kbr.Entry{Part: part, Index: level, Node: x.node, RTT: kbr.Ticks(x.rtt&^suspect) * rttUnit, Silent: x.rtt&suspect != 0}
}
