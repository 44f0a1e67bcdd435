package engine

import (
	"fmt"
	"testing"
	"time"

	"kith/blob/bao"
)

// A line is a source of a simulation, shaped to a rate. What it is asked for it sends one after the other, or to so many peers behind it, which share the rate.
type line struct {
	id    SourceID
	rate  float64 // bytes a second
	delay time.Duration
	peers int   // what it works at beside each other
	unit  int64 // bytes; 0: a Kith node
	first int64 // bytes of its first window
	has   []bao.Range

	queue []Request
	busy  int
	sent  int64 // groups
}

// A mix is a simulation of one download from lines of different kinds.
type mix struct {
	swarm
	e     *Engine
	lines []*line
	ended time.Duration
}

func newMix(groups int64, seed uint64, lines ...*line) *mix {
	m := &mix{e: New(Options{Groups: groups, Seed: seed, Cluster: 4 << 20 / bao.GroupSize}), lines: lines}
	for i, l := range lines {
		l.id = SourceID(i + 1)
		if l.unit > 0 {
			m.e.JoinUnits(l.id, 0, l.unit/bao.GroupSize, l.first/bao.GroupSize)
		} else {
			m.e.Join(l.id, 0)
		}
		for _, r := range l.has {
			m.e.Has(l.id, r)
		}
		if l.has == nil {
			m.e.HasAll(l.id)
		}
		m.after(0, func() { m.pump(l) })
	}
	m.tick()
	return m
}

func (m *mix) tick() {
	for _, id := range m.e.Tick(m.now) {
		m.e.Leave(id)
	}
	for _, l := range m.lines {
		m.pump(l)
	}
	if !m.e.Complete() {
		m.after(250*time.Millisecond, m.tick)
	}
}

func (m *mix) pump(l *line) {
	for {
		q, ok := m.e.Next(l.id, m.now)
		if !ok {
			return
		}
		m.after(l.delay, func() { l.queue = append(l.queue, q); m.serve(l) })
	}
}

func (m *mix) serve(l *line) {
	for l.busy < max(1, l.peers) && len(l.queue) > 0 {
		q := l.queue[0]
		l.queue = l.queue[1:]
		l.busy++
		l.sent += q.N
		took := time.Duration(float64(q.N*bao.GroupSize*int64(max(1, l.peers))) / l.rate * float64(time.Second)) // as if all peers were busy
		m.after(took, func() { l.busy--; m.serve(l) })
		m.after(took+l.delay, func() { m.arrive(l, q) })
	}
}

func (m *mix) arrive(l *line, q Request) {
	m.e.Arrived(q.ID, m.now)
	for _, c := range m.e.Verified(q.ID) {
		m.withdraw(c)
	}
	if m.e.Complete() && m.ended == 0 {
		m.ended = m.now
	}
	for _, l := range m.lines {
		m.pump(l)
	}
}

func (m *mix) withdraw(c *Request) {
	for _, l := range m.lines {
		for i, q := range l.queue {
			if q.ID == c.ID {
				l.queue = append(l.queue[:i], l.queue[i+1:]...)
				return
			}
		}
	}
}

// run returns how long it took, as a part of what the sum of all rates would take, and how often the content was sent.
func (m *mix) run() (part, copies float64) {
	for m.ended == 0 && m.step() {
	}
	rate, sent := 0.0, int64(0)
	for _, l := range m.lines {
		rate += l.rate
		sent += l.sent
	}
	return float64(m.e.groups) * bao.GroupSize / rate / m.ended.Seconds(), float64(sent) / float64(m.e.groups)
}

// TestMixed simulates downloads from a Kith node, a swarm and a network of blocks at once: at least 0.9 of the sum of their rates is reached.
func TestMixed(t *testing.T) {
	const mb = 1e6
	native := func(rate float64) *line { return &line{rate: rate, delay: 20 * time.Millisecond} }
	swarm := func(rate float64, unit int64, peers int) *line {
		return &line{rate: rate, delay: 50 * time.Millisecond, unit: unit, peers: peers, first: max(16<<20, 2*unit*int64(peers))}
	}
	for _, c := range []struct {
		name  string
		size  int64
		lines []*line
	}{
		{"three alike", 256 << 20, []*line{native(8 * mb), swarm(8*mb, 1<<20, 8), swarm(8*mb, 256<<10, 4)}},
		{"a quick swarm of many", 512 << 20, []*line{native(4 * mb), swarm(30*mb, 1<<20, 40), swarm(2*mb, 256<<10, 2)}},
		{"a slow swarm, large pieces", 512 << 20, []*line{native(10 * mb), swarm(5*mb, 16<<20, 1), swarm(10*mb, 1<<20, 8)}},
		{"two nodes, small pieces", 256 << 20, []*line{native(8 * mb), native(3 * mb), swarm(8*mb, 32<<10, 20)}},
		{"a quick node", 256 << 20, []*line{native(50 * mb), swarm(5*mb, 1<<20, 8), swarm(5*mb, 256<<10, 4)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMix(c.size/bao.GroupSize, 1, c.lines...)
			part, copies := m.run()
			said := ""
			for _, l := range c.lines {
				said += fmt.Sprintf(" %.0f MB", float64(l.sent)*bao.GroupSize/mb)
			}
			t.Logf("%.3f of the sum of the rates, %.3f copies sent:%s", part, copies, said)
			if part < 0.9 {
				t.Errorf("%.3f of the sum of the rates", part)
			}
		})
	}
}
