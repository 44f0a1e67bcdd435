package files

import (
	"context"
	"fmt"
	"time"

	"kith"
)

// Found is what a search may say of an item that is whole here.
type Found struct {
	Link   kith.Link // without places where it is; with the key
	Folder bool
	Files  int
	Public bool // anybody may find it; else only who sits at this computer
	// Contacts says that the person's contacts may find it too: the person shared it with them. What others shared so and was fetched, these may fetch from here, and do not find.
	Contacts bool
	Added    time.Time
}

// Changed returns a channel that is closed when items have changed.
func (f *Files) Changed() <-chan struct{} { return f.bell.Wait() }

// Findable returns what there is to be found of what is here.
func (f *Files) Findable() []Found {
	var list []Found
	for _, it := range f.all() {
		if it.pending() || it.Part || it.State != stateReady && it.State != stateDone {
			continue
		}
		l := kith.Link{Ref: it.Ref, Name: it.Name, Size: it.Size, Key: it.Key, Names: kith.Names{V1: it.Names.V1, V2: it.Names.V2}}
		list = append(list, Found{Link: l, Folder: it.manifest() && !(it.Key != nil && it.Files == 1), Files: it.Files, Public: it.For == forPublic && it.Key == nil,
			Contacts: it.Kind == kindShare && it.For == forContacts && it.Key == nil, Added: it.Added})
	}
	return list
}

// label has what a person says of a content written down, before it is told of; of the zero Ref it is only checked.
func (f *Files) label(ctx context.Context, ref kith.Ref, l Labels) error {
	if len(l.Tag) == 0 && l.Lang == "" {
		return nil
	}
	if f.Label == nil {
		return fmt.Errorf("files: this node has no search, so that tags are of no use: %w", kith.Invalid)
	}
	return f.Label(ctx, ref, l.Tag, l.Lang)
}
