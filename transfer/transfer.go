// Package transfer moves content: verified ranges, from many sources at once.
package transfer

// Manager runs all transfers of a node.
type Manager struct{}
