package network

import (
	"testing"
	"time"
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
