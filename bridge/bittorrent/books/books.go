// Package books changes what the BitTorrent library decides of a connection and has no setting for, in its own books. It knows nothing of torrents, or of Kith. SpeaksV2 and
// Choked are called while the library holds its lock. Should a version of the library keep those books otherwise, nothing is done; the tests see that then.
package books

import (
	"reflect"
	"unsafe"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/peer_protocol"
)

// book returns an entry of the library's books of a connection, nil if there is none of that name.
func book(pc *torrent.PeerConn, name string) *bool {
	f := reflect.ValueOf(pc).Elem().FieldByName(name)
	if !f.IsValid() || f.Kind() != reflect.Bool {
		return nil
	}
	return (*bool)(unsafe.Pointer(f.UnsafeAddr()))
}

// SpeaksV2 has the library take a peer for one that knows version 2, which it may be asked for digests then. Where the infohash that both named is one of version 2 and of no other, whoever
// answered to it knows version 2, though the library has no way to be told of it.
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

// SetInfo has the library know what a torrent consists of, though its infohash is that of something else: see view in package bittorrent. It is found by the infohashes of raw, of the
// versions that v1 and v2 say, and peers are told that the metadata is as long; nothing else of it is read. Those that it is connected to are taken for ones that know version 2 if the torrent
// has no other. A torrent that has ended, or that is known already, stays as it is.
func SetInfo(cl *torrent.Client, t *torrent.Torrent, in *metainfo.Info, raw []byte, v1, v2 bool) error {
	conns := t.PeerConns()
	lock(cl)
	defer unlock(cl)
	select {
	case <-t.Closed():
		return nil
	default:
	}
	if t.Info() != nil {
		return nil
	}
	if err := hashInfoBytes(t, raw, versions(v1, v2)); err != nil {
		return err
	}
	if err := setInfo(t, in); err != nil {
		return err
	}
	if b := told(t); b != nil {
		*b = raw
	}
	if in.HasV2() && !in.HasV1() {
		for _, pc := range conns {
			SpeaksV2(pc)
		}
	}
	onSetInfo(t)
	return nil
}

// Write sends a peer a message.
func Write(cl *torrent.Client, pc *torrent.PeerConn, m peer_protocol.Message) {
	lock(cl)
	defer unlock(cl)
	write(pc, m)
}

// versions is metadata of which nothing is known but its versions.
func versions(v1, v2 bool) *metainfo.Info {
	in := new(metainfo.Info)
	if v2 {
		in.MetaVersion = 2
	}
	if v1 {
		in.Length = 1
	}
	return in
}

// told is where the library keeps the metadata of a torrent; nil: elsewhere.
func told(t *torrent.Torrent) *[]byte {
	f := reflect.ValueOf(t).Elem().FieldByName("metadataBytes")
	if !f.IsValid() || f.Type() != reflect.TypeFor[[]byte]() {
		return nil
	}
	return (*[]byte)(unsafe.Pointer(f.UnsafeAddr()))
}

// What SetInfo and Write do as the library does it; these are its own.

//go:linkname lock github.com/anacrolix/torrent.(*Client).lock
func lock(*torrent.Client)

//go:linkname unlock github.com/anacrolix/torrent.(*Client).unlock
func unlock(*torrent.Client)

//go:linkname hashInfoBytes github.com/anacrolix/torrent.(*Torrent).hashInfoBytes
func hashInfoBytes(*torrent.Torrent, []byte, *metainfo.Info) error

//go:linkname setInfo github.com/anacrolix/torrent.(*Torrent).setInfo
func setInfo(*torrent.Torrent, *metainfo.Info) error

//go:linkname onSetInfo github.com/anacrolix/torrent.(*Torrent).onSetInfo
func onSetInfo(*torrent.Torrent)

//go:linkname write github.com/anacrolix/torrent.(*PeerConn).write
func write(*torrent.PeerConn, peer_protocol.Message) bool
