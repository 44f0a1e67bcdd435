package books

import (
	"testing"

	"github.com/anacrolix/torrent"
)

// TestBooks: the library keeps its books where they are looked for.
func TestBooks(t *testing.T) {
	pc := new(torrent.PeerConn)
	for _, name := range []string{"v2", "choking"} {
		if book(pc, name) == nil {
			t.Errorf("there is no %q", name)
		}
	}
	if _, kind := atWriter(); kind == nil {
		t.Error("there is nothing that wakes who writes to a peer")
	}
	Wake(pc) // nobody waits
}
