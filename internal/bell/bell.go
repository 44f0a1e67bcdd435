// Package bell wakes everybody who waits for a change.
//
// It carries no value and keeps no count: who is woken looks for itself. Its one idea is to take the channel before looking, so that a change between
// the look and the wait is not missed.
package bell

import "sync"

// A Bell is ready as its zero value. Its methods may be called at once.
type Bell struct {
	mu sync.Mutex
	c  chan struct{}
}

// Wait returns a channel that is closed at the next Ring.
func (b *Bell) Wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c == nil {
		b.c = make(chan struct{})
	}
	return b.c
}

// Ring wakes all who wait.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.c != nil {
		close(b.c)
		b.c = nil
	}
}
