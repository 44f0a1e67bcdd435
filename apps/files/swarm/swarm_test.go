package swarm

import (
	"strings"
	"testing"
	"time"
)

// TestText: what a terminal shows of a swarm, and nothing of what a peer calls itself that a terminal would obey.
func TestText(t *testing.T) {
	var out strings.Builder
	err := WriteSources(&out, []Source{
		{Peer: "192.0.2.1:6881", Name: "qBittorrent/4.5.2", Network: "bittorrent", Via: "utp", State: "active", Have: 0.5, Bytes: 1 << 20, Rate: 2048, Sent: 4096, UpRate: 1024, Flags: []string{"incoming", "encrypted", "it serves us"}},
		{Peer: "192.0.2.2:1", Name: "\x1b[2Jevil", Network: "bittorrent", Via: "tcp", State: "idle"},
		{Peer: "12D3KooW", State: "slow", Why: "relayed", Have: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	err = WriteTrackers(&out, []Tracker{
		{URL: "http://tracker.example/announce", Asked: now.Add(-30 * time.Second), Next: now.Add(29 * time.Minute), Peers: 1},
		{URL: "udp://tracker.example:80", Asked: now.Add(-time.Minute), Next: now.Add(2 * time.Minute), Why: "timed out"},
		{URL: "http://new.example/announce"},
		{URL: "wss://tracker.example"},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(out.String(), "\n")
	for i, want := range []string{
		"WHO HOW HAS CAME RATE SENT RATE STATE",
		"192.0.2.1:6881 (qBittorrent/4.5.2) bittorrent utp 50% 1.05 MB 2.05 kB/s 4.10 kB 1.02 kB/s active: incoming, encrypted, it serves us",
		"192.0.2.2:1 (\uFFFD[2Jevil) bittorrent tcp 0% 0 B 0 B/s 0 B 0 B/s idle",
		"12D3KooW 100% 0 B 0 B/s 0 B 0 B/s slow, relayed",
		"http://tracker.example/announce named 1 peer 30 s ago; asked again in 29 min",
		"udp://tracker.example:80 failed 1 min ago: timed out; asked again in 2 min",
		"http://new.example/announce not asked yet",
		"wss://tracker.example asked over a WebSocket",
	} {
		if line := strings.Join(strings.Fields(got[i]), " "); line != want {
			t.Errorf("line %d is\n%s\nwant\n%s", i, line, want)
		}
	}
}
