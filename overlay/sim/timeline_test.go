package sim_test

import (
	"errors"
	"testing"

	"kith"
	"kith/overlay/chord"
	"kith/overlay/kbr"
	"kith/overlay/sim"
)

func play(t *testing.T, s sim.Timeline, kind func(*kbr.Table) sim.Kind) sim.Report {
	t.Helper()
	r, err := s.Run(kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sum int
	for _, x := range r.Series {
		sum += x.Lookups
	}
	if r.Right+r.Wrong+r.Lost+r.Abandoned != r.Lookups || sum != r.Lookups {
		t.Errorf("%d right, %d wrong, %d lost and %d abandoned of %d, of which %d are in slices", r.Right, r.Wrong, r.Lost, r.Abandoned, r.Lookups, sum)
	}
	return r
}

// between returns how many searches began in a part of a timeline, and how many of these were right.
func between(r sim.Report, from, to kbr.Ticks) (lookups, right int) {
	for _, x := range r.Series {
		if at := kbr.Ticks(x.From) * kbr.Second; at >= from && at < to {
			lookups += x.Lookups
			right += x.Right
		}
	}
	return lookups, right
}

// Each thing happens when it should: searches are right before, fewer are in the moments after, and they are again five minutes later.
func TestTimeline(t *testing.T) {
	const m = kbr.Minute
	c := chord.Default()
	c.Round, c.Eager = 10*kbr.Second, true
	for name, deeds := range map[string][]sim.Deed{
		"fail":  {{What: sim.Fail, At: 5 * m, Part: 0.5}},
		"split": {{What: sim.Split, At: 5 * m, Until: 11 * m, Part: 0.4, Meet: 3}},
		"churn": {{What: sim.Shift, At: 5 * m, Until: 10 * m, Session: sim.Session{Shape: 1, Median: 5 * m}}, {What: sim.Shift, At: 10 * m, Until: 12 * m, Rate: 0.5}},
	} {
		r := play(t, sim.Timeline{Options: sim.Options{Nodes: 200, Seed: 1}, Length: 20 * m, Every: 500 * kbr.Millisecond, Deeds: deeds}, ring(c))
		calm, calmRight := between(r, 0, 5*m)
		wild, wildRight := between(r, 5*m, 12*m)
		after, afterRight := between(r, 16*m, 20*m)
		t.Logf("%s: right %d of %d before, %d of %d then, %d of %d after it; up %d, then %d; %d failed, %d joined", name, calmRight, calm, wildRight, wild, afterRight, after, r.Series[0].Up,
			r.Series[len(r.Series)-1].Up, r.Failed, r.Joined)
		if calm < 500 || calmRight != calm || after < 400 || afterRight != after {
			t.Errorf("%s: right %d of %d before, %d of %d after it", name, calmRight, calm, afterRight, after)
		}
		switch up := r.Series[len(r.Series)-1].Up; name {
		case "fail":
			if r.Failed != 100 || up != 100 || r.Timeouts.Mean == 0 {
				t.Errorf("%d failed, %d are up", r.Failed, up)
			}
		case "split":
			if wildRight == wild || up != 200 {
				t.Errorf("all of %d were right while the network was parted; %d are up", wild, up)
			}
		case "churn":
			if r.Joined < 100 || r.Failed < 100 || up < 150 {
				t.Errorf("%d joined, %d left, %d are up", r.Joined, r.Failed, up)
			}
		}
	}
}

// Of values with eight copies nearly all have one left when half of all nodes crash, and five minutes later each of these is found.
func TestValues(t *testing.T) {
	const m = kbr.Minute
	c := chord.Default()
	c.Round = 15 * kbr.Second
	s := sim.Timeline{Options: sim.Options{Nodes: 200, Seed: 1}, Length: 15 * m, Every: 500 * kbr.Millisecond, Keys: 200, Copies: 8, Deeds: []sim.Deed{{What: sim.Fail, At: 5 * m, Part: 0.5}}}
	var lookups, left, found int
	for _, x := range play(t, s, ring(c)).Series {
		switch at := kbr.Ticks(x.From) * kbr.Second; {
		case at < 5*m && (x.Left != x.Lookups || x.Found != x.Left):
			t.Errorf("at %v s %d of %d values had a copy left, and %d were found", x.From, x.Left, x.Lookups, x.Found)
		case at >= 10*m:
			lookups += x.Lookups
			left += x.Left
			found += x.Found
		}
	}
	if lookups < 500 || found != left || float64(left) < 0.97*float64(lookups) {
		t.Errorf("of %d searches %d were for values with a copy left, and %d found it", lookups, left, found)
	}
	s.Copies, s.Deeds[0].Part = 1, 0.9
	left = 0
	for _, x := range play(t, s, ring(c)).Series {
		if kbr.Ticks(x.From) >= 10*60 {
			left += x.Left
		}
	}
	if left == 0 || float64(left) > 0.5*float64(lookups) {
		t.Errorf("of %d searches %d were for values of which the one copy was left, where a tenth of the nodes was", lookups, left)
	}
}

// Links that are not transitive: who cannot ask the one whose the key is ends elsewhere, and others go around.
func TestSevered(t *testing.T) {
	s := sim.Timeline{Options: sim.Options{Nodes: 200, Seed: 1, Severed: 0.05}, Length: 10 * kbr.Minute, Every: 500 * kbr.Millisecond}
	r := play(t, s, ring(chord.Default()))
	if right := float64(r.Right) / float64(r.Lookups); right < 0.85 || right > 0.99 || r.Timeouts.Mean == 0 {
		t.Errorf("%.3f of the searches were right, with %.2f timeouts", right, r.Timeouts.Mean)
	}
	s.Cores = 2
	if again := play(t, s, ring(chord.Default())); again.TraceHash != r.TraceHash {
		t.Error("the same timeline has one trace on one core, and another on two")
	}
}

func TestInvalidTimeline(t *testing.T) {
	const m = kbr.Minute
	good := sim.Timeline{Options: sim.Options{Nodes: 10}, Length: 10 * m, Every: kbr.Second, Deeds: []sim.Deed{{What: sim.Fail, At: m, Part: 0.5}}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	hour := sim.Session{Shape: 1, Median: 60 * m}
	for name, change := range map[string]func(*sim.Timeline){
		"one node":      func(s *sim.Timeline) { s.Nodes = 1 },
		"no time":       func(s *sim.Timeline) { s.Length = 0 },
		"no searches":   func(s *sim.Timeline) { s.Every = 11 * m },
		"at once":       func(s *sim.Timeline) { s.Every = 0 },
		"all fail":      func(s *sim.Timeline) { s.Deeds[0].Part = 0.99 },
		"nobody fails":  func(s *sim.Timeline) { s.Deeds[0].Part = 0 },
		"too late":      func(s *sim.Timeline) { s.Deeds[0].At = 10 * m },
		"before":        func(s *sim.Timeline) { s.Deeds[0].At = -1 },
		"ends before":   func(s *sim.Timeline) { s.Deeds[0] = sim.Deed{What: sim.Split, At: 5 * m, Until: 4 * m, Part: 0.5} },
		"ends after":    func(s *sim.Timeline) { s.Deeds[0] = sim.Deed{What: sim.Split, At: 5 * m, Until: 11 * m, Part: 0.5} },
		"one side":      func(s *sim.Timeline) { s.Deeds[0] = sim.Deed{What: sim.Split, At: m, Part: 1} },
		"too many meet": func(s *sim.Timeline) { s.Deeds[0] = sim.Deed{What: sim.Split, At: m, Part: 0.5, Meet: 11} },
		"splits in a split": func(s *sim.Timeline) {
			s.Deeds = []sim.Deed{{What: sim.Split, Part: 0.5}, {What: sim.Split, At: m, Part: 0.5}}
		},
		"no churn": func(s *sim.Timeline) { s.Deeds[0] = sim.Deed{What: sim.Shift} },
		"two sessions": func(s *sim.Timeline) {
			s.Deeds = []sim.Deed{{What: sim.Shift, Until: m, Session: hour}, {What: sim.Shift, At: m, Session: hour}}
		},
		"too many values": func(s *sim.Timeline) { s.Keys, s.Copies = 1_000_000, 8 },
		"no copies":       func(s *sim.Timeline) { s.Keys = 5 },
		"severed":         func(s *sim.Timeline) { s.Severed = 1 },
	} {
		s := good
		s.Deeds = append([]sim.Deed(nil), good.Deeds...)
		change(&s)
		if err := s.Check(); !errors.Is(err, kith.Invalid) || kith.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A search that is followed ends as its questions say, and these begin where it began.
func TestFollow(t *testing.T) {
	for i := range 4 {
		n, err := sim.New(sim.Options{Nodes: 500, Seed: 2, Carried: i%2 == 0, Cores: 1 + i/2}, ring(chord.Default()))
		if err != nil {
			t.Fatal(err)
		}
		n.Settle(500, false)
		n.Fail(0.2)
		gone := 0
		for i := range 50 {
			from := n.Up()[i]
			way, end := n.Follow(from, kbr.Tag(i))
			if end.Node != n.Owner(end.Key) || !n.Right(&end) {
				t.Fatalf("search %d ended at %d", i, end.Node)
			}
			asked, last := 0, from
			for _, q := range way {
				if q.Gone {
					gone++
				} else {
					asked++
					last = q.To
				}
			}
			if last != end.Node || asked != end.Path || len(way) > 0 && way[0].From != from {
				t.Errorf("search %d from %d to %d asked %d: %+v", i, from, end.Node, end.Path, way)
			}
		}
		if gone == 0 {
			t.Error("nobody was asked in vain")
		}
	}
}
