package tracker

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

func testEngine(l Limits) *engine {
	return newEngine(l.orDefault(), epoch, rand.New(rand.NewPCG(1, 2)))
}

func hashN(n int) (h Hash) { copy(h[:], fmt.Sprintf("hash %15d", n)); return h }

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func said(hash int, at string, seed bool, ev event) announce {
	a := ap(at)
	return announce{hash: hashN(hash), at: endpointOf(a), from: a.Addr(), seed: seed, event: ev, want4: 50, want6: 50}
}

func addrs(peers []peer) (all []string) {
	for _, p := range peers {
		all = append(all, netip.AddrPortFrom(p.at.addr(), p.at.port()).String())
	}
	slices.Sort(all)
	return all
}

func TestWhoIsToldOfWhom(t *testing.T) {
	for _, tt := range []struct {
		what  string
		there []announce
		asks  announce
		want  []string
	}{
		{"nobody", nil, said(1, "198.51.100.1:1", false, started), nil},
		{"others, not oneself", []announce{said(1, "198.51.100.1:1", false, started), said(1, "198.51.100.2:2", true, started), said(2, "198.51.100.3:3", true, started)},
			said(1, "198.51.100.1:1", false, update), []string{"198.51.100.2:2"}},
		{"a second client at one address", []announce{said(1, "198.51.100.1:1", false, started)}, said(1, "198.51.100.1:2", false, started), []string{"198.51.100.1:1"}},
		{"a seed of no seeds", []announce{said(1, "198.51.100.1:1", true, started), said(1, "198.51.100.2:2", false, started)},
			said(1, "198.51.100.3:3", true, started), []string{"198.51.100.2:2"}},
		{"IPv4 and IPv6", []announce{said(1, "198.51.100.1:1", true, started), said(1, "[2001:db8::1]:2", true, started)},
			said(1, "198.51.100.3:3", false, started), []string{"198.51.100.1:1", "[2001:db8::1]:2"}},
		{"who has left", []announce{said(1, "198.51.100.1:1", true, started), said(1, "198.51.100.1:1", true, stopped)}, said(1, "198.51.100.3:3", false, started), nil},
		{"a stranger of none that only neighbours reach", []announce{said(1, "192.168.1.2:1", true, started), said(1, "127.0.0.1:2", true, started), said(1, "[fd00::1]:3", true, started)},
			said(1, "198.51.100.3:3", false, started), nil},
		{"a neighbour of neighbours and strangers", []announce{said(1, "192.168.1.2:1", true, started), said(1, "127.0.0.1:2", true, started), said(1, "198.51.100.1:1", true, started)},
			said(1, "192.168.1.3:3", false, started), []string{"192.168.1.2:1", "198.51.100.1:1"}},
		{"this computer of all", []announce{said(1, "192.168.1.2:1", true, started), said(1, "127.0.0.1:2", true, started), said(1, "198.51.100.1:1", true, started)},
			said(1, "127.0.0.1:3", false, started), []string{"127.0.0.1:2", "192.168.1.2:1", "198.51.100.1:1"}},
		{"a peer beside the tracker, where the tracker was reached", []announce{said(1, "127.0.0.1:2", true, started), said(1, "[::1]:4", true, started)},
			func() announce {
				a := said(1, "192.168.1.3:3", false, started)
				a.here = netip.MustParseAddr("192.168.1.9")
				return a
			}(), []string{"192.168.1.9:2"}},
		{"as few as wanted", []announce{said(1, "198.51.100.1:1", true, started), said(1, "198.51.100.1:2", false, started), said(1, "198.51.100.1:3", true, started)},
			func() announce { a := said(1, "198.51.100.9:3", false, started); a.want4 = 0; return a }(), nil},
	} {
		e := testEngine(Limits{})
		for _, a := range tt.there {
			e.announce(epoch, a, nil)
		}
		if got := addrs(e.announce(epoch, tt.asks, nil).peers); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.what, got, tt.want)
		}
	}
}

// What is chosen is random and fair: in a swarm of 300, each is told about equally often.
func TestChoiceIsFair(t *testing.T) {
	e := testEngine(Limits{})
	for i := range 300 {
		e.announce(epoch, said(1, fmt.Sprintf("198.51.%d.%d:1", i/256, i%256), i%3 == 0, started), nil)
	}
	times := map[endpoint]int{}
	for range 6000 {
		r := e.announce(epoch, said(1, "203.0.113.1:1", false, update), nil)
		if len(r.peers) != 50 {
			t.Fatalf("%d peers", len(r.peers))
		}
		for _, p := range r.peers {
			times[p.at]++
		}
	}
	for at, n := range times {
		want := 6000 * 25 / 100 // 25 of 100 seeds
		if e.swarms[hashN(1)].index[at]>>30 == leech4 {
			want = 6000 * 25 / 200
		}
		if n < want*3/4 || n > want*5/4 {
			t.Errorf("%s was told of %d times, want about %d", at.addr(), n, want)
		}
	}
	if len(times) != 300 {
		t.Errorf("%d of 300 were told of", len(times))
	}
}

func TestLimits(t *testing.T) {
	e := testEngine(Limits{Swarms: 2, Peers: 5, SwarmPeers: 3, HostPeers: 2})
	for i := range 4 {
		e.announce(epoch, said(1, fmt.Sprintf("198.51.100.%d:1", i), false, started), nil)
	}
	if n := len(e.swarms[hashN(1)].index); n != 3 {
		t.Errorf("%d peers in a swarm of at most 3", n)
	}
	if r := e.announce(epoch, said(1, "198.51.100.9:1", false, started), nil); len(r.peers) != 3 {
		t.Errorf("one too many is told of %d others, want 3", len(r.peers))
	}
	e.announce(epoch, said(2, "198.51.100.1:1", false, started), nil)
	e.announce(epoch, said(2, "198.51.100.1:2", false, started), nil) // its third
	if n := len(e.swarms[hashN(2)].index); n != 1 {
		t.Errorf("%d peers, want 1: of one address only two are kept", n)
	}
	e.announce(epoch, said(3, "203.0.113.1:1", false, started), nil)
	if len(e.swarms) != 2 {
		t.Errorf("%d swarms, at most 2", len(e.swarms))
	}
	for i := range 9 {
		e.announce(epoch, said(2, fmt.Sprintf("203.0.113.%d:1", i), false, started), nil)
	}
	if e.peers != 5 {
		t.Errorf("%d peers, want 5", e.peers)
	}
}

func TestCompletions(t *testing.T) {
	e := testEngine(Limits{})
	e.announce(epoch, said(1, "198.51.100.1:1", false, started), nil)
	e.announce(epoch, said(1, "198.51.100.1:1", true, completed), nil)
	e.announce(epoch, said(1, "198.51.100.1:1", true, completed), nil) // once more: nothing new
	e.announce(epoch, said(1, "198.51.100.2:1", true, completed), nil) // nobody saw it begin
	if got, want := e.scrape(hashN(1)), (tally{seeds: 2, done: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The engine against a model that keeps one flat map, through announces, departures and time.
func TestEngineModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := testEngine(Limits{Expiry: 10 * time.Minute})
		type key struct {
			hash int
			at   string
		}
		type value struct {
			seed bool
			seen time.Time
		}
		model, now := map[key]value{}, epoch
		where := func(k, i int) string {
			if k == 0 {
				return fmt.Sprintf("198.51.100.%d:7", i)
			}
			return fmt.Sprintf("[2001:db8:%d::1]:7", i)
		}
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(t *rapid.T) {
				k := key{rapid.IntRange(1, 4).Draw(t, "hash"), where(rapid.IntRange(0, 1).Draw(t, "family"), rapid.IntRange(1, 40).Draw(t, "host"))}
				seed, ev := rapid.Bool().Draw(t, "seed"), event(rapid.IntRange(0, 4).Draw(t, "event"))
				r := e.announce(now, said(k.hash, k.at, seed, ev), nil)
				if ev == stopped {
					delete(model, k)
				} else {
					model[k] = value{seed, now}
				}
				seen := map[string]bool{}
				for _, p := range addrs(r.peers) {
					v, ok := model[key{k.hash, p}]
					if !ok || p == k.at || seed && v.seed || seen[p] {
						t.Fatalf("%v was told of %s", k, p)
					}
					seen[p] = true
				}
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second)
			},
			"sweep": func(t *rapid.T) {
				for range 10 {
					e.sweep(now, rapid.IntRange(1, 200).Draw(t, "budget"))
				}
				e.sweep(now, 10_000)
				maps.DeleteFunc(model, func(_ key, v value) bool { return now.Sub(v.seen) > 10*time.Minute })
			},
			"": func(t *rapid.T) {
				want := map[int]tally{}
				for k, v := range model {
					w := want[k.hash]
					if v.seed {
						w.seeds++
					} else {
						w.leeches++
					}
					want[k.hash] = w
				}
				for h := 1; h <= 4; h++ {
					got := e.scrape(hashN(h))
					got.done = 0
					if got != want[h] {
						t.Fatalf("%d: got %+v, want %+v", h, got, want[h])
					}
				}
				if e.peers != len(model) || len(e.swarms) != len(want) || len(e.order) != len(want) {
					t.Fatalf("%d peers in %d swarms (%d in order), want %d in %d", e.peers, len(e.swarms), len(e.order), len(model), len(want))
				}
				total := 0
				for _, n := range e.hosts {
					total += n
				}
				if total != len(model) {
					t.Fatalf("%d peers by host, want %d", total, len(model))
				}
				for _, s := range e.swarms {
					for ring, list := range s.rings {
						for i, p := range list {
							if s.index[p.at] != uint32(ring)<<30|uint32(i) {
								t.Fatalf("%v is not where the index says", p.at)
							}
						}
					}
				}
			},
		})
	})
}

func TestRates(t *testing.T) {
	r := newRates(Limits{Rate: 10, Burst: 5, Hosts: 2}.orDefault())
	a, b, c := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("198.51.100.3")
	ask := func(now time.Time, a netip.Addr, n int) (ok int) {
		for range n {
			if r.allow(now, a, 1) {
				ok++
			}
		}
		return ok
	}
	if n := ask(epoch, a, 9); n != 5 {
		t.Errorf("%d at once, want 5", n)
	}
	if n := ask(epoch.Add(time.Second), a, 99); n != 5 {
		t.Errorf("%d a second later, want 5: not more than at once", n)
	}
	if n := ask(epoch.Add(1200*time.Millisecond), a, 99); n != 2 {
		t.Errorf("%d after a fifth of a second, want 2", n)
	}
	if n := ask(epoch.Add(1200*time.Millisecond), b, 3); n != 3 {
		t.Errorf("another: %d, want 3", n)
	}
	if n := ask(epoch.Add(1200*time.Millisecond), netip.MustParseAddr("2001:db8::2"), 9); n != 2 {
		t.Errorf("the same household: %d, want 2", n)
	}
	if n := ask(epoch.Add(1200*time.Millisecond), c, 9) + ask(epoch.Add(1200*time.Millisecond), netip.MustParseAddr("198.51.100.4"), 9); n != 5 {
		t.Errorf("those for whom there is no place share one: %d, want 5", n)
	}
	if len(r.next) > 3 {
		t.Errorf("%d are watched", len(r.next))
	}
	if n := ask(epoch.Add(time.Minute), c, 9); n != 5 || len(r.next) != 1 {
		t.Errorf("later there is a place again: %d, %d watched", n, len(r.next))
	}
	if n := ask(epoch, netip.MustParseAddr("127.0.0.1"), 1000); n != 1000 {
		t.Errorf("this computer: %d of 1000", n)
	}
}

func BenchmarkEngineAnnounce(b *testing.B) {
	e := testEngine(Limits{SwarmPeers: 1 << 20, HostPeers: 1 << 20, Peers: 1 << 20})
	const swarms, peers = 1000, 200
	for i := range swarms * peers {
		e.announce(epoch, said(i%swarms, fmt.Sprintf("198.%d.%d.%d:1", i>>16&255, i>>8&255, i&255), i%2 == 0, started), nil)
	}
	a := said(0, "203.0.113.1:1", false, update)
	into := make([]peer, 0, maxWant)
	var hashes [swarms]Hash
	for i := range hashes {
		hashes[i] = hashN(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.hash = hashes[i%swarms]
		e.announce(epoch, a, into[:0])
	}
}
