// Package udp is the socket on which answers of UDP trackers (BEP 15) come as the library survives them.
package udp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kith"
	"kith/bridge/bittorrent/farewell"
	"kith/bridge/bittorrent/metainfo"
	"kith/internal/lan"
)

const maxAsked = 256 // announcements whose answers are waited for

// Swarms is what of the node a socket has to know.
type Swarms interface {
	// There reports whether the node takes part in a torrent.
	There(kith.InfoHash) bool
	// Named hears whom a tracker names.
	Named(kith.InfoHash, []netip.AddrPort)
}

// Options of a socket.
type Options struct {
	V6     bool
	Min    time.Duration // between two announcements, whatever a tracker says …
	Max    time.Duration // … and at most
	After  time.Duration // a farewell, until it is told that the node is there again: the library keeps the interval
	Left   *farewell.Book
	Swarms Swarms
}

// sent is an announcement.
type sent struct {
	hash  kith.InfoHash
	stops bool
}

// A Conn is a net.PacketConn by which the library asks UDP trackers.
type Conn struct {
	net.PacketConn
	o Options

	mu    sync.Mutex
	asked map[uint32]sent // by transaction
	own   []answer        // of this socket itself, in place of a tracker that was told that this node has left
}

// An answer of a tracker, or in its place.
type answer struct {
	p    []byte
	from net.Addr
}

// New returns what asks by a socket.
func New(c net.PacketConn, o Options) *Conn {
	return &Conn{PacketConn: c, o: o, asked: map[uint32]sent{}}
}

// WriteTo implements net.PacketConn.
func (u *Conn) WriteTo(p []byte, to net.Addr) (int, error) {
	const action, transaction, hash, event, header = 8, 12, 16, 80, 98 // of an announcement: connection, action 1, transaction, infohash, …
	if len(p) >= header && binary.BigEndian.Uint32(p[action:]) == 1 {
		h := kith.InfoHash(p[hash:])
		stops := binary.BigEndian.Uint32(p[event:]) == 3
		if !u.o.Left.Tell(to.String(), string(h[:]), u.o.Swarms.There(h), stops) {
			return len(p), u.say(binary.BigEndian.Uint32(p[transaction:]), to)
		}
		u.mu.Lock()
		if len(u.asked) >= maxAsked { // of which some were never answered
			clear(u.asked)
		}
		u.asked[binary.BigEndian.Uint32(p[transaction:])] = sent{h, stops}
		u.mu.Unlock()
	}
	return u.PacketConn.WriteTo(p, to)
}

// say has the library read that all is well, and nobody there. An error it would take for the tracker's, and wait twice as long after each.
func (u *Conn) say(transaction uint32, to net.Addr) error {
	p := binary.BigEndian.AppendUint32(nil, 1)
	p = binary.BigEndian.AppendUint32(p, transaction)
	p = binary.BigEndian.AppendUint32(p, uint32(u.o.After.Seconds()))
	p = append(p, make([]byte, 8)...) // leechers, seeders
	u.mu.Lock()
	defer u.mu.Unlock()
	u.own = append(u.own, answer{p, to})
	return u.SetReadDeadline(time.Now()) // whoever reads looks what there is
}

// read returns the next answer.
func (u *Conn) read(p []byte) (int, net.Addr, error) {
	for {
		u.mu.Lock()
		if len(u.own) > 0 {
			a := u.own[0]
			u.own = u.own[1:]
			u.mu.Unlock()
			return copy(p, a.p), a.from, nil
		}
		err := u.SetReadDeadline(time.Time{})
		u.mu.Unlock()
		if err != nil {
			return 0, nil, err
		}
		n, from, err := u.PacketConn.ReadFrom(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, from, err
		}
	}
}

// ReadFrom implements net.PacketConn.
func (u *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	var peers []netip.AddrPort
	n, from, err := u.read(p)
	if a, ok := from.(*net.UDPAddr); ok && err == nil {
		if n, peers = u.o.tame(p[:n], lan.Local(a.AddrPort().Addr())); n >= 20 && binary.BigEndian.Uint32(p) == 1 {
			const transaction, every = 4, 8
			u.mu.Lock()
			of, known := u.asked[binary.BigEndian.Uint32(p[transaction:])]
			u.mu.Unlock()
			if known {
				u.o.Swarms.Named(of.hash, peers)
			}
			if of.stops {
				binary.BigEndian.PutUint32(p[every:], uint32(u.o.After.Seconds()))
			}
		}
	}
	return n, from, err
}

// tame puts an answer right, in place, and returns how long it then is, and the peers in it; inside: the tracker is in the local network, and knows who else is there.
func (o Options) tame(p []byte, inside bool) (n int, peers []netip.AddrPort) {
	const action, header = 1, 20 // of an announcement: action, transaction, interval, leechers, seeders
	if len(p) < header || binary.BigEndian.Uint32(p) != action {
		return len(p), nil
	}
	every := int64(int32(binary.BigEndian.Uint32(p[8:])))
	binary.BigEndian.PutUint32(p[8:], uint32(min(max(every, int64(o.Min.Seconds())), int64(o.Max.Seconds()))))
	size := 4
	if o.V6 {
		size = 16
	}
	at := map[netip.Addr]int{}
	n = header
	for b := p[header:]; len(b) >= size+2; b = b[size+2:] {
		addr, _ := netip.AddrFromSlice(b[:size])
		if at[addr]++; at[addr] > metainfo.PerAddress || !inside && lan.Local(addr) {
			continue
		}
		n += copy(p[n:], b[:size+2])
		if port := binary.BigEndian.Uint16(b[size:]); port != 0 && len(peers) < metainfo.MaxPeers {
			peers = append(peers, netip.AddrPortFrom(addr, port))
		}
	}
	return n, peers
}
