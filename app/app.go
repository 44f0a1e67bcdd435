// Package app defines what an application is and what a node gives it.
//
// It is not a framework: an application is described by value, in one struct, and needs none of the fields that it has no use for.
package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith/blob"
	"kith/bridge"
	"kith/identity"
	"kith/network"
	"kith/overlay"
	"kith/transfer"
)

// An App describes an application. Name and Help are required; every other field may be left out.
type App struct {
	Name, Help string
	Root       bool              // its commands stand at the top: kith share, not kith files share
	Ops        []Op              // CLI + HTTP + OpenAPI + form
	Groups     map[string]string // of first words of Ops that are no commands themselves: what theirs are for
	Protocols  []Protocol        // what peers may ask
	HTTP       http.Handler      // bulk bytes and streams that are no Op, under /api/<Name>/-/ with the same protection
	Gateway    http.Handler      // pages of a public network: paths below /ipfs/ and /ipns/, and hosts below ipfs.localhost and ipns.localhost, each an origin of its own; without a token, but not for foreign web sites
	UI         string            // its page's name in the shell, "" for none

	Listens func() (what string, addrs []string) // HOST:PORT of where it listens now beside the node, and for whom; may be called before Start

	Findings func() []Finding // what kith doctor says of it; called only while it runs

	Start func(ctx context.Context, env Env) error // returns when ready; lasting work goes in env.Go
	Stop  func(ctx context.Context) error          // called before what env.Go started is told to end
}

// A Finding is one thing that the doctor looked at.
type Finding struct {
	Check string `json:"check" doc:"what was looked at: device (if it was revoked), listening, reachable, nat, udp, ipv6, router, relays, relaying, overlay, public, clock, disk, tracker (if this node is one)"`
	State string `json:"state" enum:"ok,weak,wrong,unknown" doc:"weak: it works, but could be better; unknown: nothing can be said yet"`
	Says  string `json:"says" doc:"what was found"`
	Do    string `json:"do,omitempty" doc:"what to do about it"`
}

// A Protocol serves streams that peers open. Serve is called on a goroutine of its own for each stream, which is
// closed when Serve returns, and reset if it returns an error.
type Protocol struct {
	ID    protocol.ID
	Serve func(ctx context.Context, s network.Stream) error
}

// A Dialer opens a stream to a peer; it is all that most applications see of the network.
type Dialer interface {
	Open(ctx context.Context, to peer.ID, p protocol.ID) (network.Stream, error)
}

// Env is what a node gives an application. A test builds one literally.
type Env struct {
	Me      *identity.Identity
	Net     Dialer
	Host    *network.Network // for what is about the network itself: addresses, peers
	Routes  overlay.Router
	Blobs   *blob.Store
	Moves   *transfer.Manager
	People  People
	Origin  Origin
	Bridges []bridge.Bridge // public networks over the same blobs
	API     string          // HOST:PORT of the local interface
	Dir     string          // the application's own folder below the data directory; it exists
	Files   string          // where what is downloaded and uploaded goes, unless told otherwise
	Log     *slog.Logger
	Go      func(name string, run func(context.Context) error) // named, supervised, waited for at the end
	Note    func(text string)                                  // tells the person something at the next look at the status
	Config  func(into any) error                               // decodes the application's section of the configuration
}

// People answers who is a contact. Its methods may be called at once.
type People interface {
	Name(peer.ID) string // what the person calls the peer's owner; "" for a stranger
	// Contact reports whether the peer is a device of one of the person's contacts, or of the person.
	Contact(peer.ID) bool
	// Devices returns the devices of the contact whom the person calls name: exactly so, or else but for upper and lower case, if
	// only one is called so. It returns nil if there is no such contact.
	Devices(name string) []peer.ID
	// Acts returns nil while this device acts for the person, and says what to do when it was revoked.
	Acts() error
}

// Origin makes addresses at which a browser can read content that came from peers, without that content being on the page's own
// origin (architecture, section 7).
type Origin interface {
	// Mint returns an unguessable URL that serves content with Range requests until ctx ends or a day has passed.
	Mint(ctx context.Context, c Content) (url string, err error)
}

// Content is something that can be read at any offset, perhaps waiting until it has come.
type Content struct {
	Name string // as a browser should save it
	Size int64
	Open func(ctx context.Context) (io.ReadSeekCloser, error)
}
