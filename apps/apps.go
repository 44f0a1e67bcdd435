// Package apps is the list of applications. It is the only place that sees two of them.
package apps

import (
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
	return []app.App{f.App(), send.New(f).App(), torrents.New(f).App(), ipfs.New().App(), search.New(findable{f}).App()}, f
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
