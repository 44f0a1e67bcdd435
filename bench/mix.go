package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kith"
	"kith/lab/link"
)

// The lines that each has the file behind, in bytes of whole packets a second: slow enough that two cores are not what limits them together.
const (
	mixSwarm = 4e6
	mixIPFS  = 6e6
	mixNode  = 8e6
	mixDelay = 10 * time.Millisecond
	mixPart  = 8 // of the large file
)

var mix = benchmark{
	Name: "mix",
	About: "one file of 128 MiB that aria2 has behind a line of 4 MB/s, Kubo behind one of 6 and a Kith node behind one of 8, all 10 ms away: fetched by `kith get` from each alone, and from all of them at once, " +
		"from the command until the whole is verified and on disk",
	Yardstick: "the sum of the three alone",
	Run: func(ctx context.Context, b *bench) ([]line, error) {
		w, err := newMixWorld(ctx, b)
		if w != nil {
			defer w.close()
		}
		if err != nil {
			return nil, err
		}
		swarm, ipfs, node := w.link, w.link, w.link
		swarm.Ref, swarm.IPFS, swarm.Peers = kith.Ref{}, kith.Names{}.IPFS, nil
		ipfs.Ref, ipfs.V1, ipfs.V2, ipfs.Swarm, ipfs.Peers = kith.Ref{}, kith.Names{}.V1, kith.Names{}.V2, nil, nil
		node.IPFS, node.V1, node.V2, node.Swarm = kith.Names{}.IPFS, kith.Names{}.V1, kith.Names{}.V2, nil
		var lines []line
		sum := 0.0
		for _, c := range []struct {
			name string
			from kith.Link
			line float64
		}{{"aria2 alone", swarm, mixSwarm}, {"Kubo alone", ipfs, mixIPFS}, {"a Kith node alone", node, mixNode}, {"all at once", w.link, mixSwarm + mixIPFS + mixNode}} {
			took, cpu, err := w.fetch(ctx, c.from)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			rate := float64(w.size) / took.Seconds()
			l := line{Name: c.name, Took: took, Notes: []note{
				{"MB/s", rate / 1e6, "%.2f"},
				{"× its lines", rate / c.line, "%.2f"},
				{"CPU s, receiver", cpu.Seconds(), "%.2f"},
			}}
			if len(lines) == 3 {
				l.Ratio = rate / sum
			}
			sum += rate
			lines = append(lines, l)
		}
		return lines, nil
	},
}

// A mixWorld is three who have a file, each behind a line of its own, and a computer that fetches it.
type mixWorld struct {
	*bench
	net     *link.Net
	running []*process
	size    int64
	file    string
	link    kith.Link // names it in all networks, and who has it
	kubo    *kubo
	fetched int
}

// newMixWorld also returns what is to be closed when there is an error.
func newMixWorld(ctx context.Context, b *bench) (w *mixWorld, err error) {
	w = &mixWorld{bench: b, size: b.mib << 20 / mixPart, file: filepath.Join(b.tmp, "film")}
	if w.net, err = link.New(link.Config{Hosts: []link.Spec{
		{Name: "aria2", Up: 8 * mixSwarm, Delay: mixDelay}, {Name: "kubo", Up: 8 * mixIPFS, Delay: mixDelay}, {Name: "node", Up: 8 * mixNode, Delay: mixDelay}, {Name: "here"},
	}}); err != nil {
		return nil, err
	}
	homes := places(w.net)
	if err := makeFile(w.file, w.size, 5); err != nil {
		return w, err
	}
	torrent := filepath.Join(b.tmp, "film.torrent")
	if err := w.name(ctx, homes[2], torrent); err != nil {
		return w, err
	}

	aria2, err := start(homes[0].Command(ctx, "aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--file-allocation=none", "--listen-port="+ariaPort,
		"--check-integrity", "--seed-ratio=0", "-d", b.tmp, torrent))
	if err != nil {
		return w, err
	}
	w.running = append(w.running, aria2)
	w.link.Swarm = []string{homes[0].Addr + ":" + ariaPort}

	if w.kubo, err = newKubo(ctx, homes[1], filepath.Join(b.tmp, "repo")); err != nil {
		return w, err
	}
	if err := w.kubo.add(ctx, w.file, w.link.IPFS.String()); err != nil {
		return w, err
	}
	daemon, err := w.kubo.daemon(ctx)
	if daemon != nil {
		w.running = append(w.running, daemon)
	}
	if err != nil {
		return w, err
	}

	n, err := b.up(ctx, homes[2], "node") // which knows of no other network
	if err != nil {
		return w, err
	}
	w.running = append(w.running, n.process)
	shared, _, err := n.share(ctx, w.file)
	if err != nil {
		return w, err
	}
	l, err := kith.ParseLink(shared)
	if err == nil && l.Ref != w.link.Ref {
		err = fmt.Errorf("one node calls it %s, another %s", w.link.Ref, l.Ref)
	}
	w.link.Peers = l.Peers
	return w, err
}

// name has a node that is gone afterwards say what the file is called in each network.
func (w *mixWorld) name(ctx context.Context, p place, torrent string) error {
	n, err := w.up(ctx, p, "maker")
	if err != nil {
		return err
	}
	defer n.stop()
	_, out, err := timed(n.command(ctx, "share", w.file, "--for", "public", "--networks", "bittorrent,ipfs", "--torrent", torrent))
	if err != nil {
		return err
	}
	var one struct{ Link string }
	if err = json.Unmarshal(out, &one); err == nil {
		w.link, err = kith.ParseLink(one.Link)
	}
	return err
}

// fetch has a new node fetch it.
func (w *mixWorld) fetch(ctx context.Context, from kith.Link) (took, cpu time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, bridgeTime)
	defer cancel()
	w.fetched++
	here := places(w.net)[3]
	name := fmt.Sprintf("here%d", w.fetched)
	conf := fmt.Sprintf("[bittorrent]\nport = %d\ndht = false\nlpd = false\n[ipfs]\nlisten = [\"/ip4/%s/tcp/4001\"]\npeers = [%q]\n", 7000+w.fetched, here.Addr, w.kubo.addr())
	if err := os.MkdirAll(filepath.Join(w.tmp, name), 0o755); err != nil {
		return 0, 0, err
	}
	if err := os.WriteFile(filepath.Join(w.tmp, name, "config.toml"), []byte(conf), 0o600); err != nil {
		return 0, 0, err
	}
	n, err := w.up(ctx, here, name)
	if err != nil {
		return 0, 0, err
	}
	defer n.stop()
	w.warm(ctx)
	dir, before := filepath.Join(w.tmp, "got"), n.cpu()
	if took, err = n.get(ctx, strings.TrimSpace(from.String()), dir); err != nil {
		return 0, 0, err
	}
	cpu = n.cpu() - before
	got := filepath.Join(dir, filepath.Base(w.file))
	if err := same(w.file, dir); err != nil {
		return 0, 0, err
	}
	return took, cpu, os.Remove(got)
}

func (w *mixWorld) close() {
	for _, r := range w.running {
		r.stop()
	}
	w.net.Close()
}
