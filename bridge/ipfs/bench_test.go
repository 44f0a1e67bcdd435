package ipfs

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"kith"
	"kith/config"
)

// BenchmarkKubo moves a file between Kith and Kubo, both ways, and between two Kubos, in one run; it reports the rates, and those of Kith as ratios to Kubo's.
func BenchmarkKubo(b *testing.B) {
	const size = 128 << 20
	for b.Loop() {
		path := filepath.Join(write(b, map[string][]byte{"film": pseudo(uint64(time.Now().UnixNano()), size)}), "film")
		one, two := newKubo(b, "none"), newKubo(b, "none")
		n := newNode(b, config.IPFS{Peers: []string{one.addr}})
		for _, k := range []*kubo{one, two} {
			k.run("config", "profile", "apply", "unixfs-v1-2025")
		}
		rate := func(run func()) float64 {
			began := time.Now()
			run()
			return size / 1e6 / time.Since(began).Seconds()
		}
		c, err := cid.Decode(one.run("add", "-Q", path))
		if err != nil {
			b.Fatal(err)
		}
		two.run("swarm", "connect", one.addr)
		n.online()
		get := func(k *kubo, c string) { k.run("get", "-o", filepath.Join(b.TempDir(), "out"), c) }
		between := rate(func() { get(two, c.String()) })
		from := rate(func() {
			if _, _, err := n.fetch(kith.Link{Size: -1, Names: kith.Names{IPFS: c}}); err != nil {
				b.Fatal(err)
			}
		})
		other := filepath.Join(write(b, map[string][]byte{"other": pseudo(uint64(time.Now().UnixNano()), size)}), "other")
		_, names := n.share(other)
		two.run("swarm", "connect", n.addr())
		to := rate(func() { get(two, names.IPFS.String()) })
		b.ReportMetric(between, "kubo-kubo-MB/s")
		b.ReportMetric(from, "kubo-kith-MB/s")
		b.ReportMetric(to, "kith-kubo-MB/s")
		b.ReportMetric(from/between, "kubo-kith-ratio")
		b.ReportMetric(to/between, "kith-kubo-ratio")
	}
}
