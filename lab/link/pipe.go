package link

import (
	"container/heap"
	"time"
)

// A Pipe is one direction of a line, with the queue before it. Times are since the start of the Net.
type Pipe struct {
	Rate  float64 // bits a second; 0: no limit
	Queue int     // bytes that may wait

	free time.Duration // when the last byte that was admitted will have left
}

// Admit puts size bytes into the pipe at now and returns when the last of them leaves, or false if the queue is full.
func (p *Pipe) Admit(now time.Duration, size int) (time.Duration, bool) {
	if p.Rate == 0 {
		return now, true
	}
	start := max(now, p.free)
	if waiting := float64(start-now) / 1e9 * p.Rate / 8; waiting+float64(size) > float64(p.Queue) {
		return 0, false
	}
	p.free = start + time.Duration(float64(size)*8/p.Rate*1e9)
	return p.free, true
}

// A packet is on its way until at.
type packet struct {
	at   time.Duration
	seq  uint64
	size int
	buf  [MTU]byte
}

// A port is the receiver's end: what is coming over the way, then what its line is clocking in. It is pure; its owner locks it.
type port struct {
	down    Pipe
	coming  coming    // by time
	leaving []*packet // in order
	first   int       // index of the first that is still leaving
	seq     uint64
}

// add tells that p will arrive before the receiver's line at p.at. It reports whether the port has to be looked at earlier than
// before.
func (o *port) add(p *packet) (sooner bool) {
	before, any := o.next()
	o.seq++
	p.seq = o.seq
	heap.Push(&o.coming, p)
	return !any || p.at < before
}

// next returns when step will have something to do.
func (o *port) next() (at time.Duration, any bool) {
	if len(o.coming) > 0 {
		at, any = o.coming[0].at, true
	}
	if o.first < len(o.leaving) && (!any || o.leaving[o.first].at < at) {
		at, any = o.leaving[o.first].at, true
	}
	return at, any
}

// step appends to out what has been received by now, and to lost what did not fit into the queue.
func (o *port) step(now time.Duration, out, lost []*packet) ([]*packet, []*packet) {
	for len(o.coming) > 0 && o.coming[0].at <= now {
		p := heap.Pop(&o.coming).(*packet)
		at, ok := o.down.Admit(p.at, p.size)
		if !ok {
			lost = append(lost, p)
			continue
		}
		p.at = at
		o.leaving = append(o.leaving, p)
	}
	for o.first < len(o.leaving) && o.leaving[o.first].at <= now {
		out = append(out, o.leaving[o.first])
		o.leaving[o.first] = nil
		o.first++
	}
	if o.first > 64 && o.first*2 > len(o.leaving) {
		o.leaving = o.leaving[:copy(o.leaving, o.leaving[o.first:])]
		o.first = 0
	}
	return out, lost
}

// coming is a heap of packets by time, then by order of coming.
type coming []*packet

func (c coming) Len() int { return len(c) }
func (c coming) Less(i, j int) bool {
	return c[i].at < c[j].at || c[i].at == c[j].at && c[i].seq < c[j].seq
}
func (c coming) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *coming) Push(p any)   { *c = append(*c, p.(*packet)) }
func (c *coming) Pop() any {
	last := len(*c) - 1
	p := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return p
}
