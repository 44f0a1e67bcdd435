package search_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"kith"
	"kith/app"
	"kith/apps/search"
	"kith/apptest"
	"kith/transfer"
)

// A busy shelf says all the time that something has changed, as one does on which a download goes on.
type busy struct {
	shelf
	mu    sync.Mutex
	items []search.Item
}

func (b *busy) Findable() []search.Item {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.items)
}

func (b *busy) Changed() <-chan struct{} {
	rung := make(chan struct{})
	close(rung)
	return rung
}

func (b *busy) set(items []search.Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = items
}

// Work is done for what is published although something changes all the time, others find what is done before all is, and what is no longer shared is not worked for.
func TestPublishWhileBusy(t *testing.T) {
	var many []search.Item // fifteen seconds of work
	for i := range 600 {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		many = append(many, search.Item{Link: kith.Link{Ref: kith.RawRef(sum), Name: fmt.Sprint("blue ", i), Size: 1}, Files: 1, Public: true})
	}
	b := &busy{items: many}
	first := true
	net := apptest.New(t, 2, func() ([]app.App, transfer.Guard) {
		s := search.New(shelf{}, shelf{})
		if first {
			s = search.New(b, shelf{})
		}
		first = false
		return []app.App{s.App()}, shut{}
	})
	out := until(t, net.Node(0), "blue", "nothing is published", func(out search.SearchOut) bool { return out.Known >= 3 })
	if out.Publishing == 0 || out.Publishing >= len(many) {
		t.Errorf("it is not said what is left: %+v", out)
	}
	until(t, net.Node(1), "blue", "others do not find what is published", func(out search.SearchOut) bool { return out.Total >= 3 })
	b.set(many[len(many)-1:])
	out = until(t, net.Node(0), "blue", "it goes on for what is not shared", func(out search.SearchOut) bool { return out.Publishing == 0 && out.Total == 1 })
	if out.Known == len(many) {
		t.Error("all was published, and then some taken back")
	}
	until(t, net.Node(1), "blue", "others find what is not shared", one)
}
