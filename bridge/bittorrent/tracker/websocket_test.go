package tracker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// browser is a WebTorrent client as far as a tracker sees it.
type browser struct {
	t  *testing.T
	ws *websocket.Conn
	id string
}

func open(t *testing.T, addr, id string) *browser {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/", &websocket.DialOptions{HTTPHeader: map[string][]string{"Origin": {"https://elsewhere.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(maxMessage)
	t.Cleanup(func() { ws.CloseNow() })
	return &browser{t, ws, (id + strings.Repeat("-", 20))[:20]}
}

func (b *browser) say(m map[string]any) {
	b.t.Helper()
	j, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.ws.Write(b.t.Context(), websocket.MessageText, j); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) announce(hash, left, offers int, more ...any) {
	b.t.Helper()
	h := hashN(hash)
	m := map[string]any{"action": "announce", "info_hash": latin(h[:]), "peer_id": b.id, "left": left, "event": "started"}
	var made []any
	for i := range offers {
		made = append(made, map[string]any{"offer": map[string]any{"type": "offer", "sdp": fmt.Sprint("sdp <", i, ">")}, "offer_id": fmt.Sprintf("\u00ff%19d", i)})
	}
	if offers > 0 {
		m["offers"], m["numwant"] = made, offers
	}
	for i := 0; i < len(more); i += 2 {
		m[more[i].(string)] = more[i+1]
	}
	b.say(m)
}

func (b *browser) hear() map[string]any {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	_, j, err := b.ws.Read(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(j, &m); err != nil {
		b.t.Fatalf("%v: %s", err, j)
	}
	return m
}

// hears compares what comes next, written as JSON with sorted keys.
func (b *browser) hears(want string) {
	b.t.Helper()
	var w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		b.t.Fatal(err)
	}
	j, _ := json.Marshal(w)
	if got, _ := json.Marshal(b.hear()); string(got) != string(j) {
		b.t.Errorf("%s hears\n%s\nwant\n%s", b.id, got, j)
	}
}

func TestOffersAndAnswers(t *testing.T) {
	tr, addr := run(t, Options{})
	const hash = `"info_hash":"hash               1"`
	anna, bert := open(t, addr, "anna"), open(t, addr, "bert")
	anna.announce(1, 0, 2)
	anna.hears(`{"action":"announce","interval":120,"complete":1,"incomplete":0,` + hash + `}`)
	bert.announce(1, 9, 2)
	bert.hears(`{"action":"announce","interval":120,"complete":1,"incomplete":1,` + hash + `}`)
	anna.hears(`{"action":"announce","offer":{"type":"offer","sdp":"sdp <0>"},"offer_id":"\u00ff                  0","peer_id":"bert----------------",` + hash + `}`)
	answer := []any{"answer", map[string]any{"type": "answer", "sdp": "back"}, "to_peer_id", bert.id, "offer_id", fmt.Sprintf("\u00ff%19d", 0)}
	anna.announce(1, 0, 0, answer...)
	bert.hears(`{"action":"announce","answer":{"type":"answer","sdp":"back"},"offer_id":"\u00ff                  0","peer_id":"anna----------------",` + hash + `}`)

	// What no offer waits for goes nowhere: once more the same, and from somebody to whom none was made.
	anna.announce(1, 0, 0, answer...)
	open(t, addr, "carl").announce(1, 9, 0, answer...)
	h := hashN(1)
	bert.say(map[string]any{"action": "scrape", "info_hash": latin(h[:])})
	for m := bert.hear(); m["action"] != "scrape"; m = bert.hear() {
		t.Errorf("bert hears %v", m)
	}

	// Who hangs up is forgotten, and nothing stays.
	anna.ws.Close(websocket.StatusNormalClosure, "")
	for deadline := time.Now().Add(10 * time.Second); tr.Stats().Seeds > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("who has hung up stays a seed")
		}
	}
}

// A peer over TCP is counted by browsers and not told of: they cannot reach it.
func TestBrowsersAreApart(t *testing.T) {
	tr, addr := run(t, Options{})
	ask(tr, "127.0.0.1:9", target(1, 7, "&left=0"))
	b := open(t, addr, "anna")
	b.announce(1, 9, 3)
	b.hears(`{"action":"announce","interval":120,"complete":1,"incomplete":1,"info_hash":"hash               1"}`)
	if got := ask(tr, "127.0.0.1:9", target(1, 8, "")); !strings.Contains(got, "5:peers6:") {
		t.Errorf("%q", got)
	}
}

func TestBadMessages(t *testing.T) {
	tr, addr := run(t, Options{Allow: func(h Hash) bool { return h != hashN(9) }})
	b := open(t, addr, "anna")
	for m, want := range map[string]string{
		`nonsense`:           "the message is no JSON of a tracker",
		`{"action":"dance"}`: "unknown action",
		`{"action":"announce","info_hash":"short","peer_id":"12345678901234567890"}`:                                       "info_hash must be 20 characters up to U+00FF",
		`{"action":"announce","info_hash":"1234567890123456789\u0100","peer_id":"12345678901234567890"}`:                   "info_hash must be 20 characters up to U+00FF",
		`{"action":"announce","info_hash":"hash               1"}`:                                                         "peer_id must be 20 characters up to U+00FF",
		`{"action":"announce","info_hash":"hash               1","peer_id":"12345678901234567890","offers":[{"offer":7}]}`: "an offer needs offer and offer_id",
		`{"action":"announce","info_hash":"hash               1","peer_id":"12345678901234567890","answer":{}}`:            "an answer needs to_peer_id and offer_id, of 20 characters each",
		`{"action":"announce","info_hash":"hash               9","peer_id":"12345678901234567890"}`:                        "this tracker does not serve this torrent",
		`{"action":"scrape"}`: "say which torrents: info_hash",
		`{"action":"announce","info_hash":"hash               1","peer_id":"12345678901234567890","answer":{"sdp":"` + strings.Repeat("a", maxOffer) + `"}}`: "an answer has at most 16384 bytes",
	} {
		if err := b.ws.Write(t.Context(), websocket.MessageText, []byte(m)); err != nil {
			t.Fatal(err)
		}
		if got := b.hear()["failure reason"]; got != want {
			t.Errorf("%.100s: got %q, want %q", m, got, want)
		}
	}
	if s := tr.Stats(); s.Peers != 0 || s.Swarms != 0 {
		t.Errorf("%+v", s)
	}
	if err := b.ws.Write(t.Context(), websocket.MessageText, make([]byte, maxMessage+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.ws.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message that is too large: %v", err)
	}
}

func TestWebEngine(t *testing.T) {
	e := testEngine(Limits{Offers: 3, SocketSwarms: 2, OfferLife: time.Minute})
	newConn := func(from string) *conn { return &conn{from: ap(from).Addr(), in: map[Hash][]PeerID{}} }
	a, b, c := newConn("198.51.100.1:1"), newConn("198.51.100.2:1"), newConn("198.51.100.1:1")
	says := func(c *conn, hash int, id byte, seed bool, offers int) ([]*webPeer, bool) {
		_, to, ok := e.announceWeb(epoch, webAnnounce{hash: hashN(hash), id: PeerID{id}, conn: c, from: c.from, seed: seed, event: update, offers: offers})
		return to, ok
	}
	says(a, 1, 'a', true, 0)
	if to, ok := says(b, 1, 'b', true, 5); !ok || len(to) != 0 {
		t.Errorf("a seed's offers go to %d others: the other is a seed too", len(to))
	}
	if to, _ := says(b, 1, 'b', false, 5); len(to) != 1 || to[0].conn != a {
		t.Errorf("offers go to %v", to)
	}
	if _, ok := says(b, 1, 'a', false, 0); ok {
		t.Error("somebody else took another's peer id")
	}
	if _, ok := says(c, 1, 'a', false, 0); !ok || e.swarms[hashN(1)].web.byID[PeerID{'a'}].conn != c || len(a.in) != 0 {
		t.Error("who came back over another connection from the same address is not that peer")
	}
	for i := range 3 {
		says(b, 10+i, 'b', false, 0)
	}
	if len(b.in) != 2 {
		t.Errorf("in %d swarms, at most 2", len(b.in))
	}
	for i := range 4 {
		e.offered(epoch, b, offer{hashN(1), PeerID{'b'}, PeerID{byte(i)}, PeerID{'a'}})
	}
	get := func(i byte, after time.Duration) *conn {
		return e.answered(epoch.Add(after), offer{hashN(1), PeerID{'b'}, PeerID{i}, PeerID{'a'}})
	}
	if len(e.offers) != 3 || get(0, 0) != nil || get(1, 0) != b || get(1, 0) != nil || get(2, 2*time.Minute) != nil {
		t.Errorf("offers: %d are kept", len(e.offers))
	}
	e.hangUp(a)
	e.hangUp(b)
	e.hangUp(c)
	if e.peers != 0 || len(e.swarms) != 0 || len(e.offers) != 0 || len(e.hosts) != 0 {
		t.Errorf("when all have hung up there are %d peers, %d swarms, %d offers, %d hosts", e.peers, len(e.swarms), len(e.offers), len(e.hosts))
	}
}

// A client that takes nothing costs no more than its limit.
func TestWhoTakesNothing(t *testing.T) {
	tr := newTracker(Options{Limits: Limits{Queued: 256 * 1000}})
	c := &conn{out: make(chan []byte, queueLen)}
	for range 1000 {
		tr.send(c, make([]byte, 100))
	}
	if n := len(c.out); n != 10 || c.queued.Load() != 1000 || tr.queued.Load() != 1000 {
		t.Errorf("%d messages of %d bytes wait", n, c.queued.Load())
	}
}

func FuzzWeb(f *testing.F) {
	for _, s := range []string{
		`{"action":"announce","info_hash":"hash               1","peer_id":"12345678901234567890","left":0,"numwant":5,"offers":[{"offer":{"type":"offer","sdp":""},"offer_id":"12345678901234567890"}]}`,
		`{"action":"announce","info_hash":"hash               1","peer_id":"12345678901234567890","answer":{"type":"answer"},"to_peer_id":"1234567890123456789\u00ff","offer_id":"12345678901234567890"}`,
		`{"action":"scrape","info_hash":["hash               1"]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := parseWeb([]byte(s))
		if err != nil {
			return
		}
		if len(m.offers) > maxOffers || len(m.hashes) > maxScrape || m.want < 0 || m.want > maxOffers {
			t.Fatalf("%+v", m)
		}
		for _, o := range m.offers {
			if !json.Valid(webOffer(m, o)) {
				t.Fatal("an offer that is no JSON is passed on")
			}
		}
		if m.answer != nil && !json.Valid(webAnswer(m)) {
			t.Fatal("an answer that is no JSON is passed on")
		}
	})
}
