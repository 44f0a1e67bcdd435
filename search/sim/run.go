package sim

import (
	"container/heap"
	"math"
	"slices"

	"kith/overlay/kbr"
	"kith/overlay/sim"
)

// A Way is a way of searching.
type Way interface {
	String() string
	start(*run) // before anything happens; the first nodes are up
	joined(p kbr.Node)
	left(p kbr.Node)
	search(*search)
}

// A run is a world in which one way of searching is tried.
type run struct {
	*World
	way      Way
	now      kbr.Ticks
	queue    queue
	events   uint64
	hash     uint64
	up       []bool
	alive    []kbr.Node // in no order that means anything
	at       []int      // where a node is in alive
	draws    int
	upkeep   float64 // bytes that all nodes have sent for it in the second hour
	joining  float64 // bytes of the last that joined, of which a node downloads
	joins    int
	searches []*search
}

type event struct {
	at  kbr.Ticks
	seq uint64
	do  func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1].do = nil
	*q = (*q)[:len(*q)-1]
	return last
}

// after lets something happen after a time.
func (r *run) after(wait kbr.Ticks, do func()) {
	r.events++
	heap.Push(&r.queue, event{at: r.now + wait, seq: r.events, do: do})
}

// note takes something that happened into the trace.
func (r *run) note(a, b kbr.Node) {
	r.hash = sim.Mix(r.hash ^ uint64(r.now)<<32 ^ uint64(a)<<16 ^ uint64(b))
}

// random draws a number.
func (r *run) random() uint64 {
	r.draws++
	return r.World.draw(forRandom, 0, r.draws)
}

// anybody draws a node that is up.
func (r *run) anybody() kbr.Node { return r.alive[r.random()%uint64(len(r.alive))] }

// Line lengths: nodes are at random in a cube, as in overlay/sim's Space, whose diagonal gives a mean round trip of 50 ms; two random points are 0.382 of it from each other.
const (
	meanTrip = 50 * kbr.Millisecond
	diagonal = float64(meanTrip) / 2 / 0.382
)

// line returns how long a message is on its way.
func (r *run) line(a, b kbr.Node) kbr.Ticks {
	var sum float64
	for axis := range 3 {
		d := r.unit(forPlace, int(a), axis) - r.unit(forPlace, int(b), axis)
		sum += d * d
	}
	return max(kbr.Millisecond, kbr.Ticks(math.Sqrt(sum/3)*diagonal))
}

// send lets something happen at a node when a message comes there, unless it is not up by then. The message leaves after a wait.
func (r *run) send(wait kbr.Ticks, from, to kbr.Node, do func()) {
	r.after(wait+r.line(from, to), func() {
		if r.up[to] {
			r.note(from, to)
			do()
		}
	})
}

// A search is one of somebody's, under way or over.
type search struct {
	*query
	r        *run
	found    map[item]bool
	real     int       // of these those that are no junk
	list     []item    // what is shown, as it came if nobody has put it in order
	asked    int       // questions that were sent, by anybody
	answered int       // and answers
	tenth    kbr.Ticks // when there were ten results, or all there are if that is less; never
}

const never = kbr.Ticks(math.MaxInt64)

// results takes in what one node found, and returns how much of it is new.
func (s *search) results(items []item) (fresh int) {
	for _, x := range items {
		if !s.found[x] {
			s.found[x] = true
			fresh++
			s.list = append(s.list, x)
			if x >= 0 {
				s.real++
			}
		}
	}
	if s.tenth == never && s.real >= min(s.exist, 10) {
		s.tenth = s.r.now - s.at
	}
	return fresh
}

// Run lets all that is to happen in the world happen, with one way of searching, and returns what came of it.
func (w *World) Run(way Way) Report {
	r := &run{World: w, way: way, up: make([]bool, len(w.shares)), at: make([]int, len(w.shares))}
	for p := kbr.Node(1); int(p) <= w.o.Nodes; p++ {
		r.up[p], r.at[p] = true, len(r.alive)
		r.alive = append(r.alive, p)
	}
	way.start(r)
	for _, m := range w.moves {
		r.after(m.at, func() { r.move(m) })
	}
	for i := range w.queries {
		q := &w.queries[i]
		r.after(q.at, func() {
			s := &search{query: q, r: r, found: map[item]bool{}, tenth: never}
			r.searches = append(r.searches, s)
			s.results(q.hits[q.from])
			way.search(s)
		})
	}
	for len(r.queue) > 0 && r.queue[0].at <= 2*hour+5*kbr.Minute {
		e := heap.Pop(&r.queue).(event)
		r.now = e.at
		e.do()
	}
	return r.report()
}

// move lets one node leave and another one come.
func (r *run) move(m move) {
	r.up[m.leave], r.up[m.join] = false, true
	r.at[m.join] = r.at[m.leave]
	r.alive[r.at[m.join]] = m.join
	r.note(m.leave, m.join)
	r.way.left(m.leave)
	r.way.joined(m.join)
}

// A mesh is who has a connection with whom: nodes make some at random, and a new one for each of these that is lost, after a while.
type mesh struct {
	r     *run
	own   float64                  // connections that a node makes
	makes func(p kbr.Node) bool    // who does
	among func(a, b kbr.Node) bool // between whom there can be one
	links [][]kbr.Node
}

// lost is how long it takes to see that a connection is lost.
const lost = 30 * kbr.Second

func newMesh(r *run, own float64, makes func(p kbr.Node) bool, among func(a, b kbr.Node) bool) *mesh {
	m := &mesh{r: r, own: own, makes: makes, among: among, links: make([][]kbr.Node, len(r.up))}
	for _, p := range r.alive {
		m.join(p)
	}
	return m
}

func (m *mesh) join(p kbr.Node) {
	if !m.makes(p) {
		return
	}
	n := int(m.own)
	if sim.Unit(m.r.random()) < m.own-float64(n) {
		n++
	}
	for range n {
		m.link(p)
	}
}

// link gives p one more connection.
func (m *mesh) link(p kbr.Node) {
	for range 1000 {
		q := m.r.anybody()
		if q != p && m.among(p, q) && !slices.Contains(m.links[p], q) {
			m.links[p], m.links[q] = append(m.links[p], q), append(m.links[q], p)
			return
		}
	}
}

func (m *mesh) leave(p kbr.Node) {
	for i, q := range m.links[p] {
		m.links[q] = slices.DeleteFunc(m.links[q], func(x kbr.Node) bool { return x == p })
		if m.makes(q) && (!m.makes(p) || i%2 == 0) { // of two that may have made it one looks for another
			m.r.after(lost, func() {
				if m.r.up[q] {
					m.link(q)
				}
			})
		}
	}
	m.links[p] = nil
}
