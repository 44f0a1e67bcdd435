// Package handle keeps blobs open that are read again and again.
//
// It reads nothing itself. Its one idea: of what peers ask for, those stay open that were read last.
package handle

import (
	"context"
	"sync"

	"kith"
	"kith/blob"
)

// most is how many blobs stay open for peers who ask for more of them.
const most = 256

// A Cache opens blobs for reading, and keeps those open that were read last. Its methods may be called at once.
type Cache struct {
	blobs *blob.Store

	mu   sync.Mutex
	open map[kith.Ref]*handle
	tick int64
}

type handle struct {
	b    *blob.Blob
	refs int
	used int64
}

// New returns a Cache of the blobs of a store.
func New(s *blob.Store) *Cache { return &Cache{blobs: s, open: map[kith.Ref]*handle{}} }

// ReadAt reads bytes of a blob. Errors: as blob.Store.Blob and blob.Blob.ReadAt.
func (h *Cache) ReadAt(ref kith.Ref, p []byte, off int64) (int, error) {
	o, err := h.get(ref)
	if err != nil {
		return 0, err
	}
	defer h.put(ref, o)
	return o.b.ReadAt(p, off)
}

func (h *Cache) get(ref kith.Ref) (*handle, error) {
	h.mu.Lock()
	if o := h.open[ref]; o != nil {
		o.refs++
		h.mu.Unlock()
		return o, nil
	}
	h.mu.Unlock()
	b, err := h.blobs.Blob(context.Background(), ref)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	o := h.open[ref]
	if o == nil {
		o = &handle{b: b}
		h.open[ref] = o
		b = nil
	}
	o.refs++
	h.mu.Unlock()
	if b != nil {
		b.Close() // somebody else was first
	}
	return o, nil
}

func (h *Cache) put(ref kith.Ref, o *handle) {
	h.mu.Lock()
	o.refs--
	h.tick++
	o.used = h.tick
	var old *handle
	if len(h.open) > most {
		var at kith.Ref
		for r, c := range h.open {
			if c.refs == 0 && (old == nil || c.used < old.used) {
				old, at = c, r
			}
		}
		if old != nil {
			delete(h.open, at)
		}
	}
	h.mu.Unlock()
	if old != nil {
		old.b.Close()
	}
}

// Drop closes a blob if nobody reads it, so that its owner may delete it.
func (h *Cache) Drop(ref kith.Ref) {
	h.mu.Lock()
	o := h.open[ref]
	if o == nil || o.refs > 0 {
		h.mu.Unlock()
		return
	}
	delete(h.open, ref)
	h.mu.Unlock()
	o.b.Close()
}

// Close closes all.
func (h *Cache) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ref, o := range h.open {
		o.b.Close()
		delete(h.open, ref)
	}
}
