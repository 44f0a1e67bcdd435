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

// Rank returns those of known that may have what is looked for: those in whose filters all its words stand together; if there are none, those that have all words. Who shares
// more comes first, because it finds more. They are in the order in which they are to be asked.
func Rank(known []Known, s filter.Sought) (list []Candidate) {
	best := filter.Apart
	for _, k := range known {
		fit := k.Filter.Fit(s)
		if fit > best {
			list, best = list[:0], fit
		}
		if fit == best {
			list = append(list, Candidate{Node: k.Node, Fit: fit, Score: uint32(k.Filter.Len())})
		}
	}
	slices.SortFunc(list, before)
	return list
}
