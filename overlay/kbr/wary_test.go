package kbr_test

import (
	"slices"
	"testing"

	"kith/overlay/kbr"
)

// Trails begin at different nodes and ask nobody twice. One is not over with whoever names nodes that lie too far apart, or too few, and the nearest of all that were
// named are asked in the end.
func TestWary(t *testing.T) {
	d := newDesk(t, says(nil, 30, 29, 28))
	d.host.Wary, d.liars, d.keeps = 2, 100, []kbr.Node{1, 2, 3, 4}
	asks := d.search()
	if len(asks) != 2 || asks[0].To != 30 || asks[1].To != 29 || asks[0].Tag != asks[1].Tag {
		t.Fatalf("it asks %+v", asks)
	}
	a := d.only(d.answer(asks[0], says([]kbr.Node{100, 101}, 29, 31)), 31, false) // a liar, and 29 is the other trail's
	a = d.only(d.answer(a, says([]kbr.Node{9})), 28, false)                       // that is nobody around
	if more := d.answer(asks[1], says([]kbr.Node{10, 11})); len(more) != 0 {
		t.Fatalf("it asks %+v before all trails are over", more)
	}
	asks = d.fail(a)
	var to []kbr.Node
	for _, a := range asks {
		to = append(to, a.To)
		if a.Msg.Flags&kbr.AsEnd == 0 || a.Msg.Flags&kbr.Around == 0 || a.Msg.Key != key {
			t.Errorf("it asks %+v", a)
		}
	}
	if !slices.Equal(to, []kbr.Node{9, 10, 11, 100}) {
		t.Fatalf("it asks %v", to)
	}
	for asks = append(asks[1:], d.answer(asks[0], says([]kbr.Node{8}))...); len(asks) > 0; {
		asks = append(asks[1:], d.answer(asks[0], kbr.Message{Flags: kbr.Mine})...)
	}
	if r := d.result(8, 9, 1); !slices.Equal(r.Nodes[:r.Count], []kbr.Node{8, 9, 10, 11, 100, 101}) || r.Heard != 6 {
		t.Errorf("it names %v, of which %d have answered", r.Nodes[:r.Count], r.Heard)
	}
}

// A wary search is not over with those who crowd around a key: all that are as near as honest nodes must be have to answer.
func TestWaryCrowd(t *testing.T) {
	near := make([]kbr.Node, 20)
	for i := range near {
		near[i] = kbr.Node(2 + i)
	}
	for _, c := range []struct{ crowd, heard int }{{0, 8}, {10, 17}} { // in the second one up to node 18
		d := newDesk(t, says(nil, 30))
		d.host.Wary, d.keeps, d.crowd = 4, near, c.crowd
		asks := d.answer(d.only(d.search(), 30, false), says(near))
		for len(asks) > 0 {
			asks = append(asks[1:], d.answer(asks[0], kbr.Message{Flags: kbr.Mine})...)
		}
		if r := d.result(2, 1+c.heard, 0); r.Heard != c.heard || !slices.Equal(r.Nodes[:r.Heard], near[:r.Heard]) {
			t.Errorf("it heard from %v, want %d", r.Nodes[:r.Heard], c.heard)
		}
	}
}

// Whoever holds a key for its own names those around it to one that is wary, and to nobody else.
func TestAround(t *testing.T) {
	for flags, want := range map[uint8]int{0: 0, kbr.Around: 16, kbr.AsEnd | kbr.Around: 16} {
		d := newDesk(t, kbr.Message{Flags: kbr.Mine})
		d.keeps = make([]kbr.Node, 30)
		d.host.Step(d.now, 1, &kbr.Event{What: kbr.Request, From: 5, Msg: &kbr.Message{Kind: kbr.Find, Key: key, Flags: flags}}, &d.out)
		if a := d.out.Acts; len(a) != 1 || int(a[0].Msg.Count) != want || a[0].Msg.Ends != a[0].Msg.Count || a[0].Msg.Flags != kbr.Mine {
			t.Errorf("flags %d: %+v", flags, a)
		}
	}
}

// Where a search of an engine ends among nodes that cannot be those around the key, a wary one follows, and the engine hears of that one alone.
func TestChecks(t *testing.T) {
	for _, liars := range []kbr.Node{kbr.None, 50} {
		d := newDesk(t, says(nil, 30, 29))
		d.host.Checks, d.liars = 2, liars
		d.host.Step(d.now, 1, &kbr.Event{What: kbr.Join, Msg: &kbr.Message{}}, &d.out)
		a := d.only(d.asks(), 30, false)
		a = d.only(d.answer(a, says([]kbr.Node{50, 60})), 50, true)
		if a.Msg.Flags&kbr.Around == 0 {
			t.Error("two are too few to be judged, and no more are asked for")
		}
		asks, told := d.answer(a, kbr.Message{Flags: kbr.Mine}), len(d.told)
		if liars == kbr.None {
			if len(asks) != 0 || d.told[told-1].What != kbr.Found || d.told[told-1].From != 50 {
				t.Errorf("it asks %+v, and the engine was told %+v", asks, d.told)
			}
			continue
		}
		if len(asks) != 2 || asks[0].To != 30 || asks[1].To != 29 || told != 1 {
			t.Fatalf("it asks %+v, and the engine was told %+v", asks, d.told)
		}
		for asks = append(d.answer(asks[0], says([]kbr.Node{50, 60})), d.answer(asks[1], says([]kbr.Node{10, 40}))...); len(asks) > 0; {
			asks = append(asks[1:], d.answer(asks[0], kbr.Message{Flags: kbr.Mine})...)
		}
		if last := d.told[len(d.told)-1]; len(d.told) != 2 || last.What != kbr.Found || last.From != 10 || last.Tag != 1 {
			t.Errorf("the engine was told %+v", d.told)
		}
	}
}
