package bittorrent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"kith"
	"kith/bridge"
	"kith/bridge/bittorrent/handle"
	"kith/bridge/bittorrent/metainfo"
)

// readAhead is how many bytes are read at once where a file is hashed that no tap has seen.
const readAhead = 1 << 20

// Publish implements bridge.Bridge. What was fetched by a torrent is served under that torrent; of all else one is made, the same on every node
// with the same settings.
func (b *Bridge) Publish(ctx context.Context, share bridge.Share) (kith.Names, error) {
	names, err := b.publish(ctx, share)
	if err != nil {
		return kith.Names{}, fmt.Errorf("bittorrent: publish %s: %w", share.Root.Short(), err)
	}
	return names, nil
}

func (b *Bridge) publish(ctx context.Context, share bridge.Share) (kith.Names, error) {
	t, err := b.torrentOf(ctx, share)
	if err != nil {
		return kith.Names{}, err
	}
	c, err := b.open()
	if err != nil {
		return kith.Names{}, err
	}
	id, err := b.store.keepTorrent(ctx, t)
	if err == nil {
		err = b.store.keepShare(ctx, share, id)
	}
	if err != nil {
		return kith.Names{}, err
	}
	p := published{root: share.Root, torrent: id, names: kith.Names{V1: t.V1, V2: t.V2}, audience: audienceOf(t)}
	b.seed(c, p)
	names := p.names
	names.Trackers = b.trackers(p.audience)
	return names, nil
}

// seed serves what is published, from the first peer on who asks.
func (b *Bridge) seed(c *client, p published) {
	b.mu.Lock()
	old := b.roots[p.root]
	b.mu.Unlock()
	if old != nil {
		if old.key == keyOf(p.names) {
			return
		}
		b.leave(old) // it was published by another torrent
	}
	s := &swarm{b: b, c: c, key: keyOf(p.names), root: p.root, names: p.names, audience: p.audience, id: p.torrent, up: p.up, down: p.down}
	for _, h := range s.hashes() {
		if o := b.swarmOf(h); o != nil && o.root.IsZero() {
			b.leave(o) // what fetched it has it now
		}
	}
	if !b.enter(s) { // the same torrent is served for another root: it is the same content
		b.mu.Lock()
		b.roots[p.root] = b.swarms[s.key]
		b.mu.Unlock()
		return
	}
	s.join()
	b.mu.Lock()
	b.roots[p.root] = s
	b.mu.Unlock()
	s.hints(p.audience.Trackers, nil, nil)
	s.announceHere()
	c.tell.add(s, time.Now())
}

// Withdraw implements bridge.Bridge.
func (b *Bridge) Withdraw(ctx context.Context, root kith.Ref) error {
	if err := b.store.dropShare(ctx, root); err != nil {
		return fmt.Errorf("bittorrent: withdraw %s: %w", root.Short(), err)
	}
	b.mu.Lock()
	s := b.roots[root]
	delete(b.roots, root)
	shared := false
	for _, o := range b.roots {
		shared = shared || o == s
	}
	b.mu.Unlock()
	if s == nil || shared {
		return nil
	}
	b.leave(s)
	if src, ok := s.source().(*shareSource); ok {
		for _, ref := range src.refs {
			b.handles.Drop(ref)
		}
	}
	return nil
}

// Torrent implements bridge.Torrents. It returns the .torrent file of what is published. Errors: NotFound.
func (b *Bridge) Torrent(ctx context.Context, root kith.Ref) ([]byte, error) {
	_, t, err := b.store.share(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("bittorrent: torrent of %s: %w", root.Short(), err)
	}
	if len(t.Trackers) == 0 && !t.Private {
		t.Trackers = tiers(b.o.Config.Trackers)
	}
	return t.Encode(), nil
}

// torrentOf returns the torrent by which a share is served.
func (b *Bridge) torrentOf(ctx context.Context, share bridge.Share) (*metainfo.Torrent, error) {
	if len(hashesOf(share.Names)) > 0 {
		t, _, err := b.store.torrent(ctx, share.Names)
		if err != nil {
			return nil, err
		}
		if t != nil {
			src, err := b.sourceOf(share, t.Info)
			if err == nil && t.LacksLayers() {
				err = b.layers(ctx, t, src)
			}
			return t, err
		}
	}
	return b.make(ctx, share)
}

// layers makes the digests of pieces of a hybrid that was fetched by a magnet link, in which they are not.
func (b *Bridge) layers(ctx context.Context, t *metainfo.Torrent, src *shareSource) error {
	t.Layers = map[[32]byte][]byte{}
	for i, f := range t.Files {
		if f.Size <= t.PieceLength || t.Layers[f.Root] != nil {
			continue
		}
		d, err := b.digest(ctx, bridge.File{Path: f.Path, Size: f.Size, Ref: src.refs[i]}, t.PieceLength)
		if err != nil {
			return err
		}
		if d.Root != f.Root {
			return fmt.Errorf("%q is not what its digest of BitTorrent version 2 says: %w", f.Path, kith.Corrupt)
		}
		t.Layers[f.Root] = d.Layer
	}
	return nil
}

// make makes a torrent of a share.
func (b *Bridge) make(ctx context.Context, share bridge.Share) (*metainfo.Torrent, error) {
	var bytes int64
	files := 0
	for _, f := range share.Files {
		if f.Link == "" {
			bytes += f.Size
			files++
		}
	}
	piece := metainfo.PieceLength(files, bytes)
	var entries []metainfo.Entry
	for _, f := range share.Files {
		if f.Mode&fs.ModeDir != 0 {
			continue // a torrent cannot tell of an empty folder
		}
		e := metainfo.Entry{Path: f.Path, Exec: f.Mode&0o111 != 0, Link: f.Link}
		if f.Link == "" {
			var err error
			if e.Digest, err = b.digest(ctx, f, piece); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
		}
		entries = append(entries, e)
	}
	return metainfo.Make(share.Name, share.Folder, b.o.Config.Hybrid, piece, entries)
}

// digest returns the digests of a file; it reads the file only if no tap has seen it.
func (b *Bridge) digest(ctx context.Context, f bridge.File, piece int64) (metainfo.Digest, error) {
	d, ok, err := b.store.digest(ctx, f.Ref, piece)
	if err != nil || ok && d.Size == f.Size {
		return d, err
	}
	blob, err := b.o.Blobs.Blob(ctx, f.Ref)
	if err != nil {
		return d, err
	}
	defer blob.Close()
	h := metainfo.NewHasher(piece)
	buf := make([]byte, readAhead)
	for off := int64(0); off < blob.Size(); {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		n, err := blob.ReadAt(buf[:min(int64(len(buf)), blob.Size()-off)], off)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return d, err
		}
		h.Write(buf[:n])
		off += int64(n)
	}
	d = h.Sum()
	return d, b.store.keepDigest(ctx, f.Ref, piece, d)
}

// shareSource reads what is published.
type shareSource struct {
	h    *handle.Cache
	refs []kith.Ref // by the number of the torrent's file
}

// ReadAt implements source.
func (s *shareSource) ReadAt(p []byte, file int, off int64) (int, error) {
	return s.h.ReadAt(s.refs[file], p, off)
}

// sourceOf finds the files of a torrent in a share. Corrupt: it is a torrent of something else.
func (b *Bridge) sourceOf(share bridge.Share, in *metainfo.Info) (*shareSource, error) {
	src := &shareSource{h: b.handles, refs: make([]kith.Ref, len(in.Files))}
	if !in.Folder {
		if len(share.Files) != 1 || share.Files[0].Size != in.Files[0].Size {
			return nil, fmt.Errorf("the torrent is a file of %d bytes, and what is shared is not: %w", in.Files[0].Size, kith.Corrupt)
		}
		src.refs[0] = share.Files[0].Ref
		return src, nil
	}
	by := make(map[string]bridge.File, len(share.Files))
	for _, f := range share.Files {
		by[f.Path] = f
	}
	for i, f := range in.Files {
		have, ok := by[f.Path]
		if !ok {
			have, ok = by[f.Raw]
		}
		if f.Link != "" {
			continue
		}
		if !ok || have.Size != f.Size {
			return nil, fmt.Errorf("the torrent has %q of %d bytes, and what is shared has not: %w", f.Path, f.Size, kith.Corrupt)
		}
		src.refs[i] = have.Ref
	}
	return src, nil
}
