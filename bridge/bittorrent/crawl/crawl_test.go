package crawl

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith"
	"kith/bridge/bittorrent/metainfo"
)

// A node is asked once in the time that it says, who does not answer is forgotten, and of what is heard each torrent is looked into once.
func TestGentle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked, learned := map[netip.AddrPort][]time.Time{}, map[kith.InfoHash]int{}
		at := func(n int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 1)
		}
		c := New(Options{
			Start: func() []netip.AddrPort { return []netip.AddrPort{at(0)} },
			Sample: func(_ context.Context, p netip.AddrPort, _ kith.InfoHash) (Answer, error) {
				mu.Lock()
				defer mu.Unlock()
				asked[p] = append(asked[p], time.Now())
				if p == at(1) {
					return Answer{}, errors.New("it does not answer")
				}
				var many []kith.InfoHash
				for i := range 500 {
					many = append(many, kith.InfoHash{byte(p.Addr().As4()[3]), byte(i), byte(i >> 8)})
				}
				return Answer{Hashes: many, Every: time.Hour, Nodes: []netip.AddrPort{at(1), at(2)}}, nil
			},
			Known: func(h kith.InfoHash) bool { return h[1] == 7 },
			Learn: func(_ context.Context, h kith.InfoHash) error {
				mu.Lock()
				learned[h]++
				mu.Unlock()
				time.Sleep(3 * time.Second)
				return nil
			},
		})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Minute)
		defer cancel()
		c.Run(ctx)
		for _, n := range []int{0, 2} {
			if list := asked[at(n)]; len(list) != 3 || list[1].Sub(list[0]) < time.Hour {
				t.Errorf("node %d was asked at %v", n, list)
			}
		}
		if n := len(asked[at(1)]); n > 6 { // it is named again each time
			t.Errorf("who does not answer was asked %d times", n)
		}
		if len(learned) != 2*(MaxSample-1) {
			t.Errorf("%d were looked into", len(learned))
		}
		for h, n := range learned {
			if n != 1 || h[1] == 7 {
				t.Errorf("%x was looked into %d times", h[:4], n)
			}
		}
	})
}

// However many nodes are named, some are kept in mind, and all of these are asked before one is asked again.
func TestMany(t *testing.T) {
	n := 0
	c := New(Options{Start: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:1")} }})
	now := time.Unix(1e9, 0)
	seen := map[netip.AddrPort]int{}
	for range 5000 {
		now = now.Add(Pause)
		at, ok := c.next(now)
		if !ok {
			continue
		}
		seen[at]++
		var a Answer
		for range 8 {
			n++
			a.Nodes = append(a.Nodes, netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), 1))
		}
		a.Every = time.Hour
		c.answered(at, a, nil, now)
		if s := c.Stats(); s.Nodes > maxNodes || len(c.at) != s.Nodes {
			t.Fatalf("%+v, %d", s, len(c.at))
		}
	}
	if len(seen) < 4900 {
		t.Errorf("%d nodes were asked in 5000 questions", len(seen))
	}
}

// peer answers who asks for metadata.
func peer(t *testing.T, serve func(c net.Conn, h kith.InfoHash)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var hello [68]byte
				if _, err := io.ReadFull(c, hello[:]); err == nil {
					serve(c, kith.InfoHash(hello[28:48]))
				}
				c.(*net.TCPConn).CloseWrite() // what it said arrives before it goes
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

func greet(c net.Conn, h kith.InfoHash, p metainfo.Hello) {
	c.Write(append(append([]byte(protocol+"\x00\x00\x00\x00\x00\x10\x00\x00"), h[:]...), "-XX0000-abcdefghijkl"...))
	c.Write(binary.BigEndian.AppendUint32(nil, 0))                                         // keep-alive
	c.Write(append(binary.BigEndian.AppendUint32(nil, 200_001), make([]byte, 200_001)...)) // of a type that nobody knows, and long
	c.Write(message(0, p.Encode()))
}

// Metadata comes in parts, in any order, between other messages; whoever sends something else is told from who does not.
func TestMetadata(t *testing.T) {
	raw := make([]byte, 2*metainfo.ExchangeSize+77)
	for i := range raw {
		raw[i] = byte(i * i >> 7)
	}
	h := kith.InfoHash(sha1.Sum(raw))
	part := func(c net.Conn, data []byte, i int) {
		end := min(len(data), (i+1)*metainfo.ExchangeSize)
		c.Write(message(ours, metainfo.Exchange{Type: metainfo.ExchangeData, Piece: i, Total: len(data), Data: data[i*metainfo.ExchangeSize : end]}.Encode()))
	}
	wrong := slices.Clone(raw)
	wrong[len(wrong)-1]++
	for name, tt := range map[string]struct {
		serve func(c net.Conn, h kith.InfoHash)
		kind  kith.Kind // "": it is had
	}{
		"all of it": {func(c net.Conn, h kith.InfoHash) {
			greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)})
			for _, i := range []int{2, 0, 0, 1} {
				part(c, raw, i)
			}
		}, kith.Internal},
		"another torrent's": {func(c net.Conn, h kith.InfoHash) {
			greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)})
			for i := range 3 {
				part(c, wrong, i)
			}
		}, kith.Corrupt},
		"a part that is too short": {func(c net.Conn, h kith.InfoHash) {
			greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)})
			c.Write(message(ours, metainfo.Exchange{Type: metainfo.ExchangeData, Piece: 0, Total: len(raw), Data: []byte("x")}.Encode()))
		}, kith.Unavailable},
		"a part behind the end": {func(c net.Conn, h kith.InfoHash) {
			greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)})
			c.Write(message(ours, metainfo.Exchange{Type: metainfo.ExchangeData, Piece: 3, Total: len(raw), Data: raw[:metainfo.ExchangeSize]}.Encode()))
		}, kith.Unavailable},
		"a part before it says how much": {func(c net.Conn, h kith.InfoHash) {
			c.Write(append(append([]byte(protocol+"\x00\x00\x00\x00\x00\x10\x00\x00"), h[:]...), "-XX0000-abcdefghijkl"...))
			part(c, raw, 0)
		}, kith.Unavailable},
		"a rejection": {func(c net.Conn, h kith.InfoHash) {
			greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)})
			c.Write(message(ours, metainfo.Exchange{Type: metainfo.ExchangeReject}.Encode()))
		}, kith.Unavailable},
		"too much": {func(c net.Conn, h kith.InfoHash) { greet(c, h, metainfo.Hello{ID: 9, Size: 1 << 30}) }, kith.Unavailable},
		"none":     {func(c net.Conn, h kith.InfoHash) { greet(c, h, metainfo.Hello{}) }, kith.Unavailable},
		"a long message": {func(c net.Conn, h kith.InfoHash) {
			greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)})
			c.Write([]byte{255, 255, 255, 255})
		}, kith.TooLarge},
		"messages without end": {func(c net.Conn, h kith.InfoHash) {
			greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)})
			for range 2 * maxMessages {
				c.Write([]byte{0, 0, 0, 0})
			}
		}, kith.TooLarge},
		"another protocol":   {func(c net.Conn, h kith.InfoHash) { fmt.Fprintf(c, "HTTP/1.1 400 Bad Request\r\n\r\n%0100d", 0) }, kith.Unavailable},
		"another infohash":   {func(c net.Conn, h kith.InfoHash) { greet(c, kith.InfoHash{1}, metainfo.Hello{ID: 9, Size: 1}) }, kith.Unavailable},
		"an end of a sudden": {func(c net.Conn, h kith.InfoHash) { greet(c, h, metainfo.Hello{ID: 9, Size: len(raw)}) }, kith.Internal},
	} {
		c, err := net.Dial("tcp", peer(t, tt.serve))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Metadata(t.Context(), c, h)
		c.Close()
		switch {
		case name == "all of it":
			if err != nil || string(got) != string(raw) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		case err == nil || kith.KindOf(err) != tt.kind:
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who says nothing is left when whoever waits has had enough.
func TestSilent(t *testing.T) {
	c, err := net.Dial("tcp", peer(t, func(c net.Conn, h kith.InfoHash) { io.Copy(io.Discard, c) }))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		time.Sleep(50 * time.Millisecond)
		cancel()
	}()
	if _, err := Metadata(ctx, c, kith.InfoHash{}); err == nil {
		t.Error("it has it")
	}
}
