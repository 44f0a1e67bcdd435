// Package bridge says what a public network of others is to a node: the same bytes under another name.
//
// It is an interface and no network; each network is a folder below. Its one idea: what is shared is stored once, read once when it is imported,
// and served to every network from there; and whatever has it can be a source of the same download.
package bridge

import (
	"context"
	"io/fs"
	"time"

	"kith"
	"kith/blob"
	"kith/transfer"
)

// A Bridge is one public network over the blobs of this node. Its methods may be called at once.
type Bridge interface {
	// Name is how commands call it: bittorrent, ipfs.
	Name() string
	// Taps returns what shall see the bytes while files of so many bytes in all are imported for this network; nil: nothing.
	Taps(files int, bytes int64) blob.Tap
	// Publish serves s to the network until Withdraw, also after a restart, and returns its names there. Bytes are read again only if no tap has seen them.
	Publish(ctx context.Context, s Share) (kith.Names, error)
	// Withdraw ends Publish. That a root was not published is no error.
	Withdraw(ctx context.Context, root kith.Ref) error
	// Open returns how to fetch what l names, or nil if it names nothing of this network.
	Open(l kith.Link) transfer.Opener
	// Status returns how what is published, or is being fetched, stands in this network. Errors: NotFound.
	Status(root kith.Ref) (Status, error)
}

// Torrents is a Bridge that reads and writes .torrent files too: that to BitTorrent.
type Torrents interface {
	// AddTorrent reads a .torrent file, keeps what it says, so that nobody need be asked for it when its link is opened, and returns its link. Errors: Invalid, TooLarge.
	AddTorrent(ctx context.Context, data []byte) (kith.Link, error)
	// Moved adds what another program sent and received, in bytes, to the count of a torrent that AddTorrent has read. Errors: NotFound.
	Moved(ctx context.Context, names kith.Names, up, down int64) error
	// Announce has all that is public, served or fetched, told to a tracker of this node's own, besides those that each has; "": it is no tracker now.
	Announce(tracker string)
	// Hear learns from the DHT, gently, until ctx ends, which torrents there are, and tells nobody of it; those that are known are left alone. Errors: Unavailable if this node is not in the DHT.
	Hear(ctx context.Context, known func(kith.InfoHash) bool, heard func(Heard)) error
	// Torrent returns what a .torrent file of what is published or was fetched has in it. Errors: NotFound.
	Torrent(ctx context.Context, root kith.Ref) ([]byte, error)
}

// Heard is a torrent that others have.
type Heard struct {
	Names kith.Names
	Name  string
	Size  int64    // bytes
	Files []string // paths
}

// A Resolver is a Bridge whose network has names that are looked up, and may stand for something else tomorrow: that to IPFS.
type Resolver interface {
	// Resolve returns n with the CID that its IPNS name stands for now in place of that name. Errors: NotFound, Unavailable.
	Resolve(ctx context.Context, n kith.Names) (kith.Names, error)
}

// A Share is content as a bridge serves it. Who gives it away vouches that it may be public: a private share is given as the ciphertext that it is.
type Share struct {
	Root   kith.Ref
	Name   string
	Folder bool
	Files  []File
	Names  kith.Names // by which it was fetched; a network that named it then serves it under the same name
}

// A File of a Share is a complete blob.
type File struct {
	Path string // with slashes; the name of a single file; in a private share as folder.SealedName has it
	Size int64
	Ref  kith.Ref // blob.Store.Blob opens it
	Mode fs.FileMode
	Link string // target of a symbolic link; it has no Ref
}

// A Tracker is what was heard of one that a torrent is told to.
type Tracker struct {
	URL   string
	Asked time.Time // last; zero: not yet, or that is not known (those over a WebSocket)
	Next  time.Time // zero: as soon as may be
	Peers int       // that it named last
	Why   string    // it did not answer, or refused; "": it answered
}

// Status is how content stands in one network.
type Status struct {
	Names    kith.Names
	Peers    []transfer.OriginPeer
	Up, Down int64   // bytes, since it was published or fetched first
	UpRate   float64 // bytes a second, lately
	DownRate float64
	Copies   float64   // that its peers have together, as libtorrent counts them; in StatusOf of BitTorrent alone, as is what follows
	Trackers []Tracker // that it is told to
	Said     string    // what a person should know: "announced to 20 nodes", "the tracker does not answer: …"
}
