package farewell

import (
	"fmt"
	"testing"
)

// Whoever was told that this node has left hears no more until it is there again; others are told as before.
func TestTell(t *testing.T) {
	var b Book
	for i, c := range []struct {
		tracker      string
		there, stops bool
		want         bool
	}{
		{"a", true, false, true},
		{"a", false, true, true},
		{"a", false, false, false},
		{"a", false, true, false},
		{"b", false, true, true},
		{"a", true, false, true},
		{"a", true, true, true},
		{"a", false, false, true}, // a torrent by a name that is not known yet
		{"a", false, true, true},
		{"a", false, false, false},
	} {
		if got := b.Tell(c.tracker, "torrent", c.there, c.stops); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	for i := range 2 * most {
		b.Tell(fmt.Sprint(i), "torrent", false, true)
	}
	if len(b.told) > most {
		t.Errorf("%d are remembered", len(b.told))
	}
}
