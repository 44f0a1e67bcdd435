package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
)

const (
	benchNodes  = 64      // of the private DHT
	benchKeys   = 100_000 // told by the sweeping provider
	benchLegacy = 300     // told one by one, from which the time of all is reckoned
)

// asked counts what the nodes of a private DHT were asked.
type asked struct{ lookups, records atomic.Int64 }

// privateDHT starts nodes of a DHT on loopback that know each other, and returns the addresses of the first.
func privateDHT(b *testing.B, n int) (boot []string, count *asked) {
	b.Helper()
	ctx, count := context.Background(), &asked{}
	var first peer.AddrInfo
	for i := range n {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			b.Fatal(err)
		}
		opts := []dht.Option{
			dht.ProtocolExtension("/lan"), dht.Mode(dht.ModeServer), dht.AddressFilter(func(as []ma.Multiaddr) []ma.Multiaddr { return as }),
			dht.OnRequestHook(func(_ context.Context, _ network.Stream, m *pb.Message) {
				switch m.GetType() {
				case pb.Message_FIND_NODE, pb.Message_GET_PROVIDERS:
					count.lookups.Add(1)
				case pb.Message_ADD_PROVIDER:
					count.records.Add(1)
				}
			}),
		}
		if i > 0 {
			opts = append(opts, dht.BootstrapPeers(first))
		}
		d, err := dht.New(h, opts...)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { d.Close(); h.Close() })
		if i == 0 {
			first = peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
			boot = []string{h.Addrs()[0].String() + "/p2p/" + h.ID().String()}
			continue
		}
		if err := h.Connect(ctx, first); err != nil {
			b.Fatal(err)
		}
		<-d.RefreshRoutingTable()
	}
	return boot, count
}

// BenchmarkProvide tells a private DHT of many keys, by sweeping and, for some of them, one by one as it was done before; it reports requests and time for each key, and the ratios.
func BenchmarkProvide(b *testing.B) {
	boot, count := privateDHT(b, benchNodes)
	on, err := Open(Options{Dir: b.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: boot, Loopback: true, Log: slog.New(slog.DiscardHandler),
		Blocks: blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))})
	if err != nil {
		b.Fatal(err)
	}
	defer on.Close()
	ctx := context.Background()
	for end := time.Now().Add(time.Minute); on.dht.LAN.RoutingTable().Size() < benchNodes/2; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("only %d of %d nodes are known", on.dht.LAN.RoutingTable().Size(), benchNodes)
		}
		<-on.dht.LAN.RefreshRoutingTable() // an error: nobody is connected yet
	}
	key := func(i uint64) multihash.Multihash {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		m, _ := multihash.Encode(sum[:], multihash.SHA2_256)
		return m
	}
	next := uint64(0)
	for b.Loop() {
		lookups, began := count.lookups.Load(), time.Now()
		for range benchLegacy {
			next++
			if err := on.dht.LAN.Provide(ctx, cid.NewCidV1(cid.Raw, key(next)), true); err != nil {
				b.Fatal(err)
			}
		}
		legacyTime, legacyLookups := time.Since(began).Seconds()/benchLegacy, float64(count.lookups.Load()-lookups)/benchLegacy
		keys := make([]multihash.Multihash, benchKeys)
		for i := range keys {
			next++
			keys[i] = key(next)
		}
		lookups, records := count.lookups.Load(), count.records.Load()
		began = time.Now()
		if err := on.Provide(ctx, true, keys); err != nil {
			b.Fatal(err)
		}
		sweepTime, sweepLookups := time.Since(began).Seconds()/benchKeys, float64(count.lookups.Load()-lookups)/benchKeys
		b.ReportMetric(legacyLookups*benchKeys, "legacy-requests")
		b.ReportMetric(sweepLookups*benchKeys, "sweep-requests")
		b.ReportMetric(float64(count.records.Load()-records)/benchKeys, "records/key")
		b.ReportMetric(legacyTime*benchKeys, "legacy-s")
		b.ReportMetric(sweepTime*benchKeys, "sweep-s")
		b.ReportMetric(legacyTime/sweepTime, "time-ratio")
	}
}
