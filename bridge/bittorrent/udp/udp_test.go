package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"kith"
	"kith/bridge/bittorrent/farewell"
)

// Of what a tracker names, peers in the local network are left out unless it is there itself, and it is asked neither too often nor too seldom.
func TestTame(t *testing.T) {
	peer := func(s string) []byte {
		at := netip.MustParseAddrPort(s)
		return binary.BigEndian.AppendUint16(at.Addr().AsSlice(), at.Port())
	}
	for _, c := range []struct {
		peers    []string
		v6, here bool
		want     []string
		every    uint32
		wants    uint32
	}{
		{[]string{"10.0.0.1:22", "127.0.0.1:80", "5.6.7.8:1", "192.168.1.1:80", "100.64.0.1:1", "169.254.169.254:80"}, false, false, []string{"5.6.7.8:1"}, 900, 900},
		{[]string{"10.0.0.1:22", "5.6.7.8:1"}, false, true, []string{"10.0.0.1:22", "5.6.7.8:1"}, 0, 60},
		{[]string{"[fd00::1]:22", "[2001:db8::1]:1", "[::1]:80", "[fe80::1]:80"}, true, false, []string{"[2001:db8::1]:1"}, 1 << 31, 60},
		{nil, false, false, nil, 1<<31 - 1, 7200},
	} {
		p := make([]byte, 20)
		p[3] = 1
		binary.BigEndian.PutUint32(p[8:], c.every)
		for _, s := range c.peers {
			p = append(p, peer(s)...)
		}
		p = append(p, 7)
		n, named := Options{V6: c.v6, Min: time.Minute, Max: 2 * time.Hour}.tame(p, c.here)
		got := p[:n]
		var want []byte
		for _, s := range c.want {
			want = append(want, peer(s)...)
		}
		if string(got[20:]) != string(want) || binary.BigEndian.Uint32(got[8:]) != c.wants {
			t.Errorf("of %v: %v every %d s", c.peers, got[20:], binary.BigEndian.Uint32(got[8:]))
		}
		if fmt.Sprint(named) != fmt.Sprint(c.want) {
			t.Errorf("of %v: %v are named", c.peers, named)
		}
	}
}

// nowhere takes part in no torrent.
type nowhere struct{}

func (nowhere) There(kith.InfoHash) bool              { return false }
func (nowhere) Named(kith.InfoHash, []netip.AddrPort) {}

// A tracker that was told that this node has left hears no more, and the library has an answer in its place, whether or not it reads already: it would ask ever more seldom after errors.
func TestLeft(t *testing.T) {
	tracker, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tracker.Close()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := New(c, Options{Min: time.Minute, Max: time.Hour, After: 90 * time.Second, Left: &farewell.Book{}, Swarms: nowhere{}})
	defer u.Close()
	say := func(transaction, event uint32) {
		p := make([]byte, 98)
		binary.BigEndian.PutUint32(p[8:], 1)
		binary.BigEndian.PutUint32(p[12:], transaction)
		binary.BigEndian.PutUint32(p[80:], event)
		if n, err := u.WriteTo(p, tracker.LocalAddr()); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	hears := func(transaction uint32) {
		t.Helper()
		p := make([]byte, 2048)
		n, from, err := u.ReadFrom(p)
		if err != nil || n != 20 || from.String() != tracker.LocalAddr().String() || binary.BigEndian.Uint32(p) != 1 || binary.BigEndian.Uint32(p[4:]) != transaction || binary.BigEndian.Uint32(p[8:]) != 90 {
			t.Fatalf("%d of %v: %x, %v", n, from, p[:n], err)
		}
	}
	told := func(transaction uint32) {
		t.Helper()
		p := make([]byte, 2048)
		n, from, err := tracker.ReadFrom(p)
		if err != nil || n != 98 || binary.BigEndian.Uint32(p[12:]) != transaction {
			t.Fatalf("%d: %x, %v", n, p[:n], err)
		}
		answer := make([]byte, 20)
		answer[3] = 1
		copy(answer[4:], p[12:16])
		if _, err := tracker.WriteTo(answer, from); err != nil {
			t.Fatal(err)
		}
	}
	say(1, 3)
	told(1)
	hears(1)
	for i := range uint32(100) { // not read yet
		say(2+i, 0)
	}
	for i := range uint32(100) {
		hears(2 + i)
	}
	for i := range uint32(100) { // being read
		go func() {
			time.Sleep(time.Duration(i%5) * time.Millisecond)
			say(200+i, 3)
		}()
		hears(200 + i)
	}
	tracker.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _, err := tracker.ReadFrom(make([]byte, 2048)); err == nil {
		t.Errorf("it hears %d bytes more", n)
	}
	u.Close()
	if _, _, err := u.ReadFrom(make([]byte, 2048)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// No answer, whatever is in it, ends the process or becomes longer.
func FuzzTame(f *testing.F) {
	f.Add(binary.BigEndian.AppendUint32(nil, 1), false, false)
	f.Add(append([]byte{0, 0, 0, 1, 0, 0, 0, 9, 255, 255, 255, 255, 0, 0, 0, 1, 0, 0, 0, 1}, 5, 6, 7, 8, 0, 80, 1), false, true)
	f.Fuzz(func(t *testing.T, p []byte, v6, inside bool) {
		was := len(p)
		if n, peers := (Options{V6: v6, Min: time.Minute, Max: time.Hour}).tame(p, inside); n > was || len(peers) > was {
			t.Errorf("of %d bytes: %d and %d peers", was, n, len(peers))
		}
	})
}
