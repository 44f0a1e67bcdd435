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

// share is the part of some that are counted.
type share struct{ sum, n float64 }

func (s *share) add(x float64) { s.sum, s.n = s.sum+x, s.n+1 }

func (s share) part() float64 { return s.sum / max(1, s.n) }

func (r *run) report() Report {
	var messages, answers, tenth []float64
	var recall, popular, once share
	for _, s := range r.searches {
		messages, answers = append(messages, float64(s.asked)), append(answers, float64(s.answered))
		if s.tenth == never {
			tenth = append(tenth, math.Inf(1))
		} else {
			tenth = append(tenth, float64(s.tenth)/float64(kbr.Millisecond))
		}
		found := float64(min(len(s.found), s.exist, plan.Enough)) / float64(min(s.exist, plan.Enough))
		switch {
		case s.rare:
			once.add(map[bool]float64{true: 1}[s.targeted])
			continue
		case s.copies*100 >= r.o.Nodes:
			popular.add(found)
		}
		recall.add(found)
	}
	const second = float64(hour / kbr.Second)
	return Report{
		Way: r.way.String(), Nodes: r.o.Nodes, Queries: r.o.Queries, Recall: recall.part(), Popular: popular.part(), Once: once.part(),
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

// Heading is that of a table of reports.
const Heading = `| | recall at 50 | popular | exists once | questions p50 / max | answers p50 / max | tenth result p50 / p95 | upkeep, B/s | to join, MB |
|---|---|---|---|---|---|---|---|---|`

func millis(x float64) string {
	if math.IsInf(x, 1) {
		return "never"
	}
	return fmt.Sprintf("%.0f ms", x)
}
