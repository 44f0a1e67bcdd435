package rendezvous

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2/krpc"
	"github.com/anacrolix/torrent/bencode"
	"golang.org/x/time/rate"

	"kith"
)

const id20 = "20:abcdefghij0123456789"

// messages are those of BEP 5, 32 and 43, and what must not come through.
var messages = []struct {
	in, out string // "": refused; "=": as it came
}{
	{"d1:ad2:id" + id20 + "e1:q4:ping1:t2:aa1:y1:qe", "="},
	{"d1:ad2:id" + id20 + "6:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe", "="},
	{"d1:ad2:id" + id20 + "9:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe", "="},
	{"d1:ad2:id" + id20 + "9:info_hash20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:get_peers2:roi1e1:t2:aa1:y1:qe", "="},
	{"d1:ad2:id" + id20 + "9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe", "="},
	{"d1:ad2:id" + id20 + "12:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234565:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe", "="},
	{"d1:rd2:id20:0123456789abcdefghij5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re", "="},
	{"d1:rd2:id" + id20 + "5:nodes26:0123456789abcdefghij123456e1:t2:aa1:y1:re", "="},
	{"d1:rd2:id" + id20 + "8:intervali3600e7:samples20:0123456789abcdefghije1:t2:aa1:y1:re", "="},
	{"d1:rd2:id" + id20 + "8:intervali99999e3:numi7e7:samples0:e1:t2:aa1:y1:re", "d1:rd2:id" + id20 + "7:samples0:e1:t2:aa1:y1:re"},
	{"d1:rd2:id" + id20 + "8:intervali60e7:samples19:0123456789abcdefghie1:t2:aa1:y1:re", "d1:rd2:id" + id20 + "e1:t2:aa1:y1:re"},
	{"d1:eli201e0:e1:t2:aa1:y1:ee", "="},
	{"d1:eli203e23:A Generic Error Ocurrede1:t2:aa1:v4:LT011:y1:ee", "d1:eli201e0:e1:t2:aa1:y1:ee"},
	{"d2:ip6:abcdef1:rd2:id" + id20 + "e1:t2:aa1:v4:LT011:y1:re\x00\x00", "d1:rd2:id" + id20 + "e1:t2:aa1:y1:re"},
	{"d1:rd2:id" + id20 + "6:valuesl1:x6:axje.uee1:t2:aa1:y1:re", "d1:rd2:id" + id20 + "6:valuesl6:axje.uee1:t2:aa1:y1:re"}, // on an address of one byte the library panics
	{"d1:rd2:id" + id20 + "5:nodes25:0123456789abcdefghij12345e1:t2:aa1:y1:re", "d1:rd2:id" + id20 + "e1:t2:aa1:y1:re"},
	{"d1:q13:announce_peer1:t2:aa1:y1:qe", ""}, // and on a query without arguments
	{"d1:ad2:id" + id20 + "e1:q4:join1:t2:aa1:y1:qe", ""},
	{"d1:ad2:id" + id20 + "e1:q3:put1:t2:aa1:y1:qe", ""},
	{"d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe", ""},
	{"d1:ad2:id" + id20 + "9:info_hash20:mnopqrstuvwxyz1234564:porti99999e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe", ""},
	{"d1:ad2:id" + id20 + "e1:q4:ping1:y1:qe", ""},
	{"", ""}, {"d", ""}, {"i5e", ""}, {"de", ""}, {strings.Repeat("l", 1000), ""}, {"d1:t99999999999999999999:", ""}, {strings.Repeat("d1:x", 600), ""},
}

func TestCleaned(t *testing.T) {
	for _, m := range messages {
		want := m.out
		if want == "=" {
			want = m.in
		}
		got, err := cleaned([]byte(m.in))
		if string(got) != want || (err != nil) != (m.out == "") || err != nil && !errors.Is(err, kith.Corrupt) {
			t.Errorf("%q: %q, %v", m.in, got, err)
		}
	}
	if _, err := cleaned([]byte("d1:rd2:id" + id20 + "5:token2000:" + strings.Repeat("x", 2000) + "e1:t2:aa1:y1:re")); err == nil {
		t.Error("a message of more than 2 KiB")
	}
}

// What comes through is stable, and the library reads it without an error.
func FuzzCleaned(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m.in))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := cleaned(data)
		if err != nil {
			return
		}
		if again, err := cleaned(out); err != nil || !bytes.Equal(again, out) {
			t.Errorf("%q: cleaned %q, cleaned again %q, %v", data, out, again, err)
		}
		var m krpc.Msg
		if err := bencode.Unmarshal(out, &m); err != nil {
			t.Errorf("%q: the library says %v of %q", data, err, out)
		}
	})
}

// A pipeConn is a socket whose packets come from a test.
type pipeConn struct {
	in, out chan []byte
	closed  chan struct{}
}

var elsewhere = &net.UDPAddr{IP: net.IPv4(127, 5, 5, 5), Port: 6881}

func (c *pipeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p), elsewhere, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *pipeConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	select {
	case c.out <- bytes.Clone(b):
	case <-c.closed:
	}
	return len(b), nil
}

func (c *pipeConn) Close() error                     { close(c.closed); return nil }
func (c *pipeConn) LocalAddr() net.Addr              { return &net.UDPAddr{IP: net.IPv4(127, 5, 5, 1), Port: 6881} }
func (c *pipeConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *pipeConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *pipeConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// A node that serves survives whatever comes, and answers the next question.
func FuzzServe(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m.in))
	}
	pipe := &pipeConn{make(chan []byte), make(chan []byte, 16), make(chan struct{})}
	l, err := newLeg(newSocket(pipe, true, false), false, netip.Addr{}, true, rate.NewLimiter(rate.Inf, 1))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(l.close)
	l.conn.in.SetLimit(rate.Inf)
	f.Fuzz(func(t *testing.T, data []byte) {
		pipe.in <- data
		pipe.in <- []byte(messages[0].in)
		deadline := time.After(time.Minute)
		for {
			select {
			case b := <-pipe.out:
				if bytes.HasSuffix(b, []byte("1:t2:aa1:y1:re")) {
					return
				}
			case <-deadline:
				t.Fatalf("no answer after %s", hex.EncodeToString(data))
			}
		}
	})
}

func FuzzNodes(f *testing.F) {
	f.Add(formatNodes([]dhtNode{{Infohash{1}, elsewhere.AddrPort()}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		list := parseNodes(data)
		if again := formatNodes(list); !bytes.Equal(again, data[:len(again)]) || len(list) > maxRemember {
			t.Errorf("%x gives %d nodes, which give %x", data, len(list), again)
		}
	})
}

// A closed socket ends, and an error of the system does not.
func TestSocketSurvives(t *testing.T) {
	c := &failing{PacketConn: nil, errs: []error{errors.New("connection refused"), errors.New("message too long"), net.ErrClosed}}
	s := newSocket(c, true, true)
	if _, _, err := s.ReadFrom(make([]byte, 100)); !errors.Is(err, net.ErrClosed) || len(c.errs) != 0 {
		t.Errorf("%v; %d errors were not met", err, len(c.errs))
	}
}

type failing struct {
	net.PacketConn
	errs []error
}

func (c *failing) ReadFrom([]byte) (int, net.Addr, error) {
	err := c.errs[0]
	c.errs = c.errs[1:]
	return 0, nil, err
}
