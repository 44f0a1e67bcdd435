// Package blob keeps content: bytes once, under every digest that a network may ask for.
package blob

// Store is a content store.
type Store struct{}
