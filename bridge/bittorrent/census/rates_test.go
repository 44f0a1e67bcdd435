package census

import (
	"testing"
	"time"

	"github.com/anacrolix/torrent"
)

// TestRates: the rate follows what was sent in between, forgets it in a few seconds, and who is gone at once.
func TestRates(t *testing.T) {
	var r Rates
	pc, now := new(torrent.PeerConn), time.Now()
	sample := func(n int64) float64 {
		now = now.Add(time.Second)
		r.Sample(now, map[*torrent.PeerConn]int64{pc: n})
		return r.Of(pc)
	}
	if got := sample(1 << 20); got != 0 {
		t.Errorf("what was sent before it was looked at makes a rate of %v", got)
	}
	n := int64(1 << 20)
	for range 20 {
		n += 1000
		sample(n)
	}
	if got := r.Of(pc); got < 990 || got > 1000 {
		t.Errorf("1,000 bytes a second are %v", got)
	}
	for range 20 {
		sample(n)
	}
	if got := r.Of(pc); got != 0 {
		t.Errorf("nothing is %v", got)
	}
	sample(n + 1000)
	r.Sample(now, nil)
	if got := r.Of(pc); got != 0 || len(r.sent) != 0 {
		t.Errorf("who is gone is sent %v", got)
	}
}
