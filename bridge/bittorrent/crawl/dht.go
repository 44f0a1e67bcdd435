package crawl

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"

	"kith"
	"kith/bridge/bittorrent/metainfo"
	"kith/bridge/bittorrent/stranger"
)

const (
	sampleTime = 5 * time.Second // for an answer of a node
	maxPeers   = 20              // that are asked for the metadata of one torrent
	peersAtOne = 4               // at once
)

// DHT returns Options by which nodes of the DHT are asked as these servers are, and peers as dial reaches them. What is learned goes to heard.
func DHT(servers []*dht.Server, dial func(ctx context.Context, at netip.AddrPort) (net.Conn, error), known func(kith.InfoHash) bool, heard func(*metainfo.Info)) Options {
	d := mainline{servers, dial, heard}
	return Options{Start: d.start, Sample: d.sample, Known: known, Learn: d.learn}
}

type mainline struct {
	servers []*dht.Server // one for IPv4 and one for IPv6 (BEP 32)
	dial    func(ctx context.Context, at netip.AddrPort) (net.Conn, error)
	heard   func(*metainfo.Info)
}

func (d mainline) start() (list []netip.AddrPort) {
	for _, s := range d.servers {
		for _, n := range s.Nodes() {
			list = append(list, addr(n.Addr))
		}
	}
	return list
}

// addr returns the address of a node or peer; the zero AddrPort if it has none.
func addr(a krpc.NodeAddr) netip.AddrPort {
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok || a.Port < 1 || a.Port >= 1<<16 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(a.Port))
}

// server returns who asks an address.
func (d mainline) server(at netip.AddrPort) *dht.Server {
	for _, s := range d.servers {
		if a, ok := s.Addr().(*net.UDPAddr); ok && (a.AddrPort().Addr().Unmap().Is4() == at.Addr().Is4()) {
			return s
		}
	}
	return nil
}

// sample asks a node which infohashes it has (BEP 51).
func (d mainline) sample(ctx context.Context, at netip.AddrPort, target kith.InfoHash) (Answer, error) {
	s := d.server(at)
	if s == nil {
		return Answer{}, fmt.Errorf("bittorrent: no way to ask %s: %w", at, kith.Unavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	res := s.Query(ctx, dht.NewAddr(net.UDPAddrFromAddrPort(at)), "sample_infohashes", dht.QueryInput{MsgArgs: krpc.MsgArgs{Target: krpc.ID(target)}, NumTries: 1})
	if err := res.ToError(); err != nil {
		return Answer{}, fmt.Errorf("bittorrent: ask %s for infohashes: %w", at, err)
	}
	r := res.Reply.R
	if r == nil || r.Samples == nil {
		return Answer{}, fmt.Errorf("bittorrent: %s does not say which infohashes it has: %w", at, kith.Unavailable)
	}
	var a Answer
	if r.Interval != nil {
		a.Every = time.Duration(*r.Interval) * time.Second
	}
	for _, h := range *r.Samples {
		a.Hashes = append(a.Hashes, kith.InfoHash(h))
	}
	r.ForAllNodes(func(n krpc.NodeInfo) {
		if p := addr(n.Addr); p.IsValid() && stranger.May(at.Addr(), p.Addr()) {
			a.Nodes = append(a.Nodes, p)
		}
	})
	return a, nil
}

// learn finds peers of a torrent, and asks them for its metadata until one gives it.
func (d mainline) learn(ctx context.Context, h kith.InfoHash) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	peers := make(chan netip.AddrPort)
	var find, ask sync.WaitGroup
	for _, s := range d.servers {
		find.Go(func() { lookUp(ctx, s, h, peers) })
	}
	go func() {
		find.Wait()
		close(peers)
	}()
	var mu sync.Mutex
	tried := map[netip.AddrPort]bool{}
	take := func(at netip.AddrPort) bool {
		mu.Lock()
		defer mu.Unlock()
		if tried[at] || len(tried) >= maxPeers {
			return false
		}
		tried[at] = true
		return true
	}
	err := fmt.Errorf("bittorrent: nobody gives the metadata of %x: %w", h[:], kith.NotFound)
	for range peersAtOne {
		ask.Go(func() {
			for at := range peers {
				if !take(at) {
					continue
				}
				in, why := d.askOne(ctx, at, h)
				mu.Lock()
				if why == nil && err != nil {
					err = nil
					d.heard(in)
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	ask.Wait()
	return err
}

func (d mainline) askOne(ctx context.Context, at netip.AddrPort, h kith.InfoHash) (*metainfo.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, peerTime)
	defer cancel()
	c, err := d.dial(ctx, at)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	raw, err := Metadata(ctx, c, h)
	if err != nil {
		return nil, err
	}
	return metainfo.Parse(raw)
}

// lookUp sends those to peers whom the DHT names, until ctx ends or it knows no more. It tells the DHT of nobody.
func lookUp(ctx context.Context, s *dht.Server, h kith.InfoHash, peers chan<- netip.AddrPort) {
	ann, err := s.AnnounceTraversal(h)
	if err != nil {
		return
	}
	defer ann.Close()
	for {
		select {
		case v, ok := <-ann.Peers:
			if !ok {
				return
			}
			for _, p := range stranger.Named(v) {
				at, err := netip.ParseAddrPort(p.Addr.String())
				if err != nil {
					continue
				}
				select {
				case peers <- at:
				case <-ctx.Done():
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}
