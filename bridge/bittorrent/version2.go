package bittorrent

import (
	"reflect"
	"unsafe"

	"github.com/anacrolix/torrent"
)

// speaksV2 has the library take a peer for one that knows version 2, which it may be asked for digests then. The library does so only for whom it met after it had read
// the metadata. Where the infohash that both named is one of version 2 and of no other, whoever answered to it knows version 2, though the library has no way to be told
// of it: a torrent that is known by that infohash alone is taken for one of version 1 until then. To meet all peers anew is what is left without it (see again), and a
// peer may not have noticed that the first connection has ended, and then refuses the second. It is called while the library holds its lock.
func speaksV2(pc *torrent.PeerConn) {
	if f := reflect.ValueOf(pc).Elem().FieldByName("v2"); f.IsValid() && f.Kind() == reflect.Bool {
		*(*bool)(unsafe.Pointer(f.UnsafeAddr())) = true
	}
}
