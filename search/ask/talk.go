package ask

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"golang.org/x/time/rate"

	"kith"
	"kith/network"
	"kith/search/filter"
	"kith/search/plan"
	"kith/search/publication"
	"kith/search/query"
	"kith/wire"
)

// ProtocolID is that of questions: one question a stream, and its answer.
const ProtocolID protocol.ID = "/kith/search/1"

// Limits of a question.
const (
	MaxResults  = plan.Enough                                              // publications in an answer
	maxTold     = 40                                                       // candidates that a guide tells
	maxQuestion = query.MaxText + 64                                       // bytes
	maxAnswer   = MaxResults*(publication.MaxSize+8) + maxTold*128 + 1<<10 // bytes, 107 kB
	answerTime  = 10 * time.Second                                         // for a question, and for its answer
)

// A question is what is looked for.
type question struct {
	Query string `cbor:"1,keyasint"`           // as query.Parse reads it
	Guide bool   `cbor:"2,keyasint,omitempty"` // not what the asked one has is wanted, but who of its shard fits
	// Contact says that not what the asked one publishes is wanted, but what it has for its contacts alone. Who is asked so by somebody else answers as if it stood not there.
	Contact bool `cbor:"3,keyasint,omitempty"`
	// All says that what others publish is wanted too. Who is asked so and does not volunteer answers as if it stood not there.
	All bool `cbor:"4,keyasint,omitempty"`
}

// An answer is to a question.
type answer struct {
	Give [][]byte `cbor:"1,keyasint,omitempty"` // publications of the asked one; of a volunteer, if all are wanted, anybody's
	Tell []tell   `cbor:"2,keyasint,omitempty"` // the best first
	Busy bool     `cbor:"3,keyasint,omitempty"` // there were too many questions: nothing was looked for
	Say  [][]byte `cbor:"4,keyasint,omitempty"` // to a contact: asides, each as publication.Aside makes them
}

// A tell is a Candidate.
type tell struct {
	Device []byte `cbor:"1,keyasint"`
	Fit    uint8  `cbor:"2,keyasint"`
	Score  uint32 `cbor:"3,keyasint"`
}

// outward returns of a query what others are told: not who is to have published it, nor the order of the results, which this node sees to itself.
func outward(q query.Query) string {
	q.By, q.Sort = query.Choice{}, query.ByRelevance
	return q.String()
}

// question asks a peer, and returns what its answer has that can be believed. An answer that makes no sense is Corrupt; its peer is not asked again for a while.
func (a *Asker) question(ctx context.Context, p peer.ID, q question) ([]Found, []Candidate, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*answerTime)
	defer cancel()
	st, err := a.o.Open(ctx, p)
	if err != nil {
		return nil, nil, err
	}
	defer st.Reset()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(time.Now().Add(answerTime))
	var w answer
	if err = wire.WriteMsg(st, q); err == nil {
		err = wire.ReadMsg(bufio.NewReader(st), maxAnswer, &w)
	}
	if err == nil && w.Busy {
		return nil, nil, fmt.Errorf("ask: %s has been asked too often: %w", p, kith.Unavailable)
	}
	var found []Found
	var told []Candidate
	if err == nil && q.Guide {
		told, err = w.told()
	} else if err == nil {
		found, err = w.found(p, time.Now(), q.All)
		if err == nil && q.Contact {
			var heard []Found
			heard, err = w.heard(p, time.Now())
			found = append(found, heard...)
		}
	}
	if errors.Is(err, kith.Invalid) || errors.Is(err, kith.TooLarge) || errors.Is(err, kith.Corrupt) {
		a.shunPeer(p)
		err = fmt.Errorf("ask: the answer of %s makes no sense: %w", p, err)
	}
	if err != nil && ctx.Err() == nil {
		a.o.Log.Debug("a question was not answered", "peer", p, "err", err)
	}
	return found, told, err
}

// found returns the publications of an answer: those that p has signed, or with all anybody, with their work, and that hold now. Its error is Corrupt if any is none, or another's; that one has expired is no lie.
func (w answer) found(p peer.ID, now time.Time, all bool) (list []Found, err error) {
	if len(w.Give) > MaxResults {
		return nil, fmt.Errorf("ask: %d publications, at most %d: %w", len(w.Give), MaxResults, kith.TooLarge)
	}
	for _, value := range w.Give {
		pub, err := publication.Parse(value)
		switch {
		case err != nil:
			return nil, err
		case pub.Publisher != p && !all:
			return nil, fmt.Errorf("ask: a publication of %s: %w", pub.Publisher, kith.Corrupt)
		case pub.Gone || pub.Work < publication.MinWork || pub.Current(now) != nil:
			continue
		}
		list = append(list, Found{ID: publication.IDOf(value), Publication: pub, Lent: pub.Publisher != p})
	}
	return list, nil
}

// told returns the candidates that a guide tells. Its error is Corrupt.
func (w answer) told() (list []Candidate, err error) {
	if len(w.Tell) > maxTold {
		return nil, fmt.Errorf("ask: %d candidates, at most %d: %w", len(w.Tell), maxTold, kith.TooLarge)
	}
	for _, t := range w.Tell {
		p, err := peer.IDFromBytes(t.Device)
		fit := filter.Fit(t.Fit)
		if err != nil || fit != filter.Apart && fit != filter.Together {
			return nil, fmt.Errorf("ask: a candidate that is none: %w", kith.Corrupt)
		}
		if !slices.ContainsFunc(list, func(c Candidate) bool { return c.Device == p }) {
			list = append(list, Candidate{p, fit, t.Score})
		}
	}
	return list, nil
}

// Serve answers the question of a peer.
func (a *Asker) Serve(ctx context.Context, st network.Stream) error {
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	st.SetDeadline(time.Now().Add(answerTime))
	var q question
	if err := wire.ReadMsg(bufio.NewReader(st), maxQuestion, &q); err != nil {
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	parsed, err := query.Parse(q.Query)
	if err != nil {
		return fmt.Errorf("ask: %s asks what makes no sense: %w", st.Peer(), err)
	}
	if !a.allows(st.Peer()) {
		return wire.WriteMsg(st, answer{Busy: true})
	}
	w, err := a.answer(ctx, st.Peer(), parsed, q)
	if err != nil {
		return err
	}
	return wire.WriteMsg(st, w)
}

// answer looks for what is asked, unless too many are at it.
func (a *Asker) answer(ctx context.Context, from peer.ID, q query.Query, asked question) (w answer, err error) {
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	default:
		return answer{Busy: true}, nil
	}
	if asked.Guide {
		w.Tell = a.tell(q)
		return w, nil
	}
	q.By, q.Sort = query.Choice{}, query.ByRelevance // who asks has left them out
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if asked.Contact && a.o.Contact(from) {
		w.Say, err = a.o.FindAsides(ctx, q, MaxResults)
		w.Say = w.Say[:min(len(w.Say), MaxResults)]
		return w, err
	}
	find := a.o.Find
	if asked.All && a.o.FindAll != nil {
		find = a.o.FindAll
	}
	w.Give, err = find(ctx, q, MaxResults)
	w.Give = w.Give[:min(len(w.Give), MaxResults)]
	return w, err
}

// tell returns who of this shard fits.
func (a *Asker) tell(q query.Query) (list []tell) {
	who := a.o.Who(Sought(q), false)
	for _, c := range who[:min(len(who), maxTold)] {
		list = append(list, tell{[]byte(c.Device), uint8(c.Fit), c.Score})
	}
	return list
}

// allows reports whether a peer may ask now.
func (a *Asker) allows(p peer.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.paces[p]
	if l == nil {
		if len(a.paces) >= maxPeers {
			clear(a.paces)
		}
		l = rate.NewLimiter(often, oftenAt)
		a.paces[p] = l
	}
	return l.Allow()
}
