package network

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith/network/maddr"
)

const (
	maxKnown      = 200                 // peers that are remembered
	maxKnownAddrs = 8                   // addresses of each
	maxKnownGroup = 16                  // peers of one Group
	knownAge      = 60 * 24 * time.Hour // after which a peer that was not seen is forgotten
	rememberEvery = 5 * time.Minute     // how often what was learnt is written down
	enoughPeers   = 8                   // with so many connected, remembered ones are left alone
	redialAtOnce  = 4                   // dials that run at once
	redialMin     = 5 * time.Second     // between two rounds while peers are missing; it doubles
	redialAlone   = time.Second         // while nobody at all is connected, until each was dialled once
	redialMax     = 10 * time.Minute    // up to this
	redialRound   = 16                  // remembered peers that are dialled in one round
	redialTimeout = 15 * time.Second
)

var knownPrefix = datastore.NewKey("/kith/known")

// A known peer is one that the node was connected to directly. It is what a small peerstore on disk would hold; libp2p's own (pstoreds) writes each
// address as it comes and keeps caches, which a node at rest should not pay for.
type known struct {
	ID     peer.ID  `cbor:"-"`
	Addrs  [][]byte `cbor:"1,keyasint"`
	Seen   int64    `cbor:"2,keyasint"`           // Unix time in seconds
	First  int64    `cbor:"3,keyasint,omitempty"` // when it was seen first; 0: at Seen
	Group  string   `cbor:"4,keyasint,omitempty"` // of the address that the connection was with, see Group
	Relays bool     `cbor:"5,keyasint,omitempty"` // it relayed for others when it was seen last
	dirty  bool
}

var knownDecoder = func() cbor.DecMode {
	m, err := cbor.DecOptions{MaxArrayElements: 2 * maxKnownAddrs * 8, MaxMapPairs: 16, MaxNestedLevels: 4}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return m
}()

func (k known) info() peer.AddrInfo {
	i := peer.AddrInfo{ID: k.ID}
	for _, b := range k.Addrs[:min(len(k.Addrs), maxKnownAddrs)] {
		if a, err := ma.NewMultiaddrBytes(b); err == nil {
			i.Addrs = append(i.Addrs, a)
		}
	}
	return i
}

// loadKnown reads the remembered peers; rows that cannot be read are dropped.
func (n *Network) loadKnown(ctx context.Context) (map[peer.ID]*known, error) {
	out := map[peer.ID]*known{}
	rows, err := n.store.Query(ctx, query.Query{Prefix: knownPrefix.String()})
	if err != nil {
		return out, err
	}
	defer rows.Close()
	for {
		row, ok := rows.NextSync()
		if !ok {
			return out, nil
		}
		if row.Error != nil {
			return out, row.Error
		}
		k := &known{}
		id, err := peer.Decode(datastore.RawKey(row.Key).BaseNamespace())
		if err != nil || knownDecoder.Unmarshal(row.Value, k) != nil || len(out) >= 2*maxKnown {
			n.store.Delete(ctx, datastore.RawKey(row.Key))
			continue
		}
		k.ID = id
		out[id] = k
	}
}

// meet remembers that p is connected directly, and where it says that it is.
func (n *Network) meet(p peer.ID) {
	var addrs [][]byte
	direct, group := false, ""
	for _, c := range n.host.Network().ConnsToPeer(p) {
		a := c.RemoteMultiaddr()
		if maddr.Transport(a) == "relay" {
			continue
		}
		direct, group = true, maddr.Group(a)
		if c.Stat().Direction == network.DirOutbound { // it answered there
			addrs = append(addrs, a.Bytes())
		}
	}
	if !direct || n.Foreign(p) { // which is no node of this network, to be dialled another day
		return
	}
	for _, a := range n.host.Peerstore().Addrs(p) {
		b := a.Bytes()
		if len(addrs) < maxKnownAddrs && maddr.Transport(a) != "relay" && !slices.ContainsFunc(addrs, func(x []byte) bool { return slices.Equal(x, b) }) {
			addrs = append(addrs, b)
		}
	}
	relays := n.speaksHop(p)
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now().Unix()
	first := now
	if old := n.known[p]; old != nil {
		first = old.first()
	} else if len(n.known) >= 4*maxKnown { // until remember has sorted out who is kept
		return
	}
	n.known[p] = &known{ID: p, Addrs: addrs, Seen: now, First: first, Group: group, Relays: relays, dirty: true}
}

// remember writes down what was learnt since the last time, and forgets what is too old or too much.
func (n *Network) remember() {
	for _, p := range n.host.Network().Peers() {
		relays := n.speaksHop(p)
		n.mu.Lock()
		k := n.known[p]
		if k != nil {
			k.Seen, k.Relays, k.dirty = time.Now().Unix(), relays, true
		}
		n.mu.Unlock()
	}
	ctx := context.Background()
	batch, err := n.store.Batch(ctx)
	if err != nil {
		n.log.Warn("peers could not be remembered", "err", err)
		return
	}
	n.mu.Lock()
	stay := worthKnowing(n.known, time.Now())
	kept := map[peer.ID]bool{}
	for _, k := range stay[:min(len(stay), maxKnown)] {
		kept[k.ID] = true
	}
	for id, k := range n.known {
		key := knownPrefix.ChildString(id.String())
		if !kept[id] {
			delete(n.known, id)
			batch.Delete(ctx, key)
			continue
		}
		if row, err := cbor.Marshal(k); k.dirty && err == nil {
			batch.Put(ctx, key, row)
		}
		k.dirty = false
	}
	n.mu.Unlock()
	if err := batch.Commit(ctx); err != nil {
		n.log.Warn("peers could not be remembered", "err", err)
	}
}

func (k known) first() int64 {
	if k.First == 0 {
		return k.Seen
	}
	return k.First
}

// worthKnowing returns copies of the peers that are worth a place, the best first: in turn who was seen last and who has been known longest, and of one
// Group few. Somebody who connects with a thousand identities, to be all that this node knows when it starts again (an eclipse, Heilman et al. 2015), gets
// at most every second place, and that only from all over the internet.
func worthKnowing(all map[peer.ID]*known, now time.Time) []known {
	oldest := now.Add(-knownAge).Unix()
	var late []known
	for _, k := range all {
		if k.Seen >= oldest {
			late = append(late, *k)
		}
	}
	slices.SortFunc(late, func(a, b known) int { return cmp.Or(cmp.Compare(b.Seen, a.Seen), cmp.Compare(a.ID, b.ID)) })
	long := slices.Clone(late)
	slices.SortStableFunc(long, func(a, b known) int { return cmp.Compare(a.first(), b.first()) })
	var out []known
	taken, groups := map[peer.ID]bool{}, map[string]int{}
	next := func(from []known) []known {
		for i, k := range from {
			if taken[k.ID] || k.Group != "" && groups[k.Group] >= maxKnownGroup {
				continue
			}
			taken[k.ID] = true
			groups[k.Group]++
			out = append(out, k)
			return from[i+1:]
		}
		return nil
	}
	for len(late)+len(long) > 0 {
		late = next(late)
		long = next(long)
	}
	return out
}

// keep dials the wanted peers whenever they are not connected, and remembered ones while there are few: soon after the start, then ever
// more rarely, a few at a time.
func (n *Network) keep(wanted []peer.AddrInfo) {
	n.run(func() {
		wait, turn := redialMin, 0
		for {
			list, more := n.missing(wanted, &turn)
			atOnce, alone := redialAtOnce, len(n.host.Network().Peers()) == 0
			if alone {
				atOnce = redialRound
			}
			n.dialAll(n.ctx, list, atOnce, redialTimeout)
			turn += redialRound
			switch left, _ := n.missing(wanted, &turn); {
			case len(left) == 0:
				wait = redialMin
			case alone && more && len(n.host.Network().Peers()) == 0:
				wait = redialAlone // somebody of all those must be there
			default:
				wait = min(max(2*wait, redialMin), redialMax)
			}
			// Not all nodes of a network that comes back after a power cut shall dial in step.
			t := time.NewTimer(wait/2 + rand.N(wait))
			select {
			case <-n.ctx.Done():
				t.Stop()
				return
			case <-t.C:
			case <-n.kick:
				t.Stop()
				wait = redialMin
			}
		}
	})
}

// reunite dials peers who were lost along with many others, where they were.
func (n *Network) reunite(list []peer.ID) {
	var infos []peer.AddrInfo
	for _, p := range list {
		i := peer.AddrInfo{ID: p, Addrs: n.host.Peerstore().Addrs(p)}
		n.mu.Lock()
		if k := n.known[p]; k != nil && len(i.Addrs) == 0 { // libp2p forgets within a quarter of an hour
			i = k.info()
		}
		n.mu.Unlock()
		infos = append(infos, i)
	}
	if len(infos) > 0 {
		n.run(func() { n.dialAll(n.ctx, infos, returnAtOnce, returnDial) })
	}
}

// missing returns who should be dialled now: all that are wanted, and of those that are remembered the few whose turn it is. more says that there are others.
// A turn beyond the last of them becomes the first again.
func (n *Network) missing(wanted []peer.AddrInfo, turn *int) (list []peer.AddrInfo, more bool) {
	net := n.host.Network()
	for _, p := range wanted {
		if p.ID != n.ID() && net.Connectedness(p.ID) == network.NotConnected {
			list = append(list, p)
		}
	}
	n.mu.Lock()
	old := worthKnowing(n.known, time.Now())
	n.mu.Unlock()
	old = slices.DeleteFunc(old, func(k known) bool { return net.Connectedness(k.ID) != network.NotConnected })
	if len(net.Peers()) >= enoughPeers {
		return list, false
	}
	if *turn >= len(old) {
		*turn = 0
	}
	for _, k := range old[*turn:min(len(old), *turn+redialRound)] {
		list = append(list, k.info())
	}
	return list, *turn+redialRound < len(old)
}

// dialAll connects to each, a few at a time, and gives each a while.
func (n *Network) dialAll(ctx context.Context, list []peer.AddrInfo, atOnce int, patience time.Duration) {
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, p := range list {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return
		}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if err := n.Connect(ctx, p); err != nil {
				n.log.Debug("peer could not be dialled", "peer", p.ID, "err", err)
			}
		})
	}
	wg.Wait()
}
