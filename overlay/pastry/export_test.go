package pastry

import "kith/overlay/kbr"

// InOrder says what of a node's state is not where it belongs.
func (r *Ring) InOrder(n kbr.Node) error { return r.nodes[n].check() }
