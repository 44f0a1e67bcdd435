package kbr

// Bounds of what a node waits for an answer.
const (
	firstWait = 3 * Second        // before anything was measured (RFC 1122, 4.2.3.1)
	leastGap  = 100 * Millisecond // over the mean, however even the round trips were
	mostWait  = 10 * Second

	// What upkeep and the ends of searches are asked, each time for twice as long as before (RFC 6298, 5.5). Who loses one message in twenty each way takes one in a
	// thousand for dead.
	tries = 3
)

// RTT estimates round trips as TCP does (RFC 6298), of all that a node asks: among nodes that are asked once, as those of a search are, there is no other
// measure (Rhea et al., "Handling Churn in a DHT", USENIX 2004, section 4.3). Answers that come too late count as well, or who has near neighbours would hold
// everybody else for dead. The zero RTT has measured nothing.
type RTT struct{ mean, dev Ticks }

// Measure takes in one round trip.
func (r *RTT) Measure(took Ticks) {
	if r.mean == 0 {
		r.mean, r.dev = max(took, 1), took/2
		return
	}
	d := took - r.mean
	r.mean = max(1, r.mean+d/8)
	r.dev += (max(d, -d) - r.dev) / 4
}

// Wait returns how long to wait for an answer: the mean and four mean deviations.
func (r *RTT) Wait() Ticks {
	if r.mean == 0 {
		return firstWait
	}
	return min(mostWait, r.mean+max(4*r.dev, leastGap))
}
