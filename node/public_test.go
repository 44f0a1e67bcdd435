package node

import (
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"kith/people"
)

// Contacts are looked for on mainline when nothing else has found them for a while, those who were there last first, and not for ever.
func TestLost(t *testing.T) {
	now := time.Unix(1e9, 0)
	started := now.Add(-24 * time.Hour)
	device := func(id string, gone time.Duration) people.Device {
		return people.Device{Peer: peer.ID(id), Seen: now.Add(-gone)}
	}
	list := []people.Contact{
		{Name: "Anna", Devices: []people.Device{device("just gone", 10*time.Minute), device("gone", time.Hour), device("here", time.Hour)}},
		{Name: "Ben", Devices: []people.Device{device("long gone", 30*24*time.Hour), device("given up", 61*24*time.Hour), {Peer: "never seen"}, device("newer", 20*time.Minute)}},
	}
	here := func(id peer.ID) bool { return id == "here" }
	if got := lost(list, here, started, now); !slices.Equal(got, []peer.ID{"newer", "gone", "long gone"}) {
		t.Errorf("%q", got)
	}
	if got := lost(list, here, now.Add(-time.Minute), now); len(got) > 0 {
		t.Errorf("a minute after the start: %q", got)
	}
	var many people.Contact
	for i := range 100 {
		many.Devices = append(many.Devices, device(string(rune('a'+i)), time.Hour))
	}
	if got := lost([]people.Contact{many}, here, started, now); len(got) != maxLost {
		t.Errorf("%d devices, at most %d", len(got), maxLost)
	}
}

func TestPublicSays(t *testing.T) {
	now := time.Unix(1e9, 0)
	at := func(ago time.Duration) *time.Time { x := now.Add(-ago); return &x }
	for want, o := range map[string]PublicOut{
		"not joined: it looks for nobody":                                                     {},
		"looking for other nodes: asked 34 DHT nodes, 5 candidates, 2 Kith nodes found":       {Asking: true, Asked: 34, Candidates: 5, Found: 2},
		"joined; 1 min ago: asked 1 DHT node, 0 candidates, 0 Kith nodes found":               {Joined: true, Asked: 1, Ended: at(time.Minute)},
		"joined, and it looks for more: asked 1 DHT node, 1 candidate, 1 Kith node found":     {Joined: true, Asking: true, Asked: 1, Candidates: 1, Found: 1},
		"joined; just now: asked 1 DHT node, 0 candidates, 0 Kith nodes found":                {Joined: true, Asked: 1, Ended: at(time.Millisecond)},
		"joined, findable (told the BitTorrent DHT 2 min ago)":                                {Joined: true, Told: at(2 * time.Minute)},
		"no node of the BitTorrent DHT answered":                                              {Joined: true, Ended: at(time.Minute), Error: "no node of the BitTorrent DHT answered"},
		"not joined; 1 min ago: asked 60 DHT nodes, 1 candidate, 1 Kith node found":           {Asked: 60, Candidates: 1, Found: 1, Ended: at(time.Minute)},
		"this network is private":                                                             {Off: "this network is private", Joined: true},
		"joined; 1 min ago: asked 3 DHT nodes, 0 candidates, 0 Kith nodes found (with peers)": {Joined: true, Asked: 3, Peers: 1, Ended: at(time.Minute), Error: "no node answered"},
	} {
		if got := o.says(now); got != want && got+" (with peers)" != want {
			t.Errorf("%+v says %q, want %q", o, got, want)
		}
	}
}
