package link

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func TestPipe(t *testing.T) {
	p := Pipe{Rate: 8e6, Queue: 3000} // one byte a microsecond
	for i, step := range []struct {
		now  time.Duration
		size int
		want time.Duration
		ok   bool
	}{
		{0, 1000, 1 * ms, true}, // an idle line starts at once
		{0, 1000, 2 * ms, true}, // the next waits for it
		{0, 1000, 3 * ms, true}, // 2,000 wait, 1,000 more fill the queue
		{0, 1, 0, false},        // full
		{500 * time.Microsecond, 500, 3500 * time.Microsecond, true}, // what left made room
		{10 * ms, 1000, 11 * ms, true},                               // idle time is not saved up
	} {
		if got, ok := p.Admit(step.now, step.size); got != step.want || ok != step.ok {
			t.Errorf("step %d: got %v %v, want %v %v", i, got, ok, step.want, step.ok)
		}
	}
	free := Pipe{}
	if at, ok := free.Admit(ms, 1<<30); at != ms || !ok {
		t.Errorf("a pipe without a rate holds up: %v %v", at, ok)
	}
}

// TestPort: two senders' packets come in the order of time, are clocked in one after the other, and the one that finds the queue
// full is lost.
func TestPort(t *testing.T) {
	o := port{down: Pipe{Rate: 8e6, Queue: 2000}}
	for _, p := range []*packet{{at: 20 * ms, size: 1000}, {at: 10 * ms, size: 1000}, {at: 10 * ms, size: 500}, {at: 10 * ms, size: 1001}} {
		o.add(p)
	}
	type event struct {
		now       time.Duration
		out, lost []int
	}
	var got []event
	for {
		at, any := o.next()
		if !any {
			break
		}
		out, lost := o.step(at, nil, nil)
		e := event{now: at}
		for _, p := range out {
			e.out = append(e.out, p.size)
		}
		for _, p := range lost {
			e.lost = append(e.lost, p.size)
		}
		got = append(got, e)
	}
	want := []event{
		{10 * ms, nil, []int{1001}},
		{11 * ms, []int{1000}, nil},
		{11*ms + 500*time.Microsecond, []int{500}, nil},
		{20 * ms, nil, nil},
		{21 * ms, []int{1000}, nil},
	}
	if !slices.EqualFunc(got, want, func(a, b event) bool {
		return a.now == b.now && slices.Equal(a.out, b.out) && slices.Equal(a.lost, b.lost)
	}) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestPortKeeps: whatever comes, and however late the port is looked at, nothing is made or forgotten, order is kept, and no
// interval carries more than the rate allows.
func TestPortKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := port{down: Pipe{Rate: 1e6, Queue: rapid.IntRange(1500, 20000).Draw(t, "queue")}}
		var now, last time.Duration
		added, gone, carried := 0, 0, 0
		take := func() {
			out, lost := o.step(now, nil, nil)
			for _, p := range out {
				if p.at < last || p.at > now {
					t.Fatalf("a packet of %v is handed out at %v after one of %v", p.at, now, last)
				}
				last = p.at
				carried += p.size
			}
			gone += len(out) + len(lost)
			if limit := int(now.Seconds()*1e6/8) + 1; carried > limit {
				t.Fatalf("%d bytes by %v, more than %d", carried, now, limit)
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			o.add(&packet{at: now + time.Duration(rapid.IntRange(0, 50).Draw(t, "delay"))*ms, size: rapid.IntRange(20, MTU).Draw(t, "size")})
			added++
			if rapid.Bool().Draw(t, "look") {
				now += time.Duration(rapid.IntRange(0, 20).Draw(t, "wait")) * ms
				take()
			}
		}
		now += time.Minute
		take()
		if _, any := o.next(); any || gone != added {
			t.Fatalf("%d added, %d gone, more to come: %v", added, gone, any)
		}
	})
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"none":   {},
		"noname": {Hosts: []Spec{{}}},
		"twice":  {Hosts: []Spec{{Name: "a"}, {Name: "a"}}},
		"loss":   {Hosts: []Spec{{Name: "a", Loss: 1.1}}},
		"rate":   {Hosts: []Spec{{Name: "a", Up: -1}}},
	} {
		if c.check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for i := range MaxHosts {
		if got, ok := index(addr(i)); !ok || got != i {
			t.Fatalf("address %v of host %d is that of host %d", addr(i), i, got)
		}
	}
}
