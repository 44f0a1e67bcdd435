package live

import "context"

// Keeps reports whether this node itself keeps a value.
func (r *Router) Keeps(key string) bool {
	items, err := r.store.get(context.Background(), values, []byte(key))
	return err == nil && len(items) > 0
}

// Copies is how many nodes keep what stands under a key.
const Copies = copies
