package sim

import (
	"cmp"
	"slices"

	"kith/overlay/kbr"
)

// A Question is one that a search asked, or with which it was handed on.
type Question struct {
	From, To kbr.Node
	At       kbr.Ticks // when it was sent
	Gone     bool      // To is not up, so that it will not answer
}

// follow writes down what is asked about the key that is followed.
func (s *shard) follow(p kbr.Node, a *kbr.Act) {
	if key := s.net.followed; key != nil && (a.Msg.Kind == kbr.Find || a.Msg.Kind == kbr.Carry) && a.Msg.Key == *key {
		s.way = append(s.way, Question{From: p, To: a.To, At: s.wheel.now, Gone: !s.net.peers[a.To].up})
	}
}

// SearchFor lets a node's user search for a key now. What comes of it is in Results, with the tag.
func (n *Net) SearchFor(p kbr.Node, key kbr.ID, tag kbr.Tag) {
	if n.peers[p].up {
		n.shard(p).find(p, key, tag)
	}
}

// find begins a search.
func (s *shard) find(p kbr.Node, key kbr.ID, tag kbr.Tag) {
	s.note(p, kbr.None, uint64(searches))
	s.host.Find(s.wheel.now, p, key, tag, &s.out)
	s.act(p)
}

// Follow lets a node's user search for a random key now, as Search does, lets time pass until that is over, and returns what was asked on the way and how it ended.
// Results that others were waiting for are lost.
func (n *Net) Follow(p kbr.Node, tag kbr.Tag) (way []Question, end kbr.Result) {
	key, judge := n.key(p, uint64(tag)), n.judge
	n.followed = &key
	n.judge = func() {
		for _, x := range n.Results() {
			if x.Self == p && x.Tag == tag {
				end = x
			}
		}
	}
	n.Search(n.now, p, tag)
	n.Run(n.now+kbr.Minute, func() bool { return end.Self == kbr.None })
	n.followed, n.judge = nil, judge
	for _, s := range n.shards {
		way = append(way, s.way...)
		s.way = nil
	}
	slices.SortStableFunc(way, func(a, b Question) int { return cmp.Compare(a.At, b.At) })
	return way, end
}
