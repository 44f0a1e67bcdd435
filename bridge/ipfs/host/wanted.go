package host

import (
	"sync"

	"github.com/ipfs/go-cid"
)

// Wanted is what is still to come of a list of blocks. Its methods may be called at once.
type Wanted struct {
	mu  sync.Mutex
	set map[cid.Cid]bool
	seq []cid.Cid
}

// NewWanted wants a list.
func NewWanted(list []cid.Cid) *Wanted {
	w := &Wanted{set: map[cid.Cid]bool{}, seq: list}
	for _, c := range list {
		w.set[c] = true
	}
	return w
}

// Len returns how much is still to come.
func (w *Wanted) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.set)
}

// Has reports whether c is still to come.
func (w *Wanted) Has(c cid.Cid) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.set[c]
}

// Take reports whether c was still to come, which it is no more.
func (w *Wanted) Take(c cid.Cid) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	had := w.set[c]
	delete(w.set, c)
	return had
}

// Left returns what is still to come, in the order of the list.
func (w *Wanted) Left() (all []cid.Cid) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.seq {
		if w.set[c] {
			all = append(all, c)
		}
	}
	return all
}
