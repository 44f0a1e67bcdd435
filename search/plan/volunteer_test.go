package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kith/overlay/kbr"
)

// What a search asks of volunteers, and what of theirs ends it.
func TestHelp(t *testing.T) {
	for name, x := range map[string]struct {
		proven bool
		peers  int
		steps  []step
		lend   int
	}{
		"beside all others, and nobody fewer is asked": {false, 100, []step{
			{ev: Event{What: Begin}, ask: nodes(1, 5)},
			{ev: Event{What: Answer, From: 900, Fresh: Enough}},
			{ev: Event{What: Answer, From: 1}}, {ev: Event{What: Answer, From: 2}}, {ev: Event{What: Answer, From: 3}},
			{ev: Event{What: Answer, From: 4}, ask: nodes(6, 15)},
		}, 1},
		"one that proved itself saves the second step, and not the first": {true, 100, []step{
			{ev: Event{What: Begin}, ask: nodes(1, 5)},
			{ev: Event{What: Answer, From: 900, Fresh: Enough}},
			{ev: Event{What: Answer, From: 1}}, {ev: Event{What: Answer, From: 2}}, {ev: Event{What: Answer, From: 3}},
			{ev: Event{What: Answer, From: 4}, done: true},
		}, 1},
		"one that is silent is waited for as others are": {true, 1, []step{
			{ev: Event{What: Begin}, ask: nodes(1, 1)},
			{ev: Event{What: Answer, From: 1, Fresh: 1}},
			{ev: Event{What: Slow, From: 900}, done: true},
		}, 1},
		"nobody else": {false, 0, []step{
			{ev: Event{What: Begin}},
			{ev: Event{What: Answer, From: 900, Fresh: 1}, done: true},
		}, 1},
		"enough at home": {true, 5, []step{{ev: Event{What: Begin, Fresh: Enough}, done: true}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(wait, candidates(x.peers), nil)
			s.Help([]Helper{{900, x.proven}})
			for i, step := range x.steps {
				acts := s.Step(&step.ev, nil)
				ask, guide, done := asked(acts)
				if !slices.Equal(ask, step.ask) || len(guide) > 0 || done != step.done {
					t.Fatalf("step %d asks %v, done %v; want %v, %v", i, ask, done, step.ask, step.done)
				}
				if lend := slices.ContainsFunc(acts, func(a Act) bool { return a.Do == Lend && a.To == 900 && a.Wait == wait }); i == 0 && lend != (x.lend == 1) {
					t.Errorf("the volunteer is asked: %v", lend)
				}
			}
		})
	}
}

// With whatever volunteers say, the same peers are asked as without, as long as none of them proved itself.
func TestLiarsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		peers := candidates(rapid.IntRange(0, 60).Draw(t, "peers"))
		alone, beside := New(wait, peers, nil), New(wait, peers, nil)
		beside.Help([]Helper{{900, false}, {901, false}, {902, false}})
		var a, b, open []kbr.Node
		take := func(ev Event, both bool) {
			if both {
				ask, _, _ := asked(alone.Step(&ev, nil))
				a, open = append(a, ask...), append(open, ask...)
			}
			ask, _, _ := asked(beside.Step(&ev, nil))
			b = append(b, ask...)
		}
		take(Event{What: Begin}, true)
		what := []What{Answer, Answer, Failed, Slow}
		for lies := []kbr.Node{900, 901}; len(open) > 0; {
			if len(lies) > 0 && rapid.Bool().Draw(t, "lie") {
				take(Event{What: rapid.SampledFrom(what).Draw(t, "what"), From: lies[0], Fresh: rapid.IntRange(0, 50).Draw(t, "junk")}, false)
				lies = lies[1:]
				continue
			}
			i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			ev := Event{What: rapid.SampledFrom(what).Draw(t, "what"), From: open[i]}
			if ev.What == Answer {
				ev.Fresh = rapid.IntRange(0, 9).Draw(t, "fresh")
			}
			open = slices.Delete(open, i, i+1)
			take(ev, true)
			if !slices.Equal(a, b) {
				t.Fatalf("%v are asked, and without liars %v", b, a)
			}
		}
	})
}

// Among two hundred liars five who are honest are found, and kept; they have their turns; and one that begins to lie is found out.
func TestVolunteers(t *testing.T) {
	var v Volunteers[int]
	var there []int
	for i := range 205 {
		there = append(there, i) // the first five are honest
	}
	asked, last, now := map[int]int{}, 0, kbr.Ticks(0)
	honest := func(p int) bool { return p < 5 }
	round := func(i int) (useful bool) {
		now += kbr.Minute
		list, proven := v.Choose(there, now, uint64(i)*0x9e3779b97f4a7c15)
		if len(list) > MaxHelpers || proven > 1 || slices.Contains(list[1:], list[0]) {
			t.Fatalf("%v are chosen, %d proven", list, proven)
		}
		for _, p := range list {
			asked[p]++
			o := Outcome{Others: 4}
			if honest(p) {
				o.Brought, useful = 4, true
			}
			v.Learn(p, now, o)
		}
		return useful
	}
	for i := range 1000 {
		if useful := round(i); !useful {
			last = i
		}
	}
	if last > 250 {
		t.Errorf("search %d asks liars alone", last)
	}
	for p := range 5 {
		if asked[p] < 50 {
			t.Errorf("honest one %d is asked %d times of 1,000", p, asked[p])
		}
	}
	for p := 5; p < 205; p++ {
		if asked[p] > 12 {
			t.Errorf("liar %d is asked %d times", p, asked[p])
		}
	}
	honest = func(p int) bool { return 0 < p && p < 5 }
	before := asked[0]
	for i := range 300 {
		round(5000 + i)
	}
	if asked[0]-before > 5 {
		t.Errorf("one that begins to lie is asked %d times more", asked[0]-before)
	}
}

// What is learned of one search.
func TestOutcome(t *testing.T) {
	for name, x := range map[string]struct {
		o              Outcome
		proven, avoids bool
	}{
		"has all":                            {Outcome{Others: 3, Brought: 3}, true, false},
		"has half":                           {Outcome{Others: 4, Brought: 2}, true, false},
		"has little":                         {Outcome{Others: 4, Brought: 1}, false, true},
		"has nothing":                        {Outcome{Others: 1}, false, true},
		"silent":                             {Outcome{Silent: true}, false, true},
		"nobody else has found anything":     {Outcome{}, false, false},
		"there is more than an answer holds": {Outcome{Others: 40, Brought: 2, Full: true}, true, false},
		"much else":                          {Outcome{Others: 4, Full: true}, false, false},
	} {
		var v Volunteers[string]
		v.Learn("a", 0, x.o)
		list, proven := v.Choose([]string{"a"}, 1, 7)
		if (proven == 1) != x.proven || (len(list) == 0) != x.avoids {
			t.Errorf("%s: %v, %d proven", name, list, proven)
		}
		if list, _ := v.Choose([]string{"a"}, avoidFor, 7); len(list) != 1 {
			t.Errorf("%s: is never asked again", name)
		}
	}
	var v Volunteers[int]
	for i := range 3 * maxMemory {
		v.Learn(i, 0, Outcome{Others: 1, Brought: i % 2})
	}
	if len(v.all) > maxMemory {
		t.Errorf("%d are remembered", len(v.all))
	}
}
