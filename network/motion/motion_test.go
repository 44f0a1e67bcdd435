package motion

import (
	"context"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	home = netip.MustParseAddr("192.168.1.7")
	cafe = netip.MustParseAddr("10.0.0.9")
	six  = netip.MustParseAddr("2a00::7")
	t0   = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
)

func TestSince(t *testing.T) {
	at := func(awake, wall time.Duration, addrs ...netip.Addr) Reading {
		return Reading{awake, t0.Add(wall), addrs}
	}
	for _, c := range []struct {
		what     string
		old, now Reading
		want     Change
	}{
		{"nothing", at(0, 0, home), at(Every, Every, home), Change{}},
		{"a slow second", at(0, 0, home), at(9*time.Second, 9*time.Second, home), Change{}},
		{"another network", at(0, 0, home, six), at(Every, Every, cafe, six), Change{Gone: []netip.Addr{home}, Came: []netip.Addr{cafe}}},
		{"offline", at(0, 0, home), at(Every, Every), Change{Gone: []netip.Addr{home}}},
		{"a day's sleep", at(0, 0, home), at(Every, 24*time.Hour, home), Change{Slept: 24 * time.Hour}},
		{"asleep at home, awake at the café", at(0, 0, home), at(Every, time.Hour, cafe), Change{[]netip.Addr{home}, []netip.Addr{cafe}, time.Hour}},
		{"stopped", at(0, 0), at(time.Minute, time.Minute), Change{Slept: time.Minute}},
		{"the clock set a little forward", at(0, 0), at(Every, 5*time.Second), Change{}},
		{"the clock set back", at(0, 0), at(Every, -24*time.Hour), Change{}},
	} {
		if got := c.now.Since(c.old); !reflect.DeepEqual(got, c.want) || got.Any() != (len(got.Gone)+len(got.Came) > 0 || got.Slept > 0) {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

// TestRun: each change is told once, within two looks; what acting on it took is no sleep, and what moved meanwhile is not missed.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		var mu sync.Mutex // of the three
		asleep, addrs := time.Duration(0), []netip.Addr{home}
		var told []Change
		go Run(ctx, func() Reading {
			mu.Lock()
			defer mu.Unlock()
			now := time.Now()
			return Reading{now.Sub(start), now.Add(asleep).Round(0), addrs}
		}, func(c Change) {
			mu.Lock()
			told = append(told, c)
			addrs = []netip.Addr{cafe}
			mu.Unlock()
			time.Sleep(time.Minute)
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		mu.Lock()
		if len(told) != 0 {
			t.Fatalf("in a quiet hour: %+v", told)
		}
		asleep += 24 * time.Hour
		mu.Unlock()
		time.Sleep(2 * Every)
		synctest.Wait()
		mu.Lock()
		if len(told) != 1 || told[0].Slept < 24*time.Hour {
			t.Fatalf("two seconds after a day's sleep: %+v", told)
		}
		mu.Unlock()
		time.Sleep(time.Hour)
		cancel()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 2 || told[1].Slept != 0 || !reflect.DeepEqual(told[1].Came, []netip.Addr{cafe}) {
			t.Errorf("what moved meanwhile: %+v", told)
		}
	})
}

func TestAddrs(t *testing.T) {
	for _, a := range Addrs() {
		if a.IsLoopback() || a.IsLinkLocalUnicast() || a.Is4In6() {
			t.Errorf("%v", a)
		}
	}
}
