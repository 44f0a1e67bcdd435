package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
	"kith/config"
	"kith/lab/sample"
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
)

var names = []string{
	"Ada", "Bao", "Chidi", "Dalia", "Emil", "Farah", "Goran", "Hana", "Iris", "Jun", "Kofi", "Lena", "Mei", "Noor", "Otto", "Pia",
	"Quinn", "Rosa", "Samir", "Tala", "Udo", "Vera", "Wen", "Ximena", "Yara", "Zoe", "Anders", "Bela", "Carla", "Dimitri", "Elif", "Femi",
}

func nameOf(i int) string { return names[i%len(names)] }

// A neighbour is one node, and a will: it wants what others have, forgets something when it has everything, and wants it again.
type neighbour struct {
	lab   *Lab
	index int
	name  string
	node  *node.Node
	apps  []app.App
	rand  *rand.Rand
}

// open starts the neighbour's node and shares its sample.
func (p *neighbour) open(ctx context.Context) (Sample, error) {
	p.rand = rand.New(rand.NewPCG(uint64(p.index), uint64(p.lab.started.UnixNano())))
	home := filepath.Join(p.lab.dir, p.name)
	shelf := filepath.Join(home, "shared")
	if err := os.MkdirAll(shelf, 0o700); err != nil {
		return Sample{}, err
	}
	apps, guard := p.lab.o.Apps()
	p.apps = apps
	n, err := node.Open(ctx, node.Options{
		Dir: filepath.Join(home, "kith"), Apps: apps, Guard: guard, Version: p.lab.o.Version, NoMDNS: true, NoUPnP: true,
		Config: config.Config{
			Network: p.lab.o.Network, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Files: filepath.Join(home, "fetched"),
			Up: slowest + int64(p.rand.IntN(faster)),
		},
		Log: p.lab.o.Log.With("node", p.name),
	})
	if err != nil {
		return Sample{}, err
	}
	p.node = n
	if err := n.Start(ctx, p.lab.server, p.lab.server.Addr()); err != nil {
		return Sample{}, err
	}
	path, err := sample.Make(shelf, p.index)
	if err != nil {
		return Sample{}, err
	}
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

func (p *neighbour) close() {
	if p.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	p.node.Close(ctx)
}

func (p *neighbour) person() Person {
	out := Person{Name: p.name, PeerID: p.node.Network().ID().String(), Addrs: []string{}}
	for _, a := range p.node.Network().Addrs() {
		out.Addrs = append(out.Addrs, a.String())
	}
	return out
}

// meet connects the neighbour to another.
func (p *neighbour) meet(ctx context.Context, other *neighbour) error {
	infos, err := peer.AddrInfosFromP2pAddrs(other.node.Network().Addrs()...)
	if err != nil || len(infos) != 1 {
		return fmt.Errorf("lab: %s has no address: %w", other.name, errOr(err, kith.Internal))
	}
	return p.node.Network().Connect(ctx, infos[0])
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// ask calls an operation of the neighbour's files, as its own person would, and returns the last value that it yields.
func ask[Out any](ctx context.Context, p *neighbour, op string, in any) (out Out, err error) {
	i := slices.IndexFunc(p.apps, func(a app.App) bool { return a.Name == "files" })
	if i < 0 {
		return out, fmt.Errorf("lab: the nodes have no files: %w", kith.Internal)
	}
	j := slices.IndexFunc(p.apps[i].Ops, func(o app.Op) bool { return o.Name == op })
	if j < 0 {
		return out, fmt.Errorf("lab: files cannot %s: %w", op, kith.Internal)
	}
	input, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	var last any
	for v, err := range p.apps[i].Ops[j].Run(ctx, func(into any) error { return json.Unmarshal(input, into) }) {
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
	for p.pause(ctx, think) {
		held, err := p.holdings(ctx)
		if err != nil {
			continue
		}
		var missing, fetched []Sample
		for _, s := range p.lab.samples {
			i := slices.IndexFunc(held, func(h holding) bool { return h.Ref == s.Ref })
			switch {
			case i < 0 || !held[i].complete():
				missing = append(missing, s)
			case held[i].Kind == "download":
				fetched = append(fetched, s)
			}
		}
		if len(missing) > 0 {
			p.fetch(ctx, missing[p.rand.IntN(len(missing))])
			continue
		}
		if !p.pause(ctx, enjoy) || len(fetched) == 0 {
			continue
		}
		s := fetched[p.rand.IntN(len(fetched))]
		if _, err := ask[any](ctx, p, "rm", map[string]any{"ref": s.Ref, "delete": true}); err == nil {
			p.lab.tell(Happening{Who: p.index, Verb: "forgot", Sample: s.Owner})
		}
	}
}

// fetch fetches one sample, and says so when it is there.
func (p *neighbour) fetch(ctx context.Context, s Sample) {
	p.lab.tell(Happening{Who: p.index, Verb: "wants", Sample: s.Owner})
	start := time.Now()
	if _, err := ask[any](ctx, p, "get", map[string]any{"link": s.Link, "detach": true}); err != nil {
		p.lab.o.Log.Warn("fetch", "node", p.name, "err", err)
		return
	}
	sources := 0
	for sleep(ctx, look) {
		held, err := p.holdings(ctx)
		i := slices.IndexFunc(held, func(h holding) bool { return h.Ref == s.Ref })
		if err != nil || i < 0 || held[i].State == "failed" {
			return
		}
		sources = max(sources, held[i].Sources)
		if held[i].complete() {
			p.lab.tell(Happening{Who: p.index, Verb: "has", Sample: s.Owner, Sources: cmp.Or(sources, 1), Took: time.Since(start).Seconds()})
			return
		}
	}
}

// pause waits a while, at most so long, and reports whether life goes on.
func (p *neighbour) pause(ctx context.Context, most time.Duration) bool {
	return sleep(ctx, most/8+time.Duration(p.rand.Int64N(int64(most))))
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
