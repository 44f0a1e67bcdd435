package transfer

import "context"

// An Origin is another network as a source of one download: a BitTorrent swarm, the nodes of IPFS, a web server. It brings bytes that it has checked
// against that network's own digests, and hears of those that others have brought, so that its network can be given them. Its methods may be called
// at once.
type Origin interface {
	// Network names it as commands do: bittorrent, ipfs, web.
	Network() string
	// Layout waits until the network has told what the content consists of. Errors: Unavailable (it may be asked again), or whatever ends the download:
	// Invalid, TooLarge, Corrupt.
	Layout(ctx context.Context) (Layout, error)
	// Fetch brings s, which is within one file; best whole units of the Layout. It calls alive whenever a part of it has come, so that a slow network is told from
	// a silent one. Who called may keep what is returned; nobody changes it any more. Errors: NotFound (nobody there has it now), Corrupt (what came is not what the network's digests say).
	Fetch(ctx context.Context, s Span, alive func()) ([]byte, error)
	// Here tells that s can be read from the Content that the Origin was opened with, whoever brought it.
	Here(s Span)
	// Verify reads the whole content and compares it with all digests by which this network names it. Corrupt: it is another one; the error says which digest.
	Verify(ctx context.Context, progress func(n int64)) error
	// Peers returns whom it is talking to, at most max.
	Peers(max int) []OriginPeer
	Close() error
}

// An Origin that knows what its network has, as from the have-maps of BitTorrent, is a Knower too, and is asked for nothing else.
type Knower interface {
	// Available returns what can be had there now, in any order; ok is false while anything may be there.
	Available() (spans []Span, ok bool)
}

// A Span is bytes of one file of a Layout.
type Span struct {
	File   int // in Layout.Files
	Off, N int64
}

// A Layout is what content consists of, as a network tells.
type Layout struct {
	Name   string // a hint
	Folder bool   // false: one file, which is the content itself
	Files  []LayoutFile
	Unit   int64 // bytes that the network checks at once, counted from the beginning of each file where files are aligned
	Window int64 // bytes that may be asked for at once before anything is known of its speed
	Checks bool  // what Fetch brings was compared with all digests by which the network names it: who has it all from there, and has just written it, need not Verify
}

// A LayoutFile is one file of a Layout.
type LayoutFile struct {
	Path string // with slashes, relative, clean, without .. ; as folder.CheckPath wants it
	Size int64
	Exec bool
	Link string // target of a symbolic link; Size is 0
}

// An OriginPeer is somebody of another network.
type OriginPeer struct {
	Name     string   // address or id
	Program  string   // that it runs, if it says so
	Flags    []string // how the connection stands, in words for a person
	Via      string   // transport: tcp, utp, webrtc, http, bitswap
	Have     float64
	Down, Up float64 // bytes a second, lately
	Bytes    int64   // that came from it
	Sent     int64   // bytes that it was sent
}

// Content is what of a download is here. File numbers are those of the Origin's Layout.
type Content interface {
	// ReadAt reads bytes that are here, whoever checked them. Errors: NotFound if a part is not here (yet).
	ReadAt(p []byte, file int, off int64) (int, error)
	// Has reports whether all of s is here.
	Has(s Span) bool
}

// An Opener opens the Origin of a download. It must be quick, and do nothing on any network but what a person who fetches asked for.
type Opener func(ctx context.Context, c Content) (Origin, error)
