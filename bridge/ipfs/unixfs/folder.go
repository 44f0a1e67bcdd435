package unixfs

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"kith"
)

// A Folder makes the DAG of a folder. It is for one goroutine.
type Folder struct {
	p    Profile
	node func(c cid.Cid, data []byte) error
	root *dir
}

type dir struct {
	dirs  map[string]*dir
	links map[string]Link
}

// NewFolder begins a folder; node gets each node that is made for it.
func NewFolder(p Profile, node func(c cid.Cid, data []byte) error) *Folder {
	return &Folder{p: p, node: node, root: &dir{}}
}

// at returns the folder at a path with slashes, "" and . being the root.
func (f *Folder) at(p string) (*dir, error) {
	d := f.root
	for _, name := range strings.Split(path.Clean(p), "/") {
		if name == "." || name == "" {
			continue
		}
		if _, ok := d.links[name]; ok {
			return nil, fmt.Errorf("unixfs: %q is a file and a folder: %w", p, kith.Invalid)
		}
		next := d.dirs[name]
		if next == nil {
			next = &dir{}
			if d.dirs == nil {
				d.dirs = map[string]*dir{}
			}
			d.dirs[name] = next
		}
		d = next
	}
	return d, nil
}

// Dir puts an empty folder there, if there is none.
func (f *Folder) Dir(p string) error {
	_, err := f.at(p)
	return err
}

// Add puts at a path what a link leads to.
func (f *Folder) Add(p string, l Link) error {
	d, err := f.at(path.Dir(p))
	if err != nil {
		return err
	}
	name := path.Base(p)
	if _, ok := d.links[name]; ok || d.dirs[name] != nil {
		return fmt.Errorf("unixfs: %q twice: %w", p, kith.Invalid)
	}
	if d.links == nil {
		d.links = map[string]Link{}
	}
	d.links[name] = l
	return nil
}

// Symlink puts a symbolic link at a path.
func (f *Folder) Symlink(p, target string) error {
	data, err := ft.SymlinkData(target)
	if err != nil {
		return fmt.Errorf("unixfs: %w", err)
	}
	n := merkledag.NodeWithData(data)
	if err := n.SetCidBuilder(f.p.made.CidBuilder()); err != nil {
		return fmt.Errorf("unixfs: %w", err)
	}
	raw := n.RawData()
	if err := f.node(n.Cid(), raw); err != nil {
		return err
	}
	return f.Add(p, Link{Cid: n.Cid(), Tsize: uint64(len(raw))})
}

// Close returns what leads to the folder.
func (f *Folder) Close(ctx context.Context) (Link, error) { return f.close(ctx, f.root) }

func (f *Folder) close(ctx context.Context, d *dir) (Link, error) {
	sink := &made{node: f.node}
	u, err := uio.NewDirectory(sink, uio.WithCidBuilder(f.p.made.CidBuilder()), uio.WithSizeEstimationMode(f.p.made.HAMTSizeEstimation), uio.WithMaxHAMTFanout(f.p.made.HAMTShardWidth))
	if err != nil {
		return Link{}, fmt.Errorf("unixfs: %w", err)
	}
	var names []string
	links := map[string]Link{}
	for name, l := range d.links {
		names, links[name] = append(names, name), l
	}
	for name, below := range d.dirs {
		l, err := f.close(ctx, below)
		if err != nil {
			return Link{}, err
		}
		names, links[name] = append(names, name), l
	}
	slices.Sort(names) // a DAG depends on no order, but what is made on the way would
	for _, name := range names {
		if err := u.AddChild(ctx, name, known{links[name]}); err != nil {
			return Link{}, fmt.Errorf("unixfs: %w", err)
		}
	}
	n, err := u.GetNode()
	if err != nil {
		return Link{}, fmt.Errorf("unixfs: %w", err)
	}
	if err := sink.Add(ctx, n); err != nil {
		return Link{}, err
	}
	size, err := n.Size()
	if err != nil {
		return Link{}, fmt.Errorf("unixfs: %w", err)
	}
	return Link{Cid: n.Cid(), Tsize: size}, nil
}

// made is a DAGService that passes on the nodes that a directory makes of itself, and has nothing.
type made struct {
	ipld.DAGService
	node func(c cid.Cid, data []byte) error
}

// Add implements ipld.NodeAdder.
func (m *made) Add(_ context.Context, n ipld.Node) error {
	if _, ok := n.(known); ok {
		return nil
	}
	return m.node(n.Cid(), n.RawData())
}

// Get implements ipld.NodeGetter.
func (m *made) Get(_ context.Context, c cid.Cid) (ipld.Node, error) {
	return nil, ipld.ErrNotFound{Cid: c}
}

// Remove implements ipld.DAGService.
func (m *made) Remove(context.Context, cid.Cid) error { return nil }

// known is a node of which no more than its link is known; directories want no more.
type known struct{ l Link }

var _ ipld.Node = known{}

func (k known) Cid() cid.Cid                  { return k.l.Cid }
func (k known) Size() (uint64, error)         { return k.l.Tsize, nil }
func (k known) RawData() []byte               { return nil }
func (k known) String() string                { return k.l.Cid.String() }
func (k known) Loggable() map[string]any      { return nil }
func (k known) Copy() ipld.Node               { return k }
func (k known) Links() []*ipld.Link           { return nil }
func (k known) Stat() (*ipld.NodeStat, error) { return &ipld.NodeStat{}, nil }
func (k known) Tree(string, int) []string     { return nil }
func (k known) Resolve([]string) (any, []string, error) {
	return nil, nil, ipld.ErrNotFound{Cid: k.l.Cid}
}
func (k known) ResolveLink([]string) (*ipld.Link, []string, error) {
	return nil, nil, ipld.ErrNotFound{Cid: k.l.Cid}
}

var _ blocks.Block = known{}
