package redial

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestRedials: who does not answer is dialled again in a second, then in two, in four, and never later than in a minute; who was lost, too.
func TestRedials(t *testing.T) {
	now := time.Unix(1e9, 0)
	at, other := netip.MustParseAddrPort("192.0.2.1:6881"), netip.MustParseAddrPort("192.0.2.2:6881")
	var r List
	r.Add(at, now)
	r.Add(at, now)
	r.Add(other, now)
	var dialled []time.Duration
	begun := now
	for range 10 * 60 {
		now = now.Add(time.Second)
		for _, a := range r.Next(now, map[netip.AddrPort]bool{other: true}) {
			if a != at {
				t.Fatalf("%s is dialled, which is connected", a)
			}
			dialled = append(dialled, now.Sub(begun)/time.Second)
		}
	}
	for i, want := range []time.Duration{1, 3, 7, 15, 31, 63, 123, 183} {
		if dialled[i] != want {
			t.Fatalf("dialled after %v seconds", dialled)
		}
	}
	if list := r.Next(now.Add(time.Second), nil); len(list) != 1 || list[0] != other {
		t.Errorf("who was lost: %v is dialled", list)
	}
	for _, up := range []bool{false, true, true, false} { // who hangs up at once is not dialled as if it had been there
		now = now.Add(time.Second)
		if list := r.Next(now, map[netip.AddrPort]bool{other: up, at: true}); len(list) != 0 {
			t.Errorf("%v is dialled", list)
		}
	}
	if list := r.Next(now.Add(time.Second), map[netip.AddrPort]bool{at: true}); len(list) != 1 {
		t.Errorf("%v is dialled", list)
	}
	for i := range 2 * Many {
		r.Add(netip.AddrPortFrom(at.Addr(), uint16(i+1)), now)
	}
	if r.Len() != Many {
		t.Errorf("%d are remembered", r.Len())
	}
}

// TestNamed: whom somebody named is dialled again five times in half a minute, and then no more, unless he has answered.
func TestNamed(t *testing.T) {
	now := time.Unix(1e9, 0)
	silent, answers := netip.MustParseAddrPort("192.0.2.1:6881"), netip.MustParseAddrPort("192.0.2.2:6881")
	var l List
	l.Named([]netip.AddrPort{silent, answers}, now)
	var dialled []time.Duration
	begun, again := now, 0
	for range 10 * 60 {
		now = now.Add(time.Second)
		for _, at := range l.Next(now, map[netip.AddrPort]bool{answers: now.Sub(begun) == 5*time.Second}) {
			if at == silent {
				dialled = append(dialled, now.Sub(begun)/time.Second)
			} else {
				again++
			}
		}
	}
	if want := []time.Duration{1, 3, 7, 15, 31}; !slices.Equal(dialled, want) {
		t.Errorf("dialled after %v seconds, want %v", dialled, want)
	}
	if again <= Unproven+1 || l.Len() != 1 {
		t.Errorf("who answered is dialled %d times, and %d are remembered", again, l.Len())
	}
	for i := range 2 * Many { // names push nobody out, and one address is dialled no more often for having many ports
		at := netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
		l.Named([]netip.AddrPort{netip.AddrPortFrom(at, 1), netip.AddrPortFrom(at, 2)}, now)
	}
	if list := l.Next(now.Add(time.Hour), nil); !slices.Contains(list, answers) || len(list) != Many || slices.ContainsFunc(list, func(at netip.AddrPort) bool { return at.Port() == 2 }) {
		t.Errorf("dialled are %v", list)
	}
}
