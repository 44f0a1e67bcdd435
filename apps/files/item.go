package files

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multiaddr"

	"kith"
	"kith/apps/files/swarm"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/network"
	"kith/transfer"
)

// Who may fetch an item.
const (
	forLink     = "link"     // whoever has the link; in no index and no feed
	forContacts = "contacts" // the person's contacts
	forPublic   = "public"   // anybody, and it may be indexed
)

// What an item is.
const (
	kindShare    = "share"
	kindDownload = "download"
)

// States of an item that outlive a restart; transfer adds the passing ones.
const (
	stateReady    = "ready"
	stateGone     = "gone"
	stateFinding  = "finding"
	stateFetching = "fetching"
	stateWaiting  = "waiting"
	statePaused   = "paused"
	stateDone     = "done"
	stateFailed   = "failed"
)

// An item is what is known of something shared or fetched; it is what a row of files.db holds.
type item struct {
	Ref     kith.Ref
	Kind    string
	Name    string
	Path    string
	Size    int64
	Files   int
	For     string
	Key     []byte
	Link    string // as given; for a download
	State   string
	Reason  string
	Up      int64 // bytes sent before this start
	Sources int
	Added   time.Time

	Names    kith.Names    // in other networks
	Networks []string      // that it is published to
	Seeds    []string      // those of Networks that it is given back to, until the ratio is reached or the time is over
	Since    time.Time     // when that began
	Only     []string      // what of it is wanted; none: all
	Part     bool          // and no more is here
	Was      []kith.Ref    // Pending refs that stood for it
	Verified []string      // networks that compared the whole with their digests
	Brought  swarm.Brought // what came from them

	dl    *transfer.Download // while it is being fetched
	from  transfer.Opener    // what another program has of it; not kept
	still bool               // and nobody else is asked
}

// pending reports whether only other networks' names are known of it so far.
func (it item) pending() bool { return it.Ref.Codec == kith.Pending }

// manifest reports whether the item's root is a manifest: a folder's, or a private share's, whose Ref does not say so.
func (it item) manifest() bool { return it.Ref.Codec == kith.Manifest || it.Key != nil }

// load reads all items.
func (f *Files) load(ctx context.Context) error {
	rows, err := f.db.QueryContext(ctx, `SELECT ref, kind, name, path, size, files, vis, key, link, state, reason, up, sources, added, names, networks, seeds, wanted, part, was, verified, brought, since FROM items`)
	if err != nil {
		return fmt.Errorf("files: load: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var it item
		var ref, names, networks, seeds, only, was, verified, came string
		var added, since int64
		if err := rows.Scan(&ref, &it.Kind, &it.Name, &it.Path, &it.Size, &it.Files, &it.For, &it.Key, &it.Link, &it.State, &it.Reason, &it.Up, &it.Sources, &added,
			&names, &networks, &seeds, &only, &it.Part, &was, &verified, &came, &since); err != nil {
			return fmt.Errorf("files: load: %w", err)
		}
		if it.Ref, err = kith.ParseRef(ref); err != nil {
			return fmt.Errorf("files: load: %w", err)
		}
		if names != "" {
			l, err := kith.ParseLink(names)
			if err != nil {
				return fmt.Errorf("files: load: %w", err)
			}
			it.Names = l.Names
		}
		it.Added, it.Since, it.Networks, it.Seeds, it.Only = time.Unix(added, 0), time.Unix(since, 0), strings.Fields(networks), strings.Fields(seeds), lines(only)
		it.Verified, it.Brought = strings.Fields(verified), swarm.ParseBrought(came)
		for _, text := range strings.Fields(was) {
			old, err := kith.ParseRef(text)
			if err != nil {
				return fmt.Errorf("files: load: %w", err)
			}
			it.Was = append(it.Was, old)
		}
		f.know(it)
	}
	return rows.Err()
}

// lines returns the lines of a text; none of "".
func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// save writes an item's row and makes it known.
func (f *Files) save(ctx context.Context, it item) error {
	err := f.write(ctx, it)
	if err == nil {
		f.know(it)
	}
	return err
}

func (f *Files) write(ctx context.Context, it item) error {
	names, was := "", make([]string, len(it.Was))
	if !it.Names.None() {
		names = kith.Link{Size: -1, Names: it.Names}.String()
	}
	for i, ref := range it.Was {
		was[i] = ref.String()
	}
	_, err := f.db.ExecContext(ctx, `INSERT OR REPLACE INTO items
		(ref, kind, name, path, size, files, vis, key, link, state, reason, up, sources, added, names, networks, seeds, wanted, part, was, verified, brought, since) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		it.Ref.String(), it.Kind, it.Name, it.Path, it.Size, it.Files, it.For, it.Key, it.Link, it.State, it.Reason, it.Up, it.Sources, it.Added.Unix(),
		names, strings.Join(it.Networks, " "), strings.Join(it.Seeds, " "), strings.Join(it.Only, "\n"), it.Part, strings.Join(was, " "), strings.Join(it.Verified, " "), it.Brought.String(), max(it.Since.Unix(), 0))
	if err != nil {
		return fmt.Errorf("files: save %s: %w", plain.Text(it.Name), room.Explain(err))
	}
	return nil
}

// know takes an item as it now is. What it was before is no longer there.
func (f *Files) know(it item) {
	f.mu.Lock()
	if old := f.items[it.Ref]; old != nil && it.dl == nil {
		it.dl = old.dl
	}
	f.items[it.Ref] = &it
	for _, was := range it.Was {
		f.was[was] = it.Ref
		delete(f.items, was)
	}
	f.mu.Unlock()
	f.bell.Ring()
}

// change has fn make of an item, as it is now, what it is to be, and writes that down. Nobody else changes it meanwhile: what was read before may have been changed since, and
// saved as it was it would take that back.
func (f *Files) change(ctx context.Context, ref kith.Ref, fn func(it *item)) (item, error) {
	it, ok, err := f.changeIf(ctx, ref, func(it *item) bool { fn(it); return true })
	if err == nil && !ok {
		err = fmt.Errorf("files: %s was removed meanwhile: %w", ref.Short(), kith.NotFound)
	}
	return it, err
}

// changeIf is change of an item that is still there, and that fn reports to be still what is to be changed; else it says that it is not.
func (f *Files) changeIf(ctx context.Context, ref kith.Ref, fn func(it *item) bool) (item, bool, error) {
	f.changing.Lock()
	defer f.changing.Unlock()
	it, ok := f.byRef(ref)
	if !ok || !fn(&it) {
		return it, false, nil
	}
	return it, true, f.save(ctx, it)
}

// settle changes the lasting state of an item, if it is still there: until the next start, if there is no room to write it down.
func (f *Files) settle(ctx context.Context, ref kith.Ref, state, reason string) {
	f.settleIf(ctx, ref, state, reason, func(item) bool { return true })
}

// settleIf is settle of an item that is still as may says.
func (f *Files) settleIf(ctx context.Context, ref kith.Ref, state, reason string, may func(item) bool) {
	it, _, err := f.changeIf(ctx, ref, func(it *item) bool {
		if !may(*it) {
			return false
		}
		it.State, it.Reason = state, reason
		return true
	})
	if err != nil {
		f.env.Log.Warn("item not saved", "ref", ref, "err", err)
		f.know(it)
	}
}

// forget removes an item's row.
func (f *Files) forget(ctx context.Context, ref kith.Ref) error {
	f.changing.Lock()
	defer f.changing.Unlock()
	if _, err := f.db.ExecContext(ctx, `DELETE FROM items WHERE ref = ?`, ref.String()); err != nil {
		return fmt.Errorf("files: forget: %w", room.Explain(err))
	}
	f.mu.Lock()
	if it := f.items[ref]; it != nil {
		for _, was := range it.Was {
			delete(f.was, was)
		}
	}
	delete(f.items, ref)
	f.mu.Unlock()
	f.bell.Ring()
	return nil
}

// byRef returns a copy of an item; a Pending ref that it had finds it still.
func (f *Files) byRef(ref kith.Ref) (item, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now, ok := f.was[ref]; ok {
		ref = now
	}
	it, ok := f.items[ref]
	if !ok {
		return item{}, false
	}
	return *it, true
}

// all returns copies of the items, the latest first.
func (f *Files) all() []item {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]item, 0, len(f.items))
	for _, it := range f.items {
		out = append(out, *it)
	}
	slices.SortFunc(out, func(a, b item) int {
		if c := b.Added.Compare(a.Added); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// find returns the one item that text names: a link, a CID, a name, or a part of a CID or name that no other has.
func (f *Files) find(text string) (item, error) {
	if text = strings.TrimSpace(text); text == "" {
		return item{}, fmt.Errorf("files: no item named: %w", kith.Invalid)
	}
	if l, err := kith.ParseLink(text); err == nil {
		if it, ok := f.named(l); ok {
			return it, nil
		}
	}
	if ref, err := kith.ParseRef(text); err == nil {
		if it, ok := f.byRef(ref); ok {
			return it, nil
		}
	}
	var exact, part []item
	for _, it := range f.all() {
		switch {
		case it.Name == text || it.Ref.String() == text || it.Path == text:
			exact = append(exact, it)
		case strings.Contains(strings.ToLower(it.Name), strings.ToLower(text)) || strings.HasSuffix(it.Ref.String(), text):
			part = append(part, it)
		}
	}
	if len(exact) == 0 {
		exact = part
	}
	switch len(exact) {
	case 0:
		return item{}, kith.Hint(fmt.Errorf("files: %.80q: %w", text, kith.NotFound), "see what is here with: kith ls")
	case 1:
		return exact[0], nil
	}
	return item{}, kith.Hint(fmt.Errorf("files: %.80q names %d items: %w", text, len(exact), kith.Invalid), "use what kith ls shows under REF")
}

// rendezvous returns the overlay keys under which an item is announced.
func rendezvous(it item) []cid.Cid {
	if it.pending() { // no peer of Kith's can ask for it
		return nil
	}
	keys := []cid.Cid{transfer.Rendezvous(it.Ref)}
	if it.For == forPublic {
		keys = append(keys, it.Ref.CID())
	}
	return keys
}

// link returns how an item is handed on from here: with this node's current addresses.
func (f *Files) link(it item) kith.Link { return f.linkTo(it, f.addrs()) }

// addrs returns where this node can be reached now, as its links say it.
func (f *Files) addrs() []multiaddr.Multiaddr { return f.env.Host.Told() }

// linkTo is link with the node's addresses, for who needs many links at once.
func (f *Files) linkTo(it item, addrs []multiaddr.Multiaddr) kith.Link {
	l := kith.Link{Ref: it.Ref, Size: -1, Peers: addrs, Key: it.Key, Network: f.network(), Names: it.Names}
	if it.pending() {
		l.Ref, l.Peers, l.Network = kith.Ref{}, nil, ""
	} else if strings.Contains(l.Source, "?") { // what stands behind the ? often says who may fetch it
		l.Source = ""
	}
	if it.Key == nil { // the link's open part says nothing of a private share
		l.Name, l.Size = it.Name, it.Size
	}
	return l
}

// network returns the name of this node's network as a link has it: nothing for the default.
func (f *Files) network() string {
	if name := f.env.Host.Name(); name != network.DefaultName {
		return name
	}
	return ""
}

// saveUploads adds what was sent since the start to each item's count.
func (f *Files) saveUploads(ctx context.Context) {
	for ref, up := range f.env.Moves.Uploads() {
		if _, err := f.db.ExecContext(ctx, `UPDATE items SET up = up + ? WHERE ref = ?`, up.Bytes, ref.String()); err != nil {
			f.env.Log.Warn("uploads not saved", "ref", ref, "err", err)
		}
	}
}
