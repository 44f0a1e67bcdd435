package files

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kith"
	"kith/internal/plain"
	"kith/transfer"
)

// Serves reports whether what a torrent names is an item, so that a tracker of this node tells of its peers.
func (f *Files) Serves(h kith.InfoHash) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range f.items {
		if h != (kith.InfoHash{}) && (it.Names.V1 == h || it.Names.V2 != [32]byte{} && kith.InfoHash(it.Names.V2[:len(h)]) == h) {
			return true
		}
	}
	return false
}

// Adopt shares what another program of BitTorrent has fetched, where it is, and serves it to that network under the torrent that l names, unless still; added says since when it was on a list. Exists: it is an item already.
func (f *Files) Adopt(ctx context.Context, path string, l kith.Link, added time.Time, still bool, tell func(done, total int64)) error {
	if it, ok := f.named(l); ok {
		return fmt.Errorf("files: %s is on the list already: %w", plain.Text(it.Name), kith.Exists)
	}
	s, err := f.shareOne(ctx, path, ShareIn{Paths: []string{path}, For: forLink}, nil, func(p ShareOut) bool {
		tell(p.Done, p.Total)
		return ctx.Err() == nil
	})
	if err != nil {
		return err
	}
	it, err := f.change(ctx, s.Ref, func(it *item) { it.Names, it.Added = it.Names.Join(l.Names), orNow(added) })
	if err != nil || still {
		return err
	}
	_, err = f.publishTo(ctx, it, []string{netTorrent}, nil)
	return err
}

// FetchFrom is Fetch for what another program has begun: what of it is right it takes from the opener, if there is one. Still, it is paused when that has come, and asks nobody
// before. Exists: it is an item already.
func (f *Files) FetchFrom(ctx context.Context, l kith.Link, output string, added time.Time, still bool, from transfer.Opener) error {
	if it, ok := f.named(l); ok {
		return fmt.Errorf("files: %s is on the list already: %w", plain.Text(it.Name), kith.Exists)
	}
	it := item{Ref: l.Ref, Kind: kindDownload, Name: l.Name, Size: l.Size, For: forLink, Key: l.Key, Link: l.String(), State: stateFinding, Added: orNow(added), Names: l.Names, from: from, still: still}
	if it.Ref.IsZero() {
		it.Ref = transfer.PendingRef(l.Names)
	}
	var err error
	if it.Path, err = f.destination(output); err != nil {
		return err
	}
	if still && from == nil {
		it.State = statePaused
		return f.save(ctx, it)
	}
	if err := f.save(ctx, it); err != nil {
		return err
	}
	it, err = f.begin(it, nil, false)
	if err != nil || !still {
		return err
	}
	ref := it.Ref
	done, since := int64(0), time.Now()
	for time.Since(since) < stillTime && sleep(ctx, nil, stillTime/20) {
		now, ok := f.byRef(ref)
		if !ok || now.dl == nil || now.State == stateDone {
			return nil // it was all of it, or somebody removed it
		}
		if s := now.dl.Status(); s.Done > done {
			done, since = s.Done, time.Now()
		}
	}
	dl := it.dl
	f.hold(ref, dl, "it was paused in the program that it came from")
	dl.Cancel() // what has come stays; when it goes on, it is with everybody
	f.changing.Lock()
	f.mu.Lock()
	if live := f.items[ref]; live != nil && live.dl == dl {
		live.dl, live.from, live.still = nil, nil, false
	}
	f.mu.Unlock()
	f.changing.Unlock()
	return ctx.Err()
}

// orNow returns t, unless that is not known or is to come.
func orNow(t time.Time) time.Time {
	if now := time.Now(); t.IsZero() || t.After(now) {
		return now
	}
	return t
}

// stillTime is how long what another program has may bring nothing before it is taken for all.
const stillTime = 2 * time.Second

// origins returns where an item's download may draw from beside Kith.
func (f *Files) origins(it item, l kith.Link) []transfer.Opener {
	if it.from == nil {
		return f.opener(l)
	}
	if it.still {
		return []transfer.Opener{it.from}
	}
	return append(slices.Clone(f.opener(l)), it.from)
}
