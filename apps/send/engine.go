package send

import (
	"cmp"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/app"
)

// States of a delivery. Both sides use the same words; reading, waiting and failed are the sender's alone.
const (
	reading   = "reading"   // the sender reads it, to know what to offer
	waiting   = "waiting"   // no device of theirs has the offer yet
	offered   = "offered"   // they have the offer, and have not decided
	taking    = "taking"    // it is on its way
	stuck     = "stuck"     // it was taken, and cannot go on until a person does something
	delivered = "delivered" // it is there
	declined  = "declined"
	cancelled = "cancelled" // taken back by the sender, or taken on another device
	expired   = "expired"   // nobody took it in time
	failed    = "failed"    // it cannot be read
)

// ended reports whether a state is the last one.
func ended(state string) bool {
	switch state {
	case delivered, declined, cancelled, expired, failed:
		return true
	}
	return false
}

// Kinds of messages. Each may be repeated without harm, and is until it is answered.
const (
	kindOffer = 1 // from the sender: this is for you
	kindState = 2 // from who was offered something: how it stands
	kindEnd   = 3 // from the sender: it is not for you any more
)

// A message is what one side tells the other about one delivery.
type message struct {
	Kind   int     `cbor:"1,keyasint"`
	ID     string  `cbor:"2,keyasint"` // 32 hexadecimal digits, chosen by the sender
	Name   string  `cbor:"3,keyasint,omitempty"`
	Size   int64   `cbor:"4,keyasint,omitempty"`
	Files  int     `cbor:"5,keyasint,omitempty"`
	Note   string  `cbor:"6,keyasint,omitempty"`
	Link   string  `cbor:"7,keyasint,omitempty"`
	Until  int64   `cbor:"8,keyasint,omitempty"` // Unix seconds
	State  string  `cbor:"9,keyasint,omitempty"`
	Reason string  `cbor:"10,keyasint,omitempty"`
	Done   int64   `cbor:"11,keyasint,omitempty"`
	Rate   float64 `cbor:"12,keyasint,omitempty"`
}

// A reply answers a message: how the delivery stands on the side that was told. State is "" from a sender who agrees.
type reply struct {
	State  string  `cbor:"1,keyasint,omitempty"`
	Reason string  `cbor:"2,keyasint,omitempty"`
	Done   int64   `cbor:"3,keyasint,omitempty"`
	Rate   float64 `cbor:"4,keyasint,omitempty"`
}

// refused is the state in a reply to an offer for which there is no place; the sender offers it again later.
const refused = "refused"

// unknown is the state in a sender's reply about what it does not know, or no longer.
const unknown = "unknown"

// Limits of what a contact may do, and of what is kept.
const (
	maxOpen   = 100  // offers of one contact that wait for a decision
	maxKept   = 500  // deliveries of one contact that are in the list, ended ones among them
	maxOut    = 1000 // deliveries in the outbox that have not ended
	maxName   = 255  // bytes of the name of what is sent
	maxNote   = 1000 // bytes of the text beside it
	maxReason = 300  // bytes of a reason
	keepEnded = 30 * 24 * time.Hour
	lifetime  = 30 * 24 * time.Hour // of an offer, unless the sender says otherwise
)

// An action is what the engine wants done: one of the types below.
type action any

type (
	saveOut  struct{ outgoing } // write it down, before anything that follows
	saveIn   struct{ incoming }
	dropOut  struct{ id string }
	dropIn   struct{ key inKey }
	saveAuto struct {
		who   string
		bytes int64
		off   bool
	}
	readPath struct{ outgoing }
	tell     struct {
		to  peer.ID
		msg message
		ref kith.Ref // of an offer, whose link is made when it is told
	}
	fetch struct {
		incoming
		anew bool // to another place than before
	}
	forget struct{ ref kith.Ref } // stop sharing it, or fetching it
	note   struct{ text string }
)

// An engine decides. It has no clock, socket, disk or goroutine: what happens is told to its methods, and what shall be done is taken
// from do, in order.
type engine struct {
	people app.People
	out    map[string]*outgoing
	in     map[inKey]*incoming
	auto   map[string]int64 // by contact: bytes in a day that are taken without asking
	do     []action
}

func newEngine(people app.People) *engine {
	return &engine{people: people, out: map[string]*outgoing{}, in: map[inKey]*incoming{}, auto: map[string]int64{}}
}

// take returns what is to be done, once.
func (e *engine) take() []action {
	do := e.do
	e.do = nil
	return do
}

func (e *engine) want(a action) { e.do = append(e.do, a) }

// A retry paces what is told to one peer about one delivery.
type retry struct {
	busy  bool
	again bool // something happened meanwhile: tell once more, at once
	tries int
	due   time.Time
}

const (
	retryFirst = 5 * time.Second
	retryMost  = 10 * time.Minute
)

func (r *retry) ready(now time.Time) bool { return !r.busy && !now.Before(r.due) }

// answered is called when a telling has ended; ok says that it was answered as wished.
func (r *retry) answered(now time.Time, ok bool) {
	r.busy = false
	switch {
	case r.again:
		r.again, r.tries, r.due = false, 0, now
	case ok:
		r.tries, r.due = 0, now
	default:
		r.due = now.Add(min(retryFirst<<min(r.tries, 20), retryMost))
		r.tries++
	}
}

// now makes it due at once: the peer is there.
func (r *retry) now() {
	r.again = r.busy
	r.tries, r.due = 0, time.Time{}
}

// revive goes on with what was under way when the node last stopped, and takes back once more what is over. Peers that are connected by then are told by came.
func (e *engine) revive(now time.Time) {
	for _, o := range e.outgoings() {
		if o.State == reading {
			e.want(readPath{o.copied()})
		}
		if ended(o.State) && !o.Ref.IsZero() {
			e.want(forget{o.Ref})
		}
	}
	for _, i := range e.incomings() {
		switch {
		case i.State == taking:
			e.want(fetch{*i, false})
		case ended(i.State) && i.State != delivered && i.Ours: // it was not done any more
			e.want(forget{i.ref()})
		}
	}
	e.tick(now)
}

// came says that a peer has connected: what it has not been told it is told now, and offers are told again, with the addresses that
// this node has today.
func (e *engine) came(now time.Time, p peer.ID) {
	for _, o := range e.out {
		if d := o.device(p); d != nil && !ended(o.State) && d.Knows == knowsOffer && (o.By == "" || o.By == p) {
			d.Knows = knowsMaybe
		}
		if r := o.dial[p]; r != nil {
			r.now()
		}
	}
	for key, i := range e.in {
		if key.From == p {
			i.dial.now()
		}
	}
	e.tick(now)
}

// tick lets time pass: what is over expires, and what is due is told.
func (e *engine) tick(now time.Time) {
	for _, o := range e.outgoings() {
		e.tickOut(now, o)
	}
	for _, i := range e.incomings() {
		e.tickIn(now, i)
	}
}

// next returns when tick has something to do, at the latest in an hour.
func (e *engine) next(now time.Time) time.Time {
	at := now.Add(time.Hour)
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	for _, o := range e.out {
		if !ended(o.State) {
			sooner(o.Until)
		}
		for _, d := range o.Devices {
			if r := o.dial[d.Peer]; o.wish(d) != d.Knows && r != nil && !r.busy {
				sooner(r.due)
			}
		}
	}
	for _, i := range e.in {
		if i.dirty() && !i.dial.busy {
			sooner(i.dial.due)
		}
		if i.State == offered {
			sooner(i.Until)
		}
	}
	return at
}

// open reports whether something is offered that may stop being there.
func (e *engine) open() bool {
	for _, o := range e.out {
		if o.State != reading && !ended(o.State) {
			return true
		}
	}
	return false
}

// outgoings returns the outbox in the order in which it was filled.
func (e *engine) outgoings() []*outgoing {
	return slices.SortedFunc(maps.Values(e.out), func(a, b *outgoing) int { return cmp.Compare(a.N, b.N) })
}

// incomings returns the inbox in the order in which it was filled.
func (e *engine) incomings() []*incoming {
	return slices.SortedFunc(maps.Values(e.in), func(a, b *incoming) int { return cmp.Compare(a.N, b.N) })
}

// cut shortens a peer's text to at most n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
