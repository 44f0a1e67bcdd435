package send

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
)

// An outgoing is something sent to a person: a row of the outbox.
type outgoing struct {
	N       int       `json:"n"`
	ID      string    `json:"id"`
	To      string    `json:"to"` // what the sender calls the contact
	Devices []device  `json:"devices"`
	Path    string    `json:"path"`
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	Files   int       `json:"files"`
	Note    string    `json:"note,omitempty"`
	Key     []byte    `json:"key"`
	Ref     kith.Ref  `json:"ref,omitzero"`
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	By      peer.ID   `json:"by,omitempty"` // the device that took it
	Made    time.Time `json:"made"`
	Until   time.Time `json:"until"`
	Ended   time.Time `json:"ended,omitzero"`

	done  int64 // bytes read, then bytes there
	rate  float64
	heard time.Time // when that was
	dial  map[peer.ID]*retry
}

// A device is one of the contact's, and what it has been told.
type device struct {
	Peer  peer.ID `json:"peer"`
	Knows string  `json:"knows,omitempty"` // "" or one of those below
}

const (
	knowsOffer = "offer"
	knowsMaybe = "maybe" // it was sent the offer, or has it with an old link
	knowsEnd   = "end"
)

func (o *outgoing) device(p peer.ID) *device {
	for i := range o.Devices {
		if o.Devices[i].Peer == p {
			return &o.Devices[i]
		}
	}
	return nil
}

// wish returns what a device should know.
func (o *outgoing) wish(d device) string {
	switch {
	case o.State == waiting || o.State == offered, o.By == d.Peer && (o.State == taking || o.State == stuck):
		return knowsOffer
	case d.Knows != "" && (d.Peer != o.By || o.State == cancelled || o.State == expired):
		return knowsEnd
	}
	return d.Knows
}

// settled reports whether every device knows what it should.
func (o *outgoing) settled() bool {
	return !slices.ContainsFunc(o.Devices, func(d device) bool { return o.wish(d) != d.Knows })
}

// copied returns the record as it is to be written down.
func (o *outgoing) copied() outgoing {
	c := *o
	c.Devices, c.dial = slices.Clone(o.Devices), nil
	return c
}

// send takes something into the outbox. It is read next.
func (e *engine) send(now time.Time, o outgoing) (int, error) {
	open, n := 0, 0
	for _, other := range e.out {
		n = max(n, other.N)
		if !ended(other.State) {
			open++
		}
	}
	if open >= maxOut {
		return 0, kith.Hint(fmt.Errorf("send: %d deliveries wait already: %w", open, kith.TooLarge), "see them with: kith outbox; take some back with: kith outbox cancel N")
	}
	o.N, o.State, o.Made = n+1, reading, now
	e.out[o.ID] = &o
	e.meet(&o)
	e.want(saveOut{o.copied()})
	e.want(readPath{o.copied()})
	return o.N, nil
}

// meet looks up the contact's devices, which may have become more, and whether they are a contact still.
func (e *engine) meet(o *outgoing) bool {
	devices := e.people.Devices(o.To)
	if len(devices) == 0 { // perhaps only the name is another now
		for _, d := range o.Devices {
			if name := e.people.Name(d.Peer); name != "" {
				o.To, devices = name, e.people.Devices(name)
				break
			}
		}
	}
	o.Devices = slices.DeleteFunc(o.Devices, func(d device) bool { return !slices.Contains(devices, d.Peer) })
	for _, p := range devices {
		if o.device(p) == nil {
			o.Devices = append(o.Devices, device{Peer: p})
		}
	}
	return len(devices) > 0
}

// read says how far the reading of a path is.
func (e *engine) read(id string, done, total int64) {
	if o := e.out[id]; o != nil && o.State == reading {
		o.done, o.Size = done, total
	}
}

// hasRead says that something was read, and what it is; or why it cannot be.
func (e *engine) hasRead(now time.Time, id string, ref kith.Ref, name string, size int64, files int, err error) {
	o := e.out[id]
	if o == nil || o.State != reading {
		if err == nil {
			e.want(forget{ref}) // it was taken back meanwhile
		}
		return
	}
	if err != nil {
		e.end(now, o, failed, err.Error())
		return
	}
	o.Ref, o.Name, o.Size, o.Files, o.State, o.done = ref, cut(name, maxName), size, files, waiting, 0
	e.want(saveOut{o.copied()})
	e.tickOut(now, o)
}

// end settles how an outgoing ends, and stops sharing it.
func (e *engine) end(now time.Time, o *outgoing, state, reason string) {
	o.State, o.Reason, o.Ended, o.rate = state, cut(reason, maxReason), now, 0
	if state == delivered {
		o.done = o.Size
	}
	e.want(saveOut{o.copied()})
	if !o.Ref.IsZero() {
		e.want(forget{o.Ref})
	}
}

// lost says that what is sent is not shared any more: somebody took it off the list of what is shared, or the file has changed.
func (e *engine) lost(now time.Time, id, reason string) {
	if o := e.out[id]; o != nil && !ended(o.State) {
		e.end(now, o, cancelled, reason)
		e.tickOut(now, o)
	}
}

// cancel takes an outgoing back.
func (e *engine) cancel(now time.Time, n int) (*outgoing, error) {
	for _, o := range e.out {
		if o.N != n {
			continue
		}
		if ended(o.State) {
			return nil, fmt.Errorf("send: cancel %d: it is %s: %w", n, o.State, kith.Invalid)
		}
		e.end(now, o, cancelled, "")
		e.tickOut(now, o)
		return o, nil
	}
	return nil, kith.Hint(fmt.Errorf("send: outbox %d: %w", n, kith.NotFound), "see what is there with: kith outbox")
}

func (e *engine) tickOut(now time.Time, o *outgoing) {
	switch {
	case ended(o.State):
		if o.settled() && now.Sub(o.Ended) > keepEnded || now.Sub(o.Ended) > 2*keepEnded {
			delete(e.out, o.ID)
			e.want(dropOut{o.ID})
			return
		}
	case !e.meet(o):
		e.end(now, o, cancelled, o.To+" is no contact any more")
	case now.After(o.Until):
		e.end(now, o, expired, "nobody took it in time")
	}
	for _, d := range o.Devices {
		wish := o.wish(d)
		if wish == d.Knows {
			continue
		}
		if o.dial == nil {
			o.dial = map[peer.ID]*retry{}
		}
		r := o.dial[d.Peer]
		if r == nil {
			r = &retry{}
			o.dial[d.Peer] = r
		}
		if !r.ready(now) {
			continue
		}
		r.busy = true
		msg := message{Kind: kindEnd, ID: o.ID, State: cancelled, Reason: o.Reason}
		switch {
		case wish == knowsOffer: // its link is made when it is told
			msg = message{Kind: kindOffer, ID: o.ID, Name: o.Name, Size: o.Size, Files: o.Files, Note: o.Note, Until: o.Until.Unix()}
		case o.State == expired:
			msg.State = expired
		case o.State != cancelled:
			msg.Reason = "taken on another device"
		}
		e.want(tell{d.Peer, msg, o.Ref})
	}
}

// toldOut says how a telling about an outgoing has ended.
func (e *engine) toldOut(now time.Time, to peer.ID, msg message, r reply, err error) {
	o := e.out[msg.ID]
	if o == nil {
		return
	}
	if dial := o.dial[to]; dial != nil {
		dial.answered(now, err == nil && r.State != refused)
	}
	d := o.device(to)
	switch {
	case d == nil:
	case err != nil:
		if msg.Kind == kindOffer && d.Knows == "" && !errors.Is(err, errNotReached) {
			d.Knows = knowsMaybe
			e.want(saveOut{o.copied()})
		}
	case r.State == refused:
		if !ended(o.State) {
			o.Reason = cut(r.Reason, maxReason)
		}
	case msg.Kind == kindOffer:
		d.Knows = knowsOffer
		e.stands(now, o, to, r.State, r.Reason, r.Done, r.Rate)
		e.want(saveOut{o.copied()})
	default:
		d.Knows = knowsEnd
		if r.State == delivered && o.State != delivered { // it was faster than the taking back
			o.By = to
			e.end(now, o, delivered, "")
		}
		e.want(saveOut{o.copied()})
	}
	e.tickOut(now, o)
}

// hearState takes what a device of the contact says of an outgoing, and returns the verdict.
func (e *engine) hearState(now time.Time, from peer.ID, msg message) reply {
	o := e.out[msg.ID]
	if o == nil || o.State == reading || o.device(from) == nil {
		return reply{State: unknown}
	}
	was := o.State
	r := e.stands(now, o, from, msg.State, msg.Reason, msg.Done, msg.Rate)
	if o.State != taking || was != taking { // all but progress is written down before it is answered
		e.want(saveOut{o.copied()})
	}
	e.tickOut(now, o)
	return r
}

// stands takes how an outgoing stands at a device.
func (e *engine) stands(now time.Time, o *outgoing, at peer.ID, state, reason string, done int64, rate float64) reply {
	elsewhere := o.By != "" && o.By != at
	switch {
	case state == delivered:
		if o.State != delivered {
			o.By = at
			e.end(now, o, delivered, "")
		}
		return reply{}
	case state == declined && !ended(o.State) && !elsewhere:
		o.By = at
		e.end(now, o, declined, reason)
		return reply{}
	case state == declined:
		return reply{}
	case ended(o.State):
		verdict := cancelled
		if o.State == expired {
			verdict = expired
		}
		if elsewhere && o.State != cancelled {
			return reply{State: verdict, Reason: "taken on another device"}
		}
		return reply{State: verdict, Reason: o.Reason}
	case elsewhere && (state == taking || state == stuck):
		return reply{State: cancelled, Reason: "taken on another device"}
	case state == offered && !elsewhere:
		o.State, o.By, o.Reason, o.done, o.rate = offered, "", "", 0, 0
	case state == taking || state == stuck:
		o.State, o.By, o.Reason = state, at, cut(reason, maxReason)
		o.done, o.rate = min(max(done, 0), o.Size), max(rate, 0)
		o.heard = now
		o.Until = later(o.Until, now.Add(lifetime))
	}
	return reply{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
