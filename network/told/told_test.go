package told

import (
	"slices"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// Others are told what every node can use; what is for browsers or for this computer alone only if there is nothing else.
func TestTold(t *testing.T) {
	const id = "/p2p/12D3KooWHNRKA63skhgZnZSKAVCs4bHvhBndutYth6KCaZXXssmV"
	near := []string{"/ip4/127.0.0.1/tcp/1" + id, "/ip6/::1/udp/1/quic-v1" + id}
	far := []string{"/ip4/192.0.2.2/tcp/1" + id, "/ip6/fd00::2/udp/1/quic-v1" + id}
	browsers := []string{"/ip4/192.0.2.2/tcp/1/ws" + id, "/ip4/192.0.2.2/udp/1/quic-v1/webtransport" + id}
	relays := []string{"/ip4/11.0.0.1/tcp/1" + id + "/p2p-circuit" + id, "/ip4/11.0.0.1/udp/1/quic-v1" + id + "/p2p-circuit" + id}
	again := []string{"/ip4/11.0.0.2/tcp/1" + id + "/p2p-circuit" + id}
	const other = "/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5/p2p-circuit" + id
	second := []string{"/ip4/11.0.0.3/tcp/1" + other, "/ip4/11.0.0.3/udp/1/quic-v1" + other}
	for _, c := range []struct{ all, want []string }{
		{slices.Concat(browsers, near, far), far},
		{slices.Concat(near, browsers), near},
		{slices.Concat(relays, again, far, near), slices.Concat(relays, far)},
		{slices.Concat(relays[:1], second[:1], relays[1:], second[1:], far), slices.Concat(relays, second, far)},
		{browsers, browsers},
		{nil, nil},
		{slices.Concat(far, far, far, far, far), slices.Concat(far, far, far, far)},
	} {
		var all []ma.Multiaddr
		for _, s := range c.all {
			all = append(all, ma.StringCast(s))
		}
		var got []string
		for _, a := range Of(all) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("of %v: %v, want %v", c.all, got, c.want)
		}
	}
}
