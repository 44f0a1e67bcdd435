package bittorrent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"time"

	"kith"
)

// Peers in the local network (BEP 14).
const (
	lpdGroup = "239.192.152.143:6771"
	lpdEvery = 5 * time.Minute  // between two announcements of a swarm
	lpdAgain = 10 * time.Second // from one to the next, if somebody else tells of the swarm meanwhile: he has come later, and has not heard of us
	lpdPause = time.Second      // between two announcements: a node with many swarms does not flood its network
	lpdMax   = 1400             // bytes of a message
	lpdMany  = 20               // infohashes of one message
)

// lpd tells the local network of swarms, and hears of those of others.
type lpd struct {
	c      *client
	conn   *net.UDPConn
	group  *net.UDPAddr
	cookie string
	told   map[*swarm]time.Time // when it last went out

	answered map[*swarm]time.Time // when it was told of once more, since somebody else had
}

// runLPD runs until ctx ends. Where there is no multicast it does nothing.
func (c *client) runLPD(ctx context.Context) {
	group, err := net.ResolveUDPAddr("udp4", lpdGroup)
	if err != nil {
		return
	}
	l := &lpd{c: c, group: group, cookie: rand.Text()[:8], told: map[*swarm]time.Time{}, answered: map[*swarm]time.Time{}}
	if l.conn, err = net.ListenMulticastUDP("udp4", c.device(), group); err != nil {
		c.b.log.Debug("no peers are looked for in the local network", "op", "bittorrent", "err", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { l.conn.Close() })
	defer stop()
	go func() {
		<-c.cl.Closed()
		l.conn.Close()
	}()
	go l.hear()
	for {
		l.tell(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-c.cl.Closed():
			return
		case <-time.After(lpdPause):
		}
	}
}

// device returns the one that has the address which is listened on; nil: the system chooses.
func (c *client) device() *net.Interface {
	if !c.b.o.Bind.IsValid() {
		return nil
	}
	all, _ := net.Interfaces()
	for _, d := range all {
		addrs, _ := d.Addrs()
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == c.b.o.Bind {
				return &d
			}
		}
	}
	return nil
}

// tell tells of one swarm. What does not go out, since there is no network now, counts as not told, and is due again.
func (l *lpd) tell(now time.Time) {
	s := l.next(now)
	if s == nil {
		return
	}
	for _, h := range s.hashes() {
		if _, err := l.conn.WriteToUDP(lpdMessage(l.c.cl.LocalPort(), h, l.cookie), l.group); err != nil {
			return
		}
	}
	l.c.b.mu.Lock()
	l.told[s] = now
	l.c.b.mu.Unlock()
}

// next returns a swarm that is to be told of; nil: there is none now.
func (l *lpd) next(now time.Time) *swarm {
	l.c.b.mu.Lock()
	defer l.c.b.mu.Unlock()
	alive := map[*swarm]bool{}
	var found *swarm
	for _, s := range l.c.b.swarms {
		alive[s] = true
		if at, ok := l.told[s]; found == nil && (!ok || now.Sub(at) >= lpdEvery) && !s.private() {
			found = s
		}
	}
	for s := range l.told {
		if !alive[s] {
			delete(l.told, s)
			delete(l.answered, s)
		}
	}
	return found
}

// hear takes what others tell.
func (l *lpd) hear() {
	buf := make([]byte, lpdMax)
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		port, hashes, cookie, err := parseLPD(buf[:n])
		if err != nil || cookie == l.cookie {
			continue
		}
		for _, h := range hashes {
			if s := l.c.b.swarmOf(h); s != nil && !s.private() {
				s.hints(nil, nil, []string{netip.AddrPortFrom(from.Addr().Unmap(), port).String()})
				l.again(s)
			}
		}
	}
}

// again has the local network told of a swarm once more, since somebody who has come to it has not heard of us.
func (l *lpd) again(s *swarm) {
	l.c.b.mu.Lock()
	defer l.c.b.mu.Unlock()
	if at, told := l.told[s]; told && time.Since(l.answered[s]) >= lpdEvery { // or two would answer each other for ever
		l.answered[s] = time.Now()
		l.told[s] = at.Add(lpdAgain - lpdEvery) // it is due then
	}
}

func lpdMessage(port int, hash kith.InfoHash, cookie string) []byte {
	return fmt.Appendf(nil, "BT-SEARCH * HTTP/1.1\r\nHost: %s\r\nPort: %d\r\nInfohash: %s\r\ncookie: %s\r\n\r\n\r\n", lpdGroup, port, hash, cookie)
}

// parseLPD reads an announcement. Its error is Invalid.
func parseLPD(msg []byte) (port uint16, hashes []kith.InfoHash, cookie string, err error) {
	wrong := fmt.Errorf("bittorrent: that is no announcement: %w", kith.Invalid)
	rest, ok := bytes.CutPrefix(msg, []byte("BT-SEARCH * HTTP/1.1\r\n"))
	if !ok || len(msg) > lpdMax {
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
		if err != nil || len(b) != len(kith.InfoHash{}) || len(hashes) >= lpdMany {
			return 0, nil, "", wrong
		}
		hashes = append(hashes, kith.InfoHash(b))
	}
	return uint16(n), hashes, h.Get("Cookie"), nil
}
