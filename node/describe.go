package node

import "kith/app"

// Describe returns the node's own application, with further operations, without a node: what its operations are called, take and give.
// None can be run.
func Describe(ops ...app.Op) app.App { return (&Node{o: Options{Ops: ops}}).app() }
