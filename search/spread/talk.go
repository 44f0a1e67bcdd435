package spread

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"kith"
	"kith/network"
	"kith/search/sets"
	"kith/search/talk"
)

// ProtocolID is that of conversations about publications.
const ProtocolID protocol.ID = "/kith/publications/1"

// Limits of a conversation.
const (
	maxGiven = 256 << 10        // bytes of publications in one
	maxAsked = 2048             // publications that one message asks for
	maxGive  = 2 * sets.MaxTold // publications that are to be given
	maxTurns = 10_000           // messages of one conversation
	maxBad   = 16               // of what is sent that is no publication, after which a conversation ends
)

// A message is one turn of a conversation. Both sides take turns; it ends when both have nothing to say.
type message struct {
	Salt  uint64      `cbor:"1,keyasint,omitempty"` // of the first one that compares
	Parts []sets.Wire `cbor:"2,keyasint,omitempty"` // what is kept, by ranges
	Offer []byte      `cbor:"3,keyasint,omitempty"` // IDs of what is new, 16 bytes each
	Want  []byte      `cbor:"4,keyasint,omitempty"` // IDs of what is to be given
	Give  [][]byte    `cbor:"5,keyasint,omitempty"` // publications
	More  bool        `cbor:"6,keyasint,omitempty"` // there is more to come, or to be asked for, than what was said
}

func (m *message) empty() bool {
	return len(m.Parts)+len(m.Offer)+len(m.Want)+len(m.Give) == 0 && !m.More
}

// A side is one of a conversation.
type side struct {
	s     *Spread
	set   *sets.Set // what is compared
	takes bool      // this side asks for what it lacks
	gives bool      // and gives what the other lacks
	p     peer.ID
	salt  uint64
	give  []sets.ID // what the other side lacks
	want  []sets.ID // what this side lacks
	asked map[sets.ID]bool
	bad   int
	came  int // publications that are new here
}

// compare finds out in what a peer and this node differ, and evens it out.
func (s *Spread) compare(ctx context.Context, p peer.ID) {
	end, ok := s.meetings.Begin(p)
	if !ok {
		return
	}
	defer end()
	for came := sets.MaxTold; came >= sets.MaxTold/2 && ctx.Err() == nil; { // there was more than one conversation finds
		salt := rand.Uint64()
		s.mu.Lock()
		parts := s.set.Begin(salt)
		s.mu.Unlock()
		came = s.converse(ctx, p, &message{Salt: salt, Parts: sets.Encode(parts)})
	}
}

// offer tells a peer of what is new.
func (s *Spread) offer(ctx context.Context, p peer.ID, ids []sets.ID) {
	s.converse(ctx, p, &message{Offer: sets.EncodeIDs(ids)})
}

// converse begins a conversation, and has it. It returns how many publications came that are new here.
func (s *Spread) converse(ctx context.Context, p peer.ID, first *message) int {
	t := s.side(p)
	t.salt = first.Salt
	err := talk.Begin(ctx, s.o.Open, p, maxTurns, first, t.turn(ctx))
	if err != nil && ctx.Err() == nil && !errors.Is(err, kith.NotFound) { // NotFound: it does not speak this
		s.o.Log.Debug("publications were not compared", "peer", p, "err", err)
	}
	return t.came
}

// Serve has a conversation that a peer began, and ends when that one does.
func (s *Spread) Serve(ctx context.Context, st network.Stream) error {
	return talk.Serve(ctx, st, maxTurns, s.side(st.Peer()).turn(ctx))
}

// side begins this side of a conversation about all that is kept.
func (s *Spread) side(p peer.ID) *side {
	return &side{s: s, set: &s.set, takes: true, gives: true, p: p, asked: map[sets.ID]bool{}}
}

// turn returns how this side answers.
func (t *side) turn(ctx context.Context) talk.Answer[message] {
	return func(m *message) (said *message, over bool, err error) {
		said, err = t.answer(ctx, m)
		return said, err == nil && said.empty() && !m.More, err
	}
}

// answer takes in a message, and returns what is to be said to it.
func (t *side) answer(ctx context.Context, m *message) (*message, error) {
	if err := t.given(ctx, m.Give); err != nil {
		return nil, err
	}
	if t.salt == 0 {
		t.salt = m.Salt
	}
	offered, err1 := sets.DecodeIDs(m.Offer)
	wanted, err2 := sets.DecodeIDs(m.Want)
	parts, err3 := sets.Decode(m.Parts)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	if len(wanted) > maxAsked {
		return nil, fmt.Errorf("spread: %d publications are asked for, at most %d: %w", len(wanted), maxAsked, kith.TooLarge)
	}
	out := &message{}
	if len(parts) > 0 {
		t.s.mu.Lock()
		answer, d, err := t.set.Answer(parts, t.salt)
		t.s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		out.Parts = sets.Encode(answer)
		if t.gives {
			t.give = append(t.give, d.Only...)
		}
		offered = append(offered, d.Lacks...)
	}
	if t.give = append(t.give, wanted...); len(t.give) > maxGive {
		return nil, fmt.Errorf("spread: %d publications are to be given: %w", len(t.give), kith.TooLarge)
	}
	if t.takes {
		t.lack(offered)
	}
	if n := min(len(t.want), maxAsked); n > 0 {
		out.Want, t.want = sets.EncodeIDs(t.want[:n]), t.want[n:]
	}
	values, done, err := t.s.values(ctx, t.give, maxGiven)
	if err != nil {
		return nil, err
	}
	out.Give, t.give = values, t.give[done:]
	out.More = len(t.give)+len(t.want) > 0
	return out, nil
}

// lack notes which of some publications are to be asked for.
func (t *side) lack(ids []sets.ID) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, id := range ids {
		if len(t.want) < sets.MaxTold && !t.asked[id] && !t.s.refused[id] && !t.s.quiet[id] && !t.s.far.ids[id] && !t.s.set.Has(id) {
			t.asked[id] = true
			t.want = append(t.want, id)
		}
	}
}

// given takes in publications.
func (t *side) given(ctx context.Context, values [][]byte) error {
	if len(values) == 0 {
		return nil
	}
	news, bad, err := t.s.keep(ctx, values)
	if err != nil {
		return err
	}
	t.s.tell(news, t.p)
	if t.bad += bad; t.bad > maxBad {
		return fmt.Errorf("spread: what %s sends is not what publications are: %w", t.p, kith.Corrupt)
	}
	t.came += len(news)
	return nil
}
