package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kith/overlay/kbr"
	"kith/search/filter"
)

const wait = 150 * kbr.Millisecond

// candidates returns n of them, the first one the best.
func candidates(n int) (list []Candidate) {
	for i := range n {
		list = append(list, Candidate{Node: kbr.Node(i + 1), Fit: filter.Together, Score: uint32(n - i)})
	}
	return list
}

// asked returns whom acts ask, and whether the search is over.
func asked(acts []Act) (ask, guide []kbr.Node, done bool) {
	for _, a := range acts {
		switch a.Do {
		case Ask:
			ask = append(ask, a.To)
		case Guide:
			guide = append(guide, a.To)
		case Done:
			done = true
		}
	}
	return ask, guide, done
}

// listed returns candidates that somebody else names.
func listed(from, to kbr.Node) (list []Candidate) {
	for n := from; n <= to; n++ {
		list = append(list, Candidate{Node: n, Fit: filter.Together, Score: 1 << 30})
	}
	return list
}

func nodes(from, to kbr.Node) (list []kbr.Node) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

type step struct {
	ev         Event
	ask, guide []kbr.Node
	done       bool
}

// What a search does, event by event.
func TestSteps(t *testing.T) {
	for name, x := range map[string]struct {
		peers  int
		guides [][]kbr.Node
		steps  []step
	}{
		"enough at home": {100, [][]kbr.Node{{200}}, []step{{ev: Event{What: Begin, Fresh: Enough}, done: true}}},
		"nobody":         {0, nil, []step{{ev: Event{What: Begin}, done: true}}},
		"one": {1, nil, []step{
			{ev: Event{What: Begin}, ask: nodes(1, 1)},
			{ev: Event{What: Answer, From: 1, Fresh: 1}, done: true},
		}},
		"in three steps": {100, nil, []step{
			{ev: Event{What: Begin, Fresh: 2}, ask: nodes(1, 5)},
			{ev: Event{What: Answer, From: 1, Fresh: 7}},
			{ev: Event{What: Answer, From: 1, Fresh: 0}},
			{ev: Event{What: Answer, From: 3}},
			{ev: Event{What: Answer, From: 2}},
			{ev: Event{What: Answer, From: 4}, ask: nodes(6, 15)},
			{ev: Event{What: Answer, From: 6, Fresh: Enough - 9}, done: true},
		}},
		"who fails or is slow does not count": {100, nil, []step{
			{ev: Event{What: Begin}, ask: nodes(1, 5)},
			{ev: Event{What: Failed, From: 5}, ask: nodes(6, 6)},
			{ev: Event{What: Slow, From: 6}, ask: nodes(7, 7)},
			{ev: Event{What: Answer, From: 6, Fresh: Enough}, done: true},
		}},
		"guides": {1, [][]kbr.Node{{200, 201, 204, 202, 203}, {300}}, []step{
			{ev: Event{What: Begin}, ask: nodes(1, 1), guide: []kbr.Node{200, 201, 204, 300}},
			{ev: Event{What: Slow, From: 200}, guide: []kbr.Node{202}},
			{ev: Event{What: Answer, From: 1}},
			{ev: Event{What: Failed, From: 300}},
			{ev: Event{What: Answer, From: 202}},
			{ev: Event{What: Answer, From: 204}},
			{ev: Event{What: Answer, From: 201, Peers: []Candidate{{Node: 50, Fit: filter.Together}, {Node: 51, Fit: filter.Apart}, {Node: 1}}}, ask: nodes(50, 50)},
			{ev: Event{What: Answer, From: 50, Fresh: 3}, done: true},
		}},
		"a guide that names many has its turn, and no more": {3, [][]kbr.Node{{200}}, []step{
			{ev: Event{What: Begin}, ask: nodes(1, 3), guide: nodes(200, 200)},
			{ev: Event{What: Answer, From: 200, Peers: listed(50, 99)}, ask: nodes(50, 51)},
			{ev: Event{What: Answer, From: 50, Fresh: Enough}, done: true},
		}},
		"the first of each list before the second of any": {0, [][]kbr.Node{{200, 201}}, []step{
			{ev: Event{What: Begin}, guide: nodes(200, 201)},
			{ev: Event{What: Answer, From: 200, Peers: []Candidate{{Node: 10, Fit: filter.Apart, Score: 1 << 30}, {Node: 11, Fit: filter.Apart, Score: 1 << 30}, {Node: 12, Fit: filter.Apart, Score: 1 << 30}, {Node: 13, Fit: filter.Apart, Score: 1 << 30}}}},
			{ev: Event{What: Answer, From: 201, Peers: []Candidate{{Node: 40, Fit: filter.Apart, Score: 2}, {Node: 30, Fit: filter.Apart, Score: 7}}}, ask: []kbr.Node{10, 30, 11, 40, 12}},
		}},
		"who has the words apart is asked if nobody has them together": {0, [][]kbr.Node{{200}, {300}}, []step{
			{ev: Event{What: Begin}, guide: []kbr.Node{200, 300}},
			{ev: Event{What: Answer, From: 200, Peers: []Candidate{{Node: 50, Fit: filter.Apart}}}},
			{ev: Event{What: Slow, From: 300}, ask: nodes(50, 50)},
			{ev: Event{What: Answer, From: 50}, done: true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(wait, candidates(x.peers), x.guides)
			for i, step := range x.steps {
				ask, guide, done := asked(s.Step(&step.ev, nil))
				if !slices.Equal(ask, step.ask) || !slices.Equal(guide, step.guide) || done != step.done {
					t.Fatalf("step %d asks %v and guides %v, done %v; want %v, %v, %v", i, ask, guide, done, step.ask, step.guide, step.done)
				}
			}
		})
	}
}

// Whatever happens in whatever order, nobody is asked twice, nor more than MaxAsks; and when all questions have ended the search is over, and was not before it had enough.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var guides [][]kbr.Node
		for i := range rapid.IntRange(0, 4).Draw(t, "shards") {
			guides = append(guides, nodes(kbr.Node(1000*i+1000), kbr.Node(1000*i+1000+rapid.IntRange(0, 3).Draw(t, "members"))))
		}
		s := New(wait, candidates(rapid.IntRange(0, 90).Draw(t, "peers")), guides)
		var open []Act
		seen, found, over := []kbr.Node{}, 0, false
		take := func(ev Event) {
			found += ev.Fresh
			for _, a := range s.Step(&ev, nil) {
				switch {
				case over:
					t.Fatal("goes on when it is over")
				case a.Do == Done:
					over = true
				case slices.Contains(seen, a.To) || a.Wait != wait:
					t.Fatalf("%+v after %v", a, seen)
				default:
					seen, open = append(seen, a.To), append(open, a)
				}
			}
			if len(seen) > MaxAsks {
				t.Fatalf("asks %d", len(seen))
			}
			if over && found < Enough && len(open) > 0 {
				t.Fatalf("over with %d results and %d open", found, len(open))
			}
		}
		take(Event{What: Begin, Fresh: rapid.IntRange(0, 60).Draw(t, "home")})
		for len(open) > 0 && !over {
			i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			ev := Event{What: rapid.SampledFrom([]What{Answer, Answer, Failed, Slow}).Draw(t, "what"), From: open[i].To}
			if ev.What == Answer {
				ev.Fresh = rapid.IntRange(0, 5).Draw(t, "fresh")
				for range rapid.IntRange(0, 90).Draw(t, "told") {
					ev.Peers = append(ev.Peers, Candidate{Node: kbr.Node(rapid.IntRange(1, 200).Draw(t, "peer")), Fit: filter.Fit(rapid.IntRange(1, 2).Draw(t, "fit"))})
				}
			}
			open = slices.Delete(open, i, i+1)
			take(ev)
		}
		if !over {
			t.Fatal("not over, and nothing is open")
		}
	})
}

func TestRank(t *testing.T) {
	of := func(names ...string) *filter.Filter {
		var keys []filter.Key
		for _, name := range names {
			var terms []filter.Key
			for _, letter := range name {
				terms = append(terms, filter.Term(string(letter)))
			}
			keys = filter.Name(keys, terms)
		}
		f, err := filter.New(keys)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	known := []Known{{1, of("ax", "by")}, {2, of("ab")}, {3, of("ac")}, {4, of("abc", "d")}}
	for _, x := range []struct {
		words string
		want  []kbr.Node
	}{{"ab", []kbr.Node{4, 2}}, {"ay", []kbr.Node{1}}, {"z", nil}, {"xy", []kbr.Node{1}}} {
		var s filter.Sought
		for _, letter := range x.words {
			s = append(s, []filter.Key{filter.Term(string(letter))})
		}
		var got []kbr.Node
		for _, c := range Rank(known, s) {
			got = append(got, c.Node)
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", x.words, got, x.want)
		}
	}
}

// Who claims more than Broad comes last, and they are few; and nobody comes first by claiming more than others who claim much.
func TestRankBroad(t *testing.T) {
	a, b := filter.Term("a"), filter.Term("b")
	of := func(n int) *filter.Filter {
		keys := []filter.Key{a, b, filter.Pair(a, b)}
		for i := range n {
			keys = append(keys, filter.Key(i)<<40|1)
		}
		f, err := filter.New(keys)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	known := []Known{{1, of(10)}, {2, of(Broad + 1)}, {3, of(100)}, {4, of(filter.MaxKeys - 3)}, {5, of(Broad - 3)}, {6, of(much)}}
	for n := kbr.Node(10); n < 30; n++ {
		known = append(known, Known{n, known[3].Filter})
	}
	var got []kbr.Node
	for _, c := range Rank(known, filter.Sought{{a}, {b}}) {
		got = append(got, c.Node)
	}
	if want := append([]kbr.Node{5, 6, 3, 1, 2, 4}, nodes(10, 19)...); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
