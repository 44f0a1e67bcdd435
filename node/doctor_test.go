package node

import (
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"kith/network"
	"kith/network/relay"
)

// Each thing that can be wrong is found, and says what to do; a node about which nothing is known yet is not called ill.
func TestDiagnosis(t *testing.T) {
	public := []ma.Multiaddr{ma.StringCast("/ip4/11.0.0.7/tcp/4001")}
	now := built.AddDate(0, 1, 0)
	fresh := facts{listening: []network.Listener{{For: "peers", Addr: "/ip4/0.0.0.0/tcp/4001"}}, now: now, room: 1 << 40, roomKnown: true}
	with := func(change func(*facts)) facts {
		f := fresh
		change(&f)
		return f
	}
	for _, c := range []struct {
		what, check, state string
		f                  facts
	}{
		{"a fresh node", "listening", fine, fresh},
		{"a fresh node", "reachable", blank, fresh},
		{"a fresh node", "nat", blank, fresh},
		{"a fresh node", "udp", blank, fresh},
		{"a fresh node", "relays", blank, fresh},
		{"a fresh node", "overlay", blank, fresh},
		{"a fresh node", "clock", fine, fresh},
		{"a fresh node", "disk", fine, fresh},
		{"no listener", "listening", wrong, with(func(f *facts) { f.listening = nil })},
		{"reached", "reachable", fine, with(func(f *facts) { f.Reachable = public })},
		{"reached", "nat", fine, with(func(f *facts) { f.Reachable, f.Hard = public, map[string]bool{"UDP": true} })},
		{"reached", "relays", fine, with(func(f *facts) { f.Reachable = public })},
		{"behind a NAT", "reachable", weak, with(func(f *facts) { f.Unreachable = public })},
		{"behind a NAT", "relays", weak, with(func(f *facts) { f.Unreachable = public })},
		{"not reached", "relaying", blank, fresh},
		{"relaying", "relaying", fine, with(func(f *facts) { f.relaying.On = true })},
		{"relaying off", "relaying", fine, with(func(f *facts) { f.relaying.For = relay.Off })},
		{"a hard NAT", "nat", weak, with(func(f *facts) { f.Hard = map[string]bool{"UDP": true, "TCP": false} })},
		{"a soft NAT", "nat", fine, with(func(f *facts) { f.Hard = map[string]bool{"UDP": false} })},
		{"no UDP", "udp", weak, with(func(f *facts) { f.Transports = map[string]int{"tcp": 5} })},
		{"UDP", "udp", fine, with(func(f *facts) { f.Transports = map[string]int{"tcp": 5, "quic": 1} })},
		{"UDP swallowed", "udp", weak, with(func(f *facts) { f.NoUDP, f.Transports = true, map[string]int{"tcp": 1} })},
		{"IPv6 swallowed", "ipv6", weak, with(func(f *facts) { f.IPv6, f.NoIPv6 = true, true })},
		{"IPv6", "ipv6", fine, with(func(f *facts) { f.IPv6 = true })},
		{"a mapping", "router", fine, with(func(f *facts) { f.Mapped = public })},
		{"given ports", "router", fine, with(func(f *facts) { f.Given = public })},
		{"given ports behind another router", "router", weak, with(func(f *facts) { f.Given = []ma.Multiaddr{ma.StringCast("/ip4/100.64.0.2/tcp/4001")} })},
		{"UPnP off", "router", weak, fresh},
		{"UPnP on, no router", "router", blank, with(func(f *facts) { f.UPnP = true })},
		{"1970", "clock", wrong, with(func(f *facts) { f.now = time.Unix(0, 0) })},
		{"a slow clock", "clock", wrong, with(func(f *facts) { f.Signed, f.Ahead = 3, []time.Duration{time.Hour, time.Hour} })},
		{"one liar", "clock", fine, with(func(f *facts) { f.Signed, f.Ahead = 3, []time.Duration{time.Hour} })},
		{"little room", "disk", weak, with(func(f *facts) { f.room = 1 << 20 })},
		{"a fresh node", "public", blank, fresh},
		{"joined", "public", fine, with(func(f *facts) { f.public.Joined = true })},
		{"joined in vain", "public", weak, with(func(f *facts) { f.public.Joined, f.public.Error = true, "no node of the BitTorrent DHT answered" })},
		{"the quota reached", "disk", wrong, with(func(f *facts) { f.quota, f.stored = 10, 10 })},
	} {
		found := false
		for _, x := range c.f.diagnose() {
			if x.Check != c.check {
				continue
			}
			found = true
			if x.State != c.state {
				t.Errorf("%s: %s is %s: %s; want %s", c.what, c.check, x.State, x.Says, c.state)
			}
			if (x.State == wrong || x.State == weak) && x.Do == "" {
				t.Errorf("%s: %s does not say what to do", c.what, c.check)
			}
		}
		if !found {
			t.Errorf("%s: nothing about %s", c.what, c.check)
		}
	}
}
