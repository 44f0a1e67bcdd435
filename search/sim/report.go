package sim

import (
	"fmt"
	"math"
	"slices"

	"kith/overlay/kbr"
	"kith/search/plan"
)

// A Report is what came of a way of searching. Latencies are in milliseconds, and infinite of searches that never got there.
type Report struct {
	Way       string
	Nodes     int
	Queries   int     // of each of the two classes
	Recall    float64 // of queries as people ask: what was found, of all that matches and is up, or of 50 if there is more
	Popular   float64 // the same, of those for an item that one in a hundred nodes has
	Once      float64 // how many found an item that exists once
	Junk      float64 // of the first ten results of queries of both kinds
	JunkOnce  float64 // the same, of those for what exists once
	Messages  Spread  // questions sent for a query, by anybody
	Answers   Spread
	Tenth     Spread  // milliseconds to the tenth result, or to the last that exists
	Upkeep    float64 // bytes that a node sends in a second
	Join      float64 // bytes that a node that joins is sent, in the mean
	Events    uint64
	TraceHash string
}

// A Spread is how a measure is distributed.
type Spread struct{ Mean, P50, P95, Max float64 }

func spread(v []float64) (s Spread) {
	if len(v) == 0 {
		return s
	}
	slices.Sort(v)
	for _, x := range v {
		s.Mean += x / float64(len(v))
	}
	at := func(p float64) float64 { return v[max(0, int(math.Ceil(p*float64(len(v))))-1)] }
	s.P50, s.P95, s.Max = at(0.5), at(0.95), v[len(v)-1]
	return s
}

// first is how many results a person looks at.
const first = 10

// share is the part of some that are counted.
type share struct{ sum, n float64 }

func (s *share) add(x float64) { s.sum, s.n = s.sum+x, s.n+1 }

func (s share) part() float64 { return s.sum / max(1, s.n) }

func (r *run) report() Report {
	var messages, answers, tenth []float64
	var recall, popular, once, junk, junkOnce share
	for _, s := range r.searches {
		messages, answers = append(messages, float64(s.asked)), append(answers, float64(s.answered))
		if s.tenth == never {
			tenth = append(tenth, math.Inf(1))
		} else {
			tenth = append(tenth, float64(s.tenth)/float64(kbr.Millisecond))
		}
		real := 0
		list := s.list[:min(len(s.list), plan.Enough)]
		for i, x := range list {
			if x >= 0 {
				real++
			}
			if i < first {
				bad := map[bool]float64{true: 1}[x < 0]
				junk.add(bad)
				if s.rare {
					junkOnce.add(bad)
				}
			}
		}
		found := float64(min(real, s.exist)) / float64(min(s.exist, plan.Enough))
		switch {
		case s.rare:
			once.add(map[bool]float64{true: 1}[slices.Contains(list, s.target)])
			continue
		case s.copies*100 >= r.o.Nodes:
			popular.add(found)
		}
		recall.add(found)
	}
	const second = float64(hour / kbr.Second)
	return Report{
		Way: r.way.String(), Nodes: r.o.Nodes, Queries: r.o.Queries, Recall: recall.part(), Popular: popular.part(), Once: once.part(), Junk: junk.part(), JunkOnce: junkOnce.part(),
		Messages: spread(messages), Answers: spread(answers), Tenth: spread(tenth),
		Upkeep: r.upkeep / second / float64(r.o.Nodes), Join: r.joining / max(1, float64(r.joins)),
		Events: r.events, TraceHash: fmt.Sprintf("%016x", r.hash),
	}
}

// String returns a row of a table in Markdown: as Heading names them.
func (r Report) String() string {
	percent := func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
	return fmt.Sprintf("| %s | %s | %s | %s | %.0f / %.0f | %.0f / %.0f | %s / %s | %.0f | %.1f |", r.Way, percent(r.Recall), percent(r.Popular), percent(r.Once), r.Messages.P50, r.Messages.Max,
		r.Answers.P50, r.Answers.Max, millis(r.Tenth.P50), millis(r.Tenth.P95), r.Upkeep, r.Join/1e6)
}

// Spam returns a row of the table of SpamHeading.
func (r Report) Spam(what string) string {
	return fmt.Sprintf("| %s | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %.0f / %.0f | %s / %s | %.0f |", what, 100*r.Recall, 100*r.Popular, 100*r.Once, 100*r.Junk, 100*r.JunkOnce,
		r.Messages.P50, r.Messages.Max, millis(r.Tenth.P50), millis(r.Tenth.P95), r.Upkeep)
}

// SpamHeading is that of a table of what spam does.
const SpamHeading = `| | recall at 50 | popular | exists once | junk in the first ten | and for what exists once | questions p50 / max | tenth result p50 / p95 | upkeep, B/s |
|---|---|---|---|---|---|---|---|---|`

// Heading is that of a table of reports.
const Heading = `| | recall at 50 | popular | exists once | questions p50 / max | answers p50 / max | tenth result p50 / p95 | upkeep, B/s | to join, MB |
|---|---|---|---|---|---|---|---|---|`

func millis(x float64) string {
	if math.IsInf(x, 1) {
		return "never"
	}
	return fmt.Sprintf("%.0f ms", x)
}

// Volunteers returns a row of the table of VolunteersHeading.
func (r Report) Volunteers(what string) string {
	return fmt.Sprintf("| %s | %.1f %% | %.1f %% | %.1f %% | %.1f %% | %.1f | %.0f / %.0f | %s / %s |", what, 100*r.Recall, 100*r.Popular, 100*r.Once, 100*r.Junk, r.Messages.Mean, r.Messages.P50, r.Messages.Max,
		millis(r.Tenth.P50), millis(r.Tenth.P95))
}

// VolunteersHeading is that of a table of what volunteers do.
const VolunteersHeading = `| | recall at 50 | popular | exists once | junk in the first ten | questions mean | p50 / max | tenth result p50 / p95 |
|---|---|---|---|---|---|---|---|`
