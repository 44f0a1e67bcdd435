// Package transfer moves content between peers: verified ranges, from many sources at once.
//
// It is not where content is kept (blob) nor where jobs are remembered (apps/files). Its one idea: what to ask of whom is decided by a
// pure engine, which knows neither clock nor stream nor disk; all around it only carries its decisions out.
package transfer

import (
	"context"
	"io"
	"log/slog"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"kith"
	"kith/blob"
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
}

// Guard decides who may fetch what. Allow returns nil, or an error that is Denied or NotFound; it is called often and must be quick.
type Guard interface {
	Allow(p peer.ID, root kith.Ref) error
}

// Options are what a Manager is made of. Routes may be nil: then sources come from jobs and from other sources only.
type Options struct {
	Blobs  *blob.Store
	Net    Net
	Routes overlay.Router
	Guard  Guard
	Log    *slog.Logger
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
	Root    kith.Ref
	State   State
	Reason  string // why it waits, has failed, or for how long it has looked
	Hint    string // what a person can do about it, "" for nothing
	Name    string
	Path    string // where it is, or will be; "" while its name is not known
	Size    int64  // bytes of plain files; -1 while it is not known
	Done    int64  // bytes on disk and verified
	Rate    float64
	ETA     float64 // seconds left; -1 if not known
	Files   int     // of a folder: how many
	Folder  bool
	From    int // peers that verified bytes came from
	Sources []Source
	Err     error // with Failed: what Wait returns
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
	Peer  peer.ID
	State SourceState
	Why   string
	Have  float64 // part of the content that it has, 0 to 1
	Bytes int64   // verified bytes that came from it
	Rate  float64 // bytes a second, lately
	Via   string  // transport: "bulk" (TCP of its own) or "stream"
}

// File is one file of a folder that is being fetched.
type File struct {
	Index int // by which Reader opens it
	Path  string
	Size  int64
	Done  int64
}

// Upload counts what was sent of one root.
type Upload struct {
	Bytes int64
	Rate  float64 // bytes a second, lately
	Peers int     // that are being served now
}

// Manager runs all transfers of a node. Its methods may be called at once from several goroutines.
type Manager struct{}

// New returns a Manager that serves and fetches nothing yet.
func New(o Options) *Manager { return &Manager{} }

// Serve answers what a peer asks over one stream, until it has no more to ask.
func (m *Manager) Serve(ctx context.Context, s network.Stream) error {
	return kith.Unavailable
}

// Start begins to fetch what job names, or goes on where an earlier run left off. For a root that is already being fetched it
// returns that download, with the job's peers added.
func (m *Manager) Start(job Job) (*Download, error) { return nil, kith.Unavailable }

// Download returns the download of root, or nil.
func (m *Manager) Download(root kith.Ref) *Download { return nil }

// Close ends all transfers, after a last checkpoint of each.
func (m *Manager) Close() error { return nil }

// SetLimits sets how many bytes a second are sent and received at most, all transfers together; 0 is no limit.
func (m *Manager) SetLimits(up, down int64) {}

// Limits returns what SetLimits set.
func (m *Manager) Limits() (up, down int64) { return 0, 0 }

// Rates returns the bytes a second that come in and go out, lately.
func (m *Manager) Rates() (down, up float64) { return 0, 0 }

// Uploads returns what was sent since the Manager was made, for each root.
func (m *Manager) Uploads() map[kith.Ref]Upload { return nil }

// Download is one running or ended download.
type Download struct{}

// Status returns how it stands.
func (d *Download) Status() Status { return Status{} }

// Changed returns a channel that is closed when the Status is no longer the one of before the call. Rates change without it.
func (d *Download) Changed() <-chan struct{} { return nil }

// Wait returns nil once all bytes are on disk and verified, and the reason when the download fails or is cancelled.
func (d *Download) Wait(ctx context.Context) error { return kith.Unavailable }

// Pause stops asking until Resume.
func (d *Download) Pause() {}

// Resume goes on after Pause, after a failure, and after something that a person had to mend.
func (d *Download) Resume() {}

// Cancel ends the download and forgets it; what is on disk stays there, for blob.Store.Delete to remove.
func (d *Download) Cancel() {}

// Add tells of a peer that may have it.
func (d *Download) Add(p peer.AddrInfo) {}

// Files returns the files of a folder, at most max of them; index 0 is a single file itself.
func (d *Download) Files(max int) []File { return nil }

// Reader opens the file of the given index (0 for a single file) to be read while it comes, and returns its size. Reads wait for bytes
// that are not here yet and have them asked for first, until ctx ends.
func (d *Download) Reader(ctx context.Context, index int) (io.ReadSeekCloser, int64, error) {
	return nil, 0, kith.Unavailable
}

// Pieces divides the content into n equal stretches (fewer if it is small) and returns how much of each is here (0 none, 255 all) and
// how many sources have each.
func (d *Download) Pieces(n int) (have, rarity []byte) { return nil, nil }

// Rendezvous returns the key under which a root is announced on an overlay: a hash of its digest, so that who keeps the record learns
// where it is, but not what it is, and cannot fetch it.
func Rendezvous(root kith.Ref) cid.Cid {
	mh, err := multihash.Sum(append([]byte("kith rendezvous\x00"), root.Sum[:]...), multihash.SHA2_256, -1)
	if err != nil { // cannot be: the hash is known
		return cid.Undef
	}
	return cid.NewCidV1(cid.Raw, mh)
}
