package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/api"
	"kith/app"
	"kith/config"
	"kith/lab/sample"
	"kith/lab/scenario"
	"kith/lab/sim"
	"kith/node"
)

// How the neighbours live: slowly enough to watch.
const (
	slowest  = 220 << 10 // bytes a second that a neighbour sends at least …
	faster   = 260 << 10 // … and up to so many more
	look     = 300 * time.Millisecond
	think    = 3 * time.Second  // at most, before the next wish
	enjoy    = 25 * time.Second // at most, with everything there is
	stopTime = 5 * time.Second  // for a node to stop
	meetTime = 20 * time.Second // for two to meet when they move in
)

var names = []string{
	"Ada", "Bao", "Chidi", "Dalia", "Emil", "Farah", "Goran", "Hana", "Iris", "Jun", "Kofi", "Lena", "Mei", "Noor", "Otto", "Pia",
	"Quinn", "Rosa", "Samir", "Tala", "Udo", "Vera", "Wen", "Ximena", "Yara", "Zoe", "Anders", "Bela", "Carla", "Dimitri", "Elif", "Femi",
	"Gita", "Hugo", "Ines", "Jonas", "Kaya", "Luca", "Mila", "Nils", "Olga", "Paco", "Rami", "Sana", "Theo", "Uma", "Viktor", "Wanda", "Xavi", "Yusuf",
}

// nameOf returns the name of neighbour i: no two have the same.
func nameOf(i int) string {
	if round := i / len(names); round > 0 {
		return fmt.Sprintf("%s %d", names[i%len(names)], round+1)
	}
	return names[i]
}

// A neighbour is one node, and a will: it wants what others have, forgets something when it has everything, and wants it again.
type neighbour struct {
	lab   *Lab
	index int
	name  string
	place scenario.Host
	host  *sim.Host // nil: on the loopback

	change sync.Mutex // held while the node starts or stops

	mu   sync.Mutex // guards what follows
	node *node.Node // nil: it is away
	apps []app.App
	door *api.Server // its own interface, if somebody has opened it
	id   peer.ID
	had  []float64 // of each sample, when it was last asked
}

func (p *neighbour) home() string { return filepath.Join(p.lab.dir, p.name) }
func (p *neighbour) dir() string  { return filepath.Join(p.home(), "kith") }

// open starts the neighbour's node.
func (p *neighbour) open(ctx context.Context) error {
	p.change.Lock()
	defer p.change.Unlock()
	if p.running() != nil {
		return fmt.Errorf("lab: %s is here: %w", p.name, kith.Exists)
	}
	if err := os.MkdirAll(p.shelf(), 0o700); err != nil {
		return err
	}
	up := p.place.Up
	if up == 0 {
		up = slowest + rand.Int64N(faster)
	}
	apps, guard := p.lab.o.Apps()
	o := node.Options{
		Dir: p.dir(), Apps: apps, Guard: guard, Version: p.lab.o.Version, NoMDNS: true, NoUPnP: true,
		Config: config.Config{Network: p.lab.o.Network, Overlay: p.lab.o.Overlay, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Files: filepath.Join(p.home(), "fetched"), Up: up},
		Log:    p.lab.o.Log.With("node", p.name),
	}
	if p.host != nil {
		p.host.Plug(true)
		o.Packets, o.Config.Listen = p.host.ListenUDP, p.host.Listen()
	}
	n, err := node.Open(ctx, o)
	if err != nil {
		return err
	}
	if p.host != nil {
		n.Network().Befriend(p.lab.has) // those in a lab carry for each other as friends do
	}
	if err := n.Start(ctx, entry{p}, p.lab.server.Addr()); err != nil {
		stop(n)
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.node, p.apps, p.id = n, apps, n.Network().ID()
	return nil
}

// stop stops the neighbour's node, and reports whether there was one. With a host it is as if somebody had pulled the plug: the others are not told.
func (p *neighbour) stop() bool {
	p.change.Lock()
	defer p.change.Unlock()
	p.mu.Lock()
	n, door := p.node, p.door
	p.node, p.apps, p.door = nil, nil, nil
	p.mu.Unlock()
	if n == nil {
		return false
	}
	if door != nil {
		door.Close()
	}
	if p.host != nil {
		p.host.Plug(false)
	}
	stop(n)
	return true
}

func (p *neighbour) close() { p.stop() }

func stop(n *node.Node) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	n.Close(ctx)
}

// running returns the neighbour's node, nil if it is away.
func (p *neighbour) running() *node.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.node
}

func (p *neighbour) person() Person {
	out := Person{Number: p.index + 1, Name: p.name, Group: p.place.Group, NAT: string(p.place.Kind), Addrs: []string{}}
	p.mu.Lock()
	out.PeerID = p.id.String()
	p.mu.Unlock()
	if n := p.running(); n != nil {
		for _, a := range n.Network().Addrs() {
			out.Addrs = append(out.Addrs, a.String())
		}
	}
	return out
}

// meetAll connects the neighbour to those that it knows from the start; one of them is enough.
func (p *neighbour) meetAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, meetTime)
	defer cancel()
	var errs []error
	for _, i := range p.place.Knows {
		errs = append(errs, p.meet(ctx, p.lab.people[i]))
	}
	if len(errs) == 0 || slices.Contains(errs, nil) {
		return nil
	}
	return errors.Join(errs...)
}

// meet connects the neighbour to another.
func (p *neighbour) meet(ctx context.Context, other *neighbour) error {
	a, b := p.running(), other.running()
	if a == nil || b == nil {
		return fmt.Errorf("lab: %s or %s is away: %w", p.name, other.name, kith.Unavailable)
	}
	return a.Network().Connect(ctx, peer.AddrInfo{ID: b.Network().ID(), Addrs: b.Network().Host().Addrs()})
}

// ask calls an operation of the neighbour's files, as its own person would, and returns the last value that it yields.
func ask[Out any](ctx context.Context, p *neighbour, op string, in any) (out Out, err error) {
	p.mu.Lock()
	apps := p.apps
	p.mu.Unlock()
	if apps == nil {
		return out, fmt.Errorf("lab: %s is away: %w", p.name, kith.Unavailable)
	}
	i := slices.IndexFunc(apps, func(a app.App) bool { return a.Name == "files" })
	if i < 0 {
		return out, fmt.Errorf("lab: the nodes have no files: %w", kith.Internal)
	}
	j := slices.IndexFunc(apps[i].Ops, func(o app.Op) bool { return o.Name == op })
	if j < 0 {
		return out, fmt.Errorf("lab: files cannot %s: %w", op, kith.Internal)
	}
	input, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	var last any
	for v, err := range apps[i].Ops[j].Run(ctx, func(into any) error { return json.Unmarshal(input, into) }) {
		if err != nil {
			return out, err
		}
		last = v
	}
	output, err := json.Marshal(last)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(output, &out)
}

func (p *neighbour) shelf() string { return filepath.Join(p.home(), "shared") }

// shareSample makes sample number i and shares it.
func (p *neighbour) shareSample(ctx context.Context, i int) (Sample, error) {
	path, err := sample.Make(p.shelf(), i)
	if err != nil {
		return Sample{}, err
	}
	return p.share(ctx, path)
}

// share shares a file.
func (p *neighbour) share(ctx context.Context, path string) (Sample, error) {
	shared, err := ask[struct{ Shared []Sample }](ctx, p, "share", map[string]any{"paths": []string{path}})
	if err != nil {
		return Sample{}, err
	}
	if len(shared.Shared) != 1 {
		return Sample{}, fmt.Errorf("lab: share: %d results, want 1: %w", len(shared.Shared), kith.Internal)
	}
	shared.Shared[0].Owner = p.index
	return shared.Shared[0], nil
}

// holding is what the neighbour's files say of one item.
type holding struct {
	Ref     kith.Ref
	Kind    string
	State   string
	Size    int64
	Done    int64
	Rate    float64
	Sources int
}

func (h holding) complete() bool { return h.State == "ready" || h.State == "done" }

func (p *neighbour) holdings(ctx context.Context) ([]holding, error) {
	out, err := ask[struct{ Items []holding }](ctx, p, "ls", struct{}{})
	return out.Items, err
}

// live wants one thing after the other until ctx ends.
func (p *neighbour) live(ctx context.Context) {
	for pause(ctx, think) {
		held, err := p.holdings(ctx)
		if err != nil {
			continue
		}
		var missing, fetched []int
		for i, s := range p.lab.shared() {
			j := slices.IndexFunc(held, func(h holding) bool { return h.Ref == s.Ref })
			switch {
			case j < 0 || !held[j].complete():
				missing = append(missing, i)
			case held[j].Kind == "download":
				fetched = append(fetched, i)
			}
		}
		if len(missing) > 0 {
			p.fetch(ctx, missing[rand.IntN(len(missing))])
			continue
		}
		if !pause(ctx, enjoy) || len(fetched) == 0 {
			continue
		}
		i := fetched[rand.IntN(len(fetched))]
		if _, err := ask[any](ctx, p, "rm", map[string]any{"ref": p.lab.shared()[i].Ref, "delete": true}); err == nil {
			p.lab.tell(Happening{Who: p.index, Verb: "forgot", Sample: i})
		}
	}
}

// fetch fetches sample i, and says so when it is there. It gives up when the neighbour goes away: what is not complete goes on by itself when it is back.
func (p *neighbour) fetch(ctx context.Context, i int) {
	s := p.lab.shared()[i]
	p.lab.tell(Happening{Who: p.index, Verb: "wants", Sample: i})
	start := time.Now()
	if _, err := ask[any](ctx, p, "get", map[string]any{"link": s.Link, "detach": true}); err != nil {
		p.lab.o.Log.Warn("fetch", "node", p.name, "err", err)
		return
	}
	sources := 0
	for sleep(ctx, look) {
		held, err := p.holdings(ctx)
		j := slices.IndexFunc(held, func(h holding) bool { return h.Ref == s.Ref })
		if err != nil || j < 0 || held[j].State == "failed" {
			return
		}
		sources = max(sources, held[j].Sources)
		if held[j].complete() {
			p.lab.tell(Happening{Who: p.index, Verb: "has", Sample: i, Sources: cmp.Or(sources, 1), Took: time.Since(start).Seconds()})
			return
		}
	}
}

// pause waits a while, at most so long, and reports whether life goes on.
func pause(ctx context.Context, most time.Duration) bool {
	return sleep(ctx, most/8+time.Duration(rand.Int64N(int64(most))))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
