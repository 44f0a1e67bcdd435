package ask

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/overlay/kbr"
	"kith/search/plan"
	"kith/search/publication"
	"kith/search/query"
	"kith/search/rare"
	"kith/search/words"
)

// When the overlay is asked who has what is rare, and how much.
const (
	Few       = 10 // results: with fewer, when all others have answered, it is
	looksAt   = 3  // keys that are looked up at once
	rareAsks  = 10 // devices that are asked because the overlay names them
	perLook   = 10 // devices that are heard of under one key
	patience  = 2  // times as long as an answer takes usually whoever is asked so is waited for, with whom a connection has to be made
	leastLook = time.Second
	tooLately = 2 // how many times as long a lookup is taken to have lasted that was not waited for
)

// Rare is the overlay as an index of what is rare (search/rare).
type Rare struct {
	// Keys returns what to look up for a query, when a guide of so many other shards has answered; nothing if the overlay is not to be asked.
	Keys func(ctx context.Context, q query.Query, guided int) []rare.Key
	// Find yields who is announced under a key, at most so many, as they are found, until ctx ends.
	Find func(ctx context.Context, key rare.Key, most int) iter.Seq[peer.ID]
}

// WordsOf returns the words of a publication that it can be known by: of its name, its tags and its facts, as they are written, folded.
func WordsOf(p publication.Publication) []string {
	return folded(append(append([]string{p.Name}, p.Tags...), p.Facts.Text())...)
}

// WordsIn returns the words of a query, as WordsOf those of a publication.
func WordsIn(q query.Query) []string { return folded(slices.Concat(q.Words, q.Phrases, q.Tag.In)...) }

// folded returns the words of texts, with their parts and without stems: a stem depends on a language, which two may guess differently.
func folded(texts ...string) (list []string) {
	for _, text := range texts {
		for _, w := range words.Split(text) {
			if !w.Pairs {
				list = append(list, w.Whole)
			}
			for _, p := range w.Parts {
				if w.Pairs || p != w.Whole && utf8.RuneCountInString(p) > 1 {
					list = append(list, p)
				}
			}
		}
	}
	return list
}

// further asks those who are announced in the overlay, if all others together know little.
func (r *run) further(q query.Query, take Take) Report {
	if r.found >= Few || len(r.by.In) > 0 || r.a.o.Rare.Keys == nil || r.ctx.Err() != nil {
		return r.report
	}
	keys := r.a.o.Rare.Keys(r.ctx, q, r.guided())
	if len(keys) == 0 {
		return r.report
	}
	looking, stop := context.WithCancel(r.ctx)
	defer stop()
	who := r.lookUp(looking, keys)
	open := map[kbr.Node]bool{}
	for asked := 0; r.found < plan.Enough && (who != nil || len(open) > 0); {
		select {
		case p, ok := <-who:
			if ok && r.wanted(p) && !r.asked[r.node(p)] {
				asked++
				open[r.node(p)] = true
				r.send(plan.Act{Do: plan.Ask, To: r.node(p), Wait: patience * r.a.wait()})
			}
			if !ok || asked == rareAsks {
				stop()
				who = nil
			}
		case e := <-r.events:
			r.takeIn(&e, take)
			if !e.contact && !e.guide {
				delete(open, e.From)
			}
		case <-r.ctx.Done():
			return r.report
		}
	}
	return r.report
}

// guided returns of how many other shards a guide has answered.
func (r *run) guided() (shards int) {
	for _, guides := range r.guides {
		if slices.ContainsFunc(guides, func(n kbr.Node) bool { return r.told[n] }) {
			shards++
		}
	}
	return shards
}

// lookUp yields who is announced under any of keys, as they are found, until ctx ends: some keys at once, each for as long as lookups usually take.
func (r *run) lookUp(ctx context.Context, keys []rare.Key) <-chan peer.ID {
	out := make(chan peer.ID)
	left := make(chan rare.Key, len(keys))
	for _, k := range keys {
		left <- k
	}
	close(left)
	var work sync.WaitGroup
	for range min(looksAt, len(keys)) {
		work.Go(func() {
			for key := range left {
				r.a.lookUpOne(ctx, key, out)
			}
		})
	}
	r.work.Go(func() {
		work.Wait()
		close(out)
	})
	return out
}

// lookUpOne tells of each that is announced under a key.
func (a *Asker) lookUpOne(ctx context.Context, key rare.Key, out chan<- peer.ID) {
	if ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	wait := max(leastLook, time.Duration(a.looks.Wait())*time.Microsecond)
	a.mu.Unlock()
	in, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	began := time.Now()
	for p := range a.o.Rare.Find(in, key, perLook) {
		select {
		case out <- p:
		case <-ctx.Done():
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	took := time.Since(began)
	if in.Err() != nil {
		took = tooLately * wait
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looks.Measure(kbr.Ticks(took.Microseconds()))
}
