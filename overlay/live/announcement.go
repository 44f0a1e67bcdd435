package live

import (
	"bytes"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"kith"
	"kith/wire"
)

const (
	signPrefix = "kith announcement\x00" // what is signed begins so, and nothing else that a device's key signs does

	// tolerance is by how much a clock may be off for an announcement to be passed on by others than who made it; that one is always believed.
	tolerance = 24 * time.Hour

	// placeOfPeer begins the key under which a peer announces itself, for who looks for it by its ID.
	placeOfPeer = "/peer/"
)

// An announcement says that a peer provides what a key names. Its peer signs it, so that whoever keeps it can hand it on to those that are nearer to the key
// later, and nobody can announce for another.
type announcement struct {
	Peer  []byte   `cbor:"1,keyasint"`
	At    int64    `cbor:"2,keyasint"` // seconds since 1970, by the peer's clock; of two the later one counts
	Addrs [][]byte `cbor:"3,keyasint,omitempty"`
	Sig   []byte   `cbor:"4,keyasint,omitempty"` // of signPrefix and the announcement without it, with the key in its place
}

// signed returns what is signed.
func (a announcement) signed(key []byte) ([]byte, error) {
	a.Sig = key
	b, err := wire.Marshal(a)
	return append([]byte(signPrefix), b...), err
}

// announce makes an announcement of key.
func announce(sk crypto.PrivKey, self peer.ID, key []byte, addrs []ma.Multiaddr, now time.Time) (item, error) {
	a := announcement{Peer: []byte(self), At: now.Unix(), Addrs: writeAddrs(addrs)}
	b, err := a.signed(key)
	if err == nil {
		a.Sig, err = sk.Sign(b)
	}
	if err != nil {
		return item{}, err
	}
	data, err := wire.Marshal(a)
	return item{Space: announcements, Key: key, Data: data}, err
}

// readAnnouncement reads one and checks who made it. Its error is Invalid.
func readAnnouncement(key, data []byte) (a announcement, err error) {
	if err := wire.Unmarshal(data, &a); err != nil {
		return a, err
	}
	c := contact{ID: a.Peer}
	if err := c.check(); err != nil {
		return a, err
	}
	if of, is := bytes.CutPrefix(key, []byte(placeOfPeer)); is && !bytes.Equal(of, a.Peer) {
		return a, bad("an announcement of another peer")
	}
	pub, err := peer.ID(a.Peer).ExtractPublicKey()
	if err != nil {
		return a, fmt.Errorf("live: a peer whose key is not in its name: %w", kith.Invalid)
	}
	b, err := a.signed(key)
	if err != nil {
		return a, err
	}
	if ok, err := pub.Verify(b, a.Sig); err != nil || !ok {
		return a, bad("an announcement that its peer has not signed")
	}
	return a, nil
}

// timely reports whether an announcement that another than its peer brings is of these days.
func (a announcement) timely(now time.Time) bool {
	at := time.Unix(a.At, 0)
	return at.Before(now.Add(tolerance)) && at.After(now.Add(-keepFor-tolerance))
}
