// Package lab runs a whole network on one computer: pretend neighbours, each of them a real node with its own identity and store, who
// share samples with each other slowly enough to watch, and one page that shows them, takes them away and brings them back.
//
// They meet on the loopback, where a node of the user's can join them; or, told by a scenario, on an internet of its own (lab/sim), with long
// and lossy lines, NATs, partitions and churn. It is for seeing how a network moves before trusting it with anything. It is not what
// tests of applications are made of (apptest); whole programs on slow lines and behind real NATs are lab/link's and lab/nat's. Its one
// idea: nothing in it is acted. What the page shows is read from nodes that know of no lab.
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
	"slices"
	"sync"
	"time"

	"kith"
	"kith/api"
	"kith/app"
	"kith/internal/dirlock"
	"kith/lab/scenario"
	"kith/lab/sim"
	"kith/transfer"
)

// DefaultNodes and MaxNodes bound how many neighbours there are on the loopback.
const (
	DefaultNodes = 8
	MaxNodes     = 32
)

// TempName is how the names of temporary folders begin in which labs live.
const TempName = "kith-lab-"

const (
	maxSharers = 12 // neighbours who share a sample from the start
	maxSamples = 48 // things that are shared, in all
	movingIn   = 8  // neighbours that are connected to the others at once
)

// Options say what lab to make. Apps is required.
type Options struct {
	Nodes    int                                // neighbours on the loopback; 0: DefaultNodes
	Scenario *scenario.Scenario                 // they are on an internet of their own instead, and this happens; nil: on the loopback
	Dir      string                             // where they live; it is kept. "": a temporary folder, which is removed
	Network  string                             // name of the network; "": the usual one, which a node of the user's is on too
	Overlay  string                             // that they run; "": the usual one
	Apps     func() ([]app.App, transfer.Guard) // makes the applications of one node; files must be among them
	Version  string                             // of the program
	Idle     time.Duration                      // ends it when nobody has watched for so long; 0: it stays
	Page     fs.FS                              // the page of a node, so that the neighbours' own can be opened; nil: they cannot
	Stay     bool                               // it goes on when the scenario is over
	Log      *slog.Logger                       // nil: none
	Ready    func(done, of int)                 // told how many neighbours have moved in; may be nil
	Tell     func(Happening)                    // told what happens, in order and one at a time; must not wait; may be nil
}

// Lab is a running lab.
type Lab struct {
	o       Options
	dir     string
	lock    *dirlock.Lock
	server  *api.Server
	plan    *scenario.Plan // nil: on the loopback
	net     *sim.Net       // nil: the same
	people  []*neighbour
	started time.Time

	life   context.Context // of everything lasting
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	done   chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards what follows
	begun    time.Time  // when all had moved in
	samples  []Sample
	sharing  int // samples that are being made, and have their number already
	script   []Line
	result   *Result
	feed     []Happening
	last     *State
	lastTime time.Time
	counted  map[flow]int64 // bytes that had gone from one to another by then
	moved    int64
	watchers int
	quiet    time.Time // since when nobody watches

	telling sync.Mutex // held while o.Tell is called
}

// A Sample is what a neighbour shares.
type Sample struct {
	Name  string   `json:"name"`
	Size  int64    `json:"size"`
	Ref   kith.Ref `json:"ref"`
	Link  string   `json:"link" doc:"magnet link that works alone, also in a node of your own if they are on the loopback"`
	Short string   `json:"short" doc:"short form of the link"`
	Owner int      `json:"owner" doc:"index of the neighbour who shares it"`
}

//go:embed page
var page embed.FS

// Open makes the neighbours and starts their life, which goes on until Close. ctx bounds only the start.
func Open(ctx context.Context, o Options) (_ *Lab, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lab{o: o, dir: o.Dir, started: time.Now(), quiet: time.Now(), done: make(chan struct{})}
	l.life, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if err := l.invent(); err != nil {
		return nil, err
	}
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
	l.begun = time.Now()
	l.tasks.Go(func() { l.server.Serve(l.life) })
	if l.lively() {
		for _, p := range l.people {
			l.tasks.Go(func() { p.live(l.life) })
		}
	}
	if l.plan != nil {
		l.tasks.Go(l.play)
	}
	if o.Idle > 0 {
		go l.closeWhenIdle(l.life)
	}
	return l, nil
}

// invent makes the neighbours up, with nothing but their names and places.
func (l *Lab) invent() (err error) {
	var hosts []scenario.Host
	if l.o.Scenario == nil {
		n := cmp.Or(l.o.Nodes, DefaultNodes)
		if n < 2 || n > MaxNodes {
			return fmt.Errorf("lab: %d neighbours, not 2 to %d: %w", n, MaxNodes, kith.Invalid)
		}
		for i := range n { // each knows the two before it: the rest they find out from each other
			h := scenario.Host{}
			for back := 1; back <= min(2, i); back++ {
				h.Knows = append(h.Knows, i-back)
			}
			hosts = append(hosts, h)
		}
	} else {
		if l.plan, err = scenario.Make(*l.o.Scenario); err != nil {
			return fmt.Errorf("lab: scenario: %w", err)
		}
		hosts, l.net = l.plan.Hosts, sim.New(l.plan.Scenario.Seed)
		l.script = lines(l.plan)
	}
	for i, h := range hosts {
		p := &neighbour{lab: l, index: i, name: nameOf(i), place: h}
		if l.net != nil {
			if p.host, err = l.net.Add(sim.Spec{Name: p.name, Kind: h.Kind, Delay: h.Delay, Loss: h.Loss}); err != nil {
				return err
			}
		}
		l.people = append(l.people, p)
	}
	return nil
}

// lively reports whether the neighbours want things of their own accord.
func (l *Lab) lively() bool { return l.plan == nil || l.plan.Scenario.Life }

// settle makes the folder, or takes one that no node of the user's lives in.
func (l *Lab) settle() (err error) {
	if l.dir == "" {
		if l.dir, err = os.MkdirTemp("", TempName); err != nil {
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

// moveIn opens all nodes at once, then makes each known to those that it is to know.
func (l *Lab) moveIn(ctx context.Context) error {
	var mu sync.Mutex
	in := 0
	err := l.each(len(l.people), func(p *neighbour) error {
		if err := p.open(ctx); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if in++; l.o.Ready != nil {
			l.o.Ready(in, len(l.people))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.each(movingIn, func(p *neighbour) error { return p.meetAll(ctx) }); err != nil || !l.lively() {
		return err
	}
	l.samples = make([]Sample, min(len(l.people), maxSharers))
	return l.each(len(l.people), func(p *neighbour) (err error) {
		if p.index < len(l.samples) {
			l.samples[p.index], err = p.shareSample(ctx, p.index)
		}
		return err
	})
}

// each does something for all neighbours, so many at once.
func (l *Lab) each(atOnce int, do func(*neighbour) error) error {
	errs := make([]error, len(l.people))
	places := make(chan struct{}, atOnce)
	var group sync.WaitGroup
	for i, p := range l.people {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if errs[i] = do(p); errs[i] != nil {
				errs[i] = fmt.Errorf("lab: %s: %w", p.name, errs[i])
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
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
			group.Go(p.close)
		}
		group.Wait()
		if l.net != nil {
			l.net.Close()
		}
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
	Connect    string   `json:"connect,omitempty" doc:"address of a neighbour, for kith connect; none if they have an internet of their own"`
	Title      string   `json:"title,omitempty" doc:"of the scenario"`
	Seed       uint64   `json:"seed,omitempty"`
	Neighbours []Person `json:"neighbours"`
	Samples    []Sample `json:"samples"`
}

// Person is one neighbour.
type Person struct {
	Number int      `json:"number" doc:"by which commands name it"`
	Name   string   `json:"name"`
	Group  string   `json:"group,omitempty"`
	NAT    string   `json:"nat,omitempty" doc:"what it stands behind"`
	PeerID string   `json:"peer_id"`
	Addrs  []string `json:"addrs"`
}

// Summary returns who there is and what they share.
func (l *Lab) Summary() Summary {
	l.mu.Lock()
	s := Summary{URL: l.URL(), Samples: slices.Clone(l.samples)}
	l.mu.Unlock()
	if l.plan != nil {
		s.Title, s.Seed = l.plan.Scenario.Title, l.plan.Scenario.Seed
	}
	for _, p := range l.people {
		s.Neighbours = append(s.Neighbours, p.person())
	}
	s.Connect = l.connect()
	return s
}

// connect returns the address of a neighbour that a node of the user's can reach; "": there is none.
func (l *Lab) connect() string {
	if l.net != nil {
		return ""
	}
	for _, p := range l.people {
		if addrs := p.person().Addrs; len(addrs) > 0 {
			return addrs[0]
		}
	}
	return ""
}
