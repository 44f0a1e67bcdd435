package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	smallCount = 20_000
	smallSize  = 4 << 10
)

var small = benchmark{
	Name:      "small",
	About:     "20,000 files of 4 KiB, shared by one process and fetched by another over loopback, beside a copy of them",
	Yardstick: "cp -r",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		p, close, err := sealed()
		if err != nil {
			return nil, err
		}
		defer close()
		folder := filepath.Join(b.tmp, "folder")
		if err := makeFolder(folder, smallCount, smallSize); err != nil {
			return nil, err
		}
		b.warm(ctx)
		copied, _, err := timed(exec.CommandContext(ctx, "cp", "-r", folder, filepath.Join(b.tmp, "copy")))
		if err != nil {
			return nil, err
		}
		flushed, _, err := timed(exec.CommandContext(ctx, "sync"))
		if err != nil {
			return nil, err
		}
		shared, got, err := b.exchange(ctx, p, folder)
		if err != nil {
			return nil, err
		}
		got.Ratio = got.Took.Seconds() / copied.Seconds()
		return []line{
			{Name: "cp -r", Took: copied, Ratio: 1},
			{Name: "cp -r, then sync", Took: copied + flushed, Ratio: (copied + flushed).Seconds() / copied.Seconds()},
			{Name: "kith share", Took: shared, Ratio: shared.Seconds() / copied.Seconds()},
			got,
		}, nil
	},
}

var share = benchmark{
	Name:      "share",
	About:     "1 GiB shared where it is, beside the BLAKE3 of it",
	Yardstick: "b3sum",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		p, close, err := sealed()
		if err != nil {
			return nil, err
		}
		defer close()
		file := filepath.Join(b.tmp, "large")
		if err := makeFile(file, b.mib<<20, 2); err != nil {
			return nil, err
		}
		n, err := b.up(ctx, p, "seed")
		if err != nil {
			return nil, err
		}
		defer n.stop()
		b.warm(ctx)
		if _, err := os.ReadFile(file); err != nil { // both find it in the page cache
			return nil, err
		}
		hashed, _, err := timed(exec.CommandContext(ctx, "b3sum", file))
		if err != nil {
			return nil, err
		}
		used := n.cpu()
		_, shared, err := n.share(ctx, file)
		if err != nil {
			return nil, err
		}
		return []line{
			{Name: "b3sum", Took: hashed, Ratio: 1},
			{Name: "kith share", Took: shared, Ratio: shared.Seconds() / hashed.Seconds(), Notes: []note{{"CPU s", (n.cpu() - used).Seconds(), "%.2f"}}},
		}, nil
	},
}
