package ipfs

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	bsmsg "github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"kith/bridge/ipfs/host"
	"kith/bridge/ipfs/unixfs"
	"kith/transfer"
)

const (
	maxAsked     = 16                     // peers that are asked what they have of one download, at once
	maxQuestion  = 256                    // blocks that a peer is asked about at once; it may remember no more than 1024
	maxSurvey    = 1 << 14                // blocks of one download that are asked about; of the rest it is thought that they are there
	answerTime   = 5 * time.Second        // a peer that has not answered a question by then is left until the next round
	roundTime    = 10 * time.Second       // for all questions to one peer
	askAgainMin  = 5 * time.Second        // a peer is asked again about what it had not after this …
	askAgainMax  = time.Minute            // … doubled up to this while nothing new is there
	roundsApart  = 250 * time.Millisecond // at least
	firstAnswers = 500 * time.Millisecond // that a download waits for answers before it begins
	replacesHave = 1 << 10                // bytes: peers send a block of up to this size where they should say that they have it
)

var _ transfer.Knower = (*origin)(nil)

// holders is what peers have said that they have of one download (HAVE and DONT_HAVE of bitswap 1.2.0).
type holders struct {
	kick chan struct{} // cap 1: there is more to ask about

	mu    sync.Mutex
	peers map[peer.ID]*holder
}

// A holder is a peer that was asked.
type holder struct {
	has     map[string]bool // by multihash: its answer
	waiting map[string]bool // what it has not answered yet
	done    chan struct{}   // cap 1: it has answered everything
	any     bool            // it has something
	news    bool            // it has something more since the last round
	again   time.Time       // when it is asked again about what it had not
	wait    time.Duration
}

// A block is a part of a file, as far as the DAG is known: a leaf, or an inner node that has not come yet.
type block struct {
	cid  cid.Cid
	span transfer.Span
}

// Available implements transfer.Knower: what peers have said. Until one has answered, and with gateways and web servers, of which nobody can tell, anything may be there.
func (o *origin) Available() ([]transfer.Span, bool) {
	on := o.b.net.now()
	if on == nil || len(o.fetcher.urls) > 0 || o.fromWeb(on) {
		return nil, false
	}
	connected := on.Peers()
	all, rest := o.survey(maxSurvey)
	o.holders.mu.Lock()
	defer o.holders.mu.Unlock()
	var there []*holder
	for _, p := range connected {
		if h := o.holders.peers[p]; h != nil && len(h.has) > 0 {
			there = append(there, h)
		}
	}
	if len(there) == 0 {
		return nil, false
	}
	var spans []transfer.Span
	for _, b := range all {
		asked, has := false, b.span.N <= replacesHave
		for _, h := range there {
			answer, ok := h.has[string(b.cid.Hash())]
			if asked = asked || ok; answer {
				has = true
				break
			}
		}
		if has || !asked {
			spans = join(spans, b.span)
		}
	}
	return append(spans, rest...), true
}

// join adds a span, to the last if they touch.
func join(spans []transfer.Span, s transfer.Span) []transfer.Span {
	if last := len(spans) - 1; last >= 0 && spans[last].File == s.File && spans[last].Off+spans[last].N == s.Off {
		spans[last].N += s.N
		return spans
	}
	return append(spans, s)
}

// fromWeb reports whether a block of it came from somebody who is not connected: a web server that the DHT named.
func (o *origin) fromWeb(on *host.Host) bool {
	if !o.b.o.Config.Web {
		return false
	}
	o.b.moves.mu.Lock()
	defer o.b.moves.mu.Unlock()
	for name := range o.from {
		if p, err := peer.Decode(name); err != nil || !on.Connected(p) {
			return true
		}
	}
	return false
}

// survey returns the blocks of which peers can say whether they have them, at most max, and the parts of files that are not among them.
func (o *origin) survey(max int) (all []block, rest []transfer.Span) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.layout == nil {
		return nil, nil
	}
	left := max
	for i, f := range o.files {
		s := surveyor{o: o, file: i, size: f.size}
		if left > 0 && f.size > 0 {
			s.visit(unixfs.Part{Cid: f.cid, Size: f.size}, 0, 0, &left)
		}
		all, rest = append(all, s.blocks...), append(rest, s.rest...)
		if f.size > s.end {
			rest = append(rest, transfer.Span{File: i, Off: s.end, N: f.size - s.end})
		}
	}
	return all, rest
}

// A surveyor goes through what is known of the DAG of one file. origin.mu is held.
type surveyor struct {
	o      *origin
	file   int
	size   int64
	end    int64 // what is before it was visited
	blocks []block
	rest   []transfer.Span // what inner nodes hold themselves
}

// visit goes below p, which stands at off. It ends where a parent has lied of sizes: Fetch says so.
func (s *surveyor) visit(p unixfs.Part, off int64, depth int, left *int) {
	if *left <= 0 || depth > maxDepth || p.Size <= 0 || off != s.end || p.Size > s.size-off {
		return
	}
	*left--
	n, ok := s.o.decoded[p.Cid]
	if !ok {
		s.blocks = append(s.blocks, block{p.Cid, transfer.Span{File: s.file, Off: off, N: p.Size}})
		s.end = off + p.Size
		return
	}
	if k := int64(len(n.Data)); k > 0 && k <= p.Size {
		s.rest = append(s.rest, transfer.Span{File: s.file, Off: off, N: k})
		s.end = off + k
	}
	for _, below := range n.Parts {
		s.visit(below, s.end, depth+1, left)
	}
}

// ask asks peers what they have, again and again until o is closed. first is closed after the first round.
func (o *origin) ask(first chan<- struct{}) {
	for round := 0; ; round++ {
		if on := o.b.net.now(); on != nil {
			o.round(on)
		}
		if round == 0 {
			close(first)
		}
		select {
		case <-o.ctx.Done():
			return
		case <-time.After(roundsApart):
		}
		select {
		case <-o.ctx.Done():
			return
		case <-o.holders.kick:
		case <-time.After(askAgainMin):
		}
	}
}

// round asks each of some peers about what it has not been asked, and now and then about what it had not.
func (o *origin) round(on *host.Host) {
	all, _ := o.survey(maxSurvey)
	var asked sync.WaitGroup
	for _, p := range o.whom(on) {
		asked.Go(func() {
			ctx, cancel := context.WithTimeout(o.ctx, roundTime)
			defer cancel()
			questions := o.questions(p, all)
			for len(questions) > 0 && ctx.Err() == nil {
				n := min(maxQuestion, len(questions))
				if err := o.question(ctx, on, p, questions[:n]); err != nil {
					o.b.log.Debug("ask what is there", "peer", p, "err", err)
					return
				}
				questions = questions[n:]
			}
		})
	}
	asked.Wait()
}

// whom returns the peers to ask: those that have something first. The others that are connected no more are forgotten.
func (o *origin) whom(on *host.Host) []peer.ID {
	list := on.Swappers()
	o.b.moves.mu.Lock()
	gave := make(map[peer.ID]bool, len(list))
	for _, p := range list {
		gave[p] = o.from[p.String()] > 0
	}
	o.b.moves.mu.Unlock()
	o.holders.mu.Lock()
	defer o.holders.mu.Unlock()
	rank := func(p peer.ID) int {
		switch h := o.holders.peers[p]; {
		case gave[p], h != nil && h.any:
			return 0
		case h == nil: // somebody new
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b peer.ID) int { return cmp.Compare(rank(a), rank(b)) })
	list = list[:min(len(list), maxAsked)]
	for p := range o.holders.peers {
		if !slices.Contains(list, p) {
			delete(o.holders.peers, p)
		}
	}
	for _, p := range list {
		if o.holders.peers[p] == nil {
			o.holders.peers[p] = &holder{has: map[string]bool{}, waiting: map[string]bool{}, done: make(chan struct{}, 1), wait: askAgainMin / 2}
		}
	}
	return list
}

// questions returns what p is to be asked about now.
func (o *origin) questions(p peer.ID, all []block) (out []cid.Cid) {
	o.holders.mu.Lock()
	h := o.holders.peers[p]
	again := !time.Now().Before(h.again)
	if again {
		h.wait = min(2*h.wait, askAgainMax)
		if h.news {
			h.wait, h.news = askAgainMin, false
		}
		h.again = time.Now().Add(h.wait)
	}
	var old []block
	seen := map[string]bool{}
	for _, b := range all {
		key := string(b.cid.Hash())
		if answer, ok := h.has[key]; seen[key] || b.span.N <= replacesHave || answer || ok && !again {
			continue
		} else if seen[key] = true; ok {
			old = append(old, b)
			continue
		}
		out = append(out, b.cid)
	}
	o.holders.mu.Unlock()
	for _, b := range old {
		if !o.content.Has(b.span) {
			out = append(out, b.cid)
		}
	}
	return out
}

// question asks p about some blocks, and waits until it has answered.
func (o *origin) question(ctx context.Context, on *host.Host, p peer.ID, list []cid.Cid) error {
	o.holders.mu.Lock()
	h := o.holders.peers[p]
	clear(h.waiting)
	for _, c := range list {
		h.waiting[string(c.Hash())] = true
	}
	select {
	case <-h.done:
	default:
	}
	o.holders.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if err := on.Ask(ctx, p, list); err != nil {
		return err
	}
	var err error
	select {
	case <-h.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	// What it has not it remembers, to tell when it comes: that would leave no room for what is wanted of it.
	var lacks []cid.Cid
	o.holders.mu.Lock()
	for _, c := range list {
		if !h.has[string(c.Hash())] {
			lacks = append(lacks, c)
		}
	}
	o.holders.mu.Unlock()
	lacks = slices.DeleteFunc(lacks, o.wants)
	if e := on.Unask(ctx, p, lacks); err == nil {
		err = e
	}
	return err
}

// heard takes in a message of a peer.
func (o *origin) heard(p peer.ID, m bsmsg.BitSwapMessage) {
	o.holders.mu.Lock()
	defer o.holders.mu.Unlock()
	h := o.holders.peers[p]
	if h == nil {
		return
	}
	for _, c := range m.DontHaves() {
		h.answers(c, false)
	}
	for _, c := range m.Haves() {
		h.answers(c, true)
	}
	for _, b := range m.Blocks() {
		h.answers(b.Cid(), true)
	}
}

// answers notes what the peer says of a block that it was asked about.
func (h *holder) answers(c cid.Cid, has bool) {
	key := string(c.Hash())
	was, before := h.has[key]
	if !h.waiting[key] && !before {
		return
	}
	h.has[key] = has
	h.any, h.news = h.any || has, h.news || has && !was
	if delete(h.waiting, key); len(h.waiting) == 0 {
		select {
		case h.done <- struct{}{}:
		default:
		}
	}
}
