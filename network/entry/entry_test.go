package entry

import (
	"net/netip"
	"testing"
)

func list(ips ...string) (out []netip.Addr) {
	for _, ip := range ips {
		out = append(out, netip.MustParseAddr(ip))
	}
	return out
}

// TestCame: who comes from the internet proves that a node can be reached; a neighbour, who crosses no firewall, does not.
func TestCame(t *testing.T) {
	links := []netip.Prefix{netip.MustParsePrefix("11.0.1.0/24"), netip.MustParsePrefix("2a00:1:2:3::/64")}
	for _, c := range []struct {
		at, from string
		want     bool
	}{
		{"11.0.1.1", "12.0.0.1", true},
		{"11.0.1.1", "::ffff:12.0.0.1", true},
		{"2a00:1:2:3::1", "2a00:9::1", true},
		{"2a00:1:2:3::1", "2a00:1:2:103::1", true}, // another customer of the same provider
		{"11.0.1.1", "11.0.1.2", false},            // on the same network
		{"2a00:1:2:3::1", "2a00:1:2:3::2", false},
		{"2a00:1:2:3::1", "2a00:1:2:4::2", false}, // on another network of the same home
		{"192.168.1.2", "12.0.0.1", false},        // which address the world knows it by is not known
		{"11.0.1.1", "192.168.1.2", false},
		{"fd00::1", "fd00::2", false},
		{"::", "2a00:9::1", false},
		{"11.0.1.1", "2a00:9::1", false},
	} {
		var e Entries
		if got := e.Came(netip.MustParseAddr(c.at), netip.MustParseAddr(c.from), links); got != c.want || e.Open() != c.want {
			t.Errorf("%s from %s: %v, open %v; want %v", c.at, c.from, got, e.Open(), c.want)
		}
	}
	var e Entries
	if e.Came(netip.Addr{}, netip.MustParseAddr("12.0.0.1"), nil) || e.Open() {
		t.Error("no address is open")
	}
}

// TestFound: doubt leaves an address open, and what was found closed, or is gone, does not.
func TestFound(t *testing.T) {
	var e Entries
	for k, step := range []struct {
		reachable, unknown []string
		want               bool
	}{
		{nil, []string{"11.0.1.1"}, false},
		{[]string{"11.0.1.1"}, []string{"2a00::1"}, true},
		{nil, []string{"11.0.1.1", "2a00::1"}, true},
		{nil, []string{"2a00::1"}, false}, // the other is closed
		{nil, []string{"11.0.1.1"}, false},
		{[]string{"2a00::1"}, nil, true},
		{[]string{"2a00::1"}, []string{"2a00::1"}, true}, // over another transport
		{nil, []string{"2a00::2"}, false},                // the computer has moved
	} {
		e.Found(list(step.reachable...), list(step.unknown...))
		if e.Open() != step.want {
			t.Errorf("step %d: open %v", k, e.Open())
		}
	}
}
