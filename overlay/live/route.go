package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/overlay"
	"kith/overlay/kbr"
)

const (
	readyWait = time.Second      // that a search waits for the first peer to be usable
	findTime  = 20 * time.Second // for one search
	findTries = 2
)

// ready lets a search that comes right after the first connection wait until there is somebody to ask.
func (r *Router) ready(ctx context.Context) {
	select {
	case <-r.joined:
		return
	default:
	}
	hope := slices.ContainsFunc(r.host.Network().Peers(), func(p peer.ID) bool {
		known, err := r.host.Peerstore().GetProtocols(p)
		return err != nil || len(known) == 0 || r.speaks(p)
	})
	if !hope {
		return
	}
	end := time.NewTimer(readyWait)
	defer end.Stop()
	select {
	case <-r.joined:
	case <-ctx.Done():
	case <-r.ctx.Done():
	case <-end.C:
	}
}

// nearest searches for who is nearest to a place, warily or not, and tells see of each step, if it is not nil. It is Unavailable if nobody is found.
func (r *Router) nearest(ctx context.Context, key kbr.ID, wary bool, see func(overlay.Step)) (end, error) {
	if err := r.lookAround(ctx); err != nil {
		return end{}, err
	}
	select {
	case r.finds <- struct{}{}:
		defer func() { <-r.finds }()
	case <-ctx.Done():
		return end{}, ctx.Err()
	}
	limit := findTime
	if wary {
		limit = waryTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for range findTries {
		c := make(chan end, 1)
		var tag kbr.Tag
		if err := r.do(ctx, func() { tag = r.find(key, wary, c, see) }); err != nil {
			return end{}, err
		}
		select {
		case e := <-c:
			r.log.Debug("searched", "place", key, "wary", wary, "found", len(e.ids), "path", e.path, "timeouts", e.timeouts, "took", e.took)
			if len(e.ids) > 0 {
				return e, nil
			}
		case <-ctx.Done():
			r.post(func() { r.forget(tag) })
			return end{}, ctx.Err()
		case <-r.ctx.Done():
			return end{}, errClosed
		}
	}
	return end{}, fmt.Errorf("live: nobody is found near the key: %w", kith.Unavailable)
}

// keepers is whom a plain search found.
type keepers struct {
	ids       []peer.ID // who keep what stands at the place, and others behind them, the nearest first, this node among them if it is one
	plausible bool      // they can be those
	more      bool      // this node knows others that it could ask
}

// replicasOf returns who keep what stands at a place, by a plain search.
func (r *Router) replicasOf(ctx context.Context, key kbr.ID) (k keepers, err error) {
	e, err := r.nearest(ctx, key, false, nil)
	switch {
	case err != nil:
		return k, err
	case e.all:
	case e.ids[0] == r.host.ID():
		err = r.do(ctx, func() {
			if more := r.replicas(kbr.MaxNodes); len(more) > 0 {
				e.ids = more
			}
		})
	default: // who is named on the way is named by those before, who know less well
		if a, err := r.request(ctx, e.ids[0], &question{What: near}); err == nil {
			e.ids = e.ids[:1]
			for i := range a.Nodes {
				if info := a.Nodes[i].info(); !slices.Contains(e.ids, info.ID) {
					r.learn(info)
					e.ids = append(e.ids, info.ID)
				}
			}
		}
	}
	if err == nil {
		err = r.do(ctx, func() {
			r.sort(key, e.ids) // they were told as who is nearest to the first, not to the key
			k.plausible, k.more = r.judge(key, e.ids)
		})
	}
	k.ids = e.ids
	return k, err
}

// announceHere makes an announcement of a key and keeps it here: whoever asks this node learns of it at once.
func (r *Router) announceHere(ctx context.Context, key []byte) (item, error) {
	self := r.host.ID()
	it, err := announce(r.host.Peerstore().PrivKey(self), self, key, r.info(self).Addrs, r.now())
	if err == nil {
		_, _, err = r.store.put(ctx, it, self, "")
	}
	return it, err
}

// Provide announces key now and keeps announcing it until Withdraw, over restarts. If announce is false, only who asks this node learns of it.
func (r *Router) Provide(ctx context.Context, key cid.Cid, announce bool) error {
	if !key.Defined() {
		return fmt.Errorf("live: provide: no key: %w", kith.Invalid)
	}
	if len(key.Hash()) > maxKey {
		return fmt.Errorf("live: provide: a key of %d bytes: %w", len(key.Hash()), kith.TooLarge)
	}
	if _, err := r.announceHere(ctx, key.Hash()); err != nil {
		return fmt.Errorf("live: provide: %w", err)
	}
	if !announce {
		return nil
	}
	if err := r.own.add(ctx, key.Hash(), r.now(), false); err != nil {
		return fmt.Errorf("live: provide: %w", err)
	}
	poke(r.due)
	return nil
}

// Withdraw implements overlay.Router.
func (r *Router) Withdraw(ctx context.Context, keys ...cid.Cid) error {
	var errs []error
	for _, k := range keys {
		if k.Defined() {
			errs = append(errs, r.own.remove(ctx, k.Hash()), r.store.forget(ctx, k.Hash()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("live: withdraw: %w", err)
	}
	return nil
}

// holders returns who may keep what stands under a key, by a plain search: those whose it is, and, where these are fewer than there ought to be, whoever is connected, since
// then the network is small, or this node is only just coming into it.
func (r *Router) holders(ctx context.Context, key []byte) (keepers, error) {
	k, err := r.replicasOf(ctx, place(key))
	k.ids = k.ids[:min(copies, len(k.ids))]
	if err != nil && !errors.Is(err, kith.Unavailable) || len(k.ids) >= copies {
		return k, err
	}
	if e := r.do(ctx, func() {
		for _, n := range r.gates() {
			if id := r.peers.id(n); len(k.ids) < copies && !slices.Contains(k.ids, id) {
				k.ids = append(k.ids, id)
			}
		}
	}); e != nil {
		return k, e
	}
	if len(k.ids) > 0 {
		err = nil
	}
	return k, err
}

// A seer is told what a peer has of what was asked for. It says whether any of that is right, and whether to go on.
type seer func(p peer.ID, items []item) (right, on bool)

// askAll asks those who are to keep what stands under a key, all at once, and hands over what each has, this node's own first. A peer that does not answer has nothing. Where
// nothing is right, or others ought to keep it than those whom a plain search finds, those are asked too whom a wary one does.
func (r *Router) askAll(ctx context.Context, space uint8, key []byte, see seer) error {
	own, err := r.store.get(ctx, space, key)
	if err != nil {
		return fmt.Errorf("live: %w", err)
	}
	here, on := see(r.host.ID(), own)
	if !on {
		return nil
	}
	r.ready(ctx)
	near, err := r.holders(ctx, key)
	if err != nil {
		return err
	}
	there, on, err := r.askEach(ctx, near.ids, space, key, see)
	if err != nil || !on || !near.more || near.plausible && (here || there) {
		return err
	}
	ids, err := r.warily(ctx, place(key))
	if err == nil {
		ids = slices.DeleteFunc(ids, func(p peer.ID) bool { return slices.Contains(near.ids, p) })
		_, _, err = r.askEach(ctx, ids, space, key, see)
		return err
	}
	r.log.Debug("no wary search", "err", err)
	return ctx.Err()
}

// askEach asks peers what they keep under a key, all at once, until see has enough.
func (r *Router) askEach(ctx context.Context, ids []peer.ID, space uint8, key []byte, see seer) (right, on bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel() // first
	type got struct {
		p     peer.ID
		items []item
	}
	c := make(chan got, len(ids))
	for _, p := range ids {
		if p == r.host.ID() {
			c <- got{p: p}
			continue
		}
		work.Go(func() {
			a, err := r.request(ctx, p, &question{What: gets, Space: space, Key: key})
			if err != nil {
				c <- got{}
				return
			}
			a.Items = slices.DeleteFunc(a.Items, func(it item) bool { return it.Space != space || string(it.Key) != string(key) })
			c <- got{p, a.Items}
		})
	}
	for range ids {
		select {
		case g := <-c:
			if g.p == "" || g.p == r.host.ID() {
				continue
			}
			is, on := see(g.p, g.items)
			if right = right || is; !on {
				return right, false, nil
			}
		case <-ctx.Done():
			return right, false, ctx.Err()
		}
	}
	return right, true, nil
}

// FindProvidersAsync implements routing.ContentRouting: up to count providers, or all that are found if it is 0. The channel is closed when the search
// is over; who stops reading before ends ctx.
func (r *Router) FindProvidersAsync(ctx context.Context, key cid.Cid, count int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		if !key.Defined() {
			return
		}
		r.providers(ctx, key.Hash(), func(p peer.AddrInfo) bool {
			select {
			case out <- p:
				count--
				return count != 0
			case <-ctx.Done():
				return false
			}
		})
	}()
	return out
}

// providers hands over who has announced a key, each once.
func (r *Router) providers(ctx context.Context, key []byte, see func(peer.AddrInfo) bool) error {
	found := map[peer.ID]bool{}
	return r.askAll(ctx, announcements, key, func(_ peer.ID, items []item) (right, on bool) {
		for _, it := range items {
			a, err := readAnnouncement(key, it.Data)
			if err != nil {
				continue
			}
			if right = true; found[peer.ID(a.Peer)] {
				continue
			}
			p := peer.AddrInfo{ID: peer.ID(a.Peer), Addrs: readAddrs(a.Addrs)}
			found[p.ID] = true
			if r.host.Network().Connectedness(p.ID) == network.Connected {
				p.Addrs = together(r.host.Peerstore().Addrs(p.ID), p.Addrs)
			}
			if !see(p) {
				return true, false
			}
		}
		return right, true
	})
}

// FindPeer implements routing.PeerRouting. It is NotFound if nobody knows p.
func (r *Router) FindPeer(ctx context.Context, p peer.ID) (peer.AddrInfo, error) {
	if err := ctx.Err(); err != nil {
		return peer.AddrInfo{}, kinded(err)
	}
	if info := r.host.Peerstore().PeerInfo(p); p == r.host.ID() || r.host.Network().Connectedness(p) == network.Connected && len(info.Addrs) > 0 {
		return info, nil
	}
	var found peer.AddrInfo
	err := r.providers(ctx, placeKey(p), func(info peer.AddrInfo) bool {
		found = info
		return false
	})
	if len(found.Addrs) > 0 {
		return found, nil
	}
	if info := r.host.Peerstore().PeerInfo(p); err == nil && len(info.Addrs) > 0 { // a node of the overlay itself, that was named on the way
		return info, nil
	}
	if err != nil && !errors.Is(err, kith.Unavailable) {
		return peer.AddrInfo{}, kinded(err)
	}
	return peer.AddrInfo{}, fmt.Errorf("live: find %s: %w: %w", p, routing.ErrNotFound, kith.NotFound)
}

func placeKey(p peer.ID) []byte { return append([]byte(placeOfPeer), p...) }

// PutValue implements routing.ValueStore. A value that its validator refuses is Invalid, one that is older than what is kept here or where it belongs Exists. While no
// peer is known, the value is kept here and given to who asks.
func (r *Router) PutValue(ctx context.Context, key string, value []byte, _ ...routing.Option) error {
	it := item{Space: values, Key: []byte(key), Data: value}
	if err := r.validator.Validate(key, value); err != nil {
		return fmt.Errorf("live: put %.40q: %v: %w", key, err, kith.Invalid)
	}
	if len(value) > maxValue || len(key) > maxKey {
		return fmt.Errorf("live: put %.40q: %d bytes: %w", key, len(value), kith.TooLarge)
	}
	exists := fmt.Errorf("live: put %.40q: a newer value is there: %w", key, kith.Exists)
	if code, _, err := r.store.put(ctx, it, r.host.ID(), ""); err != nil {
		return fmt.Errorf("live: put %.40q: %w", key, err)
	} else if code == older {
		return exists
	}
	r.ready(ctx)
	ids, err := r.keepersOf(ctx, place(it.Key))
	if err != nil && !errors.Is(err, kith.Unavailable) {
		return kinded(err)
	}
	var work sync.WaitGroup
	codes := make([]uint8, len(ids))
	for i, p := range ids {
		codes[i] = full
		if p != r.host.ID() {
			work.Go(func() {
				if c := r.give(ctx, p, []item{it}, i == 0); len(c) > 0 {
					codes[i] = c[0]
				}
			})
		}
	}
	work.Wait()
	if slices.Contains(codes, older) {
		return exists
	}
	if settled := r.tending.settled(r.now()); !settled || !slices.Contains(codes, kept) {
		r.tending.took(place(it.Key)) // it goes to others when there are some, and to those whose it is when all know each other
		if !settled {
			poke(r.changed)
		}
	}
	return kinded(ctx.Err())
}

// GetValue implements routing.ValueStore. It is NotFound if nobody has a valid value.
func (r *Router) GetValue(ctx context.Context, key string, opts ...routing.Option) ([]byte, error) {
	ch, err := r.SearchValue(ctx, key, opts...)
	if err != nil {
		return nil, err
	}
	var best []byte
	for v := range ch {
		best = v
	}
	if best == nil {
		if err := ctx.Err(); err != nil {
			return nil, kinded(err)
		}
		return nil, fmt.Errorf("live: get %.40q: %w: %w", key, routing.ErrNotFound, kith.NotFound)
	}
	return best, nil
}

// SearchValue implements routing.ValueStore: each value that it sends is better than the one before.
func (r *Router) SearchValue(ctx context.Context, key string, _ ...routing.Option) (<-chan []byte, error) {
	if len(key) == 0 || len(key) > maxKey {
		return nil, fmt.Errorf("live: search %.40q: %w", key, kith.Invalid)
	}
	out := make(chan []byte)
	go func() {
		defer close(out)
		var best []byte
		var behind []peer.ID // who has none, or an older one
		var with []peer.ID   // who has the best
		err := r.askAll(ctx, values, []byte(key), func(p peer.ID, items []item) (right, on bool) {
			if len(items) == 0 || r.validator.Validate(key, items[0].Data) != nil {
				behind = append(behind, p)
				return false, true
			}
			v := items[0].Data
			if string(v) == string(best) {
				with = append(with, p)
				return true, true
			}
			if best != nil {
				if i, err := r.validator.Select(key, [][]byte{best, v}); err != nil || i == 0 {
					behind = append(behind, p)
					return true, true
				}
			}
			best, behind, with = v, append(behind, with...), []peer.ID{p}
			select {
			case out <- v:
				return true, true
			case <-ctx.Done():
				return true, false
			}
		})
		if err == nil && best != nil {
			r.mend(item{Space: values, Key: []byte(key), Data: best}, behind)
		}
	}()
	return out, nil
}

// mend brings a value to those who are to keep it and have none, or an older one, in the background.
func (r *Router) mend(it item, behind []peer.ID) {
	select {
	case r.finds <- struct{}{}:
	default:
		return // there is more to do than that
	}
	r.post(func() { // where work can be begun until all ends
		r.work.Go(func() {
			defer func() { <-r.finds }()
			for _, p := range behind {
				if p != r.host.ID() {
					r.give(r.ctx, p, []item{it}, false)
				}
			}
		})
	})
}

// Closest implements overlay.Router. This node itself is never among them.
func (r *Router) Closest(ctx context.Context, key []byte, n int) (out []peer.AddrInfo, err error) {
	r.ready(ctx)
	near, err := r.replicasOf(ctx, place(key))
	if errors.Is(err, kith.Unavailable) {
		return nil, nil
	}
	for _, p := range near.ids {
		if p != r.host.ID() && len(out) < n {
			out = append(out, r.host.Peerstore().PeerInfo(p))
		}
	}
	return out, kinded(err)
}

// kinded gives an error the Kind that fits.
func kinded(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("live: %w: %w", err, kith.Timeout)
	case errors.Is(err, errClosed), errors.Is(err, kith.Unavailable):
		return err
	}
	return fmt.Errorf("live: %w", err)
}

// together returns the addresses of two lists, each once, and not too many.
func together(a, b []ma.Multiaddr) (all []ma.Multiaddr) {
	for _, x := range append(slices.Clone(a), b...) {
		if len(all) < maxAddrs && !slices.ContainsFunc(all, x.Equal) {
			all = append(all, x)
		}
	}
	return all
}
