package bridge

import (
	"context"
	"iter"
	"net/http"
	"time"

	"kith"
)

// A Web is a Bridge whose network is also a web of its own, with pages, names and browsers: that to IPFS.
type Web interface {
	// Gateway answers browsers and programs of that network, or is nil if it is switched off: paths below /ipfs/ and /ipns/, and hosts below ipfs.localhost and ipns.localhost. Whoever
	// serves it keeps foreign web sites away from it.
	Gateway() http.Handler
	// SetSite lets a name lead to what is published as s.Root, and tells others. A name that there is not is made. Errors: NotFound (nothing is published so).
	SetSite(ctx context.Context, s Site) (Site, error)
	// Sites returns the names of this node.
	Sites(ctx context.Context) ([]Site, error)
	// DropSite ends a name: it is told no more. Errors: NotFound.
	DropSite(ctx context.Context, name string) (Site, error)
	// Pin keeps all that n names here, also after a restart, and yields how far it is. It goes on when the caller goes away.
	Pin(ctx context.Context, n kith.Names) iter.Seq2[Pin, error]
	// Unpin ends Pin. Errors: NotFound.
	Unpin(ctx context.Context, c kith.Names) error
	// Pins returns what is pinned.
	Pins(ctx context.Context) ([]Pin, error)
	// Call returns what the network would call the file or folder at path, and publishes nothing. Profile is as in the configuration; "" for what that says.
	Call(ctx context.Context, path, profile string) (kith.Names, error)
}

// A Site is a folder that is published under a name which stays while what it leads to changes.
type Site struct {
	Name     string     // as the person calls it
	Key      string     // as the network calls it: ipns://Key
	Root     kith.Ref   // what it leads to
	Names    kith.Names // the same, as the network calls it
	Path     string     // the folder
	Sequence uint64     // how often it changed
	At       time.Time  // when it changed last
	Said     string     // what a person should know
}

// A Pin is something of a network that is kept here.
type Pin struct {
	Names  kith.Names
	Name   string // a hint
	State  string // fetching, pinned, failed
	Reason string // of failed; of fetching: why it waits
	Blocks int64
	Bytes  int64
	Added  time.Time
}
