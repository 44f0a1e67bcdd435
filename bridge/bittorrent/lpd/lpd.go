// Package lpd finds BitTorrent peers in the local network (BEP 14): it tells the network what is served or fetched here, and hears what others tell.
//
// It knows nothing of torrents but their infohashes. Its one idea: a network comes and goes, so what cannot be told now is told when it can be, and the socket is made anew when the
// addresses of this computer change.
package lpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"kith"
)

const (
	group    = "239.192.152.143:6771"
	every    = 5 * time.Minute  // between two announcements of a swarm
	again    = 10 * time.Second // from one to the next, if somebody else tells of the swarm meanwhile: he has come later, and has not heard of us
	pause    = time.Second      // between two announcements: a node with many swarms does not flood its network; and between two looks at the addresses of this computer
	maxBytes = 1400             // of a message
	many     = 20               // infohashes of one message
	retryMin = 2 * time.Second  // until it is tried again where there is no multicast, doubled each time …
	retryMax = time.Minute      // … up to this
)

// A Swarm is what others are told of. It is a key of maps.
type Swarm interface {
	// Hashes returns the infohashes of a swarm.
	Hashes() []kith.InfoHash
}

// Options say what a Finder works with. Its functions may be called at once.
type Options struct {
	Port   int                                               // at which peers are listened to
	Bind   netip.Addr                                        // whose network is spoken to; zero: the system chooses
	Swarms func() []Swarm                                    // that others may be told of
	Heard  func(hash kith.InfoHash, at netip.AddrPort) Swarm // takes a peer, and returns its swarm; nil: it is none of these
	Log    *slog.Logger
}

// Finder tells the local network of swarms, and hears of those of others.
type Finder struct {
	o      Options
	group  *net.UDPAddr
	cookie string

	mu       sync.Mutex
	told     map[Swarm]time.Time // when it last went out
	answered map[Swarm]time.Time // when it was told of once more, since somebody else had
	err      error
}

// New returns a Finder. Run runs it.
func New(o Options) *Finder {
	return &Finder{o: o, group: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(group)), cookie: rand.Text()[:8], told: map[Swarm]time.Time{}, answered: map[Swarm]time.Time{}}
}

// Err returns why nobody is looked for now; nil: somebody is.
func (f *Finder) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Run runs until ctx ends. Where there is no multicast it tries again: when the addresses of this computer change, and now and then.
func (f *Finder) Run(ctx context.Context) {
	for wait := retryMin; ctx.Err() == nil; {
		at := addresses()
		conn, err := f.listen()
		f.mu.Lock()
		f.err = err
		clear(f.told) // by another socket, perhaps of another network
		clear(f.answered)
		f.mu.Unlock()
		if err == nil {
			wait = retryMin
			f.speak(ctx, conn, at)
			continue
		}
		f.o.Log.Debug("no peers are looked for in the local network now", "op", "bittorrent", "err", err, "dur", wait)
		for until := time.Now().Add(wait); time.Now().Before(until) && slices.Equal(addresses(), at); {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		wait = min(2*wait, retryMax)
	}
}

// listen joins the group. What is told comes back too, for another node on this computer.
func (f *Finder) listen() (*net.UDPConn, error) {
	conn, err := net.ListenMulticastUDP("udp4", f.device(), f.group)
	if err != nil {
		return nil, err
	}
	if err := ipv4.NewPacketConn(conn).SetMulticastLoopback(true); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// speak tells and hears by one socket, which it closes, until ctx ends or this computer has other addresses than at.
func (f *Finder) speak(ctx context.Context, conn *net.UDPConn, at []string) {
	ended := make(chan struct{})
	go func() {
		f.hear(conn)
		close(ended)
	}()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for slices.Equal(addresses(), at) {
		f.tell(conn, time.Now())
		select {
		case <-ctx.Done():
		case <-ended:
		case <-tick.C:
			continue
		}
		break
	}
	conn.Close()
	<-ended
}

// addresses are those of this computer.
func addresses() (list []string) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		list = append(list, a.String())
	}
	slices.Sort(list)
	return list
}

// device returns the one that has the address which is listened on; nil: the system chooses.
func (f *Finder) device() *net.Interface {
	if !f.o.Bind.IsValid() {
		return nil
	}
	all, _ := net.Interfaces()
	for _, d := range all {
		addrs, _ := d.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == f.o.Bind {
				return &d
			}
		}
	}
	return nil
}

// tell tells of one swarm. What does not go out, since there is no network now, counts as not told, and is due again.
func (f *Finder) tell(conn *net.UDPConn, now time.Time) {
	s := f.next(now)
	if s == nil {
		return
	}
	for _, h := range s.Hashes() {
		if _, err := conn.WriteToUDP(message(f.o.Port, h, f.cookie), f.group); err != nil {
			return
		}
	}
	f.mu.Lock()
	f.told[s] = now
	f.mu.Unlock()
}

// next returns a swarm that is to be told of; nil: there is none now.
func (f *Finder) next(now time.Time) (found Swarm) {
	list := f.o.Swarms()
	f.mu.Lock()
	defer f.mu.Unlock()
	alive := make(map[Swarm]bool, len(list))
	for _, s := range list {
		alive[s] = true
		if at, ok := f.told[s]; found == nil && (!ok || now.Sub(at) >= every) {
			found = s
		}
	}
	for s := range f.told {
		if !alive[s] {
			delete(f.told, s)
			delete(f.answered, s)
		}
	}
	return found
}

// hear takes what others tell, until the socket is closed.
func (f *Finder) hear(conn *net.UDPConn) {
	buf := make([]byte, maxBytes)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		port, hashes, cookie, err := parse(buf[:n])
		if err != nil || cookie == f.cookie {
			continue
		}
		for _, h := range hashes {
			if s := f.o.Heard(h, netip.AddrPortFrom(from.Addr().Unmap(), port)); s != nil {
				f.again(s)
			}
		}
	}
}

// again has the local network told of a swarm once more, since somebody who has come to it has not heard of us.
func (f *Finder) again(s Swarm) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at, told := f.told[s]; told && time.Since(f.answered[s]) >= every { // or two would answer each other for ever
		f.answered[s] = time.Now()
		f.told[s] = at.Add(again - every) // it is due then
	}
}

func message(port int, hash kith.InfoHash, cookie string) []byte {
	return fmt.Appendf(nil, "BT-SEARCH * HTTP/1.1\r\nHost: %s\r\nPort: %d\r\nInfohash: %s\r\ncookie: %s\r\n\r\n\r\n", group, port, hash, cookie)
}

// parse reads an announcement. Its error is Invalid.
func parse(msg []byte) (port uint16, hashes []kith.InfoHash, cookie string, err error) {
	wrong := fmt.Errorf("lpd: that is no announcement: %w", kith.Invalid)
	rest, ok := bytes.CutPrefix(msg, []byte("BT-SEARCH * HTTP/1.1\r\n"))
	if !ok || len(msg) > maxBytes {
		return 0, nil, "", wrong
	}
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(rest))).ReadMIMEHeader()
	if err != nil {
		return 0, nil, "", wrong
	}
	n, err := strconv.ParseUint(h.Get("Port"), 10, 16)
	if err != nil || n == 0 {
		return 0, nil, "", wrong
	}
	for _, text := range h["Infohash"] {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != len(kith.InfoHash{}) || len(hashes) >= many {
			return 0, nil, "", wrong
		}
		hashes = append(hashes, kith.InfoHash(b))
	}
	return uint16(n), hashes, h.Get("Cookie"), nil
}
