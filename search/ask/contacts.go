package ask

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/search/plan"
	"kith/search/publication"
)

// What is for contacts alone stands in no filter, so that each of them is asked, and none that is not there.
const (
	maxContacts    = 100 // devices of contacts that one search asks …
	contactsAtOnce = 20  // … and of how many it waits for an answer at the same time
)

// near returns the devices of contacts that are to be asked.
func (r *run) near() (list []peer.ID) {
	if r.text == "" {
		return nil
	}
	for _, p := range r.a.o.Contacts() {
		if len(list) < maxContacts && r.wanted(p) {
			list = append(list, p)
		}
	}
	return list
}

// askContacts asks as many contacts as may be asked now.
func (r *run) askContacts() {
	for len(r.contacts) > 0 && r.asking < contactsAtOnce {
		p := r.contacts[0]
		r.contacts = r.contacts[1:]
		r.asking++
		r.report.Asked++
		from := r.node(p)
		r.work.Go(func() {
			began := time.Now()
			found, _, err := r.a.question(r.ctx, p, question{Query: r.text, Contact: true})
			e := event{Event: plan.Event{What: plan.Answer, From: from}, contact: true, found: found, err: err}
			if err != nil {
				e.What = plan.Failed
			} else {
				r.a.measure(time.Since(began))
			}
			r.happens(e)
		})
	}
}

// heard returns the asides of an answer of p. Its error is Corrupt if any is none.
func (w answer) heard(p peer.ID, now time.Time) (list []Found, err error) {
	if len(w.Say) > MaxResults {
		return nil, fmt.Errorf("ask: %d asides, at most %d: %w", len(w.Say), MaxResults, kith.TooLarge)
	}
	for _, value := range w.Say {
		said, err := publication.ReadAside(value, p, now)
		if err != nil {
			return nil, err
		}
		list = append(list, Found{ID: publication.IDOf(append([]byte(p), value...)), Publication: said, Aside: true})
	}
	return list, nil
}
