// Package cut notices that a part of the network was lost at once, as when a cable breaks between two halves of it, and says whom of it to dial again and when.
//
// It is not for single peers, who come and go and need not be run after. Its one idea: peers leave one by one; who loses a quarter of them within a minute has
// been cut off from them, and they want to meet again as much as this node does. It is pure: times come in.
package cut

import (
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	window     = time.Minute      // within which losses count together
	part       = 4                // a cut takes at least one in so many
	least      = 2                // and so many
	maxMissing = 64               // peers who are looked for
	round      = 16               // of which so many are dialled at a time
	again      = 10 * time.Second // between two attempts
	lately     = 5 * time.Minute  // for so long; then it doubles
	rarest     = 10 * time.Minute // up to this
	giveUp     = 24 * time.Hour   // after which nobody is looked for any more
)

// A Watch is what is known of losses. The zero value knows of none; it is for one goroutine.
type Watch struct {
	lost    map[peer.ID]time.Time // within the window
	missing []peer.ID             // beyond a cut, those to be dialled next first
	since   time.Time             // of the last cut
	next    time.Time
	wait    time.Duration
}

// Gone notes that the last connection to p ended, after which so many peers are connected.
func (w *Watch) Gone(p peer.ID, connected int, now time.Time) {
	if w.lost == nil {
		w.lost = map[peer.ID]time.Time{}
	}
	w.lost[p] = now
	for id, at := range w.lost {
		if now.Sub(at) > window {
			delete(w.lost, id)
		}
	}
	if n := len(w.lost); n < least || n*part < n+connected {
		return
	}
	for id := range w.lost {
		w.miss(id)
	}
	clear(w.lost)
	w.since, w.wait = now, again
	w.next = now.Add(jitter(again))
}

func (w *Watch) miss(p peer.ID) {
	for _, id := range w.missing {
		if id == p {
			return
		}
	}
	w.missing = append(w.missing, p)
	if len(w.missing) > maxMissing {
		w.missing = w.missing[1:]
	}
}

// Back notes that p is connected.
func (w *Watch) Back(p peer.ID) {
	delete(w.lost, p)
	for i, id := range w.missing {
		if id == p {
			w.missing = append(w.missing[:i], w.missing[i+1:]...)
			return
		}
	}
}

// Next returns when Due has something to say; the zero time: never, as it stands.
func (w *Watch) Next() time.Time {
	if len(w.missing) == 0 {
		return time.Time{}
	}
	return w.next
}

// Due returns whom to dial now; each in turn.
func (w *Watch) Due(now time.Time) []peer.ID {
	switch {
	case len(w.missing) == 0 || now.Before(w.next):
		return nil
	case now.Sub(w.since) > giveUp:
		w.missing = nil
		return nil
	case now.Sub(w.since) > lately:
		w.wait = min(2*w.wait, rarest)
	}
	w.next = now.Add(jitter(w.wait))
	n := min(round, len(w.missing))
	due := append([]peer.ID(nil), w.missing[:n]...)
	w.missing = append(w.missing[n:], due...)
	return due
}

// jitter keeps two halves of a network from dialling in step.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }
