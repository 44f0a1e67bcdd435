package kbr_test

import (
	"slices"
	"testing"

	"kith/overlay/kbr"
)

// A desk is node 1 of a network in which the test answers for all others. Node n is at n, and the key at 0x8000.
type desk struct {
	t     *testing.T
	host  kbr.Host
	table kbr.Table
	rtt   kbr.RTT
	knows kbr.Message // what node 1 says of the way
	told  []kbr.Event // what its engine was told
	keeps []kbr.Node  // copies of what is node 1's
	crowd int
	liars kbr.Node // from this one on nodes lie too far apart, unless it is None
	wants kbr.Node // through whom its engine wants to join
	out   kbr.Outbox
	now   kbr.Ticks
}

func at(n int) kbr.ID { return kbr.FromBytes([20]byte{byte(n >> 8), byte(n)}) }

var key = at(0x8000)

func newDesk(t *testing.T, knows kbr.Message) *desk {
	d := &desk{t: t, knows: knows}
	for n := 1; n < 1000; n++ {
		d.table.Add(at(n))
	}
	d.host = kbr.Host{Engine: func(kbr.Node) kbr.Engine { return d }, RTT: func(kbr.Node) *kbr.RTT { return &d.rtt }}
	return d
}

func (d *desk) Step(_ kbr.Ticks, ev *kbr.Event, out *kbr.Outbox) {
	d.told = append(d.told, *ev)
	if ev.What == kbr.Join {
		out.Search(key, d.wants, 1)
	}
}

func (d *desk) Route(m *kbr.Message) {
	m.Flags, m.Count, m.Ends, m.Nodes = d.knows.Flags, d.knows.Count, d.knows.Ends, d.knows.Nodes
}

// Distance makes larger numbers nearer on the way, and smaller ones among ends.
func (d *desk) Distance(_ kbr.ID, end bool, n kbr.Node) kbr.ID {
	if end {
		return at(int(n))
	}
	return at(0xffff - int(n))
}

func (d *desk) Replicas(r int, dst []kbr.Node) []kbr.Node {
	return append(dst, d.keeps[:min(r, len(d.keeps))]...)
}

// Reach makes n nodes reach as far as node n, and some more where there is a crowd.
func (d *desk) Reach(n int) kbr.ID { return at(n + d.crowd) }

func (d *desk) Beside(key kbr.ID, _ int) kbr.ID { return key }

func (d *desk) Sparse(_ func(int) kbr.ID, _ kbr.ID, named []kbr.Node) bool {
	return len(named) > 0 && named[0] >= d.liars && d.liars > 0
}

// says makes an answer of ends and of nodes on the way.
func says(ends []kbr.Node, way ...kbr.Node) (m kbr.Message) {
	for _, n := range append(slices.Clone(ends), way...) {
		m.Add(n)
	}
	m.Ends = uint8(len(ends))
	return m
}

// search begins one, and returns the questions that it asks at once.
func (d *desk) search() []kbr.Act {
	d.host.Find(d.now, 1, key, 7, &d.out)
	return d.asks()
}

func (d *desk) asks() (asks []kbr.Act) {
	for _, a := range d.out.Acts {
		if a.Do == kbr.Ask {
			asks = append(asks, a)
		}
	}
	d.out.Acts = nil
	return asks
}

// only returns the one question, which must be to a node, and to it as an end or not.
func (d *desk) only(asks []kbr.Act, to kbr.Node, end bool) kbr.Act {
	d.t.Helper()
	if len(asks) != 1 || asks[0].To != to || (asks[0].Msg.Flags&kbr.AsEnd != 0) != end || asks[0].Msg.Kind != kbr.Find || asks[0].Msg.Key != key {
		d.t.Fatalf("it asks %+v, want node %d, end %v", asks, to, end)
	}
	return asks[0]
}

func (d *desk) answer(a kbr.Act, m kbr.Message) []kbr.Act {
	d.now += 100 * kbr.Millisecond
	d.host.Step(d.now, 1, &kbr.Event{What: kbr.Answer, From: a.To, Tag: a.Tag, Took: 100 * kbr.Millisecond, Msg: &m}, &d.out)
	return d.asks()
}

func (d *desk) fail(a kbr.Act) []kbr.Act {
	d.now += a.Wait
	d.host.Step(d.now, 1, &kbr.Event{What: kbr.Failed, From: a.To, Tag: a.Tag, Try: a.Try, Msg: &a.Msg}, &d.out)
	return d.asks()
}

func (d *desk) result(node kbr.Node, path, timeouts int) kbr.Result {
	d.t.Helper()
	if len(d.host.Results) != 1 {
		d.t.Fatalf("results: %+v", d.host.Results)
	}
	r := d.host.Results[0]
	d.host.Results = nil
	if r.Node != node || r.Path != path || r.Timeouts != timeouts || r.Tag != 7 || r.Key != key || r.Self != 1 {
		d.t.Fatalf("it ended as %+v, want node %d, path %d, timeouts %d", r, node, path, timeouts)
	}
	return r
}

// The nearest on the way comes first, then the nearest end, which has the last word.
func TestSearch(t *testing.T) {
	d := newDesk(t, says(nil, 20, 10))
	a := d.only(d.search(), 20, false)
	a = d.only(d.answer(a, says([]kbr.Node{50, 60}, 30)), 50, true)
	d.now += kbr.Second
	if asks := d.answer(a, kbr.Message{Flags: kbr.Mine}); len(asks) != 0 {
		t.Errorf("at the end it asks %+v", asks)
	}
	if r := d.result(50, 2, 0); r.Named != 100*kbr.Millisecond || r.Ended != 1200*kbr.Millisecond {
		t.Errorf("named at %d, ended at %d", r.Named, r.Ended)
	}
}

// What is the node's own is found without a question.
func TestSearchAtHome(t *testing.T) {
	d := newDesk(t, kbr.Message{Flags: kbr.Mine})
	if asks := d.search(); len(asks) != 0 {
		t.Errorf("it asks %+v", asks)
	}
	d.result(1, 0, 0)
	d = newDesk(t, says([]kbr.Node{1})) // which others hold it for
	d.search()
	d.result(1, 0, 0)
	d = newDesk(t, kbr.Message{Flags: kbr.Outside})
	d.search()
	d.result(kbr.None, 0, 0)
}

// An end that knows a nearer one sends the search there; who is outside has nothing to say.
func TestSearchGoesBack(t *testing.T) {
	d := newDesk(t, says(nil, 20))
	a := d.only(d.search(), 20, false)
	a = d.only(d.answer(a, says([]kbr.Node{60})), 60, true)
	a = d.only(d.answer(a, says([]kbr.Node{50})), 50, true)
	d.answer(a, kbr.Message{Flags: kbr.Outside})
	d.result(60, 2, 1)
}

// One on the way is asked once, and the engine hears that it was slow; an end is asked three times, each for twice as long, and the engine hears that it is gone.
func TestSearchInVain(t *testing.T) {
	d := newDesk(t, says(nil, 20, 10))
	a := d.only(d.search(), 20, false)
	a = d.only(d.fail(a), 10, false)
	if len(d.told) != 1 || d.told[0].What != kbr.Slow || d.told[0].From != 20 {
		t.Errorf("the engine was told %+v", d.told)
	}
	a = d.only(d.answer(a, says([]kbr.Node{50, 60})), 50, true)
	wait := a.Wait
	for range 2 {
		again := d.only(d.fail(a), 50, true)
		if wait *= 2; again.Wait != wait {
			t.Errorf("it waits %d, want %d", again.Wait, wait)
		}
		a = again
	}
	a = d.only(d.fail(a), 60, true)
	if len(d.told) != 2 || d.told[1].What != kbr.Failed || d.told[1].From != 50 {
		t.Errorf("the engine was told %+v", d.told)
	}
	d.answer(a, kbr.Message{})
	d.result(60, 2, 2)
}

// Who let a search wait on the way is asked again when it turns out to be an end: there it is not one of many.
func TestSearchAsksAnEndAgain(t *testing.T) {
	d := newDesk(t, says(nil, 50, 10))
	a := d.only(d.search(), 50, false)
	a = d.only(d.fail(a), 10, false)
	a = d.only(d.answer(a, says([]kbr.Node{50, 60})), 50, true)
	d.answer(a, kbr.Message{Flags: kbr.Mine})
	d.result(50, 2, 1)
}

// Where nobody answers the search ends nowhere.
func TestSearchEndsNowhere(t *testing.T) {
	d := newDesk(t, says(nil, 20, 10))
	a := d.only(d.search(), 20, false)
	a = d.only(d.fail(a), 10, false)
	d.fail(a)
	d.result(kbr.None, 0, 2)
}

// A liar who always knows somebody nearer keeps a search for a while, and not for ever.
func TestSearchOfLiars(t *testing.T) {
	d := newDesk(t, says(nil, 2))
	asks := d.search()
	count := 0
	for n := kbr.Node(3); len(asks) > 0; n++ {
		if count++; count > 200 {
			t.Fatal("it goes on and on")
		}
		asks = d.answer(asks[0], says(nil, n, n, 1, 2, kbr.None))
	}
	d.result(kbr.None, count, 0)
	if count < 100 {
		t.Errorf("it gave up after %d", count)
	}
}

// More is told than a search can keep in mind: the nearest are kept.
func TestSearchKeepsTheNearest(t *testing.T) {
	d := newDesk(t, says(nil, 100))
	a := d.search()[0]
	for i := range 3 {
		var m kbr.Message
		for n := range kbr.MaxNodes {
			m.Add(kbr.Node(101 + (n*37+i*11)%300))
		}
		asks := d.answer(a, m)
		for _, told := range m.Told() {
			if len(asks) != 1 || told > asks[0].To && i == 0 {
				t.Fatalf("it asks %+v, and was told of %d", asks, told)
			}
		}
		a = asks[0]
	}
}

// What comes for a search that is over, or was never, is nothing.
func TestSearchIsOver(t *testing.T) {
	d := newDesk(t, says(nil, 20, 10))
	first := d.only(d.search(), 20, false)
	d.host.Forget(1)
	second := d.only(d.search(), 20, false) // in the same slot
	if first.Tag == second.Tag {
		t.Fatal("two searches with one tag")
	}
	for _, tag := range []kbr.Tag{first.Tag, first.Tag + 1, first.Tag + 1<<20, 1 << 63} {
		for _, what := range []kbr.What{kbr.Answer, kbr.Failed, kbr.Timer, kbr.Late} {
			d.host.Step(d.now, 1, &kbr.Event{What: what, From: 20, Tag: tag, Took: 1000, Try: 2, Msg: &kbr.Message{Flags: kbr.Mine}}, &d.out)
		}
	}
	if asks := d.asks(); len(asks) != 0 || len(d.host.Results) != 0 {
		t.Errorf("it asks %+v, and ended as %+v", asks, d.host.Results)
	}
	d.only(d.fail(second), 10, false)
}

// Several may be asked at once.
func TestSearchInParallel(t *testing.T) {
	d := newDesk(t, says(nil, 40, 30, 20, 10))
	d.host.Parallel = 3
	asks := d.search()
	if len(asks) != 3 || asks[0].To != 40 || asks[2].To != 20 {
		t.Fatalf("it asks %+v", asks)
	}
	if more := d.fail(asks[1]); len(more) != 1 || more[0].To != 10 {
		t.Fatalf("it asks %+v", more)
	}
	near := d.only(d.answer(asks[2], says([]kbr.Node{50})), 50, true)
	far := d.only(d.answer(asks[0], says([]kbr.Node{60})), 60, true)
	d.answer(far, kbr.Message{})
	if len(d.host.Results) != 0 {
		t.Errorf("it did not wait for a nearer end: %+v", d.host.Results)
	}
	d.answer(near, kbr.Message{})
	d.result(50, 4, 1)
}

// Where several ends are wanted the search goes on until so many have answered, of the nearest, and names behind them those that have not.
func TestSearchForEnds(t *testing.T) {
	d := newDesk(t, says(nil, 20))
	d.host.Ends = 3
	a := d.only(d.search(), 20, false)
	a = d.only(d.answer(a, says([]kbr.Node{50, 60, 70, 80, 90})), 50, true)
	a = d.only(d.answer(a, kbr.Message{Flags: kbr.Mine}), 60, true)
	for range 2 {
		a = d.only(d.fail(a), 60, true)
	}
	a = d.only(d.fail(a), 70, true)
	a = d.only(d.answer(a, says([]kbr.Node{45})), 45, true) // nearer than all
	d.answer(a, kbr.Message{})
	r := d.result(45, 4, 1)
	if got := r.Nodes[:r.Count]; !slices.Equal(got, []kbr.Node{45, 50, 70, 80, 90}) {
		t.Errorf("it names %v", got)
	}
}

// Where there are fewer ends than wanted, all of them are enough, and a search for one names the others all the same.
func TestSearchForFewEnds(t *testing.T) {
	for _, wanted := range []int{0, 30} {
		d := newDesk(t, says([]kbr.Node{1, 50}))
		d.host.Ends = wanted
		asks := d.search()
		if wanted > 0 {
			d.answer(d.only(asks, 50, true), kbr.Message{})
		}
		r := d.result(1, len(asks), 0)
		if got := r.Nodes[:r.Count]; !slices.Equal(got, []kbr.Node{1, 50}) {
			t.Errorf("it names %v", got)
		}
	}
}

// The answer of whose the key is names who keeps copies, where searches want several ends, and only there.
func TestWhoKeepsCopies(t *testing.T) {
	for _, wanted := range []int{1, 3} {
		d := newDesk(t, kbr.Message{Flags: kbr.Mine})
		d.host.Ends = wanted
		d.keeps = []kbr.Node{1, 2, 3, 4}
		d.host.Step(d.now, 1, &kbr.Event{What: kbr.Request, From: 9, Msg: &kbr.Message{Kind: kbr.Find, Key: key}}, &d.out)
		var want []kbr.Node
		if wanted > 1 {
			want = d.keeps[:wanted]
		}
		if got := d.out.Acts[0].Msg.Told(); !slices.Equal(got, want) {
			t.Errorf("%d ends wanted: it names %v", wanted, got)
		}
	}
}

// An engine that learns is told who asks and who answers, and of nobody who is outside.
func TestHeard(t *testing.T) {
	d := newDesk(t, says(nil, 20, 10))
	d.host.Learns = true
	request := func(flags uint8) {
		d.host.Step(d.now, 1, &kbr.Event{What: kbr.Request, From: 9, Msg: &kbr.Message{Kind: kbr.Find, Key: key, Flags: flags}}, &d.out)
		d.asks()
	}
	request(kbr.Outside)
	request(kbr.AsEnd)
	a := d.only(d.search(), 20, false)
	a = d.only(d.answer(a, kbr.Message{Flags: kbr.Outside}), 10, false)
	d.answer(a, kbr.Message{Flags: kbr.Mine})
	if len(d.told) != 2 || d.told[0].What != kbr.Heard || d.told[0].From != 9 || d.told[0].Took != 0 || d.told[1].From != 10 || d.told[1].Took != 100*kbr.Millisecond {
		t.Errorf("the engine was told %+v", d.told)
	}
	d.host.Silent = true
	request(0)
	if len(d.told) != 2 {
		t.Errorf("the engine was told %+v", d.told)
	}
}

// Who is not in the network yet says so when it asks.
func TestSearchFromOutside(t *testing.T) {
	d := newDesk(t, kbr.Message{})
	d.wants = 20
	d.host.Step(d.now, 1, &kbr.Event{What: kbr.Join}, &d.out)
	if asks := d.asks(); len(asks) != 1 || asks[0].To != 20 || asks[0].Msg.Flags != kbr.Outside {
		t.Errorf("it asks %+v", asks)
	}
}
