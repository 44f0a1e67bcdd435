package maddr

import (
	"slices"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

func TestRank(t *testing.T) {
	var addrs []ma.Multiaddr
	for _, s := range []string{
		"/ip4/8.8.8.8/udp/1/quic-v1", "/ip4/8.8.8.8/tcp/1", "/ip4/192.168.1.2/udp/1/webrtc-direct", "/ip4/192.168.1.2/udp/1/quic-v1",
		"/ip4/192.168.1.2/tcp/1", "/ip6/fd00::2/tcp/1", "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWJvke8nrYvuHfAPqUtauGEP9HctJ3DJA6QHS3uo6VizQV/p2p-circuit",
	} {
		addrs = append(addrs, ma.StringCast(s))
	}
	ranked := Rank(slices.Clone(addrs))
	if len(ranked) != len(addrs) {
		t.Fatalf("%d of %d addresses are tried", len(ranked), len(addrs))
	}
	at := map[string]time.Duration{}
	for _, r := range ranked {
		at[r.Addr.String()] = r.Delay
	}
	order := []int{4, 5, 3, 2}
	for i := 1; i < len(order); i++ {
		if a, b := addrs[order[i-1]].String(), addrs[order[i]].String(); at[a] >= at[b] {
			t.Errorf("%s at %v, %s at %v", a, at[a], b, at[b])
		}
	}
	if at[addrs[0].String()] <= at[addrs[4].String()] {
		t.Error("a public address goes before the local one")
	}
}

func TestGroup(t *testing.T) {
	for in, want := range map[string]string{
		"/ip4/11.1.2.3/tcp/4001":              "11.1.0.0/16",
		"/ip4/11.1.200.3/udp/4001/quic-v1":    "11.1.0.0/16",
		"/ip6/2a00:1450:4001:81b::1/tcp/4001": "2a00:1450::/32",
		"/ip4/192.168.1.2/tcp/4001":           "",
		"/ip4/127.0.0.1/tcp/4001":             "",
		"/dns4/example.org/tcp/4001":          "",
		"/ip4/11.1.2.3/tcp/4001/p2p/12D3KooWGRUrrMzMTHG7G7ZmGqhLtSQGa6D4CqdjGd4mYtcAWWLb/p2p-circuit": "",
	} {
		if got := Group(ma.StringCast(in)); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
