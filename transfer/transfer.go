// Package transfer moves content between peers: verified ranges, from many sources at once.
//
// It is not where content is kept (blob) nor where jobs are remembered (apps/files). Its one idea: what to ask of whom is decided by a
// pure engine, which knows neither clock nor stream nor disk; all around it only carries its decisions out.
package transfer

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/blob"
	"kith/blob/bao"
	"kith/blob/seal"
	"kith/network"
	"kith/overlay"
)

// Protocol is what sources are asked over.
const Protocol protocol.ID = "/kith/blob/1"

// Net is what a Manager needs of the network. network.Network is one.
type Net interface {
	ID() peer.ID
	Addrs() []multiaddr.Multiaddr // where this node is reached, each with /p2p/ID; told to sources, for other askers
	OpenBulk(ctx context.Context, to peer.ID, p protocol.ID) (network.Stream, error)
	Connect(ctx context.Context, to peer.AddrInfo) error
	Direct(to peer.ID) bool                                    // whether it is connected to a peer other than through a relay
	Report(p peer.ID, bulk bool, bytes int64, d time.Duration) // how fast a conversation was that is over
}

// Guard decides who may fetch what. Allow returns nil, or an error that is Denied or NotFound; it is called often and must be quick. Narrow reports
// whether root is for this node's contacts alone, which those who fetch it are told, so that they serve it to no more than their own.
type Guard interface {
	Allow(p peer.ID, root kith.Ref) error
	Narrow(root kith.Ref) bool
}

// Options are what a Manager is made of. Routes may be nil: then sources come from jobs and from other sources only.
type Options struct {
	Blobs  *blob.Store
	Net    Net
	Routes overlay.Router
	Guard  Guard
	Seek   func() string // has more peers looked for, when no source is found, and says how that goes; nil: nobody does. It is called often
	Log    *slog.Logger
	Drafts string                                             // folder for what is known of downloads that have no BLAKE3 digest yet
	Relay  func(*network.Refused) string                      // what to say of a source that only a relay leads to, which does not carry now; nil: its Error
	Go     func(name string, run func(context.Context) error) // starts what lasts; nil: plain goroutines, ended by Close
}

// A Job says what to fetch and where to put it.
type Job struct {
	Root       kith.Ref
	Size       int64     // bytes, as the link says; -1 if it does not
	Name       string    // as the link says; a hint
	Dir        string    // the folder to put it in, under its name …
	Path       string    // … or, if not "", where exactly it shall be
	Key        *seal.Key // of a private share
	Peers      []peer.AddrInfo
	Sequential bool // from the beginning to the end, for watching

	Origins []Opener         // other networks that it comes from too. With a Root that is Pending, from them alone
	Only    []string         // files to fetch, as stage.Covers has them, or folders with all that is in them …
	Select  []kith.FileRange // … and those with these numbers in the layout of the first Origin; with neither, all
}

// A State says what a download is doing.
type State string

// The states of a download.
const (
	Finding  State = "finding"  // no source yet; Reason says for how long it has looked
	Fetching State = "fetching" // bytes are asked for
	Waiting  State = "waiting"  // it cannot go on now; Reason says why
	Paused   State = "paused"   // until Resume
	Checking State = "checking" // all bytes are here and are being put in place
	Done     State = "done"     // on disk and verified
	Failed   State = "failed"   // it will not go on by itself; Reason says why
)

// Status is how a download stands.
type Status struct {
	Root     kith.Ref // of a Pending job that is Done: the real one
	Was      kith.Ref // the Pending one of the job; zero for another
	State    State
	Reason   string // why it waits, has failed, or for how long it has looked
	Hint     string // what a person can do about it, "" for nothing
	Name     string
	Path     string // where it is, or will be; "" while its name is not known
	Size     int64  // bytes of plain files; -1 while it is not known
	Done     int64  // bytes on disk and verified
	Rate     float64
	ETA      float64 // seconds left; -1 if not known
	Files    int     // of a folder: how many
	Folder   bool
	From     int // peers that verified bytes came from, not those of other networks
	Sources  []Source
	Networks []NetworkStatus
	Part     bool  // with Done: what Job.Only names is here, and not all of it
	Err      error // with Failed, what Wait returns; with Waiting, what a person must mend before Resume (nil: it waits for a source)
}

// NetworkStatus is how a download stands in another network that it comes from.
type NetworkStatus struct {
	Network  string // as Origin.Network says it
	State    SourceState
	Why      string  // what it waits for, or what is wrong
	Bytes    int64   // that came from it, checked against its digests
	Rate     float64 // bytes a second, lately
	Up       float64 // bytes a second that it is given, lately
	Peers    int     // whom it is talking to
	Have     float64 // part of the content that is to be had there, as far as known, 0 to 1
	Verified bool    // the whole was compared with all its digests
}

// SourceState says what a source is doing.
type SourceState string

// The states of a source.
const (
	Connecting SourceState = "connecting"
	Active     SourceState = "active"
	Idle       SourceState = "idle"    // nothing to ask of it now
	Slow       SourceState = "slow"    // its answers are overdue and asked of others
	Dropped    SourceState = "dropped" // gone or of no use; it may be tried again
	CutOff     SourceState = "cut off" // it sent bytes that are not what their name says
)

// Source is a peer that a download comes from.
type Source struct {
	Peer    peer.ID    // "" for one of another network
	Network string     // as Origin.Network says it; "" for Kith
	Seen    OriginPeer // of one of another network; its Down is Rate
	State   SourceState
	Why     string
	Have    float64 // part of the content that it has, 0 to 1
	Bytes   int64   // verified bytes that came from it
	Rate    float64 // bytes a second, lately
	Via     string  // transport: "bulk" (TCP of its own) or "stream"; in another network what it calls it
}

// File is one file of a folder that is being fetched.
type File struct {
	Index int // by which Reader opens it
	Path  string
	Size  int64
	Done  int64
	Skip  bool // the job leaves it out
}

// Upload counts what was sent of one root.
type Upload struct {
	Bytes int64
	Rate  float64 // bytes a second, lately
	Peers int     // that are being served now
}

// Rendezvous returns the key under which a root is announced on an overlay: a hash of its digest, so that who keeps the record learns
// where it is, but not what it is, and cannot fetch it.
func Rendezvous(root kith.Ref) cid.Cid {
	mh, err := multihash.Sum(append([]byte("kith rendezvous\x00"), root.Sum[:]...), multihash.SHA2_256, -1)
	if err != nil { // cannot be: the hash is known
		return cid.Undef
	}
	return cid.NewCidV1(cid.Raw, mh)
}

// PendingRef returns what stands for the root of a download of which only other networks' names are known, until it is complete: equal names, equal refs. Where it
// is found (trackers, web seeds) is no part of what it is called. It is the zero Ref if n names nothing.
func PendingRef(n kith.Names) kith.Ref {
	if n.None() {
		return kith.Ref{}
	}
	text := strings.Builder{}
	text.WriteString("kith pending\x00")
	add := func(key, value string) { fmt.Fprintf(&text, "%s=%s\n", key, value) }
	if n.V1 != (kith.InfoHash{}) {
		add("btih", fmt.Sprintf("%x", n.V1[:]))
	}
	if n.V2 != ([32]byte{}) {
		add("btmh", fmt.Sprintf("%x", n.V2[:]))
	}
	if n.IPFS.Defined() {
		add("cid", cid.NewCidV1(n.IPFS.Type(), n.IPFS.Hash()).String())
	}
	if n.IPNS != "" {
		add("ipns", n.IPNS)
	}
	if n.Path != "" {
		add("path", n.Path)
	}
	if text.Len() == len("kith pending\x00") {
		add("url", n.Source)
	}
	return kith.Ref{Sum: bao.Hash([]byte(text.String())), Codec: kith.Pending}
}
