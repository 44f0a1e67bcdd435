package kbr

// Disjoint paths (Baumgart and Mies, "S/Kademlia: A Practicable Approach Towards Secure Key-Based Routing", ICPADS 2007, section 4.4): whom a search knows at its
// beginning is dealt out to several paths, each of which goes on with what it hears itself, and each node is asked on one of them only. One path without a
// liar is enough, since the nearest node wins that any of them has heard from.

// MaxPaths is how many disjoint paths a search can have.
const MaxPaths = 8

// spread asks on each path whom there is to ask, or ends the search when all of them are over.
func (h *Host) spread(now Ticks, slot uint32, out *Outbox) {
	s := &h.searches[slot]
	over := true
	for p := range s.paths {
		for {
			ask, flying, done := s.nextOn(p)
			over = over && done
			if ask < 0 || flying >= max(1, h.Parallel) {
				break
			}
			s.list[ask].by = p
			h.ask(s, slot, ask, out)
		}
	}
	if over {
		h.end(now, slot, s.nearest(), out)
	}
}

// nextOn returns whom to ask next on a path, or less than 0, how many questions of it are flying, and whether it is over: the nearest of which it has heard
// have answered, or nobody is left. Whom another path has asked it passes by: that may be a liar, who hides whoever is behind.
func (s *search) nextOn(p uint8) (ask, flying int, done bool) {
	ask = -1
	heard, waits := uint8(0), false
	for i := range s.list[:s.count] {
		c := &s.list[i]
		if c.state == asked && c.by == p {
			flying++
		}
		if c.known&(1<<p) == 0 || c.state != fresh && c.by != p || heard >= s.want || ask >= 0 {
			continue
		}
		switch c.state {
		case fresh:
			if s.path+s.timeouts+s.flying < maxAsks {
				ask = i
			}
		case asked:
			waits = true
		case answered:
			heard++
		}
	}
	return ask, flying, ask < 0 && !waits
}

// nearest returns the nearest node that has answered.
func (s *search) nearest() Node {
	for _, c := range s.list[:s.count] {
		if c.state == answered {
			return c.node
		}
	}
	return None
}
