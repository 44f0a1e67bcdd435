package kith

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// MaxShortLen is the length that a short link never exceeds, in characters: it still makes a QR code that a
// terminal can show.
const MaxShortLen = 200

const (
	shortScheme  = "kith:"
	shortVersion = 1
)

// Flags of a short link.
const (
	shortManifest = 1 << iota // the Ref names a folder
	shortKeyed                // a key follows
	shortSized                // a size follows
	shortPeered               // a peer and its addresses follow
)

// Bits of an address in a short link.
const (
	shortQUIC = 1 << iota
	shortTCP
	shortIP6
)

// Short returns the link's short form: "kith:" and the base64url of
//
//	version (1) · flags · digest (32) · [size, uvarint] · [key (32)] · [peer's Ed25519 key (32) · {bits · IP (4|16) · port (2)}…]
//
// at most MaxShortLen characters long. It has no room for the name, for other digests, nor for more than one peer; as many of
// that peer's QUIC and TCP addresses as fit are kept, in their order.
func (l Link) Short() string {
	b := []byte{shortVersion, 0}
	b = append(b, l.Ref.Sum[:]...)
	if l.Ref.Codec == Manifest {
		b[1] |= shortManifest
	}
	if l.Size >= 0 {
		b[1] |= shortSized
		b = binary.AppendUvarint(b, uint64(l.Size))
	}
	if l.Key != nil {
		b[1] |= shortKeyed
		b = append(b, l.Key...)
	}
	if key, addrs := shortPeer(l.Peers); key != nil {
		b[1] |= shortPeered
		b = append(b, key...)
		for _, a := range addrs {
			if base64.RawURLEncoding.EncodedLen(len(b)+len(a)) > MaxShortLen-len(shortScheme) {
				break
			}
			b = append(b, a...)
		}
	}
	return shortScheme + base64.RawURLEncoding.EncodeToString(b)
}

// shortPeer returns the raw Ed25519 key of the first peer that addrs name, and its addresses in the form they take in a
// short link; nil if there is none.
func shortPeer(addrs []multiaddr.Multiaddr) (key []byte, out [][]byte) {
	var who peer.ID
	at := map[netip.AddrPort]int{} // index into out
	for _, a := range addrs {
		rest, id := peer.SplitAddr(a)
		if id == "" || who != "" && id != who {
			continue
		}
		if who == "" {
			pub, err := id.ExtractPublicKey()
			if err != nil || pub.Type() != crypto.Ed25519 {
				continue
			}
			if key, err = pub.Raw(); err != nil {
				return nil, nil
			}
			who = id
		}
		ap, bit, ok := shortAddr(rest)
		if !ok {
			continue
		}
		if i, have := at[ap]; have {
			out[i][0] |= bit
			continue
		}
		if ap.Addr().Is6() {
			bit |= shortIP6
		}
		at[ap] = len(out)
		out = append(out, binary.BigEndian.AppendUint16(append([]byte{bit}, ap.Addr().AsSlice()...), ap.Port()))
	}
	return key, out
}

// shortAddr returns the address and transport of a, if a is exactly /ip*/tcp or /ip*/udp/quic-v1.
func shortAddr(a multiaddr.Multiaddr) (ap netip.AddrPort, bit byte, ok bool) {
	if len(a) < 2 {
		return ap, 0, false
	}
	ip, err := netip.ParseAddr(a[0].Value())
	if err != nil {
		return ap, 0, false
	}
	port, err := strconv.ParseUint(a[1].Value(), 10, 16)
	if err != nil {
		return ap, 0, false
	}
	switch {
	case len(a) == 2 && a[1].Code() == multiaddr.P_TCP:
		bit = shortTCP
	case len(a) == 3 && a[1].Code() == multiaddr.P_UDP && a[2].Code() == multiaddr.P_QUIC_V1:
		bit = shortQUIC
	default:
		return ap, 0, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), bit, true
}

func parseShort(s string) (Link, error) {
	damaged := Hint(fmt.Errorf("the short link is damaged: %w", Invalid), "copy the whole link, to its last character")
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(b) < 2+RefSize {
		return Link{}, damaged
	}
	if b[0] != shortVersion {
		return Link{}, Hint(fmt.Errorf("short link of version %d, this program knows %d: %w", b[0], shortVersion, Invalid), "update kith")
	}
	flags := b[1]
	l := Link{Ref: RawRef([RefSize]byte(b[2 : 2+RefSize])), Size: -1}
	b = b[2+RefSize:]
	if flags&shortManifest != 0 {
		l.Ref.Codec = Manifest
	}
	if flags&shortSized != 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || int64(size) < 0 {
			return Link{}, damaged
		}
		l.Size, b = int64(size), b[n:]
	}
	if flags&shortKeyed != 0 {
		if len(b) < KeySize {
			return Link{}, damaged
		}
		l.Key, b = b[:KeySize:KeySize], b[KeySize:]
	}
	if flags&shortPeered != 0 {
		if l.Peers, err = parseShortPeer(b); err != nil {
			return Link{}, damaged
		}
	} else if len(b) != 0 {
		return Link{}, damaged
	}
	return l, nil
}

func parseShortPeer(b []byte) ([]multiaddr.Multiaddr, error) {
	if len(b) < 32 {
		return nil, Invalid
	}
	pub, err := crypto.UnmarshalEd25519PublicKey(b[:32])
	if err != nil {
		return nil, err
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return nil, err
	}
	var addrs []multiaddr.Multiaddr
	for b = b[32:]; len(b) > 0; {
		bits, n, proto := b[0], 4, "ip4"
		if bits&shortIP6 != 0 {
			n, proto = 16, "ip6"
		}
		if len(b) < 1+n+2 || bits&(shortQUIC|shortTCP) == 0 {
			return nil, Invalid
		}
		ip, _ := netip.AddrFromSlice(b[1 : 1+n])
		port := binary.BigEndian.Uint16(b[1+n:])
		b = b[1+n+2:]
		for _, t := range []struct {
			bit  byte
			tail string
		}{{shortQUIC, "udp/%d/quic-v1"}, {shortTCP, "tcp/%d"}} {
			if bits&t.bit == 0 {
				continue
			}
			a, err := multiaddr.NewMultiaddr("/" + proto + "/" + ip.String() + "/" + fmt.Sprintf(t.tail, port) + "/p2p/" + id.String())
			if err != nil {
				return nil, err
			}
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 { // the peer alone: the overlay may know where it is
		a, err := multiaddr.NewMultiaddr("/p2p/" + id.String())
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}
