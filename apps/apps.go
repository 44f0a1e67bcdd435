// Package apps is the list of applications. It is the only place that sees two of them.
package apps

import (
	"context"
	"iter"

	"kith/app"
	"kith/apps/files"
	"kith/apps/ipfs"
	"kith/apps/search"
	"kith/apps/send"
	"kith/apps/torrents"
	"kith/transfer"
)

// New returns all applications, not started, and who decides what peers may fetch.
func New() ([]app.App, transfer.Guard) {
	f := files.New()
	t := torrents.New(f)
	s := search.New(findable{f}, told{t})
	f.Label = s.Label
	return []app.App{f.App(), send.New(f).App(), t.App(), ipfs.New().App(), s.App()}, f
}

// findable is the files of a person as search sees them.
type findable struct{ *files.Files }

// Findable implements search.Files.
func (f findable) Findable() []search.Item {
	found := f.Files.Findable()
	list := make([]search.Item, len(found))
	for i, it := range found {
		list[i] = search.Item(it)
	}
	return list
}

// told is what feeds have told of, as search sees it.
type told struct{ *torrents.Torrents }

// Offers implements search.Elsewhere.
func (t told) Offers(ctx context.Context) iter.Seq2[search.Offer, error] {
	return func(yield func(search.Offer, error) bool) {
		for o, err := range t.Torrents.Offers(ctx) {
			if !yield(search.Offer(o), err) {
				return
			}
		}
	}
}
