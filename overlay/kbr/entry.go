package kbr

// An Entry is one place of an engine's tables, and who is there, for people to look at. What Part and Index are is in package overlay, which has the same.
type Entry struct {
	Part   string
	Index  int
	Node   Node
	RTT    Ticks // that the engine has measured; 0 if it has not
	Silent bool  // Node has not answered what it was asked last
}
