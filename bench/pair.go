package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

var pair = benchmark{
	Name:      "pair",
	About:     "1 GiB between two processes over loopback, from the start of the receiver to verified and on disk; fsync on both sides of the comparison",
	Yardstick: "TCP + SHA-256",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		p, close, err := sealed()
		if err != nil {
			return nil, err
		}
		defer close()
		file := filepath.Join(b.tmp, "large")
		if err := makeFile(file, b.mib<<20, 1); err != nil {
			return nil, err
		}
		plain, err := b.plain(ctx, p, p, file)
		if err != nil {
			return nil, err
		}
		_, mine, err := b.exchange(ctx, p, file)
		if err != nil {
			return nil, err
		}
		mine.Ratio = mine.Took.Seconds() / plain.Took.Seconds()
		plain.Ratio = 1
		return []line{plain, mine}, nil
	},
}

// plain is the yardstick: a plain TCP copy, then SHA-256.
func (b *bench) plain(ctx context.Context, from, to place, file string) (line, error) {
	server, addr, err := from.serve(ctx, "tcp-send", from.Addr+":0", file)
	if err != nil {
		return line{}, err
	}
	defer server.stop()
	cmd, err := to.tool(ctx, "tcp-get", addr, filepath.Join(b.tmp, "plain"))
	if err != nil {
		return line{}, err
	}
	b.warm(ctx)
	took, _, err := timed(cmd)
	if err != nil {
		return line{}, err
	}
	if err := os.Remove(filepath.Join(b.tmp, "plain")); err != nil {
		return line{}, err
	}
	state := cmd.ProcessState
	return line{Name: "plain TCP copy, then SHA-256", Took: took, Notes: []note{
		{"CPU s, sender", server.cpu().Seconds(), "%.2f"},
		{"CPU s, receiver", (state.UserTime() + state.SystemTime()).Seconds(), "%.2f"},
	}}, nil
}

// exchange has one new node share a path and another fetch it, each in warm memory. It returns how long sharing took, and the line of the fetcher.
func (b *bench) exchange(ctx context.Context, p place, path string) (shared time.Duration, got line, err error) {
	seed, err := b.up(ctx, p, "seed")
	if err != nil {
		return 0, line{}, err
	}
	defer seed.stop()
	fetcher, err := b.up(ctx, p, "fetcher")
	if err != nil {
		return 0, line{}, err
	}
	defer fetcher.stop()
	b.warm(ctx)
	link, shared, err := seed.share(ctx, path)
	if err != nil {
		return 0, line{}, err
	}
	b.warm(ctx)
	dir := filepath.Join(b.tmp, "got")
	sent, received := seed.cpu(), fetcher.cpu()
	took, err := fetcher.get(ctx, link, dir)
	if err != nil {
		return 0, line{}, err
	}
	return shared, line{Name: "kith get", Took: took, Notes: []note{
		{"CPU s, sender", (seed.cpu() - sent).Seconds(), "%.2f"},
		{"CPU s, receiver", (fetcher.cpu() - received).Seconds(), "%.2f"},
		{"peak MB, sender", seed.memory("VmHWM") / 1e6, "%.0f"},
		{"peak MB, receiver", fetcher.memory("VmHWM") / 1e6, "%.0f"},
	}}, same(path, dir)
}

// same checks that what was fetched, as dir or inside it, is what was shared.
func same(want, dir string) error {
	got := filepath.Join(dir, filepath.Base(want))
	if out, err := exec.Command("diff", "-rq", want, got).CombinedOutput(); err != nil {
		return fmt.Errorf("what was fetched is not what was shared: %w: %s", err, out)
	}
	return nil
}

// settle lets the disk finish what earlier measurements left to it.
func settle() {
	exec.Command("sync").Run()
	time.Sleep(200 * time.Millisecond)
}

// warm settles, and touches as much memory as the large file will take in the page cache. A virtual machine's host takes free memory
// back, and gives each page again only when it is touched: for 1 GiB that costs between 1 and 3 s of system time, more than the
// copy, and whoever happens to write first would pay it.
func (b *bench) warm(ctx context.Context) {
	settle()
	if self, err := os.Executable(); err == nil {
		exec.CommandContext(ctx, self, "touch", strconv.FormatInt(b.mib<<21, 10)).Run()
	}
}
