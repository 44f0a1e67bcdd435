// Package unixfs says what IPFS calls files and folders, and reads what others call so.
//
// It makes the nodes of UnixFS DAGs (https://specs.ipfs.tech/unixfs/) from bytes that pass by, and decodes such nodes. It keeps nothing and asks nobody. Its one idea:
// a leaf is a range of a file, so that of a DAG only its inner nodes need be kept; what is called by a CID need not be stored under it.
package unixfs

import (
	"fmt"
	"strings"

	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/encoding/protowire"

	"kith"
)

// A Profile is how a DAG is made of bytes. The same bytes have another CID in each.
type Profile struct {
	ID   int    // as databases keep it
	Name string // as people choose it
	made uio.UnixFSProfile
}

// The profiles of IPIP-499.
var (
	// Modern is unixfs-v1-2025: CIDv1, raw leaves of 1 MiB, 1024 links.
	Modern = Profile{1, "2025", uio.UnixFS_v1_2025}
	// Classic is unixfs-v0-2015, what ipfs add made by default: CIDv0, leaves of 256 KiB in dag-pb, 174 links.
	Classic = Profile{2, "classic", uio.UnixFS_v0_2015}
)

// Profiles lists them.
var Profiles = []Profile{Modern, Classic}

// Named returns the profile that people call name; "" is Modern. Invalid: there is none.
func Named(name string) (Profile, error) {
	switch strings.ToLower(name) {
	case "", "2025", "unixfs-v1-2025":
		return Modern, nil
	case "classic", "2015", "unixfs-v0-2015":
		return Classic, nil
	}
	return Profile{}, kith.Hint(fmt.Errorf("unixfs: there is no profile %q: %w", name, kith.Invalid), "say 2025 or classic")
}

// ByID returns the profile that is kept as id.
func ByID(id int) (Profile, bool) {
	for _, p := range Profiles {
		if p.ID == id {
			return p, true
		}
	}
	return Profile{}, false
}

// Chunk returns the bytes of a leaf; the last of a file may have less.
func (p Profile) Chunk() int64 { return p.made.ChunkSize }

// Leaves returns how many leaves a file of size bytes has. An empty file has one.
func (p Profile) Leaves(size int64) int64 { return max(1, (size+p.Chunk()-1)/p.Chunk()) }

// Leaf returns which bytes of a file the leaf i has.
func (p Profile) Leaf(size, i int64) (off, n int64) {
	off = i * p.Chunk()
	return off, min(p.Chunk(), size-off)
}

// Wrap returns what stands before and behind n bytes of a file in a leaf's block.
func (p Profile) Wrap(n int64) (before, behind []byte) {
	if p.made.RawLeaves {
		return nil, nil
	}
	return wrap(typeFile, n)
}

// LeafCid returns the CID of a leaf with that SHA2-256.
func (p Profile) LeafCid(sum [32]byte) cid.Cid {
	if p.made.RawLeaves {
		return cid.NewCidV1(cid.Raw, multihashOf(sum))
	}
	return p.nodeCid(sum)
}

func (p Profile) nodeCid(sum [32]byte) cid.Cid {
	if p.made.CIDVersion == 0 {
		return cid.NewCidV0(multihashOf(sum))
	}
	return cid.NewCidV1(cid.DagProtobuf, multihashOf(sum))
}

func multihashOf(sum [32]byte) []byte { return append([]byte{0x12, 32}, sum[:]...) }

// Types of a UnixFS node's Data.
const (
	typeRaw  = 0
	typeFile = 2
)

// wrap returns the dag-pb block of a leaf without its n bytes: PBNode{Data: UnixFS{Type, Data, filesize}}.
func wrap(kind uint64, n int64) (before, behind []byte) {
	behind = protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), uint64(n))
	inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), kind)
	if n > 0 { // an empty file has no field Data
		inner = protowire.AppendVarint(protowire.AppendTag(inner, 2, protowire.BytesType), uint64(n))
	}
	before = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.BytesType), uint64(len(inner))+uint64(n)+uint64(len(behind)))
	return append(before, inner...), behind
}
