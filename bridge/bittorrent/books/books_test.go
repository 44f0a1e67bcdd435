package books

import (
	"testing"

	"github.com/anacrolix/torrent"
)

// TestBooks: the library keeps its books where they are looked for.
func TestBooks(t *testing.T) {
	pc := new(torrent.PeerConn)
	for _, name := range []string{"v2", "choking", "headerEncrypted", "peerChoking", "peerInterested"} {
		if book(pc, name) == nil {
			t.Errorf("there is no %q", name)
		}
	}
	if told(new(torrent.Torrent)) == nil {
		t.Error("there is nothing that the metadata is in")
	}
}
