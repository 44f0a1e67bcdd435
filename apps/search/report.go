package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith"
	"kith/internal/plain"
	"kith/internal/room"
	"kith/network"
	"kith/search/index"
	"kith/search/report"
	"kith/search/talk"
)

// reportsTables are what is written down of reports.
const reportsTables = `
CREATE TABLE reported (
	what TEXT PRIMARY KEY, -- peer ID of a publisher, or CID of a content, that the person reports
	why  TEXT NOT NULL,    -- as what
	at   INTEGER NOT NULL  -- seconds since 1970
) STRICT;
CREATE TABLE heard (
	device TEXT PRIMARY KEY, -- of a contact
	list   BLOB NOT NULL     -- what is reported there, as search/report writes it
) STRICT`

// Reports is what the person reports, and what contacts do.
type reports struct {
	bell chan struct{} // cap 1: there is something to tell

	mu    sync.Mutex
	mine  []report.Report
	heard map[peer.ID]heard
	told  map[peer.ID]told
}

type heard struct {
	digest report.Digest
	list   []report.Report
}

// told is what a device was told last, and until when it is told nothing else but what is new.
type told struct {
	digest report.Digest
	until  time.Time
}

func newReports() reports {
	return reports{bell: make(chan struct{}, 1), heard: map[peer.ID]heard{}, told: map[peer.ID]told{}}
}

// How reports are told.
const (
	reportsEvery = time.Minute      // in which somebody may have become a contact, or be none any more
	toldAgain    = 30 * time.Minute // to who has them, and may have lost them
	refusedAgain = 2 * time.Minute  // to who did not listen, or could not
	maxTelling   = 8                // whom it is told at once
	maxHeard     = 1000             // devices of contacts who are heard
)

// readReports makes what is known of reports what is written down.
func (s *Search) readReports(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, `SELECT device, list FROM heard`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var device string
		var data []byte
		if err := rows.Scan(&device, &data); err != nil {
			return err
		}
		p, err := peer.Decode(device)
		list, unread := report.Parse(data)
		if err == nil && unread == nil { // else it is told again
			s.reports.heard[p] = heard{report.DigestOf(data), list}
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	return s.readMine(ctx)
}

// readMine makes what the person reports what is written down, and has contacts told.
func (s *Search) readMine(ctx context.Context) error {
	rows, err := s.db.QueryContext(ctx, `SELECT what, why, at FROM reported`)
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	defer rows.Close()
	var mine []report.Report
	for rows.Next() {
		var r report.Report
		var why string
		var at int64
		if err := rows.Scan(&r.What, &why, &at); err != nil {
			return fmt.Errorf("search: %w", err)
		}
		r.Why, _ = report.ParseWhy(why)
		r.At = time.Unix(at, 0)
		mine = append(mine, r)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	s.reports.mu.Lock()
	s.reports.mine = mine
	s.reports.mu.Unlock()
	select {
	case s.reports.bell <- struct{}{}:
	default:
	}
	return nil
}

// mine returns as what the person reports something, by what it is.
func (s *Search) mine() map[string]string {
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	all := map[string]string{}
	for _, r := range s.reports.mine {
		all[r.What] = r.Why.String()
	}
	return all
}

// report hides something, and tells contacts why; or takes that back.
func (s *Search) report(ctx context.Context, in ReportIn) (HiddenOut, error) {
	if in.Undo {
		return s.takeBack(ctx, in.What)
	}
	why := report.Spam
	var err error
	if in.Why != "" {
		if why, err = report.ParseWhy(in.Why); err != nil {
			return HiddenOut{}, fmt.Errorf("search: %w", err)
		}
	}
	_, err = s.hideAnd(ctx, HideIn{What: in.What, Why: in.Note}, func(tx *sql.Tx, whats []string) error {
		for _, what := range whats {
			if _, err := tx.Exec(`INSERT INTO reported (what, why, at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET why = excluded.why, at = excluded.at`, what, why.String(), time.Now().Unix()); err != nil {
				return fmt.Errorf("search: save: %w", room.Explain(err))
			}
		}
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM reported`).Scan(&n); err != nil {
			return err
		}
		if n > report.Max {
			return kith.Hint(fmt.Errorf("search: report: %d are reported already: %w", report.Max, kith.TooLarge), "take some back: kith search report WHAT --undo; or hide it alone: kith search hide WHAT")
		}
		return nil
	})
	if errors.Is(err, kith.NotFound) {
		err = kith.Hint(err, "name a publisher by what a search shows of it, such as …x7Kq2p9d, or a link; to look for the word report: kith search -- report …")
	}
	if err == nil {
		err = s.readMine(ctx)
	}
	if err != nil {
		return HiddenOut{}, err
	}
	return s.hidden(ctx, None{})
}

// takeBack reports something no more, and shows it again.
func (s *Search) takeBack(ctx context.Context, name string) (HiddenOut, error) {
	all, err := s.hidden(ctx, None{})
	if err != nil {
		return HiddenOut{}, err
	}
	if !slices.ContainsFunc(all.Hidden, func(h Hidden) bool { return h.Reported != "" && h.called(name) }) {
		return HiddenOut{}, kith.Hint(fmt.Errorf("search: report %.80s: it is not reported: %w", plain.Text(name), kith.NotFound), "see what is: kith search hidden")
	}
	return s.unhide(ctx, UnhideIn{What: name})
}

// unreport takes reports back.
func unreport(tx *sql.Tx, whats []string) error {
	for _, what := range whats {
		if _, err := tx.Exec(`DELETE FROM reported WHERE what = ?`, what); err != nil {
			return fmt.Errorf("search: save: %w", room.Explain(err))
		}
	}
	return nil
}

// tellReports tells the devices of contacts what the person reports, as they come and as it changes, and forgets what those said who are contacts no more.
func (s *Search) tellReports(ctx context.Context) error {
	events, cancel := s.env.Host.Subscribe()
	defer cancel()
	tick := time.NewTicker(reportsEvery)
	defer tick.Stop()
	var telling sync.WaitGroup
	defer telling.Wait()
	tell := talk.Few(ctx, &telling, maxTelling, s.tellReport)
	for {
		for _, p := range s.contacts() {
			if s.untold(p) {
				tell(p)
			}
		}
		if err := s.forgetStrangers(ctx); err != nil && ctx.Err() == nil {
			s.env.Log.Warn("reports of who is no contact any more are still written down", "err", err)
		}
		for waiting := true; waiting; {
			select {
			case e, ok := <-events:
				if !ok {
					return nil
				}
				s.reports.mu.Lock()
				delete(s.reports.told, e.Peer)
				s.reports.mu.Unlock()
				waiting = !e.Connected || !s.env.People.Contact(e.Peer)
			case <-s.reports.bell:
				waiting = false
			case <-tick.C:
				waiting = false
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// listFor returns what a device is told: all that the person reports, but what is about its own person's devices.
func (s *Search) listFor(p peer.ID) ([]byte, error) {
	name := s.env.People.Name(p)
	s.reports.mu.Lock()
	list := slices.Clone(s.reports.mine)
	s.reports.mu.Unlock()
	list = slices.DeleteFunc(list, func(r report.Report) bool {
		about, err := peer.Decode(r.What)
		return err == nil && s.env.People.Name(about) == name
	})
	return report.Seal(list)
}

// untold reports whether a device is to be told something now, and if so notes that it is.
func (s *Search) untold(p peer.ID) bool {
	list, err := s.listFor(p)
	if err != nil {
		return false
	}
	digest, now := report.DigestOf(list), time.Now()
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	if t, ok := s.reports.told[p]; ok && t.digest == digest && now.Before(t.until) {
		return false
	}
	s.reports.told[p] = told{digest, now.Add(toldAgain)}
	return true
}

// tellReport tells a device what the person reports.
func (s *Search) tellReport(ctx context.Context, p peer.ID) {
	list, err := s.listFor(p)
	if err == nil {
		var st network.Stream
		if st, err = s.env.Net.Open(ctx, p, report.ProtocolID); err == nil {
			defer st.Close()
			err = report.Tell(ctx, st, list)
		}
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	s.env.Log.Debug("reports not told", "peer", p, "err", err)
	s.reports.mu.Lock()
	defer s.reports.mu.Unlock()
	if t, ok := s.reports.told[p]; ok {
		t.until = time.Now().Add(refusedAgain)
		s.reports.told[p] = t
	}
}

// serveReports hears what a contact reports. Who is hidden is heard, and does not count.
func (s *Search) serveReports(ctx context.Context, st network.Stream) error {
	p := st.Peer()
	s.reports.mu.Lock()
	has, many := s.reports.heard[p], len(s.reports.heard)
	s.reports.mu.Unlock()
	known := s.env.People.Contact(p) && (has.digest != report.Digest{} || many < maxHeard)
	return report.Listen(ctx, st, known, has.digest, func(data []byte, list []report.Report) error {
		if _, err := s.db.ExecContext(ctx, `INSERT OR REPLACE INTO heard (device, list) VALUES (?, ?)`, p.String(), data); err != nil {
			return fmt.Errorf("search: save: %w", room.Explain(err))
		}
		s.reports.mu.Lock()
		defer s.reports.mu.Unlock()
		s.reports.heard[p] = heard{report.DigestOf(data), list}
		return nil
	})
}

// forgetStrangers forgets what devices report that are no contact's any more.
func (s *Search) forgetStrangers(ctx context.Context) error {
	var gone []peer.ID
	s.reports.mu.Lock()
	for p := range s.reports.heard {
		if !s.env.People.Contact(p) {
			gone = append(gone, p)
		}
	}
	s.reports.mu.Unlock()
	for _, p := range gone {
		if _, err := s.db.ExecContext(ctx, `DELETE FROM heard WHERE device = ?`, p.String()); err != nil {
			return err
		}
		s.reports.mu.Lock()
		delete(s.reports.heard, p)
		s.reports.mu.Unlock()
	}
	return nil
}

// ownName is what the person's other devices are called.
const ownName = "me"

// voices returns what contacts report who are contacts now and not hidden.
func (s *Search) voices() report.Voices {
	by := map[string]*report.Voice{}
	s.reports.mu.Lock()
	lists := make(map[peer.ID][]report.Report, len(s.reports.heard))
	for p, h := range s.reports.heard {
		lists[p] = h.list
	}
	s.reports.mu.Unlock()
	own := s.env.People.Devices(ownName)
	for p, list := range lists {
		name := s.env.People.Name(p)
		if name == "" || s.shunned(p) {
			continue
		}
		v := by[name]
		if v == nil {
			v = &report.Voice{Name: name, Own: name == ownName && slices.Contains(own, p)}
			by[name] = v
		}
		v.Lists = append(v.Lists, list)
	}
	var all []report.Voice
	for _, v := range by {
		all = append(all, *v)
	}
	return report.Hear(all)
}

// ofReport is what one report that counts in full takes off: of what has as many of the words, what a contact reports comes behind all else, but for what contacts share.
const ofReport = 100.0

// doubt has a search rank what contacts report behind the rest.
func (a *asking) doubt() {
	a.voices = a.s.voices()
	a.o.Doubt = map[kith.Ref]float64{}
	for what, weight := range a.voices.Whats() {
		if root, err := kith.ParseRef(what); err == nil {
			a.o.Doubt[root] = ofReport * weight
		} else {
			a.o.Trust[what] -= ofReport * weight
		}
	}
}

// aside notes what contacts say of a result, and reports whether it is set aside. What is here never is, nor what a contact shares who does not say so.
func (r *Result) aside(voices report.Voices, h *index.Hit) bool {
	if len(voices) == 0 {
		return false
	}
	publishers := slices.DeleteFunc(slices.Clone(h.Publishers), func(p string) bool { return p == ofMine || p == forContacts })
	words, weight := voices.Of(h.Root, publishers)
	said := map[string]bool{}
	for _, w := range words {
		said[w.By] = true
		r.Reports = append(r.Reports, Word{w.By, w.Why.String()})
	}
	return weight >= report.Aside && !r.Here && !slices.ContainsFunc(r.From, func(name string) bool { return !said[name] })
}

// reported lists who of the contacts reports what.
func (s *Search) reported(context.Context, None) (ReportsOut, error) {
	out := ReportsOut{Contacts: []Voice{}}
	for _, v := range s.voices() {
		one := Voice{By: v.Name, Count: v.Count(), Worth: v.Worth()}
		for _, list := range v.Lists {
			for _, r := range list {
				one.Reports = append(one.Reports, Reported{What: r.What, Kind: kindOf(r.What), Why: r.Why.String(), Since: r.At.UTC()})
			}
		}
		slices.SortStableFunc(one.Reports, func(a, b Reported) int { return b.Since.Compare(a.Since) })
		out.Contacts = append(out.Contacts, one)
	}
	return out, nil
}

// kindOf says whether something is a publisher or a content.
func kindOf(what string) string {
	if _, err := kith.ParseRef(what); err == nil {
		return "content"
	}
	return "publisher"
}
