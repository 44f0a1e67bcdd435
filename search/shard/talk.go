package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/network"
	"kith/search/sets"
	"kith/search/talk"
)

// ProtocolID is that of conversations about filters.
const ProtocolID protocol.ID = "/kith/filters/1"

// Limits of a conversation.
const (
	maxGiven = 512 << 10            // bytes of filters in one
	maxAsked = 512                  // stamps, or filters, that one message asks for
	maxOwed  = 2 * (MaxDevices + 1) // stamps and filters that are to be given, and that are lacking
	maxTurns = 1_000                // messages of one conversation
	maxBad   = 16                   // of what is sent that makes no sense, after which a conversation ends
)

// A message is one turn of a conversation. Both sides take turns; it ends when both have nothing to say.
type message struct {
	Salt    uint64      `cbor:"1,keyasint,omitempty"` // of the first one that compares
	Parts   []sets.Wire `cbor:"2,keyasint,omitempty"` // what is kept, by ranges
	Offer   []byte      `cbor:"3,keyasint,omitempty"` // IDs of stamps that are new, 16 bytes each
	Want    []byte      `cbor:"4,keyasint,omitempty"` // IDs of stamps that are to be given
	Stamps  []told      `cbor:"5,keyasint,omitempty"`
	Lack    []byte      `cbor:"6,keyasint,omitempty"` // IDs of stamps whose filters are to be given
	Filters []given     `cbor:"7,keyasint,omitempty"`
	More    bool        `cbor:"8,keyasint,omitempty"` // there is more to come, or to be asked for
}

// told is a stamp, and how many seconds ago it was said as far as who tells it knows.
type told struct {
	Value []byte `cbor:"1,keyasint"`
	Age   uint32 `cbor:"2,keyasint,omitempty"`
}

// given is a filter, and the ID of the stamp that it belongs to.
type given struct {
	ID   []byte `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint"`
}

func (m *message) empty() bool {
	return len(m.Parts)+len(m.Offer)+len(m.Want)+len(m.Stamps)+len(m.Lack)+len(m.Filters) == 0 && !m.More
}

// A side is one of a conversation.
type side struct {
	s       *Shard
	p       peer.ID
	salt    uint64
	give    []sets.ID // stamps that the other side lacks
	owe     []sets.ID // stamps whose filters it lacks
	want    []sets.ID // stamps that this side lacks
	lack    []sets.ID // and those whose filters it lacks
	asked   map[sets.ID]bool
	pending map[sets.ID]pending // by the stamp's ID
	bad     int
}

// pending is a stamp whose filter has not come yet.
type pending struct {
	stamp
	value []byte
	heard time.Time
}

func (s *Shard) side(p peer.ID) *side {
	return &side{s: s, p: p, asked: map[sets.ID]bool{}, pending: map[sets.ID]pending{}}
}

// compare finds out in what a peer of the same shard and this node differ, and evens it out. Of one of another shard, who names some of this one, it makes use while few of its own are connected.
func (s *Shard) compare(ctx context.Context, p peer.ID) {
	near, _ := s.peers()
	end, ok := s.meetings.Begin(p)
	if !ok {
		return
	}
	defer end()
	s.mu.Lock()
	far := !s.inside(p) && len(near) >= few
	salt := rand.Uint64()
	parts := s.set.Begin(salt)
	s.mu.Unlock()
	if far {
		return
	}
	s.converse(ctx, p, &message{Salt: salt, Parts: sets.Encode(parts)})
}

// converse begins a conversation, and has it.
func (s *Shard) converse(ctx context.Context, p peer.ID, first *message) {
	t := s.side(p)
	t.salt = first.Salt
	err := talk.Begin(ctx, s.o.Open, p, maxTurns, first, t.turn)
	if err == nil {
		t.follow()
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, kith.NotFound) { // NotFound: it does not speak this
		s.o.Log.Debug("filters were not compared", "peer", p, "err", err)
	}
}

// follow compares with those of whom the other side had no filter: it is of another shard than they.
func (t *side) follow() {
	n := 0
	for _, p := range t.pending {
		if n++; n > maxGuides {
			return
		}
		t.s.meetings.Want(p.device)
	}
}

// Serve has a conversation that a peer began, and ends when that one does.
func (s *Shard) Serve(ctx context.Context, st network.Stream) error {
	return talk.Serve(ctx, st, maxTurns, s.side(st.Peer()).turn)
}

// turn is how this side answers.
func (t *side) turn(m *message) (said *message, over bool, err error) {
	said, err = t.answer(m)
	return said, err == nil && said.empty() && !m.More, err
}

// answer takes in a message, and returns what is to be said to it.
func (t *side) answer(m *message) (*message, error) {
	now := time.Now()
	fresh, err := t.filters(m.Filters)
	if err != nil {
		return nil, err
	}
	fresh = append(fresh, t.stamps(m.Stamps, now)...)
	t.s.news.Add(t.p, fresh...)
	if t.bad > maxBad {
		return nil, fmt.Errorf("shard: what %s sends is not what filters are: %w", t.p, kith.Corrupt)
	}
	if t.salt == 0 {
		t.salt = m.Salt
	}
	offered, err1 := sets.DecodeIDs(m.Offer)
	wanted, err2 := sets.DecodeIDs(m.Want)
	lacked, err3 := sets.DecodeIDs(m.Lack)
	parts, err4 := sets.Decode(m.Parts)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if len(wanted) > maxAsked || len(lacked) > maxAsked {
		return nil, fmt.Errorf("shard: %d stamps and %d filters are asked for, at most %d: %w", len(wanted), len(lacked), maxAsked, kith.TooLarge)
	}
	out := &message{}
	if len(parts) > 0 {
		t.s.mu.Lock()
		answer, d, err := t.s.set.Answer(parts, t.salt)
		inside := t.s.inside(t.p)
		t.s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if inside {
			out.Parts = sets.Encode(answer)
			t.give = append(t.give, d.Only...)
			offered = append(offered, d.Lacks...)
		} else { // there is nothing to compare
			t.give = append(t.give, t.s.guidesOf(t.p)...)
		}
	}
	t.give, t.owe = append(t.give, wanted...), append(t.owe, lacked...)
	if len(t.give)+len(t.owe) > maxOwed {
		return nil, fmt.Errorf("shard: %d stamps and %d filters are to be given: %w", len(t.give), len(t.owe), kith.TooLarge)
	}
	t.ask(offered, now)
	t.fill(out, now)
	return out, nil
}

// ask notes which of some stamps are to be asked for.
func (t *side) ask(ids []sets.ID, now time.Time) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, id := range ids {
		_, kept := t.s.byID[id]
		if len(t.asked) < maxOwed && !t.asked[id] && !t.s.refused[id] && !kept && now.Sub(t.s.coming[id]) > askAgain {
			if len(t.s.coming) >= maxRefused {
				clear(t.s.coming)
			}
			t.asked[id], t.s.coming[id] = true, now
			t.want = append(t.want, id)
		}
	}
}

// fill says what is to be given and asked for, as much as one message holds.
func (t *side) fill(out *message, now time.Time) {
	take := func(from *[]sets.ID) []sets.ID {
		n := min(len(*from), maxAsked)
		list := (*from)[:n]
		*from = (*from)[n:]
		return list
	}
	out.Want, out.Lack = sets.EncodeIDs(take(&t.want)), sets.EncodeIDs(take(&t.lack))
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, id := range take(&t.give) {
		if e := t.s.kept[t.s.byID[id]]; e != nil && e.id == id { // else it was replaced meanwhile
			out.Stamps = append(out.Stamps, told{e.value, uint32(max(0, now.Sub(e.heard)) / time.Second)})
		}
	}
	size := 0
	for len(t.owe) > 0 && size < maxGiven {
		id := t.owe[0]
		t.owe = t.owe[1:]
		if e := t.s.kept[t.s.byID[id]]; e != nil && e.id == id && e.filter != nil {
			data := e.filter.Append(nil)
			size += len(data)
			out.Filters = append(out.Filters, given{id[:], data})
		}
	}
	out.More = len(t.give)+len(t.owe)+len(t.want)+len(t.lack) > 0
}

// stamps takes in stamps, and returns the IDs of those that are new here and whole.
func (t *side) stamps(list []told, now time.Time) (fresh []sets.ID) {
	for _, x := range list {
		st, err := parse(x.Value)
		if err != nil {
			if t.bad++; t.bad > maxBad {
				return fresh
			}
			continue
		}
		id, heard := idOf(x.Value), now.Add(-time.Duration(x.Age)*time.Second)
		switch t.s.judge(st, x.Value, heard, now) {
		case whole:
			fresh = append(fresh, id)
		case lacking:
			if len(t.pending) < maxOwed {
				t.pending[id] = pending{st, x.Value, heard}
				t.lack = append(t.lack, id)
			}
		}
	}
	return fresh
}

// filters takes in filters that were asked for, and returns the IDs of their stamps. Its error is TooLarge if the peer has given more than its share.
func (t *side) filters(list []given) (fresh []sets.ID, err error) {
	for _, x := range list {
		if !t.s.budget(t.p).AllowN(time.Now(), len(x.Data)) {
			return nil, fmt.Errorf("shard: %s gives more filters than it may: %w", t.p, kith.TooLarge)
		}
		if len(x.ID) != len(sets.ID{}) {
			t.bad++
			continue
		}
		id := sets.ID(x.ID)
		p, ok := t.pending[id]
		if !ok {
			t.bad++
			continue
		}
		delete(t.pending, id)
		f, err := filterOf(x.Data, p.digest)
		if err != nil {
			t.bad++
			continue
		}
		if t.s.accept(p.stamp, p.value, p.heard, f, len(x.Data)) {
			fresh = append(fresh, id)
		}
	}
	return fresh, nil
}
