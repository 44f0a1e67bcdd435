package ipfs

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/blob/folder"
	"kith/bridge/ipfs/unixfs"
	"kith/transfer"
)

// Limits of a DAG that is fetched. What is over is refused as TooLarge.
const (
	maxEntries = folder.MaxEntries // files, folders and links in it
	maxFolders = 1 << 17           // folders and shards
	maxShards  = 24                // shards above each other; a name's hash leads no deeper
	batch      = 64                // nodes that are asked for at once
)

// walk finds out what a DAG consists of.
type walk struct {
	o     *origin
	name  string
	root  cid.Cid
	files []root
	out   []transfer.LayoutFile

	names   *folder.Names
	entries int
	folders int
	total   int64
	biggest root
}

// An item is something in a DAG that was not looked at yet.
type item struct {
	cid   cid.Cid
	at    string // its path; of a shard that of its folder
	shard int    // shards above it
	tsize uint64
}

func (w *walk) run(ctx context.Context) (l transfer.Layout, err error) {
	if w.root, err = w.resolve(ctx); err != nil {
		return l, err
	}
	n, err := w.o.node(ctx, w.root)
	if err != nil {
		return l, err
	}
	if l.Name = w.name; l.Name == "" {
		l.Name = path.Base("/" + w.o.link.Path)
	}
	if l.Name == "/" || l.Name == "." || l.Name == "" {
		l.Name = w.root.String()
	}
	l.Name = folder.CleanName(l.Name)
	l.Window = window
	switch n.Kind {
	case unixfs.IsSymlink:
		return l, fmt.Errorf("it is a symbolic link to %.80q, and nothing else: %w", n.Target, kith.Invalid)
	case unixfs.IsFile:
		if n.Size > folder.MaxSize {
			return l, fmt.Errorf("%d bytes: %w", n.Size, kith.TooLarge)
		}
		w.files = []root{{w.root, n.Size}}
		w.biggest = w.files[0]
		l.Files = []transfer.LayoutFile{{Path: l.Name, Size: n.Size, Exec: n.Exec}}
	default:
		l.Folder = true
		w.names = folder.NewNames()
		if err := w.into(ctx, []item{{cid: w.root}}); err != nil {
			return l, err
		}
		l.Files = w.out
	}
	l.Unit, err = w.unit(ctx)
	return l, err
}

// resolve follows a name and a path to a CID.
func (w *walk) resolve(ctx context.Context) (cid.Cid, error) {
	names := w.o.link.Names
	if !names.IPFS.Defined() {
		var err error
		if names, err = w.o.b.Resolve(ctx, names); err != nil {
			return cid.Undef, err
		}
	}
	c := names.IPFS
	for _, name := range strings.Split(names.Path, "/") {
		if name == "" {
			continue
		}
		var err error
		if c, err = w.enter(ctx, c, name, 0); err != nil {
			return cid.Undef, fmt.Errorf("%.80q: %w", name, err)
		}
	}
	return c, nil
}

// enter returns what a folder has under a name. Errors: NotFound.
func (w *walk) enter(ctx context.Context, c cid.Cid, name string, shard int) (cid.Cid, error) {
	for level := []cid.Cid{c}; len(level) > 0; shard++ {
		if shard > maxShards {
			return cid.Undef, fmt.Errorf("more than %d shards above each other: %w", maxShards, kith.TooLarge)
		}
		var next []cid.Cid
		for chunk := range slices.Chunk(level, batch) {
			if w.folders += len(chunk); w.folders > maxFolders {
				return cid.Undef, fmt.Errorf("more than %d folders and shards: %w", maxFolders, kith.TooLarge)
			}
			nodes, err := w.o.nodesOf(ctx, chunk)
			if err != nil {
				return cid.Undef, err
			}
			for _, c := range chunk {
				n := nodes[c]
				if n.Kind != unixfs.IsFolder && n.Kind != unixfs.IsShard {
					return cid.Undef, fmt.Errorf("it is in no folder: %w", kith.NotFound)
				}
				for _, e := range n.Names {
					if e.Name == name {
						return e.Cid, nil
					}
				}
				next = append(next, n.Shards...)
			}
		}
		level = next
	}
	return cid.Undef, kith.NotFound
}

// into looks at all that is below some folders, a level at a time.
func (w *walk) into(ctx context.Context, level []item) error {
	for depth := 0; len(level) > 0; depth++ {
		if depth > folder.MaxDepth*maxShards {
			return fmt.Errorf("folders without an end: %w", kith.TooLarge)
		}
		var next []item
		for chunk := range slices.Chunk(level, batch) {
			list := make([]cid.Cid, len(chunk))
			for i, it := range chunk {
				list[i] = it.cid
			}
			nodes, err := w.o.nodesOf(ctx, list)
			if err != nil {
				return err
			}
			for _, it := range chunk {
				more, err := w.look(it, nodes[it.cid])
				if err != nil {
					return fmt.Errorf("%.80q: %w", "/"+it.at, err)
				}
				next = append(next, more...)
			}
		}
		level = next
	}
	return nil
}

// look takes a node in, and returns what is to be looked at next.
func (w *walk) look(it item, n unixfs.Node) (next []item, err error) {
	switch n.Kind {
	case unixfs.IsFile:
		return nil, w.file(it.at, it.cid, n.Size, n.Exec)
	case unixfs.IsSymlink:
		if err := folder.CheckLink(it.at, n.Target); err != nil {
			return nil, err
		}
		return nil, w.add(transfer.LayoutFile{Path: it.at, Link: n.Target}, root{cid: it.cid})
	}
	if w.folders++; w.folders > maxFolders {
		return nil, fmt.Errorf("more than %d folders and shards: %w", maxFolders, kith.TooLarge)
	}
	if n.Kind == unixfs.IsShard && it.shard > maxShards {
		return nil, fmt.Errorf("more than %d shards above each other: %w", maxShards, kith.TooLarge)
	}
	for _, e := range n.Names {
		if w.entries++; w.entries > maxEntries {
			return nil, fmt.Errorf("more than %d files and folders: %w", maxEntries, kith.TooLarge)
		}
		name, err := safe(e.Name)
		if err != nil {
			return nil, err
		}
		at := path.Join(it.at, name)
		if err := folder.CheckPath(at); err != nil { // before anybody is asked for what is below
			return nil, err
		}
		if e.Cid.Type() == cid.Raw { // its size is in the link; a leaf that has another is refused when it comes
			if err := w.file(at, e.Cid, int64(min(e.Tsize, maxBlock+1)), false); err != nil {
				return nil, err
			}
			continue
		}
		next = append(next, item{cid: e.Cid, at: at, tsize: e.Tsize})
	}
	for _, c := range n.Shards {
		next = append(next, item{cid: c, at: it.at, shard: it.shard + 1})
	}
	return next, nil
}

// safe returns a name as it can be on every system. Corrupt: it is no name at all.
func safe(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("name %.80q leads out of its folder: %w", name, kith.Corrupt)
	}
	return folder.CleanName(name), nil
}

func (w *walk) file(at string, c cid.Cid, size int64, exec bool) error {
	if size > folder.MaxSize-w.total {
		return fmt.Errorf("more than %d bytes in all: %w", int64(folder.MaxSize), kith.TooLarge)
	}
	w.total += size
	r := root{c, size}
	if size >= w.biggest.size {
		w.biggest = r
	}
	return w.add(transfer.LayoutFile{Path: at, Size: size, Exec: exec}, r)
}

func (w *walk) add(f transfer.LayoutFile, r root) error {
	if err := folder.CheckPath(f.Path); err != nil {
		return err
	}
	if err := w.names.Add(f.Path); err != nil {
		return err
	}
	w.out, w.files = append(w.out, f), append(w.files, r)
	return nil
}

// unit returns the size of the leaves of the biggest file, in whole groups.
func (w *walk) unit(ctx context.Context) (int64, error) {
	part := unixfs.Part{Cid: w.biggest.cid, Size: w.biggest.size}
	for range maxDepth {
		if !part.Cid.Defined() || part.Cid.Type() == cid.Raw {
			break
		}
		n, err := w.o.node(ctx, part.Cid)
		if err != nil {
			return 0, err
		}
		if len(n.Parts) == 0 {
			break
		}
		part = n.Parts[0]
	}
	return max(group, (min(part.Size, maxUnit)+group-1)/group*group), nil
}
