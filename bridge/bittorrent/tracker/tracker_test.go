package tracker

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anacrolix/torrent/bencode"
	atracker "github.com/anacrolix/torrent/tracker"
	"github.com/anacrolix/torrent/types/infohash"
)

// run returns a tracker on this computer alone that serves until the test ends, and its HOST:PORT.
func run(t testing.TB, o Options) (*Tracker, string) {
	t.Helper()
	if len(o.At) == 0 {
		o.At = loopbacks
	}
	tr, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tr, tr.Addrs()[0].String()
}

// ask has a handler answer a query as if it came from somewhere.
func ask(tr *Tracker, from, target string) string {
	r := httptest.NewRequest("GET", target, nil)
	r.RemoteAddr = from
	w := httptest.NewRecorder()
	tr.serveHTTP(w, r)
	return w.Body.String()
}

func target(hash int, port int, more string) string {
	h := hashN(hash)
	return "/announce?info_hash=" + url.QueryEscape(string(h[:])) + "&peer_id=-XX0001-123456789012&port=" + fmt.Sprint(port) + more
}

func TestHTTP(t *testing.T) {
	tr := newTracker(Options{Allow: func(h Hash) bool { return h != hashN(9) }})
	for _, tt := range []struct{ from, what, want string }{
		{"198.51.100.1:999", target(1, 6881, "&left=0"), "d8:completei1e11:external ip4:\xc6\x33\x64\x0110:incompletei0e8:intervali1200e12:min intervali120e5:peers0:e"},
		{"[2001:db8::1]:9", target(1, 2, "&left=9&compact=1"), "d8:completei1e11:external ip16: \x01\r\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0110:incompletei1e8:intervali1200e12:min intervali120e5:peers6:\xc6\x33\x64\x01\x1a\xe1e"},
		{"198.51.100.2:9", target(1, 3, "&left=9&numwant=1"), "d8:completei1e11:external ip4:\xc6\x33\x64\x0210:incompletei2e8:intervali1200e12:min intervali120e5:peers6:\xc6\x33\x64\x01\x1a\xe16:peers618: \x01\r\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x02e"},
		{"198.51.100.2:9", target(1, 3, "&left=9&numwant=1&compact=0"), "d8:completei1e11:external ip4:\xc6\x33\x64\x0210:incompletei2e8:intervali1200e12:min intervali120e5:peers" +
			"ld2:ip12:198.51.100.17:peer id20:-XX0001-1234567890124:porti6881eed2:ip11:2001:db8::17:peer id20:-XX0001-1234567890124:porti2eeee"},
		{"198.51.100.2:9", target(1, 3, "&left=9&numwant=0&event=stopped"), "d8:completei1e11:external ip4:\xc6\x33\x64\x0210:incompletei1e8:intervali1200e12:min intervali120e5:peers0:e"},
		{"198.51.100.2:9", target(9, 3, "&left=9"), "d14:failure reason40:this tracker does not serve this torrent8:retry in5:nevere"},
		{"198.51.100.2:9", target(1, 0, "&left=9"), "d14:failure reason20:a peer has no port 08:retry in5:nevere"},
		{"198.51.100.2:9", target(1, 65536, "&left=9"), "d14:failure reason33:port must be a number up to 65535e"},
		{"198.51.100.2:9", "/announce?info_hash=abc", "d14:failure reason28:info_hash must have 20 bytese"},
		{"198.51.100.2:9", "/announce", "d14:failure reason28:info_hash must have 20 bytese"},
		{"198.51.100.2:9", "/scrape", "d14:failure reason29:say which torrents: info_hashe"},
		{"198.51.100.2:9", strings.Replace(target(1, 1, ""), "/announce", "/x/scrape", 1), "d5:filesd20:hash               1d8:completei1e10:downloadedi0e10:incompletei1eee5:flagsd20:min_request_intervali120eee"},
		{"198.51.100.2:9", "/elsewhere", "404 page not found\n"},
	} {
		if got := ask(tr, tt.from, tt.what); got != tt.want {
			t.Errorf("%s %s:\ngot  %q\nwant %q", tt.from, tt.what, got, tt.want)
		}
	}
}

// Strangers cannot make a tracker send others to somebody else; who is beside it can say how it is reached from outside.
func TestClaimedAddresses(t *testing.T) {
	for _, tt := range []struct{ from, ip, asks, want string }{
		{"198.51.100.1:9", "203.0.113.7", "203.0.113.1:1", "\xc6\x33\x64\x01\x00\x07"},
		{"127.0.0.1:9", "203.0.113.7", "203.0.113.1:1", "\xcb\x00\x71\x07\x00\x07"},
		{"192.168.1.1:9", "203.0.113.7", "203.0.113.1:1", "\xcb\x00\x71\x07\x00\x07"},
		{"192.168.1.1:9", "", "203.0.113.1:1", ""},
		{"192.168.1.1:9", "224.0.0.1", "192.168.1.3:1", "\xc0\xa8\x01\x01\x00\x07"},
	} {
		tr := newTracker(Options{})
		ask(tr, tt.from, target(1, 7, "&ip="+tt.ip))
		got := ask(tr, tt.asks, target(1, 8, ""))
		if want := fmt.Sprintf("5:peers%d:%s", len(tt.want), tt.want); !strings.Contains(got, want) {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

func TestAskedTooOften(t *testing.T) {
	tr := newTracker(Options{Limits: Limits{Burst: 3}})
	for range 3 {
		ask(tr, "198.51.100.1:9", target(1, 7, ""))
	}
	if got := ask(tr, "198.51.100.1:9", target(1, 7, "")); !strings.Contains(got, "you ask too often8:retry ini5e") {
		t.Errorf("%q", got)
	}
	if s := tr.Stats(); s.Refused != 1 || s.HTTP != 4 || s.Peers != 1 {
		t.Errorf("%+v", s)
	}
}

// Who says nothing for the time of expiry is forgotten, whatever the protocol; who announces stays.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		go tr.forget(ctx)
		for i := range 5000 {
			ask(tr, fmt.Sprintf("198.51.%d.%d:9", i/256, i%256), target(i%1000, 7, ""))
		}
		if s := tr.Stats(); s.Peers != 5000 || s.Swarms != 1000 {
			t.Fatalf("%+v", s)
		}
		time.Sleep(30 * time.Minute)
		for i := range 500 {
			ask(tr, fmt.Sprintf("198.51.%d.%d:9", i/256, i%256), target(i%1000, 7, ""))
		}
		time.Sleep(14 * time.Minute)
		if s := tr.Stats(); s.Peers != 5000 {
			t.Errorf("after 44 minutes: %+v", s)
		}
		time.Sleep(2 * time.Minute)
		if s := tr.Stats(); s.Peers != 500 || s.Swarms != 500 {
			t.Errorf("after 46 minutes: %+v", s)
		}
		time.Sleep(31 * time.Minute)
		if s := tr.Stats(); s.Peers != 0 || s.Swarms != 0 || len(tr.engine.hosts) != 0 || len(tr.engine.order) != 0 {
			t.Errorf("in the end: %+v", s)
		}
		cancel()
	})
}

// The client of anacrolix/torrent, over HTTP and UDP, IPv4 and IPv6.
func TestAnacrolix(t *testing.T) {
	tr, _ := run(t, Options{})
	for _, at := range tr.Addrs() {
		for n, scheme := range []string{"http", "udp"} {
			addr := scheme + "://" + at.String() + "/announce?key=1"
			hash := [20]byte(hashN(n + 10*int(at.Addr().BitLen())))
			announce := func(port uint16, left int64, ev atracker.AnnounceEvent) atracker.AnnounceResponse {
				t.Helper()
				network := "udp4"
				if at.Addr().Is6() {
					network = "udp6"
				}
				res, err := atracker.Announce{
					TrackerUrl: addr, UdpNetwork: network, UserAgent: "kith test",
					Request: atracker.AnnounceRequest{InfoHash: hash, PeerId: [20]byte{byte(port)}, Port: port, Left: left, NumWant: -1, Event: ev},
				}.Do()
				if err != nil {
					t.Fatalf("%s: %v", addr, err)
				}
				return res
			}
			announce(7001, 0, atracker.Started)
			res := announce(7002, 5, atracker.Started)
			if len(res.Peers) != 1 || res.Peers[0].Port != 7001 || !res.Peers[0].IP.Equal(at.Addr().AsSlice()) || res.Seeders != 1 || res.Leechers != 1 || res.Interval != 1200 {
				t.Errorf("%s: %+v", addr, res)
			}
			cl, err := atracker.NewClient(addr, atracker.NewClientOpts{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := cl.Scrape(t.Context(), []infohash.T{hash, {1}})
			if err != nil || len(got) != 2 || got[0].Seeders != 1 || got[0].Leechers != 1 || got[1].Seeders != 0 {
				t.Errorf("%s: scrape: %v, %+v", addr, err, got)
			}
			cl.Close()
			announce(7001, 0, atracker.Stopped)
			if res := announce(7002, 5, atracker.None); len(res.Peers) != 0 {
				t.Errorf("%s: who has left is still told of: %+v", addr, res)
			}
		}
	}
	if s := tr.Stats(); s.HTTP != 8 || s.UDP != 8 || s.Scrapes != 4 || s.Mistaken != 0 {
		t.Errorf("%+v", s)
	}
}

func newUDP(tr *Tracker) *udp {
	return &udp{t: tr, mac: newMAC(tr), out: make([]byte, 0, maxPacket), peers: make([]peer, 0, maxWant)}
}

func connectPacket() []byte {
	b := binary.BigEndian.AppendUint64(nil, connectMagic)
	return append(b, 0, 0, 0, 0, 't', 'x', 'i', 'd')
}

func announcePacket(id []byte, hash int, port uint16) []byte {
	b := append(bytes.Clone(id), 0, 0, 0, 1, 't', 'x', 'i', 'd')
	h := hashN(hash)
	b = append(b, h[:]...)
	b = append(b, "-XX0001-123456789012"...)
	b = append(b, make([]byte, 36)...)
	b = append(b, 0xff, 0xff, 0xff, 0xff)
	return binary.BigEndian.AppendUint16(b, port)
}

func TestConnectionIDs(t *testing.T) {
	tr := newTracker(Options{})
	u, now := newUDP(tr), epoch
	a, b := ap("198.51.100.1:9"), ap("198.51.100.2:9")
	out := bytes.Clone(u.handle(connectPacket(), a, now))
	if len(out) != 16 || string(out[4:8]) != "txid" || binary.BigEndian.Uint32(out) != actConnect {
		t.Fatalf("%x", out)
	}
	id := out[8:]
	for _, tt := range []struct {
		what  string
		from  netip.AddrPort
		after time.Duration
		ok    bool
	}{
		{"at once", a, 0, true}, {"from another port", ap("198.51.100.1:10"), 0, true}, {"after two minutes", a, 2 * time.Minute, true},
		{"after three", a, 3 * time.Minute, false}, {"by another", b, 0, false}, {"before it was given", a, -time.Minute, false},
	} {
		in := announcePacket(id, 1, 7)
		out := u.handle(in, tt.from, now.Add(tt.after))
		if ok := binary.BigEndian.Uint32(out) == actAnnounce; ok != tt.ok || len(out) > len(in) && !tt.ok {
			t.Errorf("%s: %v, %d bytes", tt.what, ok, len(out))
		}
	}
	if other := newUDP(newTracker(Options{})); binary.BigEndian.Uint32(other.handle(announcePacket(id, 1, 7), a, now)) != actError {
		t.Error("another tracker's id is taken")
	}
}

func TestLocalTrackerIsSilentForStrangers(t *testing.T) {
	tr := newTracker(Options{Local: true})
	u := newUDP(tr)
	for from, want := range map[string]int{"198.51.100.1:9": 0, "192.168.1.1:9": 16, "127.0.0.1:9": 16, "[2001:db8::1]:9": 0, "[fd00::1]:9": 16} {
		if got := len(u.handle(connectPacket(), ap(from), epoch)); got != want {
			t.Errorf("%s: %d bytes, want %d", from, got, want)
		}
		if got := tr.sites.enter(ap(from).Addr()) != nil; got != (want > 0) {
			t.Errorf("%s: a connection is taken: %v", from, got)
		}
	}
}

func TestURLData(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "",
		"0209" + "2f616e6e6f756e6365":   "/announce",
		"01010203" + "2f616e" + "0000":  "/an",
		"0202" + "2f61" + "0201" + "62": "/ab",
		"0909" + "2f61":                 "",
		"02":                            "",
		"0001" + "02":                   "",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := urlData(b); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	p, err := parseUDPAnnounce(append(announcePacket(make([]byte, 8), 1, 7), "\x02\x09/announce"...), ap("198.51.100.1:9"))
	if err != nil || p.url != "/announce" || p.hash != hashN(1) || p.want4 != defaultWant || p.want6 != 0 {
		t.Errorf("%v %+v", err, p)
	}
}

func FuzzHTTP(f *testing.F) {
	for _, s := range []string{target(1, 6881, "&left=0&compact=0&numwant=-1"), target(1, 1, "&ip=::1&event=stopped"), "/scrape?info_hash=%00", "/announce?%zz"} {
		f.Add(s, "198.51.100.1:9")
	}
	f.Fuzz(func(t *testing.T, target, from string) {
		if _, err := netip.ParseAddrPort(from); err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		tr := newTracker(Options{})
		r := &http.Request{Method: "GET", URL: u, RemoteAddr: from, Header: http.Header{}}
		for range 2 {
			w := httptest.NewRecorder()
			tr.serveHTTP(w, r)
			if w.Code == 200 && w.Header().Get("Content-Length") != "" {
				var v any
				if err := bencode.Unmarshal(w.Body.Bytes(), &v); err != nil {
					t.Fatalf("%q: %v", w.Body, err)
				}
			}
		}
	})
}

// No packet makes a tracker panic, or answer somebody who has not shown where they are with more than they sent.
func FuzzUDP(f *testing.F) {
	f.Add(connectPacket(), false)
	f.Add(announcePacket(make([]byte, 8), 1, 7), true)
	f.Add(append(announcePacket(make([]byte, 8), 1, 7), "\x02\x09/announce\x00"...), true)
	f.Add(append([]byte("12345678\x00\x00\x00\x02txid"), make([]byte, 40)...), true)
	f.Fuzz(func(t *testing.T, in []byte, proven bool) {
		tr := newTracker(Options{})
		for i := range 300 {
			tr.engine.announce(epoch, said(1, fmt.Sprintf("198.51.%d.%d:9", i/256, i%256), false, started), nil)
		}
		u, from := newUDP(tr), ap("203.0.113.1:9")
		if proven && len(in) > 8 {
			in = append(u.id(nil, from.Addr(), epochOf(epoch)), in[8:]...)
		}
		out := u.handle(in, from, epoch)
		if len(out) > len(in) && !proven || len(out) > 1400 {
			t.Fatalf("%d bytes for %d", len(out), len(in))
		}
		if len(out) > 0 && !bytes.Equal(out[4:8], in[12:16]) {
			t.Fatalf("another transaction")
		}
	})
}
