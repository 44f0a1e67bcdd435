package send

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/human"
	"kith/internal/plain"
)

// inKey names an incoming: ids are chosen by senders, so one sender's mean nothing to another.
type inKey struct {
	From peer.ID
	ID   string
}

// An incoming is something that a contact offers or has sent: a row of the inbox.
type incoming struct {
	N      int       `json:"n"`
	ID     string    `json:"id"`
	From   peer.ID   `json:"from"`
	Who    string    `json:"who"` // what the person called the sender when it came
	Name   string    `json:"name"`
	Size   int64     `json:"size"`
	Files  int       `json:"files"`
	Note   string    `json:"note,omitempty"`
	Link   string    `json:"link"`
	Dir    string    `json:"dir,omitempty"` // where it shall go; "" is the inbox folder
	Path   string    `json:"path,omitempty"`
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"`
	Told   string    `json:"told,omitempty"` // the state that the sender knows
	Auto   time.Time `json:"auto,omitzero"`  // when it was taken without asking
	Hidden bool      `json:"hidden,omitempty"`
	Ours   bool      `json:"ours,omitempty"` // its download was begun for it, and is given up with it
	Made   time.Time `json:"made"`
	Until  time.Time `json:"until"`
	Ended  time.Time `json:"ended,omitzero"`

	trouble string // Reason for the person here: with paths, which are nobody else's business
	done    int64
	rate    float64
	spoken  time.Time // when progress was last told
	dial    retry
}

func (i *incoming) key() inKey { return inKey{i.From, i.ID} }

// dirty reports whether the sender does not know yet how it stands here.
func (i *incoming) dirty() bool {
	switch i.State {
	case taking, stuck, delivered, declined:
		return i.Told != i.told()
	}
	return false
}

// told is what Told is when the sender knows how it stands.
func (i *incoming) told() string { return strings.TrimSpace(i.State + " " + i.Reason) }

// hear takes a message of a peer, and returns the answer. A stranger gets none: the error is Denied.
func (e *engine) hear(now time.Time, from peer.ID, msg message) (reply, error) {
	if !e.people.Contact(from) {
		return reply{}, fmt.Errorf("send: %s is no contact: %w", from, kith.Denied)
	}
	if err := msg.check(); err != nil {
		return reply{}, err
	}
	switch msg.Kind {
	case kindOffer:
		return e.hearOffer(now, from, msg), nil
	case kindState:
		return e.hearState(now, from, msg), nil
	}
	return e.hearEnd(now, from, msg), nil
}

// check refuses what no Kith sends.
func (m message) check() error {
	bad := func(what string) error { return fmt.Errorf("send: message: %s: %w", what, kith.Invalid) }
	if len(m.ID) != 32 || strings.Trim(m.ID, "0123456789abcdef") != "" {
		return bad("id")
	}
	for _, s := range []string{m.Name, m.Note, m.Link, m.State, m.Reason} {
		if !utf8.ValidString(s) {
			return bad("text is not UTF-8")
		}
	}
	switch m.Kind {
	case kindOffer:
		switch {
		case m.Name == "" || len(m.Name) > maxName:
			return bad("name")
		case len(m.Note) > maxNote:
			return bad("note")
		case m.Size < 0 || m.Files < 0:
			return bad("size")
		}
		if l, err := kith.ParseLink(m.Link); err != nil || l.Ref.IsZero() {
			return bad("link")
		}
	case kindState, kindEnd:
		if len(m.State) > maxReason || len(m.Reason) > maxReason {
			return bad("reason")
		}
	default:
		return bad("kind")
	}
	return nil
}

func (e *engine) hearOffer(now time.Time, from peer.ID, msg message) reply {
	i := e.in[inKey{from, msg.ID}]
	if i == nil {
		who := e.people.Name(from)
		if r, ok := e.place(who); !ok {
			return r
		}
		n := 0
		for _, other := range e.in {
			n = max(n, other.N)
		}
		i = &incoming{N: n + 1, ID: msg.ID, From: from, Who: who, Name: msg.Name, Size: msg.Size, Files: msg.Files, Note: msg.Note, State: offered, Made: now}
		e.in[i.key()] = i
		i.Link, i.Until = msg.Link, time.Unix(msg.Until, 0)
		if !e.takesItself(now, i) {
			e.announce(i)
		}
	} else {
		i.Link, i.Until = msg.Link, time.Unix(msg.Until, 0)
		switch i.State {
		case taking: // from where the sender is now
			e.want(fetch{*i, false})
		case cancelled, expired:
			if now.Before(i.Until) {
				i.State, i.Reason, i.Ended = offered, "", time.Time{}
			}
		}
	}
	e.want(saveIn{*i})
	return reply{State: i.State, Reason: i.Reason, Done: i.done, Rate: i.rate}
}

// place makes room for one more delivery of a contact, or says why there is none.
func (e *engine) place(who string) (reply, bool) {
	open := 0
	var all []*incoming
	for _, i := range e.incomings() {
		if i.Who == who {
			all = append(all, i)
			if i.State == offered {
				open++
			}
		}
	}
	if open >= maxOpen {
		return reply{State: refused, Reason: fmt.Sprintf("%d of your offers wait for a decision", open)}, false
	}
	if len(all) < maxKept {
		return reply{}, true
	}
	for _, i := range all { // the oldest that is over makes place
		if ended(i.State) {
			delete(e.in, i.key())
			e.want(dropIn{i.key()})
			return reply{}, true
		}
	}
	return reply{State: refused, Reason: "their inbox is full"}, false
}

// announce tells the person of an offer, unless another of the same contact waits already.
func (e *engine) announce(i *incoming) {
	for _, other := range e.in {
		if other != i && other.Who == i.Who && other.State == offered {
			return
		}
	}
	e.want(note{fmt.Sprintf("%s sends you %s (%s); see it with: kith inbox", plain.Text(i.Who), plain.Text(i.Name), human.Bytes(i.Size))})
}

// takesItself takes an offer without asking, if the person has said so and the day's bytes are not used up.
func (e *engine) takesItself(now time.Time, i *incoming) bool {
	limit, ok := e.auto[i.Who]
	if !ok {
		return false
	}
	for _, other := range e.in {
		if other.Who == i.Who && now.Sub(other.Auto) < 24*time.Hour {
			limit -= other.Size
		}
	}
	if i.Size > limit {
		return false
	}
	i.Auto = now
	e.begin(now, i, false)
	return true
}

// begin takes an offer, or goes on with what is stuck: anew, if it shall go to another place.
func (e *engine) begin(now time.Time, i *incoming, anew bool) {
	i.State, i.Reason = taking, ""
	e.want(saveIn{*i})
	e.want(fetch{*i, anew})
	i.dial.now()
	e.tickIn(now, i)
}

func (e *engine) hearEnd(now time.Time, from peer.ID, msg message) reply {
	i := e.in[inKey{from, msg.ID}]
	switch {
	case i == nil:
		return reply{State: cancelled}
	case !ended(i.State):
		e.leave(now, i, msg.State, msg.Reason)
	}
	e.want(saveIn{*i})
	return reply{State: i.State}
}

// leave ends an incoming that does not come any more.
func (e *engine) leave(now time.Time, i *incoming, state, reason string) {
	if state != expired && state != declined {
		state = cancelled
	}
	e.giveUp(i)
	i.State, i.Reason, i.Ended, i.rate = state, cut(reason, maxReason), now, 0
	e.want(saveIn{*i})
}

// giveUp has the download given up that was begun for an incoming; one that the person began is theirs.
func (e *engine) giveUp(i *incoming) {
	if i.Ours {
		i.Ours = false
		e.want(forget{i.ref()})
	}
}

// began says that a download of ref was begun for an incoming, and was not here before.
func (e *engine) began(key inKey, ref kith.Ref) {
	i := e.in[key]
	if i == nil {
		e.want(forget{ref})
		return
	}
	if i.Ours = true; ended(i.State) && i.State != delivered { // it was faster
		e.giveUp(i)
	}
	e.want(saveIn{*i})
}

func (i *incoming) ref() kith.Ref {
	l, _ := kith.ParseLink(i.Link) // it was checked when it came
	return l.Ref
}

// A course is how the fetching of an incoming goes: taking, stuck, delivered, or declined if the person took it off the list of downloads.
type course struct {
	state   string
	reason  string // for the sender
	trouble string // for the person here
	path    string
	done    int64
	rate    float64
}

// progress says how the fetching of an incoming goes.
func (e *engine) progress(now time.Time, key inKey, c course) {
	i := e.in[key]
	if i == nil || i.State != taking && i.State != stuck {
		return
	}
	i.done, i.rate, i.trouble = c.done, c.rate, c.trouble
	if c.state == i.State && c.reason == i.Reason {
		e.tickIn(now, i)
		return
	}
	i.State, i.Reason = c.state, cut(c.reason, maxReason)
	if ended(c.state) {
		i.Path, i.Ended, i.rate = c.path, now, 0
	}
	i.dial.now()
	e.want(saveIn{*i})
	e.tickIn(now, i)
}

// tooMuch says that what comes is larger than was said: it is not taken.
func (e *engine) tooMuch(now time.Time, key inKey, size int64) {
	if i := e.in[key]; i != nil && !ended(i.State) {
		e.leave(now, i, declined, fmt.Sprintf("it is %s, and was offered as %s", human.Bytes(size), human.Bytes(i.Size)))
		e.tickIn(now, i)
	}
}

const speakEvery = time.Second // how often progress is told

func (e *engine) tickIn(now time.Time, i *incoming) {
	if i.State == offered && now.After(i.Until) {
		e.leave(now, i, expired, "it was not taken in time")
	}
	over := ended(i.State) && !i.dirty()
	if over && i.Hidden || ended(i.State) && i.State != delivered && now.Sub(i.Ended) > keepEnded {
		delete(e.in, i.key())
		e.want(dropIn{i.key()})
		return
	}
	moved := i.State == taking && now.Sub(i.spoken) >= speakEvery && i.rate > 0
	if (i.dirty() || moved) && i.dial.ready(now) {
		i.dial.busy, i.spoken = true, now
		e.want(tell{i.From, message{Kind: kindState, ID: i.ID, State: i.State, Reason: i.Reason, Done: i.done, Rate: i.rate}, kith.Ref{}})
	}
}

// toldIn says how a telling about an incoming has ended.
func (e *engine) toldIn(now time.Time, to peer.ID, msg message, r reply, err error) {
	i := e.in[inKey{to, msg.ID}]
	if i == nil {
		return
	}
	i.dial.answered(now, err == nil)
	switch {
	case err != nil:
	case r.State == "" || ended(i.State):
		said := incoming{State: msg.State, Reason: msg.Reason}
		if told := said.told(); told != i.Told {
			i.Told = told
			e.want(saveIn{*i})
		}
	case r.State == unknown:
		e.leave(now, i, cancelled, "the sender does not know of it any more")
	default:
		e.leave(now, i, r.State, r.Reason)
	}
	e.tickIn(now, i)
}

// find returns the incoming with a number.
func (e *engine) find(n int) (*incoming, error) {
	for _, i := range e.in {
		if i.N == n && !i.Hidden {
			return i, nil
		}
	}
	return nil, kith.Hint(fmt.Errorf("send: inbox %d: %w", n, kith.NotFound), "see what is there with: kith inbox")
}

// only returns the number of the only incoming that waits for the person.
func (e *engine) only() ([]int, error) {
	var waiting []int
	var names []string
	for _, i := range e.incomings() {
		if !i.Hidden && (i.State == offered || i.State == stuck) {
			waiting, names = append(waiting, i.N), append(names, strconv.Itoa(i.N))
		}
	}
	switch len(waiting) {
	case 1:
		return waiting, nil
	case 0:
		return nil, kith.Hint(fmt.Errorf("send: accept: nothing waits for your answer: %w", kith.NotFound), "see what came with: kith inbox")
	}
	return nil, kith.Hint(fmt.Errorf("send: accept: %d offers wait, say which: %w", len(waiting), kith.Invalid), "all of them: kith inbox accept %s", strings.Join(names, " "))
}

// acceptable returns the incoming with a number, unless it can be taken no more.
func (e *engine) acceptable(n int) (*incoming, error) {
	i, err := e.find(n)
	if err == nil && ended(i.State) && i.State != delivered {
		return nil, kith.Hint(fmt.Errorf("send: accept %d: it is %s: %w", n, i.State, kith.Gone), "ask %s to send it again", plain.Text(i.Who))
	}
	return i, err
}

// accept takes an offer, or goes on with what is stuck. dir is where it shall go; "" leaves that as it is.
func (e *engine) accept(now time.Time, n int, dir string) (*incoming, error) {
	i, err := e.acceptable(n)
	if err != nil {
		return nil, err
	}
	if i.State == taking || i.State == delivered {
		return i, nil
	}
	anew := i.State == stuck && dir != "" && dir != i.Dir
	if dir != "" {
		i.Dir = dir
	}
	e.begin(now, i, anew)
	return i, nil
}

// decline says no to an offer, or gives up what is on its way.
func (e *engine) decline(now time.Time, n int) (*incoming, error) {
	i, err := e.find(n)
	if err != nil {
		return nil, err
	}
	switch {
	case i.State == declined:
		return i, nil
	case ended(i.State):
		return nil, fmt.Errorf("send: decline %d: it is %s: %w", n, i.State, kith.Invalid)
	}
	e.leave(now, i, declined, "")
	i.dial.now()
	e.tickIn(now, i)
	return i, nil
}

// remove takes an incoming off the list; an offer is declined by that. What has come stays on the disk.
func (e *engine) remove(now time.Time, n int) (*incoming, error) {
	i, err := e.find(n)
	if err != nil {
		return nil, err
	}
	if !ended(i.State) {
		e.leave(now, i, declined, "")
		i.dial.now()
	}
	i.Hidden = true
	e.want(saveIn{*i})
	e.tickIn(now, i)
	return i, nil
}

// takings returns what is on its way here.
func (e *engine) takings() []incoming {
	var all []incoming
	for _, i := range e.incomings() {
		if i.State == taking || i.State == stuck {
			all = append(all, *i)
		}
	}
	return slices.Clip(all)
}

// setAuto says how many bytes of a contact's are taken in a day without asking, or that none are.
func (e *engine) setAuto(who string, limit int64, off bool) {
	if off {
		delete(e.auto, who)
	} else {
		e.auto[who] = limit
	}
	e.want(saveAuto{who, limit, off})
}
