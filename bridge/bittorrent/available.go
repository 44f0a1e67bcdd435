package bittorrent

import "kith/transfer"

var _ transfer.Knower = (*origin)(nil)

// Available implements transfer.Knower: what the have-maps of the peers say, and what is in memory. Without a peer anything may be there: the library looks for peers
// only while something is wanted.
func (o *origin) Available() ([]transfer.Span, bool) {
	in, p, err := o.state()
	if err != nil || o.s.seeded() || len(o.s.t.PeerConns()) == 0 {
		return nil, false
	}
	have := make([]bool, in.NumPieces())
	for _, pc := range o.s.t.PeerConns() {
		for it := pc.PeerPieces().Iterator(); it.HasNext(); {
			if i := int(it.Next()); i < len(have) {
				have[i] = true
			}
		}
	}
	var spans []transfer.Span
	for i, there := range have {
		if !there && !p.complete(i) {
			continue
		}
		p.within(p.start(i), p.len(i), func(file int, off, _, n int64) bool {
			if last := len(spans) - 1; last >= 0 && spans[last].File == file && spans[last].Off+spans[last].N == off {
				spans[last].N += n
			} else {
				spans = append(spans, transfer.Span{File: file, Off: off, N: n})
			}
			return true
		})
	}
	return spans, true
}
