package main

import (
	"context"
	"time"
)

const idleTime = time.Minute

var idle = benchmark{
	Name:      "idle",
	About:     "a minute after the start, without peers: memory, and the processor time of one more minute",
	Yardstick: "aria2's memory",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		p, close, err := sealed()
		if err != nil {
			return nil, err
		}
		defer close()
		aria, err := start(p.Command(ctx, "aria2c", "--no-conf", "--quiet", "--enable-rpc", "--dir", b.tmp, "--listen-port="+ariaPort))
		if err != nil {
			return nil, err
		}
		defer aria.stop()
		n, err := b.up(ctx, p, "node")
		if err != nil {
			return nil, err
		}
		defer n.stop()
		rest := func() error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(idleTime):
				return nil
			}
		}
		if err := rest(); err != nil {
			return nil, err
		}
		ariaUsed, used := aria.cpu(), n.cpu()
		if err := rest(); err != nil {
			return nil, err
		}
		one := func(name string, r *process, before time.Duration) line {
			return line{Name: name, Ratio: r.memory("VmRSS") / aria.memory("VmRSS"), Notes: []note{
				{"MB resident", r.memory("VmRSS") / 1e6, "%.1f"},
				{"of it, of its own", r.memory("RssAnon") / 1e6, "%.1f"},
				{"% of a core", (r.cpu() - before).Seconds() / idleTime.Seconds() * 100, "%.2f"},
			}}
		}
		return []line{one("aria2", aria, ariaUsed), one("kith up", n.process, used)}, nil
	},
}
