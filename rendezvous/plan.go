package rendezvous

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	enough      = 4                // peers, with which the network is not looked for
	lookMin     = 30 * time.Second // between two looks while there are fewer; it doubles
	lookMax     = 30 * time.Minute // up to this
	tellEvery   = 20 * time.Minute // an announcement is forgotten after 30 minutes or more
	meetEvery   = 30 * time.Minute // a contact is looked for
	seekPause   = 5 * time.Minute  // between two looks for those who lack a source
	maxMeetings = 4                // contacts that are looked for at once
	drift       = 2 * time.Hour    // by how much the clocks of two contacts may differ
	maxMissing  = 256              // contacts of which it is remembered when they were
)

// A view is what a plan is made of.
type view struct {
	joined  bool
	sought  bool      // somebody lacks a source
	peers   int       // that are connected
	tell    bool      // this node can be reached
	missing []peer.ID // devices of contacts that could not be reached for a while
}

// A task is one round with the DHT.
type task struct {
	look bool      // for the network
	tell bool      // where this node is
	meet []peer.ID // contacts
}

func (t task) empty() bool { return !t.look && !t.tell && len(t.meet) == 0 }

// A plan says when the DHT is spoken to. It is pure: times come in.
type plan struct {
	joined bool          // just now: there is a look whoever is connected
	wait   time.Duration // between the last look and the next
	looked time.Time
	told   time.Time
	sought time.Time
	met    map[peer.ID]time.Time
}

// again begins anew, since the user joined.
func (p *plan) again() { *p = plan{joined: true} }

// moved begins soon, since the computer is in another network: who was not found there may be found here, and what was announced is wrong.
func (p *plan) moved(now time.Time) {
	p.wait = min(p.wait, lookMin)
	if now.Sub(p.told) >= lookMin { // addresses change several times in a second
		p.told = time.Time{}
	}
}

// next returns what to do now, and notes that it is done; or, if it is nothing, when to ask again at the latest.
func (p *plan) next(v view, now time.Time) (t task, wake time.Time) {
	wake = now.Add(lookMax)
	due := func(last time.Time, every time.Duration) bool {
		at := last.Add(every)
		if last.IsZero() || !at.After(now) || last.After(now) { // a clock that was set back is no reason to wait
			return true
		}
		if at.Before(wake) {
			wake = at
		}
		return false
	}
	if v.sought && due(p.sought, seekPause) {
		p.sought, t.look = now, true
	}
	if !v.joined {
		return t, wake
	}
	if p.joined {
		t.look, p.joined = true, false
	} else if v.peers >= enough {
		p.wait = 0
	} else if due(p.looked, p.wait) {
		t.look = true
	}
	t.tell = v.tell && due(p.told, tellEvery)
	for _, id := range v.missing[:min(len(v.missing), maxMissing)] {
		if len(t.meet) < maxMeetings && due(p.met[id], meetEvery) {
			t.meet = append(t.meet, id)
		}
	}
	p.done(t, v, now)
	return t, wake
}

func (p *plan) done(t task, v view, now time.Time) {
	if t.look {
		p.looked, p.wait = now, min(max(2*p.wait, lookMin), lookMax)
	}
	if t.tell {
		p.told = now
	}
	for id := range p.met {
		if !slices.Contains(v.missing, id) {
			delete(p.met, id)
		}
	}
	for _, id := range t.meet {
		if p.met == nil {
			p.met = map[peer.ID]time.Time{}
		}
		p.met[id] = now
	}
}
