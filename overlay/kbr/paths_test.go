package kbr_test

import (
	"slices"
	"testing"

	"kith/overlay/kbr"
)

// On disjoint paths each node is asked once, each path goes on with what it hears itself, and a liar ends only its own.
func TestPaths(t *testing.T) {
	d := newDesk(t, says(nil, 10, 20, 30, 40))
	d.host.Metric, d.host.Paths = true, 2
	asks := d.search()
	if len(asks) != 2 || asks[0].To != 10 || asks[1].To != 20 {
		t.Fatalf("it asks %+v", asks)
	}
	if more := d.answer(asks[0], kbr.Message{Flags: kbr.Mine}); len(more) != 0 { // 10 says so
		t.Fatalf("it asks %+v", more)
	}
	a := d.only(d.answer(asks[1], says(nil, 10, 15)), 15, false) // 10 is over, and farther than what comes
	a = d.only(d.answer(a, says([]kbr.Node{5, 6})), 5, true)
	d.answer(a, kbr.Message{Flags: kbr.Mine})
	r := d.result(5, 4, 0)
	if got := r.Nodes[:r.Count]; !slices.Equal(got, []kbr.Node{5, 10, 6}) || r.Heard != 2 {
		t.Errorf("it names %v, of which %d have answered", got, r.Heard)
	}
}

// A path that has nobody left is over, and a search whose paths all are ends at the nearest that has answered, or nowhere.
func TestPathsEnd(t *testing.T) {
	for _, answers := range []bool{true, false} {
		d := newDesk(t, says(nil, 10, 20, 30))
		d.host.Metric, d.host.Paths = true, 8
		asks := d.search()
		if len(asks) != 3 {
			t.Fatalf("it asks %+v", asks)
		}
		d.fail(asks[0])
		d.fail(asks[2])
		if answers {
			d.answer(asks[1], kbr.Message{})
			d.result(20, 1, 2)
		} else {
			d.fail(asks[1])
			d.result(kbr.None, 0, 3)
		}
	}
}

// Where there is one metric no search is over while somebody nearer may answer, even one that was not named as an end, and who did not answer on the way is asked with
// patience when it is named as an end.
func TestMetric(t *testing.T) {
	d := newDesk(t, says(nil, 10, 20))
	d.host.Metric = true
	a := d.only(d.search(), 10, false)
	a = d.only(d.fail(a), 20, false)
	a = d.only(d.answer(a, says([]kbr.Node{10, 30}, 15)), 10, true)
	for range 2 {
		a = d.only(d.fail(a), 10, true)
	}
	a = d.only(d.fail(a), 15, false)
	d.answer(a, kbr.Message{})
	d.result(15, 2, 2)
}
