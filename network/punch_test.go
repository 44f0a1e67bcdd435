package network

import (
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// Whom no hole leads to is tried again ever more rarely, and for as long as they are there.
func TestRoundsOfAttempts(t *testing.T) {
	var x outcome
	for n, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		if got := x.later(); got != want {
			t.Errorf("round %d comes after %v, want %v", n, got, want)
		}
	}
	x.rounds = 1 << 30
	if got := x.later(); got != punchRarest {
		t.Errorf("much later: %v", got)
	}
}

// Where only TCP passes, and after a failure, the one who asked leaves the other side time to dial first.
func TestComesAfter(t *testing.T) {
	tcp, quic := ma.StringCast("/ip4/11.0.0.1/tcp/4001"), ma.StringCast("/ip4/11.0.0.1/udp/4001/quic-v1")
	both, one := []ma.Multiaddr{tcp, quic}, []ma.Multiaddr{tcp}
	for _, c := range []struct {
		ours, theirs []ma.Multiaddr
		failed       int
		want         time.Duration
	}{
		{both, both, 0, 0},
		{both, one, 0, punchBehind},
		{one, both, 0, punchBehind},
		{one, one, 0, punchBehind},
		{one, one, 1, 2 * punchBehind},
		{both, both, 2, 2 * punchBehind},
	} {
		if got := comesAfter(c.ours, c.theirs, c.failed); got != c.want {
			t.Errorf("from %v to %v after %d failures: %v, want %v", c.ours, c.theirs, c.failed, got, c.want)
		}
	}
}
