package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/apps/files/spot"
	"kith/apps/files/swarm"
	"kith/blob/seal"
	"kith/bridge"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/network"
	"kith/transfer"
)

// maxTorrent bounds a .torrent file, in bytes: that of a hundred thousand files has ten million.
const maxTorrent = 64 << 20

// resolveTime is how long a name that is looked up is waited for before the download begins without.
const resolveTime = 20 * time.Second

// A webReader is the bridge to the web: it reads a .torrent file that an address may be, at most max bytes of it. It returns nil if it is something else.
type webReader interface {
	ReadTorrent(ctx context.Context, url string, max int64) ([]byte, error)
}

// linkOf reads what a person gave: a link, or what is as good as one. A .torrent file is read, a name that may change is looked up.
func (f *Files) linkOf(ctx context.Context, text string) (kith.Link, error) {
	l, err := kith.ParseLink(text)
	if err != nil {
		return l, err
	}
	if l.Ref.IsZero() && l.Source != "" && len(namesIn(l.Names, netTorrent))+len(namesIn(l.Names, netIPFS)) == 0 {
		data, err := f.readTorrent(ctx, l)
		if err != nil {
			return l, err
		}
		if data != nil {
			return f.addTorrent(ctx, data)
		}
	}
	if r, ok := f.bridge(netIPFS).(bridge.Resolver); ok && l.IPNS != "" {
		ctx, cancel := context.WithTimeout(ctx, resolveTime)
		defer cancel()
		if names, err := r.Resolve(ctx, l.Names); err == nil {
			l.Names = names
		} else if kith.KindOf(err) == kith.Invalid {
			return l, err
		} // else it is looked up again while the download waits
	}
	if l.Ref.IsZero() && f.opener(l) == nil {
		return l, kith.Hint(fmt.Errorf("files: get: only other networks know what that names, and this node is in none of them: %w", kith.Unavailable), "ask for a link that kith share printed")
	}
	return l, nil
}

// readTorrent returns the .torrent file that a link is, or nil if it is none.
func (f *Files) readTorrent(ctx context.Context, l kith.Link) ([]byte, error) {
	path := l.Torrent()
	if path == "" {
		if web, ok := f.bridge(netWeb).(webReader); ok {
			return web.ReadTorrent(ctx, l.Source, maxTorrent)
		}
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("files: get: there is no file %s: %w", plain.Text(path), kith.NotFound)
		}
		return nil, fmt.Errorf("files: get: %w: %w", err, kith.Denied)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxTorrent+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("files: get %s: %w: %w", plain.Text(path), err, kith.Invalid)
	case len(data) > maxTorrent:
		return nil, fmt.Errorf("files: get %s: more than %d bytes: %w", plain.Text(path), maxTorrent, kith.TooLarge)
	}
	return data, nil
}

// addTorrent returns the link that a .torrent file is.
func (f *Files) addTorrent(ctx context.Context, data []byte) (kith.Link, error) {
	b, ok := f.bridge(netTorrent).(bridge.Torrents)
	if !ok {
		return kith.Link{}, fmt.Errorf("files: get: it is a .torrent file, and this node has no BitTorrent: %w", kith.Unavailable)
	}
	return b.AddTorrent(ctx, data)
}

// opener returns how what a link names is fetched from other networks; nil if none knows it.
func (f *Files) opener(l kith.Link) (all []transfer.Opener) {
	for _, b := range f.env.Bridges {
		if o := b.Open(l); o != nil {
			all = append(all, o)
		}
	}
	return all
}

// named returns the item that a link names, by its Ref or by what another network calls it. Where a link has a Ref, that decides, unless what it names is being fetched
// under the other name.
func (f *Files) named(l kith.Link) (item, bool) {
	if !l.Ref.IsZero() {
		if it, ok := f.byRef(l.Ref); ok {
			return it, true
		}
	}
	if it, ok := f.byRef(transfer.PendingRef(l.Names)); ok && l.Ref.IsZero() {
		return it, true
	}
	for _, it := range f.all() {
		if sameNames(it.Names, l.Names) && (l.Ref.IsZero() || it.pending()) {
			return it, true
		}
	}
	return item{}, false
}

// sameNames reports whether two names are of one content.
func sameNames(a, b kith.Names) bool {
	switch {
	case a.V1 != (kith.InfoHash{}) && a.V1 == b.V1, a.V2 != [32]byte{} && a.V2 == b.V2:
		return true
	case a.IPFS.Defined() && b.IPFS.Defined():
		return a.IPFS.Type() == b.IPFS.Type() && string(a.IPFS.Hash()) == string(b.IPFS.Hash()) && a.Path == b.Path
	}
	return a.Source != "" && a.Source == b.Source && len(namesIn(a, netWeb)) > 0 && len(namesIn(b, netTorrent))+len(namesIn(b, netIPFS)) == 0
}

// want makes sure that what the link names is here or being fetched. ours says that this call has begun (or gone on with) it.
func (f *Files) want(ctx context.Context, in GetIn) (it item, ours bool, err error) {
	l, err := f.linkOf(ctx, in.Link)
	if err != nil {
		return item{}, false, err
	}
	only, err := wanted(in.Select)
	if err != nil {
		return item{}, false, err
	}
	if l.Network != "" && l.Network != f.env.Host.Name() { // a short link does not say
		return item{}, false, kith.Hint(fmt.Errorf("files: get: the link is of network %q, this node is on %q: %w", networkName(l.Network), f.env.Host.Name(), kith.Invalid),
			"start a node on it: kith up --network %s --dir DIR", networkName(l.Network))
	}
	sources, err := peer.AddrInfosFromP2pAddrs(l.Peers...)
	if err != nil {
		return item{}, false, fmt.Errorf("files: get: %w: %w", err, kith.Invalid)
	}
	it, ok := f.named(l)
	if ok {
		if ok, err = f.stays(ctx, it, in); err != nil {
			return item{}, false, err
		}
	}
	if ok {
		if l.Key != nil && it.Key == nil {
			it.Key = l.Key
		}
		more := it.Part && !slices.Equal(only, it.Only) // another part of it, or all
		knew := it
		if it = placed(it, l); len(in.Select) > 0 || it.Part {
			it.Only = only
		}
		news := it.Link != knew.Link || !reflect.DeepEqual(it.Names, knew.Names)
		switch {
		case more:
		case it.Part && it.State == stateDone:
			it.dl = nil
			return it, false, nil
		case it.State == stateReady || it.State == stateDone:
			err := f.env.Blobs.Look(ctx, it.Ref, it.Path)
			if kith.KindOf(err) != kith.Gone {
				it.dl = nil
				return it, false, err
			} // it was moved, changed or deleted: what is missing is fetched again
			if in.Output != "" {
				if it.Path, err = f.destination(in.Output); err != nil {
					return item{}, false, err
				}
			}
		case it.dl != nil && it.State != statePaused && it.State != stateFailed:
			for _, s := range sources {
				it.dl.Add(s)
			}
			if !news {
				return it, false, nil
			}
		}
		if news && it.dl != nil {
			it.dl.Cancel() // it goes on where it was, with all places
		}
		it, err = f.begin(it, sources, in.Sequential)
		return it, true, err
	}
	it = item{Ref: l.Ref, Kind: kindDownload, Name: l.Name, Size: l.Size, For: forLink, Key: l.Key, Link: in.Link, State: stateFinding, Added: time.Now(), Names: l.Names, Only: only}
	if it.Ref.IsZero() {
		it.Ref = transfer.PendingRef(l.Names)
	}
	if given, _ := kith.ParseLink(in.Link); given.Torrent() != "" || len(namesIn(given.Names, netTorrent)) == 0 && len(namesIn(l.Names, netTorrent)) > 0 {
		it.Link = l.String() // the .torrent file may be gone tomorrow
	}
	if it.Path, err = f.destination(in.Output); err != nil {
		return item{}, false, err
	}
	if err := f.save(ctx, it); err != nil {
		return item{}, false, err
	}
	it, err = f.begin(it, sources, in.Sequential)
	return it, true, err
}

// placed returns an item that knows what else a link says of where it may be found.
func placed(it item, l kith.Link) item {
	it.Names = it.Names.Join(l.Names)
	if old, err := kith.ParseLink(it.Link); err == nil && old.Torrent() == "" {
		if more := old.Join(l); len(more.Swarm)+len(more.Gateways) > len(old.Swarm)+len(old.Gateways) {
			it.Link = more.String()
		}
	}
	return it
}

// stays reports whether an item that is wanted at another place stays where it is, for a copy to be made of it. What had not begun to come
// is forgotten, to begin there.
func (f *Files) stays(ctx context.Context, it item, in GetIn) (bool, error) {
	if in.Output == "" || it.State == stateReady || it.State == stateDone || it.State == stateGone {
		return true, nil
	}
	to, err := f.destination(in.Output)
	if err != nil {
		return false, err
	}
	now := f.got(it)
	_, begun := f.env.Blobs.State(ctx, it.Ref)
	switch {
	case spot.Is(now.Path, to):
		return true, nil
	case kith.KindOf(begun) == kith.NotFound && !(it.pending() && it.Size >= 0) && (it.State == statePaused || it.State == stateFailed):
		if it.dl != nil {
			it.dl.Cancel()
		}
		return false, f.forget(ctx, it.Ref)
	case in.Detach:
		return false, kith.Hint(fmt.Errorf("files: get: it was begun at %s: %w", plain.Text(now.Path), kith.Exists),
			"go on there with: kith resume %s", it.Ref)
	}
	return true, nil
}

func networkName(n string) string {
	if n == "" {
		return network.DefaultName
	}
	return n
}

// destination returns where a download shall go: a folder with a slash at its end, in which it gets its own name, or a full path.
func (f *Files) destination(output string) (string, error) {
	if output == "" {
		if err := os.MkdirAll(f.env.Files, 0o755); err != nil {
			return "", fmt.Errorf("files: get: %w", err)
		}
		return f.env.Files + string(filepath.Separator), nil
	}
	return spot.Given(output, f.env.Blobs.Never)
}

// begin starts a download, or goes on with it, and sees it through in the background.
func (f *Files) begin(it item, sources []peer.AddrInfo, sequential bool) (item, error) {
	job := transfer.Job{Root: it.Ref, Size: -1, Name: it.Name, Peers: sources, Sequential: sequential, Only: it.Only}
	if it.Ref.Codec == kith.Raw && it.Key == nil {
		job.Size = it.Size
	}
	if it.Key != nil {
		key := seal.Key(it.Key)
		job.Key = &key
	}
	l, err := kith.ParseLink(it.Link)
	if len(sources) == 0 && it.Link != "" && err == nil {
		job.Peers, _ = peer.AddrInfosFromP2pAddrs(l.Peers...)
	}
	if len(it.Only) == 0 {
		job.Select = l.Select
	}
	if l.Ref, l.Name, l.Size, l.Key, l.Names = it.Ref, it.Name, it.Size, it.Key, it.Names; it.pending() {
		l.Ref = kith.Ref{}
	}
	job.Origins = f.origins(it, l)
	if dir, name := filepath.Split(it.Path); name == "" {
		job.Dir = filepath.Clean(dir)
	} else {
		job.Path = it.Path
	}
	dl, err := f.env.Moves.Start(job)
	if err != nil {
		return it, err
	}
	now, ok, err := f.changeIf(context.Background(), it.Ref, func(now *item) bool {
		if now.Ref != it.Ref { // it has ended meanwhile, and was known by another name
			return false
		}
		dl.Resume()
		now.Key, now.Link, now.Names, now.Only, now.Path = it.Key, it.Link, now.Names.Join(it.Names), it.Only, it.Path
		now.dl, now.State, now.Reason, now.Part = dl, stateFetching, "", false
		return true
	})
	switch {
	case err != nil:
		return it, err
	case !ok && now.Ref.IsZero():
		dl.Cancel()
		return it, fmt.Errorf("files: get: it was removed: %w", kith.NotFound)
	case !ok:
		dl.Cancel()
		return now, nil
	}
	it = now
	f.env.Go("files.see "+it.Ref.Short(), func(ctx context.Context) error { return f.see(ctx, it.Ref, dl) })
	return it, nil
}

// see follows a download in the background, and writes down how it ends.
func (f *Files) see(ctx context.Context, ref kith.Ref, dl *transfer.Download) error {
	announced, narrowed := false, false
	failed := func(why string) {
		f.settleIf(ctx, ref, stateFailed, why, func(it item) bool { return it.dl == dl })
	}
	for {
		changed, s := dl.Changed(), dl.Status()
		f.bell.Ring()
		it, ok := f.byRef(ref)
		if !ok || it.dl != dl { // it was removed, or begun anew elsewhere
			return nil
		}
		if it.Name != s.Name && s.Name != "" || it.Size < 0 && s.Size >= 0 { // the link did not say
			it, _, err := f.changeIf(ctx, ref, func(it *item) bool {
				it.Name, it.Size, it.Files = s.Name, s.Size, s.Files
				return it.dl == dl
			})
			if err != nil {
				f.env.Log.Warn("item not saved", "ref", ref, "err", err) // it is once more in the end
				f.know(it)
			}
		}
		if narrow := dl.Narrow(); narrow && it.For == forLink || narrowed && !narrow {
			narrowed = narrow
			_, _, err := f.changeIf(ctx, ref, func(it *item) bool {
				if it.For = forLink; narrow {
					it.For = forContacts
				}
				return it.dl == dl
			})
			if err != nil {
				return err
			}
		}
		if !announced && s.Done > 0 && !it.pending() {
			announced = true
			f.announce(ctx, it) // what is here already is served on
		}
		switch s.State {
		case transfer.Done:
			if err := f.finished(ctx, ref, dl, s); err != nil {
				failed(err.Error())
				return err
			}
			return nil
		case transfer.Failed:
			if !errors.Is(s.Err, transfer.ErrCanceled) { // who cancels it says what becomes of the item
				failed(s.Reason)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// finished writes down that a download has ended well. One that was paused and resumed has several who follow it: the first does it.
func (f *Files) finished(ctx context.Context, ref kith.Ref, dl *transfer.Download, s transfer.Status) error {
	f.changing.Lock()
	defer f.changing.Unlock()
	it, ok := f.byRef(ref)
	if !ok || it.Ref != ref || it.dl != dl || it.State == stateDone || it.State == stateReady {
		return nil
	}
	it.Name, it.Path, it.Size, it.Files, it.State, it.Reason, it.Part = s.Name, s.Path, s.Size, s.Files, stateDone, s.Reason, s.Part
	if it.Kind == kindShare { // what was damaged was fetched again
		it.State = stateReady
	}
	it.Sources, it.Verified, it.Brought = s.From, nil, maps.Clone(it.Brought)
	if it.Brought == nil {
		it.Brought = swarm.Brought{}
	}
	for _, src := range s.Sources {
		if src.Network != "" && src.Bytes > 0 {
			it.Sources++
		}
	}
	for _, n := range s.Networks {
		if n.Bytes > 0 {
			it.Brought[n.Network] += n.Bytes
		}
		if n.Verified && n.Network != netWeb {
			it.Verified = append(it.Verified, n.Network)
		}
	}
	if s.Root.Codec != kith.Pending { // else it is a part of a draft
		if err := f.env.Blobs.Pin(ctx, s.Root); err != nil {
			return err
		}
	}
	if ref != s.Root {
		var err error
		if it, err = f.become(ctx, it, s.Root); err != nil {
			return err
		}
		f.env.Go("files.discard", func(ctx context.Context) error {
			if err := dl.Wait(ctx); err != nil {
				return nil // it is found again at the next start
			}
			return f.env.Moves.Discard(ref)
		})
	} else if err := f.save(ctx, it); err != nil {
		return err
	}
	f.mu.Lock()
	if live := f.items[it.Ref]; live != nil && !it.Part { // of a part it says what else there is
		live.dl = nil
	}
	f.mu.Unlock()
	f.bell.Ring()
	f.giveBack(it)
	return nil
}

// become gives a pending item the ref that it turned out to have. If that was here already, it is that item, known by more names.
func (f *Files) become(ctx context.Context, it item, root kith.Ref) (item, error) {
	was := it.Ref
	if old, ok := f.byRef(root); ok {
		old.Names, old.Was = old.Names.Join(it.Names), append(slices.Clone(old.Was), it.Was...)
		if old.State != stateReady && old.State != stateDone {
			old.Path, old.State, old.Reason, old.Part = it.Path, stateDone, "", it.Part
		}
		it = old
	}
	it.Ref, it.Was = root, append(slices.Clone(it.Was), was)
	if err := f.write(ctx, it); err != nil { // both rows for a moment: at the worst the pending one is fetched again
		return it, err
	}
	if _, err := f.db.ExecContext(ctx, `DELETE FROM items WHERE ref = ?`, was.String()); err != nil {
		return it, fmt.Errorf("files: save %s: %w", plain.Text(it.Name), room.Explain(err))
	}
	f.know(it)
	f.announceSoon(it)
	return it, nil
}
