// Package node assembles one running node, and supervises it: it takes the lock of the data directory, opens identity, store, network,
// overlay and transfers in their order, starts the applications it is given, and undoes all of it in reverse. It holds no feature; it
// does not choose which applications there are, nor how people reach them.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"kith"
	"kith/app"
	"kith/blob"
	"kith/config"
	"kith/identity"
	"kith/internal/dirlock"
	"kith/network"
	"kith/network/member"
	"kith/network/packet"
	"kith/network/relay"
	"kith/people"
	"kith/record"
	"kith/rendezvous"
	"kith/transfer"
)

// Options say what node to make.
type Options struct {
	Dir      string // data directory; it is made if it is not there
	Config   config.Config
	Version  string
	Apps     []app.App
	Bridges  []NewBridge     // public networks of others
	Ops      []app.Op        // more of the node's own operations, from who runs it
	Guard    transfer.Guard  // who may fetch what
	Peers    []string        // multiaddrs to connect to at the start
	NoMDNS   bool            // stay silent on the local network
	NoUPnP   bool            // leave the router alone
	Mainline bool            // look for nodes on the BitTorrent DHT when the user asks for it
	Public   bool            // join the public network at the start
	Packets  packet.Listener // not nil: the node lives on a pretended network, see network.Config
	Join     string          // link of the private network that the node is to be in from now on; "": where it was
	Restart  func()          // has the node closed and opened anew; nil: whoever runs it does not do that
	Stop     func()          // what the stop operation calls; nil if there is no such operation
	Log      *slog.Logger
}

// Node is one running node.
type Node struct {
	o       Options
	log     *slog.Logger
	lock    *dirlock.Lock
	me      *identity.Identity
	blobs   *blob.Store
	net     *network.Network
	routes  router
	overlay string // its name
	records *record.Store
	moves   *transfer.Manager
	people  *people.People
	meet    *rendezvous.Rendezvous
	bridges []Bridge
	borrow  *borrower
	origin  app.Origin
	api     string
	started time.Time

	ctx    context.Context // of everything lasting; ends when the node stops
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup

	mu    sync.Mutex
	notes []string
	kept  member.Kept // the private network that the node is in, if it is in one
}

// Open makes everything that the applications need, and starts none of them.
func Open(ctx context.Context, o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{o: o, log: o.Log, started: time.Now()}
	n.ctx, n.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := n.open(ctx); err != nil {
		n.close()
		return nil, err
	}
	n.checkClock()
	return n, nil
}

// open makes the floors below the applications, the lowest first.
func (n *Node) open(ctx context.Context) (err error) {
	dir := n.o.Dir
	var names []string
	for _, a := range n.o.Apps {
		names = append(names, a.Name)
	}
	if err := n.o.Config.Check(names); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return kith.Hint(fmt.Errorf("node: %w: %w", err, kith.Denied), "choose another data directory with --dir")
	}
	if n.lock, err = dirlock.Acquire(dir); err != nil {
		return err
	}
	if n.me, err = identity.Open(filepath.Join(dir, "identity")); errors.Is(err, kith.Corrupt) && kith.HintOf(err) == "" {
		return kith.Hint(err, "move %s away: the next kith up makes a new device, and kith id restore makes it yours with your recovery phrase", filepath.Join(dir, "identity"))
	} else if err != nil {
		return err
	}
	if n.blobs, err = blob.Open(ctx, blob.Options{Dir: filepath.Join(dir, "blobs"), Quota: n.o.Config.Quota, Log: n.log,
		Secret: n.secret()}); err != nil {
		return err
	}
	n.note(n.me.Notes()...)
	n.note(n.blobs.Notes()...)
	return n.openNetwork(ctx)
}

func (n *Node) openNetwork(ctx context.Context) (err error) {
	dir := filepath.Join(n.o.Dir, "network")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	door, dir, err := n.openDoor(dir)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	c := n.o.Config
	if n.net, err = network.New(ctx, network.Config{
		Key: n.me.Key(), Name: c.Network, Door: door, Listen: c.Listen, Peers: n.o.Peers, Dir: dir, Log: n.log,
		NoMDNS: n.o.NoMDNS, NoUPnP: n.o.NoUPnP, Packets: n.o.Packets, Version: n.o.Version,
		Relay: relay.Settings{For: relay.Mode(c.Relay.For), Metered: c.Relay.Metered, Data: c.Relay.Data, Rate: c.Relay.Rate},
	}); err != nil {
		return err
	}
	n.note(n.net.Notes()...)
	var v record.Validator
	if err = n.openOverlay(&v); err != nil {
		return err
	}
	if n.records, err = record.New(record.Options{Routes: n.routes, Validator: &v, Path: filepath.Join(dir, "records.db"), Log: n.log}); err != nil {
		return err
	}
	n.note(n.records.Note())
	n.moves = transfer.New(transfer.Options{Blobs: n.blobs, Net: n.net, Routes: n.routes, Guard: n.o.Guard, Seek: n.seek, Log: n.log, Go: n.Go, Relay: n.heldUp,
		Drafts: filepath.Join(n.o.Dir, "drafts")})
	n.moves.SetLimits(c.Up, c.Down)
	n.net.Handle(transfer.Protocol, n.moves.Serve)
	return n.openPeople(ctx)
}

func (n *Node) openPeople(ctx context.Context) (err error) {
	n.people, err = people.Open(ctx, people.Options{
		Path: filepath.Join(n.o.Dir, "people.db"), Old: filepath.Join(n.o.Dir, "people.json"),
		Me: n.me, Net: n.net, Routes: n.routes, Records: n.records, Log: n.log,
	})
	if err != nil {
		return err
	}
	n.note(n.people.Notes()...)
	n.net.Befriend(n.people.Contact)
	if d := n.net.Door(); d != nil {
		d.SetLost(n.people.Lost)
	}
	n.net.Handle(people.Protocol, n.people.Serve)
	n.net.Handle(people.DeviceProtocol, n.people.ServeDevice)
	if err := n.openPublic(ctx); err != nil {
		return err
	}
	return n.openBridges()
}

// Apps returns the node's own application and those it was given.
func (n *Node) Apps() []app.App { return append([]app.App{n.app()}, n.o.Apps...) }

// Start starts the applications. origin serves content to browsers, and api is the address at which the local interface listens.
func (n *Node) Start(ctx context.Context, origin app.Origin, api string) error {
	n.origin, n.api = origin, api
	if err := n.lock.SetAPI(api); err != nil {
		return err
	}
	n.Go("node.gc", n.sweep)
	n.Go("node.people", n.people.Run)
	n.Go("node.mainline", n.runPublic)
	n.Go("node.borrow", n.borrow.run)
	n.Go("node.join", n.joinKept)
	for _, b := range n.bridges {
		if err := b.Start(ctx); err != nil {
			n.note(fmt.Sprintf("what is shared to %s is not served: %v", b.Name(), err))
		}
	}
	for _, a := range n.o.Apps {
		env, err := n.env(a)
		if err != nil {
			return err
		}
		if a.Start != nil {
			if err := a.Start(ctx, env); err != nil {
				return err
			}
		}
		for _, p := range a.Protocols { // not before it has what it needs to answer
			n.net.Handle(p.ID, p.Serve)
		}
	}
	return nil
}

// secret returns what tells the node's own folders and files, which nobody must share by mistake along with the home folder: all in the data
// directory but the downloads.
func (n *Node) secret() func(path string) bool {
	dir, files := real(n.o.Dir), real(n.files())
	within := func(path, dir string) bool {
		rel, err := filepath.Rel(dir, path)
		return err == nil && filepath.IsLocal(rel)
	}
	return func(path string) bool { return within(path, dir) && !within(path, files) && !within(files, path) }
}

// real returns an absolute path without links, as far as it is there.
func real(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(real(dir), filepath.Base(path))
	}
	return path
}

// files returns the folder of downloads and uploads.
func (n *Node) files() string {
	if n.o.Config.Files != "" {
		return n.o.Config.Files
	}
	return filepath.Join(n.o.Dir, "files")
}

func (n *Node) env(a app.App) (app.Env, error) {
	dir := filepath.Join(n.o.Dir, a.Name)
	if a.Name == "files" { // its own folder must not be the folder of the downloads
		dir = filepath.Join(n.o.Dir, "state")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return app.Env{}, fmt.Errorf("node: %w", err)
	}
	return app.Env{
		Me: n.me, Net: n.net, Host: n.net, Routes: n.routes, Blobs: n.blobs, Moves: n.moves, People: n.people, Origin: n.origin,
		Bridges: n.bridged(), API: n.api, Dir: dir, Files: n.files(), Log: n.log.With("app", a.Name), Go: n.Go, Note: func(text string) { n.note(text) },
		Config: func(into any) error { return n.o.Config.Section(a.Name, into) },
	}, nil
}

// Go runs a task until it returns or the node stops. A task that panics or fails is logged, and takes nobody with it.
func (n *Node) Go(name string, run func(context.Context) error) {
	n.tasks.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				n.log.Error("task panicked", "op", name, "err", fmt.Sprint(r), "stack", string(debug.Stack()))
			}
		}()
		if err := run(n.ctx); err != nil && n.ctx.Err() == nil {
			n.log.Warn("task failed", "op", name, "err", err)
		}
	})
}

// When the store is swept: not while the node starts, then now and then.
const (
	sweepFirst = 5 * time.Minute
	sweepEvery = time.Hour
)

// sweep removes what the store keeps for nobody, until ctx ends.
func (n *Node) sweep(ctx context.Context) error {
	for wait := sweepFirst; ; wait = sweepEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if err := n.blobs.GC(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("store not swept", "op", "node.gc", "err", err) // the next time may do
		}
	}
}

// Close stops the applications, then everything below them. What was under way goes on at the next start.
func (n *Node) Close(ctx context.Context) error {
	var errs []error
	for i := len(n.o.Apps) - 1; i >= 0; i-- {
		if stop := n.o.Apps[i].Stop; stop != nil {
			errs = append(errs, stop(ctx))
		}
	}
	return errors.Join(append(errs, n.close())...)
}

func (n *Node) close() error {
	var errs []error
	if n.moves != nil {
		errs = append(errs, n.moves.Close())
	}
	n.cancel(errors.New("the node stops"))
	n.tasks.Wait()
	for _, b := range n.bridges {
		errs = append(errs, b.Close())
	}
	if n.routes != nil {
		errs = append(errs, n.routes.Close())
	}
	if n.net != nil {
		errs = append(errs, n.net.Close())
	}
	if n.people != nil {
		errs = append(errs, n.people.Close())
	}
	if n.records != nil {
		errs = append(errs, n.records.Close())
	}
	if n.blobs != nil {
		errs = append(errs, n.blobs.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Release())
	}
	return errors.Join(errs...)
}

// note keeps what a person should know of this start; status shows it.
func (n *Node) note(texts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range texts {
		if t != "" {
			n.notes = append(n.notes, t)
			n.log.Info("note", "err", t)
		}
	}
}

// Notes returns what a person should know of this start.
func (n *Node) Notes() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.notes...)
}

// built is a day before which no node of this program can have run.
var built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// checkClock says when the clock is years off: records and certificates of others would look expired, or not yet valid.
func (n *Node) checkClock() {
	if now := time.Now(); now.Before(built) || now.After(built.AddDate(20, 0, 0)) {
		n.note(fmt.Sprintf("this computer's clock says %s, which cannot be; set it, or others' records will look expired", now.Format(time.DateOnly)))
	}
}

// Network returns the running host.
func (n *Node) Network() *network.Network { return n.net }
