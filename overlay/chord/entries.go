package chord

import "kith/overlay/kbr"

// Entries appends to dst what is in the tables.
func (c *Chord) Entries(dst []kbr.Entry) []kbr.Entry {
	if c.pred != kbr.None {
		dst = append(dst, kbr.Entry{Part: "predecessor", Node: c.pred})
	}
	for i, n := range c.successors() {
		dst = append(dst, kbr.Entry{Part: "successor", Index: i + 1, Node: n})
	}
	for i, n := range c.finger {
		if n != kbr.None {
			dst = append(dst, kbr.Entry{Part: "finger", Index: kbr.Bits - 1 - i, Node: n})
		}
	}
	return dst
}
