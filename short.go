package kith

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// MaxShortLen is the length that a short link never exceeds, in characters: it still makes a QR code that a
// terminal can show.
const MaxShortLen = 230

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
	shortRelay     // it is that of a relay, whose key follows
	shortSameRelay // it is another of the relay that was named last

	shortBits = shortQUIC | shortTCP | shortIP6 | shortRelay | shortSameRelay
)

// Short returns the link's short form: "kith:" and the base64url of
//
//	version (1) · flags · digest (32) · [size, uvarint] · [key (32)] · [peer's Ed25519 key (32) · {bits · IP (4|16) · port (2) · [relay's Ed25519 key (32)]}…]
//
// at most MaxShortLen characters long. It has no room for the name, for other digests, nor for more than one peer; as many of
// that peer's QUIC and TCP addresses as fit are kept: first those through relays, without which nobody gets through to who has such, then the others, in their order.
// What only other networks' names are known of has none: "".
func (l Link) Short() string {
	if l.Ref.IsZero() {
		return ""
	}
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
		slices.SortStableFunc(addrs, func(a, b place) int { return cmp.Compare(len(b.relay), len(a.relay)) })
		var named []byte // the relay whose key is in b
		for _, a := range addrs {
			text := a.text(named)
			if base64.RawURLEncoding.EncodedLen(len(b)+len(text)) > MaxShortLen-len(shortScheme) {
				continue
			}
			if b = append(b, text...); a.relay != nil {
				named = a.relay
			}
		}
	}
	return shortScheme + base64.RawURLEncoding.EncodeToString(b)
}

// A place is an address in a short link.
type place struct {
	bits  byte // shortQUIC and shortTCP
	at    netip.AddrPort
	relay []byte // its Ed25519 key, if at is the relay's; else nil
}

// text returns what stands for p in a link in which the key of a relay stands already.
func (p place) text(named []byte) []byte {
	bits := p.bits
	if p.at.Addr().Is6() {
		bits |= shortIP6
	}
	var key []byte
	switch {
	case p.relay == nil:
	case bytes.Equal(p.relay, named):
		bits |= shortSameRelay
	default:
		bits, key = bits|shortRelay, p.relay
	}
	b := append([]byte{bits}, p.at.Addr().AsSlice()...)
	return append(binary.BigEndian.AppendUint16(b, p.at.Port()), key...)
}

// shortPeer returns the raw Ed25519 key of the first peer that addrs name, and where it is; nil if there is none.
func shortPeer(addrs []multiaddr.Multiaddr) (key []byte, out []place) {
	var who peer.ID
	for _, a := range addrs {
		rest, id := peer.SplitAddr(a)
		if id == "" || who != "" && id != who {
			continue
		}
		if who == "" {
			if key = rawKey(id); key == nil {
				continue
			}
			who = id
		}
		p, ok := shortAddr(rest)
		if !ok {
			continue
		}
		same := func(q place) bool { return q.at == p.at && bytes.Equal(q.relay, p.relay) }
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i].bits |= p.bits
		} else {
			out = append(out, p)
		}
	}
	return key, out
}

// rawKey returns the Ed25519 key that a peer id is made of, or nil.
func rawKey(id peer.ID) []byte {
	pub, err := id.ExtractPublicKey()
	if err != nil || pub.Type() != crypto.Ed25519 {
		return nil
	}
	key, err := pub.Raw()
	if err != nil {
		return nil
	}
	return key
}

// shortAddr returns the place of a, if a is exactly /ip*/tcp or /ip*/udp/quic-v1, or one of these and /p2p/RELAY/p2p-circuit.
func shortAddr(a multiaddr.Multiaddr) (p place, ok bool) {
	if n := len(a); n > 2 && a[n-1].Code() == multiaddr.P_CIRCUIT {
		to, id := peer.SplitAddr(a[:n-1])
		if p.relay = rawKey(id); p.relay == nil {
			return p, false
		}
		a = to
	}
	if len(a) < 2 {
		return p, false
	}
	ip, err := netip.ParseAddr(a[0].Value())
	if err != nil {
		return p, false
	}
	port, err := strconv.ParseUint(a[1].Value(), 10, 16)
	if err != nil {
		return p, false
	}
	switch {
	case len(a) == 2 && a[1].Code() == multiaddr.P_TCP:
		p.bits = shortTCP
	case len(a) == 3 && a[1].Code() == multiaddr.P_UDP && a[2].Code() == multiaddr.P_QUIC_V1:
		p.bits = shortQUIC
	default:
		return p, false
	}
	p.at = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	return p, true
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
	id, err := peerOf(b[:32])
	if err != nil {
		return nil, err
	}
	var addrs []multiaddr.Multiaddr
	relay := ""
	for b = b[32:]; len(b) > 0; {
		bits, n, proto := b[0], 4, "ip4"
		if bits&shortIP6 != 0 {
			n, proto = 16, "ip6"
		}
		if len(b) < 1+n+2 || bits&(shortQUIC|shortTCP) == 0 || bits&^shortBits != 0 {
			return nil, Invalid
		}
		ip, _ := netip.AddrFromSlice(b[1 : 1+n])
		port := binary.BigEndian.Uint16(b[1+n:])
		b = b[1+n+2:]
		end := "/p2p/" + id
		switch bits & (shortRelay | shortSameRelay) {
		case shortRelay | shortSameRelay:
			return nil, Invalid
		case shortRelay:
			if len(b) < 32 {
				return nil, Invalid
			}
			if relay, err = peerOf(b[:32]); err != nil {
				return nil, err
			}
			b = b[32:]
			fallthrough
		case shortSameRelay:
			if relay == "" {
				return nil, Invalid
			}
			end = "/p2p/" + relay + "/p2p-circuit" + end
		}
		for _, t := range []struct {
			bit  byte
			tail string
		}{{shortQUIC, "udp/%d/quic-v1"}, {shortTCP, "tcp/%d"}} {
			if bits&t.bit == 0 {
				continue
			}
			a, err := multiaddr.NewMultiaddr("/" + proto + "/" + ip.String() + "/" + fmt.Sprintf(t.tail, port) + end)
			if err != nil {
				return nil, err
			}
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 { // the peer alone: the overlay may know where it is
		a, err := multiaddr.NewMultiaddr("/p2p/" + id)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// peerOf returns the peer id that is made of an Ed25519 key.
func peerOf(key []byte) (string, error) {
	pub, err := crypto.UnmarshalEd25519PublicKey(key)
	if err != nil {
		return "", err
	}
	id, err := peer.IDFromPublicKey(pub)
	return id.String(), err
}
