// Package ask asks others for what is looked for: it sends the questions that search/plan decides on, checks the answers, and answers those of others.
//
// It ranks nothing and keeps nothing. Its one idea: nobody is believed. An answer is publications that the asked device has signed itself, of now, and whoever searches looks
// for the words in them as in its own; a device that says that it has what it has not wastes one question, and one that sends what makes no sense is not asked again for a while.
package ask

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"kith/network"
	"kith/overlay/kbr"
	"kith/search/filter"
	"kith/search/plan"
	"kith/search/publication"
	"kith/search/query"
)

// Limits.
const (
	often    = 2       // questions a second of one peer …
	oftenAt  = 20      // … and so many at once
	atOnce   = 8       // questions of all peers that are looked for at the same time
	maxPeers = 1 << 12 // peers whose pace is kept
	shunFor  = 10 * time.Minute
	maxShun  = 1 << 10
)

// Options of an Asker.
type Options struct {
	Open func(ctx context.Context, p peer.ID) (network.Stream, error) // a conversation with a peer, who is looked for if need be
	// Find returns what this device publishes that answers q, the best first: each as publication.Seal made it.
	Find func(ctx context.Context, q query.Query, most int) ([][]byte, error)
	// Who returns the devices of this shard that may have what is looked for, the best first; missing: only those that can have something that is not here.
	Who func(s filter.Sought, missing bool) []Candidate
	// Guides returns for each other shard devices of it that can be asked.
	Guides func() [][]peer.ID
	// Contacts returns devices of contacts that are connected and may be asked what they have for contacts alone.
	Contacts func() []peer.ID
	// Contact reports whether a peer is a device of a contact, and FindAsides returns what this device has for its contacts alone that answers q: each as publication.Aside made it.
	Contact    func(p peer.ID) bool
	FindAsides func(ctx context.Context, q query.Query, most int) ([][]byte, error)
	Rare       Rare // the zero Rare knows nothing
	// Volunteers returns who may be asked for what it has of all others too, and FindAll what this device has of all that answers q; nil: it is no volunteer.
	Volunteers func(s filter.Sought) []peer.ID
	FindAll    func(ctx context.Context, q query.Query, most int) ([][]byte, error)
	Log        *slog.Logger
}

// A Candidate is a device that may have what is looked for; see plan.Candidate.
type Candidate struct {
	Device peer.ID
	Fit    filter.Fit
	Score  uint32
}

// Best returns those of candidates that are to be asked, in that order: those in whose filters the words stand together, and only if there are none the others; those of a greater score first.
func Best(list []Candidate) []Candidate {
	best := filter.Unfit
	for _, c := range list {
		best = max(best, c.Fit)
	}
	list = slices.DeleteFunc(list, func(c Candidate) bool { return c.Fit < best })
	slices.SortFunc(list, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Device, b.Device))
	})
	return list
}

// An Asker asks and answers. Its methods may be called at once.
type Asker struct {
	o      Options
	places chan struct{} // for those who ask

	mu    sync.Mutex
	rtt   kbr.RTT                   // of questions to others, with the connection that has to be made
	looks kbr.RTT                   // of lookups of what is rare
	paces map[peer.ID]*rate.Limiter // how often each may ask
	shun  map[peer.ID]time.Time     // until when those are not asked whose answers made no sense

	volunteers plan.Volunteers[peer.ID] // how they did
}

// New returns an Asker.
func New(o Options) *Asker {
	return &Asker{o: o, places: make(chan struct{}, atOnce), paces: map[peer.ID]*rate.Limiter{}, shun: map[peer.ID]time.Time{}}
}

// A Found is a publication that an answer had, verified; or an aside.
type Found struct {
	ID publication.ID
	publication.Publication
	Aside bool // a contact said it, and it is for contacts alone: it is neither kept nor passed on
	Lent  bool // a volunteer gave it, who is not whose it is: it may be of before
}

// A Report says how a search went.
type Report struct {
	Asked    int // devices, guides and contacts among them; one that is asked for two reasons counts twice
	Answered int // of these those whose answers made sense, found they something or not
	Failed   int // that could not be reached, were busy, or whose answers made no sense

	Volunteers int // of Asked, those who were asked for what they have of all others
}

// Slow is how many had not answered when the search ended.
func (r Report) Slow() int { return r.Asked - r.Answered - r.Failed }

// A Take takes in an answer: what was found, and how the search goes so far. It returns how many of these answer what is looked for, and how many of their contents were not
// found before.
type Take func(so Report, list []Found) (fit, fresh int)

// Ask asks others until enough is found: home is how many results there are already. Each answer that has something is handed to take, one at a time, on the goroutine of the
// caller. A query without words asks nobody but contacts, nor does one of which enough is at home; and one for what some devices publish (By, as peer IDs) asks only these.
func (a *Asker) Ask(ctx context.Context, q query.Query, home int, take Take) Report {
	sought := Sought(q)
	r := &run{a: a, text: outward(q), by: q.By, found: home, number: map[peer.ID]kbr.Node{}, asked: map[kbr.Node]bool{}, told: map[kbr.Node]bool{}, events: make(chan event, 2*plan.MaxAsks)}
	r.contacts = r.near()
	far := len(sought) > 0 && home < plan.Enough
	if !far && len(r.contacts) == 0 {
		return Report{}
	}
	defer r.work.Wait()
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	if !far {
		r.drive(true, take)
		return r.report
	}
	for _, list := range a.o.Guides() {
		var g []kbr.Node
		for _, p := range list {
			if len(q.By.In) == 0 && !a.shunned(p) {
				g = append(g, r.node(p))
			}
		}
		if len(g) > 0 {
			r.guides = append(r.guides, g)
		}
	}
	near := r.candidates(a.o.Who(sought, true))
	r.plan = plan.New(a.wait(), near, r.guides)
	if len(q.By.In) == 0 && a.o.Volunteers != nil {
		r.lend(near, a.o.Volunteers(sought))
		defer r.judge()
	}
	r.drive(r.step(plan.Event{What: plan.Begin, Fresh: home}), take)
	r.release(take)
	return r.further(q, take)
}

func (a *Asker) wait() kbr.Ticks {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rtt.Wait()
}

func (a *Asker) measure(took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rtt.Measure(kbr.Ticks(took.Microseconds()))
}

func (a *Asker) shunned(p peer.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	until, is := a.shun[p]
	if is && time.Now().After(until) {
		delete(a.shun, p)
		return false
	}
	return is
}

func (a *Asker) shunPeer(p peer.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.shun) >= maxShun {
		clear(a.shun)
	}
	a.shun[p] = time.Now().Add(shunFor)
}

// A run drives the plan of one search.
type run struct {
	a      *Asker
	ctx    context.Context
	work   sync.WaitGroup // of all that asks
	plan   *plan.Search
	text   string
	by     query.Choice
	number map[peer.ID]kbr.Node
	peers  []peer.ID         // by number, from 1 on
	guides [][]kbr.Node      // of each other shard
	asked  map[kbr.Node]bool // what they have
	told   map[kbr.Node]bool // guides that have told who fits
	found  int
	events chan event
	report Report

	contacts []peer.ID // who are still to be asked what they have for contacts
	asking   int       // how many of them are being asked

	lent lent
}

// An event is what became of a question.
type event struct {
	plan.Event
	sound   bool // all that was found was asked for
	contact bool // it was for what contacts have; the plan does not know of it
	guide   bool // it was asked who fits
	found   []Found
	told    []Candidate
	err     error
}

// node returns the number of a peer.
func (r *run) node(p peer.ID) kbr.Node {
	n, ok := r.number[p]
	if !ok {
		r.peers = append(r.peers, p)
		n = kbr.Node(len(r.peers))
		r.number[p] = n
	}
	return n
}

// candidates returns those who can be asked, as the plan knows them.
func (r *run) candidates(list []Candidate) (out []plan.Candidate) {
	for _, c := range list {
		if r.wanted(c.Device) {
			out = append(out, plan.Candidate{Node: r.node(c.Device), Fit: c.Fit, Score: c.Score})
		}
	}
	return out
}

// wanted reports whether a device may be asked.
func (r *run) wanted(d peer.ID) bool {
	p := d.String()
	return (len(r.by.In) == 0 || slices.Contains(r.by.In, p)) && !slices.Contains(r.by.Out, p) && !r.a.shunned(d)
}

// drive lets happen what happens, until the plan is done, as it may be from the beginning, and contacts have answered or taken too long; or until the search is given up.
func (r *run) drive(done bool, take Take) {
	late := time.NewTimer(time.Duration(r.a.wait()) * time.Microsecond)
	defer late.Stop()
	r.askContacts()
	for !done || r.asking > 0 {
		select {
		case e := <-r.events:
			r.takeIn(&e, take)
			switch {
			case e.contact:
				r.asking = max(0, r.asking-1) // none is waited for who was late
				r.askContacts()
			case !done:
				done = r.step(e.Event)
			}
		case <-late.C:
			r.contacts, r.asking = nil, 0
		case <-r.ctx.Done():
			return
		}
	}
}

// takeIn takes in what became of a question.
func (r *run) takeIn(e *event, take Take) {
	switch e.What {
	case plan.Answer:
		if e.guide {
			r.told[e.From] = true
		}
		if e.contact || !r.holds(e) {
			r.answered(e, take)
			r.found += e.Fresh
		}
	case plan.Failed:
		r.report.Failed++
	}
	r.lent.heard(e)
}

// answered takes in an answer. One in which nothing is what was asked for is none.
func (r *run) answered(e *event, take Take) {
	r.report.Answered++
	e.Peers = r.candidates(e.told)
	if len(e.found) == 0 {
		return
	}
	fit := 0
	defer func() { e.sound = fit == len(e.found) }()
	if fit, e.Fresh = take(r.report, e.found); fit == 0 {
		p := r.peers[e.From-1]
		r.a.o.Log.Debug("an answer has nothing of what was asked for", "peer", p)
		r.a.shunPeer(p)
		e.What = plan.Failed
		r.report.Answered--
		r.report.Failed++
	}
}

// step lets something happen to the plan, and does what it says. It reports whether the search is over.
func (r *run) step(ev plan.Event) (done bool) {
	for _, act := range r.plan.Step(&ev, nil) {
		if act.Do == plan.Done {
			return true
		}
		r.send(act)
	}
	return false
}

// send asks one peer, while other things happen.
func (r *run) send(act plan.Act) {
	if act.Do == plan.Ask {
		r.asked[act.To] = true
	}
	if act.Do == plan.Lend {
		r.report.Volunteers++
	}
	r.report.Asked++
	p := r.peers[act.To-1]
	r.work.Go(func() { r.ask(p, act) })
}

// ask asks one peer, and says when it is slow and what became of it.
func (r *run) ask(p peer.ID, act plan.Act) {
	began := time.Now()
	guide := act.Do == plan.Guide
	slow := time.AfterFunc(time.Duration(act.Wait)*time.Microsecond, func() { r.happens(event{Event: plan.Event{What: plan.Slow, From: act.To}, guide: guide}) })
	defer slow.Stop()
	found, told, err := r.a.question(r.ctx, p, question{Query: r.text, Guide: guide, All: act.Do == plan.Lend})
	e := event{Event: plan.Event{What: plan.Answer, From: act.To}, guide: guide, found: found, told: told, err: err}
	if err != nil {
		e.What = plan.Failed
	} else {
		r.a.measure(time.Since(began))
	}
	r.happens(e)
}

func (r *run) happens(e event) {
	select {
	case r.events <- e:
	case <-r.ctx.Done():
	}
}
