package record

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"kith"
)

// A Validator is what an overlay asks which values it may keep under /kith-record/ and which of several is the newest. Its zero value is ready; its
// methods may be called at once. It implements the Validator of go-libp2p-record.
type Validator struct {
	Now func() time.Time // nil: time.Now

	mu      sync.Mutex
	watched map[string]error // by path: why a record that is otherwise good was refused for its times
}

// Validate implements the Validator of go-libp2p-record.
func (v *Validator) Validate(path string, value []byte) error {
	_, err := Check(path, value, v.now())
	if errors.Is(err, kith.Unavailable) || errors.Is(err, kith.Gone) {
		v.mu.Lock()
		if _, ok := v.watched[path]; ok {
			v.watched[path] = err
		}
		v.mu.Unlock()
	}
	return err
}

// Select implements the Validator of go-libp2p-record: the highest sequence number, and of equals what sorts last. Values that are not records are passed over.
func (v *Validator) Select(path string, values [][]byte) (int, error) {
	best := -1
	var newest body
	for i, value := range values {
		b, err := parse(value)
		if err != nil || pathOf(b.Key) != path {
			continue
		}
		if best < 0 || b.Sequence > newest.Sequence || b.Sequence == newest.Sequence && bytes.Compare(value, values[best]) > 0 {
			best, newest = i, b
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("record: select: none of %d values is a record: %w", len(values), kith.Corrupt)
	}
	return best, nil
}

func (v *Validator) now() time.Time {
	if v.Now != nil {
		return v.Now()
	}
	return time.Now()
}

// watch has Validate keep why it refuses records of path for their times; the function that it returns says why, if it did, and ends that.
func (v *Validator) watch(path string) (refused func() error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.watched == nil {
		v.watched = map[string]error{}
	}
	v.watched[path] = nil
	return func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		err := v.watched[path]
		delete(v.watched, path)
		return err
	}
}
