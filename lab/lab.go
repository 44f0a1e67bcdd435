// Package lab runs a whole network on one computer: pretend neighbours, each of them a real node with its own identity, store and
// sockets on the loopback, who share samples with each other slowly enough to watch, and one page that shows them.
//
// It is for seeing how a network moves before trusting it with anything, and for trying one's own node against somebody. It is not
// the simulator of large networks, nor what tests are made of (apptest); links that are slow for real are lab/link's. Its one idea:
// nothing in it is acted. What the page shows is read from nodes that know of no lab.
package lab

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kith"
	"kith/api"
	"kith/app"
	"kith/internal/dirlock"
	"kith/transfer"
)

// DefaultNodes and MaxNodes bound how many neighbours there are.
const (
	DefaultNodes = 8
	MaxNodes     = 32
)

// Options say what lab to make. Apps is required.
type Options struct {
	Nodes   int                                // neighbours; 0: DefaultNodes
	Dir     string                             // where they live; it is kept. "": a temporary folder, which is removed
	Network string                             // name of the network; "": the usual one, which a node of the user's is on too
	Apps    func() ([]app.App, transfer.Guard) // makes the applications of one node; files must be among them
	Version string                             // of the program
	Idle    time.Duration                      // ends it when nobody has watched for so long; 0: it stays
	Log     *slog.Logger                       // nil: none
	Ready   func(done, of int)                 // told how many neighbours have moved in; may be nil
}

// Lab is a running lab.
type Lab struct {
	o       Options
	dir     string
	lock    *dirlock.Lock
	server  *api.Server
	people  []*neighbour
	samples []Sample // number i is shared by people[i]
	started time.Time

	cancel context.CancelFunc
	tasks  sync.WaitGroup
	done   chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards what follows
	feed     []Happening
	last     *State
	lastTime time.Time
	counted  map[flow]int64 // bytes that had gone from one to another by then
	moved    int64
	watchers int
	quiet    time.Time // since when nobody watches
}

// A Sample is what a neighbour shares.
type Sample struct {
	Name  string   `json:"name"`
	Size  int64    `json:"size"`
	Ref   kith.Ref `json:"ref"`
	Link  string   `json:"link" doc:"magnet link that works alone, also in a node of your own"`
	Short string   `json:"short" doc:"short form of the link"`
	Owner int      `json:"owner" doc:"index of the neighbour who shares it"`
}

//go:embed page
var page embed.FS

// Open makes the neighbours and starts their life, which goes on until Close. ctx bounds only the start.
func Open(ctx context.Context, o Options) (_ *Lab, err error) {
	o.Nodes = cmp.Or(o.Nodes, DefaultNodes)
	if o.Nodes < 2 || o.Nodes > MaxNodes {
		return nil, fmt.Errorf("lab: %d neighbours, not 2 to %d: %w", o.Nodes, MaxNodes, kith.Invalid)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lab{o: o, dir: o.Dir, started: time.Now(), quiet: time.Now(), done: make(chan struct{}), cancel: func() {}}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if err := l.settle(); err != nil {
		return nil, err
	}
	files, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err
	}
	l.server, err = api.New(api.Options{Addr: "127.0.0.1:0", Dir: l.dir, Apps: []app.App{l.app()}, Page: files, Log: o.Log, Version: o.Version})
	if err != nil {
		return nil, err
	}
	if err := l.moveIn(ctx); err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.tasks.Go(func() { l.server.Serve(life) })
	for _, p := range l.people {
		l.tasks.Go(func() { p.live(life) })
	}
	if o.Idle > 0 {
		go l.closeWhenIdle(life)
	}
	return l, nil
}

// settle makes the folder, or takes one that no node of the user's lives in.
func (l *Lab) settle() (err error) {
	if l.dir == "" {
		if l.dir, err = os.MkdirTemp("", "kith-lab-"); err != nil {
			return fmt.Errorf("lab: %w", err)
		}
	} else if _, err := os.Stat(filepath.Join(l.dir, "identity")); err == nil {
		return kith.Hint(fmt.Errorf("lab: %s is the data directory of a node: %w", l.dir, kith.Exists), "give the lab a folder of its own, or leave out --dir")
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return fmt.Errorf("lab: %w: %w", err, kith.Denied)
	}
	l.lock, err = dirlock.Acquire(l.dir)
	return err
}

// moveIn opens all nodes at once, then makes each known to the two before it: the rest they find out from each other.
func (l *Lab) moveIn(ctx context.Context) error {
	l.people = make([]*neighbour, l.o.Nodes)
	l.samples = make([]Sample, l.o.Nodes)
	errs := make([]error, l.o.Nodes)
	var group sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for i := range l.people {
		group.Go(func() {
			l.people[i] = &neighbour{lab: l, index: i, name: nameOf(i)}
			if l.samples[i], errs[i] = l.people[i].open(ctx); errs[i] != nil {
				errs[i] = fmt.Errorf("lab: %s: %w", nameOf(i), errs[i])
			}
			mu.Lock()
			defer mu.Unlock()
			if in++; l.o.Ready != nil {
				l.o.Ready(in, l.o.Nodes)
			}
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, p := range l.people {
		for back := 1; back <= 2; back++ {
			if i < back {
				continue
			}
			if err := p.meet(ctx, l.people[i-back]); err != nil {
				return err
			}
		}
	}
	return nil
}

// URL returns an address of the page that is good for one use within a minute.
func (l *Lab) URL() string { return l.server.OpenURL() }

// Done is closed when the lab has ended.
func (l *Lab) Done() <-chan struct{} { return l.done }

// Close lets the neighbours move out, and removes what they have made if the folder is a temporary one.
func (l *Lab) Close() error {
	var errs []error
	l.once.Do(func() {
		l.cancel()
		l.tasks.Wait()
		var group sync.WaitGroup
		for _, p := range l.people {
			if p != nil {
				group.Go(p.close)
			}
		}
		group.Wait()
		if l.server != nil {
			l.server.Close()
		}
		if l.lock != nil {
			errs = append(errs, l.lock.Release())
		}
		if l.o.Dir == "" {
			errs = append(errs, os.RemoveAll(l.dir))
		}
		close(l.done)
	})
	return errors.Join(errs...)
}

// closeWhenIdle ends a lab that nobody watches any more.
func (l *Lab) closeWhenIdle(ctx context.Context) {
	tick := time.NewTicker(l.o.Idle / 10)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		over := l.watchers == 0 && time.Since(l.quiet) > l.o.Idle
		l.mu.Unlock()
		if over {
			l.Close()
			return
		}
	}
}

// Summary is a lab in words and links: what a person or a program needs to join it.
type Summary struct {
	URL        string   `json:"url" doc:"the page, for one use within a minute"`
	Connect    string   `json:"connect" doc:"address of a neighbour, for kith connect"`
	Neighbours []Person `json:"neighbours"`
	Samples    []Sample `json:"samples"`
}

// Person is one neighbour.
type Person struct {
	Name   string   `json:"name"`
	PeerID string   `json:"peer_id"`
	Addrs  []string `json:"addrs"`
}

// Summary returns who there is and what they share.
func (l *Lab) Summary() Summary {
	s := Summary{URL: l.URL(), Samples: l.samples}
	for _, p := range l.people {
		s.Neighbours = append(s.Neighbours, p.person())
	}
	if addrs := s.Neighbours[0].Addrs; len(addrs) > 0 {
		s.Connect = addrs[0]
	}
	return s
}
