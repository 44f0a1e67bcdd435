package index

import (
	"cmp"
	"strings"
	"time"

	"kith/search/fact"
	"kith/search/query"
)

// filter returns what of the query's filters FTS5 can tell: for an AND, and after " NOT " what is left out; "" if there is nothing.
func (s *search) filter() string {
	var all, none []string
	choice := func(kind byte, c query.Choice) {
		var in []string
		for _, v := range c.In {
			in = append(in, s.x.facet(kind, v))
		}
		if kind == ofTag {
			all = append(all, in...)
		} else if len(in) > 0 {
			all = append(all, strings.Join(in, " "))
		}
		for _, v := range c.Out {
			none = append(none, s.x.facet(kind, v))
		}
	}
	choice(ofType, s.q.Type)
	choice(ofLanguage, s.q.Lang)
	choice(ofTag, s.q.Tag)
	choice(ofPublisher, s.q.By)
	if z := s.q.Size; z != (query.Range[int64]{}) {
		high := 32
		if z.Max != 0 {
			high = sizeClass(z.Max)
		}
		var in []string
		for class := sizeClass(z.Min); class <= high; class++ {
			in = append(in, sizeFacet(class))
		}
		all = append(all, strings.Join(in, " "))
	}
	all = append(all, s.ofMedia()...)
	if a := s.q.Age; a != (query.Range[time.Duration]{}) {
		in, out := s.ages(a)
		if len(in) > 0 {
			all = append(all, strings.Join(in, " "))
		}
		none = append(none, out...)
	}
	for i, any := range all {
		all[i] = "(" + strings.Join(quoted(strings.Fields(any)), " OR ") + ")"
	}
	none = append(none, s.exclusions()...)
	expr := strings.Join(all, " AND ")
	if len(none) > 0 {
		for i, n := range none {
			none[i] = "(" + strings.Join(quoted(strings.Fields(n)), " AND ") + ")"
		}
		expr = cmp.Or(expr, `"`+every+`"`) + " NOT (" + strings.Join(none, " OR ") + ")"
	}
	return expr
}

// ofMedia returns the classes of length, year and resolution that are looked for.
func (s *search) ofMedia() (all []string) {
	if r := s.q.Length; r != (query.Range[time.Duration]{}) {
		high := 32
		if r.Max != 0 {
			high = max(1, lengthClass(int64(r.Max/time.Second)))
		}
		var in []string
		for class := max(1, lengthClass(int64(r.Min/time.Second))); class <= high; class++ {
			in = append(in, lengthFacet(class))
		}
		all = append(all, strings.Join(in, " "))
	}
	if r := s.q.Year; r != (query.Range[int64]{}) {
		high := int64(lastDecade)
		if r.Max != 0 {
			high = decade(r.Max)
		}
		var in []string
		for d := decade(r.Min); d <= high; d++ {
			in = append(in, decadeFacet(d))
		}
		all = append(all, strings.Join(in, " "))
	}
	if r := s.q.Lines; r != (query.Range[int64]{}) {
		var in []string
		for _, step := range fact.Resolutions() {
			if r.Holds(int64(step)) {
				in = append(in, linesFacet(step))
			}
		}
		all = append(all, strings.Join(in, " "))
	}
	return all
}

// maxAges is how many classes of age are named in an expression: six years.
const maxAges = 24

// ages returns the classes of age that a can hold, or those that it cannot, whichever are few.
func (s *search) ages(a query.Range[time.Duration]) (in, out []string) {
	newest := ageClass(s.now.Unix()) + 1 // of clocks that are fast
	young := newest
	if a.Min > 0 {
		young = ageClass(s.now.Add(-a.Min).Unix())
	}
	if a.Max != 0 {
		if old := ageClass(s.now.Add(-a.Max).Unix()); young-old < maxAges {
			for c := old; c <= young; c++ {
				in = append(in, ageFacet(c))
			}
			return in, nil
		}
	}
	for c := young + 1; c <= newest && newest-young < maxAges; c++ {
		out = append(out, ageFacet(c))
	}
	return nil, out
}
