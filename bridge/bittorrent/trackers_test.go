package bittorrent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kith"
	"kith/bridge/bittorrent/courier"
)

// endless is one byte again and again, up to n.
func endless(w io.Writer, begin string, c byte, n int) {
	io.WriteString(w, begin)
	b := []byte(strings.Repeat(string(c), 64<<10))
	for ; n > 0; n -= len(b) {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// TestLyingTrackers: trackers that say anything but what they should, and addresses of trackers that are none. Each is beside a peer that the link names, and that is fetched from all the same.
func TestLyingTrackers(t *testing.T) {
	ctx := timed(t, 2*time.Minute)
	says := func(what string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, what) }
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		said  string // by the status
	}{
		"garbage":           {says("xxxxxx"), "does not answer: metainfo"},
		"nested":            {says(strings.Repeat("l", 1<<16)), "deep"},
		"negative":          {says("d8:intervali-9223372036854775808e5:peers0:e"), ""},
		"at once again":     {says("d8:intervali0e5:peers0:e"), ""},
		"never again":       {says("d8:intervali2147483647e5:peers0:e"), ""},
		"odd":               {says("d8:intervali1e5:peers7:abcdefge"), ""},
		"long":              {says("d5:peers" + strings.Repeat("9", 30) + ":"), "number"},
		"failure":           {says("d14:failure reason7:go awaye"), "refuses: go away"},
		"self":              {says("d8:intervali1e5:peers6:\x7f\x00\x00\x01\x00\x01e"), ""},
		"types":             {says("d8:interval1:x5:peersi5ee"), ""},
		"peers are numbers": {says("d8:intervali1e5:peersli5eee"), ""},
		"without address":   {says("d8:intervali1e5:peersld4:porti5eed2:ipi5eeee"), ""},
		"100 MB of peers":   {func(w http.ResponseWriter, _ *http.Request) { endless(w, "d5:peers100000002:", 9, 100<<20) }, "bytes"},
		"100 MB of lists":   {func(w http.ResponseWriter, _ *http.Request) { endless(w, "", 'l', 100<<20) }, "bytes"},
		"a header":          {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, "header"},
		"round and round":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, "more than 5 times"},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "ftp://127.0.0.1/", http.StatusFound)
		}, "not encrypted"},
		"no answer": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, "418"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			first := make(chan bool)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c.serve(w, r)
				if asked.Add(1) == 1 {
					close(first)
				}
			}))
			defer srv.Close()
			d, b := withTrackers(t, srv.URL+"/announce")
			select {
			case <-first:
			case <-ctx.Done():
				t.Fatal("the tracker was not asked")
			}
			d.all(ctx)
			d.mustBe(ctx, theFilm)
			if n, most := asked.Load(), int32(2*(1+courier.MaxHops)); n > most { // begun, completed
				t.Errorf("asked %d times", n)
			}
			until(t, 10*time.Second, "what the tracker said is shown", func() bool {
				st, err := b.StatusOf(d.o.(*origin).s.names)
				return err == nil && (c.said == "" && !strings.Contains(st.Said, "tracker") || c.said != "" && strings.Contains(st.Said, c.said))
			})
		})
	}
	t.Run("addresses", func(t *testing.T) {
		d, _ := withTrackers(t, "http://user:word@127.0.0.1:1/announce", "http://127.0.0.1:1/a|b", "udp://user@127.0.0.1:1", "udp://127.0.0.1:1/a|b", "udp://127.0.0.1", "udp://[::1", "ws://user:word@127.0.0.1:1/",
			"ws://127.0.0.1:1/a|b#c", "http://127.0.0.1:99999/announce", "http:///announce", "*http://a/b", "udp4://a:1", "file:///etc/passwd", "http://"+trackerHost+"/announce")
		d.all(ctx)
		d.mustBe(ctx, theFilm)
	})
}

var theFilm = map[string][]byte{"": sample(8, 1<<20)}

// withTrackers begins to fetch the film from a peer, with trackers in the link.
func withTrackers(t *testing.T, urls ...string) (*download, *node) {
	t.Helper()
	ctx := timed(t, time.Minute)
	a, b := newNode(t, nil), newNode(t, nil)
	names, err := a.Publish(ctx, a.share("film", theFilm))
	if err != nil {
		t.Fatal(err)
	}
	l := a.link(names)
	l.Trackers = urls
	return b.get(ctx, l), b
}

// TestTrackerNamesAgain: whom a tracker names is not there yet, and is dialled again: the tracker itself is asked only after twenty minutes.
func TestTrackerNamesAgain(t *testing.T) {
	for kind, listen := range map[string]func(t *testing.T, peer []byte) (string, <-chan string){"http": overHTTP, "udp": overUDP} {
		t.Run(kind, func(t *testing.T) {
			ctx := timed(t, time.Minute)
			at := vacant(t)
			a := newNode(t, func(o *Options) { o.Bind, o.Config.Port = at.Addr(), int(at.Port()) })
			names, err := a.Publish(ctx, a.share("film", theFilm))
			if err != nil {
				t.Fatal(err)
			}
			a.close()
			url, asked := listen(t, binary.BigEndian.AppendUint16(at.Addr().AsSlice(), at.Port()))
			b := newNode(t, nil)
			d := &download{t: t, m: &memory{}}
			if d.o, err = b.Open(kith.Link{Names: kith.Names{V1: names.V1, Trackers: []string{url}}})(ctx, d.m); err != nil {
				t.Fatal(err)
			}
			defer d.o.Close()
			<-asked
			short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			if _, err := d.o.Layout(short); !errors.Is(err, kith.Unavailable) {
				t.Fatalf("nobody is there: %v", err)
			}
			a.open()
			if _, err := d.o.Layout(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestTrackerIsToldOnce that this node has left, and then no more.
func TestTrackerIsToldOnce(t *testing.T) {
	t.Parallel() // the library waits a minute
	for kind, listen := range map[string]func(t *testing.T, peer []byte) (string, <-chan string){"http": overHTTP, "udp": overUDP} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := timed(t, 5*time.Minute)
			url, asked := listen(t, nil)
			d, b := withTrackers(t, url)
			if said := <-asked; said != "started" {
				t.Errorf("first it hears %q", said)
			}
			d.all(ctx)
			d.o.Close()
			for said := range asked {
				if said == "stopped" {
					break
				}
			}
			select {
			case said := <-asked:
				t.Errorf("after it was told that this node has left it hears %q", said)
			case <-time.After(3 * time.Second):
			}
			if _, err := b.Open(kith.Link{Names: kith.Names{V1: d.o.(*origin).s.names.V1, Trackers: []string{url}}})(ctx, &memory{}); err != nil {
				t.Fatal(err)
			}
			select {
			case <-asked:
			case <-ctx.Done():
				t.Error("who comes again does not tell it")
			}
		})
	}
}

// overHTTP is a tracker that names a peer. It says what event each announcement is of.
func overHTTP(t *testing.T, peer []byte) (url string, asked <-chan string) {
	t.Helper()
	c := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "d8:intervali1200e5:peers%d:%se", len(peer), peer)
		c <- r.URL.Query().Get("event")
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/announce", c
}

// overUDP is the same over UDP (BEP 15).
func overUDP(t *testing.T, peer []byte) (url string, asked <-chan string) {
	t.Helper()
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := make(chan string, 100)
	go func() {
		p := make([]byte, 2048)
		for {
			n, from, err := l.ReadFrom(p)
			if err != nil {
				return
			}
			if n < 16 {
				continue
			}
			answer := append([]byte{}, p[8:16]...) // action and transaction
			if binary.BigEndian.Uint32(answer) == 0 {
				l.WriteTo(append(answer, "connects"...), from)
				continue
			}
			answer = binary.BigEndian.AppendUint32(answer, 1200)
			answer = append(answer, make([]byte, 8)...) // leechers, seeders
			l.WriteTo(append(answer, peer...), from)
			c <- []string{"", "completed", "started", "stopped"}[binary.BigEndian.Uint32(p[80:])%4]
		}
	}()
	return "udp://" + l.LocalAddr().String(), c
}

// TestTrackerIsSomethingElse: an address in the local network that somebody put into a torrent is not asked if it may make something there do something.
func TestTrackerIsSomethingElse(t *testing.T) {
	ctx := timed(t, time.Minute)
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer srv.Close()
	d, b := withTrackers(t, srv.URL+"/reboot", srv.URL+"/announce?reboot=1")
	d.all(ctx)
	until(t, 10*time.Second, "it is said", func() bool {
		st, err := b.StatusOf(d.o.(*origin).s.names)
		return err == nil && strings.Contains(st.Said, "in this computer or its local network")
	})
	if asked.Load() != 0 {
		t.Error("it was asked")
	}
}

// TestTrackerComesLater: one that is not there yet is asked again before the minute is over that the library would wait.
func TestTrackerComesLater(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	d, b := withTrackers(t, "http://"+at+"/announce")
	says := func(what string) func() bool {
		return func() bool {
			st, err := b.StatusOf(d.o.(*origin).s.names)
			return err == nil && strings.Contains(st.Said, what)
		}
	}
	until(t, 10*time.Second, "it is said", says("refused"))
	if l, err = net.Listen("tcp", at); err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "d14:failure reason6:closede") })}
	go srv.Serve(l)
	defer srv.Close()
	until(t, 30*time.Second, "it is asked again", says("refuses: closed"))
}

// TestLyingUDPTracker: an answer over UDP that wants to be asked without end, and names the local network.
func TestLyingUDPTracker(t *testing.T) {
	ctx := timed(t, time.Minute)
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var asked atomic.Int32
	first := make(chan bool)
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if n < 16 {
				continue
			}
			answer := append([]byte{}, b[8:16]...) // action and transaction
			if binary.BigEndian.Uint32(answer) == 0 {
				answer = append(answer, "connects"...)
			} else {
				answer = append(answer, make([]byte, 12)...) // an interval of 0
				answer = append(answer, 127, 0, 0, 1, 0)     // and a peer of which a part is missing
				if asked.Add(1) == 1 {
					close(first)
				}
			}
			c.WriteTo(answer, from)
		}
	}()
	d, _ := withTrackers(t, "udp://"+c.LocalAddr().String())
	select {
	case <-first:
	case <-ctx.Done():
		t.Fatal("the tracker was not asked")
	}
	d.all(ctx)
	d.mustBe(ctx, theFilm)
	if n := asked.Load(); n > 2 {
		t.Errorf("asked %d times", n)
	}
}

// offerText is an offer of WebRTC that leads nowhere.
var offerText = strings.ReplaceAll("v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\n"+
	"a=candidate:1 1 udp 2113937151 127.0.0.1 1 typ host\na=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\na=fingerprint:sha-256 AA"+strings.Repeat(":AA", 31)+"\na=setup:actpass\na=mid:0\na=sctp-port:5000\n", "\n", "\r\n")

// TestLyingWebSocketTracker: messages that are none, offers without end, and a message without one.
func TestLyingWebSocketTracker(t *testing.T) {
	ctx := timed(t, time.Minute)
	sent := make(chan int64, 1)
	var answers atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		var hello struct {
			Hash string `json:"info_hash"`
		}
		_, data, err := c.Read(ctx)
		if err != nil || json.Unmarshal(data, &hello) != nil {
			return
		}
		enough := make(chan bool)
		go func() {
			defer close(enough)
			for {
				var m struct{ Answer *struct{} }
				_, data, err := c.Read(ctx)
				if err != nil {
					return
				}
				if json.Unmarshal(data, &m) == nil && m.Answer != nil && answers.Add(1) == offerBurst/2 { // some of what it may have was none
					enough <- true
				}
			}
		}()
		for _, s := range []string{
			"", "{}", "[]", "null", "5", "{", `{"info_hash":"x"}`, `{"info_hash":5}`, `{"offer":{}}`, `{"offer":{"type":"offer","sdp":"x"},"info_hash":"x","offer_id":"","peer_id":""}`,
			`{"answer":{"type":"answer","sdp":""},"offer_id":"x"}`, `{"offer":{"type":"rollback"}}`, `{"offer":5}`, `{"interval":-1}`, strings.Repeat("[", 60_000),
		} {
			if c.Write(ctx, websocket.MessageText, []byte(s)) != nil {
				return
			}
		}
		for i := range 4 * offerBurst {
			id := fmt.Sprintf("%020d", i)
			m, _ := json.Marshal(map[string]any{"action": "announce", "info_hash": hello.Hash, "peer_id": id, "offer_id": id, "offer": map[string]string{"type": "offer", "sdp": offerText}})
			if c.Write(ctx, websocket.MessageText, m) != nil {
				return
			}
		}
		<-enough
		m, err := c.Writer(ctx, websocket.MessageText)
		if err != nil {
			return
		}
		n := int64(0)
		for b := make([]byte, 64<<10); n < 100<<20; n += int64(len(b)) {
			if _, err := m.Write(b); err != nil {
				break
			}
		}
		sent <- n
	}))
	defer srv.Close()
	d, _ := withTrackers(t, "ws"+strings.TrimPrefix(srv.URL, "http"))
	select {
	case n := <-sent:
		if n > 32<<20 { // what is in buffers on the way
			t.Errorf("%d bytes were taken", n)
		}
	case <-ctx.Done():
		t.Fatal("the tracker was not asked, or does not get as far as its message without an end")
	}
	if n := answers.Load(); n > offerBurst+10 { // a few more came in the seconds that it takes
		t.Errorf("%d offers of %d were answered", n, 4*offerBurst)
	}
	d.all(ctx)
	d.mustBe(ctx, theFilm)
}
