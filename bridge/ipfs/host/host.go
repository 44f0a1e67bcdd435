// Package host is this computer as a peer of IPFS: a libp2p host of its own, bitswap, the DHT, and what tells the DHT what is here.
//
// It is not for what the blocks are (ipfs), and knows no names. Its one idea: it has a peer id and ports of its own, made for IPFS alone, and stores nothing for strangers: what
// it says of this computer is what whoever opened it has published.
package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/client"
	bsnet "github.com/ipfs/boxo/bitswap/network"
	bsnetwork "github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/bitswap/network/httpnet"
	"github.com/ipfs/boxo/bitswap/server"
	"github.com/ipfs/boxo/bitswap/tracer"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/dual"
	dualprovider "github.com/libp2p/go-libp2p-kad-dht/provider/dual"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	librecord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/internal/atomicfile"
	"kith/internal/sqlds"
)

const (
	dialTime    = 20 * time.Second
	redialEvery = 30 * time.Second // of the peers that are always dialled

	outstanding = 16 << 20 // bytes that are under way to one peer: several leaves of 1 MiB, so that a round trip costs no bandwidth
	maxWants    = 4096     // that a peer may leave here
	maxBlock    = 2 << 20  // bytes
	maxCidSize  = 168      // bytes of a CID that a peer may ask for
)

// Options say what a Host is to be. Dir and Blocks are required.
type Options struct {
	Dir       string   // existing; for the key, the port, and what the DHT is told
	Listen    []string // multiaddrs; none: TCP, QUIC, WebTransport, WebSocket and WebRTC on a port that is kept once chosen
	Bootstrap []string // multiaddrs of nodes of the DHT to begin with; nil: those of IPFS' own programs
	Peers     []string // multiaddrs that are dialled again whenever they are not connected
	Routers   []string // URLs of delegated routers
	Web       bool     // fetch from web servers that are announced in the DHT
	UPnP      bool     // ask the router for a way in
	Loopback  bool     // everybody is on this computer: its own addresses are told and believed
	Blocks    blockstore.Blockstore
	Tracer    tracer.Tracer
	Log       *slog.Logger
}

// Check refuses addresses that are none. Its error is Invalid.
func Check(o Options) error {
	for _, list := range [][]string{o.Bootstrap, o.Peers} {
		if _, err := addrInfos(list); err != nil {
			return err
		}
	}
	return nil
}

func addrInfos(list []string) ([]peer.AddrInfo, error) {
	var as []ma.Multiaddr
	for _, s := range list {
		a, err := ma.NewMultiaddr(s)
		if err == nil {
			_, err = peer.AddrInfoFromP2pAddr(a)
		}
		if err != nil {
			return nil, kith.Hint(fmt.Errorf("address %.200q: %v: %w", s, err, kith.Invalid), "it looks like /ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…")
		}
		as = append(as, a)
	}
	return peer.AddrInfosFromP2pAddrs(as...)
}

// Host is a running host of IPFS. Its methods may be called at once.
type Host struct {
	o        Options
	libp2p   host.Host
	dht      *dual.DHT
	net      bsnet.BitSwapNetwork
	swap     *bitswap.Bitswap
	provider *dualprovider.SweepingProvider
	keys     keystore.Keystore
	kept     *sqlds.Store
	find     *finder
	ctx      context.Context
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
}

// Open starts a host, and what speaks over it. Errors: Unavailable (it cannot listen), Corrupt (the key), Invalid.
func Open(o Options) (_ *Host, err error) {
	on := &Host{o: o}
	on.ctx, on.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			on.Close()
		}
	}()
	if on.kept, _, err = sqlds.Open(filepath.Join(on.o.Dir, "routing.db"), on.o.Log); err != nil {
		return nil, err
	}
	if on.libp2p, err = on.listen(); err != nil {
		return nil, err
	}
	if err := on.route(); err != nil {
		return nil, err
	}
	on.find = &finder{dht: on.dht}
	if on.find.others, err = on.routers(); err != nil {
		return nil, err
	}
	on.net = on.exchange()
	on.swap = bitswap.New(on.ctx, on.net, on.find, o.Blocks,
		bitswap.WithTracer(o.Tracer),
		bitswap.WithoutDuplicatedBlockStats(),
		bitswap.WithClientOption(client.BroadcastControlEnable(false)),
		bitswap.WithServerOption(server.MaxOutstandingBytesPerPeer(outstanding)),
		bitswap.WithServerOption(server.MaxQueuedWantlistEntriesPerPeer(maxWants)),
		bitswap.WithServerOption(server.MaxCidSize(maxCidSize)))
	on.dialAll()
	return on, nil
}

// exchange returns what bitswap is spoken over.
func (on *Host) exchange() bsnet.BitSwapNetwork {
	h := on.libp2p
	swap := bsnetwork.NewFromIpfsHost(h)
	if !on.o.Web {
		return swap
	}
	return bsnet.New(h.Peerstore(), swap, httpnet.New(h, httpnet.WithUserAgent("kith"), httpnet.WithMaxBlockSize(maxBlock)))
}

// key returns the host's key, which is random and no other key's child.
func (on *Host) key() (crypto.PrivKey, error) {
	path := filepath.Join(on.o.Dir, "peer.key")
	data, err := os.ReadFile(path)
	if err == nil {
		key, err := crypto.UnmarshalPrivateKey(data)
		if err != nil {
			return nil, kith.Hint(fmt.Errorf("%s: %w: %w", path, err, kith.Corrupt), "move it away: the next start makes another")
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err == nil {
		data, err = crypto.MarshalPrivateKey(key)
	}
	if err == nil {
		err = atomicfile.Write(path, data, 0o600)
	}
	return key, err
}

// route starts the DHT and what tells it what is here.
func (on *Host) route() (err error) {
	boot, err := on.bootstrap()
	if err != nil {
		return err
	}
	validator := librecord.NamespacedValidator{"pk": librecord.PublicKeyValidator{}, "ipns": ipns.Validator{KeyBook: on.libp2p.Peerstore()}}
	opts := []dual.Option{
		dual.DHTOption(dht.Datastore(namespace.Wrap(on.kept, datastore.NewKey("/dht"))), dht.Validator(validator), dht.BucketSize(20)),
		dual.WanDHTOption(dht.BootstrapPeers(boot...), dht.Mode(dht.ModeClient)), // strangers' records are not kept
		dual.LanDHTOption(dht.Mode(dht.ModeServer)),
	}
	if on.o.Loopback {
		opts = append(opts, dual.LanDHTOption(dht.AddressFilter(func(as []ma.Multiaddr) []ma.Multiaddr { return as }), dht.BootstrapPeers(boot...)))
	}
	if on.dht, err = dual.New(on.libp2p, opts...); err != nil {
		return err
	}
	if on.keys, err = keystore.NewKeystore(namespace.Wrap(on.kept, datastore.NewKey("/keys"))); err != nil {
		return err
	}
	if err := on.keys.Empty(on.ctx); err != nil { // what is published now puts its own again
		return err
	}
	if on.provider, err = dualprovider.New(on.dht, dualprovider.WithKeystore(on.keys), dualprovider.WithDatastore(namespace.Wrap(on.kept, datastore.NewKey("/provide")))); err != nil {
		return err
	}
	return on.dht.Bootstrap(on.ctx)
}

func (on *Host) bootstrap() ([]peer.AddrInfo, error) {
	if on.o.Bootstrap == nil {
		return dht.GetDefaultBootstrapPeerAddrInfos(), nil
	}
	return addrInfos(on.o.Bootstrap)
}

// dialAll connects to the nodes to begin with, and keeps those connected that the person named.
func (on *Host) dialAll() {
	boot, _ := on.bootstrap()
	named, _ := addrInfos(on.o.Peers)
	for _, p := range named {
		on.libp2p.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.PermanentAddrTTL)
		on.libp2p.ConnManager().Protect(p.ID, "named")
	}
	on.tasks.Go(func() {
		for list := append(boot, named...); ; list = named {
			var all sync.WaitGroup
			for _, p := range list {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(on.ctx, dialTime)
					defer cancel()
					if err := on.libp2p.Connect(ctx, p); err != nil {
						on.o.Log.Debug("dial", "peer", p.ID, "err", err)
					}
				})
			}
			all.Wait()
			select {
			case <-on.ctx.Done():
				return
			case <-time.After(redialEvery):
			}
		}
	})
}

// Close ends it.
func (on *Host) Close() {
	on.cancel()
	on.tasks.Wait()
	var errs []error
	if on.swap != nil {
		errs = append(errs, on.swap.Close())
	}
	if on.provider != nil {
		errs = append(errs, on.provider.Close())
	}
	if on.keys != nil {
		errs = append(errs, on.keys.Close())
	}
	if on.dht != nil {
		errs = append(errs, on.dht.Close())
	}
	if on.libp2p != nil {
		errs = append(errs, on.libp2p.Close())
	}
	if on.kept != nil {
		errs = append(errs, on.kept.Close())
	}
	if err := errors.Join(errs...); err != nil {
		on.o.Log.Debug("host closed", "err", err)
	}
}

// port returns the port that was listened on last, or 0.
func (on *Host) port() int {
	data, err := os.ReadFile(filepath.Join(on.o.Dir, "port"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}

var httpClient = &http.Client{Timeout: time.Minute}
