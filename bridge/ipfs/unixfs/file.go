package unixfs

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"kith"
)

// A Sink gets the nodes of a DAG as they are made, the leaves of a file in their order.
type Sink interface {
	Leaf(i int64, sum [32]byte) error  // the SHA2-256 of its block
	Node(c cid.Cid, data []byte) error // an inner node
}

// A Link is what leads to a file or folder.
type Link struct {
	Cid   cid.Cid
	Size  int64  // bytes of the file; of a folder 0
	Tsize uint64 // bytes of all its blocks, as parents say it
}

// A File makes the DAG of one file while its bytes pass by. It implements io.Writer, and is for one goroutine.
type File struct {
	p       Profile
	size    int64
	sink    Sink
	at      int64 // bytes written
	leaf    hash.Hash
	left    int64  // of the leaf
	behind  []byte // the leaf's end
	wrapped int64  // bytes around the leaf's own
	levels  [][]Link
}

// NewFile begins a file of size bytes.
func NewFile(p Profile, size int64, sink Sink) *File {
	f := &File{p: p, size: size, sink: sink, leaf: sha256.New()}
	f.begin()
	return f
}

// begin begins the next leaf.
func (f *File) begin() {
	_, f.left = f.p.Leaf(f.size, f.at/f.p.Chunk())
	before, behind := f.p.Wrap(f.left)
	f.leaf.Reset()
	f.leaf.Write(before)
	f.behind, f.wrapped = behind, int64(len(before)+len(behind))
}

// Write implements io.Writer. Invalid: there are more bytes than were announced.
func (f *File) Write(p []byte) (int, error) {
	if int64(len(p)) > f.size-f.at {
		return 0, fmt.Errorf("unixfs: more than the %d bytes that were announced: %w", f.size, kith.Invalid)
	}
	for rest := p; len(rest) > 0; {
		n := min(int64(len(rest)), f.left)
		f.leaf.Write(rest[:n])
		rest, f.left, f.at = rest[n:], f.left-n, f.at+n
		if f.left > 0 {
			continue
		}
		if err := f.end(); err != nil {
			return 0, err
		}
		if f.at < f.size {
			f.begin()
		}
	}
	return len(p), nil
}

// end ends a leaf.
func (f *File) end() error {
	f.leaf.Write(f.behind)
	var sum [32]byte
	f.leaf.Sum(sum[:0])
	i := max(0, f.at-1) / f.p.Chunk()
	if err := f.sink.Leaf(i, sum); err != nil {
		return err
	}
	_, n := f.p.Leaf(f.size, i)
	return f.add(0, Link{f.p.LeafCid(sum), n, uint64(n + f.wrapped)})
}

// add puts a link on a level of the tree; one that is full becomes a node of the next when another comes.
func (f *File) add(level int, l Link) error {
	if level == len(f.levels) {
		f.levels = append(f.levels, nil)
	}
	if len(f.levels[level]) == f.p.made.FileDAGWidth {
		if err := f.fold(level); err != nil {
			return err
		}
	}
	f.levels[level] = append(f.levels[level], l)
	return nil
}

// fold makes a node of what is on a level.
func (f *File) fold(level int) error {
	l, data, err := f.p.inner(f.levels[level])
	if err == nil {
		err = f.sink.Node(l.Cid, data)
	}
	if err != nil {
		return err
	}
	f.levels[level] = f.levels[level][:0]
	return f.add(level+1, l)
}

// Close ends the file, and returns what leads to it. Invalid: bytes are missing.
func (f *File) Close() (Link, error) {
	if f.at < f.size {
		return Link{}, fmt.Errorf("unixfs: %d of %d bytes: %w", f.at, f.size, kith.Invalid)
	}
	if f.size == 0 {
		if err := f.end(); err != nil {
			return Link{}, err
		}
	}
	for level := 0; ; level++ {
		if level == len(f.levels)-1 && len(f.levels[level]) == 1 {
			return f.levels[level][0], nil
		}
		if err := f.fold(level); err != nil {
			return Link{}, err
		}
	}
}

// inner makes the node of a file that has these parts.
func (p Profile) inner(parts []Link) (Link, []byte, error) {
	fs := ft.NewFSNode(ft.TFile)
	n := &merkledag.ProtoNode{}
	if err := n.SetCidBuilder(p.made.CidBuilder()); err != nil {
		return Link{}, nil, fmt.Errorf("unixfs: %w", err)
	}
	var l Link
	for _, part := range parts {
		fs.AddBlockSize(uint64(part.Size))
		l.Size += part.Size
		l.Tsize += part.Tsize
		if err := n.AddRawLink("", &ipld.Link{Size: part.Tsize, Cid: part.Cid}); err != nil {
			return Link{}, nil, fmt.Errorf("unixfs: %w", err)
		}
	}
	data, err := fs.GetBytes()
	if err != nil {
		return Link{}, nil, fmt.Errorf("unixfs: %w", err)
	}
	n.SetData(data)
	raw := n.RawData()
	l.Cid, l.Tsize = n.Cid(), l.Tsize+uint64(len(raw))
	return l, raw, nil
}
