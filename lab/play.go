package lab

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kith/internal/human"
	"kith/lab/scenario"
	"kith/lab/sim"
)

const lookEvery = 500 * time.Millisecond // at what is expected

// Line is one line of a scenario, as it is shown.
type Line struct {
	At   float64 `json:"at" doc:"seconds since all had moved in; of an expectation, by when"`
	Text string  `json:"text"`
	Want bool    `json:"want,omitempty" doc:"it is an expectation"`
	Is   string  `json:"is" enum:"to come,done,met,missed,failed"`
	When float64 `json:"when,omitempty" doc:"seconds when an expectation was met"`
	Not  string  `json:"not,omitempty" doc:"of an expectation that was missed: who did not"`
}

// Result is what came of a scenario.
type Result struct {
	Title   string  `json:"title,omitempty"`
	Seed    uint64  `json:"seed"`
	OK      bool    `json:"ok" doc:"all that was expected came about, and nothing failed"`
	Seconds float64 `json:"seconds"`
	Lines   []Line  `json:"lines"`
}

// Result returns what came of the scenario; nil: it is not over, or there is none.
func (l *Lab) Result() *Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result
}

// lines returns a plan in words: the steps first, then what is wanted.
func lines(p *scenario.Plan) (list []Line) {
	for _, s := range p.Steps {
		list = append(list, Line{At: s.At.Seconds(), Text: words(s, len(p.Hosts)), Is: "to come"})
	}
	for _, w := range p.Wants {
		list = append(list, Line{At: time.Duration(w.By).Seconds(), Text: w.String(), Want: true, Is: "to come"})
	}
	return list
}

// words says what a step is.
func words(s scenario.Step, of int) string {
	who := crowd(s.Who, of)
	switch s.Do {
	case scenario.Share:
		return fmt.Sprintf("%s shares %s, %s", who, s.What, human.Bytes(s.Size))
	case scenario.Get:
		return who + " get " + s.What
	case scenario.Kill:
		return who + " go away without a word"
	case scenario.Revive:
		return who + " come back"
	case scenario.Move:
		return who + " move to another network"
	case scenario.Heal:
		return "the network is whole again"
	}
	var sides []string
	for _, side := range s.Sides {
		sides = append(sides, crowd(side, of))
	}
	return "the network falls apart: " + strings.Join(sides, " | ")
}

// crowd names a few, or says how many there are.
func crowd(who []int, of int) string {
	if len(who) == of {
		return "all"
	}
	if len(who) > 3 {
		return human.Count(len(who), "neighbour")
	}
	var names []string
	for _, i := range who {
		names = append(names, nameOf(i))
	}
	return strings.Join(names, ", ")
}

// play does what the plan says, looks whether what is expected comes about, and ends the lab when it is over.
func (l *Lab) play() {
	end := l.plan.Scenario.End()
	ctx := l.life
	if end > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, l.begun.Add(end+lookEvery))
		defer cancel()
	}
	expecting := make(chan struct{})
	go func() {
		defer close(expecting)
		l.expect()
	}()
	var doing sync.WaitGroup
	n := 0
	for s := range l.plan.All() {
		if !sleep(ctx, time.Until(l.begun.Add(s.At))) {
			break
		}
		line := -1
		if n < len(l.plan.Steps) && s.At == l.plan.Steps[n].At && s.Do == l.plan.Steps[n].Do && slices.Equal(s.Who, l.plan.Steps[n].Who) {
			line = n
			n++
		}
		doing.Go(func() { l.do(s, line) })
	}
	doing.Wait()
	<-expecting
	if end == 0 || l.life.Err() != nil {
		return
	}
	if l.plan.Scenario.Last > 0 {
		<-ctx.Done()
	}
	l.finish()
}

// finish says what came of it.
func (l *Lab) finish() {
	l.mu.Lock()
	r := &Result{Title: l.plan.Scenario.Title, Seed: l.plan.Scenario.Seed, OK: true, Seconds: time.Since(l.begun).Seconds(), Lines: slices.Clone(l.script)}
	for _, line := range r.Lines {
		r.OK = r.OK && line.Is != "missed" && line.Is != "failed"
	}
	l.result = r
	l.mu.Unlock()
	if !l.o.Stay {
		go l.Close()
	}
}

// do carries out one step. line is its number in the script; -1: it is not in there.
func (l *Lab) do(s scenario.Step, line int) {
	err := l.step(s)
	is := "done"
	if err != nil && l.life.Err() == nil {
		is = "failed"
		l.tell(Happening{Who: -1, Verb: is, Sample: -1, What: words(s, len(l.people)) + ": " + err.Error()})
	}
	if line >= 0 {
		l.mark(line, func(x *Line) { x.Is = is })
	}
}

func (l *Lab) mark(line int, change func(*Line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.script[line])
}

func (l *Lab) step(s scenario.Step) error {
	switch s.Do {
	case scenario.Share:
		_, err := l.add(func(int) (Sample, error) {
			return l.people[s.Who[0]].shareMade(l.life, s.What, s.Size, l.plan.Scenario.Seed)
		})
		return err
	case scenario.Partition, scenario.Heal:
		side := map[*sim.Host]int{}
		for i, who := range s.Sides {
			for _, j := range who {
				side[l.people[j].host] = i + 1
			}
		}
		l.net.Part(side)
		verb := map[string]string{scenario.Partition: "parted", scenario.Heal: "healed"}[s.Do]
		l.tell(Happening{Who: -1, Verb: verb, Sample: -1})
		return nil
	}
	return l.each(len(l.people), func(p *neighbour) (err error) {
		if !slices.Contains(s.Who, p.index) {
			return nil
		}
		switch s.Do {
		case scenario.Get:
			if i := slices.IndexFunc(l.shared(), func(x Sample) bool { return x.Name == s.What }); i < 0 {
				err = fmt.Errorf("%s is not shared yet", s.What)
			} else if p.running() != nil && l.shared()[i].Owner != p.index {
				l.start(func() { p.fetch(l.life, i) })
			}
		case scenario.Kill:
			l.kill(p)
		case scenario.Revive:
			_, err = l.revive(l.life, p)
		case scenario.Move:
			p.host.Move()
			l.tell(Happening{Who: p.index, Verb: "moved", Sample: -1})
		}
		return err
	})
}

// shareMade shares a file of random bytes, which its name and the seed decide.
func (p *neighbour) shareMade(ctx context.Context, name string, size int64, seed uint64) (Sample, error) {
	path := filepath.Join(p.shelf(), name)
	f, err := os.Create(path)
	if err != nil {
		return Sample{}, err
	}
	h := fnv.New128a()
	fmt.Fprint(h, seed, name)
	var key [32]byte
	h.Sum(key[:0])
	_, err = io.CopyN(f, rand.NewChaCha8(key), size)
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return Sample{}, err
	}
	return p.share(ctx, path)
}

// expect looks at what is wanted until all of it has come about, or is too late.
func (l *Lab) expect() {
	first := len(l.script) - len(l.plan.Wants)
	open := slices.Clone(l.plan.Wants)
	for left := len(open); left > 0; {
		for i := range open {
			w, now := &open[i], time.Since(l.begun)
			if w.Who == nil || now < w.From {
				continue
			}
			not := l.missing(*w)
			late := now >= time.Duration(w.By)
			if len(not) > 0 && !late {
				continue
			}
			left--
			verb := "met"
			if len(not) > 0 {
				verb = "missed"
			}
			l.mark(first+i, func(x *Line) { x.Is, x.When, x.Not = verb, now.Seconds(), crowd(not, -1) })
			l.tell(Happening{Who: -1, Verb: verb, Sample: -1, What: w.String()})
			w.Who = nil
		}
		if left > 0 && !sleep(l.life, lookEvery) {
			return
		}
	}
}

// missing returns those for whom what is wanted is not so. Who is away does not count, unless all are.
func (l *Lab) missing(w scenario.Want) (not []int) {
	if !slices.ContainsFunc(w.Who, func(i int) bool { return l.people[i].running() != nil }) {
		return w.Who
	}
	for _, i := range w.Who {
		p := l.people[i]
		n := p.running()
		if n == nil {
			continue
		}
		var ok bool
		if file := w.Has + w.Lacks; file != "" {
			samples, held := l.shared(), []holding(nil)
			s := slices.IndexFunc(samples, func(s Sample) bool { return s.Name == file })
			if s >= 0 {
				held, _ = p.holdings(l.life)
			}
			has := s >= 0 && slices.ContainsFunc(held, func(h holding) bool { return h.Ref == samples[s].Ref && h.complete() })
			ok = has == (w.Has != "")
		} else {
			reaches := false
			for _, j := range w.Other {
				if _, connected := n.Network().Peer(l.people[j].peer()); connected && j != i && l.people[j].running() != nil {
					reaches = true
				}
			}
			ok = reaches == (w.Reaches != "")
		}
		if !ok {
			not = append(not, i)
		}
	}
	return not
}
