package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	scaleRate  = 15e6 // bits a second, each way: so that 33 lines stay within what two cores can carry
	scaleDelay = 10 * time.Millisecond
	scaleSize  = 8 << 20
	scaleMost  = 32
)

var scale = benchmark{
	Name:      "scale",
	About:     "one source, 1 to 32 fetchers of 8 MiB, lines of 15 Mbit/s each way and 20 ms: the rate of all together, and what the source sent",
	Yardstick: "size ÷ rate",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		n, err := homes(scaleMost+1, scaleRate, scaleDelay)
		if err != nil {
			return nil, err
		}
		defer n.Close()
		all := places(n)
		dir := filepath.Join(b.tmp, "files")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		server, addr, err := all[0].serve(ctx, "http", all[0].Addr+":0", dir)
		if err != nil {
			return nil, err
		}
		defer server.stop()
		nodes, stop, err := b.nodes(ctx, all)
		if err != nil {
			return nil, err
		}
		defer stop()
		var lines []line
		for count := 1; count <= scaleMost; count *= 2 {
			file := filepath.Join(dir, fmt.Sprintf("file%d", count))
			if err := makeFile(file, scaleSize, byte(count)); err != nil {
				return nil, err
			}
			link, _, err := nodes[0].share(ctx, file)
			if err != nil {
				return nil, err
			}
			for _, c := range []struct {
				name string
				run  func() (time.Duration, error)
			}{
				{"HTTP", func() (time.Duration, error) { return b.fetchHTTP(ctx, all[1:1+count], addr, file) }},
				{"kith", func() (time.Duration, error) { return b.fetch(ctx, nodes[1:1+count], link, file) }},
			} {
				if !b.wants(c.name) {
					continue
				}
				settle()
				before := n.Hosts()[0].Stats().Sent
				took, err := c.run()
				if err != nil {
					return nil, fmt.Errorf("%s, %d fetchers: %w", c.name, count, err)
				}
				lines = append(lines, line{
					Name: fmt.Sprintf("%s, %d", c.name, count), Took: took, Ratio: took.Seconds() / (scaleSize * 8 / scaleRate),
					Notes: []note{
						{"all together, × line rate", float64(count) * scaleSize * 8 / took.Seconds() / scaleRate, "%.1f"},
						{"sent by the source, × size", float64(n.Hosts()[0].Stats().Sent-before) / scaleSize, "%.2f"},
					},
				})
			}
		}
		return lines, nil
	},
}

func (b *bench) fetchHTTP(ctx context.Context, homes []place, addr, file string) (time.Duration, error) {
	return atOnce(homes, func(i int, p place) error {
		cmd, err := p.tool(ctx, "http-get", "http://"+addr+"/"+filepath.Base(file), filepath.Join(b.tmp, fmt.Sprintf("http%d", i)))
		if err != nil {
			return err
		}
		_, _, err = timed(cmd)
		return err
	})
}
