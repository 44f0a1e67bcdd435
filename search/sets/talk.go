package sets

import (
	"fmt"
	"slices"

	"kith"
)

// Limits of a conversation. What does not fit is found in a later one.
const (
	MaxParts  = 4096    // of a message
	MaxTold   = 1 << 16 // members that are told in one
	MaxRounds = 2 * maxDepth
)

// A Prefix is the first digits of IDs, of four bits each.
type Prefix struct {
	ID    ID // zero behind the digits
	Depth uint8
}

// longer returns the prefix with one more digit.
func (p Prefix) longer(digit int) Prefix {
	shift := 4 * (1 - p.Depth%2)
	p.ID[p.Depth/2] |= byte(digit) << shift
	p.Depth++
	return p
}

// A Part says what somebody has below a prefix: the fingerprints of what it divides into, one or two digits longer, or all members.
type Part struct {
	Prefix Prefix
	Prints []uint64 // 16, or 256; none: IDs are all that there is
	IDs    []ID
}

// A Difference is what Answer found out, at most MaxTold of each.
type Difference struct {
	Lacks []ID // members that the other has, and this set has not
	Only  []ID // members that this set has, and the other has not
}

// Begin returns what a conversation begins with. The salt is drawn for each, and both use it.
func (s *Set) Begin(salt uint64) []Part {
	switch n := s.root.n; {
	case n <= leaf:
		return []Part{s.tell(Prefix{})}
	case n <= kids*kids*leaf/2:
		return []Part{s.divide(Prefix{}, 1, salt)}
	}
	return []Part{s.divide(Prefix{}, 2, salt)}
}

// Answer takes in what the other side says, and returns what is to be said to that, and what differs. Who has nothing to answer ends the conversation. Its error is
// Invalid if what the other says makes no sense.
func (s *Set) Answer(parts []Part, salt uint64) (answer []Part, d Difference, err error) {
	if len(parts) > MaxParts {
		return nil, d, fmt.Errorf("sets: %d parts, at most %d: %w", len(parts), MaxParts, kith.TooLarge)
	}
	told := 0
	for _, p := range parts {
		if err := p.check(); err != nil {
			return nil, d, err
		}
		if p.Prints == nil {
			s.compare(p, &d)
			continue
		}
		for _, q := range s.differ(p, salt) {
			if len(answer) == MaxParts || told >= MaxTold {
				break
			}
			if n := s.at(q); n.n > leaf && int(q.Depth) < maxDepth-2 {
				answer = append(answer, s.divide(q, 1, salt))
			} else {
				answer = append(answer, s.tell(q))
				told += n.n
			}
		}
	}
	return answer, d, nil
}

// tell returns all members below a prefix.
func (s *Set) tell(p Prefix) Part { return Part{Prefix: p, IDs: s.at(p).members(nil, MaxTold)} }

// divide returns the fingerprints of what is below a prefix, so many digits longer.
func (s *Set) divide(p Prefix, digits int, salt uint64) Part {
	part := Part{Prefix: p}
	s.each(p, digits, func(_ Prefix, n *node) { part.Prints = append(part.Prints, n.print(salt)) })
	return part
}

// each does something with each prefix that is so many digits longer, in their order.
func (s *Set) each(p Prefix, digits int, do func(Prefix, *node)) {
	n := s.at(p)
	for i := range kids {
		q, k := p.longer(i), n.kid(int(p.Depth), i)
		if digits == 1 {
			do(q, k)
			continue
		}
		for j := range kids {
			do(q.longer(j), k.kid(int(q.Depth), j))
		}
	}
}

// differ returns the prefixes below which this set has other members than who sent p.
func (s *Set) differ(p Part, salt uint64) (list []Prefix) {
	i, digits := 0, 1
	if len(p.Prints) > kids {
		digits = 2
	}
	s.each(p.Prefix, digits, func(q Prefix, n *node) {
		if n.print(salt) != p.Prints[i] {
			list = append(list, q)
		}
		i++
	})
	return list
}

// compare notes in what the members that are told differ from those of this set.
func (s *Set) compare(p Part, d *Difference) {
	theirs := make(map[ID]bool, len(p.IDs))
	for _, id := range p.IDs {
		if theirs[id] = true; !s.Has(id) && len(d.Lacks) < MaxTold {
			d.Lacks = append(d.Lacks, id)
		}
	}
	for _, id := range s.at(p.Prefix).members(nil, MaxTold) {
		if !theirs[id] && len(d.Only) < MaxTold {
			d.Only = append(d.Only, id)
		}
	}
}

// check is the law of a part.
func (p Part) check() error {
	longest := maxDepth - 2
	switch {
	case int(p.Prefix.Depth) > longest:
		return fmt.Errorf("sets: a prefix of %d digits: %w", p.Prefix.Depth, kith.Invalid)
	case p.Prints != nil && len(p.Prints) != kids && len(p.Prints) != kids*kids || p.Prints != nil && p.IDs != nil:
		return fmt.Errorf("sets: %d fingerprints and %d members: %w", len(p.Prints), len(p.IDs), kith.Invalid)
	case len(p.Prints) > kids && int(p.Prefix.Depth) > longest-1:
		return fmt.Errorf("sets: fingerprints of more than %d digits: %w", maxDepth, kith.Invalid)
	case len(p.IDs) > MaxTold:
		return fmt.Errorf("sets: %d members: %w", len(p.IDs), kith.TooLarge)
	case slices.ContainsFunc(p.IDs, func(id ID) bool { return !p.Prefix.has(id) }) || !p.Prefix.has(p.Prefix.ID):
		return fmt.Errorf("sets: a member that does not begin with the prefix: %w", kith.Invalid)
	}
	return nil
}

// has reports whether an ID begins with the digits of the prefix.
func (p Prefix) has(id ID) bool {
	for i := range int(p.Depth) {
		if id.digit(i) != p.ID.digit(i) {
			return false
		}
	}
	return true
}
