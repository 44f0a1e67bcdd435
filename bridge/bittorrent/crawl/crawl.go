// Package crawl learns what torrents there are, by asking nodes of the mainline DHT which infohashes they have (BEP 51) and somebody who takes part for the metadata of each (BEP 9).
//
// It sends nothing itself, and tells nobody that this node has or wants what it learns of. Its one idea is to be gentle: a node is asked once in the time that it says, one question is asked a
// second, and few torrents are looked into at once; who leaves it running has some ten thousand names a day, which is plenty to search in.
package crawl

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith"
)

// How much is asked, and kept in mind.
const (
	Pause     = time.Second      // between two questions to nodes
	LearnTime = 90 * time.Second // for one torrent
	atOnce    = 6                // torrents that are looked into
	maxNodes  = 2000             // that are known
	maxHashes = 1000             // that wait to be looked into; more are not taken, and come again
	maxTried  = 100_000          // infohashes that are remembered as looked into
	minAgain  = 10 * time.Minute // until a node is asked again, whatever it says …
	maxAgain  = 6 * time.Hour    // … and at most, as BEP 51 has it
	MaxSample = 20               // infohashes of one answer that are taken: whoever makes some up does not fill what waits
)

// An Answer is what a node of the DHT says.
type Answer struct {
	Hashes []kith.InfoHash
	Every  time.Duration // until it wants to be asked again
	Nodes  []netip.AddrPort
}

// Options of a crawl. All are required.
type Options struct {
	Start  func() []netip.AddrPort                                                            // nodes of the DHT that are known
	Sample func(ctx context.Context, at netip.AddrPort, target kith.InfoHash) (Answer, error) // asks one
	Known  func(kith.InfoHash) bool                                                           // whether a torrent need not be looked into
	Learn  func(ctx context.Context, h kith.InfoHash) error                                   // looks into one until ctx ends
}

// A Crawl is what is known of the DHT. Its methods may be called at once.
type Crawl struct {
	o Options

	mu     sync.Mutex
	nodes  []node // in no order
	at     map[netip.AddrPort]bool
	hashes []kith.InfoHash // that wait
	tried  map[kith.InfoHash]bool
	asked  int
	heard  int
}

type node struct {
	at  netip.AddrPort
	due time.Time
}

// New returns a crawl that has asked nobody.
func New(o Options) *Crawl {
	return &Crawl{o: o, at: map[netip.AddrPort]bool{}, tried: map[kith.InfoHash]bool{}}
}

// Run crawls until ctx ends.
func (c *Crawl) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, atOnce)
	ticker := time.NewTicker(Pause)
	defer ticker.Stop()
	for {
		c.fill(func(h kith.InfoHash) bool {
			select {
			case places <- struct{}{}:
			default:
				return false
			}
			wg.Go(func() {
				defer func() { <-places }()
				ctx, cancel := context.WithTimeout(ctx, LearnTime)
				defer cancel()
				_ = c.o.Learn(ctx, h) // nobody who has it answers: another one
			})
			return true
		})
		if at, ok := c.next(time.Now()); ok {
			wg.Go(func() { c.ask(ctx, at) })
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask asks one node.
func (c *Crawl) ask(ctx context.Context, at netip.AddrPort) {
	var target kith.InfoHash
	for i := range target {
		target[i] = byte(rand.Uint32())
	}
	a, err := c.o.Sample(ctx, at, target)
	c.answered(at, a, err, time.Now())
}

// next returns the node that is to be asked now.
func (c *Crawl) next(now time.Time) (at netip.AddrPort, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hashes) >= maxHashes/2 { // there is enough to do
		return at, false
	}
	c.meet(c.o.Start(), now)
	if len(c.nodes) == 0 {
		return at, false
	}
	first := rand.IntN(len(c.nodes)) // anywhere: all parts of the DHT are as good
	for i := range c.nodes {
		if n := &c.nodes[(first+i)%len(c.nodes)]; !n.due.After(now) {
			n.due = now.Add(minAgain)
			return n.at, true
		}
	}
	return at, false
}

// meet takes in nodes; of too many those are forgotten that can be asked last.
func (c *Crawl) meet(list []netip.AddrPort, now time.Time) {
	for _, at := range list {
		if !c.at[at] && at.Port() != 0 && len(c.nodes) < maxNodes {
			c.at[at] = true
			c.nodes = append(c.nodes, node{at, now})
		}
	}
}

// answered takes in what a node said. Who does not answer, or does not know what was asked, is forgotten.
func (c *Crawl) answered(at netip.AddrPort, a Answer, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	i := slices.IndexFunc(c.nodes, func(n node) bool { return n.at == at })
	if err != nil {
		if i >= 0 {
			c.nodes[i] = c.nodes[len(c.nodes)-1]
			c.nodes = c.nodes[:len(c.nodes)-1]
			delete(c.at, at)
		}
		return
	}
	if i >= 0 {
		c.nodes[i].due = now.Add(min(max(a.Every, minAgain), maxAgain))
	}
	if len(c.nodes) >= maxNodes*9/10 { // room for others: the DHT has millions
		slices.SortFunc(c.nodes, func(a, b node) int { return a.due.Compare(b.due) })
		for _, n := range c.nodes[maxNodes/2:] {
			delete(c.at, n.at)
		}
		c.nodes = c.nodes[:maxNodes/2]
	}
	c.meet(a.Nodes, now)
	for _, h := range a.Hashes[:min(len(a.Hashes), MaxSample)] {
		if len(c.hashes) < maxHashes && !c.tried[h] && !slices.Contains(c.hashes, h) {
			c.hashes = append(c.hashes, h)
			c.heard++
		}
	}
}

// fill begins to look into what waits, as long as begin takes it.
func (c *Crawl) fill(begin func(kith.InfoHash) bool) {
	for {
		h, ok := c.first()
		if !ok || !c.o.Known(h) && !begin(h) {
			return
		}
		c.mu.Lock()
		c.hashes = slices.DeleteFunc(c.hashes, func(o kith.InfoHash) bool { return o == h })
		if len(c.tried) >= maxTried { // then some are looked into again
			clear(c.tried)
		}
		c.tried[h] = true
		c.mu.Unlock()
	}
}

func (c *Crawl) first() (kith.InfoHash, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hashes) == 0 {
		return kith.InfoHash{}, false
	}
	return c.hashes[0], true
}

// Stats is how a crawl goes.
type Stats struct {
	Nodes   int // that are known
	Asked   int // questions
	Heard   int // infohashes
	Waiting int // of these
}

// Stats returns how it goes.
func (c *Crawl) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Nodes: len(c.nodes), Asked: c.asked, Heard: c.heard, Waiting: len(c.hashes)}
}
