package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kith/internal/human"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// colours is how many a plot has; with more lines than that only points are drawn, in the colours of their engines.
const colours = 6

var engineColour = map[string]int{"chord": 0, "pastry": 1, "kademlia": 2}

// plots returns what there is to be drawn of a study.
func (s *Study) plots() (plots []Plot) {
	add := func(p *plot) {
		if p != nil && len(p.series) > 0 {
			plots = append(plots, p.render())
		}
	}
	for _, name := range s.Swept {
		switch {
		case name == "engine" || name == "seed" || s.drawn() > 1:
		case name == "nodes":
			add(s.bySize())
		default:
			add(s.by(name, "Searches that fail", "not right, %", func(r *Run) float64 { return 100 - r.right() }))
			add(s.by(name, "Timeouts", "nodes that did not answer, mean", func(r *Run) float64 { return r.Timeouts.Mean }))
			add(s.by(name, "Latency", "median, ms", func(r *Run) float64 { return r.Latency.P50 }))
		}
	}
	add(s.hull())
	add(s.overTime("Searches that fail", "not right, %", func(x *sim.Slice) (float64, bool) {
		ended := x.Right + x.Wrong + x.Lost
		return 100 * float64(x.Wrong+x.Lost) / float64(max(1, ended)), ended > 0
	}))
	add(s.overTime("Values that are not found", "of those with a copy left, %", func(x *sim.Slice) (float64, bool) {
		return 100 * float64(x.Left-x.Found) / float64(max(1, x.Left)), x.Left > 0
	}))
	add(s.overTime("Latency", "mean of a slice of time, ms", func(x *sim.Slice) (float64, bool) { return x.Latency, x.Right > 0 }))
	add(s.overTime("What is sent", "bytes a node and second", func(x *sim.Slice) (float64, bool) { return x.Bandwidth, x.Lookups > 0 }))
	add(s.nearer())
	add(s.hops())
	add(s.load())
	return plots
}

// drawn returns how many settings are swept that no axis can have, if each but the engine and the size is one.
func (s *Study) drawn() (n int) {
	for _, name := range s.Swept {
		if name != "engine" && name != "seed" && name != "nodes" {
			n++
		}
	}
	return n
}

// groups returns the runs that differ in the setting alone, with the name of each group, in order.
func (s *Study) groups(name string) (names []string, groups map[string][]*Run) {
	groups = map[string][]*Run{}
	for i := range s.Runs {
		r := &s.Runs[i]
		rest := *r
		rest.Set = nil
		for _, v := range r.Set {
			if v.Name != name && v.Name != "seed" {
				rest.Set = append(rest.Set, v)
			}
		}
		key := rest.Name()
		if groups[key] == nil {
			names = append(names, key)
		}
		groups[key] = append(groups[key], r)
	}
	return names, groups
}

// colour returns that of a line.
func colour(i int, r *Run, lines int) int {
	if c, ok := engineColour[r.Engine]; ok && lines <= len(engineColour) {
		return c
	}
	return i % colours
}

// bySize is the path length by the number of nodes, with what is to be expected.
func (s *Study) bySize() *plot {
	p := &plot{title: "Path length by size", x: scale{label: "nodes", log: true}, y: scale{label: "nodes that answered, mean"},
		note: "Dashed: what the papers predict."}
	names, groups := s.groups("nodes")
	var expected []string
	for i, name := range names {
		line := series{name: name, colour: colour(i, groups[name][0], len(names)), line: true, dots: true}
		for _, r := range groups[name] {
			n := float64(r.Nodes)
			line.x, line.y = append(line.x, n), append(line.y, r.Path.Mean)
			line.say = append(line.say, fmt.Sprintf("%s, %d nodes: %.2f", name, r.Nodes, r.Path.Mean))
		}
		p.series = append(p.series, line)
		if e := groups[name][0].Expect; e.Path != nil && !slices.Contains(expected, e.Name) {
			expected = append(expected, e.Name)
			dashed := series{name: e.Name, colour: line.colour, line: true, dashed: true, x: line.x}
			for _, n := range line.x {
				dashed.y = append(dashed.y, e.Path(n))
			}
			p.series = append(p.series, dashed)
		}
	}
	return p
}

// by is a measure by what is swept.
func (s *Study) by(name, title, unit string, of func(*Run) float64) *plot {
	p := &plot{title: title, x: scale{label: name}, y: scale{label: unit}}
	if what := axisNames[name]; what != "" {
		p.x.label = what
	}
	names, groups := s.groups(name)
	at, words := s.places(name)
	p.x.words = words
	for i, group := range names {
		line := series{name: group, colour: colour(i, groups[group][0], len(names)), line: len(names) <= colours, dots: true}
		if len(names) > colours {
			line.colour, line.name = engineColour[groups[group][0].Engine], ""
		}
		runs := slices.Clone(groups[group])
		slices.SortStableFunc(runs, func(a, b *Run) int { return cmp.Compare(at[a.text(name)], at[b.text(name)]) })
		for _, r := range runs {
			line.x, line.y = append(line.x, at[r.text(name)]), append(line.y, of(r))
			line.say = append(line.say, fmt.Sprintf("%s: %.2f", r.Name(), of(r)))
		}
		p.series = append(p.series, line)
	}
	return p
}

var axisNames = map[string]string{"fail": "part of the nodes that failed", "loss": "part of the messages that is lost", "hostile": "part of the nodes that is hostile",
	"non_transitive": "part of the pairs that never hear of each other", "churn": "median session", "round": "round of upkeep"}

// places returns where on an axis the values of a setting are: numbers where they are numbers, else words in their order.
func (s *Study) places(name string) (at map[string]float64, words []string) {
	at = map[string]float64{}
	numbers := true
	var texts []string
	for i := range s.Runs {
		text := s.Runs[i].text(name)
		v, err := strconv.ParseFloat(text, 64)
		if _, ok := at[text]; !ok && text != "" {
			texts = append(texts, text)
		}
		at[text] = v
		numbers = numbers && (err == nil || text == "")
	}
	if numbers {
		return at, nil
	}
	for i, text := range texts {
		at[text] = float64(i)
		if _, median, ok := strings.Cut(text, "median="); ok {
			text = median
		}
		words = append(words, text)
	}
	return at, words
}

// fewest runs that make a hull.
const fewest = 4

// hull is cost against latency, with the convex hull of those that no other run of the engine is better than in both.
func (s *Study) hull() *plot {
	if s.drawn() < 2 || len(s.Runs) < fewest {
		return nil
	}
	_, unit := s.Runs[0].cost()
	p := &plot{title: "Cost against latency", x: scale{label: unit, zero: true}, y: scale{label: "median latency of a search, ms"},
		note: "A dot is a configuration. The line is the convex hull of those than which no other of the engine is better in both."}
	of := map[string][]*Run{}
	var engines []string
	for i := range s.Runs {
		if r := &s.Runs[i]; r.Right > 0 {
			if of[r.Engine] == nil {
				engines = append(engines, r.Engine)
			}
			of[r.Engine] = append(of[r.Engine], r)
		}
	}
	for _, engine := range engines {
		dots := series{colour: engineColour[engine], dots: true}
		for _, r := range of[engine] {
			x, _ := r.cost()
			dots.x, dots.y = append(dots.x, x), append(dots.y, r.Latency.P50)
			dots.say = append(dots.say, fmt.Sprintf("%s: %.1f bytes, %.0f ms, %.2f %% right", r.Name(), x, r.Latency.P50, r.right()))
		}
		hull := Hull(dots.x, dots.y)
		line := series{name: engine, colour: dots.colour, line: true}
		for _, i := range hull {
			line.x, line.y = append(line.x, dots.x[i]), append(line.y, dots.y[i])
		}
		p.series = append(p.series, line, dots)
	}
	return p
}

// Hull returns which of the points are corners of the lower left part of their convex hull, from left to right: where both coordinates are costs, no mixture of others
// is better in both.
func Hull(x, y []float64) (corners []int) {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(x[a], x[b]), cmp.Compare(y[a], y[b])) })
	for _, c := range order {
		if n := len(corners); n > 0 && y[c] >= y[corners[n-1]] {
			continue
		}
		for n := len(corners); n > 1; n = len(corners) {
			a, b := corners[n-2], corners[n-1]
			if (x[b]-x[a])*(y[c]-y[a]) > (y[b]-y[a])*(x[c]-x[a]) {
				break
			}
			corners = corners[:n-1]
		}
		corners = append(corners, c)
	}
	return corners
}

// overTime is a measure of slices of time, if the runs are timelines.
func (s *Study) overTime(title, unit string, of func(*sim.Slice) (float64, bool)) *plot {
	p := &plot{title: title + " over time", x: scale{label: "minutes"}, y: scale{label: unit}}
	few := s.few()
	for i, r := range few {
		line := series{name: r.Name(), colour: colour(i, r, len(few)), line: true}
		for k := range r.Series {
			if y, ok := of(&r.Series[k]); ok {
				line.x, line.y = append(line.x, r.Series[k].From/60), append(line.y, y)
			}
		}
		if len(line.x) > 0 {
			p.series = append(p.series, line)
		}
	}
	if len(s.Runs) > 0 {
		p.spans = spans(&s.Runs[0])
	}
	for _, sp := range p.spans {
		p.note += " Shaded: " + sp.say + "."
	}
	p.note = strings.TrimSpace(p.note)
	return p
}

// spans returns what happened, and when.
func spans(r *Run) (spans []span) {
	minutes := func(t kbr.Ticks) float64 { return float64(t) / float64(kbr.Minute) }
	for _, d := range r.Deeds {
		s := span{from: minutes(d.At), to: minutes(d.Until)}
		if d.Until == 0 {
			s.to = r.Series[len(r.Series)-1].From / 60
		}
		at := human.Seconds(60 * s.from)
		switch d.What {
		case sim.Fail:
			s.to, s.say = s.from, fmt.Sprintf("%.0f %% of the nodes fail at %s", 100*d.Part, at)
		case sim.Split:
			s.say = fmt.Sprintf("the network is in two parts, from %s to %s", at, human.Seconds(60*s.to))
		default:
			s.say = fmt.Sprintf("nodes come and go from %s", at)
		}
		spans = append(spans, s)
	}
	return spans
}

// nearer is how far the searches that are drawn are from their keys at each step.
func (s *Study) nearer() *plot {
	p := &plot{title: "Nearer at each step", x: scale{label: "step of the search that is drawn"}, y: scale{label: "distance to the key, of the ring", log: true}}
	few := s.few()
	for i, r := range few {
		if r.Picture == nil {
			continue
		}
		line := series{name: r.Name(), colour: colour(i, r, len(few)), line: true, dots: true}
		for step, d := range r.Picture.distances() {
			line.x, line.y = append(line.x, float64(step)), append(line.y, d)
			line.say = append(line.say, fmt.Sprintf("step %d: %.2g of the ring", step, d))
		}
		p.series = append(p.series, line)
	}
	return p
}

// few returns the runs if they are few, else the last one of each engine.
func (s *Study) few() (few []*Run) {
	for i := range s.Runs {
		r := &s.Runs[i]
		if n := len(few); n > 0 && len(s.Runs) > colours && few[n-1].Engine == r.Engine {
			few[n-1] = r
		} else {
			few = append(few, r)
		}
	}
	return few[:min(len(few), colours)]
}

// hops is how many nodes searches asked: bars for one run, lines for several.
func (s *Study) hops() *plot {
	p := &plot{title: "Distribution of path lengths", x: scale{label: "nodes that answered"}, y: scale{label: "searches, %"}}
	few := s.few()
	for i, r := range few {
		line := series{name: r.Name(), colour: colour(i, r, len(few)), line: len(few) > 1, dots: len(few) > 1, stairs: len(few) == 1}
		for hops, n := range r.Hops {
			part := 100 * float64(n) / float64(max(1, r.Right))
			line.x, line.y = append(line.x, float64(hops)), append(line.y, part)
			line.say = append(line.say, fmt.Sprintf("%d: %.2f %%", hops, part))
		}
		p.series = append(p.series, line)
	}
	return p
}

// load is what nodes have sent, of the mean.
func (s *Study) load() *plot {
	p := &plot{title: "Load of nodes", x: scale{label: "share of the nodes that sent no more", words: []string{"1 %", "10 %", "50 %", "90 %", "99 %", "all"}}, y: scale{label: "bytes sent, of the mean"}}
	few := s.few()
	for i, r := range few {
		line := series{name: r.Name(), colour: colour(i, r, len(few)), line: true, dots: true}
		for k, v := range []float64{r.Load.P1, r.Load.P10, r.Load.P50, r.Load.P90, r.Load.P99, r.Load.Max} {
			line.x, line.y = append(line.x, float64(k)), append(line.y, v)
			line.say = append(line.say, fmt.Sprintf("%s of the nodes: at most %.2f of the mean", p.x.words[k], v))
		}
		p.series = append(p.series, line)
	}
	return p
}
