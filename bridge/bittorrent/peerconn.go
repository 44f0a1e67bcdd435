package bittorrent

import (
	"reflect"
	"unsafe"

	"github.com/anacrolix/torrent"
)

// What the library decides of a connection and has no setting for is changed in its own books. Both functions are called while it holds its lock, and do nothing should a
// version of it keep those books otherwise; tests against programs of others see that then.

// book returns an entry of the library's books of a connection, nil if there is none of that name.
func book(pc *torrent.PeerConn, name string) *bool {
	f := reflect.ValueOf(pc).Elem().FieldByName(name)
	if !f.IsValid() || f.Kind() != reflect.Bool {
		return nil
	}
	return (*bool)(unsafe.Pointer(f.UnsafeAddr()))
}

// speaksV2 has the library take a peer for one that knows version 2, which it may be asked for digests then. The library does so only for whom it met after it had read
// the metadata. Where the infohash that both named is one of version 2 and of no other, whoever answered to it knows version 2, though the library has no way to be told
// of it: a torrent that is known by that infohash alone is taken for one of version 1 until then. To meet all peers anew is what is left without it (see again), and a
// peer may not have noticed that the first connection has ended, and then refuses the second.
func speaksV2(pc *torrent.PeerConn) {
	if v2 := book(pc, "v2"); v2 != nil {
		*v2 = true
	}
}

// choked has the library believe that a peer is choked, or that it is not, though none was told. It unchokes whom it believes to be choked as soon as it would send, which a
// seed does from the first moment on. WebTorrent does not hear that before it has opened its files, and then waits for ever; so it is said to those who are interested,
// who listen.
func choked(pc *torrent.PeerConn, is bool) {
	if choking := book(pc, "choking"); choking != nil {
		*choking = is
	}
}
