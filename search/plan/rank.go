package plan

import (
	"slices"

	"kith/overlay/kbr"
	"kith/search/filter"
)

// A Known is a peer whose filter a node has.
type Known struct {
	Node   kbr.Node
	Filter *filter.Filter
}

// What filters claim.
const (
	Broad    = 1 << 14 // keys of a filter, 800 names, beyond which it is worth less the more it claims: what says yes to everything says nothing …
	maxBroad = 12      // … and of such peers no more are asked of a shard
	much     = 1 << 12 // keys beyond which nobody comes before another: else who claims just less than Broad would be first
)

// Rank returns those of known that may have what is looked for: those in whose filters all its words stand together; if there are none, those that have all words. Who shares
// more comes first, because it finds more, up to a limit; last come those that claim more than Broad, as many as there may be. They are in the order in which they are to be asked.
func Rank(known []Known, s filter.Sought) (list []Candidate) {
	best := filter.Apart
	var broad []Candidate
	for _, k := range known {
		fit := k.Filter.Fit(s)
		if fit > best {
			list, broad, best = list[:0], broad[:0], fit
		}
		c := Candidate{Node: k.Node, Fit: fit, Score: Score(k.Filter.Len())}
		switch {
		case fit < best:
		case k.Filter.Len() > Broad:
			broad = append(broad, c)
		default:
			list = append(list, c)
		}
	}
	slices.SortFunc(broad, before)
	list = append(list, broad[:min(len(broad), maxBroad)]...)
	slices.SortFunc(list, before)
	return list
}

// Score returns how early a peer is to be asked whose filter has so many keys; see Rank.
func Score(keys int) uint32 {
	if keys > Broad {
		return uint32(filter.MaxKeys - keys)
	}
	return uint32(filter.MaxKeys + min(keys, much))
}
