package unixfs

import (
	"fmt"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"

	"kith"
)

// Limits of a node of somebody else.
const (
	MaxBlock = 2 << 20 // bytes; what bitswap carries at most
	MaxLinks = 1 << 16
)

// A Kind says what a node is.
type Kind int

// The kinds of nodes.
const (
	IsFile   Kind = iota // or a part of one
	IsFolder             // with its entries
	IsShard              // of a big folder (HAMT): some of its entries, and further shards
	IsSymlink
)

// A Node is a node of a DAG.
type Node struct {
	Kind   Kind
	Size   int64   // of a file: bytes
	Data   []byte  // of a file: those that come before those of its parts
	Parts  []Part  // of a file
	Target string  // of a symbolic link
	Names  []Entry // of a folder or shard
	Shards []cid.Cid
	Exec   bool
}

// A Part is some of the bytes of a file.
type Part struct {
	Cid  cid.Cid
	Size int64
}

// An Entry is something in a folder.
type Entry struct {
	Name  string
	Cid   cid.Cid
	Tsize uint64 // as the folder says; nobody has checked it
}

// Decode reads a block whose bytes were checked against its CID. Errors: Invalid (no UnixFS), Corrupt (it contradicts itself), TooLarge.
func Decode(c cid.Cid, data []byte) (Node, error) {
	n, err := decode(c, data)
	if err != nil {
		return Node{}, fmt.Errorf("unixfs: %v: %w", c, err)
	}
	return n, nil
}

func decode(c cid.Cid, data []byte) (n Node, err error) {
	if len(data) > MaxBlock {
		return n, fmt.Errorf("%d bytes in a block, at most %d: %w", len(data), MaxBlock, kith.TooLarge)
	}
	switch c.Type() {
	case cid.Raw:
		return Node{Size: int64(len(data)), Data: data}, nil
	case cid.DagProtobuf:
	default:
		return n, kith.Hint(fmt.Errorf("it is %s, neither a file nor a folder: %w", codecName(c.Type()), kith.Invalid), "look at it in the gateway: kith ipfs open")
	}
	pb, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return n, fmt.Errorf("%w: %w", err, kith.Corrupt)
	}
	if len(pb.Links()) > MaxLinks {
		return n, fmt.Errorf("%d links in a node, at most %d: %w", len(pb.Links()), MaxLinks, kith.TooLarge)
	}
	fs, err := ft.FSNodeFromBytes(pb.Data())
	if err != nil {
		return n, fmt.Errorf("it is dag-pb, but no UnixFS: %w", kith.Invalid)
	}
	n.Exec = fs.Mode()&0o111 != 0
	switch fs.Type() {
	case ft.TFile, ft.TRaw:
		return n, n.file(pb, fs)
	case ft.TDirectory:
		n.Kind = IsFolder
		for _, l := range pb.Links() {
			n.Names = append(n.Names, Entry{l.Name, l.Cid, l.Size})
		}
		return n, nil
	case ft.THAMTShard:
		return n, n.shard(pb, fs)
	case ft.TSymlink:
		n.Kind, n.Target = IsSymlink, string(fs.Data())
		return n, nil
	}
	return n, fmt.Errorf("UnixFS of type %d: %w", fs.Type(), kith.Invalid)
}

func (n *Node) file(pb *merkledag.ProtoNode, fs *ft.FSNode) error {
	sizes, links := fs.BlockSizes(), pb.Links()
	if len(sizes) != len(links) {
		return fmt.Errorf("%d links and %d sizes: %w", len(links), len(sizes), kith.Corrupt)
	}
	n.Data = fs.Data()
	sum := int64(len(n.Data))
	for i, l := range links {
		size := sizes[i]
		if size > 1<<62 || sum+int64(size) < sum {
			return fmt.Errorf("a part of %d bytes: %w", size, kith.TooLarge)
		}
		n.Parts = append(n.Parts, Part{l.Cid, int64(size)})
		sum += int64(size)
	}
	if n.Size = sum; fs.FileSize() != uint64(sum) && (fs.Type() != ft.TRaw || fs.FileSize() != 0) {
		return fmt.Errorf("a file of %d bytes with parts of %d: %w", fs.FileSize(), sum, kith.Corrupt)
	}
	return nil
}

func (n *Node) shard(pb *merkledag.ProtoNode, fs *ft.FSNode) error {
	n.Kind = IsShard
	fanout := fs.Fanout()
	if fanout < 8 || fanout > 1024 || fanout&(fanout-1) != 0 {
		return fmt.Errorf("a shard for %d: %w", fanout, kith.Invalid)
	}
	pad := len(fmt.Sprintf("%X", fanout-1))
	for _, l := range pb.Links() {
		switch {
		case len(l.Name) < pad:
			return fmt.Errorf("link %q in a shard: %w", l.Name, kith.Corrupt)
		case len(l.Name) == pad:
			n.Shards = append(n.Shards, l.Cid)
		default:
			n.Names = append(n.Names, Entry{l.Name[pad:], l.Cid, l.Size})
		}
	}
	return nil
}

func codecName(code uint64) string {
	if name, ok := map[uint64]string{cid.DagCBOR: "dag-cbor", cid.DagJSON: "dag-json", cid.GitRaw: "git", cid.Libp2pKey: "a key"}[code]; ok {
		return name
	}
	return fmt.Sprintf("of codec %#x", code)
}

// Wraps returns what may stand before and behind the n bytes of a leaf in a block of dag-pb, as the programs out there make it.
func Wraps(n int64) [][2][]byte {
	var all [][2][]byte
	for _, kind := range []uint64{typeFile, typeRaw} {
		before, behind := wrap(kind, n)
		all = append(all, [2][]byte{before, behind})
	}
	return all
}
