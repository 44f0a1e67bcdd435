package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"kith/lab/link"
)

const (
	swarmRate  = 50e6 // bits a second, each way
	swarmDelay = 10 * time.Millisecond
	swarmSize  = 64 << 20
	fetchers   = 8
)

var swarm = benchmark{
	Name:      "swarm",
	About:     "one seed, eight fetchers, 64 MiB, lines of 50 Mbit/s each way and 20 ms from one to the other, until all have it",
	Yardstick: "size ÷ rate",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		file := filepath.Join(b.tmp, "file")
		if err := makeFile(file, swarmSize, 3); err != nil {
			return nil, err
		}
		ideal := swarmSize * 8 / swarmRate
		var lines []line
		for _, c := range []struct {
			name string
			run  func(context.Context, []place, string) (time.Duration, error)
		}{
			{"plain TCP, one receiver", b.swarmTCP},
			{"aria2 (BitTorrent)", b.swarmAria},
			{"kith", b.swarmKith},
		} {
			if !b.wants(c.name) {
				continue
			}
			n, err := homes(fetchers+1, swarmRate, swarmDelay)
			if err != nil {
				return nil, err
			}
			took, err := c.run(ctx, places(n), file)
			seed := n.Hosts()[0].Stats()
			n.Close()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			lines = append(lines, line{Name: c.name, Took: took, Ratio: took.Seconds() / ideal, Notes: []note{
				{"sent by the seed, × size", float64(seed.Sent) / swarmSize, "%.2f"},
			}})
		}
		return lines, nil
	},
}

// homes makes hosts that are all alike; the first is the seed's.
func homes(n int, rate float64, delay time.Duration) (*link.Net, error) {
	var hosts []link.Spec
	for i := range n {
		hosts = append(hosts, link.Spec{Name: fmt.Sprintf("home%d", i), Up: rate, Down: rate, Delay: delay})
	}
	return link.New(link.Config{Hosts: hosts})
}

func places(n *link.Net) (places []place) {
	for _, h := range n.Hosts() {
		places = append(places, at(h))
	}
	return places
}

func (b *bench) swarmTCP(ctx context.Context, homes []place, file string) (time.Duration, error) {
	l, err := b.plain(ctx, homes[0], homes[1], file)
	return l.Took, err
}

func (b *bench) swarmKith(ctx context.Context, homes []place, file string) (time.Duration, error) {
	nodes, stop, err := b.nodes(ctx, homes)
	if err != nil {
		return 0, err
	}
	defer stop()
	link, _, err := nodes[0].share(ctx, file)
	if err != nil {
		return 0, err
	}
	settle()
	return b.fetch(ctx, nodes[1:], link, file)
}

// nodes starts a node in each place.
func (b *bench) nodes(ctx context.Context, places []place) (nodes []*node, stop func(), err error) {
	nodes = make([]*node, len(places))
	stop = func() {
		atOnce(nodes, func(_ int, n *node) error {
			if n != nil {
				n.stop()
			}
			return nil
		})
	}
	for i, p := range places {
		if nodes[i], err = b.up(ctx, p, fmt.Sprintf("node%d", i)); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return nodes, stop, nil
}

// fetch lets all nodes fetch the link at once, and checks what they have.
func (b *bench) fetch(ctx context.Context, nodes []*node, link, file string) (time.Duration, error) {
	dir := func(n *node) string { return filepath.Join(n.dir, "got") }
	took, err := atOnce(nodes, func(_ int, n *node) error {
		_, err := n.get(ctx, link, dir(n))
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, n := range nodes {
		if err := same(file, dir(n)); err != nil {
			return 0, err
		}
	}
	return took, nil
}
