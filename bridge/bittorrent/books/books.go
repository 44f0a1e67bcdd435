// Package books changes what the BitTorrent library decides of a connection and has no setting for, in its own books. It knows nothing of torrents, or of Kith. SpeaksV2 and
// Choked are called while the library holds its lock. Should a version of the library keep those books otherwise, nothing is done; the tests see that then.
package books

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/anacrolix/torrent"
)

// book returns an entry of the library's books of a connection, nil if there is none of that name.
func book(pc *torrent.PeerConn, name string) *bool {
	f := reflect.ValueOf(pc).Elem().FieldByName(name)
	if !f.IsValid() || f.Kind() != reflect.Bool {
		return nil
	}
	return (*bool)(unsafe.Pointer(f.UnsafeAddr()))
}

// SpeaksV2 has the library take a peer for one that knows version 2, which it may be asked for digests then. The library does so only for whom it met after it had read
// the metadata. Where the infohash that both named is one of version 2 and of no other, whoever answered to it knows version 2, though the library has no way to be told
// of it: a torrent that is known by that infohash alone is taken for one of version 1 until then. To meet all peers anew is what is left without it, and a
// peer may not have noticed that the first connection has ended, and then refuses the second.
func SpeaksV2(pc *torrent.PeerConn) {
	if v2 := book(pc, "v2"); v2 != nil {
		*v2 = true
	}
}

// Choked has the library believe that a peer is choked, or that it is not, though none was told. It unchokes whom it believes to be choked as soon as it would send, which a
// seed does from the first moment on. WebTorrent does not hear that before it has opened its files, and then waits for ever; so it is said to those who are interested,
// who listen.
func Choked(pc *torrent.PeerConn, is bool) {
	if choking := book(pc, "choking"); choking != nil {
		*choking = is
	}
}

// A bellPull wakes who waits for something.
type bellPull interface{ Broadcast() }

// atWriter is where the library keeps, of a connection, what wakes the one who writes to the peer, and its type; nil: the library keeps its books otherwise.
var atWriter = sync.OnceValues(func() (uintptr, reflect.Type) {
	pc := new(torrent.PeerConn)
	writer := reflect.ValueOf(pc).Elem().FieldByName("messageWriter")
	if !writer.IsValid() || writer.Kind() != reflect.Struct {
		return 0, nil
	}
	pull := writer.FieldByName("writeCond")
	if !pull.IsValid() || !reflect.PointerTo(pull.Type()).Implements(reflect.TypeFor[bellPull]()) {
		return 0, nil
	}
	return pull.UnsafeAddr() - uintptr(unsafe.Pointer(pc)), pull.Type()
})

// Wake has the one who writes to a peer look whether there is something to ask of it, to give it or to tell it. The library does so too, but who writes looks first and then waits, and
// what comes between the two nobody hears: then nothing is asked for, or given, until there is something else to write, which may be the minute after which a peer is told that one is
// still there. It may be called with the library's lock and without.
func Wake(pc *torrent.PeerConn) {
	if off, kind := atWriter(); kind != nil {
		reflect.NewAt(kind, unsafe.Add(unsafe.Pointer(pc), off)).Interface().(bellPull).Broadcast()
	}
}
